"""`maintenance run`, `maintenance info`, `maintenance set`, and the maintenance that runs after other commands."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pykopia import clock
from pykopia.cli import formatting
from pykopia.cli.flags.maintenance import UNSET, InfoOptions, RunOptions, SetOptions
from pykopia.cli.progress import MaintenanceProgress
from pykopia.cli.session import Session
from pykopia.errors import PykopiaError
from pykopia.format.gotime import format_time
from pykopia.format.maintenance_schedule import CycleParameters, TaskRun, TaskStatistics

if TYPE_CHECKING:
    from pykopia.api.maintenance import MaintenanceInfo
    from pykopia.api.repository import Repository
    from pykopia.maintenance.report import Held, Ledger, MaintenanceResult, TaskReport

_SECOND = 1_000_000_000
_MIB = 1 << 20


# --- run -------------------------------------------------------------------------------------------------------------


def run(session: Session, options: RunOptions) -> None:
    """Maintain the repository; print what was done, what will be freed when, and why not yet."""
    with session.open() as repository:
        maintenance = repository.maintenance
        progress = MaintenanceProgress(session, _TASKS, _FULL_TASKS if options.full else _QUICK_TASKS)
        result = maintenance.run(
            "full" if options.full else "quick", safety=options.safety, force=options.force, on_task=progress
        )
        progress.finish()
    if options.json:
        options.write_json(session, result_json(result))
    _tell(session, result)


_QUICK_TASKS, _FULL_TASKS = 2, 9
"""Tasks of a repository with epochs, unless some are left out."""
_TASKS = {
    "snapshot-gc": "Looking for contents that no snapshot needs",
    "quick-rewrite-contents": "Moving metadata out of packs that are hardly used",
    "full-rewrite-contents": "Moving contents out of packs that are hardly used",
    "full-drop-deleted-content": "Dropping contents that were deleted long ago",
    "quick-delete-blobs": "Deleting unused metadata packs",
    "full-delete-blobs": "Deleting unused packs",
    "extend-blob-retention-time": "Locking blobs for longer",
    "index-compaction": "Compacting the index",
    "compact-single-epoch": "Compacting an epoch",
    "advance-epoch": "Looking whether a new epoch should begin",
    "generate-epoch-range-index": "Looking for epochs to put together",
    "cleanup-epoch-markers": "Deleting old markers of epochs",
    "delete-superseded-epoch-indexes": "Deleting index blobs that were compacted",
    "cleanup-logs": "Deleting old logs",
}


def _tell(session: Session, result: "MaintenanceResult") -> None:
    log = session.log
    owner, last = result.owner, result.last_success_ns
    log.info("Maintenance is owned by %s; last success before this run: %s.", owner or "nobody", _ago(last))
    for report in result.tasks:
        if report.left_out:
            until = f" (from {session.time(report.until_ns)})" if report.until_ns is not None else ""
            log.info("Left out %s: %s%s.", report.task, report.left_out, until)
        elif report.statistics is not None and (words := _words(session, report.statistics)):
            log.info("%s: %s.", report.task, words)
    took = formatting.duration((result.end_ns - result.start_ns) // _SECOND * _SECOND)
    log.info(
        "Finished %s maintenance in %s: deleted %d blobs, %s.",
        result.mode,
        took,
        result.deleted_blobs,
        session.size(result.deleted_size),
    )
    if result.ledger is not None:
        _tell_ledger(session, result.ledger)
    for warning in result.warnings:
        log.warning("%s", warning)


def _tell_ledger(session: Session, ledger: "Ledger") -> None:
    log = session.log
    log.info("Packs: %s, of which %s are in use.", session.size(ledger.total_size), session.size(ledger.live_size))
    if not ledger.held:
        log.info("Nothing else is left to be freed.")
        return
    log.info("Not free yet:")
    for held in ledger.held:
        log.info("  %s", _held(session, held))


def _held(session: Session, held: "Held") -> str:
    until = f"; can go from {session.time(held.until_ns)} on" if held.until_ns is not None else ""
    return f"{session.size(held.size)} in {held.count} {held.what}: {held.explanation}{until}"


def _words(session: Session, statistics: TaskStatistics) -> str:
    """Return statistics that are not zero as a phrase."""
    if statistics.values is None:
        return ""
    found = []
    for name, value in statistics.values.items():
        if value is False or value == 0:
            continue
        words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
        is_size = name.endswith("Size") and isinstance(value, int)
        found.append(f"{words} {session.size(int(value)) if is_size else value}")
    return ", ".join(found)


def result_json(result: "MaintenanceResult") -> Mapping[str, object]:
    """Return a result as JSON for programs."""
    ledger = result.ledger
    return {
        "mode": result.mode or "",
        "reason": result.reason,
        "owner": result.owner,
        "client": result.client,
        "lastSuccess": None if result.last_success_ns is None else format_time(result.last_success_ns),
        "start": format_time(result.start_ns),
        "end": format_time(result.end_ns),
        "deletedBlobCount": result.deleted_blobs,
        "deletedTotalSize": result.deleted_size,
        "tasks": [_task_json(report) for report in result.tasks],
        "ledger": None
        if ledger is None
        else {
            "totalSize": ledger.total_size,
            "liveSize": ledger.live_size,
            "held": [_held_json(held) for held in ledger.held],
        },
        "warnings": list(result.warnings),
    }


def _task_json(report: "TaskReport") -> Mapping[str, object]:
    statistics = report.statistics
    return {
        "task": report.task,
        "leftOut": report.left_out,
        "until": None if report.until_ns is None else format_time(report.until_ns),
        "statistics": None if statistics is None else {"kind": statistics.kind, "data": statistics.values},
    }


def _held_json(held: "Held") -> Mapping[str, object]:
    return {
        "what": held.what,
        "count": held.count,
        "size": held.size,
        "rule": held.rule.value,
        "explanation": held.explanation,
        "until": None if held.until_ns is None else format_time(held.until_ns),
    }


# --- info ------------------------------------------------------------------------------------------------------------


def info(session: Session, options: InfoOptions) -> None:
    """Show who maintains the repository, how often, what the last runs did, and what is wrong with that."""
    with session.open() as repository:
        found = repository.maintenance.info()
        ledger = repository.maintenance.ledger() if options.reclaimable else None
    if options.json:
        document = {**found.parameters.members(), "schedule": found.schedule.members()}
        if options.json_verbose:
            document |= {
                "client": found.client,
                "lastSuccess": None if found.last_success_ns is None else format_time(found.last_success_ns),
                "warnings": list(found.warnings),
                "leases": [str(lease) for lease in found.leases],
            }
        options.write_json(session, document)
    else:
        _show(session, found)
    if ledger is not None:
        _tell_ledger(session, ledger)
    for warning in found.warnings:
        session.log.warning("%s", warning)


def _show(session: Session, found: "MaintenanceInfo") -> None:
    parameters, schedule, write = found.parameters, found.schedule, session.write
    write(f"Owner: {parameters.owner}")
    _show_cycle(session, "Quick", parameters.quick, schedule.next_quick_ns)
    _show_cycle(session, "Full", parameters.full, schedule.next_full_ns)
    retention = parameters.log_retention.effective
    write("Log Retention:")
    write(f"  max count:       {retention.max_count}")
    write(f"  max age of logs: {formatting.duration(retention.max_age_ns)}")
    write(f"  max total size:  {session.size(retention.max_total_size)}")
    write(f"Object Lock Extension: {'enabled' if parameters.extend_object_locks else 'disabled'}")
    if parameters.list_parallelism:
        write(f"List parallelism: {parameters.list_parallelism}")
    write(f"This Client: {found.client}")
    write(f"Last Success: {_ago(found.last_success_ns)}")
    for lease in found.leases:
        write(f"Running: {lease}" if lease.is_live(clock.now()) else f"Ended Without Notice: {lease}")
    write("Recent Maintenance Runs:")
    for task, runs in sorted(schedule.runs.items()):
        write(f"  {task}:")
        for each in runs:
            write(f"    {_run_line(session, each)}")


def _show_cycle(session: Session, name: str, cycle: CycleParameters, due_ns: int | None) -> None:
    session.write(f"{name} Cycle:")
    session.write(f"  scheduled: {'true' if cycle.enabled else 'false'}")
    if not cycle.enabled:
        return
    session.write(f"  interval: {formatting.duration(cycle.interval_ns)}")
    left = 0 if due_ns is None else due_ns - clock.now()
    if due_ns is not None and left > 0:
        session.write(f"  next run: {session.time(due_ns)} (in {formatting.duration(left // _SECOND * _SECOND)})")
    else:
        session.write("  next run: now")


def _run_line(session: Session, each: TaskRun) -> str:
    took = formatting.duration((each.end_ns - each.start_ns) // _SECOND * _SECOND)
    if not each.success:
        return f"{session.time(each.start_ns)} ({took}) ERROR: {each.error}"
    words = "; ".join(filter(None, (_words(session, some) for some in each.statistics)))
    return f"{session.time(each.start_ns)} ({took}) SUCCESS{': ' + words if words else ''}"


def _ago(time_ns: int | None) -> str:
    if time_ns is None:
        return "never"
    since = max(0, clock.now() - time_ns) // _SECOND * _SECOND
    return f"{formatting.duration(since)} ago"


# --- set -------------------------------------------------------------------------------------------------------------


def set_maintenance(session: Session, options: SetOptions) -> None:
    """Change who maintains the repository, how often, and what is kept."""
    from pykopia.api.maintenance import MaintenanceChanges  # noqa: PLC0415 -- `--help` does without

    size = _given(options.max_retained_log_size_mb)
    changes = MaintenanceChanges(
        owner=options.owner or None,
        quick_enabled=options.enable_quick[-1] if options.enable_quick else None,
        full_enabled=options.enable_full[-1] if options.enable_full else None,
        quick_interval_ns=_given(options.quick_interval),
        full_interval_ns=_given(options.full_interval),
        pause_quick_ns=_given(options.pause_quick),
        pause_full_ns=_given(options.pause_full),
        max_retained_log_count=_given(options.max_retained_log_count),
        max_retained_log_age_ns=_given(options.max_retained_log_age),
        max_retained_log_size=None if size is None else size * _MIB,
        extend_object_locks=options.extend_object_locks[-1] if options.extend_object_locks else None,
        list_parallelism=_given(options.list_parallelism),
    )
    with session.open() as repository:
        before = repository.maintenance.info()
        after = repository.maintenance.set(changes)
    _tell_changes(session, before, after)


def _given(value: int) -> int | None:
    return None if value == UNSET else value


def _tell_changes(session: Session, before: "MaintenanceInfo", after: "MaintenanceInfo") -> None:
    log = session.log
    old, new = _in_words(session, before), _in_words(session, after)
    for name, words in new.items():
        if words != old[name]:
            log.info("%s: %s (before: %s).", name, words, old[name])
    for name, due_ns, due_before_ns in (
        ("Quick", after.schedule.next_quick_ns, before.schedule.next_quick_ns),
        ("Full", after.schedule.next_full_ns, before.schedule.next_full_ns),
    ):
        if due_ns is not None and due_ns != due_before_ns:
            log.info("%s maintenance is paused until %s.", name, session.time(due_ns))


def _in_words(session: Session, info: "MaintenanceInfo") -> dict[str, str]:
    """Return the parameters that can be set, by what they are called."""
    parameters = info.parameters
    retention = parameters.log_retention.effective
    return {
        "Owner": parameters.owner or "none",
        "Quick maintenance": _cycle_words(parameters.quick),
        "Full maintenance": _cycle_words(parameters.full),
        "Log blobs kept at most": str(retention.max_count),
        "Age of log blobs at most": formatting.duration(retention.max_age_ns),
        "Size of all log blobs at most": session.size(retention.max_total_size),
        "Object lock extension": "on" if parameters.extend_object_locks else "off",
        "Listings at one time": str(parameters.list_parallelism or "default"),
    }


def _cycle_words(cycle: CycleParameters) -> str:
    return f"every {formatting.duration(cycle.interval_ns)}" if cycle.enabled else "off"


# --- after other commands --------------------------------------------------------------------------------------------


@contextmanager
def maintained(session: Session) -> "Iterator[Repository]":
    """Open the repository for a command that changes snapshots; afterwards maintain it, if that is due and ours to do.

    What the command did stays done and told as done, whatever comes of maintenance.
    """
    with session.open() as repository:
        maintenance = repository.maintenance
        if session.flags.auto_maintenance:
            maintenance.look_ahead()
        yield repository
        if session.canceled or not session.flags.auto_maintenance:
            return
        log = session.log
        try:
            result = maintenance.run("auto")
        except PykopiaError as error:
            log.debug("error", exc_info=error)
            log.error("automatic maintenance failed: %s", error)  # noqa: TRY400 -- no traceback for the user
            return
        if result.mode is not None:
            log.info(
                "Finished %s maintenance: deleted %d blobs, %s.",
                result.mode,
                result.deleted_blobs,
                session.size(result.deleted_size),
            )
        else:
            log.debug("no maintenance: %s", result.reason)
        for warning in result.warnings:
            log.warning("%s", warning)


__all__ = ["info", "maintained", "result_json", "run", "set_maintenance"]
