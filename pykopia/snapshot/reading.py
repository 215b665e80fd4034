"""Reading the files of a source into objects.

Facts: format 04 §11.3 (which policy), §11.4 (large files in parts), format 05 §7 (which compressor).
"""

import logging
import os
import stat
from collections.abc import Sequence

from pykopia.crew import Parts
from pykopia.errors import CanceledError
from pykopia.format.compression_policy import compressor_for
from pykopia.format.directory import FILE, SYMLINK, DirectoryEntry
from pykopia.format.gojson import stored_form
from pykopia.format.policy import Policy
from pykopia.repository.object_writer import SMALLEST_CHUNK, ObjectWriter, WrittenObject
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.small_files import READ_FLAGS, read_files
from pykopia.snapshot.source_folder import Folder, Item, PartialFile, entry_from
from pykopia.snapshot.sparse_file import sparse_file
from pykopia.snapshot.upload_options import UploadCounters

log = logging.getLogger(__name__)

LARGEST_TOGETHER = 1 << 20
"""Bytes up to which files are read together, where the splitter leaves them whole."""

NO_LIMIT = -1


class FileReader:
    """Turns files and links into objects and entries; used by several threads."""

    def __init__(self, writer: ObjectWriter, progress: Progress[UploadCounters], *, parallel: int) -> None:
        """Write through ``writer``; the parts of one large file are read by ``parallel`` threads."""
        self._writer = writer
        self._progress = progress
        self._parts = Parts[int](parallel)

    def link(self, folder: Folder, name: str, status: os.stat_result) -> DirectoryEntry:
        """Store the target of a symbolic link."""
        target = os.fsencode(os.readlink(f"{folder.path}/{name}"))
        packer = folder.policies.child(name).effective.metadata_compression.compressor_name
        object_id = self._writer.write(target, metadata_compressor=packer)
        return entry_from(name, SYMLINK, status, object_id, len(target))

    def small_contents(self, batch: Sequence[Item]) -> list[bytes | int]:
        """Read the small files of a batch at once; for anything else, and what fails, a number takes the place of the bytes."""
        contents: list[bytes | int] = [0] * len(batch)
        small = [index for index, item in enumerate(batch) if self._is_read_together(*item)]
        paths = [os.fsencode(f"{batch[index][0].path}/{batch[index][1]}") for index in small]
        sizes = [batch[index][2].st_size for index in small]
        for index, data in zip(small, read_files(paths, sizes), strict=True):
            contents[index] = data
        return contents

    def _is_read_together(self, folder: Folder, name: str, status: os.stat_result) -> bool:
        """Return True if a file is small enough to be read with others: a single chunk, whatever is in it."""
        size = status.st_size
        if size > LARGEST_TOGETHER or not stat.S_ISREG(status.st_mode) or self.in_parts(folder, name, status):
            return False
        return (
            size <= SMALLEST_CHUNK
            or size <= self._writer.splitter(folder.policies.child(name).effective.splitter.algorithm).minimum
        )

    def in_parts(self, folder: Folder, name: str, status: os.stat_result) -> int:
        """Return how many bytes each part of a file has, 0 for one that is read in one (format 04 §11.4)."""
        limit = folder.policies.child(name).effective.upload.parallel_upload_above_size
        return limit if limit is not None and 0 < limit < status.st_size else 0

    def stored(self, items: Sequence[Item], contents: Sequence[bytes]) -> list[DirectoryEntry]:
        """Store the contents of files that are a single chunk each."""
        packers = [
            compressor_for(folder.policies.child(name).effective.compression, name, len(data))
            for (folder, name, _), data in zip(items, contents, strict=True)
        ]
        object_ids = self._writer.write_chunks([*contents], packers)
        return [
            entry_from(name, FILE, status, object_id, len(data))
            for (_, name, status), object_id, data in zip(items, object_ids, contents, strict=True)
        ]

    def file(self, folder: Folder, name: str, status: os.stat_result) -> tuple[DirectoryEntry, int]:
        """Store a file, counting its bytes as they are read; return its entry and the number of parts it was read in.

        Raises:
            OSError: it can't be opened or read.
        """
        self._progress.add(hashing_files=1)
        try:
            return self._file(folder, name, status)
        finally:
            self._progress.add(hashing_files=-1)

    def _file(self, folder: Folder, name: str, status: os.stat_result) -> tuple[DirectoryEntry, int]:
        policy = folder.policies.child(name).effective
        size = status.st_size
        packer = compressor_for(policy.compression, name, size)
        if limit := self.in_parts(folder, name, status):
            return self._in_parts(folder, name, status, policy, packer, limit)
        descriptor = os.open(f"{folder.path}/{name}", READ_FLAGS)
        try:
            chosen = self._writer.splitter(policy.splitter.algorithm)
            if size <= chosen.minimum:
                data = os.read(descriptor, size + 1)
                if len(data) <= size:
                    if len(data) != size:
                        self._changed(folder, name)
                    self._count(len(data))
                    object_id = self._writer.write_chunk(data, compressor=packer)
                    return entry_from(name, FILE, status, object_id, len(data)), 1
                # it has grown: read it from its start, to wherever it ends now
                os.lseek(descriptor, 0, os.SEEK_SET)
            partial = folder.streams[name] = PartialFile(status)
            sparse = sparse_file(descriptor)
            written = self._writer.write_stream(
                sparse.readinto if sparse else lambda buffer: os.readv(descriptor, [buffer]),
                chosen,
                compressor=packer,
                on_bytes=self._count,
                on_chunk=partial.add,
                zeros=sparse,
            )
            object_id = self._writer.finish(written, metadata_compressor=policy.metadata_compression.compressor_name)
            if written.length != size:
                self._changed(folder, name)
            return entry_from(name, FILE, status, object_id, written.length), 1
        finally:
            folder.streams.pop(name, None)
            os.close(descriptor)

    def _in_parts(
        self, folder: Folder, name: str, status: os.stat_result, policy: Policy, packer: str, limit: int
    ) -> tuple[DirectoryEntry, int]:
        """Read a large file in parts of ``limit`` bytes, each split on its own; the last one is open-ended."""
        count = status.st_size // limit + 1
        written: dict[int, WrittenObject] = {}
        descriptor = os.open(f"{folder.path}/{name}", READ_FLAGS)

        def read(index: int) -> None:
            written[index] = self._part(
                folder,
                PartialFile(status),
                descriptor,
                index * limit,
                limit if index < count - 1 else NO_LIMIT,
                policy.splitter.algorithm,
                packer,
            )

        try:
            self._parts.run(read, range(count))
        finally:
            os.close(descriptor)
        parts = [written[index] for index in range(count)]
        object_id = self._writer.finish(*parts, metadata_compressor=policy.metadata_compression.compressor_name)
        length = sum(part.length for part in parts)
        if length != status.st_size:
            self._changed(folder, name)
        return entry_from(name, FILE, status, object_id, length), count

    def _part(
        self,
        folder: Folder,
        partial: PartialFile,
        descriptor: int,
        start: int,
        limit: int,
        splitter: str,
        packer: str,
    ) -> WrittenObject:
        position = start
        sparse = sparse_file(descriptor, start)
        folder.streams[f"{start} {descriptor}"] = partial

        def readinto(buffer: memoryview) -> int:
            nonlocal position
            count = os.preadv(descriptor, [buffer], position)
            position += count
            return count

        try:
            return self._writer.write_stream(
                sparse.readinto if sparse else readinto,
                self._writer.splitter(splitter),
                compressor=packer,
                limit=None if limit == NO_LIMIT else limit,
                on_bytes=self._count,
                on_chunk=partial.add,
                zeros=sparse,
            )
        finally:
            folder.streams.pop(f"{start} {descriptor}", None)

    def _count(self, count: int) -> None:
        self._progress.add(hashed_bytes=count)
        if self._progress.canceled:
            raise CanceledError("canceled while a file was being read: the file is not in the snapshot")

    def _changed(self, folder: Folder, name: str) -> None:
        shown = stored_form(f"{folder.path}/{name}")
        log.warning("%s changed while it was read: the snapshot has what was read", shown)

    def close(self) -> None:
        """Stop the threads."""
        self._parts.close()


__all__ = ["FileReader"]
