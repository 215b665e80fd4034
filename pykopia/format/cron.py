"""Cron expressions as Kopia's scheduler takes them (format 05 §9).

Five fields: minute, hour, day of month, month, day of week. Six have the year behind, seven the second in front as well;
what follows is ignored. ``@yearly``, ``@annually``, ``@monthly``, ``@weekly``, ``@daily`` and ``@hourly`` stand for the usual
ones. A field is ``*``, ``?``, or a list of values, ranges and steps; a day of the month may be ``L`` (the last), ``LW`` (the
last working day) or ``15W`` (the working day next to the 15th), a day of the week ``5L`` (the last Friday) or ``5#2`` (the
second Friday). If both kinds of day are given, a day need fit but one.

What is odd about it is the scheduler's: a range of days of the week that ends in Sunday ends in Saturday, and a day of
the week with a leading zero is a Sunday.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import tzinfo
from itertools import islice, product
from typing import Final, NamedTuple, Self

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidPolicyError
from pykopia.format.calendar_time import date_of, day_of, to_local, utc_offset, weekday
from pykopia.format.gotime import DAY_SECONDS, SECOND_NS

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2099

_ALIASES = {
    "@yearly": "0 0 0 1 1 * *",
    "@annually": "0 0 0 1 1 * *",
    "@monthly": "0 0 0 1 * * *",
    "@weekly": "0 0 0 * * 0 *",
    "@daily": "0 0 0 * * * *",
    "@hourly": "0 0 * * * * *",
}
# fmt: off
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)
# fmt: on
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_FIELD = re.compile(r"[^\t\n\f\r ]+")
_ENTRY = re.compile(r"([^-/]+)(?:-([^-/]+))?(?:/([0-9]+))?")
_SPECIAL_DAY = re.compile(r"(l|lw)|(.+)w")
_SPECIAL_WEEKDAY = re.compile(r"(.+)l|(.+)#([1-5])")


def _numbers(first: int, last: int) -> dict[str, int]:
    """Return the numbers by the ways to write them: one digit may have a zero in front."""
    return {text: number for number in range(first, last + 1) for text in {str(number), f"{number:02d}"}}


class _Field(NamedTuple):
    name: str
    first: int
    last: int
    words: Mapping[str, int]


_SECOND = _Field("second", 0, 59, _numbers(0, 59))
_MINUTE = _Field("minute", 0, 59, _numbers(0, 59))
_HOUR = _Field("hour", 0, 23, _numbers(0, 23))
_DAY = _Field("day of month", 1, 31, _numbers(1, 31))
_MONTH = _Field(
    "month",
    1,
    12,
    _numbers(1, 12) | {word: number for number, name in enumerate(_MONTHS, 1) for word in (name, name[:3])},
)
_WEEKDAY = _Field(
    "day of week",
    0,
    6,
    {f"0{number}": 0 for number in range(8)}
    | {str(number): number % 7 for number in range(8)}
    | {word: number for number, name in enumerate(_DAYS) for word in (name, name[:3])},
)
_YEAR = _Field("year", FIRST_YEAR, LAST_YEAR, _numbers(FIRST_YEAR, LAST_YEAR))
_STEPS = {**_SECOND.words, **_YEAR.words}


class _Entry(NamedTuple):
    """One entry of the list in a field; ``first`` is below 0 if it has none of the usual forms."""

    text: str
    first: int
    last: int
    step: int = 1
    everything: bool = False
    span: bool = False

    def values(self) -> range:
        return range(self.first, self.last + 1, self.step)


@dataclass(frozen=True, kw_only=True, slots=True)
class CronExpression:
    """A set of instants, in a time zone that is given when it is asked."""

    text: str
    """As it was written."""
    seconds: tuple[int, ...]
    """Sorted, as all others."""
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: "_MonthDays | None"
    """Days of the month; None is all."""
    months: tuple[int, ...]
    weekdays: "_Weekdays | None"
    """Days of the week; None is all."""
    years: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an expression.

        Raises:
            InvalidPolicyError: Too few fields, or one of them makes no sense.
        """
        expanded = text
        for alias, meaning in _ALIASES.items():
            expanded = expanded.replace(alias, meaning)
        fields: list[str] = _FIELD.findall(expanded)[:7]
        if len(fields) < 5:
            raise InvalidPolicyError(f"cron expression {text!r} can't be used: it needs at least five fields")
        seconds = fields.pop(0) if len(fields) == 7 else "0"
        minutes, hours, days, months, weekdays, *years = fields
        try:
            return cls(
                text=text,
                seconds=_values(seconds, _SECOND),
                minutes=_values(minutes, _MINUTE),
                hours=_values(hours, _HOUR),
                days=_MonthDays.parse(days),
                months=_values(months, _MONTH),
                weekdays=_Weekdays.parse(weekdays),
                years=_values(years[0] if years else "*", _YEAR),
            )
        except InvalidPolicyError as problem:
            raise InvalidPolicyError(f"cron expression {text!r} can't be used: {problem}") from None

    def next_after(self, time_ns: int, tz: tzinfo) -> int | None:
        """Return the first instant of the set that is later, or None: nanoseconds since 1970.

        Where the clock is put back, a time that it shows twice counts twice; where it is put forward, a time that it does
        not show is left out.

        Args:
            time_ns: Nanoseconds since 1970.
            tz: Whose clock the fields are about.
        """
        earliest = time_ns // SECOND_NS + 1
        days = self._days_from(to_local(earliest, tz) // DAY_SECONDS - 1)
        found = (instant for day in days if (instant := self._first_on(day, earliest, tz)) is not None)
        # Where the clock is put back over midnight, the end of a day comes again behind the beginning of the next.
        first = min(islice(found, 2), default=None)
        return None if first is None else first * SECOND_NS

    def _days_from(self, first: int) -> Iterator[int]:
        first_year, first_month, _ = date_of(first)
        for year, month in product(self.years, self.months):
            if (year, month) >= (first_year, first_month):
                yield from (day for day in self._days_of(year, month) if day >= first)

    def _days_of(self, year: int, month: int) -> Iterator[int]:
        first, behind = day_of(year, month, 1), day_of(year, month + 1, 1)
        month_days = self.days.of_month(first, behind) if self.days else set()
        weekdays = self.weekdays.of_month(first, behind) if self.weekdays else set()
        either = month_days | weekdays if self.days or self.weekdays else range(first, behind)
        return iter(sorted(either))

    def _first_on(self, day: int, earliest: int, tz: tzinfo) -> int | None:
        """Return the first instant of a day that is not before ``earliest``."""
        midnight = day * DAY_SECONDS
        offsets = {utc_offset(midnight + hours * 3600, tz) for hours in (-24, 0, 24, 48)}
        instants = (self._first_with(offset, midnight, earliest, tz) for offset in offsets)
        return min((instant for instant in instants if instant is not None), default=None)

    def _first_with(self, offset: int, midnight: int, earliest: int, tz: tzinfo) -> int | None:
        """Return the first instant of a day that has this offset from UTC."""
        from_second = max(earliest + offset - midnight, 0)
        if from_second >= DAY_SECONDS:
            return None
        for hour, minute in product(self.hours, self.minutes):
            if hour * 3600 + minute * 60 + 59 < from_second:
                continue
            for second in self.seconds:
                of_day = hour * 3600 + minute * 60 + second
                instant = midnight + of_day - offset
                if of_day >= from_second and utc_offset(instant, tz) == offset:
                    return instant
        return None


@dataclass(frozen=True, slots=True)
class _MonthDays:
    """The field of days of the month, where it is not all of them."""

    days: frozenset[int]
    near_days: frozenset[int]
    """Days of which the next working day is meant."""
    last: bool
    last_workday: bool

    @classmethod
    def parse(cls, text: str) -> Self | None:
        days: set[int] = set()
        near_days: set[int] = set()
        last = last_workday = everything = False
        for entry in _entries(text, _DAY):
            special = _SPECIAL_DAY.fullmatch(entry.text)
            everything |= entry.everything
            if entry.first >= 0:
                days.update(entry.values())
            elif special and special[1]:
                last |= special[1] == "l"
                last_workday |= special[1] == "lw"
            elif special and special[2] in _DAY.words:
                near_days.add(_DAY.words[special[2]])
            else:
                raise _nonsense(entry, _DAY)
        return None if everything else cls(frozenset(days), frozenset(near_days), last, last_workday)

    def of_month(self, first: int, behind: int) -> set[int]:
        found = {first + day - 1 for day in self.days}
        found |= {_workday(first + day - 1, first, behind) for day in self.near_days if first + day <= behind}
        if self.last:
            found.add(behind - 1)
        if self.last_workday:
            found.add(_workday(behind - 1, first, behind))
        return {day for day in found if day < behind}


@dataclass(frozen=True, slots=True)
class _Weekdays:
    """The field of days of the week, where it is not all of them."""

    days: frozenset[int]
    last: frozenset[int]
    """Days of the last week of a month."""
    numbered: frozenset[tuple[int, int]]
    """Days of the week, and which one of the month."""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        days: set[int] = set()
        last: set[int] = set()
        numbered: set[tuple[int, int]] = set()
        everything = False
        for entry in _entries(text, _WEEKDAY):
            special = _SPECIAL_WEEKDAY.fullmatch(entry.text)
            everything |= entry.everything
            if entry.first >= 0:
                days.update((entry._replace(last=6) if entry.last == 0 and entry.span else entry).values())
            elif special and special[1] in _WEEKDAY.words:
                last.add(_WEEKDAY.words[special[1]])
            elif special and special[2] in _WEEKDAY.words:
                numbered.add((_WEEKDAY.words[special[2]], int(special[3])))
            else:
                raise _nonsense(entry, _WEEKDAY)
        return None if everything else cls(frozenset(days), frozenset(last), frozenset(numbered))

    def of_month(self, first: int, behind: int) -> set[int]:
        month = range(first, behind)
        return {
            day
            for day in month
            if weekday(day) in self.days
            or (weekday(day) in self.last and day + 7 >= behind)
            or (weekday(day), (day - first) // 7 + 1) in self.numbered
        }


def _workday(day: int, first: int, behind: int) -> int:
    """Return the working day of the same month that is next to a day."""
    match weekday(day):
        case 6:
            return day - 1 if day > first else day + 2
        case 0:
            return day + 1 if day + 1 < behind else day - 2
    return day


def _values(text: str, field: _Field) -> tuple[int, ...]:
    values: set[int] = set()
    for entry in _entries(text, field):
        if entry.everything:
            return tuple(range(field.first, field.last + 1))
        if entry.first < 0:
            raise _nonsense(entry, field)
        values.update(entry.values())
    if not values:
        raise InvalidPolicyError(f"no {field.name} is in {text!r}")
    return tuple(sorted(values))


def _entries(text: str, field: _Field) -> list[_Entry]:
    entries = [_entry(part, field) for part in text.lower().split(",") if part]
    if not entries:
        raise InvalidPolicyError(f"no {field.name} is in {text!r}")
    return entries


def _entry(text: str, field: _Field) -> _Entry:
    """Read one entry of a list."""
    if text in {"*", "?"}:
        return _Entry(text, field.first, field.last, everything=True)
    found = _ENTRY.fullmatch(text)
    other = _Entry(text, -1, -1)
    if found is None:
        return other
    low, high, interval = found.groups()
    if low == "*" and interval and not high:
        first, last = field.first, field.last
    elif low in field.words and (high is None or high in field.words):
        first = field.words[low]
        last = field.words[high] if high else field.last if interval else first
    else:
        return other
    step = _STEPS.get(interval, 0) if interval else 1
    if not 1 <= step <= field.last:
        raise InvalidPolicyError(f"the interval of {field.name} {text!r} is out of range")
    return _Entry(text, first, last, step, span=bool(high or interval))


def _nonsense(entry: _Entry, field: _Field) -> InvalidPolicyError:
    return InvalidPolicyError(f"{entry.text!r} is no {field.name}")


__all__ = ["FIRST_YEAR", "LAST_YEAR", "CronExpression"]
