"""Sizes, times, durations and modes as Kopia prints them (format 04 §13)."""

import stat
from datetime import UTC, datetime, tzinfo

_BASE_10 = ("", "K", "M", "G", "T", "P", "E")
_BASE_2 = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_SECOND = 1_000_000_000


def with_unit(number: float, suffix: str = "", *, base_2: bool = False) -> str:
    """Return a number with one decimal at most and the unit prefix that keeps it below 900 (or 921.6).

    >>> with_unit(1234567, "B")
    '1.2 MB'
    """
    thousand, prefixes = (1024.0, _BASE_2) if base_2 else (1000.0, _BASE_10)
    number = float(number)
    for prefix in prefixes[:-1]:
        if number < 0.9 * thousand:
            return f"{_nice(number)} {prefix}{suffix}"
        number /= thousand
    return f"{_nice(number)} {prefixes[-1]}{suffix}"


def _nice(number: float) -> str:
    return f"{number:.1f}".rstrip("0").rstrip(".")


def size(length: float, *, base_2: bool = False) -> str:
    """Return a length in bytes as a person reads it."""
    return with_unit(length, "B", base_2=base_2)


def speed(bytes_per_second: float) -> str:
    """Return a speed with its unit, always in powers of ten."""
    return with_unit(bytes_per_second, "B/s")


def count(number: int) -> str:
    """Return a count with its prefix, always in powers of ten; a small one keeps the blank that Kopia prints."""
    return with_unit(number)


def percentage_saved(original: int, compressed: int) -> str:
    """Return how much smaller ``compressed`` is than ``original``, in percent."""
    if compressed >= original or original == 0:
        return "0%"
    return f"{100 * (1 - compressed / original):.1f}%"


def duration(nanoseconds: int) -> str:
    """Return a duration as Go writes it.

    >>> duration(5_400_000_000_000)
    '1h30m0s'
    """
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < _SECOND:
        for unit, length in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if rest >= length:
                return f"{sign}{_fraction(rest, length)}{unit}"
    hours, rest = divmod(rest, 3600 * _SECOND)
    minutes, rest = divmod(rest, 60 * _SECOND)
    text = f"{_fraction(rest, _SECOND)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _fraction(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def time_zone(name: str) -> tzinfo | None:
    """Return the zone that ``--timezone`` names; None stands for the zone of this machine."""
    if name in {"", "local"}:
        return None
    if name in {"utc", "original"}:  # times are stored in UTC
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 -- slow to import, rarely used

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def timestamp(nanoseconds: int, zone: tzinfo | None = None, *, milliseconds: bool = False) -> str:
    """Return a time such as ``2026-08-01 12:30:00 CEST``; ``zone`` None means the zone of this machine."""
    when = _datetime(nanoseconds // _SECOND, zone)
    fraction = f".{nanoseconds % _SECOND // 1_000_000:03d}" if milliseconds else ""
    return f"{when.year:04d}-{when:%m-%d %H:%M:%S}{fraction} {when:%Z}"


def rfc3339(nanoseconds: int, zone: tzinfo | None = UTC) -> str:
    """Return a time such as ``2026-08-01T12:30:00Z``, to the second."""
    when = _datetime(nanoseconds // _SECOND, zone)
    offset = when.strftime("%z")
    suffix = "Z" if offset in {"+0000", "-0000"} else f"{offset[:3]}:{offset[3:]}"
    return f"{when.year:04d}-{when:%m-%dT%H:%M:%S}{suffix}"


def _datetime(seconds: int, zone: tzinfo | None) -> datetime:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):  # beyond the calendar: show its nearest end
        moment = datetime.max.replace(tzinfo=UTC) if seconds > 0 else datetime.min.replace(tzinfo=UTC)
        return moment if zone is None else moment.replace(tzinfo=zone)
    return moment.astimezone(zone)


def mode(kind: str, bits: int) -> str:
    """Return type and permissions as Kopia prints them.

    Args:
        kind: ``f`` file, ``d`` folder, ``s`` link.
        bits: The twelve permission bits.

    >>> mode("d", 0o1777)
    'dtrwxrwxrwx'
    """
    special = {"d": "d", "s": "L"}.get(kind, "")
    special += "u" if bits & stat.S_ISUID else ""
    special += "g" if bits & stat.S_ISGID else ""
    special += "t" if bits & stat.S_ISVTX else ""
    letters = "rwxrwxrwx"
    return (special or "-") + "".join(
        letter if bits & (0o400 >> place) else "-" for place, letter in enumerate(letters)
    )


__all__ = [
    "count",
    "duration",
    "mode",
    "percentage_saved",
    "rfc3339",
    "size",
    "speed",
    "time_zone",
    "timestamp",
    "with_unit",
]
