"""Finding entries by name in all snapshots at once.

The states of a folder in different snapshots are walked together, so that a folder that did not change is read once,
however many snapshots have it; and a folder in which nothing was found is not read again where it was moved or copied to.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from itertools import groupby

from pykopia.arguments import check_choice
from pykopia.dataclass import dataclass
from pykopia.errors import ClosedError, PykopiaError
from pykopia.format.directory import DIRECTORY, FILE, SYMLINK, DirectoryEntry
from pykopia.format.gojson import stored_form
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.ids import ObjectID
from pykopia.repository.objects import ObjectStore
from pykopia.snapshot.problem import Problem
from pykopia.snapshot.selection import Patterns
from pykopia.snapshot.trail import within_itself


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """An entry in one of its states."""

    source: SourceInfo
    path: str
    """Below the source; empty for a file that is the source itself."""
    entry: DirectoryEntry
    snapshots: tuple[SnapshotManifest, ...]
    """Snapshots that have the entry in this state, oldest first."""

    @property
    def reference(self) -> str:
        """Reference to the entry: the latest of its snapshots, and the path inside."""
        return f"{self.snapshots[-1].id}/{self.path}".rstrip("/")


class Search:
    """A search; iterate over it, then look at ``problems``."""

    def __init__(
        self,
        objects: ObjectStore,
        snapshots: Iterable[SnapshotManifest],
        patterns: Sequence[str],
        *,
        kind: str = "",
        ignore_case: bool = False,
    ) -> None:
        """Prepare.

        Args:
            objects: of the repository.
            snapshots: in which to look.
            patterns: as those of ignore rules, relative to the source, or beginning with its path.
            kind: ``f``, ``d`` or ``s`` for files, folders or links alone.
            ignore_case: take upper and lower case as equal.

        Raises:
            UsageError: a pattern can't be read.
        """
        Patterns(patterns)
        self._objects = objects
        self._snapshots = sorted(snapshots, key=lambda each: (str(each.source), each.start_time_ns))
        self._patterns = patterns
        check_choice("kind", kind, ("", FILE, DIRECTORY, SYMLINK))
        self._kind = kind
        self._ignore_case = ignore_case
        self._barren: set[ObjectID] = set()
        """Folders that hold nothing of what is looked for, as far as the name alone decides."""
        self.problems: list[Problem] = []
        """Folders that can't be read; nothing below them was searched."""

    def __repr__(self) -> str:
        return f"<Search for {', '.join(self._patterns)} in {len(self._snapshots)} snapshots>"

    @property
    def errors(self) -> list[str]:
        """One line for each of ``problems``."""
        return list(map(str, self.problems))

    def __iter__(self) -> Iterator[Found]:
        """Yield what is found: by source, then by path, the oldest state first."""
        for source, group in groupby(self._snapshots, key=lambda each: each.source):
            yield from self._source(source, list(group))

    def _source(self, source: SourceInfo, snapshots: Sequence[SnapshotManifest]) -> Iterator[Found]:
        prefix = source.path.rstrip("/") + "/"
        patterns = Patterns(
            ["/" + text[len(prefix) :] if text.startswith(prefix) else text for text in self._patterns],
            ignore_case=self._ignore_case,
        )
        folders: dict[ObjectID, int] = {}
        files: dict[DirectoryEntry, int] = {}
        for number, snapshot in enumerate(snapshots):
            root = snapshot.root_entry
            if root is None:
                continue
            if root.type == DIRECTORY:
                folders[root.object_id] = folders.get(root.object_id, 0) | 1 << number
            else:
                files[root] = files.get(root, 0) | 1 << number
        for root, which in files.items():
            if self._kind in ("", root.type) and patterns.match(f"/{root.name}", is_directory=False):
                yield Found(source=source, path="", entry=root, snapshots=_chosen(snapshots, which))
        for path, entry, which in self._merged(patterns, folders):
            yield Found(source=source, path=path, entry=entry, snapshots=_chosen(snapshots, which))

    def _merged(self, patterns: Patterns, roots: dict[ObjectID, int]) -> Iterator[tuple[str, DirectoryEntry, int]]:
        """Walk the states of one folder together; yield path, entry, and a bit for each snapshot that has it."""
        stack = [self._open("", roots, patterns, ())]
        while stack:
            here = stack[-1]
            if not here.names:
                stack.pop()
                if patterns.names_only:
                    self._barren.update(
                        state
                        for state in here.subfolders
                        if here.subfolders[state] <= self._barren and state not in here.hits
                    )
                continue
            name = here.names.pop()
            path = f"{here.path}/{name}" if here.path else name
            below: dict[ObjectID, int] = {}
            for entry, (which, hit) in here.entries[name].items():
                if hit:
                    yield path, entry, which
                if entry.type == DIRECTORY:
                    below[entry.object_id] = below.get(entry.object_id, 0) | which
            if below:
                stack.append(self._open(path, below, patterns, stack))

    def _open(
        self, path: str, states: dict[ObjectID, int], patterns: Patterns, above: "Sequence[_Folder]"
    ) -> "_Folder":
        opened = _Folder(path)
        verdicts: dict[tuple[str, bool], bool] = {}
        for object_id, which in states.items():
            if object_id in self._barren:
                continue
            try:
                _check_lineage(object_id, above)
                entries = self._objects.directory(object_id).entries
            except ClosedError:
                raise
            except PykopiaError as error:
                line = f"can't look into {stored_form(path) or 'the root'}: {error}"
                self.problems.append(Problem(path=path, object_id=object_id, error=error, line=line))
                continue
            subfolders = opened.subfolders[object_id] = set()
            for entry in entries:
                is_directory = entry.type == DIRECTORY
                key = (entry.name, is_directory)
                verdict = verdicts.get(key)
                if verdict is None:
                    verdict = verdicts[key] = patterns.match(f"/{path}/{entry.name}" if path else f"/{entry.name}",
                                                             is_directory=is_directory)  # fmt: skip
                hit = verdict and self._kind in ("", entry.type)
                if hit:
                    opened.hits.add(object_id)
                if is_directory:
                    subfolders.add(entry.object_id)
                if hit or is_directory:
                    states_of = opened.entries.setdefault(entry.name, {})
                    states_of[entry] = (states_of[entry][0] | which if entry in states_of else which, hit)
        opened.names = sorted(opened.entries, reverse=True)
        return opened


@dataclass(slots=True)
class _Folder:
    """The states of a folder, opened together."""

    path: str
    entries: dict[str, dict[DirectoryEntry, tuple[int, bool]]] = field(default_factory=dict)
    """By name, then by state: bits of the snapshots, and whether it is looked for. Only folders and what is."""
    names: list[str] = field(default_factory=list)
    """Still to be gone through, the last first."""
    subfolders: dict[ObjectID, set[ObjectID]] = field(default_factory=dict)
    """Of each state that could be read."""
    hits: set[ObjectID] = field(default_factory=set)
    """States in which something was found."""


def _check_lineage(object_id: ObjectID, above: Sequence[_Folder]) -> None:
    """Refuse a state of a folder that is within itself.

    Raises:
        DamagedObjectError: it is among the states that it is a part of, in the folders above.
    """
    if not any(object_id in folder.subfolders for folder in above):
        return
    line = {object_id}
    for folder in reversed(above):
        line = {state for state, below in folder.subfolders.items() if not below.isdisjoint(line)}
        if object_id in line:
            raise within_itself(object_id)


def _chosen(snapshots: Sequence[SnapshotManifest], which: int) -> tuple[SnapshotManifest, ...]:
    return tuple(each for number, each in enumerate(snapshots) if which >> number & 1)


__all__ = ["Found", "Search"]
