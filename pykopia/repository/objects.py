"""Objects of any length, read at any place: chunk lists are followed, contents fetched when they are needed.

Facts: format 04 §1, §3, §4.
"""

import contextlib
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice, takewhile
from typing import BinaryIO, NamedTuple

from pykopia.arguments import check_number, pairs
from pykopia.errors import DamagedObjectError, UsageError
from pykopia.format.compression import decompress
from pykopia.format.directory import DIRECTORY, Directory
from pykopia.format.indirect import decode_index
from pykopia.format.object_id import ParsedObjectID, parse_object_id
from pykopia.ids import ContentID
from pykopia.repository.contents import ContentStore
from pykopia.repository.object_file import CHUNK_CACHE_BYTES, UNKNOWN_LENGTH, Chunk, ObjectFile
from pykopia.repository.runs import Run

MAX_INDIRECTION = 8
"""Levels of chunk lists that are followed; Kopia writes two at the most for any file that fits a disk."""
MAX_NESTED_PIECES = 1 << 20
"""Pieces of one object that may come from lists within lists, which no client writes: a few of them could stand for more
pieces than could ever be followed."""
MAX_REPEATED_CHUNKS = 16
"""Chunks of a list of chunks from which on they must mostly differ: the offsets in them do."""

INDIRECT = ("I", "Z", "")
"""First letters of the IDs of objects that are more than a content with the same ID."""

READ_TOGETHER = 2 << 20
"""Bytes of directories that are read at once."""
MOST_TOGETHER = 64
"""Directories that a walk reads at once."""
MOST_AHEAD = 256
"""Directories that were read ahead and are kept: some are never asked for, such as those that were looked at before."""


class Part(NamedTuple):
    """Some chunks of an object, and where their contents are."""

    chunks: tuple[Chunk, ...]
    run: Run


class ObjectStore:
    """Reads objects of a repository."""

    def __init__(self, contents: ContentStore) -> None:
        self._contents = contents

    def exists(self, object_id: str) -> bool:
        """Return whether the index has the content that an object ID names; where its bytes are is not checked."""
        return self._contents.exists(parse_object_id(object_id).content_id)

    def open(self, object_id: str, *, chunk_cache_bytes: int = CHUNK_CACHE_BYTES) -> BinaryIO:
        """Return an object as a seekable binary file.

        Args:
            object_id: its ID.
            chunk_cache_bytes: bytes of chunks that the file keeps in memory, so that reading here and there fetches
                each chunk once. The chunk that was read last is kept in any case.

        Raises:
            InvalidIDError: not an object ID.
            UsageError: ``chunk_cache_bytes`` is no number, or negative.
            ContentNotFoundError: the object, or the list of its chunks, is not in the repository.
            DamagedObjectError: the list of its chunks can't be read.
        """
        check_number("chunk_cache_bytes", chunk_cache_bytes, least=0)
        return io.BufferedReader(ObjectFile(self.read_chunk, self.chunks(object_id), chunk_cache_bytes), 1 << 16)

    def read(self, object_id: str) -> bytes:
        """Return all bytes of an object."""
        return b"".join(self.read_chunk(chunk) for chunk in self.chunks(object_id))

    def read_ranges(self, object_id: str, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """Return several byte ranges of an object; each chunk that they need is fetched once.

        Args:
            object_id: its ID.
            ranges: first byte and the byte behind the last of each, in any order, overlaps included. What lies beyond
                the end of the object is left out.

        Raises:
            UsageError: a range begins before the object, ends before it begins, or is no pair of whole numbers.
        """
        ranges = pairs("ranges", ranges)
        for start, end in ranges:
            if not 0 <= start <= end:
                raise UsageError(f"can't read bytes {start} to {end} of object {object_id}: that is no range")
        pieces: list[list[bytes]] = [[] for _ in ranges]
        chunks = self.chunks(object_id)
        if chunks[-1].length == UNKNOWN_LENGTH:
            data = self.read(object_id)
            return [data[start:end] for start, end in ranges]
        needed = [
            chunk
            for chunk in chunks
            if any(start < chunk.start + chunk.length and chunk.start < end for start, end in ranges)
        ]
        for part in self.parts(needed):
            for chunk, data in self.read_part(part):
                for found, (start, end) in zip(pieces, ranges, strict=True):
                    if start < chunk.start + chunk.length and chunk.start < end:
                        found.append(data[max(start - chunk.start, 0) : end - chunk.start])
        return [b"".join(found) for found in pieces]

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

    def chunks(self, object_id: str, *, limit: int | None = None) -> list[Chunk]:
        """Return where the pieces of an object are, in order; at least one.

        Args:
            object_id: its ID.
            limit: bytes that the object may have, such as the size in its directory entry. Following the lists of
                chunks stops there, so that a few small lists can't stand for an object without end.

        Raises:
            DamagedObjectError: a list of chunks can't be read or contradicts itself, or the object exceeds ``limit``.
        """
        parsed = parse_object_id(object_id)
        if not parsed.indirection:
            chunk = self._direct(parsed, 0)
            if limit is not None and chunk.length > limit:
                raise self._longer(object_id, limit)
            return [chunk]
        chunks = []
        for chunk in self._pieces(parsed, 0, (), count(1)):
            if limit is not None and chunk.start + chunk.length > limit:
                raise self._longer(object_id, limit)
            chunks.append(chunk)
        return chunks

    @staticmethod
    def _longer(object_id: str, limit: int) -> DamagedObjectError:
        return DamagedObjectError(
            f"object {object_id} has more than the {limit} bytes that its entry says: one of both is damaged"
        )

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

    def _pieces(
        self, parsed: ParsedObjectID, start: int, above: tuple[ParsedObjectID, ...], nested: Iterator[int]
    ) -> Iterator[Chunk]:
        """Yield the chunks of an indirect object, moved by ``start``.

        Args:
            parsed: the object.
            start: where the object begins in the outermost one, in bytes.
            above: the objects whose lists of chunks this one is in, outermost first.
            nested: counts the pieces of lists within lists.
        """
        if parsed in above:
            raise DamagedObjectError(f"object {parsed.to_string()} is in its own list of chunks: it is damaged")
        if len(above) + parsed.indirection > MAX_INDIRECTION:
            raise DamagedObjectError(
                f"object {(*above, parsed)[0].to_string()} has more than {MAX_INDIRECTION} levels of chunk lists: it is damaged"
            )
        index = parsed.index_object
        assert index is not None
        for entry in decode_index(self._read_list(index)):  # which refuses empty lists, gaps and overlaps
            piece = parse_object_id(entry.object_id)
            if piece.indirection:
                yield from self._nested(piece, start + entry.start, entry.length, (*above, parsed), nested)
            else:
                yield Chunk(start + entry.start, entry.length, piece.content_id, piece.compressed)

    def _nested(
        self,
        piece: ParsedObjectID,
        start: int,
        length: int,
        above: tuple[ParsedObjectID, ...],
        nested: Iterator[int],
    ) -> Iterator[Chunk]:
        """Yield the chunks of a piece that is an indirect object, checked against the list that it is in."""
        end = start + length
        for chunk in self._pieces(piece, start, above, nested) if length else ():
            start = chunk.start + chunk.length
            if start > end:
                break
            if len(above) == 1 and next(nested) > MAX_NESTED_PIECES:
                raise DamagedObjectError(
                    f"object {above[0].to_string()} has lists of chunks within its list, of more than "
                    f"{MAX_NESTED_PIECES} pieces: no client writes that, it is damaged"
                )
            yield chunk
        if not length or start != end:
            raise DamagedObjectError(
                f"object {piece.to_string()} does not have the {length} bytes that the list of chunks of "
                f"{above[-1].to_string()} says: it is damaged"
            )

    def _read_list(self, index: ParsedObjectID) -> bytes:
        """Return the bytes of a list of chunks.

        Raises:
            DamagedObjectError: the list is itself a few chunks again and again: it would have no end.
        """
        chunks = self.chunks(index.to_string())
        if len(chunks) > MAX_REPEATED_CHUNKS and 2 * len({chunk.content_id for chunk in chunks}) < len(chunks):
            raise DamagedObjectError(f"the list of chunks {index.to_string()} repeats its own chunks: it is damaged")
        return b"".join(map(self.read_chunk, chunks))


class DirectoryReader:
    """Reads the directories of a walk, those that come next along with the one that is asked for; for one thread."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._ahead: dict[str, Directory] = {}
        """Read, and not asked for yet."""
        self._hits = 0
        """Number of directories of the last read-ahead that were requested later."""

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


__all__ = ["INDIRECT", "UNKNOWN_LENGTH", "Chunk", "DirectoryReader", "ObjectStore", "Part"]
