"""``KOPIA_ADDITIONAL_ARGS``: flags of Kopia's commands, mapped to what they mean here."""

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Final

from pykopia.dataclass import dataclass
from pykopia_mover.documents import DocumentError
from pykopia_mover.failures import config_error
from pykopia_mover.policy_files import bytes_per_second, seconds
from pykopia_mover.selection import parse_as_of
from pykopia_mover.settings import ADDITIONAL_ARGS_SEPARATOR, TRUE

VARIABLE: Final = "KOPIA_ADDITIONAL_ARGS"

REFUSED: Final = frozenset(
    {
        "cache-directory",
        "config-file",
        "file-log-level",
        "hostname",
        "key-ring",
        "log-dir",
        "override-hostname",
        "override-source",
        "override-username",
        "password",
        "persist-credentials",
        "repository",
        "use-keyring",
        "username",
    }
)
"""Flags of identity, storage and password, which have variables of their own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Additional:
    """Options that the flags set, by the object that they belong to."""

    snapshot: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``SnapshotOptions``."""
    restore: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``RestoreOptions``."""
    files: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the source's policy of files."""
    retention: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the source's policy of retention."""
    storage: Mapping[str, Any] = field(default_factory=dict)
    """Kopia's names in the configuration of the storage."""
    creation: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``NewRepositoryOptions``."""
    client: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``ClientOptions``."""
    log_level: str = ""
    unknown: tuple[str, ...] = ()
    """Flags that were passed over because the settings say so."""


def _yes(text: str) -> bool:
    return text == "" or text.lower() in TRUE


def _no(text: str) -> bool:
    return not _yes(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("must be a whole number")
    return int(text)


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise ValueError("must be 0 to 100")
    return value


def _mebibytes(text: str) -> int:
    return _count(text) << 20


def _speed(text: str) -> float:
    return bytes_per_second(int(text) if text.isdigit() else text, "the speed")


def _duration(text: str) -> int:
    return seconds(text, "it")


def _nanoseconds(text: str) -> int:
    return seconds(text, "it") * 1_000_000_000


def _text(text: str) -> str:
    if not text:
        raise ValueError("needs a value")
    return text


def _tag(text: str) -> dict[str, str]:
    key, colon, value = text.partition(":")
    if not (key and colon):
        raise ValueError("must be key:value")
    return {key: value}


def _pin(text: str) -> tuple[str, ...]:
    return (_text(text),)


_Reader = Callable[[str], Any]

_FLAGS: Final[dict[str, tuple[tuple[str, str, _Reader], ...]]] = {
    # backup
    "one-file-system": (("files", "one_file_system", _yes),),
    "ignore-cache-dirs": (("files", "ignore_cache_directories", _yes),),
    "ignore-identical-snapshots": (("retention", "ignore_identical_snapshots", _yes),),
    "fail-fast": (("snapshot", "fail_fast", _yes),),
    "force-hash": (("snapshot", "force_hash_percent", _percent),),
    "parallel": (("snapshot", "parallel", _count), ("restore", "parallel", _count)),
    "upload-limit-mb": (("snapshot", "upload_limit_bytes", _mebibytes),),
    "description": (("snapshot", "description", _text),),
    "tags": (("snapshot", "tags", _tag),),
    "pin": (("snapshot", "pins", _pin),),
    "start-time": (("snapshot", "start_time_ns", parse_as_of),),
    "end-time": (("snapshot", "end_time_ns", parse_as_of),),
    "checkpoint-interval": (("snapshot", "checkpoint_interval_seconds", _duration),),
    "log-level": (("log", "log_level", _text),),
    # restore
    "ignore-permission-errors": (("restore", "ignore_permission_errors", _yes),),
    "write-files-atomically": (("restore", "atomic_files", _yes),),
    "skip-existing": (("restore", "skip_existing", _yes),),
    "skip-owners": (("restore", "skip_owners", _yes),),
    "skip-permissions": (("restore", "skip_permissions", _yes),),
    "skip-times": (("restore", "skip_times", _yes),),
    "overwrite-files": (("restore", "overwrite_files", _yes),),
    "overwrite-directories": (("restore", "overwrite_directories", _yes),),
    "overwrite-symlinks": (("restore", "overwrite_symlinks", _yes),),
    "shallow": (("restore", "shallow_depth", _count),),
    "shallow-minsize": (("restore", "shallow_min_size", _count),),
    "write-sparse-files": (("restore", "write_sparse", _yes),),
    "flush-files": (("restore", "flush_files", _yes),),
    "delete-extra": (("restore", "delete_extra", _yes),),
    # connecting and creating
    "region": (("storage", "region", _text),),
    "disable-tls": (("storage", "doNotUseTLS", _yes),),
    "disable-tls-verification": (("storage", "doNotVerifyTLS", _yes),),
    "point-in-time": (("storage", "pointInTime", _text),),
    "max-upload-speed": (("storage", "maxUploadSpeedBytesPerSecond", _speed),),
    "max-download-speed": (("storage", "maxDownloadSpeedBytesPerSecond", _speed),),
    "enable-actions": (("client", "enable_actions", _yes),),
    "readonly": (("client", "read_only", _yes),),
    "object-splitter": (("creation", "splitter", _text),),
    "encryption": (("creation", "encryption", _text),),
    "block-hash": (("creation", "hash", _text),),
    "format-version": (("creation", "format_version", _count),),
    "retention-mode": (("creation", "retention_mode", _text),),
    "retention-period": (("creation", "retention_period_ns", _nanoseconds),),
}
"""Part, field and value reader of each flag."""


def parse_additional_args(text: str, *, ignore_unknown: bool = False) -> Additional:
    """Return the options that the flags set.

    Args:
        text: flags joined by the separator; a value stands behind ``=`` or as the next item.
        ignore_unknown: keep unknown flags in ``unknown`` instead of refusing them.

    Raises:
        MoverError: a flag is refused or unknown, or its value can't be used.
    """
    parts: dict[str, dict[str, Any]] = {
        name: {} for name in ("snapshot", "restore", "files", "retention", "storage", "creation", "client", "log")
    }
    unknown: list[str] = []
    items = [item for item in text.split(ADDITIONAL_ARGS_SEPARATOR) if item.strip()]
    while items:
        item = items.pop(0).strip()
        name, equals, value = item.removeprefix("--").partition("=")
        if not item.startswith("--"):
            raise config_error(f"{VARIABLE} holds {item!r}, which is no flag: flags start with --")
        negated = name.startswith("no-") and name.removeprefix("no-") in _FLAGS
        name = name.removeprefix("no-") if negated else name
        if name in REFUSED:
            raise config_error(
                f"{VARIABLE} can't hold --{name}: it would change what other variables decide", "Set those instead"
            )
        if name not in _FLAGS:
            if not ignore_unknown:
                raise config_error(
                    f"{VARIABLE} holds the unknown flag --{name}",
                    "Correct it, or set KOPIA_IGNORE_UNKNOWN_ARGS=true to pass over it",
                )
            unknown.append(f"--{name}")
            continue
        is_flag = _FLAGS[name][0][2] is _yes
        if not equals and not is_flag and items and not items[0].startswith("--"):
            value = items.pop(0).strip()
        for part, attribute, read in _FLAGS[name]:
            _put(parts[part], attribute, _value(name, _no if negated else read, value))
    log_level = parts.pop("log").get("log_level", "")
    return Additional(**parts, log_level=log_level, unknown=tuple(unknown))


def _value(name: str, read: _Reader, text: str) -> Any:  # noqa: ANN401 -- of the field
    try:
        return read(text)
    except (ValueError, DocumentError) as error:
        raise config_error(f"{VARIABLE}: --{name} can't be {text!r}: {error}") from None


def _put(part: dict[str, Any], attribute: str, value: object) -> None:
    old = part.get(attribute)
    if isinstance(old, dict) and isinstance(value, dict):
        part[attribute] = old | value
    elif isinstance(old, tuple) and isinstance(value, tuple):
        part[attribute] = old + value
    else:
        part[attribute] = value


__all__ = ["REFUSED", "Additional", "parse_additional_args"]
