"""A snapshot as a filesystem: fsspec's ``kopia://``, and a mount by FUSE."""
