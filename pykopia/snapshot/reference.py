"""How a caller names snapshots, entries, sources and moments."""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeAlias, TypeVar

from pykopia.errors import SnapshotNotFoundError, UsageError
from pykopia.format.directory import DirectoryEntry
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.ids import ManifestID
from pykopia.repository.options import ClientOptions

Element = TypeVar("Element")

Reference: TypeAlias = str | SnapshotManifest | DirectoryEntry
"""An entry of a snapshot: ``ID`` or ``ID/path/inside`` (see ``Snapshots.resolve``), a snapshot, or an entry itself."""

SourceLike: TypeAlias = SourceInfo | str | os.PathLike[str]
"""A source: as a value, as ``user@host:/path``, or as a path of this client."""

Moment: TypeAlias = datetime | int
"""A moment: a time with a time zone, or nanoseconds since 1970."""


def source_of(source: SourceLike, client: ClientOptions) -> SourceInfo:
    """Return the source that a caller names.

    Args:
        source: a text without ``@`` is a path of this client.
        client: user and host of a path.

    Raises:
        UsageError: the value names no source.
    """
    if isinstance(source, SourceInfo):
        return source
    if not isinstance(source, str | os.PathLike):
        raise UsageError(f"a source must be a SourceInfo, a text or a path, not a {type(source).__name__}")
    return SourceInfo.parse(os.fspath(source), client.hostname, client.username, os.getcwd())


def manifest_id(snapshot: str | SnapshotManifest) -> ManifestID:
    """Return the ID of a snapshot that is named by its ID or given itself.

    Raises:
        UsageError: the value is neither.
    """
    if isinstance(snapshot, SnapshotManifest):
        return snapshot.id
    if not isinstance(snapshot, str):
        raise UsageError(f"a snapshot must be a SnapshotManifest or its ID, not a {type(snapshot).__name__}")
    return ManifestID(snapshot)


def root_of_manifest(snapshot: SnapshotManifest) -> DirectoryEntry:
    """Return the root entry of a snapshot.

    Raises:
        SnapshotNotFoundError: the manifest names no root.
    """
    if snapshot.root_entry is None:
        raise SnapshotNotFoundError(f"snapshot {snapshot.id} has no root: it is damaged")
    return snapshot.root_entry


def distinct_sources(snapshots: Sequence[SnapshotManifest]) -> list[SourceInfo]:
    """Return the sources of snapshots, sorted as they are printed."""
    return sorted({each.source for each in snapshots}, key=str)


def latest_of(
    snapshots: Sequence[SnapshotManifest], *, before_ns: int | None, incomplete: bool
) -> SnapshotManifest | None:
    """Return the newest snapshot, None if there is none.

    Args:
        snapshots: in any order.
        before_ns: nanoseconds since 1970; snapshots that began at this time or later do not count.
        incomplete: whether snapshots that ended early count.
    """
    return max(
        (
            each
            for each in snapshots
            if (incomplete or not each.incomplete) and (before_ns is None or each.start_time_ns < before_ns)
        ),
        key=lambda each: each.start_time_ns,
        default=None,
    )


def each_of(values: Iterable[Element]) -> Iterable[Element]:
    """Return the elements; a text, a collection of its letters to Python, is refused.

    Raises:
        UsageError: the value is a text or one reference alone.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise UsageError(f"a list of references is expected, not a {type(values).__name__} alone")
    return values


__all__ = [
    "Moment",
    "Reference",
    "SourceLike",
    "distinct_sources",
    "each_of",
    "latest_of",
    "manifest_id",
    "root_of_manifest",
    "source_of",
]
