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
from pykopia.errors import MaintenanceError, PykopiaError
from pykopia.format.complete_view import CompleteView, ViewFacts, examine
from pykopia.format.content_id import key_of
from pykopia.format.index import IndexEntry
from pykopia.format.maintenance_plan import Safety, decide_content
from pykopia.format.maintenance_schedule import TaskStatistics
from pykopia.maintenance.blobs import Check, no_check
from pykopia.maintenance.live_contents import LiveContents
from pykopia.maintenance.marking import CHECK_EVERY, Marking, MarkWorkers
from pykopia.repository.core import Core
from pykopia.repository.format_blobs import has_blob
from pykopia.repository.view import require
from pykopia.repository.writer import RepositoryWriter

log = logging.getLogger(__name__)

STATISTICS_KIND: Final = "snapshotGCStats"
FLUSH_EVERY = 100_000
"""Contents that are marked as deleted between two flushes: a bound on memory."""


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
    workers: MarkWorkers | None = None,
    dry_run: bool = False,
) -> Collection:
    """Mark contents that no snapshot needs as deleted, and undelete marked contents that a snapshot needs.

    Snapshots that others take meanwhile are followed too, and a content that has been written again since this began is
    left alone.

    Args:
        repository: open for writing.
        view: the proof that storage and index fit together, with packs.
        started: when maintenance began, by the storage's clock; nanoseconds since 1970.
        safety: how old garbage must be.
        check: called now and then; may raise to stop.
        workers: follow the snapshots that there are at the beginning; None: this process does.
        dry_run: only look.

    Raises:
        MaintenanceError: a snapshot can't be followed to its end, or a worker's part was not done; nothing was marked.
        ContradictedViewError: snapshots need packs that are not there; nothing was marked.
        DamagedIndexError: a part of the index can't be read; nothing was marked.
        DamagedManifestError: a part of the manifests can't be read; nothing was marked.
    """
    indexes = repository.contents.indexes
    indexes.check_complete("collect garbage")
    repository.manifests.check_complete("collect garbage")
    live = LiveContents(indexes.merged, repository.caches.folder)
    try:
        marking = Marking(repository, live, check)
        if workers is None:
            marking.mark_snapshots()
        else:
            marking.mark_snapshots_by(workers)
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
    missing = tuple(name for name in sorted(absent) if not has_blob(repository.storage, name))
    require(examine(ViewFacts(missing_packs=missing)), "collect garbage", repository)


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
