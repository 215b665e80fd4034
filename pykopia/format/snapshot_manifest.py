"""Snapshot manifests: what was snapshotted, when, and the object of its root (format 04 §6).

Kopia skips a snapshot manifest that it can't parse, and its maintenance then deletes the data. So every field is written
in exactly the type that Kopia reads, and what could not be read is refused.

Members that this version does not know are kept in ``extra`` and written again. Kopia drops them when it rewrites a
manifest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from typing import Final

import msgspec

from pykopia.dataclass import dataclass
from pykopia.errors import DamagedDataError, DamagedManifestError, DamagedObjectError, InvalidIDError, UsageError
from pykopia.format import gojson
from pykopia.format.directory import DirectoryEntry, StoredEntry, encode_entry
from pykopia.format.gotime import moment
from pykopia.format.source import SourceInfo
from pykopia.html_table import html_table, size_text
from pykopia.ids import Buffer, ManifestID, ObjectID

TAG_PREFIX: Final = "tag:"
"""Prefix of the keys of tags from the command line."""

UNSAVED: Final = ManifestID("")
"""In place of the ID of a manifest that is not saved yet."""

MAX_INT32: Final = (1 << 31) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotStats:
    """Rough counters of an upload; the numbers to trust are those of the summary of the root."""

    total_size: int = 0
    """Bytes."""
    excluded_total_size: int = 0
    """Bytes."""
    file_count: int = 0
    cached_files: int = 0
    non_cached_files: int = 0
    dir_count: int = 0
    excluded_file_count: int = 0
    excluded_dir_count: int = 0
    ignored_error_count: int = 0
    error_count: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class StorageUsage:
    """Sizes of objects and contents; only shown, never stored."""

    object_bytes: int = 0
    """Bytes of all objects, before any deduplication inside of them."""
    original_content_bytes: int = 0
    """Bytes of the unique contents of files."""
    packed_content_bytes: int = 0
    """Bytes of these contents as stored."""
    file_objects: int = 0
    dir_objects: int = 0
    contents: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class StorageStats:
    """Sizes that a snapshot adds to the snapshots listed before it, and the running total; only shown, never stored."""

    new_data: StorageUsage
    running_total: StorageUsage


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class SnapshotManifest:
    """One snapshot."""

    id: ManifestID = UNSAVED
    """ID of the manifest; empty until it is saved. The stored text never carries it."""
    source: SourceInfo
    description: str = ""
    start_time_ns: int
    """Nanoseconds since 1970."""
    end_time_ns: int
    """Nanoseconds since 1970."""
    stats: SnapshotStats = field(default_factory=SnapshotStats)
    incomplete: str = ""
    """Why the snapshot ended early: ``checkpoint``, ``canceled``, ``limit reached``; empty when it is complete."""
    root_entry: DirectoryEntry | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    """By the keys of the labels, such as ``tag:team``."""
    pins: tuple[str, ...] = ()
    """Names that keep the snapshot from expiring."""
    extra: Mapping[str, bytes] = field(default_factory=dict)
    """JSON texts of members that this version does not know."""

    @property
    def start_time(self) -> datetime | None:
        """When the snapshot began, in UTC; parts of a microsecond are cut."""
        return moment(self.start_time_ns)

    @property
    def end_time(self) -> datetime | None:
        """When the snapshot ended, in UTC."""
        return moment(self.end_time_ns)

    @property
    def files(self) -> int:
        """Number of files in the snapshot."""
        summary = None if self.root_entry is None else self.root_entry.summary
        return self.stats.file_count if summary is None else summary.files

    @property
    def size(self) -> int:
        """Bytes of all files in the snapshot."""
        summary = None if self.root_entry is None else self.root_entry.summary
        return self.stats.total_size if summary is None else summary.size

    def __repr__(self) -> str:
        ended = f", incomplete: {self.incomplete}" if self.incomplete else ""
        pinned = f", pinned: {', '.join(self.pins)}" if self.pins else ""
        return (
            f"<SnapshotManifest {self.id or 'not saved'} of {self.source} at {_time_shown(self.start_time_ns)}: "
            f"{self.files} files, {size_text(self.size)}{ended}{pinned}>"
        )

    def _repr_html_(self) -> str:
        return snapshots_table([self])

    @property
    def has_errors(self) -> bool:
        """Whether entries are missing from it because they could not be read, or it ended early."""
        summary = None if self.root_entry is None else self.root_entry.summary
        return bool(self.incomplete or self.stats.error_count or (summary is not None and summary.num_failed))

    @property
    def root_object_id(self) -> ObjectID:
        """Object ID of the root; empty when there is none."""
        return self.root_entry.object_id if self.root_entry else ObjectID("")

    def labels(self) -> dict[str, str]:
        """Return the labels of the manifest.

        Raises:
            UsageError: A part of the source is missing, or a tag has the name of another label.
        """
        source = self.source
        for part, value in {"host": source.host, "user": source.user_name, "path": source.path}.items():
            if not value:
                raise UsageError(f"the snapshot of {source} can't be saved: its source has no {part}")
        labels = source.labels()
        for key, value in self.tags.items():
            if key in labels:
                raise UsageError(f"the snapshot of {source} can't be saved: a tag can't be named {key!r}, use another")
            labels[key] = value
        return labels

    def with_pins(self, add: Iterable[str] = (), remove: Iterable[str] = ()) -> "SnapshotManifest":
        """Return the snapshot with pins added, then removed; they are sorted and unique."""
        pins = sorted({*self.pins, *add} - {*remove}, key=lambda pin: pin.encode("utf-8", "surrogatepass"))
        return replace(self, pins=tuple(pins))

    def to_json(self) -> bytes:
        """Return the text that is stored as the data of the manifest.

        Raises:
            UsageError: The snapshot is one that Kopia could not read, or that has no place in a repository.
        """
        self.labels()
        if self.root_entry is None:
            raise UsageError(f"the snapshot of {self.source} can't be saved: it has no root, which stops maintenance")
        return gojson.dumps(self._members("", stats=True))

    def to_output(
        self,
        *,
        stats: bool = True,
        storage_stats: StorageStats | None = None,
        retention_reasons: Sequence[str] = (),
        indent: int | None = None,
    ) -> bytes:
        """Return the text that commands show with ``--json``.

        Args:
            stats: Whether the counters of the upload are shown.
            storage_stats: Computed for lists, on request.
            retention_reasons: Why the snapshot is kept, computed for lists.
            indent: Blanks for each level; None for one line.

        Raises:
            UsageError: The snapshot is one that Kopia could not read.
        """
        members = self._members(self.id, stats=stats, storage_stats=storage_stats)
        if retention_reasons:
            members["retentionReason"] = list(retention_reasons)
        return gojson.dumps(members, indent=indent)

    def as_kopia_has_it(self) -> "SnapshotManifest":
        """Return the snapshot without what Kopia does not know: readers of the output of commands refuse it."""
        root = self.root_entry
        return replace(self, extra={}, root_entry=root and msgspec.structs.replace(root, extended=None))

    def _members(
        self, manifest_id: str, *, stats: bool, storage_stats: StorageStats | None = None
    ) -> dict[str, object]:
        members: dict[str, object] = {
            "id": manifest_id,
            "source": {"host": self.source.host, "userName": self.source.user_name, "path": self.source.path},
            "description": self.description,
            "startTime": _time_text(self.start_time_ns),
            "endTime": _time_text(self.end_time_ns),
        }
        if stats:
            members["stats"] = _stats_members(self.stats)
        if self.incomplete:
            members["incomplete"] = self.incomplete
        members["rootEntry"] = gojson.Raw(encode_entry(self.root_entry)) if self.root_entry else None
        if self.tags:
            members["tags"] = gojson.sorted_map(self.tags)
        if storage_stats is not None:
            members["storageStats"] = {
                "newData": _usage_members(storage_stats.new_data),
                "runningTotal": _usage_members(storage_stats.running_total),
            }
        if self.pins:
            members["pins"] = list(self.pins)
        for key, text in self.extra.items():
            if gojson.fold(key) not in _KNOWN:
                members[key] = gojson.Raw(text)
        return members

    @classmethod
    def from_json(cls, data: Buffer, manifest_id: ManifestID = UNSAVED) -> "SnapshotManifest":
        """Return the snapshot that the data of a manifest describes, read as Kopia reads it.

        Args:
            data: JSON text.
            manifest_id: ID of the manifest; the one inside of the text is not looked at.

        Raises:
            DamagedManifestError: The text is not a snapshot manifest that Kopia could read.
        """
        try:
            stored, extra = gojson.decode_usual(data, _StoredManifest), {}
            if stored is None:
                stored = gojson.decode(data, _StoredManifest)
                extra = {key: text for key, text in gojson.members(data) if gojson.fold(key) not in _KNOWN}
            times = gojson.stored_time(stored.startTime), gojson.stored_time(stored.endTime)
            root = None if stored.rootEntry is None else stored.rootEntry.entry()
        except (DamagedDataError, DamagedObjectError, InvalidIDError) as error:
            raise DamagedManifestError(f"snapshot manifest {manifest_id} can't be read: {error}") from error
        return cls(
            id=manifest_id,
            source=SourceInfo(host=stored.source.host, user_name=stored.source.userName, path=stored.source.path),
            description=stored.description,
            start_time_ns=times[0],
            end_time_ns=times[1],
            stats=_stats(stored.stats),
            incomplete=stored.incomplete,
            root_entry=root,
            tags=stored.tags or {},
            pins=tuple(stored.pins or ()),
            extra=extra,
        )


def snapshots_table(snapshots: Iterable[SnapshotManifest]) -> str:
    """Return a table of snapshots as HTML."""
    rows = (
        (
            each.id or "not saved",
            each.source,
            _time_shown(each.start_time_ns),
            each.files,
            size_text(each.size),
            "; ".join(filter(None, (each.incomplete, each.description, *each.tags.values(), *each.pins))),
        )
        for each in snapshots
    )
    return html_table(("ID", "source", "began", "files", "size", "notes"), rows)


class SnapshotList(list[SnapshotManifest]):
    """A list of snapshots that a notebook shows as a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return snapshots_table(self)


def _time_shown(ns: int) -> str:
    time = moment(ns)
    return "an unknown time" if time is None else time.strftime("%Y-%m-%d %H:%M:%S UTC")


# --- the members as they are stored ----------------------------------------------------------------------------------


class _StoredSource(msgspec.Struct, forbid_unknown_fields=True):
    host: str = ""
    userName: str = ""  # noqa: N815 -- the key on disk, as below
    path: str = ""


class _StoredStats(msgspec.Struct, forbid_unknown_fields=True):
    totalSize: gojson.Int64 = 0  # noqa: N815
    excludedTotalSize: gojson.Int64 = 0  # noqa: N815
    fileCount: gojson.Int32 = 0  # noqa: N815
    cachedFiles: gojson.Int32 = 0  # noqa: N815
    nonCachedFiles: gojson.Int32 = 0  # noqa: N815
    dirCount: gojson.Int32 = 0  # noqa: N815
    excludedFileCount: gojson.Int32 = 0  # noqa: N815
    excludedDirCount: gojson.Int32 = 0  # noqa: N815
    ignoredErrorCount: gojson.Int32 = 0  # noqa: N815
    errorCount: gojson.Int32 = 0  # noqa: N815


class _StoredManifest(msgspec.Struct, forbid_unknown_fields=True):
    id: str = ""
    source: _StoredSource = msgspec.field(default_factory=_StoredSource)
    description: str = ""
    startTime: str | None = gojson.EPOCH_TEXT  # noqa: N815
    endTime: str | None = gojson.EPOCH_TEXT  # noqa: N815
    stats: _StoredStats = msgspec.field(default_factory=_StoredStats)
    incomplete: str = ""
    rootEntry: StoredEntry | None = None  # noqa: N815
    tags: dict[str, str] | None = None
    storageStats: object = None  # noqa: N815
    pins: list[str] | None = None


_KNOWN: Final = frozenset(map(gojson.fold, (*_StoredManifest.__struct_fields__, "retentionReason")))
"""Folded names of the members that are not ``extra``."""


def _stats_members(stats: SnapshotStats) -> dict[str, object]:
    """Return the counters; Kopia holds those of files in 32 bits, so greater ones stop there."""
    return {
        "totalSize": stats.total_size,
        "excludedTotalSize": stats.excluded_total_size,
        "fileCount": min(stats.file_count, MAX_INT32),
        "cachedFiles": min(stats.cached_files, MAX_INT32),
        "nonCachedFiles": min(stats.non_cached_files, MAX_INT32),
        "dirCount": min(stats.dir_count, MAX_INT32),
        "excludedFileCount": min(stats.excluded_file_count, MAX_INT32),
        "excludedDirCount": min(stats.excluded_dir_count, MAX_INT32),
        "ignoredErrorCount": min(stats.ignored_error_count, MAX_INT32),
        "errorCount": min(stats.error_count, MAX_INT32),
    }


def _stats(stored: _StoredStats) -> SnapshotStats:
    return SnapshotStats(
        total_size=stored.totalSize,
        excluded_total_size=stored.excludedTotalSize,
        file_count=stored.fileCount,
        cached_files=stored.cachedFiles,
        non_cached_files=stored.nonCachedFiles,
        dir_count=stored.dirCount,
        excluded_file_count=stored.excludedFileCount,
        excluded_dir_count=stored.excludedDirCount,
        ignored_error_count=stored.ignoredErrorCount,
        error_count=stored.errorCount,
    )


def _usage_members(usage: StorageUsage) -> dict[str, object]:
    return {
        "objectBytes": usage.object_bytes,
        "originalContentBytes": usage.original_content_bytes,
        "packedContentBytes": usage.packed_content_bytes,
        "fileObjects": usage.file_objects,
        "dirObjects": usage.dir_objects,
        "contents": usage.contents,
    }


def _time_text(ns: int) -> str:
    if gojson.wrap_int64(ns) != ns:
        raise UsageError(f"a snapshot can't be saved: its time, {ns} ns from 1970, does not fit into 64 bits")
    return gojson.format_time(ns)


__all__ = [
    "TAG_PREFIX",
    "UNSAVED",
    "SnapshotList",
    "SnapshotManifest",
    "SnapshotStats",
    "StorageStats",
    "StorageUsage",
    "snapshots_table",
]
