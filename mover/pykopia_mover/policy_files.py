"""The two files of ``policyConfig``: the global policy, and the settings of the repository.

People write Kopia's names, older movers' names and those of the documentation; everything becomes Kopia's here.
"""

import dataclasses
import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import field, replace
from typing import Any, Final

from pykopia import Policy, SourceInfo
from pykopia.dataclass import dataclass
from pykopia.errors import InvalidPolicyError
from pykopia.policies import EMPTY_POLICY, check_change
from pykopia_mover.compression import compressor
from pykopia_mover.documents import DocumentError
from pykopia_mover.failures import MoverError

GLOBAL: Final = "(global)"

_ALIASES: Final = {
    "compression": {"compressor": "compressorName"},
    "retention": {"keepYearly": "keepAnnual"},
    "files": {"ignoreCacheDirectories": "ignoreCacheDirs", "noParentIgnoreRules": "noParentIgnore"},
    "scheduling": {"interval": "intervalSeconds"},
}
"""Other names of fields, by section."""

_CONFIG_KEYS: Final = ("enableActions", "uploadSpeed", "downloadSpeed", "hostname", "username", "readonly")
"""Keys of ``repository.config`` besides those of its objects."""
_CONFIG_PARTS: Final = {
    "caching": (
        "maxCacheSize", "contentCacheSizeBytes", "contentCacheSizeLimitBytes", "metadataCacheSizeBytes",
        "metadataCacheSizeLimitBytes", "maxMetadataCacheSize", "maxListCacheDuration",
        # of Kopia's connection files, without effect here
        "cacheDirectory", "minMetadataSweepAge", "minContentSweepAge", "minIndexSweepAge",
    ),
    "compression": ("onlyCompress", "neverCompress", "minSize", "maxSize"),
    "storage": ("type", "config"),
    "throttling": (
        "maxUploadSpeedBytesPerSecond", "maxDownloadSpeedBytesPerSecond", "readsPerSecond", "writesPerSecond",
        "listsPerSecond", "concurrentReads", "concurrentWrites",
    ),
}  # fmt: skip
"""Keys of the objects in ``repository.config``."""

_ACTIONS: Final = ("beforeSnapshotRoot", "afterSnapshotRoot", "beforeFolder", "afterFolder")
_UNITS: Final = {"h": 3600, "m": 60, "s": 1}
_DURATION: Final = re.compile(r"(?:\d+[hms])+")
_SPEED: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?)(i?)[bB]?(?:/s)?")
_SPEED_UNITS: Final = {"": 0, "k": 1, "m": 2, "g": 3}


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyFile:
    """A global policy out of a file."""

    policy: Policy
    sections: frozenset[str]
    """Attributes of the sections that the file has; it replaces these sections as a whole."""
    defined: frozenset[str]
    """Fields that it sets, such as ``retention.keep_daily``."""
    parallel_uploads: int | None = None
    """Uploads at one time in this run; Kopia has no such field."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RepositoryConfig:
    """``repository.config`` of ``policyConfig``: settings of the whole repository."""

    enable_actions: bool | None = None
    """None is not given: actions of policies do not run, those of the spec do."""
    max_cache_size: int | None = None
    """Bytes of the whole cache."""
    content_cache_size: int | None = None
    metadata_cache_size: int | None = None
    max_list_cache_seconds: float | None = None
    compression: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the global policy's compression that win over the policy file."""
    storage_type: str = ""
    throttling: Mapping[str, float] = field(default_factory=dict)
    """Kopia's names of limits."""
    warnings: tuple[str, ...] = ()


# ---------------------------------------------------------------------- the global policy


def policy_file(document: Mapping[str, Any], name: str) -> PolicyFile:
    """Return the policy in a document: the policy itself, or an export of Kopia's with one for ``(global)``.

    Raises:
        DocumentError: a field has a value that it can't have; the message names it.
    """
    warnings: list[str] = []
    if any(key == GLOBAL or "@" in key for key in document):
        others = sorted(key for key in document if key != GLOBAL)
        if others:
            warnings.append(f"{name}: only the policy of (global) is used, not that of {', '.join(others)}")
        inner = document.get(GLOBAL, {})
        if not isinstance(inner, dict):
            raise DocumentError(f"{name}: {GLOBAL} must be an object")
        document = inner
    members = {key: _section(key, value, name) for key, value in document.items()}
    uploads = members.get("upload")
    parallel_uploads = uploads.pop("parallelUploads", None) if isinstance(uploads, dict) else None
    if parallel_uploads is not None and not _is_count(parallel_uploads, least=1):
        raise DocumentError(f"{name}: upload.parallelUploads must be a whole number, at least 1")
    try:
        policy = Policy.from_json(json.dumps(members))
    except InvalidPolicyError as error:
        raise DocumentError(f"{name}: {re.sub(r'.*column [0-9]+: ', '', str(error))}") from None
    warnings += [f"{name}: unknown field {told}, ignored" for told in _unknown(policy, "")]
    policy = _known(policy)
    _check(policy, name)
    sections = frozenset(
        each.name for each in _subsections(policy) if _json_name(each) in {*members} and each.name != "unknown"
    )
    return PolicyFile(
        policy=policy,
        sections=sections,
        defined=frozenset(_defined(policy, sections)),
        parallel_uploads=parallel_uploads,
        warnings=tuple(warnings),
    )


def _section(name: str, value: object, file: str) -> Any:  # noqa: ANN401 -- any JSON
    """Return a section with Kopia's names and values."""
    if not isinstance(value, dict):
        return value
    aliases: Mapping[str, str] = _ALIASES.get(name, {})
    found: dict[str, Any] = {}
    for key, item in value.items():
        real = aliases.get(key, key)
        if real != key and real in value:
            raise DocumentError(f"{file}: {name}.{key} and {name}.{real} are the same; give one")
        found[real] = item
    if name in {"compression", "metadataCompression"} and isinstance(found.get("compressorName"), str):
        found["compressorName"] = _compressor(found["compressorName"], f"{file}: {name}.compressorName")
    if name == "compression":
        for key in ("onlyCompress", "neverCompress"):
            if key in found:
                found[key] = extensions(found[key], f"{file}: compression.{key}")
    if name == "scheduling" and isinstance(found.get("intervalSeconds"), str):
        found["intervalSeconds"] = seconds(found["intervalSeconds"], f"{file}: scheduling.interval")
    if name == "actions":
        found |= {key: _action(found[key], f"{file}: actions.{key}") for key in _ACTIONS if key in found}
    return found


def _compressor(name: str, where: str) -> str:
    if not name:
        return name
    try:
        return compressor(name, setting=where)
    except MoverError as error:
        raise DocumentError(str(error)) from None


def _action(value: object, where: str) -> object:
    if not isinstance(value, dict):
        return value
    action = dict(value)
    if isinstance(action.get("timeout"), str):
        action["timeout"] = seconds(action["timeout"], f"{where}.timeout")
    return action


def seconds(text: str, where: str) -> int:
    """Return the seconds of a duration such as ``5m``, ``1h30m``, ``90s`` or ``300``.

    >>> seconds("1h30m", "timeout")
    5400
    """
    if text.isascii() and text.isdigit():
        return int(text)
    if not _DURATION.fullmatch(text):
        raise DocumentError(f"{where} must be a duration such as 5m, 1h30m or 90s, not {text!r}")
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([hms])", text))


def extensions(value: object, where: str) -> list[str]:
    """Return extensions of file names as Kopia has them: with the dot, sorted, ``*.jpg`` reduced to ``.jpg``."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DocumentError(f"{where} must be a list of extensions such as .jpg")
    found = set()
    for item in value:
        bare = item.removeprefix("*")
        if not bare.startswith(".") or "/" in bare or "*" in bare or bare.rfind(".") != 0:
            raise DocumentError(f"{where}: {item!r} is no extension; write .jpg or *.jpg")
        found.add(bare)
    return sorted(found)


def _is_count(value: object, *, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _check(policy: Policy, name: str) -> None:
    """Refuse values that make no sense, although Kopia would store them: the repository would refuse the policy later."""
    try:
        check_change(SourceInfo(), EMPTY_POLICY, policy)
    except InvalidPolicyError as error:
        wrong = re.sub(".*can't be set: ", "", str(error))
        raise DocumentError(f"{name}: {wrong}") from None
    compression = policy.compression
    if 0 < compression.max_size < compression.min_size:
        raise DocumentError(f"{name}: compression.minSize is above maxSize, so that nothing would be compressed")
    reads = policy.upload.max_parallel_file_reads
    if reads is not None and reads < 1:
        raise DocumentError(f"{name}: upload.maxParallelFileReads must be at least 1")


# ---------------------------------------------------------------------- what a policy has


def _json_name(each: "dataclasses.Field[Any]") -> str:
    return str(each.metadata["policy"].json_name) if "policy" in each.metadata else each.name


def _subsections(section: Any) -> list["dataclasses.Field[Any]"]:  # noqa: ANN401 -- any section
    return [each for each in dataclasses.fields(section) if "policy" in each.metadata]


def _unknown(section: Any, path: str) -> Iterator[str]:  # noqa: ANN401
    """Yield the unknown fields below a section, each with the nearest known one."""
    known = [_json_name(each) for each in _subsections(section)]
    for name, _ in section.unknown:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        yield f"{path}{name}" + (f" (did you mean {path}{near[0]}?)" if near else "")
    for each in _subsections(section):
        value = getattr(section, each.name)
        if hasattr(value, "unknown"):
            yield from _unknown(value, f"{path}{_json_name(each)}.")


def _known(section: Any) -> Any:  # noqa: ANN401
    """Return a section without unknown fields."""
    changes = {
        each.name: _known(getattr(section, each.name))
        for each in _subsections(section)
        if hasattr(getattr(section, each.name), "unknown")
    }
    return replace(section, unknown=(), **changes)


def _defined(policy: Policy, sections: frozenset[str]) -> Iterator[str]:
    """Yield the fields that a policy sets, by attribute: ``section.field``."""
    for section in sections:
        value = getattr(policy, section)
        if not hasattr(value, "unknown"):
            yield section
            continue
        for each in _subsections(value):
            if each.metadata["policy"].is_set(getattr(value, each.name)):
                yield f"{section}.{each.name}"


# ---------------------------------------------------------------------- repository.config


def repository_config(document: Mapping[str, Any], name: str) -> RepositoryConfig:
    """Return the settings in a document (rule M-100).

    Raises:
        DocumentError: a key has a value that it can't have; the message names it.
    """
    warnings: list[str] = []
    parts = {key: _object(document, key, name) for key in _CONFIG_PARTS}
    warnings += _unknown_keys(document, {*_CONFIG_PARTS, *_CONFIG_KEYS}, name, "")
    for key, part in parts.items():
        warnings += _unknown_keys(part, _CONFIG_PARTS[key], name, f"{key}.")
    enable = document.get("enableActions")
    if enable is not None and not isinstance(enable, bool):
        raise DocumentError(f"{name}: enableActions must be true or false")
    caching = parts["caching"]
    storage_type = parts["storage"].get("type", "")
    if not isinstance(storage_type, str):
        raise DocumentError(f"{name}: storage.type must be a text")
    if parts["storage"].get("config"):
        warnings.append(
            f"{name}: storage.config is ignored: the repository's place and credentials come from the Secret"
        )
    throttling = {key: _number(value, f"{name}: throttling.{key}") for key, value in parts["throttling"].items()}
    for key, limit in (
        ("uploadSpeed", "maxUploadSpeedBytesPerSecond"),
        ("downloadSpeed", "maxDownloadSpeedBytesPerSecond"),
    ):
        if document.get(key) not in {None, ""}:
            throttling[limit] = bytes_per_second(document[key], f"{name}: {key}")
    return RepositoryConfig(
        enable_actions=enable,
        max_cache_size=_size(caching, ("maxCacheSize",), name),
        content_cache_size=_size(caching, ("contentCacheSizeLimitBytes", "contentCacheSizeBytes"), name),
        metadata_cache_size=_size(
            caching, ("metadataCacheSizeLimitBytes", "metadataCacheSizeBytes", "maxMetadataCacheSize"), name
        ),
        max_list_cache_seconds=(
            _number(caching["maxListCacheDuration"], f"{name}: caching.maxListCacheDuration")
            if caching.get("maxListCacheDuration") is not None
            else None
        ),
        compression=_repository_compression(parts["compression"], name),
        storage_type=storage_type,
        throttling=throttling,
        warnings=tuple(warnings),
    )


def _unknown_keys(part: Mapping[str, Any], known: Collection[str], name: str, path: str) -> Iterator[str]:
    """Yield a warning for each unknown key, with the nearest known one."""
    for key in sorted({*part} - {*known}):
        near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.5)
        yield f"{name}: unknown key {path}{key}, ignored" + (f" (did you mean {path}{near[0]}?)" if near else "")


def _object(document: Mapping[str, Any], key: str, name: str) -> dict[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DocumentError(f"{name}: {key} must be an object")
    return value


def _size(caching: Mapping[str, Any], keys: tuple[str, ...], name: str) -> int | None:
    for key in keys:
        value = caching.get(key)
        if value is not None:
            if not _is_count(value):
                raise DocumentError(f"{name}: caching.{key} must be a whole number of bytes")
            return int(value)
    return None


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise DocumentError(f"{where} must be a number, at least 0")
    return value


def bytes_per_second(value: object, where: str) -> float:
    """Return a speed: a number of bytes, or a text such as ``10MB`` (decimal) or ``10MiB`` (binary)."""
    if isinstance(value, str):
        match = _SPEED.fullmatch(value.strip())
        if match is None:
            raise DocumentError(f"{where} must be bytes a second, such as 10MB, not {value!r}")
        base = 1024 if match[3] else 1000
        return float(match[1]) * float(base ** _SPEED_UNITS[match[2].lower()])
    return _number(value, where)


def _repository_compression(section: Mapping[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, attribute in (("onlyCompress", "only_compress"), ("neverCompress", "never_compress")):
        if section.get(key) is not None:
            found[attribute] = tuple(extensions(section[key], f"{name}: compression.{key}"))
    for key, attribute in (("minSize", "min_size"), ("maxSize", "max_size")):
        if section.get(key) is not None:
            if not _is_count(section[key]):
                raise DocumentError(f"{name}: compression.{key} must be a whole number of bytes")
            found[attribute] = section[key]
    return found


__all__ = [
    "PolicyFile",
    "RepositoryConfig",
    "bytes_per_second",
    "extensions",
    "policy_file",
    "repository_config",
    "seconds",
]
