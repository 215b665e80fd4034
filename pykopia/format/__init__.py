"""Bytes of a Kopia repository and the values they stand for: pure functions, no I/O, no clock, no threads."""
