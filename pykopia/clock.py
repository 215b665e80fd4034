"""The one place that asks for the time, so that tests can set it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo

_source: Callable[[], int] = time.time_ns


def now() -> int:
    """Return nanoseconds since 1970-01-01T00:00:00Z."""
    return _source()


def now_seconds() -> int:
    """Return whole seconds since 1970-01-01T00:00:00Z, as index entries carry them."""
    return _source() // 1_000_000_000


def monotonic() -> float:
    """Return seconds of a clock that never goes back: for durations and waiting."""
    return time.monotonic()


class _LocalTimezone(tzinfo):
    """The zone of this process with its daylight saving rules, as the C library knows them."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(seconds=self._at(moment).tm_gmtoff)

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta(hours=max(0, self._at(moment).tm_isdst))

    def tzname(self, moment: datetime | None) -> str:
        return self._at(moment).tm_zone

    @staticmethod
    def _at(moment: datetime | None) -> time.struct_time:
        if moment is None:
            return time.localtime()
        clock_time = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, 0, 0, -1)
        return time.localtime(time.mktime(clock_time))

    def fromutc(self, moment: datetime) -> datetime:
        seconds = (moment.replace(tzinfo=None) - datetime(1970, 1, 1)) // timedelta(seconds=1)  # noqa: DTZ001 -- it is UTC
        offset = time.localtime(seconds).tm_gmtoff
        return moment + timedelta(seconds=offset)


LOCAL_TIMEZONE: tzinfo = _LocalTimezone()
"""The time zone of this process."""


@contextmanager
def replaced(source: Callable[[], int]) -> Iterator[None]:
    """Let ``now`` answer from ``source`` (nanoseconds) inside the block: for tests."""
    global _source  # noqa: PLW0603 -- this module is the one switch
    previous, _source = _source, source
    try:
        yield
    finally:
        _source = previous


__all__ = ["LOCAL_TIMEZONE", "monotonic", "now", "now_seconds", "replaced"]
