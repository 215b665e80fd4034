"""Files of a snapshot as a program reads them: at any place, each chunk fetched once, what comes next while one is read."""

from bisect import bisect_right
from collections.abc import Sequence

from pykopia.access.chunks import ChunkStore
from pykopia.repository.objects import UNKNOWN_LENGTH, Chunk
from pykopia.repository.seekable import SeekableFile

BUFFER = 64 << 10
"""Bytes of the buffer of an open file."""
READ_AHEAD = 16 << 20
"""Bytes that are fetched before they are asked for, at most."""


class ObjectReader:
    """The bytes of one object at any place; safe for threads."""

    def __init__(self, store: ChunkStore, chunks: Sequence[Chunk]) -> None:
        self._store = store
        if len(chunks) == 1 and chunks[0].length == UNKNOWN_LENGTH:
            only = chunks[0]
            chunks = [Chunk(0, len(store.read(chunks)[0]), only.content_id, only.compressed)]
        self._chunks = [chunk for chunk in chunks if chunk.length]
        self._starts = [chunk.start for chunk in self._chunks]
        self.length = self._chunks[-1].start + self._chunks[-1].length if self._chunks else 0
        """Bytes of the object."""

    def chunks(self, start: int, end: int) -> list[Chunk]:
        """Return the chunks that hold a byte range."""
        end = min(end, self.length)
        if start >= end:
            return []
        return self._chunks[bisect_right(self._starts, start) - 1 : bisect_right(self._starts, end - 1)]

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes of a range, as far as the object goes."""
        return self.cut(start, end, self.chunks(start, end))

    def cut(self, start: int, end: int, chunks: Sequence[Chunk]) -> bytes:
        """Return the bytes of a range, see ``read``; ``chunks`` are those that hold it."""
        parts = [
            memoryview(data)[max(start - chunk.start, 0) : end - chunk.start]
            for chunk, data in zip(chunks, self._store.read(chunks), strict=True)
        ]
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def chunk_end(self, position: int) -> int:
        """Return where the chunk at a position ends."""
        chunk = self._chunks[bisect_right(self._starts, position) - 1]
        return chunk.start + chunk.length

    def fetch_ahead(self, start: int, end: int) -> None:
        """Begin to fetch what will be read next."""
        self._store.fetch_ahead(self.chunks(start, end))


class ReadAhead:
    """Decides what is fetched before it is asked for; one for each reader of a file.

    Nothing is, until two chunks in a row were read one after the other: programs that look for a table of contents, and then
    for some columns of some rows, get what they ask for and no more. From then on as much as was read in a row.
    """

    def __init__(self, reader: ObjectReader, most: int = READ_AHEAD, *, tolerance: int = 0) -> None:
        """Fetch ``most`` bytes ahead; reads may come out of order by ``tolerance`` bytes."""
        self._tolerance = tolerance
        self._reader = reader
        self._most = most
        self._expected = -1
        self._began = 0
        self._fetched = 0

    def note(self, start: int, end: int) -> None:
        """Record that a range is read, and begin to fetch what most likely comes next."""
        if not -self._tolerance <= start - self._expected <= self._tolerance or self._expected < 0:
            self._began = self._fetched = self._expected = start
        self._expected = end = max(end, self._expected)
        in_a_row = end - self._began
        if self._most <= 0 or end >= self._reader.length or self._reader.chunk_end(self._began) >= start:
            return
        ahead = min(in_a_row, self._most)
        # in steps of half of it: not for every small read, and soon enough that no reader waits
        if self._fetched - end < ahead // 2:
            self._reader.fetch_ahead(max(self._fetched, end), end + ahead)
            self._fetched = end + ahead


class RawFile(SeekableFile):
    """The raw file beneath an open one."""

    def __init__(self, reader: ObjectReader, ahead: ReadAhead) -> None:
        super().__init__()
        self._reader = reader
        self._ahead = ahead
        self._length = reader.length

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer``; a small one not beyond the end of a chunk, for the next one may never be asked for."""
        start = self._position
        if start >= self._length or not len(buffer):
            return 0
        end = min(start + len(buffer), self._length)
        if len(buffer) <= BUFFER:
            end = min(end, self._reader.chunk_end(start))
        self._ahead.note(start, end)
        data = self._reader.read(start, end)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def readall(self) -> bytes:
        """Return all from here to the end."""
        data = self._reader.read(self._position, self._length)
        self._position += len(data)
        return data


__all__ = ["BUFFER", "READ_AHEAD", "ObjectReader", "RawFile", "ReadAhead"]
