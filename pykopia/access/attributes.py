"""Attributes of entries as the kernel takes them."""

import stat
from typing import NamedTuple

from pykopia.format.directory import DIRECTORY, DirectoryEntry
from pykopia.snapshot.snapshot_path import TYPE_BITS

BLOCK = 4096
"""Bytes of a block of a file system."""
SECTOR = 512
"""Bytes of what ``st_blocks`` counts."""


class Attributes(NamedTuple):
    """What ``stat`` shows of an entry."""

    mode: int
    """Type and permissions."""
    uid: int
    gid: int
    size: int
    """Bytes."""
    blocks: int
    """Sectors, so that ``du`` is right."""
    mtime_ns: int
    """Nanoseconds since 1970; the other times are the same."""


def attributes(entry: DirectoryEntry) -> Attributes:
    """Return the attributes of an entry."""
    kind = entry.type
    size = BLOCK if kind == DIRECTORY else entry.size
    mode = TYPE_BITS.get(kind, stat.S_IFREG) | entry.mode
    return Attributes(mode, entry.uid, entry.gid, size, -(-size // SECTOR), entry.mtime_ns)


__all__ = ["BLOCK", "Attributes", "attributes"]
