"""Writing the contents of one file of a restore."""

import contextlib
import errno
import os
from collections import Counter
from collections.abc import Callable

from pykopia.crew import Parts
from pykopia.errors import RestoreError
from pykopia.format.directory import DirectoryEntry
from pykopia.repository.objects import UNKNOWN_LENGTH, Chunk, ObjectStore, Part
from pykopia.snapshot.restore import FULL_ERRNOS
from pykopia.snapshot.restore_differences import Differences
from pykopia.snapshot.restore_options import RestoreOptions

LARGE_FILE = 8 << 20
"""Bytes from which on the chunks of a file are read and written by several threads."""
MOST_PARTS = 4
"""Parts of large files that are read and written at one time: a bound on memory, for each takes some 12 to 20 MiB."""
SPARSE_BLOCK = 4096
"""Bytes of zeros that become a hole where holes are asked for."""
FEWEST_ZEROS = 4
"""Chunks of a file that are the same content before it is looked whether they are zeros."""
LONG_SPARSE_BLOCK = 1 << 16
"""Bytes of zeros that become a hole where holes are left as the data has them."""


class FileWriter:
    """Writes contents into open files, the parts of a large one by several threads."""

    def __init__(
        self,
        objects: ObjectStore,
        differences: Differences,
        options: RestoreOptions,
        check: Callable[[], None],
        count: Callable[[int], None],
    ) -> None:
        """Prepare.

        Args:
            objects: to read from.
            differences: takes over what is in the target already.
            options: of the restore.
            check: called between chunks, to raise when the restore is to end.
            count: called with the bytes of each chunk of a file that ``counts`` names.
        """
        self._objects = objects
        self._differences = differences
        self._check = check
        self._count = count
        self._parts = Parts[Part](min(options.parallel, MOST_PARTS))
        self._hole = {True: SPARSE_BLOCK, None: LONG_SPARSE_BLOCK, False: 0}[options.write_sparse]

    def close(self) -> None:
        """Stop the threads."""
        self._parts.close()

    @staticmethod
    def counts(entry: DirectoryEntry) -> bool:
        """Return True for large files, whose bytes are counted as they are written."""
        return entry.size >= LARGE_FILE

    def write(
        self, handle: int, entry: DirectoryEntry, path: str, *, old: int | None = None, in_place: bool = False
    ) -> None:
        """Write contents; the length must be what the entry says.

        Args:
            handle: the file, open for writing.
            entry: of the file.
            path: that messages name it by.
            old: an open file; what it has at the same place is taken from there.
            in_place: whether that is the same file.

        Raises:
            RestoreError: the object has another length than the entry.
        """
        position = 0
        hole = 0 if in_place else self._hole
        chunks = self._objects.chunks(entry.object_id, limit=entry.size)
        if len(chunks) > 1 and not hole:
            _allocate(handle, entry.size)
        if old is None and entry.size >= LARGE_FILE and all(chunk.length != UNKNOWN_LENGTH for chunk in chunks):
            written = self._without_zeros(chunks) if hole else chunks
            self._parts.run(lambda part: self._write_part(handle, part, hole), self._objects.parts(written))
            position, chunks = chunks[-1].start + chunks[-1].length, []
        for chunk in chunks:
            self._check()
            data = None if old is None else self._differences.piece(old, chunk)
            is_there = data is not None and in_place
            if data is None:
                data = self._objects.read_chunk(chunk)
            if not is_there:
                _write(handle, data, position, hole)
            position += len(data)
            if self.counts(entry):
                self._count(len(data))
        if position != entry.size:
            raise RestoreError(
                f"can't restore {path}: its object has {position} bytes, its entry says {entry.size} (an unfinished file "
                "of a checkpoint, or damage)"
            )
        if hole:
            os.ftruncate(handle, position)

    def _without_zeros(self, chunks: list[Chunk]) -> list[Chunk]:
        """Return the chunks without the one that a large hole was stored as, again and again."""
        (content_id, number), *_ = Counter(chunk.content_id for chunk in chunks).most_common(1)
        if number < FEWEST_ZEROS:
            return chunks
        same = [chunk for chunk in chunks if chunk.content_id == content_id]
        lengths = {(chunk.length, chunk.compressed) for chunk in same}
        if len(lengths) > 1 or self._objects.read_chunk(same[0]) != bytes(same[0].length):
            return chunks
        self._count(sum(chunk.length for chunk in same))
        return [chunk for chunk in chunks if chunk.content_id != content_id]

    def _write_part(self, handle: int, part: Part, hole: int) -> None:
        for chunk, data in self._objects.read_part(part):
            self._check()
            _write(handle, data, chunk.start, hole)
            self._count(len(data))


def _allocate(handle: int, size: int) -> None:
    """Reserve room for a file where the file system can.

    Raises:
        OSError: there is not so much room.
    """
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno in FULL_ERRNOS:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, 0)
            raise


def _write(handle: int, data: bytes, position: int, hole: int) -> None:
    if hole:
        write_sparse(handle, data, position, hole)
    else:
        write_all(handle, data, position)


def write_all(handle: int, data: bytes | memoryview, position: int) -> None:
    """Write all bytes at a position of an open file."""
    written = os.pwrite(handle, data, position)
    while written < len(data):
        more = os.pwrite(handle, memoryview(data)[written:], position + written)
        if not more:
            raise OSError(errno.EIO, "nothing was written")
        written += more


def write_sparse(handle: int, data: bytes, position: int, block: int) -> None:
    """Write all but blocks of zeros, whose places in the file are multiples of ``block``; runs of other blocks in one go."""
    zeros = bytes(block)
    view = memoryview(data)
    start = 0
    offset = -position % block
    while offset + block <= len(data):
        # the ends first: a comparison copies the block
        if not data[offset] and not data[offset + block - 1] and data[offset : offset + block] == zeros:
            if start < offset:
                write_all(handle, view[start:offset], position + start)
            start = offset + block
        offset += block
    if start < len(data) and (len(data) - start >= block or any(view[start:])):
        write_all(handle, view[start:], position + start)


__all__ = ["LARGE_FILE", "FileWriter", "write_all", "write_sparse"]
