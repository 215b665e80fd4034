"""What differs between two folders of snapshots (spec 04 §15.7)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from pykopia.format.directory import DirectoryEntry
from pykopia.repository.objects import ObjectStore

Kind = Literal["added", "removed", "changed", "modes", "sizes", "times", "owners", "groups"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One difference between two entries of the same path."""

    kind: Kind
    path: str
    """Relative to the compared folders, beginning with ``./``."""
    before: DirectoryEntry | None
    after: DirectoryEntry | None


@dataclass(slots=True)
class DiffStatistics:
    """How many entries are the same, and how many differ in what (Kopia's names)."""

    added: int = 0
    removed: int = 0
    modified: int = 0
    same_content_different_metadata: int = 0
    same_content_different_mode: int = 0
    same_content_different_time: int = 0
    same_content_different_user: int = 0
    same_content_different_group: int = 0
    directories_added: int = 0
    directories_removed: int = 0
    directories_modified: int = 0
    directories_same: int = 0
    directory_metadata: dict[str, int] = field(default_factory=dict)


class Comparison:
    """Compares two folders; iterate over it, then look at ``statistics``."""

    def __init__(self, objects: ObjectStore, before: DirectoryEntry, after: DirectoryEntry) -> None:
        self._objects = objects
        self._before = before
        self._after = after
        self.statistics = DiffStatistics()

    def __iter__(self) -> Iterator[Difference]:
        return self._directories(self._before, self._after, ".")

    def _entries(self, entry: DirectoryEntry | None) -> dict[str, DirectoryEntry]:
        if entry is None:
            return {}
        return {each.name: each for each in self._objects.directory(entry.object_id).entries}

    def _directories(
        self, before: DirectoryEntry | None, after: DirectoryEntry | None, path: str
    ) -> Iterator[Difference]:
        if before is not None and after is not None and before.object_id == after.object_id:
            self.statistics.directories_same += 1
            return
        old, new = self._entries(before), self._entries(after)
        for name in sorted(old.keys() | new.keys()):
            yield from self._pair(old.get(name), new.get(name), f"{path}/{name}")

    def _pair(self, before: DirectoryEntry | None, after: DirectoryEntry | None, path: str) -> Iterator[Difference]:
        if before is not None and after is not None and (before.type == "d") != (after.type == "d"):
            yield from self._pair(before, None, path)
            yield from self._pair(None, after, path)
            return
        is_directory = (before or after or self._before).type == "d"
        if before is None or after is None:
            self._count("added" if before is None else "removed", is_directory=is_directory)
            yield Difference(kind="added" if before is None else "removed", path=path, before=before, after=after)
            if is_directory:
                yield from self._directories(before, after, path)
            return
        yield from self._metadata(before, after, path)
        if is_directory:
            yield from self._directories(before, after, path)
        elif before.object_id != after.object_id:
            self._count("modified", is_directory=False)
            yield Difference(kind="changed", path=path, before=before, after=after)

    def _metadata(self, before: DirectoryEntry, after: DirectoryEntry, path: str) -> Iterator[Difference]:
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
        if before.object_id == after.object_id and kinds and before.type != "d":
            counted = self.statistics
            counted.same_content_different_metadata += 1
            counted.same_content_different_mode += "modes" in kinds
            counted.same_content_different_time += "times" in kinds
            counted.same_content_different_user += "owners" in kinds
            counted.same_content_different_group += "groups" in kinds
        for kind in kinds:
            yield Difference(kind=kind, path=path, before=before, after=after)

    def _count(self, what: Literal["added", "removed", "modified"], *, is_directory: bool) -> None:
        name = f"directories_{what}" if is_directory else what
        setattr(self.statistics, name, getattr(self.statistics, name) + 1)


__all__ = ["Comparison", "DiffStatistics", "Difference"]
