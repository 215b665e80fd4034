"""Structures that Kopia keeps as one JSON object: their members are declared once, and read and written from that.

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Example(JSONObject):
        path: str = field(default="", metadata=member("path", TEXT))  # left out when empty, as by Go's omitempty
        count: int = field(default=0, metadata=member("count", INTEGER, always=True))

Members are written in the order of their declaration. Reading follows Go: names match without regard to case, ``null``
leaves the default, integers must be integers in 64 bits. Members that no declaration knows, of a newer Kopia perhaps,
are kept in ``unknown`` and written again behind the known ones, though Kopia itself would drop them.

Four other readers of JSON differ for a reason. They share the values (``json_values``) and the text (``gojson``) with this one:

- ``policy_fields.Section``: a field of a policy has up to three states (unset, off, on), policies are merged, and people edit
  them, so errors name line and column.
- ``directory``, ``manifest`` and ``indirect`` decode millions of entries: ``msgspec`` does it, without names in between.
- ``storage.options.StorageOptions``: a field is also a flag of the command line and may be a secret, and the members of the
  rate limits are in the same object.
- ``pykopia_mover.documents``: what a person wrote is refused where Go is generous, such as a key given twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any, Final, NamedTuple, Self

from pykopia.dataclass import dataclass
from pykopia.errors import DamagedDataError
from pykopia.format import gojson, gotime, json_values
from pykopia.format.gojson import Raw
from pykopia.ids import Buffer

_METADATA_KEY: Final = "json"


@dataclass(frozen=True, slots=True)
class Codec:
    """Reads the value of a member from JSON text, and returns it in the form that ``gojson.dumps`` takes."""

    read: Callable[[bytes], object]
    """Takes JSON text; raises DamagedDataError when it is of a wrong type."""
    write: Callable[[Any], object]


class _Member(NamedTuple):
    attribute: str
    name: str
    codec: Codec
    always: bool


def member(name: str, codec: Codec, *, always: bool = False) -> Mapping[str, _Member]:
    """Return the metadata of the dataclass field for a JSON member.

    Args:
        name: As Kopia writes it.
        codec: Between JSON and the value.
        always: Whether it is written even when it is false, zero or empty.
    """
    return {_METADATA_KEY: _Member("", name=name, codec=codec, always=always)}


_MEMBERS: dict[type, Mapping[str, _Member]] = {}


def _members_of(kind: type["JSONObject"]) -> Mapping[str, _Member]:
    """Return the members of a structure by the form in which their names are compared."""
    found = _MEMBERS.get(kind)
    if found is None:
        declared = (
            each.metadata[_METADATA_KEY]._replace(attribute=each.name)
            for each in fields(kind)
            if _METADATA_KEY in each.metadata
        )
        found = _MEMBERS[kind] = {gojson.fold(one.name): one for one in declared}
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class JSONObject:
    """Base of the structures whose members are declared with ``member``."""

    unknown: Mapping[str, Raw] = field(default_factory=dict, repr=False)
    """Members that this version does not know, as they were read."""

    @classmethod
    def parse(cls, data: Buffer, *, first_only: bool = False) -> Self:
        """Return the structure that JSON text stands for.

        Args:
            data: Text of one JSON object.
            first_only: Whether anything may follow the object.

        Raises:
            DamagedDataError: The text is not a JSON object, or a member has a value of a wrong type.
        """
        known = _members_of(cls)
        values: dict[str, Any] = {}
        unknown: dict[str, Raw] = {}
        for name, text in gojson.members(data, first_only=first_only):
            found = known.get(gojson.fold(name))
            if found is None:
                unknown[name] = Raw(text)
            elif text != b"null":
                try:
                    values[found.attribute] = found.codec.read(text)
                except DamagedDataError as error:
                    raise DamagedDataError(f"{found.name}: {error}") from error
        return cls(unknown=unknown, **values)

    def members(self) -> dict[str, object]:
        """Return what ``gojson.dumps`` writes for this structure."""
        written: dict[str, object] = {}
        for one in _members_of(type(self)).values():
            value = getattr(self, one.attribute)
            if value or one.always or (one.codec is RAW_OBJECT and value is not None):  # an empty one says something
                written[one.name] = one.codec.write(value)
        written.update(self.unknown)
        return written


def _read_time(data: bytes) -> int:
    return gotime.parse_time(json_values.text(gojson.loads(data)))


def _read_time_or_never(data: bytes) -> int | None:
    time_ns = _read_time(data)
    return None if time_ns == gotime.ZERO_TIME_NS else time_ns


def _write_time_or_never(time_ns: int | None) -> str:
    return gotime.format_time(gotime.ZERO_TIME_NS if time_ns is None else time_ns)


def _parsed(check: Callable[[Any], object]) -> Callable[[bytes], object]:
    return lambda data: check(gojson.loads(data))


def _same(value: object) -> object:
    return value


TEXT: Final = Codec(_parsed(json_values.text), _same)
"""``str``"""
FLAG: Final = Codec(_parsed(json_values.flag), _same)
"""``bool``"""
INTEGER: Final = Codec(_parsed(json_values.integer), _same)
"""``int``, of 64 bits"""
NUMBER: Final = Codec(_parsed(json_values.number), _same)
"""``float``"""
BASE64: Final = Codec(_parsed(json_values.base64_bytes), json_values.base64_text)
"""``bytes`` as standard base64"""
TIME: Final = Codec(_read_time, gotime.format_time)
"""``int`` nanoseconds since 1970 as RFC 3339"""
TIME_OR_NEVER: Final = Codec(_read_time_or_never, _write_time_or_never)
"""``int`` nanoseconds since 1970 as RFC 3339, or None, which is stored as the zero time of Go"""
RAW_OBJECT: Final = Codec(_parsed(json_values.members), _same)
"""``dict`` of whatever an object holds"""


def nested(kind: type[JSONObject]) -> Codec:
    """Return the codec of a member that is a structure itself."""
    return Codec(kind.parse, lambda value: value.members())


def list_of(kind: type[JSONObject]) -> Codec:
    """Return the codec of a member that is a list of structures, a tuple in Python."""

    def read(data: bytes) -> tuple[JSONObject, ...]:
        return tuple(kind.parse(gojson.dumps(value)) for value in json_values.values(gojson.loads(data)))

    return Codec(read, lambda values: [value.members() for value in values])


__all__ = [
    "BASE64",
    "FLAG",
    "INTEGER",
    "NUMBER",
    "RAW_OBJECT",
    "TEXT",
    "TIME",
    "TIME_OR_NEVER",
    "Codec",
    "JSONObject",
    "list_of",
    "member",
    "nested",
]
