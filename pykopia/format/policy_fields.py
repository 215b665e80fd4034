"""How the fields of a policy are written as JSON and read back, and how they merge (format 05 §1.1).

The sections in ``policy`` only declare their fields; everything that is the same for all of them is here. A field is
named by its JSON path, such as ``retention.keepLatest``.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import field, fields, replace
from enum import Enum, auto
from typing import Any, NoReturn, Self, TypeVar

from pykopia.dataclass import dataclass
from pykopia.errors import DamagedDataError, InvalidPolicyError, UsageError
from pykopia.format import gojson

INT64_RANGE = range(-(1 << 63), 1 << 63)
BYTE_RANGE = range(256)

_WHITE_SPACE = re.compile(r"[ \t\n\r]*")
_SURROGATES = re.compile("[\ud800-\udfff]")
_LONGEST_INT = len(str(1 << 63)) + 1

AnySection = TypeVar("AnySection", bound="Section")


class Kind(Enum):
    """Type of a field, and the value that means unset."""

    OPTIONAL_INT = auto()
    """``None`` is unset; a set 0 is a value."""
    OPTIONAL_BOOL = auto()
    """``None`` is unset; a set ``False`` is a value."""
    INT = auto()
    """0 is unset."""
    BOOL = auto()
    """``False`` is unset."""
    TEXT = auto()
    """An empty text is unset."""
    TEXTS = auto()
    """An empty list is unset."""
    OBJECTS = auto()
    """An empty list is unset."""
    OBJECT = auto()
    """``None`` is unset; an object without any field is a value."""
    SECTION = auto()
    """Always there and always written."""


class Merge(Enum):
    """How a field is merged over the policies of several targets (format 05 §3.2)."""

    FIRST = auto()
    """The most specific policy that sets it counts; for a flag that is the same as one that is on anywhere."""
    UNION = auto()
    """All values together, sorted, until a policy stops it by the field named in ``stopped_by``."""
    STOP = auto()
    """A flag that stops a union."""
    OWN = auto()
    """Taken from the policy of the target itself, never inherited."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyField:
    """Description of one field of a section."""

    json_name: str
    kind: Kind
    merge: Merge = Merge.FIRST
    stopped_by: str = ""
    """Attribute of the flag that ends a union."""
    section: "type[Section] | None" = None
    """Class of the object, or of each object in a list."""
    numbers: range = INT64_RANGE
    """Whole numbers that Kopia can hold here."""
    always_written: bool = False
    """Kopia writes it even when it is unset."""
    attribute: str = ""
    """Name of the attribute in the section's class; filled in by ``fields_of``."""

    def is_set(self, value: object) -> bool:
        """Return True if a value of this field counts as set."""
        if self.kind in {Kind.OPTIONAL_INT, Kind.OPTIONAL_BOOL, Kind.OBJECT}:
            return value is not None
        return bool(value)


_NOUNS = {
    Kind.OPTIONAL_INT: "a whole number",
    Kind.INT: "a whole number",
    Kind.OPTIONAL_BOOL: "true or false",
    Kind.BOOL: "true or false",
    Kind.TEXT: "a text",
    Kind.TEXTS: "a list of texts",
    Kind.OBJECTS: "a list of objects",
}
_TYPES: dict[Kind, type] = {
    Kind.OPTIONAL_INT: int,
    Kind.INT: int,
    Kind.OPTIONAL_BOOL: bool,
    Kind.BOOL: bool,
    Kind.TEXT: str,
    Kind.TEXTS: str,
}
_METADATA_KEY = "policy"


def declared(json_name: str, kind: Kind, **options: Any) -> Mapping[str, PolicyField]:  # noqa: ANN401 -- of PolicyField
    """Return the metadata of a dataclass field that stands for the policy field ``json_name``."""
    if kind is Kind.SECTION:
        options["always_written"] = True
    return {_METADATA_KEY: PolicyField(json_name=json_name, kind=kind, **options)}


_FIELDS: dict[type, tuple[PolicyField, ...]] = {}
_FIELDS_BY_FOLDED_NAME: dict[type, dict[str, PolicyField]] = {}


def fields_of(section: type) -> tuple[PolicyField, ...]:
    """Return the policy fields of a section's class, in the order in which Kopia writes them."""
    found = _FIELDS.get(section)
    if found is None:
        found = _FIELDS[section] = tuple(
            replace(each.metadata[_METADATA_KEY], attribute=each.name)
            for each in fields(section)
            if _METADATA_KEY in each.metadata
        )
    return found


def _fields_by_folded_name(section: type) -> dict[str, PolicyField]:
    found = _FIELDS_BY_FOLDED_NAME.get(section)
    if found is None:
        found = _FIELDS_BY_FOLDED_NAME[section] = {gojson.fold(known.json_name): known for known in fields_of(section)}
    return found


def wrong_values(section: "Section", prefix: str = "") -> Iterator[str]:
    """Yield the fields of a section whose value has the wrong type, each with what it must be.

    A policy with such a value could be stored, and not be read again.
    """
    unset = type(section)()
    for known in fields_of(type(section)):
        value, path = getattr(section, known.attribute), prefix + known.json_name
        usual = getattr(unset, known.attribute)
        if value is None and usual is None:
            continue
        if known.kind in {Kind.TEXTS, Kind.OBJECTS} and not isinstance(value, tuple | list):
            yield f"{path}: must be {_NOUNS[known.kind]}"
            continue
        kind = _TYPES.get(known.kind) or known.section or type(usual)
        for each in value if known.kind in {Kind.TEXTS, Kind.OBJECTS} else (value,):
            if not isinstance(each, kind) or (isinstance(each, bool) and kind is int):
                yield f"{path}: must be {_NOUNS.get(known.kind, f'of the class {kind.__name__}')}"
                break
            if kind is int and each not in known.numbers:
                yield f"{path}: must be from {known.numbers.start} to {known.numbers.stop - 1}"
            if isinstance(each, Section):
                yield from wrong_values(each, path + ".")


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """An object in the JSON of a policy."""

    unknown: tuple[tuple[str, str], ...] = field(default=())
    """Fields that this version does not know: name and JSON text, in the order in which they were read."""

    @classmethod
    def from_json(cls, document: bytes | str, *, strict: bool = False) -> Self:
        """Read a section, or a whole policy, from JSON.

        As Kopia does: names match without regard to case, the last of several equal names wins, ``null`` leaves a
        field unset, invalid UTF-8 becomes U+FFFD.

        Args:
            document: One JSON object.
            strict: Refuse fields that are not known, instead of keeping them in ``unknown``.

        Raises:
            InvalidPolicyError: Not JSON, a value of the wrong type, or (strict) an unknown field; the message names
                line, column and field.
        """
        text = document if isinstance(document, str) else bytes(document).decode("utf-8", "surrogateescape")
        return _Reader(_SURROGATES.sub("\ufffd", text), strict=strict).read(cls)

    @classmethod
    def many_from_json(cls, document: bytes | str, *, strict: bool = False) -> dict[str, Self]:
        """Read an object of sections, such as an export of policies; see ``from_json``. Of equal names the last counts."""
        text = document if isinstance(document, str) else bytes(document).decode("utf-8", "surrogateescape")
        return _Reader(_SURROGATES.sub("\ufffd", text), strict=strict).read_many(cls)

    def to_json(self, *, keep_unknown: bool = True, indent: int | None = None) -> bytes:
        """Return the JSON text that Kopia writes, byte for byte, without a newline.

        Args:
            keep_unknown: Write the fields of ``unknown`` too, behind the known ones of their object.
            indent: Blanks for each level; None for one line without blanks.
        """
        return gojson.dumps(_members_of(self, keep_unknown=keep_unknown), indent=indent)

    def values_set(self) -> list[tuple[str, object]]:
        """Return the fields that are set, those of sections by dotted names such as ``retention.keep_latest``."""
        found: list[tuple[str, object]] = []
        for known in fields_of(type(self)):
            value = getattr(self, known.attribute)
            if isinstance(value, Section):
                found += [(f"{known.attribute}.{name}", inner) for name, inner in value.values_set()]
            elif known.is_set(value):
                found.append((known.attribute, value))
        return found

    def __repr__(self) -> str:
        shown = []
        for known in fields_of(type(self)):
            value = getattr(self, known.attribute)
            if (value.values_set() or value.unknown) if isinstance(value, Section) else known.is_set(value):
                shown.append(f"{known.attribute}={value!r}")
        if self.unknown:
            shown.append(f"unknown={self.unknown!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def _members_of(section: Section, *, keep_unknown: bool) -> dict[str, object]:
    members = {}
    for known in fields_of(type(section)):
        value = getattr(section, known.attribute)
        if known.always_written or known.is_set(value):
            members[known.json_name] = _json_value(value, keep_unknown=keep_unknown)
    if keep_unknown:
        members.update((name, gojson.Raw(text.encode())) for name, text in section.unknown)
    return members


def _json_value(value: object, *, keep_unknown: bool) -> object:
    if isinstance(value, Section):
        return _members_of(value, keep_unknown=keep_unknown)
    if isinstance(value, tuple):
        return [_json_value(item, keep_unknown=keep_unknown) for item in value]
    return value


class _TooLong:
    """Stands for a whole number with more digits than any field can hold."""


def _parse_int(digits: str) -> int | _TooLong:
    return int(digits) if len(digits) <= _LONGEST_INT else _TooLong()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_parse_int, parse_constant=_refuse_constant)


class _Reader:
    """Reads sections out of a JSON text and knows the place of each value in the text."""

    def __init__(self, text: str, *, strict: bool) -> None:
        self._text = text
        self._strict = strict

    def read(self, section: type[AnySection]) -> AnySection:
        value, at = self._document()
        values: dict[str, Any] = {}
        if value is not None:
            self._read_members(values, section, value, at, "")
        return _built(section, values)

    def read_many(self, section: type[AnySection]) -> dict[str, AnySection]:
        value, at = self._document()
        if not isinstance(value, dict):
            self._fail(at, f"policies must be an object of targets and policies, not {_described(value)}")
        read = {}
        for _, name, member_at, member in self._members(at):
            values: dict[str, Any] = {}
            self._read_members(values, section, member, member_at, f"{name} ")
            read[name] = _built(section, values)
        return read

    def _document(self) -> tuple[object, int]:
        """Return the one value of the text, and its place."""
        at = self._skip(0)
        try:
            gojson.check_nesting(self._text, at)
            value, end = _DECODER.raw_decode(self._text, at)
        except json.JSONDecodeError as problem:
            self._fail(problem.pos, f"not JSON: {problem.msg}")
        except DamagedDataError:
            self._fail(at, f"not a policy: objects or lists are nested more than {gojson.MAX_NESTING} deep")
        except ValueError as problem:
            self._fail(at, str(problem))
        end = self._skip(end)
        if end < len(self._text):
            self._fail(end, "not JSON: more text behind the end of the object")
        return value, at

    def _read_members(
        self, values: dict[str, Any], section: type[Section], value: object, at: int, prefix: str
    ) -> None:
        """Add the members of the object at ``at`` to ``values``: later ones replace, objects are filled up."""
        if not isinstance(value, dict):
            self._fail(at, f"{prefix.rstrip('. ') or 'a policy'} must be an object, not {_described(value)}")
        by_name = _fields_by_folded_name(section)
        for name_at, name, member_at, member in self._members(at):
            known = by_name.get(gojson.fold(name))
            if known is None:
                if self._strict:
                    self._fail(name_at, f"unknown field {prefix}{name}")
                unknown = values.setdefault("unknown", {})
                unknown.pop(name, None)
                unknown[name] = self._raw(member_at, prefix + name)
            else:
                self._read_field(values, known, member, member_at, prefix + known.json_name)

    def _read_field(self, values: dict[str, Any], known: PolicyField, value: object, at: int, path: str) -> None:
        name = known.attribute
        match known.kind, value:
            case ((Kind.OPTIONAL_INT | Kind.OPTIONAL_BOOL | Kind.OBJECT | Kind.TEXTS | Kind.OBJECTS), None):
                values.pop(name, None)
            case _, None:
                pass  # Go leaves a plain value as it was
            case ((Kind.SECTION | Kind.OBJECT), _):
                assert known.section is not None
                self._read_members(values.setdefault(name, {}), known.section, value, at, path + ".")
            case Kind.OBJECTS, list():
                assert known.section is not None
                values[name] = [
                    self._read_element(known.section, element, element_at, f"{path}[{number}]")
                    for number, (element, element_at) in enumerate(self._elements(at))
                ]
            case Kind.TEXTS, list() if all(item is None or isinstance(item, str) for item in value):
                values[name] = tuple(_clean(item or "") for item in value)
            case Kind.TEXT, str():
                values[name] = _clean(value)
            case ((Kind.BOOL | Kind.OPTIONAL_BOOL), bool()):
                values[name] = value
            case ((Kind.INT | Kind.OPTIONAL_INT), int()) if not isinstance(value, bool) and value in known.numbers:
                values[name] = value
            case _:
                wanted = _NOUNS[known.kind]
                if known.numbers is not INT64_RANGE:
                    wanted += f" from {known.numbers[0]} to {known.numbers[-1]}"
                self._fail(at, f"{path} must be {wanted}, not {_described(value)}")

    def _read_element(self, section: type[Section], value: object, at: int, path: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if value is not None:
            self._read_members(values, section, value, at, path + ".")
        return values

    def _raw(self, at: int, path: str) -> str:
        _, end = _DECODER.raw_decode(self._text, at)
        try:
            return gojson.compact(self._text[at:end].encode()).decode()
        except UsageError as problem:
            self._fail(at, f"{path} can't be kept: {problem}")

    def _members(self, at: int) -> Iterator[tuple[int, str, int, object]]:
        """Yield for each member of an object the place of its name, the name, the place of its value, and the value."""
        at = self._skip(at + 1)
        while self._text[at] != "}":
            name_at = at
            name, at = _DECODER.raw_decode(self._text, name_at)
            value_at = self._skip(self._skip(at) + 1)
            value, at = _DECODER.raw_decode(self._text, value_at)
            yield name_at, _clean(name), value_at, value
            at = self._behind_comma(at)

    def _elements(self, at: int) -> Iterator[tuple[object, int]]:
        at = self._skip(at + 1)
        while self._text[at] != "]":
            value, end = _DECODER.raw_decode(self._text, at)
            yield value, at
            at = self._behind_comma(end)

    def _behind_comma(self, at: int) -> int:
        at = self._skip(at)
        return self._skip(at + 1) if self._text[at] == "," else at

    def _skip(self, at: int) -> int:
        found = _WHITE_SPACE.match(self._text, at)
        assert found is not None
        return found.end()

    def _fail(self, at: int, problem: str) -> NoReturn:
        line = self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        raise InvalidPolicyError(f"can't read the policy at line {line}, column {column}: {problem}")


def _built(section: type[AnySection], values: dict[str, Any]) -> AnySection:
    arguments: dict[str, Any] = {}
    for known in fields_of(section):
        value = values.get(known.attribute)
        if value is None:
            continue
        if isinstance(value, dict):
            assert known.section is not None
            value = _built(known.section, value)
        elif known.kind is Kind.OBJECTS:
            assert known.section is not None
            value = tuple(_built(known.section, element) for element in value)
        arguments[known.attribute] = value
    return section(unknown=tuple(values.get("unknown", {}).items()), **arguments)


def _clean(text: str) -> str:
    return _SURROGATES.sub("\ufffd", text)


def _described(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return "a text"
        case _TooLong():
            return "a number out of range"
    return f"{value}"


__all__ = [
    "BYTE_RANGE",
    "INT64_RANGE",
    "Kind",
    "Merge",
    "PolicyField",
    "Section",
    "declared",
    "fields_of",
    "wrong_values",
]
