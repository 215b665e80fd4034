"""What maintenance does for the index: one contract for both layouts.

The cycle that orders the tasks is the same for all repositories; which tasks there are depends on the layout of the index.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from pykopia.dataclass import dataclass
from pykopia.errors import UsageError
from pykopia.format import maintenance_plan as plan
from pykopia.format.complete_view import CompleteView
from pykopia.format.legacy_index import MAX_SMALL_BLOBS
from pykopia.format.maintenance_schedule import TaskStatistics
from pykopia.maintenance import epochs, legacy_indexes
from pykopia.maintenance.blobs import Check
from pykopia.repository.core import Core

Tasks: TypeAlias = Mapping[str, Callable[[], TaskStatistics]]
"""Tasks by their names, in the order in which they are carried out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimization:
    """What is asked for when the index is optimized by hand."""

    max_small_blobs: int = MAX_SMALL_BLOBS
    all_indexes: bool = False
    drop_deleted_before_ns: int | None = None
    drop_contents: Sequence[bytes] = ()
    """Index keys."""


class IndexUpkeep(Protocol):
    """Maintenance of the index of one repository."""

    @property
    def quick_moves_contents(self) -> bool:
        """Whether quick maintenance also rewrites short metadata packs and deletes unused ones (format 03 §8)."""

    def needs_packs(self) -> bool:
        """Return True if a quick run does what can't be done without a proof that includes the packs."""

    def quick_tasks(self, view: CompleteView, check: Check) -> Tasks:
        """Return the tasks of quick maintenance."""

    def full_tasks(self, view: CompleteView, check: Check) -> Tasks:
        """Return the tasks of full maintenance, which come after those that delete packs."""

    def drop_deleted(self, view: CompleteView, before_ns: int, check: Check) -> TaskStatistics:
        """Let contents that were deleted before a time, in nanoseconds since 1970, no longer be found."""

    def check_can(self, wanted: Optimization) -> None:
        """Refuse what the layout can't do.

        Raises:
            UsageError: single contents are to be dropped, and the index is kept in epochs.
        """

    def optimize(self, view: CompleteView, wanted: Optimization, check: Check) -> None:
        """Put index blobs together by hand."""


class EpochUpkeep:
    """See ``IndexUpkeep``, for an index in epochs."""

    quick_moves_contents = False

    def __init__(self, repository: Core) -> None:
        self._repository = repository

    def needs_packs(self) -> bool:
        """See ``IndexUpkeep.needs_packs``."""
        return epochs.has_work(self._repository)

    def quick_tasks(self, view: CompleteView, check: Check) -> Tasks:
        """See ``IndexUpkeep.quick_tasks``."""
        repository = self._repository
        return {
            plan.COMPACT_EPOCH: lambda: epochs.compact_single_epoch(repository, view),
            plan.ADVANCE_EPOCH: lambda: epochs.advance_epoch(repository),
        }

    def full_tasks(self, view: CompleteView, check: Check) -> Tasks:
        """See ``IndexUpkeep.full_tasks``."""
        repository = self._repository
        return {
            **self.quick_tasks(view, check),
            plan.RANGE_CHECKPOINT: lambda: epochs.generate_range(repository, view),
            plan.CLEANUP_MARKERS: lambda: epochs.clean_up_markers(repository, view, check=check),
            plan.DELETE_SUPERSEDED: lambda: epochs.delete_superseded(repository, view, check=check),
        }

    def drop_deleted(self, view: CompleteView, before_ns: int, check: Check) -> TaskStatistics:
        """See ``IndexUpkeep.drop_deleted``."""
        return epochs.drop_deleted(self._repository, view, before_ns=before_ns)

    def check_can(self, wanted: Optimization) -> None:
        """See ``IndexUpkeep.check_can``."""
        if wanted.drop_contents:
            raise UsageError(
                "--drop-contents needs an index of format version 1; `content delete` and maintenance do it here"
            )

    def optimize(self, view: CompleteView, wanted: Optimization, check: Check) -> None:
        """See ``IndexUpkeep.optimize``."""
        if wanted.drop_deleted_before_ns is not None:
            self.drop_deleted(view, wanted.drop_deleted_before_ns, check)
        epochs.compact_single_epoch(self._repository, view)
        epochs.generate_range(self._repository, view)


class LegacyUpkeep:
    """See ``IndexUpkeep``, for an index of format version 1."""

    quick_moves_contents = True

    def __init__(self, repository: Core, *, settles: bool) -> None:
        self._repository = repository
        self._settles = settles

    def needs_packs(self) -> bool:
        """See ``IndexUpkeep.needs_packs``."""
        return True

    def quick_tasks(self, view: CompleteView, check: Check) -> Tasks:
        """See ``IndexUpkeep.quick_tasks``."""
        return {plan.INDEX_COMPACTION: lambda: self._compact(view, Optimization(), check)}

    def full_tasks(self, view: CompleteView, check: Check) -> Tasks:
        """See ``IndexUpkeep.full_tasks``: the drop of deleted contents has compacted the index."""
        return {}

    def drop_deleted(self, view: CompleteView, before_ns: int, check: Check) -> TaskStatistics:
        """See ``IndexUpkeep.drop_deleted``."""
        return self._compact(view, Optimization(max_small_blobs=0, drop_deleted_before_ns=before_ns), check)

    def check_can(self, wanted: Optimization) -> None:
        """See ``IndexUpkeep.check_can``: everything."""

    def optimize(self, view: CompleteView, wanted: Optimization, check: Check) -> None:
        """See ``IndexUpkeep.optimize``."""
        self._compact(view, wanted, check)

    def _compact(self, view: CompleteView, wanted: Optimization, check: Check) -> TaskStatistics:
        return legacy_indexes.compact_indexes(
            self._repository,
            view,
            max_small_blobs=wanted.max_small_blobs,
            all_indexes=wanted.all_indexes,
            drop_deleted_before_ns=wanted.drop_deleted_before_ns,
            drop_contents=wanted.drop_contents,
            settles=self._settles,
            check=check,
        )


def index_upkeep(repository: Core, *, settles: bool = True) -> IndexUpkeep:
    """Return how the index of a repository is maintained.

    Args:
        repository: open for writing.
        settles: see ``compact_indexes``.
    """
    if repository.contents.indexes.layout.drops_entries:
        return LegacyUpkeep(repository, settles=settles)
    return EpochUpkeep(repository)


__all__ = ["EpochUpkeep", "IndexUpkeep", "LegacyUpkeep", "Optimization", "Tasks", "index_upkeep"]
