"""Which objects are ours, and their specification as models (rules O-001, O-002)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from pykopia_operator.decide.cron import check_schedule
from pykopia_operator.decide.objects import Obj, spec_of
from pykopia_operator.decide.parameters import kopia_from_parameters
from pykopia_operator.errors import InvalidObjectError
from pykopia_operator.model.destination import DestinationKopia, DestinationSpec
from pykopia_operator.model.source import SourceKopia, SourceSpec

T = TypeVar("T")

OTHER_METHODS: Final = ("rclone", "restic", "rsync", "rsyncTLS", "syncthing")


def provider_of(obj: Obj) -> str:
    """Return the provider that the object names, empty if it names none."""
    return str((spec_of(obj).get("external") or {}).get("provider") or "")


def is_ours(obj: Obj, *, mode: str, provider: str) -> bool:
    """Return True if this operator handles the object.

    Args:
        obj: ReplicationSource or ReplicationDestination.
        mode: ``none``, ``upstream``, ``fork`` or ``replace``.
        provider: our name as an external provider.
    """
    spec = spec_of(obj)
    named = provider_of(obj) == provider
    has_kopia = spec.get("kopia") is not None
    if mode == "upstream":
        return named
    if mode == "fork":
        return named and not has_kopia
    if named:
        return True
    return has_kopia and not provider_of(obj) and not any(spec.get(each) is not None for each in OTHER_METHODS)


def is_left_to_nobody(obj: Obj, *, mode: str, provider: str) -> bool:
    """Return True if a user would expect us to handle the object, but the mode forbids it (O-002, ``upstream``)."""
    return (
        mode == "upstream"
        and spec_of(obj).get("kopia") is not None
        and not is_ours(obj, mode=mode, provider=provider)
        and not any(spec_of(obj).get(each) is not None for each in OTHER_METHODS)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A ReplicationSource that is ours, with its kopia section wherever it was given."""

    spec: SourceSpec
    kopia: SourceKopia


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """A ReplicationDestination that is ours, with its kopia section wherever it was given."""

    spec: DestinationSpec
    kopia: DestinationKopia


def read_source(obj: Obj) -> Source:
    """Return the specification of a ReplicationSource.

    Raises:
        InvalidObjectError: a field is missing or has a value that is not allowed; the message names it.
    """
    spec = _convert(spec_of(obj), SourceSpec)
    kopia = spec.kopia
    if kopia is None:
        kopia = _from_parameters(spec.external.parameters if spec.external else None, SourceKopia)
    _check_trigger(spec)
    if not spec.source_pvc:
        raise InvalidObjectError("sourcePVC must name the PersistentVolumeClaim to back up")
    return Source(spec=spec, kopia=kopia)


def read_destination(obj: Obj) -> Destination:
    """Return the specification of a ReplicationDestination.

    Raises:
        InvalidObjectError: a field is missing or has a value that is not allowed; the message names it.
    """
    spec = _convert(spec_of(obj), DestinationSpec)
    kopia = spec.kopia
    if kopia is None:
        kopia = _from_parameters(spec.external.parameters if spec.external else None, DestinationKopia)
    _check_trigger(spec)
    return Destination(spec=spec, kopia=kopia)


def _check_trigger(spec: SourceSpec | DestinationSpec) -> None:
    if spec.trigger and spec.trigger.schedule and not spec.trigger.manual:
        check_schedule(spec.trigger.schedule)


def _convert(value: Obj, model: type[T], where: str = "spec") -> T:
    try:
        return msgspec.convert(value, model)
    except msgspec.ValidationError as error:
        raise InvalidObjectError(in_words(error, where)) from None


def _from_parameters(parameters: Mapping[str, str] | None, model: type[T]) -> T:
    if not parameters:
        raise InvalidObjectError(
            "the object has neither a kopia section nor external.parameters; set external.parameters.repository at least"
        )
    return _convert(kopia_from_parameters(parameters, model), model, "external.parameters")


def in_words(error: msgspec.ValidationError, where: str) -> str:
    """Return what is wrong with a specification, in words of its fields.

    >>> in_words(msgspec.ValidationError("Expected `int`, got `str` - at `$.kopia.parallelism`"), "spec")
    'spec.kopia.parallelism: expected int, got str'
    """
    what, _, path = str(error).partition(" - at ")
    field = where + path.strip("`").removeprefix("$")
    return f"{field}: {what[:1].lower()}{what[1:]}".replace("`", "")


__all__ = ["Destination", "Source", "is_left_to_nobody", "is_ours", "read_destination", "read_source"]
