"""JSON and times exactly as Go's ``encoding/json`` writes and reads them (format 04 §7.1, §7.4).

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
from decimal import Decimal
from functools import lru_cache
from types import UnionType
from typing import Annotated, Final, TypeAlias, TypeVar, Union, cast, get_args, get_origin

import msgspec

from pykopia.dataclass import dataclass
from pykopia.errors import DamagedDataError, UsageError
from pykopia.format.gotime import EPOCH_TEXT, ZERO_TIME_NS, format_time, parse_time, stored_time, wrap_int64
from pykopia.ids import Buffer

T = TypeVar("T")

JSONValue: TypeAlias = "bool | int | float | str | list[JSONValue] | dict[str, JSONValue] | None"

Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Int32: TypeAlias = Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)]
Uint32: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]

MAX_NESTING: Final = 200
"""Objects and lists in each other that are read. Kopia's own documents have fewer than ten; without a limit, nested
input would exhaust the stack of the process."""


# --- writing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Raw:
    """JSON text that is written as it is, but without blanks and with HTML characters escaped, as Go does."""

    data: bytes
    parsed: bool = False
    """Whether a parser has accepted the text before: then it is not checked again, however deep it is nested."""


_SURROGATES = re.compile("[\ud800-\udfff]")
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


def stored_form(text: str) -> str:
    r"""Return what a reader gets of text that was written: each byte that is not UTF-8 has become U+FFFD.

    >>> stored_form("a\udcff") == "a\ufffd"
    True
    """
    return _SURROGATES.sub("\ufffd", text)


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
        UsageError: The text is not one JSON value, or is nested more than ``MAX_NESTING`` deep.
    """
    data = bytes(raw)
    try:
        loads(data)
    except DamagedDataError as error:
        raise UsageError(f"raw JSON can't be written: {error}") from error
    return _compacted(data)


def _compacted(data: bytes) -> bytes:
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
        return (_compacted if value.parsed else compact)(value.data).decode("utf-8", "surrogateescape")
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


# --- reading ---------------------------------------------------------------------------------------------------------


class _Pairs(list[tuple[str, object]]):
    """The members of an object in their order, with repeated keys."""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_Pairs, parse_constant=_refuse_constant)
_BLANKS = re.compile(r"[ \t\r\n]*")
_BYTES = re.compile("[\udc80-\udcff]")


def _skip_blanks(text: str, start: int) -> int:
    match = _BLANKS.match(text, start)
    return match.end() if match else start


_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)


def check_nesting(text: str, start: int = 0) -> None:
    """Refuse a JSON value that is nested deeper than ``MAX_NESTING``.

    Only brackets are counted: text that is not JSON is left to the parser.

    Args:
        text: JSON text.
        start: Position of the value in ``text``.

    Raises:
        DamagedDataError: The value is nested deeper.
    """
    if text.count("{", start) + text.count("[", start) <= MAX_NESTING:
        return
    depth = 0
    for match in _BRACKETS.finditer(text, start):
        bracket = match[0]
        if bracket in "{[":
            depth += 1
            if depth > MAX_NESTING:
                raise DamagedDataError(f"not JSON that can be read: it is nested more than {MAX_NESTING} deep")
        elif bracket in "}]":
            depth -= 1
            if depth <= 0:
                return


def _scan(text: str, start: int) -> tuple[object, int]:
    """Return the value behind blanks at ``start`` and the position behind it; the parser itself bounds the nesting."""
    try:
        value, end = _DECODER.raw_decode(text, _skip_blanks(text, start))
    except (ValueError, RecursionError) as error:
        raise DamagedDataError(f"not JSON: {error}") from error
    return value, end


def _parse(data: Buffer, *, first_only: bool) -> object:
    text = _BYTES.sub("\ufffd", bytes(data).decode("utf-8", "surrogateescape"))
    check_nesting(text)
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
        return stored_form(value)
    if isinstance(value, _Pairs):
        return {stored_form(key): _plain(item) for key, item in value}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def members(data: Buffer, *, first_only: bool = False) -> list[tuple[str, bytes]]:
    """Return the keys of a JSON object and the exact text of their values, in their order.

    Raises:
        DamagedDataError: The text is not a JSON object.
    """
    return _items(data, "{}", first_only=first_only)


def elements(data: Buffer) -> list[bytes]:
    """Return the exact texts of the elements of a JSON list.

    Raises:
        DamagedDataError: The text is not a JSON list.
    """
    return [element for _, element in _items(data, "[]", first_only=False)]


def _items(data: Buffer, brackets: str, *, first_only: bool) -> list[tuple[str, bytes]]:
    text = bytes(data).decode("utf-8", "surrogateescape")
    found: list[tuple[str, bytes]] = []
    at = _skip_blanks(text, 0)
    if text[at : at + 1] != brackets[0]:
        raise DamagedDataError(f"not JSON of the form {brackets}: it does not begin so")
    at = _skip_blanks(text, at + 1)
    closed = text[at : at + 1] == brackets[1]
    while not closed:
        key = ""
        if brackets == "{}":
            key, at = _scan_key(text, at)
        start = _skip_blanks(text, at)
        _, at = _scan(text, start)
        found.append((key, text[start:at].encode("utf-8", "surrogateescape")))
        at = _skip_blanks(text, at)
        if text[at : at + 1] not in {",", brackets[1]}:
            raise DamagedDataError(f"not JSON: a comma or {brackets[1]} is missing at character {at}")
        closed = text[at] == brackets[1]
        at += not closed
    if not first_only and _skip_blanks(text, at + 1) != len(text):
        raise DamagedDataError(f"not JSON: there is more behind the {brackets[1]} at character {at}")
    return found


def _scan_key(text: str, start: int) -> tuple[str, int]:
    """Return the key at ``start`` and the position behind its colon."""
    key, at = _scan(text, start)
    at = _skip_blanks(text, at)
    if not isinstance(key, str) or text[at : at + 1] != ":":
        raise DamagedDataError(f"not JSON: a key and a colon are missing before character {at}")
    return stored_form(key), at + 1


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
    ``null`` is kept for fields that admit None and leaves all others at their default. Where a key is repeated, which
    no writer does, only its last value is looked at: Go would also refuse wrong ones before it and merge two objects.

    Raises:
        DamagedDataError: The text is not JSON, or a value is of a wrong type or out of range.
    """
    usual = decode_usual(data, kind)
    if usual is not None:
        return usual
    try:
        return msgspec.convert(_fit(_parse(data, first_only=first_only), kind), kind)
    except msgspec.ValidationError as error:
        raise DamagedDataError(f"a value has a wrong type or range: {error}") from error


def decode_usual(data: Buffer, kind: type[T]) -> T | None:
    """Return JSON text as a msgspec structure, or None where only ``decode`` can read it.

    Not None means, for a structure that forbids unknown fields, that there are no unknown keys.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


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
                return {stored_form(key): _fit(item, item_kind) for key, item in value}
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
    "EPOCH_TEXT",
    "MAX_NESTING",
    "ZERO_TIME_NS",
    "Int32",
    "Int64",
    "JSONValue",
    "Raw",
    "Uint32",
    "check_nesting",
    "compact",
    "decode",
    "decode_usual",
    "dumps",
    "elements",
    "escape_string",
    "fold",
    "format_time",
    "loads",
    "members",
    "parse_time",
    "quote",
    "sorted_map",
    "stored_form",
    "stored_time",
    "wrap_int64",
]
