"""The entries below one root, looked up by name; directories that were read are kept in memory."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from pykopia.errors import PathNotInSnapshotError, PykopiaError
from pykopia.format.directory import DIRECTORY, Directory, DirectoryEntry
from pykopia.ids import ObjectID
from pykopia.repository.memory_cache import MemoryCache
from pykopia.repository.objects import DirectoryReader, ObjectStore
from pykopia.snapshot.trail import Trail

KEPT_BYTES = 32 << 20
"""Bytes of directories that a tree keeps in memory."""
ENTRY_BYTES = 400
"""Estimated bytes of one directory entry in memory."""

Directories: TypeAlias = MemoryCache[ObjectID, dict[str, DirectoryEntry]]
"""Directories in memory, their entries by name."""


class EntryTree:
    """What the paths of one snapshot share: its root and the directories that were read; safe for threads."""

    def __init__(self, objects: ObjectStore, root: DirectoryEntry, kept: Directories | None = None) -> None:
        """Begin a tree; one with the directories that another one keeps, where they are of the same repository."""
        self.objects = objects
        self.root = root
        self._kept = MemoryCache(KEPT_BYTES) if kept is None else kept

    def entries(self, folder: DirectoryEntry) -> dict[str, DirectoryEntry]:
        """Return the entries of a folder by name."""
        found = self._kept.get(folder.object_id)
        return self._keep(folder.object_id, self.objects.directory(folder.object_id)) if found is None else found

    def _keep(self, object_id: ObjectID, directory: Directory) -> dict[str, DirectoryEntry]:
        found = {each.name: each for each in directory.entries}
        self._kept.put(object_id, found, ENTRY_BYTES * len(found))
        return found

    def find(self, parts: Sequence[str]) -> DirectoryEntry:
        """Return the entry at a path.

        Raises:
            PathNotInSnapshotError: there is none.
        """
        here = self.root
        for depth, name in enumerate(parts):
            if here.type != DIRECTORY:
                above = "/".join(parts[:depth])
                raise PathNotInSnapshotError(f"{'/'.join(parts)} is not in this snapshot: {above} is no folder")
            found = self.entries(here).get(name)
            if found is None:
                raise PathNotInSnapshotError(f"{'/'.join(parts[: depth + 1])} is not in this snapshot")
            here = found
        return here

    def walk(
        self,
        folder: DirectoryEntry,
        *,
        depth: int | None = None,
        on_error: Callable[[tuple[str, ...], PykopiaError], None] | None = None,
    ) -> Iterator[tuple[tuple[str, ...], dict[str, DirectoryEntry]]]:
        """Yield each folder from here down, as the names that lead to it and its entries by name.

        Directories that come next are read together with the one that is asked for. Names that the caller removes from the
        entries are not walked.

        Args:
            folder: where to begin.
            depth: levels of folders that are read; None for all.
            on_error: called with the folder and the error where one can't be read, which is then left out; without it the
                error is raised.
        """
        reader, trail = DirectoryReader(self.objects), Trail(self.objects, folder)
        pending: list[tuple[tuple[str, ...], ObjectID]] = [((), folder.object_id)]
        while pending:
            parts, object_id = pending.pop()
            following = (each for _, each in reversed(pending))
            try:
                trail.enter(len(parts), object_id)
                entries = self._kept.get(object_id)
                if entries is None:
                    entries = self._keep(object_id, reader.read(object_id, following))
            except PykopiaError as error:
                if on_error is None:
                    raise
                on_error(parts, error)
                continue
            entries = dict(entries)
            yield parts, entries
            if depth is None or len(parts) + 1 < depth:
                folders = [each for each in entries.values() if each.type == DIRECTORY]
                pending += [((*parts, each.name), each.object_id) for each in reversed(folders)]


__all__ = ["KEPT_BYTES", "Directories", "EntryTree"]
