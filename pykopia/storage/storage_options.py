"""Options of a storage that a caller gives beside a URL: ``storage_options=`` of ``pykopia.connect`` and its kin."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pykopia.errors import DamagedDataError, UsageError
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.options import JSONField, ThrottlingLimits


def with_options(info: ConnectionInfo, options: Mapping[str, object]) -> ConnectionInfo:
    """Return a connection in which options replace or join what is there.

    Args:
        info: type and configuration.
        options: values by the field names of the type's class of options, such as ``S3Options``, or of
            ``ThrottlingLimits``.

    Raises:
        UsageError: a name is unknown for this type, or a value is of the wrong kind; no value is repeated, for it may be
            a secret.
    """
    if not isinstance(options, Mapping):
        raise UsageError(f"storage_options must be a dictionary, not a {type(options).__name__}")
    known = _declared(type(info.options())) | _declared(ThrottlingLimits)
    fields: dict[str, object] = {}
    for name, value in options.items():
        spec = known.get(name)
        if spec is None:
            raise UsageError(
                f"storage_options of a storage of type {info.type} can't have {name!r}; the names are "
                f"{', '.join(sorted(known))}"
            )
        try:
            written = spec.write(value) if isinstance(value, bytes) else value
            spec.read(written)
        except (DamagedDataError, TypeError, ValueError):
            raise UsageError(
                f"storage_options of a storage of type {info.type}: {name} must be {spec.expected}, not a "
                f"{type(value).__name__}"
            ) from None  # the cause may quote a secret
        fields[spec.name] = list(written) if isinstance(written, tuple) else written
    return info.with_fields(fields)


def secret_options(info: ConnectionInfo) -> frozenset[str]:
    """Return the names of the options of a storage that are secrets."""
    return frozenset(name for name, spec in _declared(type(info.options())).items() if spec.secret)


def _declared(kind: type[Any]) -> dict[str, JSONField]:
    return {each.name: each.metadata["json"] for each in dataclasses.fields(kind) if "json" in each.metadata}


__all__ = ["secret_options", "with_options"]
