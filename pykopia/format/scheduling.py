"""When a snapshot is due (format 05 §9). A server takes them by this; the command line does not."""

import re
from collections.abc import Iterator
from datetime import tzinfo
from typing import Final

from pykopia.errors import InvalidPolicyError
from pykopia.format.calendar_time import from_local, local_day
from pykopia.format.cron import CronExpression
from pykopia.format.gotime import DAY_SECONDS, SECOND_NS, ZERO_TIME_NS
from pykopia.format.ignore_pattern import WHITE_SPACE
from pykopia.format.policy import SchedulingPolicy, TimeOfDay

MISSED_MARGIN_NS: Final = 30 * 60 * SECOND_NS
"""A missed snapshot is not made up for if the next is due within this: nanoseconds."""

_TIME_OF_DAY = re.compile(r" *\+?([0-9]{1,2}): *\+?([0-9]{1,2}).*", re.DOTALL)


def next_snapshot_time(policy: SchedulingPolicy, *, previous_ns: int | None, now_ns: int, tz: tzinfo) -> int | None:
    """Return when the next snapshot of a source is due, or None if none is scheduled: nanoseconds since 1970.

    Args:
        policy: In effect for the source.
        previous_ns: Start of the last snapshot, nanoseconds since 1970; None if there is none.
        now_ns: Nanoseconds since 1970.
        tz: Local time zone.
    """
    if policy.manual:
        return None
    previous_ns = ZERO_TIME_NS if previous_ns is None else previous_ns
    times = [*_times_of_day(policy, now_ns, tz), *_cron_times(policy, now_ns, tz)]
    if policy.interval_seconds:
        times.append(max(_after_interval(previous_ns, policy.interval_seconds * SECOND_NS), now_ns))
    if not times:
        return None
    due = min(times)
    if policy.run_missed and due > now_ns + MISSED_MARGIN_NS:
        then = previous_ns + SECOND_NS
        scheduled = [*_times_of_day(policy, then, tz), *_cron_times(policy, then, tz)]
        if scheduled and min(due, *scheduled) < now_ns:
            return now_ns
    return due


def _after_interval(previous_ns: int, interval_ns: int) -> int:
    """Return the last multiple of the interval, counted from the year 1, that is not later than one interval on."""
    due = previous_ns + interval_ns
    return due - (due - ZERO_TIME_NS) % interval_ns if interval_ns > 0 else due


def _times_of_day(policy: SchedulingPolicy, now_ns: int, tz: tzinfo) -> Iterator[int]:
    day = local_day(now_ns // SECOND_NS, tz)
    for time in policy.times_of_day or ():
        at = from_local(day * DAY_SECONDS + time.hour * 3600 + time.minute * 60, tz) * SECOND_NS
        yield at if at >= now_ns else at + DAY_SECONDS * SECOND_NS


def _cron_times(policy: SchedulingPolicy, now_ns: int, tz: tzinfo) -> Iterator[int]:
    for text in policy.cron or ():
        try:
            found = CronExpression.parse(without_comment(text)).next_after(now_ns, tz)
        except InvalidPolicyError:
            continue  # as Kopia, which refuses it when the policy is set
        if found is not None:
            yield found


def without_comment(text: str) -> str:
    """Return a cron expression of a policy without the comment behind ``#``; so ``5#2`` there means ``5``.

    >>> without_comment("0 5 * * 1 # weekly")
    '0 5 * * 1'
    """
    return text.partition("#")[0].strip(WHITE_SPACE)


def parse_time_of_day(text: str) -> TimeOfDay:
    """Read ``HH:MM``. Text behind it is ignored; a leading zero means nothing, where Kopia takes what follows for octal.

    Raises:
        InvalidPolicyError: It is no time of day.

    >>> str(parse_time_of_day("08:05"))
    '8:05'
    """
    found = _TIME_OF_DAY.fullmatch(text)
    if found is None:
        raise InvalidPolicyError(f"{text!r} is no time of day: write hour and minute, such as 14:30")
    hour, minute = int(found[1]), int(found[2])
    if hour > 23 or minute > 59:
        raise InvalidPolicyError(f"{text!r} is no time of day: the hour ends at 23, the minute at 59")
    return TimeOfDay(hour=hour, minute=minute)


__all__ = ["MISSED_MARGIN_NS", "next_snapshot_time", "parse_time_of_day", "without_comment"]
