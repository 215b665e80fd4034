"""Schedules: which times a cron expression means, in a time zone, with an offset for each object.

The search for times is cronsim's, which treats changes of daylight-saving time as Debian's cron does: a time that is
skipped runs right after the change, a time that occurs twice runs once.
"""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from pykopia_operator.errors import InvalidObjectError
from pykopia_operator.model.common import SCHEDULE_PATTERN

NICKNAMES: Final = {
    "@annually": "0 0 1 1 *",
    "@yearly": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_PATTERN: Final = re.compile(SCHEDULE_PATTERN)


def check_schedule(schedule: str) -> None:
    """Refuse a schedule that means nothing.

    Raises:
        InvalidObjectError: the schedule is malformed, or never comes, such as February 30.
    """
    if not _PATTERN.fullmatch(schedule):
        raise InvalidObjectError(
            f'the schedule "{schedule}" is not a cron expression; write five fields of numbers, lists, ranges and steps, '
            'such as "30 2 * * *", or @daily'
        )
    expression = NICKNAMES.get(schedule.strip(), schedule.strip())
    try:
        next(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration, ValueError) as error:
        raise InvalidObjectError(f'the schedule "{schedule}" means no time: {error or "it never comes"}') from None


def next_time(schedule: str, after: datetime, *, zone: str = "UTC", offset: timedelta = timedelta()) -> datetime:
    """Return the first time of a schedule after a moment.

    >>> next_time("@daily", datetime(2026, 3, 1, 12, tzinfo=UTC)).isoformat()
    '2026-03-02T00:00:00+00:00'

    Args:
        schedule: a valid schedule.
        after: the moment, with its zone.
        zone: time zone in which the schedule is read.
        offset: what each time is shifted by.
    """
    expression = NICKNAMES.get(schedule.strip(), schedule.strip())
    begin = (after - offset).astimezone(UTC if zone == "UTC" else ZoneInfo(zone))
    found: datetime = next(CronSim(expression, begin))
    return found.astimezone(UTC) + offset


def times_between(schedule: str, begin: datetime, end: datetime, *, zone: str = "UTC", most: int = 2) -> int:
    """Return how many times of a schedule lie after ``begin`` and not after ``end``; counting stops at ``most``."""
    count, moment = 0, begin
    while count < most:
        moment = next_time(schedule, moment, zone=zone)
        if moment > end:
            break
        count += 1
    return count


def jitter_of(uid: str, seconds: int) -> timedelta:
    """Return the offset of an object: always the same, spread evenly over so many seconds."""
    if seconds <= 0:
        return timedelta()
    number = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8], "big")
    return timedelta(seconds=number % seconds)
