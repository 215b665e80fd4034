"""Maintenance of an open repository: ``repository.maintenance``."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Literal

import pykopia
from pykopia import clock
from pykopia.arguments import check_choice, check_fields, check_kind
from pykopia.crew import both
from pykopia.dataclass import dataclass
from pykopia.errors import MaintenanceBusyError, MaintenanceNotOwnedError, UsageError
from pykopia.format.blob_names import PACK_PREFIXES
from pykopia.format.gotime import format_time
from pykopia.format.maintenance_plan import (
    DELETED_BY_FULL,
    FULL_SAFETY,
    NO_SAFETY,
    SAFETY,
    Mode,
    may_delete_packs_from,
    plan_mode,
)
from pykopia.format.maintenance_schedule import (
    CycleParameters,
    MaintenanceParameters,
    MaintenanceSchedule,
)
from pykopia.format.maintenance_warnings import last_success_ns, plan_warnings
from pykopia.maintenance.lease import FoundLease, Lease, find_leases, maintaining
from pykopia.maintenance.marking import MarkWorkers
from pykopia.maintenance.report import Ledger, MaintenanceResult, make_ledger
from pykopia.maintenance.stored import (
    change_schedule,
    client_name,
    read_parameters,
    read_schedule,
    write_parameters,
)
from pykopia.storage.ahead import BELIEVED_SECONDS, Request

log = logging.getLogger(__name__)

ME = "me"
"""Owner name that means the client of the connection."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaintenanceInfo:
    """State of the maintenance of a repository."""

    parameters: MaintenanceParameters
    schedule: MaintenanceSchedule
    client: str
    """``user@host`` of this connection."""
    leases: tuple[FoundLease, ...]
    """Leases of running maintenance, and of runs that did not end properly."""
    last_success_ns: int | None
    """When anything was last done with success; nanoseconds since 1970."""
    warnings: tuple[str, ...]
    """Warnings for the user."""

    @property
    def owned(self) -> bool:
        """Whether this client maintains the repository."""
        return self.parameters.owner == self.client


@dataclass(frozen=True, kw_only=True, slots=True)
class MaintenanceChanges:
    """Changes for ``Maintenance.set``; None leaves a value as it is."""

    owner: str | None = None
    """``user@host``, or ``me``."""
    quick_enabled: bool | None = None
    full_enabled: bool | None = None
    quick_interval_ns: int | None = None
    full_interval_ns: int | None = None
    pause_quick_ns: int | None = None
    """Nanoseconds from now until the next quick maintenance."""
    pause_full_ns: int | None = None
    max_retained_log_count: int | None = None
    max_retained_log_age_ns: int | None = None
    max_retained_log_size: int | None = None
    """Bytes."""
    extend_object_locks: bool | None = None
    list_parallelism: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self)


class Maintenance:
    """Runs and configures the maintenance of a repository."""

    def __init__(self, repository: "pykopia.Repository") -> None:
        self._repository = repository
        self._begun: tuple[float, Request[MaintenanceSchedule]] | None = None

    def __repr__(self) -> str:
        return f"<Maintenance of {self._repository!r}>"

    # ------------------------------------------------------------------ looking

    def parameters(self) -> MaintenanceParameters:
        """Return the parameters; the defaults, without an owner, in a repository that has none."""
        return read_parameters(self._repository) or MaintenanceParameters()

    def schedule(self) -> MaintenanceSchedule:
        """Return when maintenance is due, and what its last runs did."""
        return read_schedule(self._repository)

    def look_ahead(self) -> None:
        """Begin to read when maintenance is due, for a call of ``run`` of this object in the next seconds."""
        if not self._repository.storage.is_local:
            self._begun = clock.monotonic(), Request(self.schedule)

    def _recent_schedule(self) -> MaintenanceSchedule:
        """Return the schedule that reading was begun for, once, if that is not long ago."""
        begun, self._begun = self._begun, None
        if begun is not None:
            since, request = begun
            if clock.monotonic() - since < BELIEVED_SECONDS:
                return request.result()
            request.join()
        return self.schedule()

    def info(self) -> MaintenanceInfo:
        """Return how the repository is maintained, and what is wrong with that."""
        parameters, schedule = self.parameters(), self.schedule()
        client = client_name(self._repository)
        return MaintenanceInfo(
            parameters=parameters,
            schedule=schedule,
            client=client,
            leases=tuple(find_leases(self._repository)),
            last_success_ns=last_success_ns(schedule),
            warnings=plan_warnings(parameters, schedule, client=client, now=clock.now()),
        )

    def ledger(self, *, executor: Executor | None = None, parts: int | None = None) -> Ledger:
        """Return the bytes of the repository by use, and which rule keeps unused ones from being freed.

        This follows all snapshots, as full maintenance does, and changes nothing.

        Args:
            executor: follows the snapshots, as in ``run``.
            parts: of an executor; 32 when not given.
        """
        workers = self._workers(executor, parts)
        from pykopia.maintenance import blobs  # noqa: PLC0415 -- as in _run
        from pykopia.maintenance.snapshot_gc import collect_garbage  # noqa: PLC0415

        repository = self._repository
        now = clock.now()
        view = blobs.look_before_deletion(
            repository, started=now, safety=FULL_SAFETY, what="tell where the bytes of the repository are"
        )
        collection = collect_garbage(repository, view, started=now, safety=FULL_SAFETY, workers=workers, dry_run=True)
        deletion = blobs.plan_unused_packs(repository, view, started=now, safety=FULL_SAFETY, prefixes=DELETED_BY_FULL)
        return make_ledger(
            repository,
            blobs.list_blobs(repository.storage, PACK_PREFIXES),
            deletion,
            collection,
            delete_from_ns=may_delete_packs_from(self.schedule(), FULL_SAFETY),
        )

    # ------------------------------------------------------------------ running

    def run(
        self,
        mode: Mode | Literal["auto"] = "auto",
        *,
        safety: str = "full",
        force: bool = False,
        on_task: Callable[[str], None] | None = None,
        executor: Executor | None = None,
        parts: int | None = None,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> MaintenanceResult:
        """Maintain the repository.

        Full maintenance deletes what no snapshot refers to, such as objects that an application has stored by itself:
        ``repository.snapshots.put`` makes a snapshot of them, which keeps them.

        Args:
            mode: ``quick``, ``full``, or ``auto``: what is due, if this client is the owner and no other process
                maintains the repository.
            safety: ``full``, or ``none``: wait for nothing, which destroys data when another client uses the repository.
            force: although another client is the owner.
            on_task: called with the name of each task that begins.
            executor: reads the folders of all snapshots in parts, to find what is in use, in threads, processes or machines
                that can open the repository by ``repository.connection``. A part whose worker is lost is done again; when a
                part can't be done, nothing is marked or deleted.
            parts: of an executor; 32 when not given.
            monotonic: a clock that is never set, to compare with the one that is.

        Raises:
            MaintenanceNotOwnedError: another client is the owner (not with ``auto``).
            MaintenanceBusyError: another process maintains the repository (not with ``auto``), or took over.
            ClockError: the clocks of this machine and the storage disagree.
            MaintenanceError: garbage could not be collected; nothing was marked.
            ContradictedViewError: storage, index and snapshots contradict each other; nothing was done.
            ReadOnlyRepositoryError: the repository is connected read-only.
        """
        check_choice("mode", mode, ("auto", "quick", "full"))
        check_choice("safety", safety, SAFETY)
        repository, workers = self._repository, self._workers(executor, parts)
        if mode == "auto" and repository.read_only:
            return MaintenanceResult(mode=None, reason="the repository is connected read-only")
        repository.check_writable("maintain the repository")
        repository.check_not_locked()
        schedule, _ = both(self._recent_schedule, lambda: repository.manifests.check_complete("run maintenance"))
        parameters = self._owned_parameters(may_take=mode != "auto")
        client, now = client_name(repository), clock.now()
        result = MaintenanceResult(
            mode=None,
            owner=parameters.owner,
            client=client,
            last_success_ns=last_success_ns(schedule),
            start_ns=now,
            end_ns=now,
            warnings=plan_warnings(parameters, schedule, client=client, now=now),
        )
        if parameters.owner != client and not force:
            if mode == "auto":
                if not parameters.owner:
                    log.warning(
                        "nobody maintains this repository; `maintenance set --owner=me` makes this client do so"
                    )
                return replace(result, reason=f"maintenance is done by {parameters.owner or 'nobody'}")
            raise MaintenanceNotOwnedError(parameters.owner, client)
        if mode == "auto" and plan_mode(parameters, schedule, now=now) is None:
            return replace(result, reason="nothing is due")
        read: list[MaintenanceSchedule] = []
        try:
            with maintaining(repository, monotonic=monotonic, meanwhile=lambda: read.append(self.schedule())) as lease:
                (schedule,) = read
                # another process may have done it while this one was at something else
                chosen = plan_mode(parameters, schedule, now=now) if mode == "auto" else mode
                if chosen is None:
                    return replace(result, reason="nothing is due any more")
                return self._run(
                    result, chosen, parameters, schedule, safety, lease, on_task, workers, asked_for=mode != "auto"
                )
        except MaintenanceBusyError as error:
            if mode != "auto":
                raise
            return replace(result, reason=str(error))

    def _run(
        self,
        result: MaintenanceResult,
        mode: Mode,
        parameters: MaintenanceParameters,
        schedule: MaintenanceSchedule,
        safety: str,
        lease: Lease,
        on_task: Callable[[str], None] | None,
        workers: MarkWorkers | None,
        *,
        asked_for: bool,
    ) -> MaintenanceResult:
        repository = self._repository
        if SAFETY[safety] is NO_SAFETY:
            self._warn_of_writers()
        from pykopia.maintenance import blobs  # noqa: PLC0415 -- after most snapshots nothing is due
        from pykopia.maintenance.cycle import Cycle  # noqa: PLC0415

        cycle = Cycle(
            repository,
            parameters,
            SAFETY[safety],
            schedule=schedule,
            started=lease.taken_ns,
            check=lease.check,
            on_task=on_task,
            workers=workers,
            asked_for=asked_for,
        )
        cycle.run(mode)
        deleted = cycle.deleted.delete
        return replace(
            result,
            mode=mode,
            end_ns=clock.now(),
            tasks=tuple(cycle.reports),
            deleted_blobs=len(deleted),
            deleted_size=blobs.total(deleted),
            ledger=cycle.ledger,
            warnings=plan_warnings(parameters, cycle.schedule, client=result.client, now=clock.now()),
        )

    def _workers(self, executor: Executor | None, parts: int | None) -> MarkWorkers | None:
        if executor is None:
            return None
        from pykopia.api.executors import FollowingBy  # noqa: PLC0415 -- as in _run

        return FollowingBy(self._repository, executor, parts)

    def _warn_of_writers(self) -> None:
        from pykopia.maintenance import blobs  # noqa: PLC0415 -- as in _run

        for session in blobs.active_sessions(self._repository).values():
            log.warning(
                "without safety times, what %s@%s has been writing since %s is lost if it has not ended",
                session.username,
                session.hostname,
                format_time(session.start_time_ns),
            )

    def _owned_parameters(self, *, may_take: bool) -> MaintenanceParameters:
        """Return the parameters; those of a repository that has none begin with this client as the owner, as in Kopia."""
        found = read_parameters(self._repository)
        if found is None:
            found = MaintenanceParameters(owner=client_name(self._repository) if may_take else "")
            if may_take:
                write_parameters(self._repository, found)
        return found

    # ------------------------------------------------------------------ configuring

    def set(self, changes: MaintenanceChanges) -> MaintenanceInfo:
        """Change the owner of maintenance, how often it runs, and which logs are kept.

        Raises:
            UsageError: nothing changes, or object locks could end too early; nothing was written.
        """
        check_kind("changes", changes, MaintenanceChanges)
        if changes == MaintenanceChanges():
            raise UsageError("no changes specified: name what to set, such as an owner or an interval")
        repository = self._repository
        repository.check_writable("change how the repository is maintained")
        before = self._owned_parameters(may_take=changes.owner is None)
        parameters = changed_parameters(before, changes, client=client_name(repository))
        warning = parameters.check(repository.blob_configuration)
        if warning:
            log.warning("%s", warning)
        if changes.pause_quick_ns is not None or changes.pause_full_ns is not None:
            change_schedule(repository, lambda schedule: _paused(schedule, changes, clock.now()))
        if parameters != before or read_parameters(repository) is None:
            repository.manifests.check_complete("change how the repository is maintained")
            write_parameters(repository, parameters)
        return self.info()


def changed_parameters(
    parameters: MaintenanceParameters, changes: MaintenanceChanges, *, client: str
) -> MaintenanceParameters:
    """Return parameters with changes applied."""
    retention = parameters.log_retention
    if changes.max_retained_log_count is not None:
        retention = replace(retention.effective, max_count=changes.max_retained_log_count)
    if changes.max_retained_log_age_ns is not None:
        retention = replace(retention.effective, max_age_ns=changes.max_retained_log_age_ns)
    if changes.max_retained_log_size is not None:
        retention = replace(retention.effective, max_total_size=changes.max_retained_log_size)
    if changes.owner is not None:
        parameters = replace(parameters, owner=client if changes.owner == ME else changes.owner)
    if changes.extend_object_locks is not None:
        parameters = replace(parameters, extend_object_locks=changes.extend_object_locks)
    if changes.list_parallelism is not None:
        parameters = replace(parameters, list_parallelism=changes.list_parallelism)
    return replace(
        parameters,
        quick=_cycle(parameters.quick, changes.quick_enabled, changes.quick_interval_ns),
        full=_cycle(parameters.full, changes.full_enabled, changes.full_interval_ns),
        log_retention=retention,
    )


def _cycle(cycle: CycleParameters, enabled: bool | None, interval_ns: int | None) -> CycleParameters:
    if enabled is not None:
        cycle = replace(cycle, enabled=enabled)
    return cycle if interval_ns is None else replace(cycle, interval_ns=interval_ns)


def _paused(schedule: MaintenanceSchedule, changes: MaintenanceChanges, now: int) -> MaintenanceSchedule:
    if changes.pause_quick_ns is not None:
        schedule = replace(schedule, next_quick_ns=now + changes.pause_quick_ns)
    if changes.pause_full_ns is not None:
        schedule = replace(schedule, next_full_ns=now + changes.pause_full_ns)
    return schedule


__all__ = ["ME", "Maintenance", "MaintenanceChanges", "MaintenanceInfo", "changed_parameters"]
