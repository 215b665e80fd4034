"""Warnings about the maintenance of a repository."""

from typing import Final

from pykopia.format.gotime import format_time
from pykopia.format.maintenance_plan import SNAPSHOT_GC
from pykopia.format.maintenance_schedule import MaintenanceParameters, MaintenanceSchedule

OVERDUE_INTERVALS: Final = 3
"""So many intervals without a run, and maintenance is overdue."""

TAKE_OVER: Final = "`maintenance set --owner=me` makes this client the owner"


def last_success_ns(schedule: MaintenanceSchedule, *tasks: str) -> int | None:
    """Return when a task, or any when none is named, last ended with success; nanoseconds since 1970."""
    return schedule.last_end_ns(*(tasks or schedule.runs))


def plan_warnings(
    parameters: MaintenanceParameters, schedule: MaintenanceSchedule, *, client: str, now: int
) -> tuple[str, ...]:
    """Return what the user should look after.

    Args:
        parameters: who is the owner, and how often maintenance runs.
        schedule: what it did.
        client: ``user@host`` that asks.
        now: nanoseconds since 1970.
    """
    owner = parameters.owner
    found = []
    if not owner:
        found.append(f"nobody maintains this repository: it only grows; {TAKE_OVER}")
    if not parameters.full.enabled and not parameters.quick.enabled:
        found.append(
            "maintenance is disabled: this repository only grows; `maintenance set --enable-full=true` enables it"
        )
        return tuple(found)
    if owner and parameters.full.enabled:
        found += _overdue(parameters, schedule, client, now)
    for task, runs in sorted(schedule.runs.items()):
        if runs and not runs[0].success:
            found.append(f"the last run of {task}, at {format_time(runs[0].start_ns)}, failed: {runs[0].error}")
    return tuple(found)


def _overdue(parameters: MaintenanceParameters, schedule: MaintenanceSchedule, client: str, now: int) -> list[str]:
    last = last_success_ns(schedule, SNAPSHOT_GC)
    due = schedule.next_full_ns
    late = OVERDUE_INTERVALS * parameters.full.interval_ns
    if due is None or now < due + late:
        return []
    when = "has never run" if last is None else f"last succeeded at {format_time(last)}"
    days = (now - due) // (24 * 3600 * 1_000_000_000)
    if parameters.owner == client:
        return [f"full maintenance is overdue by {days} days: it {when}; run `maintenance run --full`"]
    return [
        f"full maintenance is overdue by {days} days: it {when}, and its owner {parameters.owner} seems to be gone; {TAKE_OVER}"
    ]


__all__ = ["OVERDUE_INTERVALS", "last_success_ns", "plan_warnings"]
