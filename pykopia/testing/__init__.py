"""What tests of code that uses pykopia can build on: storages with faults, delays and a clock of their own."""
