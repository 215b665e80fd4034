"""When the next run starts, and which state an object is in."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from pykopia_operator.decide.cron import next_time, times_between
from pykopia_operator.decide.objects import Obj, meta, status_of
from pykopia_operator.decide.times import parse_time
from pykopia_operator.model.common import Trigger

NEVER_RAN: Final = "never ran"


class State(Enum):
    """The three states of an object; they follow from its status alone."""

    INITIAL = "Initial"
    SYNCHRONIZING = "Synchronizing"
    CLEANING_UP = "CleaningUp"


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """How schedules are read."""

    zone: str = "UTC"
    jitter: timedelta = timedelta()
    delay_first: bool = False


def state_of(obj: Obj) -> State:
    """Return the state of an object."""
    status = status_of(obj)
    if status.get("lastSyncStartTime"):
        return State.SYNCHRONIZING
    return State.CLEANING_UP if status.get("lastSyncTime") else State.INITIAL


def _created(obj: Obj, now: datetime) -> datetime:
    return parse_time(meta(obj).get("creationTimestamp")) or now


def next_sync_time(obj: Obj, trigger: Trigger | None, clock: Clock, now: datetime) -> datetime | None:
    """Return when the schedule is due next, None without a schedule: the first time after the last success or the creation."""
    if trigger is None or trigger.manual or not trigger.schedule:
        return None
    last = parse_time(status_of(obj).get("lastSyncTime")) or _created(obj, now)
    return next_time(trigger.schedule, last, zone=clock.zone, offset=clock.jitter)


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """Whether a run starts now, and when to look again."""

    now: bool
    next: datetime | None = None
    """When the schedule is due, None without one."""
    reason: str = ""
    """Reason of the condition while waiting."""


def when_due(obj: Obj, trigger: Trigger | None, clock: Clock, now: datetime) -> Due:
    """Return whether the next run starts now. The object is not synchronizing.

    Args:
        obj: with its status.
        trigger: of its specification.
        clock: how schedules are read.
        now: the time.
    """
    if trigger is not None and trigger.manual:
        last = status_of(obj).get("lastManualSync") or ""
        return Due(now=trigger.manual != last, reason="WaitingForManual")
    due = next_sync_time(obj, trigger, clock, now)
    if due is None:
        return Due(now=True)
    first = state_of(obj) is State.INITIAL and not clock.delay_first
    return Due(now=first or now >= due, next=due, reason="WaitingForSchedule")


def is_interval_missed(trigger: Trigger | None, clock: Clock, start: datetime, now: datetime) -> bool:
    """Return True if two times of the schedule have passed since a run started."""
    if trigger is None or trigger.manual or not trigger.schedule:
        return False
    return times_between(trigger.schedule, start - clock.jitter, now - clock.jitter, zone=clock.zone) >= 2
