"""Flags of `repository sync-to`."""

from pykopia.cli.parsing import Options, flag
from pykopia.cli.values import threads


class SyncFlags(Options):
    """Flags of `repository sync-to`, before the storage."""

    update = flag(True, "Copy blobs that are newer than in the copy.")
    delete = flag(False, "Delete blobs of the copy that the repository has not.")
    dry_run = flag(False, "Copy nothing.", short="n")
    parallel = flag(1, "Blobs copied at one time.", kind=threads)
    must_exist = flag(False, "Fail if the copy does not exist yet.")
    times = flag(False, "Keep the times of blobs, where the storage can.")


__all__ = ["SyncFlags"]
