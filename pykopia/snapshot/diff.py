"""Comparison of two folders of snapshots (format 04 §15.7).

Counts and lines are Kopia's, but for entries with the same content and other metadata: each difference has a line,
where Kopia only counts it, and of a folder its own time is compared, where Kopia compares the newest time in it.
"""

from collections.abc import Collection, Iterator
from typing import Literal

from pykopia.dataclass import dataclass
from pykopia.format.directory import DIRECTORY, FILE, DirectoryEntry, as_compared
from pykopia.html_table import html_table, size_text
from pykopia.repository.objects import ObjectStore
from pykopia.snapshot.trail import Trail

Kind = Literal["added", "removed", "changed", "modes", "sizes", "times", "owners", "groups"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One difference between two entries of the same path."""

    kind: Kind
    path: str
    """Relative to the compared folders, beginning with ``./``; ``.`` for these themselves."""
    before: DirectoryEntry | None
    after: DirectoryEntry | None


@dataclass(slots=True)
class EntryStatistics:
    """Numbers of differing entries by kind of difference (Kopia's names)."""

    added: int = 0
    removed: int = 0
    modified: int = 0
    """Entries of another content with other metadata, and files with another content: a file may count twice."""
    same_content_different_metadata: int = 0
    same_content_different_mode: int = 0
    same_content_different_time: int = 0
    same_content_different_user: int = 0
    same_content_different_group: int = 0


@dataclass(slots=True)
class DiffStatistics:
    """The counts of a comparison."""

    files: EntryStatistics
    """Counts of files, links, and entries that are a folder on one side only."""
    directories: EntryStatistics


class Comparison:
    """Compares two folders with all below them; iterate over it, then look at ``statistics``."""

    def __init__(self, objects: ObjectStore, before: DirectoryEntry, after: DirectoryEntry) -> None:
        self._objects = objects
        self._before = before
        self._after = after
        self.statistics = DiffStatistics(files=EntryStatistics(), directories=EntryStatistics())

    def __iter__(self) -> Iterator[Difference]:
        self.statistics = DiffStatistics(files=EntryStatistics(), directories=EntryStatistics())
        return self._walk()

    def __repr__(self) -> str:
        return f"<Comparison of {self._before.object_id} with {self._after.object_id}>"

    def _repr_html_(self) -> str:
        rows = ((each.kind, each.path, _shown(each.before), _shown(each.after)) for each in self)
        return html_table(("difference", "path", "before", "after"), rows)

    def _entries(self, entry: DirectoryEntry) -> dict[str, DirectoryEntry]:
        return {each.name: each for each in self._objects.directory(entry.object_id).entries}

    def _walk(self) -> Iterator[Difference]:
        """Compare folder by folder, without recursion: trees may be deep."""
        old_trail, new_trail = Trail(self._objects, self._before), Trail(self._objects, self._after)
        yield from self._both(self._before, self._after, ".")
        pending: list[tuple[DirectoryEntry | None, DirectoryEntry | None, str, int]] = []
        pair: tuple[DirectoryEntry | None, DirectoryEntry | None] = self._before, self._after
        path, depth = ".", 0
        while True:
            if _differ_below(*pair):
                old = self._entered(pair[0], old_trail, depth)
                new = self._entered(pair[1], new_trail, depth)
                names = sorted(old.keys() | new.keys(), reverse=True)
                pending += [(old.get(name), new.get(name), f"{path}/{name}", depth + 1) for name in names]
            if not pending:
                return
            before, after, path, depth = pending.pop()
            pair = before, after
            yield from self._pair(before, after, path)

    def _entered(self, entry: DirectoryEntry | None, trail: Trail, depth: int) -> dict[str, DirectoryEntry]:
        if entry is None:
            return {}
        trail.enter(depth, entry.object_id)
        return self._entries(entry)

    def _pair(self, before: DirectoryEntry | None, after: DirectoryEntry | None, path: str) -> Iterator[Difference]:
        """Compare two entries of one path, without what is below them."""
        if before is not None and after is not None:
            if before.object_id != after.object_id:
                before, after = as_compared(before), as_compared(after)
            yield from self._both(before, after, path)
        elif after is not None:
            self._of(after).added += 1
            yield Difference(kind="added", path=path, before=None, after=after)
        elif before is not None:
            self._of(before).removed += 1
            yield Difference(kind="removed", path=path, before=before, after=None)

    def _both(self, before: DirectoryEntry, after: DirectoryEntry, path: str) -> Iterator[Difference]:
        kinds = _metadata(before, after)
        for kind in kinds:
            yield Difference(kind=kind, path=path, before=before, after=after)
        folders = (before.type == DIRECTORY) + (after.type == DIRECTORY)
        counted = self.statistics.directories if folders == _BOTH else self.statistics.files
        if before.object_id == after.object_id:
            _count_same(counted, kinds)
            return
        counted.modified += bool(kinds)
        if folders == _BOTH:
            return
        files = before.type == after.type == FILE
        counted.modified += files
        # of a link only the metadata is compared, as in Kopia; but no change is passed over
        if files or folders or not kinds:
            yield Difference(kind="changed", path=path, before=before, after=after)

    def _of(self, entry: DirectoryEntry) -> EntryStatistics:
        return self.statistics.directories if entry.type == DIRECTORY else self.statistics.files


_BOTH = 2


def _differ_below(before: DirectoryEntry | None, after: DirectoryEntry | None) -> bool:
    """Return True if what is below two entries of one path is to be compared: they are different folders, or one is alone."""
    there = [entry for entry in (before, after) if entry is not None]
    if any(entry.type != DIRECTORY for entry in there):
        return False
    return before is None or after is None or before.object_id != after.object_id


def _shown(entry: DirectoryEntry | None) -> str:
    """Return what a person compares of an entry: mode, owner, size and time."""
    if entry is None:
        return ""
    time = "" if entry.mtime is None else entry.mtime.strftime("%Y-%m-%d %H:%M:%S")
    return f"{entry.type} {entry.mode:04o} {entry.uid}:{entry.gid} {size_text(entry.size)} {time}"


def _metadata(before: DirectoryEntry, after: DirectoryEntry) -> list[Kind]:
    kinds: list[Kind] = []
    if before.type != after.type or before.mode != after.mode:
        kinds.append("modes")
    if before.size != after.size:
        kinds.append("sizes")
    if before.mtime_ns != after.mtime_ns:
        kinds.append("times")
    if before.uid != after.uid:
        kinds.append("owners")
    if before.gid != after.gid:
        kinds.append("groups")
    return kinds


def _count_same(counted: EntryStatistics, kinds: Collection[Kind]) -> None:
    counted.same_content_different_metadata += bool(set(kinds) - {"sizes"})
    counted.same_content_different_mode += "modes" in kinds
    counted.same_content_different_time += "times" in kinds
    counted.same_content_different_user += "owners" in kinds
    counted.same_content_different_group += "groups" in kinds


__all__ = ["Comparison", "DiffStatistics", "Difference", "EntryStatistics"]
