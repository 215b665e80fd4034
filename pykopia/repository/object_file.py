"""An object as a seekable file: chunks are fetched when they are read, and the last ones are kept."""

from bisect import bisect_right
from collections.abc import Callable

from pykopia.dataclass import dataclass
from pykopia.ids import ContentID
from pykopia.repository.memory_cache import MemoryCache
from pykopia.repository.seekable import SeekableFile

CHUNK_CACHE_BYTES = 24 << 20
"""Bytes of chunks that an open object keeps by default: three of the largest of the default splitter."""

UNKNOWN_LENGTH = -1


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an object that is in one content."""

    start: int
    """Bytes from the start of the object."""
    length: int
    """Bytes of the object; -1 where only reading shows it (an object compressed as a whole)."""
    content_id: ContentID
    compressed: bool
    """Whether the content holds a compression header and a compressed body (``Z``, format version 1)."""


class ObjectFile(SeekableFile):
    """The raw file beneath ``ObjectStore.open``."""

    def __init__(self, read_chunk: Callable[[Chunk], bytes], chunks: list[Chunk], cache_bytes: int) -> None:
        """Read ``chunks``, in order and without gaps, by ``read_chunk``; keep up to ``cache_bytes`` of them."""
        super().__init__()
        self._read_chunk = read_chunk
        self._kept: MemoryCache[int, bytes] = MemoryCache(cache_bytes)
        # zero-length chunks never match a position
        self._chunks = [chunk for chunk in chunks if chunk.length]
        self._current = -1
        self._data = b""
        if len(self._chunks) == 1 and self._chunks[0].length == UNKNOWN_LENGTH:
            data = read_chunk(self._chunks[0])
            self._chunks = [Chunk(0, len(data), chunks[0].content_id, chunks[0].compressed)]
            self._current, self._data = 0, data
        self._starts = [chunk.start for chunk in self._chunks]
        self._length = self._chunks[-1].start + self._chunks[-1].length if self._chunks else 0

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` as far as one chunk goes; return the number of bytes."""
        if self._position >= self._length or not len(buffer):
            return 0
        index = bisect_right(self._starts, self._position) - 1
        if index != self._current:
            self._data = self._chunk(index)
            self._current = index
        offset = self._position - self._chunks[index].start
        count = min(len(buffer), len(self._data) - offset)
        buffer[:count] = memoryview(self._data)[offset : offset + count]
        self._position += count
        return count

    def _chunk(self, index: int) -> bytes:
        data = self._kept.get(index)
        if data is None:
            data = self._read_chunk(self._chunks[index])
            self._kept.put(index, data, len(data))
        return data


__all__ = ["CHUNK_CACHE_BYTES", "UNKNOWN_LENGTH", "Chunk", "ObjectFile"]
