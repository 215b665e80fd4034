"""Objects of any length, read at any place: chunk lists are followed, contents fetched when they are needed.

Facts: spec 04 §1, §3, §4.
"""

import contextlib
import io
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import BinaryIO, NamedTuple

from pykopia.errors import DamagedObjectError
from pykopia.format.compression import decompress
from pykopia.format.directory import DIRECTORY, Directory
from pykopia.format.indirect import decode_index
from pykopia.format.object_id import ParsedObjectID, parse_object_id
from pykopia.ids import ContentID
from pykopia.repository.contents import ContentStore
from pykopia.repository.runs import Run

MAX_INDIRECTION = 8
"""Levels of chunk lists that are followed; Kopia writes two at the most for any file that fits a disk."""

UNKNOWN_LENGTH = -1

INDIRECT = ("I", "Z", "")
"""First letters of the IDs of objects that are more than a content with the same ID."""

READ_TOGETHER = 2 << 20
"""Bytes of directories that are read at once."""
MOST_TOGETHER = 64
"""Directories that a walk reads at once."""
MOST_AHEAD = 256
"""Directories that were read ahead and are kept: some are never asked for, such as those that were looked at before."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an object that lies in one content."""

    start: int
    """Bytes from the start of the object."""
    length: int
    """Bytes of the object; -1 where only reading tells (an object compressed as a whole)."""
    content_id: ContentID
    compressed: bool
    """Whether the content holds a compression header and a compressed body (``Z``, format version 1)."""


class Part(NamedTuple):
    """Some chunks of an object, and where their contents are."""

    chunks: tuple[Chunk, ...]
    run: Run


class ObjectStore:
    """Reads objects of a repository."""

    def __init__(self, contents: ContentStore) -> None:
        self._contents = contents

    def open(self, object_id: str) -> BinaryIO:
        """Return an object as a seekable binary file.

        Raises:
            InvalidIDError: not an object ID.
            ContentNotFoundError: the object, or the list of its chunks, is not in the repository.
            DamagedObjectError: the list of its chunks can't be read.
        """
        return io.BufferedReader(ObjectFile(self, self.chunks(object_id)), 1 << 16)

    def read(self, object_id: str) -> bytes:
        """Return all bytes of an object."""
        return b"".join(self.read_chunk(chunk) for chunk in self.chunks(object_id))

    def length(self, object_id: str) -> int:
        """Return the number of bytes of an object."""
        chunks = self.chunks(object_id)
        last = chunks[-1]
        return last.start + (len(self.read_chunk(last)) if last.length == UNKNOWN_LENGTH else last.length)

    def directory(self, object_id: str) -> Directory:
        """Return a directory object decoded.

        Raises:
            DamagedObjectError: the bytes are not those of a directory.
        """
        try:
            return Directory.from_bytes(self.read(object_id))
        except DamagedObjectError as error:
            raise DamagedObjectError(f"directory {object_id} can't be read: {error}") from error

    def directories(self, object_ids: Iterable[str]) -> dict[str, Directory]:
        """Return directories by ID, read together.

        Left out is what ``directory`` has to read, or to say what is wrong with, and what comes after ``READ_TOGETHER`` bytes.
        """
        single = (object_id for object_id in object_ids if object_id[:1] not in INDIRECT)
        found = {}
        for object_id, data in self._contents.get_many(single, limit=READ_TOGETHER).items():
            with contextlib.suppress(DamagedObjectError):
                found[object_id] = Directory.from_bytes(data)
        return found

    def chunks(self, object_id: str) -> list[Chunk]:
        """Return where the pieces of an object are, in order; at least one."""
        parsed = parse_object_id(object_id)
        if not parsed.indirection:
            return [self._direct(parsed, 0)]
        return list(self._pieces(parsed, 0, MAX_INDIRECTION))

    def contents_of(self, object_id: str) -> Iterator[ContentID]:
        """Yield every content that an object needs, those of its chunk lists included."""
        yield from self.index_contents_of(object_id)
        for chunk in self.chunks(object_id):
            yield chunk.content_id

    def index_contents_of(self, object_id: str) -> Iterator[ContentID]:
        """Yield the contents of the lists of chunks of an object; none for one that is a single content."""
        index = parse_object_id(object_id).index_object
        while index is not None:
            for chunk in self.chunks(index.to_string()):
                yield chunk.content_id
            index = index.index_object

    def read_chunk(self, chunk: Chunk) -> bytes:
        """Return the bytes of one chunk."""
        return self._checked(chunk, self._contents.get(chunk.content_id))

    def parts(self, chunks: Sequence[Chunk]) -> Iterator[Part]:
        """Yield chunks that are best read together, in order; on a local disk each is a part of its own."""
        rest = iter(chunks)
        for run in self._contents.runs_in_order(chunk.content_id for chunk in chunks):
            yield Part(tuple(islice(rest, len(run.entries))), run)

    def read_part(self, part: Part) -> Iterator[tuple[Chunk, bytes]]:
        """Yield the chunks of a part with their bytes."""
        for chunk, data in zip(part.chunks, self._contents.read_in_order(part.run), strict=True):
            yield chunk, self._checked(chunk, data)

    def _checked(self, chunk: Chunk, data: bytes) -> bytes:
        if chunk.compressed:
            data = decompress(data, expected_length=None if chunk.length == UNKNOWN_LENGTH else chunk.length)
        if chunk.length not in (UNKNOWN_LENGTH, len(data)):
            raise DamagedObjectError(
                f"content {chunk.content_id} has {len(data)} bytes where the list of chunks says {chunk.length}"
            )
        return data

    def _direct(self, parsed: ParsedObjectID, start: int) -> Chunk:
        entry = self._contents.entry(parsed.content_id)
        length = UNKNOWN_LENGTH if parsed.compressed else entry.original_length
        return Chunk(start, length, parsed.content_id, parsed.compressed)

    def _pieces(self, parsed: ParsedObjectID, start: int, depth: int) -> Iterator[Chunk]:
        """Yield the chunks of an indirect object, moved by ``start``."""
        if depth == 0:
            raise DamagedObjectError(
                f"object {parsed.to_string()} has more than {MAX_INDIRECTION} levels of chunk lists: it is damaged"
            )
        position = 0
        index = parsed.index_object
        assert index is not None
        entries = decode_index(self.read(index.to_string()))
        if not entries:
            raise DamagedObjectError(f"object {parsed.to_string()} has an empty list of chunks: it is damaged")
        for entry in entries:
            if entry.start != position or entry.length < 0:
                raise DamagedObjectError(
                    f"object {parsed.to_string()} has a list of chunks with a gap at {position}: it is damaged"
                )
            position += entry.length
            piece = parse_object_id(entry.object_id)
            if piece.indirection:
                yield from self._pieces(piece, start + entry.start, depth - 1)
            else:
                yield Chunk(start + entry.start, entry.length, piece.content_id, piece.compressed)


class DirectoryReader:
    """Reads the directories of a walk, those that come next along with the one that is asked for; for one thread."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._ahead: dict[str, Directory] = {}
        """Read, and not asked for yet."""
        self._hits = 0
        """How many were asked for of those that were read ahead the last time."""

    def read(self, object_id: str, following: Iterable[str]) -> Directory:
        """Return a directory, see ``ObjectStore.directory``.

        Args:
            object_id: its ID.
            following: IDs of those that the walk most likely asks for next, without those in them.
        """
        found = self._ahead.pop(object_id, None)
        if found is not None:
            self._hits += 1
            return found
        # a walk that leaves most directories out gets few of them
        most = min(MOST_TOGETHER, 2 * self._hits + 4)
        next_ones = islice(self._unread(islice(following, MOST_TOGETHER), set()), most)
        self._ahead |= self._objects.directories({object_id: None, **dict.fromkeys(next_ones)})
        self._hits = 0
        found = self._ahead.pop(object_id, None)
        while len(self._ahead) > MOST_AHEAD:
            del self._ahead[next(iter(self._ahead))]
        return self._objects.directory(object_id) if found is None else found

    def _unread(self, object_ids: Iterable[str], looked_into: set[str]) -> Iterator[str]:
        """Yield those of the directories that were not read ahead, and those in the ones that were."""
        for object_id in object_ids:
            known = self._ahead.get(object_id)
            if known is None:
                yield object_id
            elif object_id not in looked_into:
                looked_into.add(object_id)
                inner = takewhile(lambda entry: entry.type == DIRECTORY, known.entries)  # they come first
                yield from self._unread((entry.object_id for entry in inner), looked_into)


class ObjectFile(io.RawIOBase):
    """The raw file beneath ``ObjectStore.open``: keeps the last chunk that was read."""

    def __init__(self, store: ObjectStore, chunks: list[Chunk]) -> None:
        super().__init__()
        self._store = store
        # zero-length chunks never match a position
        self._chunks = [chunk for chunk in chunks if chunk.length]
        self._position = 0
        self._current = -1
        self._data = b""
        if len(self._chunks) == 1 and self._chunks[0].length == UNKNOWN_LENGTH:
            data = store.read_chunk(self._chunks[0])
            self._chunks = [Chunk(0, len(data), chunks[0].content_id, chunks[0].compressed)]
            self._current, self._data = 0, data
        self._starts = [chunk.start for chunk in self._chunks]
        self._length = self._chunks[-1].start + self._chunks[-1].length if self._chunks else 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; one beyond the end reads nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        if base + offset < 0:
            raise ValueError(f"can't seek to {base + offset}: before the start of the object")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` as far as one chunk goes; return the number of bytes."""
        if self._position >= self._length or not len(buffer):
            return 0
        index = bisect_right(self._starts, self._position) - 1
        if index != self._current:
            self._data = self._store.read_chunk(self._chunks[index])
            self._current = index
        offset = self._position - self._chunks[index].start
        count = min(len(buffer), len(self._data) - offset)
        buffer[:count] = memoryview(self._data)[offset : offset + count]
        self._position += count
        return count


__all__ = ["INDIRECT", "Chunk", "DirectoryReader", "ObjectFile", "ObjectStore", "Part"]
