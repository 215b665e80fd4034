"""Checks of the arguments that a caller gives: a wrong one is a ``UsageError`` at the door, not an error from deep inside."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, TypeAlias, TypeVar, get_args, get_origin

from pykopia.errors import UsageError
from pykopia.ids import Buffer

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Given = TypeVar("Given")

StrPath: TypeAlias = str | os.PathLike[str]
"""A path as a caller gives it."""


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        UsageError: the message names the argument and all choices.
    """
    known = [*choices]
    if value not in known:
        raise UsageError(f"{name} must be one of {', '.join(filter(None, known))}; it is {_shown(value)}")


def texts(name: str, value: object) -> tuple[str, ...]:
    """Return a collection of texts as a tuple.

    A single text is a collection of its letters to Python, which is never meant: it is refused.

    Raises:
        UsageError: the value is a text, no collection, or has an element that is no text.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise UsageError(f"{name} takes a list of texts, such as [{_shown(value)}]; it is {_shown(value)}")
    found = tuple(value)
    for each in found:
        check_text(f"each of {name}", each)
    return found


def check_text(name: str, value: object) -> None:
    """Refuse what is no text.

    Raises:
        UsageError: the message names the argument.
    """
    if not isinstance(value, str):
        raise UsageError(f"{name} must be a text, not {_shown(value)}")


def check_bytes(name: str, value: object) -> Buffer:
    """Return a buffer byte by byte; refuse what is none.

    >>> check_bytes("data", memoryview(b"abcd").cast("H")).format
    'B'

    Raises:
        UsageError: the message names the argument.
    """
    if isinstance(value, bytes | bytearray):
        return value
    if isinstance(value, memoryview):
        if not value.c_contiguous:
            raise UsageError(f"{name} is a view whose bytes do not follow each other: pass bytes({name})")
        if value.format == "B" and value.ndim == 1:
            return value
        return value.cast("B") if value.nbytes else b""
    hint = ": encode the text first" if isinstance(value, str) else ""
    raise UsageError(f"{name} must be bytes, not {_shown(value)}{hint}")


def check_texts_by_name(name: str, value: object) -> None:
    """Refuse what is no mapping of texts to texts.

    Raises:
        UsageError: the message names the argument.
    """
    if not isinstance(value, Mapping):
        raise UsageError(f'{name} takes texts by name, such as {{"name": "text"}}; it is {_shown(value)}')
    for key, text in value.items():
        check_text(f"each name in {name}", key)
        check_text(f"{name}[{_shown(key)}]", text)


def check_kind(name: str, value: object, kind: type) -> None:
    """Refuse what is no object of a class.

    Raises:
        UsageError: the message names the argument and the class.
    """
    if not isinstance(value, kind):
        raise UsageError(f"{name} must be of the class {kind.__name__}, not {_shown(value)}")


def given(name: str, value: Given | None, kind: type[Given]) -> Given:
    """Return options that a caller gives, the defaults if there are none.

    Raises:
        UsageError: the value is of another class; the message names the argument and the class.
    """
    if value is None:
        return kind()
    check_kind(name, value, kind)
    return value


def path_text(name: str, path: object) -> str:
    """Return a path as a text.

    Raises:
        UsageError: the value is no path, or no file can have this name.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise UsageError(f"{name} must be a path, not {_shown(path)}")
    if "\0" in text:
        raise UsageError(f"{name} has a NUL byte, which no name of a file can have")
    return text


def pairs(name: str, value: object) -> list[tuple[int, int]]:
    """Return a collection of pairs of whole numbers as a list.

    Raises:
        UsageError: the value is something else.
    """
    found = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping) else None
    if found is None or not all(
        isinstance(each, tuple | list) and len(each) == 2 and all(type(number) is int for number in each)
        for each in found
    ):
        raise UsageError(f"{name} takes a list of pairs of whole numbers, such as [(0, 10)]")
    return found


def check_number(name: str, value: object, *, least: float | None = None, most: float | None = None) -> None:
    """Refuse what is no number, or is outside the limits.

    Raises:
        UsageError: the message names the argument and its limits.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if (
        not number
        or not (least is None or value >= least)  # type: ignore[operator]
        or not (most is None or value <= most)  # type: ignore[operator]
    ):
        limits = f" from {least:g} to {most:g}" if least is not None and most is not None else ""
        limits = limits or (f" of at least {least:g}" if least is not None else "")
        raise UsageError(f"{name} must be a number{limits}; it is {_shown(value)}")


def check_fields(options: "DataclassInstance") -> None:
    """Refuse options whose values have another type than their fields.

    Texts, numbers, switches, texts by name and objects of dataclasses are looked at, also where they may be None, and lists of
    texts, which become tuples; fields of other types are left to their classes.

    Raises:
        UsageError: the message names the field.
    """
    for field in fields(options):
        name, value = field.name, getattr(options, field.name)
        kinds = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
        kind = next((kind for kind in kinds if kind is not NoneType), None)
        if value is None and NoneType in kinds:
            continue
        if kind is str:
            check_text(name, value)
        elif kind is float:
            check_number(name, value)
        elif kind is int and (not isinstance(value, int) or isinstance(value, bool)):
            raise UsageError(f"{name} must be a whole number; it is {_shown(value)}")
        elif kind is bool and not isinstance(value, bool):
            raise UsageError(f"{name} must be True or False; it is {_shown(value)}")
        elif get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis and _is_text(get_args(kind)[0]):
            object.__setattr__(options, name, texts(name, value))
        elif get_origin(kind) in (dict, Mapping) and get_args(kind) == (str, str):
            check_texts_by_name(name, value)
        elif is_dataclass(kind) and isinstance(kind, type):
            check_kind(name, value, kind)


def _is_text(kind: object) -> bool:
    """Return True for ``str`` and for types of their own that are texts, such as ``BlobID``."""
    return kind is str or getattr(kind, "__supertype__", None) is str


def absolute(name: str, path: StrPath | None) -> Path | None:
    """Return a path as an absolute one; None stays None.

    Raises:
        UsageError: the value is no path.
    """
    if path is not None and not isinstance(path, str | os.PathLike):
        raise UsageError(f"{name} must be a path, not {_shown(path)}")
    return None if path is None else Path(path).absolute()


def nanoseconds(name: str, value: object) -> int:
    """Return a moment as nanoseconds since 1970.

    Args:
        name: the argument, for messages.
        value: a ``datetime`` with a time zone, or nanoseconds since 1970.

    Raises:
        UsageError: the value is neither; a time without a time zone could mean several moments.
    """
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise UsageError(f"{name} must be a time with a time zone, such as datetime.now(timezone.utc)")
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{name} must be a datetime or nanoseconds since 1970, not {_shown(value)}")
    return value


def span_ns(name: str, value: object) -> int:
    """Return a span of time in nanoseconds.

    Raises:
        UsageError: the value is no ``timedelta``, or negative.
    """
    if not isinstance(value, timedelta) or value < timedelta():
        raise UsageError(f"{name} must be a timedelta of 0 or more, not {_shown(value)}")
    return value // timedelta(microseconds=1) * 1000


def _shown(value: object) -> str:
    """Return how a wrong value is named in a message: short, and as the caller wrote it."""
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else f"a text of {len(value)} characters"
    return f"a {type(value).__name__}"


__all__ = [
    "StrPath",
    "absolute",
    "check_bytes",
    "check_choice",
    "check_fields",
    "check_kind",
    "check_number",
    "check_text",
    "check_texts_by_name",
    "given",
    "nanoseconds",
    "pairs",
    "path_text",
    "span_ns",
    "texts",
]
