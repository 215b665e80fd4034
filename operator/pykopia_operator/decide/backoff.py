"""When the next mover starts after one has failed (rule O-070)."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from pykopia_operator.decide.cron import next_time
from pykopia_operator.decide.trigger import Clock
from pykopia_operator.model.common import Trigger

FIRST: Final = timedelta(minutes=1)
LONGEST: Final = timedelta(minutes=30)


def delay_after(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row.

    >>> [int(delay_after(n).total_seconds()) // 60 for n in range(1, 8)]
    [1, 2, 4, 8, 16, 30, 30]
    """
    doublings = min(max(failures - 1, 0), 10)
    return min(FIRST * (1 << doublings), LONGEST)


def inputs_digest(versions: Iterable[str]) -> str:
    """Return a digest of the versions of everything that a run depends on."""
    return hashlib.sha256("\n".join(sorted(versions)).encode()).hexdigest()[:16]


def next_attempt(
    *,
    failed: datetime,
    failures: int,
    retryable: bool,
    same_inputs: bool,
    trigger: Trigger | None,
    clock: Clock,
) -> datetime:
    """Return when the next mover may start.

    Args:
        failed: when the last one failed.
        failures: how many failed in a row.
        retryable: whether another attempt may succeed without a change.
        same_inputs: whether nothing has changed that the run depends on.
        trigger: of the specification.
        clock: how schedules are read.
    """
    if not same_inputs:
        return failed
    if retryable:
        return failed + delay_after(failures)
    again = failed + LONGEST
    if trigger is not None and trigger.schedule and not trigger.manual:
        again = min(again, next_time(trigger.schedule, failed, zone=clock.zone, offset=clock.jitter))
    return again
