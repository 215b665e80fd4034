"""Flags of `cache clear`, `cache info`, `cache set`."""

from pykopia.cli.connect_flags import CacheSizeFlags
from pykopia.cli.parsing import Options, flag

_PARTS = ("contents", "indexes", "metadata", "own-writes", "blob-list")


class CacheInfoOptions(Options):
    """Flags of `cache info`."""

    path = flag(False, "Print the folder alone.")


class CacheClearOptions(Options):
    """Flags of `cache clear`."""

    partial = flag("", "Empty this part alone.", choices=_PARTS)


class CacheSetOptions(CacheSizeFlags):
    """Flags of `cache set`."""

    cache_directory = flag("", "Folder of the cache.")


__all__ = ["CacheClearOptions", "CacheInfoOptions", "CacheSetOptions"]
