"""Flags of `index recover`, `index epoch list`."""

from pykopia.cli.parsing import Options, flag, flag_list
from pykopia.cli.values import threads


class IndexRecoverOptions(Options):
    """Flags of `index recover`."""

    blob_prefixes = flag_list("What the names of the packs to recover from begin with (default: all packs).")
    blobs = flag_list("Packs to recover from (default: all packs).")
    parallel = flag(1, "Packs read at one time.", kind=threads)
    ignore_errors = flag(False, "Go on when a pack can't be read.")
    delete_indexes = flag(False, "Delete the index blobs of format version 1 that were there before.")
    commit = flag(False, "Write what was recovered, and move damaged index blobs aside.")


__all__ = ["IndexRecoverOptions"]
