"""Flags of `snapshot expire`."""

from pykopia.cli.parsing import Options, arguments, flag


class ExpireOptions(Options):
    """Flags of `snapshot expire`."""

    path = arguments("Sources whose snapshots to expire.")
    all = flag(False, "All sources.")
    delete = flag(False, "Delete; without this only tell what would be deleted.")


__all__ = ["ExpireOptions"]
