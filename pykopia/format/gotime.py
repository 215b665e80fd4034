"""Times as Go writes and reads them: RFC 3339 with up to nine digits of a second (format 04 §7.1).

A time is an integer: nanoseconds since 1970-01-01T00:00:00Z. Kopia holds most of them in 64 bits, from 1677 to 2262,
and lets them wrap silently.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from pykopia.errors import DamagedDataError, UsageError

SECOND_NS: Final = 1_000_000_000
DAY_SECONDS: Final = 86_400

ZERO_TIME_NS: Final = -62_135_596_800 * SECOND_NS
"""Go's zero time, 0001-01-01T00:00:00Z, in nanoseconds since 1970: what ``null`` and an absent time stand for."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_TEXT: Final = "1970-01-01T00:00:00Z"

LATEST_NS: Final = (1 << 63) - 1
EARLIEST_NS: Final = -(1 << 63)
"""Bounds of the times that can be stored."""


def format_time(ns: int) -> str:
    """Return nanoseconds since 1970 as RFC 3339 in UTC: up to nine fraction digits, without trailing zeros.

    Raises:
        UsageError: The year is not one of 0 to 9999.

    >>> format_time(1_709_210_096_120_000_000)
    '2024-02-29T12:34:56.12Z'
    """
    seconds, fraction = divmod(ns, SECOND_NS)
    day, second = divmod(seconds, DAY_SECONDS)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    text = f"{_date_text(day)}T{hour:02d}:{minute:02d}:{second:02d}"
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else text + "Z"


def moment(ns: int | None) -> datetime | None:
    """Return nanoseconds since 1970 as a ``datetime`` in UTC; parts of a microsecond are cut.

    None, Go's zero time, which stands for "never", and times after the year 9999 give None.

    >>> moment(1_709_210_096_120_000_000)
    datetime.datetime(2024, 2, 29, 12, 34, 56, 120000, tzinfo=datetime.timezone.utc)
    """
    if ns is None or ns <= ZERO_TIME_NS:
        return None
    try:
        return EPOCH + timedelta(microseconds=ns // 1000)
    except OverflowError:
        return None


@lru_cache(maxsize=4096)
def _date_text(day: int) -> str:
    year, month, day_of_month = _civil(day)
    if not 0 <= year <= 9999:
        raise UsageError(f"a time {day} days from 1970 can't be written: its year is {year}, and RFC 3339 ends at 9999")
    return f"{year:04d}-{month:02d}-{day_of_month:02d}"


_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)


def parse_time(text: str) -> int:
    """Return the nanoseconds since 1970 of an RFC 3339 time; digits behind the ninth of a second are cut.

    The result may lie outside of 64 bits: Kopia keeps most times in 64 bits and lets them wrap, see ``wrap_int64``.

    Raises:
        DamagedDataError: The text is not a time.

    >>> parse_time("2024-02-29T13:34:56.12+01:00")
    1709210096120000000
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise DamagedDataError(f"{text!r} is not a time such as 2024-02-29T12:34:56.5Z")
    date, hours, minutes, seconds, fraction, sign, zone_hours, zone_minutes = match.groups()
    hour, minute, second = int(hours), int(minutes), int(seconds)
    if hour > 23 or minute > 59 or second > 59:
        raise DamagedDataError(f"{text!r} is not a time: there is no such hour, minute or second")
    total = _day_of(date) * DAY_SECONDS + hour * 3600 + minute * 60 + second
    if sign:
        if int(zone_hours) > 24 or int(zone_minutes) > 60:  # as Go has it: 24:60 passes
            raise DamagedDataError(f"{text!r} is not a time: there is no such time zone")
        offset = int(zone_hours) * 3600 + int(zone_minutes) * 60
        total += offset if sign == "-" else -offset
    if fraction:
        return total * SECOND_NS + int(fraction[:9].ljust(9, "0"))
    return total * SECOND_NS


def nearest_time(ns: int) -> int:
    """Return the time nearest to ``ns`` that fits into 64 bits: nanoseconds from 1677 to 2262."""
    return min(max(ns, EARLIEST_NS), LATEST_NS)


def wrap_int64(number: int) -> int:
    """Return a number as it comes out of 64 bits that overflow silently, as Kopia's times do (format 04 §7.1).

    >>> wrap_int64(ZERO_TIME_NS)
    -6795364578871345152
    """
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def stored_time(text: str | None) -> int:
    """Return a time of an entry or a snapshot; one that is not given is Go's zero time, in 64 bits.

    Raises:
        DamagedDataError: the text is not a time.

    >>> stored_time("1970-01-01T00:00:01Z"), stored_time(None) == wrap_int64(ZERO_TIME_NS)
    (1000000000, True)
    """
    return wrap_int64(ZERO_TIME_NS if text is None else parse_time(text))


_DAYS_BEFORE_MONTH: Final = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365)
_DAYS_FROM_YEAR_0_TO_1970: Final = 719_528


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_before_year(year: int) -> int:
    """Return the days from 0000-01-01 to the first day of a year that is not negative."""
    return year * 365 + (year + 3) // 4 - (year + 99) // 100 + (year + 399) // 400


@lru_cache(maxsize=4096)
def _day_of(date: str) -> int:
    """Return the days from 1970-01-01 to a date written ``YYYY-MM-DD``."""
    year, month, day = int(date[:4]), int(date[5:7]), int(date[8:])
    leap_day = _is_leap(year) and month == 2
    if not (1 <= month <= 12 and 1 <= day <= _DAYS_BEFORE_MONTH[month] - _DAYS_BEFORE_MONTH[month - 1] + leap_day):
        raise DamagedDataError(f"{date!r} is not a date: there is no such month or day")
    before = _days_before_year(year) + _DAYS_BEFORE_MONTH[month - 1] + (month > 2 and _is_leap(year))
    return before + day - 1 - _DAYS_FROM_YEAR_0_TO_1970


def _civil(day: int) -> tuple[int, int, int]:
    """Return year, month and day of the month of a day counted from 1970-01-01."""
    eras, day = divmod(day + _DAYS_FROM_YEAR_0_TO_1970, 146_097)  # days of 400 years
    year = day // 366
    while year < 399 and _days_before_year(year + 1) <= day:
        year += 1
    day -= _days_before_year(year)
    leap = _is_leap(year)
    month = 1
    while day >= _DAYS_BEFORE_MONTH[month] + (month >= 2 and leap):
        month += 1
    return year + 400 * eras, month, day - _DAYS_BEFORE_MONTH[month - 1] - (month > 2 and leap) + 1


__all__ = [
    "DAY_SECONDS",
    "EPOCH_TEXT",
    "SECOND_NS",
    "ZERO_TIME_NS",
    "format_time",
    "moment",
    "parse_time",
    "stored_time",
    "wrap_int64",
]
