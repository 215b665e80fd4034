"""What earlier snapshots had: files and links that did not change since are taken over without being read.

Facts: format 04 §11.2.
"""

import logging
import os
import random
import stat
from collections.abc import Callable, Mapping, Sequence

from pykopia.errors import PykopiaError
from pykopia.format.directory import DIRECTORY, FILE, SYMLINK, Directory, DirectoryEntry, DirectorySummary
from pykopia.format.gojson import stored_form
from pykopia.format.gotime import nearest_time
from pykopia.ids import ObjectID
from pykopia.repository.objects import DirectoryReader, ObjectStore
from pykopia.snapshot.source_folder import Folder
from pykopia.snapshot.upload_state import UploadState
from pykopia.snapshot.walk import Found

log = logging.getLogger(__name__)


class PreviousEntries:
    """Finds the entries of earlier snapshots for the folders of a walk."""

    def __init__(
        self,
        objects: ObjectStore,
        lacking: Callable[[Sequence[str]], Sequence[int]],
        state: UploadState,
        *,
        force_hash_percent: float = 0,
    ) -> None:
        """Prepare.

        Args:
            objects: to read earlier folders from.
            lacking: returns which of some objects, by their position, are not stored as a whole.
            state: of the upload.
            force_hash_percent: share of the unchanged files that are read all the same.
        """
        self._directories = DirectoryReader(objects)
        self._lacking = lacking
        self._state = state
        self._force_hash = force_hash_percent

    def look_back(self, folder: Folder, stack: Sequence[Folder]) -> None:
        """Read what was in a folder in earlier snapshots.

        Args:
            folder: that the walk looks at.
            stack: the folders that come next, the next one last: theirs are read ahead.
        """
        found = []
        for old in folder.before:
            following = (entry.object_id for other in reversed(stack) for entry in other.before)
            try:
                found.append(self._directories.read(old.object_id, following))
            except PykopiaError as error:
                log.warning("can't use the previous state of %s: %s", stored_form(folder.path), error)
        if folder.before:
            folder.previous = by_name(found)
        if len(found) == len(folder.before) == 1:
            folder.earlier = folder.before[0]

    def take_over(self, folder: Folder, found: Found) -> frozenset[str]:
        """Take over what is as it was in an earlier snapshot and is still stored; return the names."""
        if not folder.previous:
            return frozenset()
        taken: list[DirectoryEntry] = []
        names: list[str] = []
        size = 0
        for kind, listed in ((FILE, found.files), (SYMLINK, found.links)):
            for name, status in listed:
                old = _unchanged(folder.previous, name, kind, status)
                if old is None or (self._force_hash and random.random() * 100 < self._force_hash):  # noqa: S311
                    continue
                names.append(name)
                taken.append(old)
                size += status.st_size
        lacking = self._lacking([old.object_id for old in taken])
        if lacking:  # to be read and stored again
            size -= sum(taken[number].size for number in lacking)
            again = frozenset(lacking)
            names = [name for number, name in enumerate(names) if number not in again]
            taken = [old for number, old in enumerate(taken) if number not in again]
        folder.entries += taken
        files = len(taken)
        if names:
            with self._state.lock:
                self._state.statistics.cached_files += files
                self._state.statistics.total_size += size
            self._state.progress.add(cached_files=files, cached_bytes=size)
        return frozenset(names)


def by_name(directories: Sequence[Directory]) -> Sequence[Mapping[str, DirectoryEntry]]:
    """Return the entries of each folder by their names."""
    return [{entry.name: entry for entry in directory.entries} for directory in directories]


def earlier_folders(folder: Folder, name: str) -> Sequence[DirectoryEntry]:
    """Return what a folder in a folder was in earlier snapshots, each different one once."""
    found = dict[str, DirectoryEntry]()
    for entries in folder.previous:
        old = entries.get(name)
        if old is not None and old.type == DIRECTORY:
            found.setdefault(old.object_id, old)
    return [*found.values()]


def as_it_was(folder: Folder) -> tuple[ObjectID, DirectorySummary] | None:
    """Return object and summary of the earlier folder if everything in a finished folder equals it."""
    old = folder.earlier
    if old is None or not folder.entries or folder.failures:
        return None
    (before,) = folder.previous
    if len(before) != len(folder.entries):
        return None
    for entry in folder.entries:
        was = before.get(entry.name)
        if was is not entry and was != entry:
            return None
    summary = old.summary
    if summary is None or summary.incomplete or summary.errors:
        return None
    return old.object_id, summary


def _unchanged(
    previous: Sequence[Mapping[str, DirectoryEntry]], name: str, kind: str, status: os.stat_result
) -> DirectoryEntry | None:
    """Return the first earlier entry that has the same time, mode, owner and size."""
    time_ns = status.st_mtime_ns
    for entries in previous:
        old = entries.get(name)
        if (
            old is not None
            and (old.mtime_ns == time_ns or old.mtime_ns == nearest_time(time_ns))
            and old.size == status.st_size
            and old.type == kind
            and old.mode == stat.S_IMODE(status.st_mode)
            and old.uid == status.st_uid
            and old.gid == status.st_gid
        ):
            return old
    return None


__all__ = ["PreviousEntries", "as_it_was", "by_name", "earlier_folders"]
