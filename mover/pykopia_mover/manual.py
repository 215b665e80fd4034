"""``KOPIA_MANUAL_CONFIG``: the parameters of a new repository, and of its cache (mover contract §3.1)."""

import os
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from pykopia.dataclass import dataclass
from pykopia_mover.compression import compressor
from pykopia_mover.documents import DocumentError, parse_document
from pykopia_mover.failures import MoverError, config_error

VARIABLE: Final = "KOPIA_MANUAL_CONFIG"

_CREATION: Final = (
    ("encryption", "algorithm", "encryption", str),
    ("splitter", "algorithm", "splitter", str),
    ("hash", "algorithm", "hash", str),
    ("format", "version", "format_version", int),
    ("ecc", "algorithm", "ecc", str),
    ("ecc", "overheadPercent", "ecc_overhead_percent", int),
)
_COMPRESSION: Final = (
    ("compression", "algorithm", "compressor_name", str),
    ("compression", "minSize", "min_size", int),
    ("compression", "maxSize", "max_size", int),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ManualConfig:
    """Contents of the document, by purpose."""

    creation: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``NewRepositoryOptions``."""
    compression: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the global policy's compression."""
    cache_size: int | None = None
    """Bytes of the cache."""
    wrong: MoverError | None = None
    """Why no repository is created: a format can't be changed later. An existing repository is used."""


def parse_manual_config(text: str) -> ManualConfig:
    """Return the contents of ``KOPIA_MANUAL_CONFIG``.

    Raises:
        MoverError: it is no JSON object of objects.
    """
    if not text:
        return ManualConfig()
    try:
        document = parse_document(os.fsencode(text), VARIABLE)
    except DocumentError as error:
        raise config_error(str(error)) from None
    for name, part in document.items():
        if not isinstance(part, dict):
            raise config_error(f"{VARIABLE}: {name} must be an object")
    size = document.get("caching", {}).get("maxCacheSize")
    cache_size = size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None
    try:
        compression = _members(document, _COMPRESSION)
        if "compressor_name" in compression:
            compression["compressor_name"] = compressor(compression["compressor_name"], setting=VARIABLE)
        return ManualConfig(creation=_members(document, _CREATION), compression=compression, cache_size=cache_size)
    except MoverError as error:
        return ManualConfig(cache_size=cache_size, wrong=error)


def _members(
    document: Mapping[str, Mapping[str, Any]], members: tuple[tuple[str, str, str, type], ...]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for part, key, attribute, kind in members:
        value = document.get(part, {}).get(key)
        if value is None or value == "":
            continue
        if not isinstance(value, kind) or isinstance(value, bool):
            raise config_error(f"{VARIABLE}: {part}.{key} must be a {'text' if kind is str else 'number'}")
        values[attribute] = value
    return values


__all__ = ["ManualConfig", "parse_manual_config"]
