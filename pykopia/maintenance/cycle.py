"""One run of maintenance: which tasks, in which order, each recorded in the schedule (format 03 §8 and §9)."""

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from pykopia import clock
from pykopia.crew import in_parallel
from pykopia.errors import PykopiaError
from pykopia.format import maintenance_plan as plan
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import LOG_PREFIX, METADATA_PACK_PREFIX, PACK_PREFIXES
from pykopia.format.complete_view import CompleteView
from pykopia.format.index_merge import MergedIndex
from pykopia.format.maintenance_plan import DELETED_BY_FULL, DELETED_BY_QUICK, Mode, PackDeletion, Safety
from pykopia.format.maintenance_schedule import MaintenanceParameters, MaintenanceSchedule, TaskRun, TaskStatistics
from pykopia.maintenance import blobs, rewrite
from pykopia.maintenance.blobs import Check
from pykopia.maintenance.index_upkeep import index_upkeep
from pykopia.maintenance.marking import MarkWorkers
from pykopia.maintenance.report import Ledger, TaskReport, make_ledger
from pykopia.maintenance.snapshot_gc import Collection, collect_garbage, may_find_garbage
from pykopia.maintenance.stored import change_schedule, read_schedule, write_schedule
from pykopia.repository.core import Core
from pykopia.repository.view import complete_view

log = logging.getLogger(__name__)

_NOTHING = PackDeletion(delete=(), kept=())
_RECORDED_AT_ONCE = frozenset({plan.DROP_DELETED, plan.FULL_REWRITE, plan.QUICK_REWRITE})
"""Tasks that later runs must know of, also when this one is killed, if they have changed anything."""
_RECORD_WITHIN_NS = 10 * 1_000_000_000
"""Nanoseconds for which the record of a task may wait for those of the next tasks: each is a request for read and write."""


class Cycle:
    """A quick or full run; the caller holds the lease."""

    def __init__(
        self,
        repository: Core,
        parameters: MaintenanceParameters,
        safety: Safety,
        *,
        schedule: MaintenanceSchedule,
        started: int,
        check: Check,
        on_task: Callable[[str], None] | None = None,
        workers: MarkWorkers | None = None,
        asked_for: bool = True,
    ) -> None:
        """Prepare a run.

        Args:
            repository: open for writing.
            parameters: of maintenance.
            safety: how long is waited before what can't be undone.
            schedule: as it was read under the lease.
            started: when the lease was taken, by the storage's clock; nanoseconds since 1970.
            check: raises when this process must stop, asked before what can't be undone.
            on_task: called with the name of each task that begins.
            workers: follow the snapshots; None: this process does.
            asked_for: whether the caller waits for the result; if not, snapshots are followed only if that can free
                anything, which it can't on the first day of a repository.
        """
        self._asked_for = asked_for
        self._repository = repository
        self._parameters = parameters
        self._safety = safety
        self._indexes = index_upkeep(repository, settles=safety.settles)
        self._check = check
        self._on_task = on_task
        self._workers = workers
        self._started = started
        self._collection: Collection | None = None
        self._full_run = False
        self._uncollected = "it is still to come"
        self._deletion: PackDeletion | None = None
        self._packs: list[BlobMetadata] | None = None
        self._view: CompleteView | None = None
        self._seen_index: MergedIndex | None = None
        self._schedule = schedule
        self._logs: Sequence[BlobMetadata] | None = None
        self._unrecorded: list[tuple[str, TaskRun]] = []
        self._unrecorded_since = 0
        self.reports: list[TaskReport] = []
        self.deleted: PackDeletion = _NOTHING
        self.ledger: Ledger | None = None

    def run(self, mode: Mode) -> None:
        """Run all tasks of a cycle that may run now.

        Raises:
            ContradictedViewError: storage, index and snapshots contradict each other; this is recorded, nothing was done.
            PykopiaError: a task failed; it is recorded, and the tasks behind it were not begun.
        """
        self._full_run = mode == "full"
        self._begin(mode)
        self._look(mode)
        try:
            if mode == "full":
                self._full()
            else:
                self._quick()
        except BaseException:
            with contextlib.suppress(PykopiaError):  # the error of the task matters more
                self._record_all()
            raise
        self._record_all()

    @property
    def schedule(self) -> MaintenanceSchedule:
        """The schedule as this run stored it last, and what is still to be stored."""
        return _with_runs(self._schedule, self._unrecorded)

    def _begin(self, mode: Mode) -> None:
        """Schedule the next runs first, so that a crash is not repeated at once; meanwhile list what is listed anyway."""
        parameters, now, full = self._parameters, clock.now(), mode == "full"
        schedule = replace(self._schedule, next_quick_ns=now + parameters.quick.interval_ns)
        if full:
            schedule = replace(schedule, next_full_ns=now + parameters.full.interval_ns)
        look = self._list_packs if full or self._asked_for else self._repository.refresh
        steps = [lambda: write_schedule(self._repository, schedule), look, *([self._list_logs] if full else [])]
        in_parallel(lambda step: step(), steps, threads=len(steps), name="pykopia-maintenance")
        self._schedule = schedule
        self._repository.contents.indexes.check_complete("run maintenance")
        self._repository.manifests.check_complete("run maintenance")

    def _list_logs(self) -> None:
        self._logs = list(self._repository.storage.list(LOG_PREFIX))

    def _list_packs(self) -> None:
        self._packs = blobs.list_blobs(self._repository.storage, PACK_PREFIXES, self._parameters.list_parallelism)

    def _look(self, mode: Mode) -> None:
        """Verify that storage and index fit together before anything is marked, moved, merged or deleted.

        Packs are listed once, before the index is loaded anew: those that come later are too young to be deleted by this run.
        """
        repository = self._repository
        first = plan.SNAPSHOT_GC if mode == "full" else plan.COMPACT_EPOCH
        start = clock.now()
        try:
            if self._packs is None and self._indexes.needs_packs():
                self._list_packs()
            if self._packs is None:
                self._view = complete_view(repository, "run maintenance")
            else:
                self._view = self._look_again("run maintenance")
            self._seen_index = repository.contents.indexes.merged
            repository.manifests.check_complete("run maintenance")
        except PykopiaError as error:
            with contextlib.suppress(PykopiaError):
                self._record(first, TaskRun(start_ns=start, end_ns=clock.now(), error=str(error)))
            raise

    def _look_again(self, what: str, uncollected: str = "") -> CompleteView:
        return blobs.look_before_deletion(
            self._repository,
            started=self._started,
            safety=self._safety,
            listed=self._packs,
            uncollected=uncollected,
            what=what,
        )

    @property
    def view(self) -> CompleteView:
        """The proof that storage and index fit together."""
        assert self._view is not None
        return self._view

    # ------------------------------------------------------------------ cycles

    def _quick(self) -> None:
        moves = self._indexes.quick_moves_contents
        if moves:
            self._rewrite("quick")
            full = plan.had_recent_full_rewrite(self.schedule)
            self._delete_packs("full" if full else "quick")
        for task, action in self._indexes.quick_tasks(self.view, self._check).items():
            self._task(task, action)
        if moves:
            self._delete_logs()

    def _full(self) -> None:
        repository = self._repository
        self._collect()
        self._rewrite("full")
        self._drop()
        self._delete_packs("full")
        if self._parameters.extend_object_locks:
            self._task(plan.EXTEND_RETENTION, lambda: blobs.extend_locks(repository, check=self._check))
        for task, action in self._indexes.full_tasks(self.view, self._check).items():
            self._task(task, action)
        self._delete_logs()
        self.ledger = self._make_ledger()

    # ------------------------------------------------------------------ tasks

    def _collect(self) -> None:
        """Collect garbage, unless all contents are too young. Without a collection no content is dropped and no pack deleted."""
        if not self._asked_for and not may_find_garbage(self._repository, started=self._started, safety=self._safety):
            self._uncollected = "all contents are too young to be garbage"
            self._left_out(plan.SNAPSHOT_GC, self._uncollected)
            return
        self._task(plan.SNAPSHOT_GC, self._collect_now)
        self._uncollected = ""

    def _collect_now(self) -> TaskStatistics:
        self._collection = collect_garbage(
            self._repository,
            self.view,
            started=self._started,
            safety=self._safety,
            check=self._check,
            workers=self._workers,
        )
        return self._collection.statistics()

    def _rewrite(self, mode: Mode) -> None:
        task = plan.FULL_REWRITE if mode == "full" else plan.QUICK_REWRITE
        if not plan.may_rewrite(self.schedule, self._safety, mode):
            self._left_out(task, "packs that the last rewrite has left are to be deleted first")
            return
        prefixes = PACK_PREFIXES if mode == "full" else (METADATA_PACK_PREFIX,)
        min_age = self._safety.rewrite_min_age_ns

        def move() -> TaskStatistics:
            found = rewrite.plan_short_packs(self._repository, prefixes=prefixes, min_age_ns=min_age)
            return rewrite.rewrite_contents(self._repository, self.view, found, check=self._check)

        self._task(task, move)

    def _drop(self) -> None:
        if self._uncollected:
            self._left_out(plan.DROP_DELETED, f"garbage was not collected: {self._uncollected}")
            return
        runs = self.schedule.runs.get(plan.SNAPSHOT_GC, ())
        before = plan.safe_drop_time(runs, self._safety, now=clock.now())
        if before is None:
            hours = self._safety.margin_between_gc_ns / 3.6e12
            self._left_out(
                plan.DROP_DELETED,
                f"it takes two garbage collections, the second more than {hours:g} hours after the first",
            )
            return
        self._task(plan.DROP_DELETED, lambda: self._indexes.drop_deleted(self.view, before, self._check))

    def _delete_packs(self, mode: Mode) -> None:
        task = plan.FULL_DELETE if mode == "full" else plan.QUICK_DELETE
        if self._full_run and self._uncollected:
            self._left_out(task, f"garbage was not collected: {self._uncollected}")
            return
        schedule = self.schedule
        if plan.may_delete_packs(schedule, self._safety, now=clock.now()):
            # of this moment: another program of the same owner, Kopia for one, knows nothing of the lease
            schedule = _with_runs(read_schedule(self._repository), self._unrecorded)
        if not plan.may_delete_packs(schedule, self._safety, now=clock.now()):
            until = plan.may_delete_packs_from(schedule, self._safety)
            self._left_out(task, "contents have just been moved, and other clients may not know yet", until)
            return
        self._task(task, lambda: self._delete_planned(mode))

    def _delete_planned(self, mode: Mode) -> TaskStatistics:
        view = self._look_again("delete unused packs", self._uncollected if self._full_run else "")
        found = self._plan_deletion(view, mode)
        unproven = [kept for kept in found.kept if kept.rule is plan.Rule.UNPROVEN]
        if unproven:
            reasons = view.unproven()
            first = unproven[0].blob.blob_id
            log.warning(
                "%d packs that no index entry names are kept: nothing proves that they are unused. %s, for one: %s. "
                "`index recover` shows what they hold, `index recover --commit` lists it in the index again",
                len(unproven),
                first,
                reasons.get(first, "its session has such packs"),
            )
        statistics = blobs.delete_unused_packs(
            self._repository, view, found, check=self._check, parallel=self._parameters.list_parallelism
        )
        self.deleted, self._deletion = found, replace(found, delete=())
        return statistics

    def _plan_deletion(self, view: CompleteView, mode: Mode) -> PackDeletion:
        return blobs.plan_unused_packs(
            self._repository,
            view,
            started=self._started,
            safety=self._safety,
            prefixes=DELETED_BY_FULL if mode == "full" else DELETED_BY_QUICK,
        )

    def _delete_logs(self) -> None:
        retention = self._parameters.log_retention
        self._task(
            plan.CLEANUP_LOGS,
            lambda: blobs.delete_logs(
                self._repository, retention, listed=self._logs, now=clock.now(), check=self._check
            ),
        )

    def _make_ledger(self) -> Ledger:
        repository, deletion = self._repository, self._deletion
        unchanged = repository.contents.indexes.merged is self._seen_index
        if deletion is None:
            deletion = self._plan_deletion(
                self.view if unchanged else self._look_again("look for unused packs"), "full"
            )
        if unchanged and self._packs is not None:
            gone = {blob.blob_id for blob in self.deleted.delete}
            packs = [blob for blob in self._packs if blob.blob_id not in gone]
        else:
            packs = blobs.list_blobs(repository.storage, PACK_PREFIXES)
        return make_ledger(
            repository,
            packs,
            deletion,
            self._collection,
            delete_from_ns=plan.may_delete_packs_from(self.schedule, self._safety),
        )

    # ------------------------------------------------------------------ recording

    def _task(self, task: str, action: Callable[[], TaskStatistics]) -> None:
        """Run a task and record whether it succeeded or failed."""
        self._check()
        if self._on_task is not None:
            self._on_task(task)
        log.debug("maintenance: %s", task)
        start = clock.now()
        try:
            statistics = action()
        except Exception as error:
            with contextlib.suppress(PykopiaError):  # the error of the task matters more than one of its record
                self._record(task, TaskRun(start_ns=start, end_ns=clock.now(), error=str(error)))
            raise
        self.reports.append(TaskReport(task=task, statistics=statistics))
        run = TaskRun(start_ns=start, end_ns=clock.now(), success=True, extra=statistics.to_extra())
        self._record(task, run, at_once=task in _RECORDED_AT_ONCE and _changed_something(statistics))

    def _record(self, task: str, run: TaskRun, *, at_once: bool = True) -> None:
        """Record a run: at once, or together with the next ones, where losing the record does no more than delay things."""
        self._unrecorded_since = self._unrecorded_since if self._unrecorded else run.end_ns
        self._unrecorded.append((task, run))
        if at_once or not 0 <= run.end_ns - self._unrecorded_since < _RECORD_WITHIN_NS:
            self._record_all()

    def _record_all(self) -> None:
        runs = self._unrecorded
        if runs:
            self._schedule = change_schedule(self._repository, lambda schedule: _with_runs(schedule, runs))
            self._unrecorded = []

    def _left_out(self, task: str, why: str, until_ns: int | None = None) -> None:
        log.debug("maintenance: %s is left out: %s", task, why)
        self.reports.append(TaskReport(task=task, left_out=why, until_ns=until_ns))


def _changed_something(statistics: TaskStatistics) -> bool:
    return statistics.values is not None and statistics.values.get("rewrittenContentCount") != 0


def _with_runs(schedule: MaintenanceSchedule, runs: Sequence[tuple[str, TaskRun]]) -> MaintenanceSchedule:
    for task, run in runs:
        schedule = schedule.with_run(task, run)
    return schedule


__all__ = ["Cycle"]
