"""Folders of an upload are finished from the bottom up, by whichever thread finishes the last thing in one."""

import os
import threading
from collections.abc import Mapping, Sequence

from pykopia.errors import SourceReadError
from pykopia.format.directory import DirectorySummary, colliding_names, summarize
from pykopia.ids import ObjectID
from pykopia.repository.object_writer import ObjectWriter
from pykopia.snapshot.actions import Actions
from pykopia.snapshot.directory_writing import write_directories
from pykopia.snapshot.previous_entries import as_it_was
from pykopia.snapshot.problem import reason
from pykopia.snapshot.source_folder import Folder
from pykopia.snapshot.upload_state import UploadState


class FolderFinisher:
    """Counts what is unfinished in each folder, and writes the folders that are finished; safe for threads."""

    def __init__(self, writer: ObjectWriter, actions: Actions, state: UploadState) -> None:
        """Prepare.

        Args:
            writer: of directory objects.
            actions: that run after a folder.
            state: of the upload.
        """
        self._writer = writer
        self._actions = actions
        self._state = state
        self._lock = threading.Lock()
        self.result: tuple[ObjectID, DirectorySummary] | None = None
        """Object and summary of the root, once it is finished."""

    def expect(self, folder: Folder) -> None:
        """Count one more thing in a folder that must be done before the folder is finished."""
        with self._lock:
            folder.unfinished += 1

    def open(self, folder: Folder) -> None:
        """Count a folder in the one above it as unfinished."""
        assert folder.parent is not None
        with self._lock:
            folder.parent.unfinished += 1
            folder.parent.subfolders[folder.name] = folder

    def leave_out(self, folder: Folder) -> None:
        """Take a folder that was not looked at out of the one above, after a stop."""
        if folder.parent is None:
            self.finished({folder: 1})
            return
        self._actions.after_folder(folder.relative)
        self._close(folder, folder.parent)
        self.finished({folder.parent: 1})

    def failed(self, folder: Folder, error: Exception) -> None:
        """Record that a folder can't be read.

        Raises:
            SourceReadError: it is the root, without which there is no snapshot.
        """
        if folder.parent is None:
            raise SourceReadError(f"can't read the source {folder.path}: {reason(error)}") from error
        ignored = bool(folder.policies.effective.error_handling.ignore_directory_errors)
        self._state.entry_failed(folder.parent, folder.name, error, ignored=ignored)
        self.leave_out(folder)

    def finished(self, counts: Mapping[Folder, int]) -> None:
        """Count so many things of each folder as done; write folders, and those above, with the last one in them.

        Folders that are done together are stored together, then those above them.
        """
        while counts:
            with self._lock:
                complete = []
                for folder, count in counts.items():
                    folder.unfinished -= count
                    if not folder.unfinished:
                        complete.append(folder)
            if not complete or self._state.crew.stopped:
                return
            written = self._write(complete)
            for folder in complete:
                self._actions.after_folder(folder.relative)
            above: dict[Folder, int] = {}
            for folder in complete:
                parent = folder.parent
                if parent is None:
                    self.result = written[folder]
                else:
                    parent.entries.append(folder.entry(*written[folder]))
                    self._close(folder, parent)
                    above[parent] = above.get(parent, 0) + 1
            counts = above

    def _close(self, folder: Folder, parent: Folder) -> None:
        with self._lock:
            parent.subfolders.pop(folder.name, None)

    def _write(self, folders: Sequence[Folder]) -> Mapping[Folder, tuple[ObjectID, DirectorySummary]]:
        """Store the directory objects of folders, but those that are stored already."""
        state = self._state
        with state.lock:
            state.statistics.directory_count += len(folders)
        state.progress.add(directories=len(folders))
        written: dict[Folder, tuple[ObjectID, DirectorySummary]] = {}
        new: list[tuple[Folder, DirectorySummary]] = []
        for folder in folders:
            known = None if state.stop_reason else as_it_was(folder)
            if known is not None and self._writer.is_stored(known[0]):
                written[folder] = known
            else:
                new.append((folder, self._summary(folder)))
        if new:
            object_ids = write_directories(
                self._writer,
                [(folder.entries, summary) for folder, summary in new],
                [folder.policies.effective.metadata_compression.compressor_name for folder, _ in new],
            )
            for (folder, summary), object_id in zip(new, object_ids, strict=True):
                written[folder] = (object_id, summary)
        return written

    def _summary(self, folder: Folder) -> DirectorySummary:
        """Return what the directory object of a folder says of all that is below it."""
        for names in colliding_names(entry.name for entry in folder.entries):
            self._collision(folder, names)
        return summarize(
            folder.entries,
            own_mtime_ns=folder.status.st_mtime_ns,
            failures=folder.failures,
            incomplete=self._state.stop_reason,
        )

    def _collision(self, folder: Folder, names: Sequence[str]) -> None:
        """Leave out entries whose stored names are equal: only one could ever be read again (format 04 §8)."""
        kept, *others = sorted(names, key=os.fsencode)
        folder.entries = [entry for entry in folder.entries if entry.name not in others]
        ignored = bool(folder.policies.effective.error_handling.ignore_file_errors)
        for name in others:
            error = SourceReadError(
                f"the name {os.fsencode(name)!r} is not UTF-8 and would be stored as that of {os.fsencode(kept)!r}: rename it"
            )
            self._state.entry_failed(folder, name, error, ignored=ignored)


__all__ = ["FolderFinisher"]
