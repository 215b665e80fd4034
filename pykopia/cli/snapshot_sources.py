"""Which snapshots a path, or a source that was typed, means."""

import os
from typing import TYPE_CHECKING

from pykopia.format.source import SourceInfo
from pykopia.snapshot.source_path import at_or_above

if TYPE_CHECKING:
    from pykopia.api.repository import Repository
    from pykopia.format.snapshot_manifest import SnapshotManifest


def parse_source(repository: "Repository", text: str) -> SourceInfo:
    """Return the source that was typed: ``user@host:/path``, ``user@host``, ``@host`` or a local path."""
    return SourceInfo.parse(text, repository.hostname, repository.username, os.getcwd())


def containing(
    repository: "Repository", source: SourceInfo, *, tags: dict[str, str] | None = None
) -> "list[SnapshotManifest]":
    """Return the snapshots of a path and of all folders above it, oldest first."""
    owned = repository.snapshots.list(SourceInfo(host=source.host, user_name=source.user_name), tags=tags)
    return at_or_above(owned, source.path) if source.path else owned


def local_sources(repository: "Repository") -> list[str]:
    """Return the paths that this client took snapshots of and that no policy declares manual."""
    mine = SourceInfo(host=repository.hostname, user_name=repository.username)
    sources = sorted({each.source for each in repository.snapshots.list(mine)})
    return [each.path for each in sources if not repository.policies.effective(each).policy.scheduling.manual]


__all__ = ["containing", "local_sources", "parse_source"]
