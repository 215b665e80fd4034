"""Paths of blobs below the root of a storage: sharded folders or a flat prefix (format 03 §2.1 and §3)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidIDError, StorageError
from pykopia.ids import BlobID
from pykopia.storage.base import check_blob_id, is_blob_id

SHARDS_FILE = ".shards"
"""Name of the file in the root that says how blobs are spread over folders."""

SUFFIX = ".f"
"""Suffix of the file name of every complete blob."""

DEFAULT_MAX_NON_SHARDED_LENGTH = 20
"""Longest blob ID, in characters, that stays in the root."""

NEW_REPOSITORY_SHARDS = (1, 3)
"""Shards of a storage that is being created."""

OLD_REPOSITORY_SHARDS = (3, 3)
"""Shards of a storage that has no ``.shards``: it is older than that file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardOverride:
    """Other shards for the blob IDs with one prefix."""

    prefix: str
    shards: tuple[int, ...] | None
    """Lengths, in characters, of the folder names on the way to the file; none or empty: no folders."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardParameters:
    """The file ``.shards``: how blobs are spread over folders."""

    default: tuple[int, ...] | None = NEW_REPOSITORY_SHARDS
    """Lengths, in characters, of the folder names on the way to the file; none or empty: no folders."""
    max_non_sharded_length: int = DEFAULT_MAX_NON_SHARDED_LENGTH
    """Blob IDs of at most so many characters stay in the root."""
    overrides: tuple[ShardOverride, ...] = ()
    """Tried in this order; the first with a matching prefix replaces ``default``."""

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the content of ``.shards``; as in Kopia, key case and whatever follows the JSON don't matter.

        Raises:
            StorageError: It is malformed; no blob can be found without it.
        """
        try:
            document, _ = json.JSONDecoder().raw_decode(content.decode("utf-8").lstrip(" \t\r\n"))
            fields = _fields(document)
            return cls(
                default=_lengths(fields.get("default")),
                max_non_sharded_length=_whole_number(_present(fields.get("maxnonshardedlength"), 0)),
                overrides=tuple(_override(_fields(item)) for item in _sequence(_present(fields.get("overrides"), ()))),
            )
        except (ValueError, RecursionError) as error:
            raise StorageError(
                f"can't read {SHARDS_FILE}, which tells how blobs are spread over folders: {error}; "
                "restore the file from another copy of the repository"
            ) from error

    def to_bytes(self) -> bytes:
        """Return the content of ``.shards`` byte for byte as Kopia writes it."""
        document: dict[str, Any] = {"default": self.default, "maxNonShardedLength": self.max_non_sharded_length}
        if self.overrides:
            document["overrides"] = [{"prefix": item.prefix, "shards": item.shards} for item in self.overrides]
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"

    def shards_of(self, blob_id: BlobID) -> tuple[int, ...]:
        """Return the lengths of the folder names for one blob."""
        if len(blob_id) <= self.max_non_sharded_length:
            return ()
        for item in self.overrides:
            if blob_id.startswith(item.prefix):
                return item.shards or ()
        return self.default or ()

    def path_of(self, blob_id: BlobID) -> str:
        """Return the path of a blob, relative to the root, with ``/`` between folders.

        A folder ``.`` vanishes from the path, as it does in Kopia; no ID of a repository has one in the usual layouts.

        Raises:
            InvalidIDError: It is no blob ID, or a folder on the way would be ``..``.
        """
        check_blob_id(blob_id)
        parts, rest = [], str(blob_id)
        for length in self.shards_of(blob_id):
            if len(rest) <= length:
                break
            if length:
                parts.append(rest[:length])
                rest = rest[length:]
        if ".." in parts:
            raise InvalidIDError("blob", blob_id, "its folders would lead out of the storage")
        parts.append(rest + SUFFIX)
        return "/".join(part for part in parts if part != ".")


def default_parameters(dir_shards: Sequence[int] | None, *, create: bool) -> ShardParameters:
    """Return the parameters of a storage without ``.shards``.

    Args:
        dir_shards: ``dirShards`` of the connection; none: it does not say.
        create: Whether the storage is being created now.
    """
    if dir_shards is None:
        dir_shards = NEW_REPOSITORY_SHARDS if create else OLD_REPOSITORY_SHARDS
    return ShardParameters(default=tuple(dir_shards))


def may_hold(folder: str, prefix: str) -> bool:
    """Return True if blobs with ``prefix`` may lie beneath a folder.

    Args:
        folder: All folder names from the root on, joined without a separator.
        prefix: Start of the blob IDs looked for.
    """
    return folder.startswith(prefix) or prefix.startswith(folder)


def blob_id_of(folder: str, name: str) -> BlobID | None:
    """Return the ID of the blob in a file, or nothing if the file holds no complete blob.

    Args:
        folder: All folder names from the root on, joined without a separator.
        name: Name of the file.
    """
    if not name.endswith(SUFFIX):
        return None
    blob_id = folder + name[: -len(SUFFIX)]
    return BlobID(blob_id) if is_blob_id(blob_id) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class FlatLayout:
    """Names in an object store: a plain prefix, then the blob ID (format 03 §3)."""

    prefix: str = ""
    """Put before every blob ID without a change; a folder needs its own ``/`` at the end."""

    def path_of(self, blob_id: BlobID) -> str:
        """Return the object name of a blob.

        Raises:
            InvalidIDError: It is no blob ID, or would name a folder where object names are paths.
        """
        check_blob_id(blob_id)
        path = self.prefix + blob_id
        if path.rpartition("/")[2] in {".", ".."}:
            raise InvalidIDError("blob", blob_id, "it would lead out of the storage")
        return path

    def blob_id_of(self, path: str) -> BlobID | None:
        """Return the blob ID of an object name, or nothing if the object is no blob of this storage."""
        if not path.startswith(self.prefix):
            return None
        blob_id = path[len(self.prefix) :]
        return BlobID(blob_id) if is_blob_id(blob_id) else None


def _present(value: object, default: object) -> object:
    return default if value is None else value


def _fields(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"an object was expected, not {type(value).__name__}")  # noqa: TRY004 -- bad bytes, not a bug
    return {key.lower(): item for key, item in value.items()}


def _sequence(value: object) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"a list was expected, not {type(value).__name__}")  # noqa: TRY004 -- bad bytes, not a bug
    return value


def _whole_number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"a whole number was expected, not {type(value).__name__}")  # noqa: TRY004 -- bad bytes, not a bug
    return value


def _lengths(value: object) -> tuple[int, ...] | None:
    if value is None:
        return None
    lengths = tuple(_whole_number(item) for item in _sequence(value))
    if any(length < 0 for length in lengths):
        raise ValueError("a shard can't have a negative length")
    return lengths


def _override(fields: Mapping[str, Any]) -> ShardOverride:
    prefix = _present(fields.get("prefix"), "")
    if not isinstance(prefix, str):
        raise ValueError(f"a prefix must be text, not {type(prefix).__name__}")  # noqa: TRY004 -- bad bytes, not a bug
    prefix = prefix.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # as Go reads half a pair
    return ShardOverride(prefix=prefix, shards=_lengths(fields.get("shards")))


__all__ = [
    "DEFAULT_MAX_NON_SHARDED_LENGTH",
    "NEW_REPOSITORY_SHARDS",
    "OLD_REPOSITORY_SHARDS",
    "SHARDS_FILE",
    "SUFFIX",
    "FlatLayout",
    "ShardOverride",
    "ShardParameters",
    "blob_id_of",
    "default_parameters",
    "may_hold",
]
