"""The configuration of a storage, with Kopia's field names (format 03 §4): what all types share.

Each class lists its fields in the order in which Kopia writes them. A field is made by one of ``text_field``,
``flag_field`` ..., which say its JSON name, whether it is left out when zero, and whether it is a secret.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any, ClassVar, Self, cast

from pykopia.dataclass import dataclass
from pykopia.errors import ConnectionFileError, DamagedDataError, UsageError
from pykopia.format import json_values
from pykopia.format.duration import parse_duration
from pykopia.storage.flags import Flag, FlagContext

_DURATION = re.compile(r"[+-]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)|-?\d+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_SPEED = "BYTES_PER_SEC"
_USER_IN_URL = re.compile(r"://[^/]*@")


@dataclass(frozen=True, kw_only=True, slots=True)
class JSONField:
    """JSON form of one field."""

    name: str
    expected: str
    """The expected kind of value, for messages."""
    read: Callable[[Any], object]
    """Gives the typed value, or raises ``DamagedDataError``."""
    write: Callable[[Any], object]
    """Gives the JSON value."""
    omit_zero: bool = False
    secret: bool = False
    """Whether Kopia treats it as a secret."""
    hidden: bool = False
    """Whether it is hidden like a secret, since it may hold one."""
    flag: Flag | None = None
    """How a command line gives it; None: not by a flag of its own."""
    of_flag: Callable[[Any, FlagContext], object] = lambda value, _: value
    """Gives the typed value of what the flag has."""


def _same(value: object) -> object:
    return value


def _write_float(value: float) -> int | float:
    return int(value) if value.is_integer() else value  # Go writes 20, not 20.0


def _read_ints(value: object) -> tuple[int, ...]:
    return tuple(map(json_values.integer, json_values.values(value)))


def _read_texts(value: object) -> tuple[str, ...]:
    return tuple(map(json_values.text, json_values.values(value)))


def _write_list(value: tuple[object, ...] | None) -> list[object] | None:
    return None if value is None else list(value)


def _matching(pattern: re.Pattern[str]) -> Callable[[object], str]:
    def read(value: object) -> str:
        text = json_values.text(value)
        if not pattern.fullmatch(text):
            raise DamagedDataError(f"it must match {pattern.pattern}")
        return text

    return read


def _texts_of_flag(given: Iterable[str], _: FlagContext) -> tuple[str, ...]:
    return tuple(given)


def _duration_of_flag(text: str, _: FlagContext) -> str:
    try:
        if text:
            parse_duration(text)
    except ValueError:
        raise UsageError(f"--retry-for must be a duration such as 15m or 1h30m; it is {text!r}") from None
    return text


def _shards_of_flag(flat: bool, context: FlagContext) -> tuple[int, ...] | None:
    if flat:
        return ()
    return (3, 3) if context.creating and context.format_version == 1 else None


def _time_of_flag(text: str, context: FlagContext) -> str:
    if text and context.creating:
        raise UsageError("--point-in-time can't be used to create a repository")
    if text and not _TIME.fullmatch(text):
        raise UsageError(f"--point-in-time must be a time such as 2026-01-02T03:04:05Z; it is {text!r}")
    return text


def _field(default: object, spec: JSONField) -> object:
    return field(default=default, metadata={"json": spec})


def text_field(
    name: str, *, omit: bool = False, secret: bool = False, hidden: bool = False, flag: Flag | None = None
) -> str:
    """Declare a text."""
    spec = JSONField(
        name=name,
        expected="text",
        read=json_values.text,
        write=_same,
        omit_zero=omit,
        secret=secret,
        hidden=hidden,
        flag=flag,
    )
    return cast("str", _field("", spec))


def texts_field(name: str, *, flag: Flag | None = None) -> tuple[str, ...]:
    """Declare a list of texts that may hold secrets, left out when empty."""
    spec = JSONField(
        name=name,
        expected="a list of texts",
        read=_read_texts,
        write=_write_list,
        omit_zero=True,
        hidden=True,
        flag=flag,
        of_flag=_texts_of_flag,
    )
    return cast("tuple[str, ...]", _field((), spec))


def flag_field(name: str, *, omit: bool = False, flag: Flag | None = None) -> bool:
    """Declare a truth value."""
    spec = JSONField(name=name, expected="true or false", read=json_values.flag, write=_same, omit_zero=omit, flag=flag)
    return cast("bool", _field(False, spec))  # noqa: FBT003 -- the default of the field


def int_field(name: str, *, omit: bool = True, flag: Flag | None = None) -> int:
    """Declare a whole number."""
    spec = JSONField(
        name=name, expected="a whole number", read=json_values.integer, write=_same, omit_zero=omit, flag=flag
    )
    return cast("int", _field(0, spec))


def optional_int_field(name: str) -> int | None:
    """Declare a whole number that may be absent, which is not the same as zero."""
    spec = JSONField(name=name, expected="a whole number", read=json_values.integer, write=_same, omit_zero=True)
    return cast("int | None", _field(None, spec))


def rate_field(name: str, *, flag: Flag | None = None) -> float:
    """Declare a number that is left out when zero."""
    spec = JSONField(
        name=name, expected="a number", read=json_values.number, write=_write_float, omit_zero=True, flag=flag
    )
    return cast("float", _field(0.0, spec))


def shards_field(name: str) -> tuple[int, ...] | None:
    """Declare a list of whole numbers that is written as null when absent."""
    spec = JSONField(
        name=name,
        expected="a list of whole numbers",
        read=_read_ints,
        write=_write_list,
        flag=Flag("Put all files into one folder.", "flat", default=False),
        of_flag=_shards_of_flag,
    )
    return cast("tuple[int, ...] | None", _field(None, spec))


def duration_field(name: str, *, flag: Flag | None = None) -> str:
    """Declare a duration, kept as the text that Go reads and writes."""
    spec = JSONField(
        name=name, expected='a duration such as "1h30m" or "0s"', read=_matching(_DURATION), write=_same, flag=flag
    )
    return cast("str", _field("0s", spec))


def retry_field() -> str:
    """Declare for how long a service is asked again that asks to come back later; empty: 15 minutes. Kopia does not know it."""
    expected = 'a duration such as "15m"'
    flag = Flag("How long a storage is asked again that asks to come back later (15m).", placeholder="DURATION")
    spec = JSONField(
        name="retryFor",
        expected=expected,
        read=_matching(_DURATION),
        write=_same,
        omit_zero=True,
        flag=flag,
        of_flag=_duration_of_flag,
    )
    return cast("str", _field("", spec))


def time_field(name: str) -> str:
    """Declare a time, kept as RFC 3339 text and left out when empty."""
    spec = JSONField(
        name=name,
        expected="a time such as 2026-01-02T03:04:05Z",
        read=_matching(_TIME),
        write=_same,
        omit_zero=True,
        flag=Flag("See the storage as it was at a time.", placeholder="TIME"),
        of_flag=_time_of_flag,
    )
    return cast("str", _field("", spec))


def base64_field(name: str) -> bytes:
    """Declare bytes that stand in JSON as base64, left out when empty."""
    spec = JSONField(
        name=name, expected="base64", read=json_values.base64_bytes, write=json_values.base64_text, omit_zero=True
    )
    return cast("bytes", _field(b"", spec))


def json_field(name: str) -> object:
    """Declare a secret that may be any JSON, left out when absent."""
    return _field(None, JSONField(name=name, expected="JSON", read=_same, write=_same, omit_zero=True, secret=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class ThrottlingLimits:
    """Limits on the use of a storage; zero is no limit (format 03 §5)."""

    reads_per_second: float = rate_field("readsPerSecond")
    """Gets and metadata requests a second."""
    writes_per_second: float = rate_field("writesPerSecond")
    """Puts and deletes a second."""
    lists_per_second: float = rate_field("listsPerSecond")
    """Listings a second."""
    upload_bytes_per_second: float = rate_field(
        "maxUploadSpeedBytesPerSecond", flag=Flag("Limit the speed of writing.", "max-upload-speed", placeholder=_SPEED)
    )
    download_bytes_per_second: float = rate_field(
        "maxDownloadSpeedBytesPerSecond",
        flag=Flag("Limit the speed of reading.", "max-download-speed", placeholder=_SPEED),
    )
    concurrent_reads: int = int_field("concurrentReads")
    """Gets and metadata requests at one time."""
    concurrent_writes: int = int_field("concurrentWrites")
    """Puts and deletes at one time."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Read limits by Kopia's JSON names; other members are left out.

        Raises:
            ConnectionFileError: A limit has a value of the wrong kind.
        """
        known = {spec.name.lower(): (attribute, spec) for attribute, spec in _declared(cls)}
        values: dict[str, Any] = {}
        for name, value in config.items():
            if value is not None and name.lower() in known:
                attribute, spec = known[name.lower()]
                values[attribute] = _read("the limits of this connection", spec, value)
        return cls(**values)

    def to_config(self) -> dict[str, Any]:
        """Return the limits that are set, by Kopia's JSON names."""
        return {spec.name: value for spec, value in _written_of(self, dataclasses.fields(self))}


NO_LIMITS = ThrottlingLimits()


class StorageOptions:
    """Typed configuration of one storage type; every subclass is a frozen dataclass.

    Fields that this version does not know are kept in ``extra`` and written back.
    """

    __slots__ = ()

    type: ClassVar[str]
    """Kopia's name of the storage type."""
    required: ClassVar[tuple[str, ...]] = ()
    """JSON names of the fields without which the storage can't be opened."""
    holder: ClassVar[str] = "folder"
    """What holds the blobs, for messages, such as ``bucket``. A ``folder`` is made where it is missing, nothing else is."""
    url_form: ClassVar[str] = ""
    """The form of the URLs that name such a storage, for messages."""
    credential_variables: ClassVar[str] = ""
    """The environment variables that hold the credentials, for messages; empty: there are none."""
    more_flags: ClassVar[Mapping[str, Flag]] = {}
    """Flags that are not the value of one field, by name; ``more_from_flags`` reads them."""
    throttling: ThrottlingLimits
    extra: Mapping[str, Any]
    """Unknown fields by JSON name, as they were read."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Read a configuration as Go does: key case does not matter, null leaves the default, the last of two wins.

        Raises:
            ConnectionFileError: A field has a value of the wrong kind.
        """
        known = {spec.name.lower(): (attribute, spec) for attribute, spec in _declared(cls)}
        limits = {spec.name.lower(): (attribute, spec) for attribute, spec in _declared(ThrottlingLimits)}
        values: dict[str, Any] = {}
        throttling: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for name, value in config.items():
            lower = name.lower()
            if lower in known:
                table, target = known, values
            elif lower in limits:
                table, target = limits, throttling
            else:
                extra[name] = value
                continue
            attribute, spec = table[lower]
            if value is not None:
                target[attribute] = _read(f"this connection to storage of type {cls.type}", spec, value)
        make: Callable[..., Self] = cls  # the fields are those of the subclass
        return make(**values, throttling=ThrottlingLimits(**throttling), extra=extra)

    @property
    def location(self) -> str:
        """Where the blobs are, for messages: without secrets, and with host and port where there is a server."""
        return self.type

    @property
    def server(self) -> str:
        """Address of the server that is asked over TLS: a host, a host with a port or a URL; empty: not known."""
        return ""

    @classmethod
    def flags(cls) -> dict[str, Flag]:
        """Return the flags of a command line that give the options, by name, each with its default."""
        own = [(name, spec.flag, default) for _, name, spec, default in _flagged(cls)]
        shared = [(name, spec.flag, default) for _, name, spec, default in _flagged(ThrottlingLimits)]
        more = [(name, flag, "") for name, flag in cls.more_flags.items()]
        return {
            name: flag if flag.default is not None else dataclasses.replace(flag, default=default)
            for name, flag, default in [*own, *more, *shared]
            if flag is not None
        }

    @classmethod
    def from_flags(cls, given: Mapping[str, Any], context: FlagContext) -> Self:
        """Return the options that flags mean.

        Args:
            given: the value of each flag of ``flags``, by name.
            context: what else decides.

        Raises:
            UsageError: A value can't be used, or flags exclude each other.
        """
        values = {field: spec.of_flag(given[name], context) for field, name, spec, _ in _flagged(cls)}
        limits = {field: spec.of_flag(given[name], context) for field, name, spec, _ in _flagged(ThrottlingLimits)}
        make: Callable[..., Self] = cls  # the fields are those of the subclass
        return make(**values | cls.more_from_flags(given, context), throttling=ThrottlingLimits(**cast("Any", limits)))

    @classmethod
    def more_from_flags(cls, given: Mapping[str, Any], context: FlagContext) -> dict[str, Any]:  # noqa: ARG003
        """Return the values of fields that do not follow from one flag each.

        Raises:
            UsageError: A value can't be used, or flags exclude each other.
        """
        return {}

    def to_config(self) -> dict[str, Any]:
        """Return the configuration by Kopia's JSON names, in Kopia's order, secrets included."""
        return {spec.name: value for spec, value in self._written()} | dict(self.extra)

    def redacted_config(self) -> dict[str, Any]:
        """Return what ``to_config`` does with secrets as asterisks; unknown fields may be secrets too."""
        config = {
            spec.name: _stars(value) if spec.secret or spec.hidden else _without_password(value)
            for spec, value in self._written()
        }
        return config | {name: _stars(value) for name, value in self.extra.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}.from_config({self.redacted_config()})"

    @classmethod
    def secret_fields(cls) -> frozenset[str]:
        """Return the JSON names of the fields that Kopia treats as secrets."""
        return frozenset(spec.name for _, spec in _declared(cls) if spec.secret)

    def check(self) -> None:
        """Refuse options without which the storage can't be opened.

        Raises:
            UsageError: A required field is empty.
        """
        config = self.to_config()
        missing = [name for name in self.required if not config.get(name)]
        if missing:
            raise UsageError(f"can't open storage of type {self.type}: {', '.join(missing)} must be given")

    def _written(self) -> list[tuple[JSONField, Any]]:
        """Return each field that the JSON has, with its JSON value, in Kopia's order."""
        written = []
        for item in dataclasses.fields(cast("Any", self)):
            if item.name == "throttling":  # its fields are in the same flat object
                written += _written_of(self.throttling, dataclasses.fields(ThrottlingLimits))
            else:
                written += _written_of(self, [item])
        return written


def _written_of(part: object, fields: Iterable[dataclasses.Field[Any]]) -> list[tuple[JSONField, Any]]:
    written = []
    for item in fields:
        spec, value = item.metadata.get("json"), getattr(part, item.name)
        if spec is not None and not (spec.omit_zero and value == item.default):
            written.append((spec, spec.write(value)))
    return written


def _declared(cls: Any) -> list[tuple[str, JSONField]]:  # noqa: ANN401 -- any dataclass
    return [(item.name, item.metadata["json"]) for item in dataclasses.fields(cls) if "json" in item.metadata]


def _flagged(cls: Any) -> list[tuple[str, str, JSONField, Any]]:  # noqa: ANN401 -- any dataclass
    """Return field, name of the flag, declaration and default of each field that has a flag."""
    return [
        (item.name, spec.flag.name or item.name.replace("_", "-"), spec, item.default)
        for item in dataclasses.fields(cls)
        if (spec := item.metadata.get("json")) is not None and spec.flag is not None
    ]


def _read(what: str, spec: JSONField, value: object) -> object:
    try:
        return spec.read(value)
    except DamagedDataError:
        raise ConnectionFileError(
            f"can't use {what}: {spec.name} must be {spec.expected}; correct it or connect to the repository again"
        ) from None  # the cause may quote a secret


def _stars(value: object) -> object:
    if value is None:
        return None
    return "*" * len(value) if isinstance(value, str) else "***"


def _without_password(value: object) -> object:
    """Hide the user part of a URL: some put a password there."""
    return _USER_IN_URL.sub("://***@", value) if isinstance(value, str) else value


__all__ = [
    "NO_LIMITS",
    "JSONField",
    "StorageOptions",
    "ThrottlingLimits",
    "base64_field",
    "duration_field",
    "flag_field",
    "int_field",
    "json_field",
    "optional_int_field",
    "rate_field",
    "retry_field",
    "shards_field",
    "text_field",
    "texts_field",
    "time_field",
]
