"""The calendar and the clock on the wall in a time zone, by the rules of Go.

Kopia computes with local time where it looks at weeks, days and times of day. An instant is seconds since 1970 in UTC; what
the clock on the wall shows is *local seconds*: seconds since 1970-01-01T00:00 on that clock. A day is counted from
1970-01-01. No number is too large: beyond the years that Python knows the offset of the zone stays as it is at their end.
"""

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from pykopia.format.gotime import DAY_SECONDS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_KNOWN: Final = int((datetime(2, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds())
_LAST_KNOWN: Final = int((datetime(9998, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds())
_DAYS_OF_400_YEARS: Final = 146_097
_FIRST_DAY_OF_2000: Final = 10_957


def utc_offset(seconds: int, zone: tzinfo) -> int:
    """Return how many seconds a zone is ahead of UTC at an instant."""
    known = min(max(seconds, _FIRST_KNOWN), _LAST_KNOWN)
    offset = (_EPOCH + timedelta(seconds=known)).astimezone(zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def to_local(seconds: int, zone: tzinfo) -> int:
    """Return the local seconds at an instant."""
    return seconds + utc_offset(seconds, zone)


def from_local(local: int, zone: tzinfo) -> int:
    """Return the instant at which a clock shows the local seconds.

    Where the clock is put forward or back, and shows a time never or twice, it is the instant that Go chooses.
    """
    offset = utc_offset(local, zone)
    if offset:
        offset = utc_offset(local - offset, zone)
    return local - offset


def day_of(year: int, month: int, day: int) -> int:
    """Return the number of a day; months and days out of range run over into the next year or month.

    >>> day_of(1970, 1, 1), day_of(2024, 2, 31) == day_of(2024, 3, 2), day_of(2024, 0, 1) == day_of(2023, 12, 1)
    (0, True, True)
    """
    years, month = divmod(month - 1, 12)
    cycles, year = divmod(year + years, 400)
    first = date(2000 + year, month + 1, 1).toordinal() - date(2000, 1, 1).toordinal()
    return _FIRST_DAY_OF_2000 + (cycles - 5) * _DAYS_OF_400_YEARS + first + day - 1


def date_of(day: int) -> tuple[int, int, int]:
    """Return year, month and day of the month.

    >>> date_of(0), date_of(-1)
    ((1970, 1, 1), (1969, 12, 31))
    """
    cycles, found = _in_cycle(day)
    return found.year + 400 * cycles, found.month, found.day


def iso_week(day: int) -> tuple[int, int]:
    """Return year and number of the ISO week of a day.

    >>> iso_week(day_of(2024, 12, 30)), iso_week(day_of(2021, 1, 3))
    ((2025, 1), (2020, 53))
    """
    cycles, found = _in_cycle(day)
    year, week, _ = found.isocalendar()
    return year + 400 * cycles, week


def weekday(day: int) -> int:
    """Return the day of the week, 0 for Sunday."""
    return (day + 4) % 7


def local_day(seconds: int, zone: tzinfo) -> int:
    """Return the day on the calendar of a zone at an instant."""
    return to_local(seconds, zone) // DAY_SECONDS


def _in_cycle(day: int) -> tuple[int, date]:
    """Return whole cycles of 400 years behind 2000, in which the calendar repeats, and the day's date in 2000 to 2399."""
    cycles, rest = divmod(day - _FIRST_DAY_OF_2000, _DAYS_OF_400_YEARS)
    return cycles, date(2000, 1, 1) + timedelta(days=rest)


__all__ = ["date_of", "day_of", "from_local", "iso_week", "local_day", "to_local", "utc_offset", "weekday"]
