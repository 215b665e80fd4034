"""Texts of flags and arguments, turned into values.

Each function takes the text as it stands on the command line or in the environment and returns the value; a text that
makes no sense raises ``ValueError`` with the reason. The accepted forms are those of Kopia's own parser (Go's).
"""

import os
import stat

NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
"""Nanoseconds in each unit that a duration may use."""

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_DURATION_PART = r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)"


def text(value: str) -> str:
    """Return the text as it is."""
    return value


def boolean(value: str) -> bool:
    """Return the truth that a word such as ``true``, ``0`` or ``F`` means."""
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    msg = f"{value!r} is neither true nor false"
    raise ValueError(msg)


def integer(value: str) -> int:
    """Return a whole number; decimals are cut off (``3.9`` is 3), also ``0x10`` and ``1e3`` are understood."""
    try:
        return int(value, 0)
    except ValueError:
        pass
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        msg = f"{value!r} is not a number"
        raise ValueError(msg) from None


def decimal(value: str) -> float:
    """Return a number that may have decimals."""
    try:
        return float(value)
    except ValueError:
        msg = f"{value!r} is not a number"
        raise ValueError(msg) from None


def duration(value: str) -> int:
    """Return nanoseconds of a duration such as ``1h30m`` or ``1.5s``; a unit is demanded, except for ``0``."""
    import re  # noqa: PLC0415 -- most command lines have no duration

    sign, rest = (-1, value[1:]) if value.startswith("-") else (1, value.removeprefix("+"))
    if rest == "0":
        return 0
    total, position = 0, 0
    while position < len(rest):
        part = re.compile(_DURATION_PART).match(rest, position)
        if part is None or not (part[1] or part[2]):
            break
        unit, fraction = NANOSECONDS[part[3]], part[2] or ""
        total += int(part[1] or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        position = part.end()
    if not rest or position < len(rest):
        msg = f"{value!r} is not a duration such as 45m, 1h30m or 10s"
        raise ValueError(msg)
    return sign * total


def existing_file(value: str) -> str:
    """Return the path of a file that exists."""
    if stat.S_ISDIR(_mode_of(value)):
        msg = f"{value!r} is a folder, not a file"
        raise ValueError(msg)
    return value


def existing_path(value: str) -> str:
    """Return the path of a file or folder that exists."""
    _mode_of(value)
    return value


def _mode_of(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError as error:
        msg = f"{path!r} can't be used: {error.strerror}"
        raise ValueError(msg) from None


__all__ = ["NANOSECONDS", "boolean", "decimal", "duration", "existing_file", "existing_path", "integer", "text"]
