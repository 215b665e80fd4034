"""Texts of flags and arguments, turned into values.

Each function takes the text as it stands on the command line or in the environment and returns the value; a text that
makes no sense raises ``ValueError`` with the reason. The accepted forms are those of Kopia's own parser (Go's).
"""

import os
import stat

from pykopia.format.duration import NANOSECONDS
from pykopia.format.duration import parse_duration as duration

_MOST_THREADS = 1024
_UNITS = "KMGTPE"
_LONG_UNITS = {"d": 24, "w": 7 * 24}
"""Hours in each unit that Go's durations do not have."""
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


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


def progress(value: str) -> bool | str:
    """Return whether to show progress, or ``json`` for one JSON object a line."""
    return value if value == "json" else boolean(value)


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


def threads(value: str) -> int:
    """Return how many things are done at one time; 0 stands for the default."""
    number = integer(value)
    if not 0 <= number <= _MOST_THREADS:
        msg = f"it must be from 1 to {_MOST_THREADS}, or 0 for the default; it is {number}"
        raise ValueError(msg)
    return number


def percentage(value: str) -> float:
    """Return a percentage."""
    number = decimal(value)
    if not 0 <= number <= 100:
        msg = f"it must be from 0 to 100; it is {value}"
        raise ValueError(msg)
    return number


def interval(value: str) -> int:
    """Return a duration above 0, in nanoseconds."""
    nanoseconds = duration(value)
    if nanoseconds <= 0:
        msg = f"it must be above 0; it is {value}"
        raise ValueError(msg)
    return nanoseconds


def waiting_time(value: str) -> int:
    """Return a duration of 0 or more, in nanoseconds."""
    nanoseconds = duration(value)
    if nanoseconds < 0:
        msg = f"it must be 0 or more; it is {value}"
        raise ValueError(msg)
    return nanoseconds


def long_time(value: str) -> int:
    """Return a duration above 0, in nanoseconds; days and weeks are units too.

    >>> long_time("2w") == long_time("14d") == long_time("336h")
    True
    """
    number, unit = value[:-1], value[-1:]
    if unit in _LONG_UNITS and number.isascii() and number.isdecimal():
        return interval(f"{int(number) * _LONG_UNITS[unit]}h")
    try:
        return interval(value)
    except ValueError as error:
        msg = f"{error}; also 30d and 4w are understood"
        raise ValueError(msg) from None


def size(value: str) -> int:
    """Return a size in bytes: a whole number, alone or with a unit.

    >>> size("1000"), size("1GB"), size("1.5 MiB")
    (1000, 1000000000, 1572864)
    """
    text = value.strip().upper().removesuffix("B")
    base = 1024 if text.endswith("I") else 1000
    text = text.removesuffix("I")
    power = _UNITS.find(text[-1:]) + 1 if text else 0
    number = text[:-1].strip() if power else text
    if not number.replace(".", "", 1).isdecimal() or ("." in number and not power):
        msg = f"{value!r} is not a size such as 1000000, 10MB or 1GiB"
        raise ValueError(msg)
    return round(float(number) * base**power) if power else int(number)


def size_base_2(value: str) -> int:
    """Return a size in bytes, where units are powers of 1024 however they are spelled.

    >>> size_base_2("1MB"), size_base_2("4KiB")
    (1048576, 4096)
    """
    letters = value.strip().upper().removesuffix("B").removesuffix("I")
    return size(letters + "iB" if letters[-1:] in _UNITS and letters else letters)


def positive(value: str) -> int:
    """Return a whole number above 0."""
    number = integer(value)
    if number <= 0:
        msg = f"it must be above 0; it is {value}"
        raise ValueError(msg)
    return number


def port(value: str) -> int:
    """Return a number of a port, or 0."""
    number = integer(value)
    if not 0 <= number <= 65_535:
        msg = f"it must be from 0 to 65535; it is {value}"
        raise ValueError(msg)
    return number


def shell(value: str) -> str:
    """Return the name of a shell that completion is there for."""
    if value not in {"bash", "zsh", "fish"}:
        msg = f"{value!r} is none of bash, zsh and fish"
        raise ValueError(msg)
    return value


def existing_folder(value: str) -> str:
    """Return the path of a folder that exists."""
    if not stat.S_ISDIR(_mode_of(value)):
        msg = f"{value!r} is not a folder"
        raise ValueError(msg)
    return value


def decimal(value: str) -> float:
    """Return a number that may have decimals."""
    try:
        return float(value)
    except ValueError:
        msg = f"{value!r} is not a number"
        raise ValueError(msg) from None


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


__all__ = [
    "NANOSECONDS",
    "boolean",
    "decimal",
    "duration",
    "existing_file",
    "existing_folder",
    "existing_path",
    "integer",
    "interval",
    "long_time",
    "percentage",
    "port",
    "positive",
    "progress",
    "shell",
    "size",
    "size_base_2",
    "text",
    "threads",
    "waiting_time",
]
