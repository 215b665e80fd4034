"""JSON and times exactly as Go's ``encoding/json`` writes and reads them (spec 04 §7.1, §7.4).

Object IDs depend on every byte of a directory, so what is written here is what Kopia would write. What is read here is
what Kopia would read: field names match without regard to case, the last of two equal keys counts, ``null`` leaves a
plain field at its default, bytes that are not UTF-8 become U+FFFD, and integers must be integers.

Two values differ from those of Python's ``json``: text may carry bytes that are not UTF-8 as ``surrogateescape`` does
(names of files), and ``Raw`` is JSON that goes through as it is.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from types import UnionType
from typing import Annotated, Final, TypeAlias, TypeVar, Union, cast, get_args, get_origin

import msgspec

from pykopia.errors import DamagedDataError, UsageError
from pykopia.ids import Buffer

T = TypeVar("T")

JSONValue: TypeAlias = "bool | int | float | str | list[JSONValue] | dict[str, JSONValue] | None"

Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Int32: TypeAlias = Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)]
Uint32: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]

SECOND_NS: Final = 1_000_000_000
DAY_SECONDS: Final = 86_400

ZERO_TIME_NS: Final = -62_135_596_800 * SECOND_NS
"""Go's zero time, 0001-01-01T00:00:00Z, in nanoseconds since 1970: what ``null`` and an absent time stand for."""

EPOCH_TEXT: Final = "1970-01-01T00:00:00Z"


# --- writing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Raw:
    """JSON text that is written as it is, but without blanks and with HTML characters escaped, as Go does."""

    data: bytes


_SPECIAL = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029\ud800-\udfff]')
_ESCAPES: Final[dict[str, str]] = {
    **{chr(code): f"\\u{code:04x}" for code in (*range(0x20), *map(ord, "<>&\u2028\u2029"))},
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    '"': '\\"',
    "\\": "\\\\",
}


def _escape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[0], "\\ufffd")


def quote(text: str) -> str:
    r"""Return ``text`` as a JSON string with its quotes; each byte that is not UTF-8 becomes ``\ufffd``.

    >>> print(quote("a<b"), quote("\udcff"))
    "a\u003cb" "\ufffd"
    """
    return f'"{_SPECIAL.sub(_escape, text)}"'


def escape_string(text: str | bytes) -> bytes:
    r"""Return text, or the raw bytes of a name, as a JSON string with its quotes.

    >>> escape_string(b"tab\t")
    b'"tab\\t"'
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return quote(text).encode()


def dumps(value: object, *, indent: int | None = None) -> bytes:
    r"""Return a value as Go's ``json.Marshal`` writes it; there is no final newline.

    Args:
        value: None, bool, int, float, text, bytes (a name), Raw, or lists and mappings of these. Keys keep their order:
            Go writes structs in the order of their fields, and maps sorted, which ``sorted_map`` does.
        indent: Blanks for each level, as ``json.MarshalIndent`` lays it out; None for no blanks at all.

    Raises:
        UsageError: A number is not finite, or raw JSON is not JSON.
        TypeError: The value is of a type that JSON does not have.

    >>> dumps({"b": [1, None, True], "a": "<"})
    b'{"b":[1,null,true],"a":"\\u003c"}'
    """
    text = _text(value)
    if indent is not None:
        text = _indented(text, " " * indent)
    return text.encode("utf-8", "surrogateescape")


def sorted_map(mapping: Mapping[str, T]) -> dict[str, T]:
    """Return the items in the order in which Go writes a map: by the bytes of the keys."""
    return dict(sorted(mapping.items(), key=lambda item: item[0].encode("utf-8", "surrogatepass")))


def compact(raw: Buffer) -> bytes:
    """Return JSON text without blanks and with HTML characters escaped, as Go writes a raw message.

    Raises:
        UsageError: The text is not one JSON value.
    """
    data = bytes(raw)
    try:
        loads(data)
    except DamagedDataError as error:
        raise UsageError(f"raw JSON can't be written: {error}") from error
    if not _UNCOMPACT.search(data):
        return data
    return _COMPACT_TOKEN.sub(_compact_token, data)


_UNCOMPACT = re.compile(rb"[ \t\r\n<>&]|\xe2\x80[\xa8\xa9]")
_COMPACT_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[ \t\r\n]+', re.DOTALL)
_COMPACT_ESCAPE = re.compile(rb"[<>&]|\xe2\x80[\xa8\xa9]")


def _compact_token(match: re.Match[bytes]) -> bytes:
    token = match[0]
    if token[:1] != b'"':
        return b""
    return _COMPACT_ESCAPE.sub(lambda found: _ESCAPES[found[0].decode()].encode(), token)


def _text(value: object) -> str:
    if isinstance(value, str):
        return quote(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return format(value, "d")
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, Mapping):
        return "{" + ",".join([f"{quote(key)}:{_text(item)}" for key, item in value.items()]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, Raw):
        return compact(value.data).decode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return quote(value.decode("utf-8", "surrogateescape"))
    raise TypeError(f"JSON has no form for {type(value).__name__}")


def _float_text(value: float) -> str:
    if not math.isfinite(value):
        raise UsageError(f"JSON has no form for the number {value}")
    text = repr(value)
    if value and not 1e-6 <= abs(value) < 1e21:
        return text.replace("e-0", "e-")
    return format(Decimal(text), "f").removesuffix(".0")


_INDENT_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\{\}|\[\]|[{}\[\],:]|[^"{}\[\],:]+', re.DOTALL)


def _indented(text: str, step: str) -> str:
    out: list[str] = []
    depth = 0
    for piece in _INDENT_PIECE.findall(text):
        if piece in "{[":
            depth += 1
            out += piece, "\n", step * depth
        elif piece in "}]":
            depth -= 1
            out += "\n", step * depth, piece
        elif piece == ",":
            out += ",\n", step * depth
        else:
            out.append(": " if piece == ":" else piece)
    return "".join(out)


# --- times -----------------------------------------------------------------------------------------------------------


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


def wrap_int64(number: int) -> int:
    """Return a number as it comes out of 64 bits that overflow silently, as Kopia's times do (spec 04 §7.1).

    >>> wrap_int64(ZERO_TIME_NS)
    -6795364578871345152
    """
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


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


# --- reading ---------------------------------------------------------------------------------------------------------


class _Pairs(list[tuple[str, object]]):
    """The members of an object in their order, with repeated keys."""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_Pairs, parse_constant=_refuse_constant)
_BLANKS = re.compile(r"[ \t\r\n]*")
_BYTES = re.compile("[\udc80-\udcff]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def _skip_blanks(text: str, start: int) -> int:
    match = _BLANKS.match(text, start)
    return match.end() if match else start


def _scan(text: str, start: int) -> tuple[object, int]:
    """Return the value behind blanks at ``start`` and the position behind it."""
    try:
        value, end = _DECODER.raw_decode(text, _skip_blanks(text, start))
    except (ValueError, RecursionError) as error:
        raise DamagedDataError(f"not JSON: {error}") from error
    return value, end


def _parse(data: Buffer, *, first_only: bool) -> object:
    text = _BYTES.sub("\ufffd", bytes(data).decode("utf-8", "surrogateescape"))
    value, end = _scan(text, 0)
    if not first_only and _skip_blanks(text, end) != len(text):
        raise DamagedDataError(f"not JSON: there is more behind the value that ends at character {end}")
    return value


def loads(data: Buffer, *, first_only: bool = False) -> JSONValue:
    """Return what JSON text stands for; the last of two equal keys counts.

    Args:
        data: The text in UTF-8; bytes that are not UTF-8 become U+FFFD, as lone surrogates do.
        first_only: Whether anything may follow the first value, as in what Go reads with a ``json.Decoder``.

    Raises:
        DamagedDataError: The text is not JSON.
    """
    return cast("JSONValue", _plain(_parse(data, first_only=first_only)))


def _plain(value: object) -> object:
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, _Pairs):
        return {_SURROGATES.sub("\ufffd", key): _plain(item) for key, item in value}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def members(data: Buffer, *, first_only: bool = False) -> list[tuple[str, bytes]]:
    """Return the keys of a JSON object and the exact text of their values, in their order.

    Raises:
        DamagedDataError: The text is not a JSON object.
    """
    text = bytes(data).decode("utf-8", "surrogateescape")
    found: list[tuple[str, bytes]] = []
    at = _skip_blanks(text, 0)
    if text[at : at + 1] != "{":
        raise DamagedDataError("not a JSON object: it does not begin with a brace")
    at = _skip_blanks(text, at + 1)
    closed = text[at : at + 1] == "}"
    while not closed:
        key, at = _scan(text, at)
        at = _skip_blanks(text, at)
        if not isinstance(key, str) or text[at : at + 1] != ":":
            raise DamagedDataError(f"not JSON: a key and a colon are missing before character {at}")
        start = _skip_blanks(text, at + 1)
        _, at = _scan(text, start)
        found.append((_SURROGATES.sub("\ufffd", key), text[start:at].encode("utf-8", "surrogateescape")))
        at = _skip_blanks(text, at)
        if text[at : at + 1] not in {",", "}"}:
            raise DamagedDataError(f"not JSON: a comma or brace is missing at character {at}")
        closed = text[at] == "}"
        at += not closed
    if not first_only and _skip_blanks(text, at + 1) != len(text):
        raise DamagedDataError(f"not JSON: there is more behind the object that ends at character {at}")
    return found


def fold(key: str) -> str:
    """Return the form in which Go compares an ASCII field name with a key.

    >>> fold("Entries"), fold("entrie\u017f")
    ('entries', 'entries')
    """
    return key.lower().replace("\u017f", "s")


def decode(data: Buffer, kind: type[T], *, first_only: bool = False) -> T:
    """Return JSON text as a msgspec structure, read by Go's rules.

    The structure should forbid unknown fields: then text in the usual form takes the fast road, and unknown keys, other
    case, ``null``, damaged UTF-8 and whatever follows the value (with ``first_only``) take the slow one.
    ``null`` is kept for fields that admit None and leaves all others at their default.

    Raises:
        DamagedDataError: The text is not JSON, or a value is of a wrong type or out of range.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        return msgspec.convert(_fit(_parse(data, first_only=first_only), kind), kind)
    except msgspec.ValidationError as error:
        raise DamagedDataError(f"a value has a wrong type or range: {error}") from error


@lru_cache(maxsize=256)
def _fields_of(kind: type[msgspec.Struct]) -> dict[str, tuple[str, object, bool]]:
    """Return name, type and whether it admits None, for each folded field name of a structure."""
    return {
        fold(field.encode_name): (field.encode_name, field.type, type(None) in get_args(field.type))
        for field in msgspec.structs.fields(kind)
    }


def _fit(value: object, kind: object) -> object:
    """Return a parsed value in the form that ``msgspec.convert`` takes for the type."""
    if isinstance(value, _Pairs):
        for branch in get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,):
            if isinstance(branch, type) and issubclass(branch, msgspec.Struct):
                return _fit_fields(value, branch)
            if get_origin(branch) is dict:
                item_kind = get_args(branch)[1]
                return {_SURROGATES.sub("\ufffd", key): _fit(item, item_kind) for key, item in value}
    elif isinstance(value, list):
        for branch in get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,):
            if get_origin(branch) is list:
                return [_fit(item, get_args(branch)[0]) for item in value]
    elif value is None and kind is str:
        return ""
    return _plain(value)


def _fit_fields(pairs: _Pairs, kind: type[msgspec.Struct]) -> dict[str, object]:
    fields = _fields_of(kind)
    fitted: dict[str, object] = {}
    for key, value in pairs:
        name, field_kind, nullable = fields.get(fold(key), ("", None, False))
        if name and (nullable or value is not None):
            fitted[name] = _fit(value, field_kind)
    return fitted


__all__ = [
    "DAY_SECONDS",
    "EPOCH_TEXT",
    "SECOND_NS",
    "ZERO_TIME_NS",
    "Int32",
    "Int64",
    "JSONValue",
    "Raw",
    "Uint32",
    "compact",
    "decode",
    "dumps",
    "escape_string",
    "fold",
    "format_time",
    "loads",
    "members",
    "parse_time",
    "quote",
    "sorted_map",
    "wrap_int64",
]
