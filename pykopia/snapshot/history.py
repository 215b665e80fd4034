"""The history of one path: in which state each snapshot has it."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from pykopia.dataclass import dataclass
from pykopia.errors import ClosedError, PykopiaError
from pykopia.format.directory import DIRECTORY, DirectoryEntry
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.ids import ObjectID
from pykopia.repository.objects import ObjectStore
from pykopia.snapshot.problem import Problem
from pykopia.snapshot.source_path import path_inside


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """A state of a path that snapshots have one after the other."""

    entry: DirectoryEntry | None
    """None: it was not there."""
    first: SnapshotManifest
    last: SnapshotManifest
    count: int
    """Snapshots from the first to the last."""
    inside: str
    """The path inside of ``last``; empty when it is the source itself."""

    @property
    def reference(self) -> str:
        """Reference to the entry for other methods and commands."""
        return f"{self.last.id}/{self.inside}".rstrip("/")


class History:
    """The versions of a path, oldest first; iterate over it, then look at ``problems``."""

    def __init__(self, objects: ObjectStore, snapshots: Iterable[SnapshotManifest], path: str) -> None:
        """Prepare.

        Args:
            objects: of the repository.
            snapshots: of the path and of folders above it.
            path: absolute.
        """
        self._objects = objects
        self._snapshots = sorted(snapshots, key=lambda each: each.start_time_ns)
        self._path = path
        self._known: dict[tuple[ObjectID, str], DirectoryEntry | None] = {}
        self.problems: list[Problem] = []
        """Snapshots that can't be read and are left out."""
        self.covered = bool(self._snapshots)
        """Whether there is any snapshot that could have the path."""

    def __repr__(self) -> str:
        return f"<History of {self._path} in {len(self._snapshots)} snapshots>"

    @property
    def errors(self) -> list[str]:
        """One line for each of ``problems``."""
        return list(map(str, self.problems))

    def __iter__(self) -> Iterator[Version]:
        """Yield versions: snapshots that follow each other and have the same entry are one.

        What an incomplete snapshot lacks does not count as gone.
        """
        current: Version | None = None
        for snapshot in self._snapshots:
            if snapshot.root_entry is None:
                continue
            inside = path_inside(snapshot, self._path)
            try:
                entry = self._descend(snapshot.root_entry, inside)
            except ClosedError:
                raise
            except PykopiaError as error:
                line = f"can't look into snapshot {snapshot.id}: {error}"
                self.problems.append(Problem(path=inside, object_id=snapshot.id, error=error, line=line))
                continue
            if entry is None and snapshot.incomplete:
                continue
            if current is not None and _same(current.entry, entry):
                current = replace(current, last=snapshot, count=current.count + 1, inside=inside)
                continue
            if current is not None:
                yield current
            if current is not None or entry is not None:
                current = Version(entry=entry, first=snapshot, last=snapshot, count=1, inside=inside)
        if current is not None:
            yield current

    def _descend(self, root: DirectoryEntry, inside: str) -> DirectoryEntry | None:
        """Return the entry at a path below another, None where there is none; a folder is read once for each path."""
        here: DirectoryEntry | None = root
        rest = inside
        asked: list[tuple[ObjectID, str]] = []
        while rest and here is not None:
            if here.type != DIRECTORY:
                here = None
                break
            key = (here.object_id, rest)
            if key in self._known:
                here, rest = self._known[key], ""
                break
            asked.append(key)
            name, _, rest = rest.partition("/")
            here = next((each for each in self._objects.directory(here.object_id).entries if each.name == name), None)
        self._known.update(dict.fromkeys(asked, here))
        return here


def _same(first: DirectoryEntry | None, second: DirectoryEntry | None) -> bool:
    """Compare all but the name, which for the root of a snapshot may differ."""
    if first is None or second is None:
        return first is second
    return all(
        getattr(first, name) == getattr(second, name)
        for name in ("type", "object_id", "mtime_ns", "mode", "size", "uid", "gid")
    )


__all__ = ["History", "Version"]
