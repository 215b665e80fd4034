"""Writing objects: split, seal in parallel, list the chunks.

Facts: format 04 §2 (chunks, chunk lists, compression at two layers) and §3.1 (concatenation).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from pykopia.arguments import check_bytes
from pykopia.chunking.splitters import Splitter, is_known, splitter
from pykopia.dataclass import dataclass
from pykopia.errors import ClosedError, UsageError
from pykopia.format.compression import Compressor, usable_compressor
from pykopia.format.content_id import key_of
from pykopia.format.indirect import IndirectEntry, encode_index
from pykopia.format.object_id import INDEX_PREFIX
from pykopia.ids import Buffer, ObjectID
from pykopia.repository.content_writer import ContentWriter
from pykopia.repository.trays import Trays, Work

READ_SIZE = 512 << 10
"""Bytes asked for at once beyond the smallest chunk: the bytes after the last cut in a tray are copied."""

SMALLEST_CHUNK = 64 << 10
"""Bytes up to which an object is one chunk with any splitter."""


@dataclass(frozen=True, slots=True)
class WrittenObject:
    """Chunks that are stored, and no list of them yet."""

    pieces: list[ObjectID]
    lengths: list[int]
    """Bytes of each piece."""

    @property
    def length(self) -> int:
        """Bytes in all."""
        return sum(self.lengths)


class Readable(Protocol):
    """A binary file."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the buffer; 0 at the end."""


class Zeros(Protocol):
    """Knows where a source has zeros that need not be read, such as the holes of a sparse file."""

    def zeros_end(self, position: int) -> int:
        """Return where the zeros that begin at a position of the object end; the position itself if none begin there."""

    def skip(self, count: int) -> None:
        """Let the source go on so many bytes further."""


class ObjectWriter:
    """Adds objects to a repository; safe for threads."""

    def __init__(self, contents: ContentWriter, *, default_splitter: str, parallel: int, trays: int) -> None:
        """Write through ``contents``; chunks of large objects are sealed by ``parallel`` threads, from so many trays."""
        self._contents = contents
        self._default = splitter(default_splitter)
        self._trays = Trays(parallel, most=trays)
        self._closed = False

    def splitter(self, name: str = "") -> Splitter:
        """Return the splitter of a policy; an empty or unknown name means the repository's (format 04 §2.1)."""
        return splitter(name) if name and is_known(name) else self._default

    def is_stored(self, object_id: str) -> bool:
        """Return True if an object that is a single live content is there; of others nothing is said."""
        return object_id[:1] not in ("I", "Z") and self._contents.exists(key_of(object_id))

    # ------------------------------------------------------------------ whole objects

    def write(
        self,
        source: Buffer | Readable,
        *,
        prefix: str = "",
        compressor: str = "",
        metadata_compressor: str = "zstd-fastest",
        splitter: str = "",
    ) -> ObjectID:
        """Store an object; return its ID.

        It becomes visible with the writer's flush. Nothing keeps it for good yet: full maintenance, by this program or by
        Kopia, deletes objects that no snapshot refers to once they are a day old. ``repository.snapshots.put`` makes a
        snapshot of stored objects, which keeps them; a manifest that names them does not.

        Args:
            source: its bytes, or a binary file that is read to its end.
            prefix: nothing for file data, ``k`` for directories.
            compressor: Kopia's name of a compressor for its chunks, empty or ``none`` for none.
            metadata_compressor: the same for the list of chunks.
            splitter: Kopia's name of a splitter; the repository's when it is empty or unknown.

        Raises:
            UsageError: the source is neither bytes nor a binary file.
        """
        chosen = self.splitter(splitter)
        if isinstance(source, bytes | bytearray | memoryview):
            data = check_bytes("source", source)
            if len(data) <= chosen.minimum:
                return self.write_chunk(data, prefix=prefix, compressor=compressor)
            reader: Callable[[memoryview], int | None] = _reader_of(memoryview(data))
        else:
            if not hasattr(source, "readinto"):
                check_bytes("source", source)
            reader = source.readinto
        written = self.write_stream(reader, chosen, prefix=prefix, compressor=compressor)
        return self.finish(written, prefix=prefix, metadata_compressor=metadata_compressor)

    def write_chunk(self, data: Buffer, *, prefix: str = "", compressor: str = "") -> ObjectID:
        """Store bytes that are one chunk for sure; return the object ID of that chunk."""
        packer = self._object_layer(prefix, compressor)
        if packer is None:
            return ObjectID(self._contents.write(data, prefix=prefix, compressor=compressor))
        packed = packer.compress(data)
        if len(packed) < len(data):
            return ObjectID("Z" + self._contents.write(packed, prefix=prefix))
        return ObjectID(self._contents.write(data, prefix=prefix))

    def write_many(self, objects: Sequence[bytes], compressors: Sequence[str], *, prefix: str) -> list[ObjectID]:
        """Store objects, those that are one chunk with any splitter all at once; return the ID of each.

        Args:
            objects: no more than some hundred.
            compressors: Kopia's name of a compressor for each, its list of chunks included, empty or ``none`` for none.
            prefix: of all of them, see ``write``.
        """
        small = [number for number, data in enumerate(objects) if len(data) <= SMALLEST_CHUNK]
        stored = self.write_chunks(
            [objects[number] for number in small], [compressors[number] for number in small], prefix=prefix
        )
        known = dict(zip(small, stored, strict=True))
        return [
            known.get(number) or self.write(data, prefix=prefix, compressor=compressor, metadata_compressor=compressor)
            for number, (data, compressor) in enumerate(zip(objects, compressors, strict=True))
        ]

    def write_chunks(self, contents: list[Buffer], compressors: Sequence[str], *, prefix: str = "") -> list[ObjectID]:
        """Store bytes that are one chunk each for sure, all at once; return the object ID of each.

        Args:
            contents: no more than some MiB in all.
            compressors: Kopia's name of a compressor for each, empty or ``none`` for none.
            prefix: of all of them, see ``write``.
        """
        if self._contents.compresses or prefix:
            made = self._contents.write_many(contents, compressors, prefix=prefix)
            return [ObjectID(content_id) for content_id in made]
        return [self.write_chunk(data, compressor=name) for data, name in zip(contents, compressors, strict=True)]

    def _object_layer(self, prefix: str, name: str) -> Compressor | None:
        """Return the compressor where objects, not contents, are compressed (format 04 §2.3)."""
        return None if self._contents.compresses or prefix else usable_compressor(name)

    def write_stream(
        self,
        readinto: Callable[[memoryview], int | None],
        chosen: Splitter,
        *,
        prefix: str = "",
        compressor: str = "",
        limit: int | None = None,
        on_bytes: Callable[[int], None] | None = None,
        on_chunk: Callable[[int, "Future[ObjectID]"], None] | None = None,
        zeros: Zeros | None = None,
    ) -> "WrittenObject":
        """Store the chunks of what ``readinto`` gives, to its end or to ``limit`` bytes.

        Args:
            readinto: fills a buffer, returns the number of bytes, 0 at the end.
            chosen: where chunks end.
            prefix: content prefix of the chunks.
            compressor: of the chunks.
            limit: bytes after which the object ends.
            on_bytes: told of bytes read; may raise to stop.
            on_chunk: told of the length and the coming object ID of each chunk after its cut.
            zeros: of the source, None if it has none that are known. The object is the same as if they were read.
        """
        self._check_open()
        state = chosen.start()
        work = self._work(prefix, compressor)
        chunks: list[Future[ObjectID]] = []
        lengths: list[int] = []
        total = 0
        # in the tray: where the chunk begins, how far it was searched, how far it was read
        begun = scanned = filled = 0
        tray = self._trays.take(chosen.maximum)
        lent = True

        def hand_on() -> None:
            nonlocal lent
            lent = False
            self._trays.hand_on(tray, work)

        def end_chunk(end: int) -> None:
            nonlocal begun, scanned
            chunks.append(tray.add(begun, end))
            lengths.append(end - begun)
            begun = scanned = end
            if on_chunk is not None:
                on_chunk(lengths[-1], chunks[-1])

        def repeat_zeros() -> None:
            """Take the chunks that equal the last one without reading them, where all of it and of them is zeros.

            A splitter begins each chunk anew, so equal bytes behind a cut are cut alike.
            """
            nonlocal total, filled
            assert zeros is not None
            length, position = lengths[-1], total - (filled - begun)
            end = zeros.zeros_end(position - length)
            count = ((end if limit is None else min(end, limit)) - position) // length
            unread = count * length - (filled - begun)
            # what was read may have been something else than it is now
            if unread <= 0 or tray.buffer[begun - length : begun] != bytes(length):
                return
            zeros.skip(unread)
            total, filled = total + unread, begun
            for _ in range(count):
                chunks.append(chunks[-1])
                lengths.append(length)
                if on_chunk is not None:
                    on_chunk(length, chunks[-1])
            if on_bytes is not None:
                on_bytes(unread)

        try:
            while True:
                read = filled - begun
                room = min(chosen.minimum - read if read < chosen.minimum else READ_SIZE, chosen.maximum - read)
                if limit is not None:
                    room = min(room, limit - total)
                count = 0
                if room:
                    with memoryview(tray.buffer) as view, view[filled : filled + room] as part:
                        count = readinto(part) or 0
                if not count:
                    break
                filled += count
                total += count
                if on_bytes is not None:
                    on_bytes(count)
                while (cut := state.next_cut(memoryview(tray.buffer), scanned, filled)) >= 0:
                    end_chunk(cut)
                    if zeros is not None:
                        repeat_zeros()
                    if begun + chosen.maximum > len(tray.buffer):
                        rest = tray.buffer[begun:filled]
                        hand_on()
                        tray, lent = self._trays.take(chosen.maximum), True
                        tray.buffer[: len(rest)] = rest
                        begun, scanned, filled = 0, 0, len(rest)
                scanned = filled
            if not chunks:
                with memoryview(tray.buffer) as view, view[:filled] as part:
                    return WrittenObject([self.write_chunk(part, prefix=prefix, compressor=compressor)], [filled])
            if filled > begun:
                end_chunk(filled)
            if tray.chunks:
                hand_on()
            return WrittenObject([future.result() for future in chunks], lengths)
        except BaseException:
            for future in chunks:
                future.cancel()
            raise
        finally:
            if lent:
                self._trays.give(tray)

    def _work(self, prefix: str, compressor: str) -> Work:
        """Return what is to be done to the chunks of an object."""
        contents = self._contents
        if self._object_layer(prefix, compressor) is not None:
            return Work(
                lambda chunks: [b""] * len(chunks),  # a chunk is packed before it is hashed
                lambda _: False,
                lambda chunk, _: self.write_chunk(chunk, prefix=prefix, compressor=compressor),
            )
        return Work(
            lambda chunks: contents.keys_of([*chunks], prefix),
            contents.exists,
            lambda chunk, key: ObjectID(contents.write_hashed([chunk], [key], [compressor])[0]),
        )

    def finish(
        self, *written: "WrittenObject", prefix: str = "", metadata_compressor: str = "zstd-fastest"
    ) -> ObjectID:
        """Return the ID of an object that is the given pieces, one after the other (format 04 §3.1).

        An empty piece among others stays in the list of chunks, as Kopia writes it (format 04 §11.4).
        """
        pieces = [piece for each in written for piece in each.pieces]
        lengths = [length for each in written for length in each.lengths]
        if not pieces:
            raise UsageError("can't make an object of nothing: at least one piece is needed")
        if len(pieces) == 1:
            return pieces[0]
        return self._write_index(pieces, lengths, prefix, metadata_compressor)

    def _write_index(
        self, pieces: Sequence[ObjectID], lengths: Sequence[int], prefix: str, metadata_compressor: str
    ) -> ObjectID:
        """Store a list of chunks, itself an object; the repository's splitter always cuts it."""
        entries = []
        position = 0
        for piece, length in zip(pieces, lengths, strict=True):
            entries.append(IndirectEntry(start=position, length=length, object_id=piece))
            position += length
        inner = self.write(
            encode_index(entries),
            prefix=prefix or INDEX_PREFIX,
            compressor=metadata_compressor,
            metadata_compressor=metadata_compressor,
        )
        return ObjectID("I" + inner)

    def close(self) -> None:
        """Stop the threads; writing raises ``ClosedError`` from now on."""
        self._closed = True
        self._trays.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the writer")


def _reader_of(data: memoryview) -> Callable[[memoryview], int]:
    """Return a ``readinto`` over bytes in memory."""
    position = 0

    def readinto(buffer: memoryview) -> int:
        nonlocal position
        part = data[position : position + len(buffer)]
        buffer[: len(part)] = part
        position += len(part)
        return len(part)

    return readinto


__all__ = ["ObjectWriter", "Readable", "WrittenObject", "Zeros"]
