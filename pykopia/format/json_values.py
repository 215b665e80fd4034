"""The values that a member of Kopia's JSON may have: each function checks one kind, after the JSON text was parsed."""

import base64
import binascii
import math

from pykopia.errors import DamagedDataError

_INT64 = range(-(1 << 63), 1 << 63)


def text(value: object) -> str:
    """Return a text.

    Raises:
        DamagedDataError: it is none.
    """
    if not isinstance(value, str):
        raise DamagedDataError("it must be a text")
    return value


def flag(value: object) -> bool:
    """Return a truth value.

    Raises:
        DamagedDataError: it is none.
    """
    if not isinstance(value, bool):
        raise DamagedDataError("it must be true or false")
    return value


def integer(value: object) -> int:
    """Return a whole number.

    Raises:
        DamagedDataError: it is none, or does not fit 64 bits.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value not in _INT64:
        raise DamagedDataError("it must be a whole number of at most 64 bits")
    return value


def number(value: object) -> float:
    """Return a number.

    Raises:
        DamagedDataError: it is none, or not finite.
    """
    try:
        found = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise DamagedDataError("it must be a finite number")
    return found


def base64_bytes(value: object) -> bytes:
    """Return the bytes that standard base64 stands for; as in Go, it may have line breaks.

    Raises:
        DamagedDataError: it is no base64; the message leaves the text out, which may be a secret.
    """
    try:
        return base64.b64decode(text(value).replace("\r", "").replace("\n", "").encode(), validate=True)
    except binascii.Error:
        raise DamagedDataError("it must be base64") from None


def base64_text(value: bytes) -> str:
    """Return bytes as standard base64."""
    return base64.b64encode(value).decode("ascii")


def values(value: object) -> list[object]:
    """Return the values of a list.

    Raises:
        DamagedDataError: it is none.
    """
    if not isinstance(value, list | tuple):
        raise DamagedDataError("it must be a list")
    return list(value)


def members(value: object) -> dict[str, object]:
    """Return the members of an object.

    Raises:
        DamagedDataError: it is none.
    """
    if not isinstance(value, dict):
        raise DamagedDataError("it must be an object")
    return value


__all__ = ["base64_bytes", "base64_text", "flag", "integer", "members", "number", "text", "values"]
