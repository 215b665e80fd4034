"""A calendar of snapshots: which days have some, and whether retention keeps one of them."""

import calendar
from collections.abc import Iterable
from datetime import date

from pykopia.dataclass import dataclass

WEEKDAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a month."""

    date: date
    count: int = 0
    """Snapshots of that day."""
    kept: bool = False
    """Whether one of them stays."""


@dataclass(frozen=True, slots=True)
class Month:
    """One month with snapshots."""

    name: str
    weeks: tuple[tuple[Day | None, ...], ...]
    """Seven days each, Monday first; None for days of other months."""
    count: int


def months(snapshots: Iterable[tuple[date, bool]], year: int) -> tuple[Month, ...]:
    """Return the months of a year that have snapshots, the latest first.

    Args:
        snapshots: the day of each, in the zone of the reader, and whether retention keeps it.
        year: the year.
    """
    counts: dict[date, int] = {}
    kept: set[date] = set()
    for day, stays in snapshots:
        counts[day] = counts.get(day, 0) + 1
        if stays:
            kept.add(day)
    found = []
    for month in sorted({day.month for day in counts if day.year == year}, reverse=True):
        weeks = tuple(
            tuple(
                Day(day, counts.get(day, 0), day in kept) if number and (day := date(year, month, number)) else None
                for number in week
            )
            for week in calendar.Calendar().monthdayscalendar(year, month)
        )
        total = sum(day.count for week in weeks for day in week if day is not None)
        found.append(Month(f"{calendar.month_name[month]} {year}", weeks, total))
    return tuple(found)


__all__ = ["WEEKDAYS", "Day", "Month", "months"]
