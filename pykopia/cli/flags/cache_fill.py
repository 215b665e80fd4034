"""Flags of `cache prefetch`, `cache sync`."""

from pykopia.cli.parsing import Options, arguments, flag
from pykopia.cli.values import threads


class CachePrefetchOptions(Options):
    """Flags of `cache prefetch`."""

    hint = flag("", "Ignored: whole packs are read where that is quicker.")
    object = arguments("What to fetch: snapshot or object ID with a path inside, latest, or a path.", required=True)


class CacheSyncOptions(Options):
    """Flags of `cache sync`."""

    parallel = flag(16, "Blobs read at one time.", kind=threads)


__all__ = ["CachePrefetchOptions", "CacheSyncOptions"]
