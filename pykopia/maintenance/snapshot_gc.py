"""Garbage collection: contents that no snapshot needs are marked as deleted (format 03 §11).

Marking is not deleting: the bytes go when a later collection has found the contents unused once more. What a snapshot
needs and an earlier collection has marked is brought back. Anything that can't be read stops the collection, because
what it refers to would be taken for unused.
"""

import logging
from collections.abc import Callable
from dataclasses import field
from typing import Final

from pykopia.dataclass import dataclass
from pykopia.errors import BlobNotFoundError, DamagedDataError, MaintenanceError, NotFoundError, PykopiaError
from pykopia.format.complete_view import CompleteView, ViewFacts, examine
from pykopia.format.content_id import key_of
from pykopia.format.directory import DIRECTORY, DirectoryEntry
from pykopia.format.index import IndexEntry
from pykopia.format.maintenance_plan import Safety, decide_content
from pykopia.format.maintenance_schedule import TaskStatistics
from pykopia.format.object_id import parse_object_id
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SNAPSHOT_LABELS
from pykopia.ids import BlobID, ManifestID
from pykopia.maintenance.blobs import Check, no_check
from pykopia.maintenance.live_contents import LISTED, LiveContents
from pykopia.repository.core import Core
from pykopia.repository.view import require
from pykopia.repository.writer import RepositoryWriter

log = logging.getLogger(__name__)

STATISTICS_KIND: Final = "snapshotGCStats"
FLUSH_EVERY = 100_000
"""Contents that are marked as deleted between two flushes: a bound on memory."""
CHECK_EVERY = 1_000
MAX_LEVEL = 6
"""Levels of lists of chunks that have marks of their own; Kopia writes two at the most."""


@dataclass(kw_only=True)
class Tally:
    """How many contents, and their bytes in packs."""

    count: int = 0
    size: int = 0

    def add(self, entry: IndexEntry) -> None:
        """Count one."""
        self.count += 1
        self.size += entry.packed_length


@dataclass(kw_only=True)
class Collection:
    """Result of a collection."""

    unused: Tally = field(default_factory=Tally)
    deleted: Tally = field(default_factory=Tally)
    """Marked as deleted by this collection. ``unused`` also counts contents that were marked earlier."""
    too_recent: Tally = field(default_factory=Tally)
    too_recent_until_ns: int = 0
    """When the youngest unused content will be old enough."""
    in_use: Tally = field(default_factory=Tally)
    system: Tally = field(default_factory=Tally)
    recovered: Tally = field(default_factory=Tally)

    def statistics(self) -> TaskStatistics:
        """Return what Kopia records of a collection."""
        names = {
            "unreferenced": self.unused,
            "deleted": self.deleted,
            "unreferencedRecent": self.too_recent,
            "inUse": self.in_use,
            "inUseSystem": self.system,
            "recovered": self.recovered,
        }
        values = {}
        for name, tally in names.items():
            values[f"{name}ContentCount"] = tally.count
            values[f"{name}ContentSize"] = tally.size
        return TaskStatistics(kind=STATISTICS_KIND, values=values)


def may_find_garbage(repository: Core, *, started: int, safety: Safety) -> bool:
    """Return True if a collection could change anything: a content is old enough, or one is marked as deleted.

    For the arguments see ``collect_garbage``. This follows no snapshot.
    """
    second = (started - safety.gc_min_age_ns) // 1_000_000_000 + 1  # the first that is not old enough
    return not all(file.is_live_since(second) for file in repository.contents.indexes.merged.files)


def collect_garbage(
    repository: Core,
    view: CompleteView,
    *,
    started: int,
    safety: Safety,
    check: Check = no_check,
    dry_run: bool = False,
) -> Collection:
    """Mark contents that no snapshot needs as deleted, and undelete marked contents that a snapshot needs.

    Snapshots that others take meanwhile are followed too, and a content that somebody has written again since this began is
    left alone.

    Args:
        repository: open for writing.
        view: the proof that storage and index fit together, with packs.
        started: when maintenance began, by the storage's clock; nanoseconds since 1970.
        safety: how old garbage must be.
        check: called now and then; may raise to stop.
        dry_run: only look.

    Raises:
        MaintenanceError: a snapshot can't be followed to its end; nothing was marked.
        ContradictedViewError: snapshots need packs that are not there; nothing was marked.
        DamagedIndexError: a part of the index can't be read; nothing was marked.
        DamagedManifestError: a part of the manifests can't be read; nothing was marked.
    """
    indexes = repository.contents.indexes
    indexes.check_complete("collect garbage")
    repository.manifests.check_complete("collect garbage")
    live = LiveContents(indexes.merged, repository.caches.folder)
    try:
        marking = _Marking(repository, live, check)
        marking.mark_snapshots()
        repository.refresh()
        marking.mark_snapshots()  # snapshots that were saved meanwhile
        indexes.check_complete("collect garbage")
        repository.manifests.check_complete("collect garbage")
        _check_packs(repository, view, live)
        return _Sweep(repository, started, safety, check).run(live, dry_run=dry_run)
    finally:
        live.close()


def _check_packs(repository: Core, view: CompleteView, live: LiveContents) -> None:
    """Verify that the packs of all contents that snapshots need exist.

    Raises:
        ContradictedViewError: they are not.
    """
    listed = view.pack_names
    absent = {entry.pack_blob for entry, used in live.entries() if used and entry.pack_blob not in listed}
    # others may have written or moved contents since the packs were listed
    missing = tuple(name for name in sorted(absent) if not _is_there(repository, name))
    require(examine(ViewFacts(missing_packs=missing)), "collect garbage", repository)


def _is_there(repository: Core, pack: BlobID) -> bool:
    try:
        repository.storage.metadata(pack)
    except BlobNotFoundError:
        return False
    return True


# --- marking ---------------------------------------------------------------------------------------------------------


_DIGITS = frozenset("0123456789abcdef")


class _Marking:
    """Follows snapshots and marks all contents that they need."""

    def __init__(self, repository: Core, live: LiveContents, check: Check) -> None:
        self._repository = repository
        self._objects = repository.objects
        self._live = live
        self._check = check
        self._done: set[ManifestID] = set()
        self._indirect: set[str] = set()
        """Directories that are lists of chunks and were followed: few."""
        self._steps = 0

    def mark_snapshots(self) -> None:
        """Follow all snapshots that have not been followed yet, incomplete ones too."""
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
            name = f"{snapshot.source}@{entry.id}"
            if snapshot.root_entry is None:
                raise MaintenanceError(f"garbage can't be collected: snapshot {name} has no root; delete it")
            self._tree(name, snapshot.root_entry)
            self._done.add(entry.id)

    def _tree(self, name: str, root: DirectoryEntry) -> None:
        stack = [(name, root)]
        while stack:
            path, entry = stack.pop()
            try:
                if entry.type != DIRECTORY:
                    self._object(entry.object_id)
                elif self._directory(entry.object_id):
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
            if object_id in self._indirect:
                return False
            self._indirect.add(object_id)
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

    def _mark(self, content_id: str, flag: int = 1) -> bool:
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


# --- sweeping --------------------------------------------------------------------------------------------------------


class _Sweep:
    """Decides for each content of the index whether it is kept, marked as deleted or undeleted, and does so."""

    def __init__(self, repository: Core, started: int, safety: Safety, check: Check) -> None:
        self._repository = repository
        self._started, self._safety, self._check = started, safety, check
        self._result = Collection()

    def run(self, live: LiveContents, *, dry_run: bool) -> Collection:
        """Go through all contents; commit what was marked from time to time and at the end."""
        if dry_run:
            self._each(live, delete=None, undelete=None, flush=lambda: None)
            return self._result
        with RepositoryWriter(self._repository) as writer:
            contents = writer.contents
            self._each(live, delete=contents.delete, undelete=contents.undelete, flush=writer.flush)
            self._check()
        return self._result

    def _each(
        self,
        live: LiveContents,
        *,
        delete: Callable[..., object] | None,
        undelete: Callable[..., object] | None,
        flush: Callable[[], None],
    ) -> None:
        result = self._result
        for number, (entry, used) in enumerate(live.entries()):
            if number % CHECK_EVERY == 0:
                self._check()
            decision = decide_content(entry, used=used, started=self._started, safety=self._safety)
            if decision == "system":
                result.system.add(entry)
            elif decision in {"keep", "undelete"}:
                result.in_use.add(entry)
                if decision == "undelete":
                    self._recover(entry, undelete)
            elif self._is_hidden(entry):
                pass
            elif decision == "too-recent":
                result.too_recent.add(entry)
                ready = entry.timestamp * 1_000_000_000 + self._safety.gc_min_age_ns
                result.too_recent_until_ns = max(result.too_recent_until_ns, ready)
            else:
                result.unused.add(entry)
                if decision == "delete" and self._is_unchanged(entry):
                    result.deleted.add(entry)
                    if delete is not None:
                        delete(entry.content_id)
                        if result.deleted.count % FLUSH_EVERY == 0:
                            self._check()
                            flush()

    def _recover(self, entry: IndexEntry, undelete: Callable[..., object] | None) -> None:
        if undelete is not None:
            try:
                undelete(entry.content_id)
            except PykopiaError as error:
                raise MaintenanceError(
                    f"content {entry.content_id} is needed by a snapshot and was marked as deleted, and it can't be brought "
                    f"back: {error}; `snapshot verify` tells which files are concerned"
                ) from error
        self._result.recovered.add(entry)

    def _is_hidden(self, entry: IndexEntry) -> bool:
        return entry.deleted and self._repository.contents.indexes.merged.find(key_of(entry.content_id)) is None

    def _is_unchanged(self, entry: IndexEntry) -> bool:
        """Return True if the content was not written again since it was marked."""
        return self._repository.contents.find(key_of(entry.content_id)) == entry


__all__ = ["STATISTICS_KIND", "Collection", "Tally", "collect_garbage", "may_find_garbage"]
