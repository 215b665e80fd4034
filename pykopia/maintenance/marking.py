"""Following snapshots: which contents they need, found by this process or by workers, in parts that are values.

A part is folders and files of snapshots; its result is all contents that they need. The marks of a collection are complete
when each part has come back: until then nothing may be taken for unused.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from pykopia.dataclass import dataclass
from pykopia.errors import DamagedDataError, MaintenanceError, NotFoundError
from pykopia.format.content_id import id_of, key_of
from pykopia.format.directory import DIRECTORY, DirectoryEntry
from pykopia.format.index_merge import MergedIndex
from pykopia.format.object_id import parse_object_id
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SNAPSHOT_LABELS
from pykopia.ids import ManifestID
from pykopia.maintenance.blobs import Check
from pykopia.maintenance.live_contents import LISTED, LIVE
from pykopia.repository.core import Core

CHECK_EVERY = 1_000
MAX_LEVEL = 6
"""Levels of lists of chunks that have marks of their own; Kopia writes two at the most."""

_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkRoot:
    """A snapshot, or a folder or file in one, to be followed."""

    snapshot: str
    """Source and ID, for messages."""
    source: str
    """Snapshots of one source share most of their folders."""
    entry: DirectoryEntry
    path: str = ""
    """From the root of the snapshot, with a slash before each name."""
    shallow: bool = False
    """Whether it is the folder itself alone, what is in it being roots of their own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkPart:
    """A part of following snapshots: a value that any process with access to the repository can carry out.

    It holds no secrets, and can be pickled.
    """

    roots: tuple[MarkRoot, ...]
    number: int
    """Of the part, counted from 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PartMarks:
    """All contents that a part needs."""

    number: int
    """Of the part."""
    marks: tuple[tuple[int, int, bytes], ...]
    """Marks, bytes of a key, and the keys of the contents with these marks, one after the other."""
    indirect: tuple[str, ...]
    """Directories that are lists of chunks and were followed."""


class MarkWorkers(Protocol):
    """Divides the work of following snapshots, and has it done."""

    def plan(self, roots: Sequence[MarkRoot]) -> Sequence[MarkPart]:
        """Return parts that together follow all roots, numbered from 0."""

    def results(self, parts: Sequence[MarkPart], check: Check) -> Iterator[PartMarks]:
        """Yield the result of each part as it comes, in no order; call ``check`` now and then."""


class Marks(Protocol):
    """Marks on contents: see ``LiveContents``."""

    def mark(self, key: bytes, flag: int = LIVE) -> bool | None:
        """Set a mark; return whether it is new, None when the index has no such content."""


class PartContents:
    """Marks on the contents that one part needs: as many as these are, however large the index is."""

    def __init__(self, index: MergedIndex) -> None:
        self._index = MergedIndex(index.files)  # no watermark, as in LiveContents
        self._marks: dict[bytes, int] = {}

    def mark(self, key: bytes, flag: int = LIVE) -> bool | None:
        """Set a mark (and ``LIVE``) on a content; return whether it is new, None when the index has no such content."""
        before = self._marks.get(key)
        if before is None:
            if not self._index.contains(key):
                return None
            before = 0
        self._marks[key] = before | flag | LIVE
        return not before & flag

    def grouped(self) -> tuple[tuple[int, int, bytes], ...]:
        """Return the marks as ``PartMarks`` has them."""
        groups: dict[tuple[int, int], list[bytes]] = {}
        for key, marks in self._marks.items():
            groups.setdefault((marks, len(key)), []).append(key)
        return tuple((*kind, b"".join(sorted(keys))) for kind, keys in sorted(groups.items()))


def mark_part(repository: Core, part: MarkPart, check: Check) -> PartMarks:
    """Follow what belongs to a part.

    Raises:
        MaintenanceError: a folder or file can't be followed to its end.
    """
    contents = PartContents(repository.contents.indexes.merged)
    marking = Marking(repository, contents, check)
    for root in part.roots:
        marking.mark(root)
    return PartMarks(number=part.number, marks=contents.grouped(), indirect=tuple(sorted(marking.indirect)))


class Marking:
    """Follows snapshots and marks all contents that they need."""

    def __init__(self, repository: Core, live: Marks, check: Check) -> None:
        self._repository = repository
        self._objects = repository.objects
        self._live = live
        self._check = check
        self._done: set[ManifestID] = set()
        self.indirect: set[str] = set()
        """Directories that are lists of chunks and were followed: few."""
        self._steps = 0

    def mark_snapshots(self) -> None:
        """Follow all snapshots that have not been followed yet, incomplete ones too."""
        for manifest_id, root in self._roots():
            self.mark(root)
            self._done.add(manifest_id)

    def mark_snapshots_by(self, workers: MarkWorkers) -> None:
        """Have all snapshots followed that have not been followed yet, incomplete ones too.

        Raises:
            MaintenanceError: a part was not done, or could not be done.
        """
        roots = dict(self._roots())
        parts = workers.plan([*roots.values()])
        missing = {part.number: part for part in parts}
        for result in workers.results(parts, self._check):
            part = missing.pop(result.number, None) if isinstance(result, PartMarks) else None
            if part is not None:
                self._take(result)
            if part is None or not all(map(self._is_followed, part.roots)):
                raise MaintenanceError(
                    "garbage can't be collected: a worker returned what is not the result of its part"
                )
        if missing:
            raise MaintenanceError(
                f"garbage can't be collected: {len(missing)} of {len(parts)} parts of following snapshots were not done, "
                "and what they need would be taken for unused"
            )
        for root in roots.values():
            if not self._is_followed(root):
                raise MaintenanceError(f"garbage can't be collected: no part has followed snapshot {root.snapshot}")
        self._done.update(roots)

    def _is_followed(self, root: MarkRoot) -> bool:
        """Return True if an entry has the mark that following it sets, not only one as a content of something else."""
        entry, parsed = root.entry, parse_object_id(root.entry.object_id)
        flag = LIVE
        if parsed.indirection:
            if entry.type == DIRECTORY and entry.object_id not in self.indirect:
                return False
            flag = LISTED << min(parsed.indirection, MAX_LEVEL)
        elif entry.type == DIRECTORY:
            flag = LISTED
        return self._live.mark(key_of(parsed.content_id), flag) is not True

    def _take(self, result: PartMarks) -> None:
        for flags, size, keys in result.marks:
            if size < 1 or len(keys) % size:
                raise MaintenanceError("garbage can't be collected: a worker returned marks that are cut off")
            for start in range(0, len(keys), size):
                self._count()
                key = keys[start : start + size]
                if self._live.mark(key, flags) is None:
                    self._repository.contents.entry(id_of(key))  # see _mark
        self.indirect.update(result.indirect)

    def _roots(self) -> Iterator[tuple[ManifestID, MarkRoot]]:
        for entry in self._repository.manifests.find(SNAPSHOT_LABELS):
            if entry.id in self._done:
                continue
            try:
                snapshot = SnapshotManifest.from_json(entry.data, manifest_id=entry.id)
            except DamagedDataError as error:
                raise MaintenanceError(
                    f"garbage can't be collected: snapshot {entry.id} can't be read, and its data would be taken for unused: "
                    f"{error}; put the repository's manifests back from a copy, or delete the snapshot by `manifest delete`"
                ) from error
            source = str(snapshot.source)
            name = f"{source}@{entry.id}"
            if snapshot.root_entry is None:
                raise MaintenanceError(f"garbage can't be collected: snapshot {name} has no root; delete it")
            yield entry.id, MarkRoot(snapshot=name, source=source, entry=snapshot.root_entry)

    def mark(self, root: MarkRoot) -> None:
        """Follow an entry with all below it.

        Raises:
            MaintenanceError: it can't be followed to its end.
        """
        stack = [(root.snapshot + root.path, root.entry)]
        while stack:
            path, entry = stack.pop()
            try:
                if entry.type != DIRECTORY:
                    self._object(entry.object_id)
                elif self._directory(entry.object_id) and not root.shallow:
                    for child in self._objects.directory(entry.object_id).entries:
                        if child.type == DIRECTORY:
                            stack.append((f"{path}/{child.name}", child))
                        else:
                            self._file(path, child)
            except (DamagedDataError, NotFoundError, FileNotFoundError) as error:
                raise _unreadable(path, error) from error

    def _file(self, path: str, entry: DirectoryEntry) -> None:
        try:
            self._object(entry.object_id)
        except (DamagedDataError, NotFoundError, FileNotFoundError) as error:
            raise _unreadable(f"{path}/{entry.name}", error) from error

    def _directory(self, object_id: str) -> bool:
        """Mark the contents of a directory object; return whether its entries have to be followed."""
        self._count()
        parsed = parse_object_id(object_id)
        if parsed.indirection:
            if object_id in self.indirect:
                return False
            self.indirect.add(object_id)
            self._object(object_id)
            return True
        return self._mark(parsed.content_id, LISTED)

    def _object(self, object_id: str) -> None:
        """Mark all contents of an object and of its lists of chunks."""
        self._count()
        if object_id and object_id[0] in _DIGITS:  # most files are a single content without a prefix
            self._mark(object_id)
            return
        parsed = parse_object_id(object_id)
        if not parsed.indirection:
            self._mark(parsed.content_id)
            return
        # many files may have the same list of chunks
        level = min(parsed.indirection, MAX_LEVEL)
        if self._mark(parsed.content_id, LISTED << level) or level == MAX_LEVEL:
            for content_id in self._objects.contents_of(object_id):
                self._mark(content_id)

    def _mark(self, content_id: str, flag: int = LIVE) -> bool:
        new = self._live.mark(key_of(content_id), flag)
        if new is None:
            # written since the marks were made, so too young to be garbage; or missing, which raises here
            self._repository.contents.entry(content_id)
            return True
        return new

    def _count(self) -> None:
        self._steps += 1
        if self._steps % CHECK_EVERY == 0:
            self._check()


def _unreadable(path: str, error: Exception) -> MaintenanceError:
    return MaintenanceError(
        f"garbage can't be collected: {path} can't be followed, and what it needs would be taken for unused: {error}; "
        "`snapshot verify` tells what else is concerned, `snapshot fix` or deleting the snapshot helps"
    )


__all__ = [
    "CHECK_EVERY",
    "MarkPart",
    "MarkRoot",
    "MarkWorkers",
    "Marking",
    "Marks",
    "PartContents",
    "PartMarks",
    "mark_part",
]
