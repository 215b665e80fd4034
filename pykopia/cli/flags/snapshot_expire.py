"""Flags of `snapshot expire`."""

from pykopia.cli.parsing import Options, arguments, flag
from pykopia.cli.values import long_time


class ExpireOptions(Options):
    """Flags of `snapshot expire`."""

    path = arguments("Sources whose snapshots to expire.")
    all = flag(False, "All sources.")
    delete = flag(False, "Delete; without this only tell what would be deleted.")
    keep_within = flag(
        0,
        "Keep also all that began within this time before the newest snapshot, such as 30d; only in this run, for policies "
        "have no such rule.",
        kind=long_time,
        placeholder="TIME",
    )


__all__ = ["ExpireOptions"]
