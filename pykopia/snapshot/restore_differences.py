"""Restoring what differs: which pieces of a file of this machine are those of the snapshot already.

A piece is recognized by its content ID, the keyed hash of its bytes (format 02 §1): the file is read, the repository is not.
"""

import os
from collections.abc import Callable

from pykopia.format.directory import DirectoryEntry
from pykopia.ids import Buffer
from pykopia.repository.objects import Chunk, ObjectStore


class Differences:
    """Compares files with objects."""

    def __init__(self, objects: ObjectStore, content_hash: Callable[[Buffer], bytes]) -> None:
        self._objects = objects
        self._hash = content_hash

    def same(self, handle: int, entry: DirectoryEntry) -> bool:
        """Return True if an open file has just the bytes of an entry."""
        if os.fstat(handle).st_size != entry.size:
            return False
        chunks = self._objects.chunks(entry.object_id)
        return all(self.piece(handle, chunk) is not None for chunk in chunks) and (
            sum(chunk.length for chunk in chunks) == entry.size
        )

    def piece(self, handle: int, chunk: Chunk) -> bytes | None:
        """Return the bytes of a chunk if an open file has them in the same place."""
        if chunk.compressed or chunk.length < 0:
            return None  # the hash is that of the compressed bytes
        data = os.pread(handle, chunk.length, chunk.start)
        while len(data) < chunk.length:
            more = os.pread(handle, chunk.length - len(data), chunk.start + len(data))
            if not more:
                return None
            data += more
        return data if self._hash(data).hex() == chunk.content_id else None


__all__ = ["Differences"]
