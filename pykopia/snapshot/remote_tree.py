"""Sources on other filesystems: what a listing of fsspec says of files, as a tree; no content is read.

A listing gives size, time and, on object stores, an ETag. Directory entries have no place for an ETag, so 20 bits of its hash
are the digits of the time below a millisecond: a file that was replaced within the same second by one of the same size is
seen as changed, and the time is right to a millisecond.
"""

import email.utils
import hashlib
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from typing import Any

from pykopia.dataclass import dataclass
from pykopia.format.gotime import nearest_time

MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000
TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
"""What filesystems call the time when a file was changed, the best first."""
VERSIONS = ("ETag", "etag", "generation", "md5Hash", "content_md5", "md5", "checksum", "crc", "CRC", "sha")
"""What they call a text that changes with the contents."""


@dataclass(slots=True)
class RemoteFile:
    """A file as a listing shows it."""

    name: str
    """Last part of the path."""
    path: str
    """As the filesystem takes it."""
    size: int
    """Bytes; negative where the listing does not say."""
    mtime_ns: int
    """Nanoseconds since 1970, see the module; 0 where the listing has no time."""
    version: str
    """Changes with the contents; empty where the listing has none."""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0

    @property
    def is_comparable(self) -> bool:
        """Whether the listing alone shows that a file is unchanged."""
        return self.size >= 0 and bool(self.version or self.mtime_ns)

    def is_as(self, other: "RemoteFile") -> bool:
        """Return whether nothing shows that the contents of two looks at a file differ.

        Object stores show the time of one file to a second here, and to a millisecond there.
        """
        if self.size >= 0 and other.size >= 0 and self.size != other.size:
            return False
        if self.version and other.version:
            return self.version == other.version
        return self.mtime_ns // SECOND_NS == other.mtime_ns // SECOND_NS


@dataclass(slots=True)
class RemoteFolder:
    """A folder with all below it."""

    files: dict[str, RemoteFile] = field(default_factory=dict)
    folders: "dict[str, RemoteFolder]" = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    """Names of what can be in no snapshot, and why."""


def tree_of(listing: Mapping[str, Mapping[str, Any]], root: str) -> RemoteFolder:
    """Return a listing of everything below ``root`` as a tree.

    Args:
        listing: what fsspec calls the details, by path.
        root: the folder's own path.
    """
    tree = RemoteFolder()
    prefix = root.rstrip("/") + "/" if root.strip("/") else root
    for path, info in listing.items():
        relative = path.removeprefix(prefix) if path.startswith(prefix) else path.lstrip("/")
        parts = relative.rstrip("/").split("/")
        if not relative.strip("/") or path.rstrip("/") == root.rstrip("/"):
            continue
        here = tree
        for number, part in enumerate(parts):
            if part in ("", ".", "..") or "\0" in part:
                here.unusable["/".join(parts[number:])] = "a part of its name is one that no file can have"
                break
            if number + 1 < len(parts) or info.get("type") == "directory":
                here = here.folders.setdefault(part, RemoteFolder())
            else:
                here.files[part] = file_of(part, path, info)
    _separate(tree)
    return tree


def _separate(tree: RemoteFolder) -> None:
    """Keep the folder where an object store has both a file and a folder of one name."""
    pending = [tree]
    while pending:
        here = pending.pop()
        for name in here.files.keys() & here.folders.keys():
            if here.files.pop(name).size:
                here.unusable[name] = "there is a folder of this name too, and a snapshot can have only one of them"
        pending += here.folders.values()


def file_of(name: str, path: str, info: Mapping[str, Any]) -> RemoteFile:
    """Return a file from what a listing says of it."""
    version = next((str(info[key]).strip('"') for key in VERSIONS if info.get(key)), "")
    mtime_ns = next((time for key in TIMES if (time := time_ns(info.get(key)))), 0)
    if version:
        digits = int.from_bytes(hashlib.blake2b(version.encode(), digest_size=8).digest(), "big") % MILLISECOND_NS
        mtime_ns = mtime_ns // MILLISECOND_NS * MILLISECOND_NS + digits
    size, mode = info.get("size"), info.get("mode")
    return RemoteFile(
        name=name,
        path=path,
        size=size if isinstance(size, int) else -1,
        mtime_ns=nearest_time(mtime_ns),
        version=version,
        mode=mode & 0o7777 if isinstance(mode, int) else 0o644,
        uid=_number(info.get("uid")),
        gid=_number(info.get("gid")),
    )


def time_ns(value: object) -> int:
    """Return a time as filesystems give it as nanoseconds since 1970; 0 where it is none.

    >>> time_ns("2026-11-02T10:00:00Z") == time_ns("Mon, 02 Nov 2026 10:00:00 GMT") == time_ns(1793613600.0)
    True
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            try:
                value = email.utils.parsedate_to_datetime(value)  # type: ignore[arg-type]
            except (TypeError, ValueError):
                return 0
    if isinstance(value, tuple) and len(value) == 6:  # of an archive
        value = datetime(*value, tzinfo=UTC)
    if isinstance(value, datetime):
        value = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution) * 1000
    if isinstance(value, int | float) and not isinstance(value, bool):
        return round(value * 1_000_000) * 1000
    return 0


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 32 else 0


def count(tree: RemoteFolder) -> tuple[int, int]:
    """Return the number of files of a tree and their bytes."""
    files = size = 0
    pending: list[RemoteFolder] = [tree]
    while pending:
        here = pending.pop()
        files += len(here.files)
        size += sum(max(0, each.size) for each in here.files.values())
        pending += here.folders.values()
    return files, size


__all__ = ["RemoteFile", "RemoteFolder", "count", "file_of", "time_ns", "tree_of"]
