"""The operation ``maintenance``: the quick cycle, then the full one, by the owner."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from pykopia import MaintenanceChanges, MaintenanceInfo, MaintenanceResult, Repository, clock
from pykopia.core import FORMAT_BLOB_ID, MAINTENANCE_ID
from pykopia.errors import CanceledError, ClockError, DamagedDataError, MaintenanceBusyError, RepositoryNotFoundError
from pykopia_mover.connecting import OWNER_HOST, OWNER_USER, open_repository
from pykopia_mover.failures import MoverError
from pykopia_mover.identity import Wanted, require_utf8
from pykopia_mover.output import timestamp
from pykopia_mover.report import Outcome
from pykopia_mover.run import Context
from pykopia_mover.settings import Settings

HOUR_NS: Final = 3600 * 1_000_000_000
FULL_EVERY_NS: Final = 12 * HOUR_NS
"""Nanoseconds after a full cycle in which no other one runs: many volumes of one repository each request it."""
ABANDONED_NS: Final = 72 * HOUR_NS
"""An owner without a run for this time and for two intervals counts as gone."""
GARBAGE_COLLECTION: Final = "snapshot-gc"
"""The task that every full cycle begins with."""

Decision = Literal["run", "take-over", "leave"]


def owner_of(settings: Settings) -> tuple[str, str]:
    """Return user and host as which this mover maintains repositories (rule M-141).

    >>> owner_of(Settings(maintenance_username="nightly")), owner_of(Settings(maintenance_username="u@h"))
    (('nightly', 'volsync'), ('u', 'h'))

    Raises:
        MoverError: their names are not UTF-8.
    """
    for name in (settings.maintenance_username, settings.maintenance_hostname):
        require_utf8(name, "the owner of maintenance")
    user, at, host = settings.maintenance_username.partition("@")
    return user or OWNER_USER, host if at and host else settings.maintenance_hostname or OWNER_HOST


def decide(owner: str, us: str, *, on_purpose: bool, last_ns: int, full_interval_ns: int, now_ns: int) -> Decision:
    """Decide whether to maintain a repository.

    Args:
        owner: recorded in it, empty for none.
        us: this mover.
        on_purpose: the user configured this mover for maintenance; it is no by-product of a backup.
        last_ns: when anything was last maintained, or else when the repository was made.
        full_interval_ns: time between two full cycles.
        now_ns: the time. All are nanoseconds, times since 1970.
    """
    if owner == us:
        return "run"
    movers = f"{OWNER_USER}@{OWNER_HOST}"
    abandoned = now_ns - last_ns > max(2 * full_interval_ns, ABANDONED_NS)
    if owner in {"", movers} or on_purpose or abandoned:
        return "take-over"
    return "leave"


def maintain(run: Context) -> Outcome:
    """Maintain the repository, if this mover is or may become its owner.

    Raises:
        MoverError: another process maintains the repository, the clocks disagree, or the run was stopped.
        PykopiaError: it can't be done.
    """
    output = run.output
    output.line("=== Starting maintenance ===")
    user, host = owner_of(run.settings)
    try:
        repository = open_repository(run, Wanted(user=user, host=host, path="", path_given=False))
    except RepositoryNotFoundError as error:
        raise MoverError("no-repository", str(error), "A repository is created by the first backup") from error
    with repository:
        _replace_damaged_schedule(run, repository, us=f"{user}@{host}")
        info = repository.maintenance.info()
        skipped = _reason_to_leave(run, repository, info)
        if skipped:
            return Outcome(result="skipped", message=skipped)
        ran = _cycles(run, repository)
        _tell_times(run, repository)
    took = f"{', '.join(each.mode or '' for each in ran)}" if ran else "nothing"
    freed = sum(each.deleted_size for each in ran)
    seconds = sum((each.end_ns - each.start_ns) // 1_000_000_000 for each in ran)
    run.notes.add(maintenance={"ran": [each.mode for each in ran], "freedBytes": freed, "took": seconds})
    message = f"completed: {took} ran, {freed} bytes were freed"
    output.line(f"Maintenance {message}")
    return Outcome(message=message)


def _is_on_purpose(run: Context) -> bool:
    return run.direction or bool(run.settings.maintenance_username)


def _replace_damaged_schedule(run: Context, repository: Repository, *, us: str) -> None:
    """Replace a schedule that can't be read, if this mover is the owner: it only records runs (rule M-142)."""
    try:
        repository.maintenance.schedule()
    except DamagedDataError:
        owner = repository.maintenance.parameters().owner
        if owner not in {"", us, f"{OWNER_USER}@{OWNER_HOST}"} and not _is_on_purpose(run):
            raise
        run.output.warning(f"{MAINTENANCE_ID} can't be read: the schedule begins anew, with all safety times")
        repository.storage.delete(MAINTENANCE_ID)


def _reason_to_leave(run: Context, repository: Repository, info: MaintenanceInfo) -> str:
    """Become the owner if that is allowed; return the reason if it is not, else an empty text."""
    owner, us = info.parameters.owner, info.client
    last = info.last_success_ns
    if last is None:
        last = repository.storage.metadata(FORMAT_BLOB_ID).timestamp_ns
    decision = decide(
        owner,
        us,
        on_purpose=_is_on_purpose(run),
        last_ns=last,
        full_interval_ns=info.parameters.full.interval_ns,
        now_ns=clock.now(),
    )
    told = timestamp(info.last_success_ns) if info.last_success_ns is not None else "never"
    run.notes.add(maintenance={"owner": us if decision != "leave" else owner, "last": told})
    if decision == "leave":
        message = f"skipped: owned by {owner}, last run {told}"
        run.notes.add(maintenance={"skipped": message})
        run.output.line(
            f"Maintenance {message}. It is done by that client; to let movers do it, run `kopia maintenance set "
            f"--owner={us}`, or set KOPIA_OVERRIDE_MAINTENANCE_USERNAME"
        )
        return message
    if decision == "take-over":
        if owner:
            run.output.warning(f"maintenance is taken over from {owner}, whose last run was: {told}")
        else:
            run.output.line(f"Maintenance is owned by {us} from now on")
    changes = MaintenanceChanges(
        owner=us if owner != us else None, quick_enabled=None if info.parameters.quick.enabled else True
    )
    if changes != MaintenanceChanges():
        repository.maintenance.set(changes)
    return ""


def _cycles(run: Context, repository: Repository) -> list[MaintenanceResult]:
    maintenance = repository.maintenance
    modes: list[Literal["quick", "full"]] = ["quick", "full"]
    last_full = maintenance.schedule().last_end_ns(GARBAGE_COLLECTION)
    if last_full is not None:
        run.notes.add(
            maintenance={"lastFull": timestamp(last_full)}
        )  # of an earlier run, for the case that this one fails
        if clock.now() - last_full < FULL_EVERY_NS and not run.settings.maintenance_force:
            run.output.line(f"Full maintenance is left out: it last ran at {timestamp(last_full)}")
            modes = ["quick"]
    done: list[MaintenanceResult] = []

    def told_to_stop() -> None:
        if run.stop():
            raise CanceledError("maintenance was told to stop; what it had finished stays, and the next run goes on")

    def begin(task: str) -> None:
        told_to_stop()
        run.output.line(f"Maintenance task: {task}")

    def steady() -> float:
        # asked for before everything that can't be undone: there is no better place to stop, and the lease is released
        told_to_stop()
        return clock.monotonic()

    try:
        for mode in modes:
            result = maintenance.run(mode, on_task=begin, monotonic=steady)
            done.append(result)
            _tell(run, result)
    except MaintenanceBusyError as error:
        raise MoverError("busy", str(error), "The next run goes on when that one has ended") from error
    except ClockError as error:
        raise MoverError("clock", str(error), "Set the clock of the node") from error
    except CanceledError as error:
        raise MoverError(run.stop.code, str(error)) from error
    return done


def _tell_times(run: Context, repository: Repository) -> None:
    """Add the times of the last runs to the result, including this one."""
    info = repository.maintenance.info()
    times = {"last": info.last_success_ns, "lastFull": info.schedule.last_end_ns(GARBAGE_COLLECTION)}
    run.notes.add(maintenance={name: timestamp(ns) for name, ns in times.items() if ns is not None})


def _tell(run: Context, result: MaintenanceResult) -> None:
    for report in result.tasks:
        values: Mapping[str, Any] = (report.statistics.values if report.statistics else None) or {}
        told = ", ".join(f"{name} {value}" for name, value in values.items() if value)
        if report.left_out:
            run.output.debug(f"{report.task} left out: {report.left_out}")
        elif told:
            run.output.line(f"{report.task}: {told}")
    run.output.line(f"Maintenance {result.mode}: deleted {result.deleted_blobs} blobs, {result.deleted_size} bytes")
    if result.ledger is not None:
        until = max((each.until_ns for each in result.ledger.held if each.until_ns is not None), default=None)
        held_bytes: dict[str, Any] = {"bytes": sum(each.size for each in result.ledger.held)}
        run.notes.add(maintenance={"held": held_bytes | ({"until": timestamp(until)} if until is not None else {})})
        for held in result.ledger.held:
            run.output.line(f"not free yet: {held.size} bytes in {held.count} {held.what}: {held.explanation}")
    for warning in result.warnings:
        run.output.warning(warning)


__all__ = ["Decision", "decide", "maintain", "owner_of"]
