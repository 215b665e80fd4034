"""Reads JSON that people wrote: checks size, depth and repeated keys, and reports line and column (rule M-096)."""

import json
import math
from pathlib import Path
from typing import Any, Final

LARGEST: Final = 1 << 20
"""Bytes of a document."""
DEEPEST: Final = 32
"""Levels of a document."""


class DocumentError(Exception):
    """A document that can't be used; the message names file, line and column as far as they are known."""


def read_document(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        FileNotFoundError: there is no such file.
        DocumentError: it can't be read, or is not one JSON object.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DocumentError(f"{path.name} can't be read: {error.strerror}") from error
    return parse_document(data, path.name)


def parse_document(data: bytes, name: str) -> dict[str, Any]:
    """Return the JSON object in a text.

    Args:
        data: the text.
        name: of the document, for messages.

    Raises:
        DocumentError: it is not one JSON object of UTF-8 within the limits.
    """
    if len(data) > LARGEST:
        raise DocumentError(f"{name} is larger than {LARGEST} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(f"{name} is not UTF-8: byte {error.start} is wrong") from None
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise DocumentError(_syntax_error(name, text, error)) from None
    except _WrongValueError as error:
        raise DocumentError(f"{name}: {error}") from None
    except RecursionError:
        raise DocumentError(f"{name} has more than {DEEPEST} levels") from None
    if not isinstance(document, dict):
        raise DocumentError(f"{name} must hold one JSON object, in braces")
    if _depth(document) > DEEPEST:
        raise DocumentError(f"{name} has more than {DEEPEST} levels")
    return document


class _WrongValueError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _WrongValueError(f"the key {key!r} is given twice in one object")
        found[key] = value
    return found


def _refuse_constant(text: str) -> object:
    raise _WrongValueError(f"{text} is no number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _WrongValueError(f"the number {text} is too large")
    return value


def _depth(value: object) -> int:
    levels, row = 0, [value]
    while row and levels <= DEEPEST:
        inner: list[object] = []
        for each in row:
            inner += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        levels, row = levels + 1, inner
    return levels


def _syntax_error(name: str, text: str, error: json.JSONDecodeError) -> str:
    told = f"{name} is not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}"
    line = text.split("\n")[error.lineno - 1]
    rest = text[error.pos :].lstrip()
    if rest.startswith(("#", "//", "/*")) or line.lstrip().startswith(("#", "//", "/*")):
        told += "; comments are not allowed in JSON"
    return told


__all__ = ["DEEPEST", "LARGEST", "DocumentError", "parse_document", "read_document"]
