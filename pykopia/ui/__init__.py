"""The local page of `pykopia ui`: snapshots in a browser of this machine, on the public surface of pykopia alone."""
