"""The files of an upload: collected to batches by the walk, read and stored by several threads."""

import os
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pykopia.errors import CanceledError, PykopiaError
from pykopia.format.directory import FILE, DirectoryEntry
from pykopia.snapshot.folder_finishing import FolderFinisher
from pykopia.snapshot.reading import FileReader
from pykopia.snapshot.source_folder import Folder, Item
from pykopia.snapshot.upload_options import CANCELED, LIMIT_REACHED
from pykopia.snapshot.upload_state import UploadState

BATCH_FILES = 128
BATCH_BYTES = 4 << 20

Stored = tuple[os.stat_result, DirectoryEntry, int]
"""A file or link that was stored: its status, its entry, the parts it was read in."""

if TYPE_CHECKING:
    from pykopia.snapshot.extended_attributes import AttributeReader


class FileBatches:
    """Hands files and links to the threads of an upload, a batch at a time."""

    def __init__(
        self,
        reader: FileReader,
        folders: FolderFinisher,
        state: UploadState,
        *,
        attributes: "AttributeReader | None" = None,
        upload_limit_bytes: int = 0,
    ) -> None:
        """Prepare.

        Args:
            reader: reads and stores.
            folders: told what is done in each folder.
            state: of the upload.
            attributes: reads extended attributes and hard links; None where they are not recorded.
            upload_limit_bytes: read no further file once so many bytes were read; 0 for no limit.
        """
        self._reader = reader
        self._folders = folders
        self._state = state
        self._attributes = attributes
        self._limit = upload_limit_bytes
        self._batch: list[Item] = []
        self._size = 0

    def add(self, folder: Folder, name: str, status: os.stat_result) -> None:
        """Let a file or link be read; called by the walk alone."""
        self._folders.expect(folder)
        self._batch.append((folder, name, status))
        self._size += status.st_size
        if len(self._batch) >= BATCH_FILES or self._size >= BATCH_BYTES:
            self.send()

    def send(self) -> None:
        """Hand on what was collected."""
        if self._batch:
            batch, self._batch, self._size = self._batch, [], 0
            self._state.crew.submit(self._read, batch)

    def _read(self, batch: Sequence[Item]) -> None:
        """Read and store files and links, hand their entries to their folders."""
        state = self._state
        done: list[Stored] = []
        contents = self._reader.small_contents(batch)
        small = [(item, data) for item, data in zip(batch, contents, strict=True) if isinstance(data, bytes)]
        small_size = sum(len(data) for _, data in small)
        if small and not state.stopping:
            items = [item for item, _ in small]
            entries = self._reader.stored(items, [data for _, data in small])
            if self._attributes is not None:
                entries = [self._attributes.added_to(*each) for each in zip(entries, items, strict=True)]
            for (folder, _, status), entry in zip(items, entries, strict=True):
                folder.entries.append(entry)
                done.append((status, entry, 1))
        for item, data in zip(batch, contents, strict=True):
            if not isinstance(data, bytes):
                self._store(item, done)
        files = [(status, entry, parts) for status, entry, parts in done if entry.type == FILE]
        size = sum(entry.size for _, entry, _ in files)
        with state.lock:
            state.statistics.total_size += size
            state.statistics.file_count += sum(parts for _, _, parts in files)
            state.statistics.non_cached_files += len(files)
        changed = sum(entry.size != status.st_size for status, entry, _ in files)
        state.progress.add(hashed_files=len(files), hashed_bytes=small_size, changed_files=changed)
        if self._limit and state.progress.counters.hashed_bytes > self._limit:
            state.stop(LIMIT_REACHED)
        finished: dict[Folder, int] = {}
        for folder, _, _ in batch:
            finished[folder] = finished.get(folder, 0) + 1
        self._folders.finished(finished)

    def _store(self, item: Item, done: list[Stored]) -> None:
        """Read and store one file or link, or record that it can't be read."""
        folder, name, status = item
        if self._state.stopping:
            return
        try:
            if stat.S_ISLNK(status.st_mode):
                entry, parts = self._reader.link(folder, name, status), 0
            else:
                entry, parts = self._reader.file(folder, name, status)
        except CanceledError:
            self._state.stop(CANCELED)
        except OSError as error:
            if isinstance(error, PykopiaError):
                raise  # the repository, not the source: nothing can go on
            ignored = folder.policies.effective.error_handling.ignore_file_errors
            self._state.entry_failed(folder, name, error, ignored=bool(ignored))
        else:
            if self._attributes is not None:
                entry = self._attributes.added_to(entry, item)
            folder.entries.append(entry)
            done.append((status, entry, parts))


__all__ = ["FileBatches"]
