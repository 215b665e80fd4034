"""Depth-first walks of trees that may have been forged: folders within themselves, and folders without number.

An object ID is a hash, so no client can store a folder that contains itself. Who has the password can: IDs are not compared
with contents each time they are read. A few folders that name each other several times stand for more folders than a disk
holds. Both are damage, named by every walk; without that a walk would have no end.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from pykopia.errors import DamagedObjectError, PykopiaError
from pykopia.format.directory import DIRECTORY, DirectoryEntry
from pykopia.ids import ContentID, ObjectID
from pykopia.repository.objects import ObjectStore

MOST_FOLDERS: Final = 1 << 32
"""Folders that a tree may stand for: as many as an ext4 file system has inodes."""
SUSPICIOUS: Final = 1 << 20
"""Folders after which a walk that follows each one as often as it is named counts what the tree stands for."""
MOST_COUNTED: Final = 20_000
"""Different folders that such a count reads: a tree with more of them is taken for a true one."""


class Trail:
    """The folders from the root to the one that a depth-first walk is in; for one thread."""

    def __init__(self, objects: ObjectStore | None = None, root: DirectoryEntry | None = None) -> None:
        """Begin a walk.

        Args:
            objects: of the repository, for a walk that enters a folder as often as it is named.
            root: of such a walk.
        """
        self._objects = objects
        self._root = root
        self._entered = 0
        self._number = 0
        """How many folders the tree stands for, once it was counted."""
        self._path: list[str] = []
        self._above: set[str] = set()

    def enter(self, depth: int, object_id: str) -> None:
        """Enter a folder, and leave those that are not above it.

        Args:
            depth: number of folders above it.
            object_id: of the folder.

        Raises:
            DamagedObjectError: the folder is within itself, or the tree stands for more than ``MOST_FOLDERS``. It was not
                entered.
        """
        check_number_of_folders(self._number)
        while len(self._path) > depth:
            self._above.discard(self._path.pop())
        if object_id in self._above:
            raise within_itself(object_id)
        self._path.append(object_id)
        self._above.add(object_id)
        self._entered += 1
        if self._entered == SUSPICIOUS and self._objects is not None and self._root is not None:
            self._number = count_folders(self._objects, self._root)


class CountingTrail:
    """A walk that reads each folder once, and counts how many folders a tree stands for; for one thread."""

    def __init__(self) -> None:
        self._trail = Trail()
        self._open: list[tuple[str, int]] = []
        """Object and number of folders so far of each folder that is not left yet."""
        self._totals: dict[str, int] = {}
        """How many folders each folder stands for, itself included; 0 while it is not left yet."""

    def __contains__(self, object_id: str) -> bool:
        return object_id in self._totals

    def enter(self, depth: int, object_id: str) -> bool:
        """Enter a folder; return False, and do not enter it, if the walk was in it before.

        Raises:
            DamagedObjectError: the folder is within itself.
        """
        self._leave(depth)
        self._trail.enter(depth, object_id)
        known = self._totals.get(object_id)
        if known is None:
            self._totals[object_id] = 0
            self._open.append((object_id, 1))
            return True
        self._add(known)
        return False

    def finish(self) -> int:
        """Leave all folders; return how many folders the last one that was entered at depth 0 stands for."""
        root = self._open[0][0] if self._open else None
        self._leave(0)
        return self._totals[root] if root is not None else 0

    def _leave(self, depth: int) -> None:
        while len(self._open) > depth:
            object_id, total = self._open.pop()
            self._totals[object_id] = total
            self._add(total)

    def _add(self, total: int) -> None:
        if self._open:
            object_id, before = self._open[-1]
            self._open[-1] = object_id, before + total


def within_itself(object_id: str) -> DamagedObjectError:
    """Return the error of a folder that is found below itself."""
    return DamagedObjectError(f"folder {object_id} is within itself: it was forged, and nothing below is followed")


def check_number_of_folders(number: int) -> None:
    """Refuse a tree that no file system can hold.

    Raises:
        DamagedObjectError: it stands for more than ``MOST_FOLDERS`` folders.
    """
    if number > MOST_FOLDERS:
        raise DamagedObjectError(
            f"its folders name each other so often that it stands for more than {MOST_FOLDERS} folders: it was forged"
        )


def count_folders(objects: ObjectStore, root: DirectoryEntry) -> int:
    """Return how many folders a tree stands for, each as often as it is named; 0 if it has too many different ones."""
    trail = CountingTrail()
    pending: list[tuple[int, ObjectID]] = [(0, root.object_id)]
    read = 0
    while pending:
        depth, object_id = pending.pop()
        try:
            if not trail.enter(depth, object_id):
                continue
            entries: Sequence[DirectoryEntry] = objects.directory(object_id).entries
        except PykopiaError:
            continue  # the walk itself reports it
        read += 1
        if read > MOST_COUNTED:
            return 0
        pending += [(depth + 1, each.object_id) for each in entries if each.type == DIRECTORY]
    return trail.finish()


def contents_below(entry: DirectoryEntry, objects: ObjectStore) -> Iterator[ContentID]:
    """Yield the contents of an entry and of all below it; what is named several times is gone through once."""
    pending, seen = [entry], set()
    while pending:
        here = pending.pop()
        if here.object_id in seen:
            continue
        seen.add(here.object_id)
        yield from objects.contents_of(here.object_id)
        if here.type == DIRECTORY:
            pending += objects.directory(here.object_id).entries


__all__ = [
    "MOST_FOLDERS",
    "CountingTrail",
    "Trail",
    "check_number_of_folders",
    "contents_below",
    "count_folders",
    "within_itself",
]
