"""Snapshot manifests as they are stored, or will be after a flush."""

import logging
from collections.abc import Mapping
from typing import Protocol

from pykopia.arguments import check_texts_by_name
from pykopia.errors import DamagedDataError, DamagedManifestError
from pykopia.format.manifest import ManifestEntry
from pykopia.format.snapshot_manifest import TAG_PREFIX, SnapshotManifest
from pykopia.format.source import SNAPSHOT_LABELS, SourceInfo

log = logging.getLogger(__name__)


class Manifests(Protocol):
    """Source of manifests: a repository or a session of writing."""

    def find(self, labels: Mapping[str, str]) -> list[ManifestEntry]:
        """Return the manifests that carry all given labels, oldest first."""


def labels_for(source: SourceInfo | None, tags: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the labels that snapshots of a source have; fields of it that are empty match any.

    Args:
        source: None: any.
        tags: that a snapshot must have, keys without the prefix ``tag:``.
    """
    labels = dict(SNAPSHOT_LABELS)
    if source is not None:
        labels |= {
            name: value
            for name, value in (("hostname", source.host), ("username", source.user_name), ("path", source.path))
            if value
        }
    return labels | {f"{TAG_PREFIX}{name}": value for name, value in (tags or {}).items()}


def read_snapshots(
    manifests: Manifests, source: SourceInfo | None = None, tags: Mapping[str, str] | None = None
) -> list[SnapshotManifest]:
    """Return snapshots by start time, oldest first; one that can't be read is left out, and that is logged."""
    found = []
    check_texts_by_name("tags", tags or {})
    for entry in manifests.find(labels_for(source, tags)):
        try:
            found.append(read_snapshot(entry))
        except DamagedDataError as error:
            # its data must never count as unreferenced: whoever collects garbage uses list_unreadable
            log.error("snapshot %s is left out: %s", entry.id, error)  # noqa: TRY400 -- no traceback for the user
    return sorted(found, key=lambda each: each.start_time_ns)


def read_snapshot(entry: ManifestEntry) -> SnapshotManifest:
    """Return the snapshot in a manifest.

    Raises:
        DamagedManifestError: it can't be read.
    """
    try:
        return SnapshotManifest.from_json(entry.data, manifest_id=entry.id)
    except DamagedDataError as error:
        raise DamagedManifestError(f"snapshot manifest {entry.id} can't be read: {error}") from error


__all__ = ["Manifests", "labels_for", "read_snapshot", "read_snapshots"]
