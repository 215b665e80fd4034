"""What earlier snapshots had: files and links that did not change since are taken over without being read.

Facts: format 04 §11.2.
"""

import logging
import random
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence

import msgspec

from pykopia.errors import PykopiaError
from pykopia.format.directory import DIRECTORY, Directory, DirectoryEntry, DirectorySummary, any_extended
from pykopia.format.gojson import stored_form
from pykopia.ids import ObjectID
from pykopia.repository.objects import DirectoryReader, ObjectStore
from pykopia.snapshot.listing import Named
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
        extended_attributes: bool = False,
    ) -> None:
        """Prepare.

        Args:
            objects: to read earlier folders from.
            lacking: returns which of some objects, by their position, are not stored as a whole.
            state: of the upload.
            force_hash_percent: share of the unchanged files that are read all the same.
            extended_attributes: whether this snapshot records them. One that does not never has those of an earlier one:
                they may be others by now.
        """
        self._directories = DirectoryReader(objects)
        self._lacking = lacking
        self._state = state
        self._force_hash = force_hash_percent
        self._extended = extended_attributes

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
        if not self._extended and any(any_extended(each.values()) for each in folder.previous):
            folder.previous = [{name: _plain(old) for name, old in each.items()} for each in folder.previous]
        elif len(found) == len(folder.before) == 1:
            folder.earlier = folder.before[0]

    def take_over(self, folder: Folder, entries: Iterable[Named], found: Found) -> None:
        """Sort out what is in a folder; take over what is as it was in an earlier snapshot and is still stored."""
        found.take(entries, folder.previous)
        again = self._to_store_again(found.taken) if found.taken else ()
        if again:
            found.take(entries, [_without(again, earlier) for earlier in folder.previous])
        taken = found.taken
        folder.take_over(taken)
        if taken:
            files, size = len(taken), sum([old.size for old in taken])
            with self._state.lock:
                self._state.statistics.cached_files += files
                self._state.statistics.total_size += size
            self._state.progress.add(cached_files=files, cached_bytes=size)

    def _to_store_again(self, taken: Sequence[DirectoryEntry]) -> Collection[str]:
        """Return the names of unchanged files that are read all the same: some by chance, all that are not stored any more."""
        names = {taken[number].name for number in self._lacking([old.object_id for old in taken])}
        if self._force_hash:
            names.update(old.name for old in taken if random.random() * 100 < self._force_hash)  # noqa: S311
        return names


def _plain(entry: DirectoryEntry) -> DirectoryEntry:
    """Return an entry without extended attributes."""
    return msgspec.structs.replace(entry, extended=None)


def _without(names: Container[str], entries: Mapping[str, DirectoryEntry]) -> Mapping[str, DirectoryEntry]:
    return {name: entry for name, entry in entries.items() if name not in names}


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
    for entry in folder.entries[folder.taken_over :]:
        if before.get(entry.name) != entry:
            return None
    summary = old.summary
    if summary is None or summary.incomplete or summary.errors:
        return None
    return old.object_id, summary


__all__ = ["PreviousEntries", "as_it_was", "by_name", "earlier_folders"]
