"""Paths of this machine as sources of snapshots (format 04 §8, §9)."""

import os
import posixpath
import stat
from collections.abc import Iterable, Iterator

from pykopia.errors import SourceNotFoundError, SourceReadError, UnsupportedSourceError
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.repository.core import Core
from pykopia.snapshot.source_url import is_url, source_path


def local_source(repository: Core, path: str) -> SourceInfo:
    """Return the source that a path is for this client: its user and host, the absolute path with ``.`` and ``..`` gone.

    A URL of another filesystem stays as it is.
    """
    if is_url(path):
        return SourceInfo(host=repository.hostname, user_name=repository.username, path=source_path(path))
    return SourceInfo(host=repository.hostname, user_name=repository.username, path=os.path.abspath(path))


def source_root(path: str) -> tuple[str, os.stat_result]:
    """Return what is really taken, a symbolic link followed, and its status.

    Raises:
        SourceNotFoundError: there is nothing.
        UnsupportedSourceError: it is neither a file nor a folder.
        SourceReadError: it can't be looked at.
    """
    try:
        real = os.path.realpath(path, strict=True)
        status = os.lstat(real)
    except FileNotFoundError:
        raise SourceNotFoundError(f"can't take a snapshot of {path}: it does not exist") from None
    except OSError as error:
        raise SourceReadError(f"can't take a snapshot of {path}: {error.strerror}") from error
    if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
        raise UnsupportedSourceError(f"can't take a snapshot of {path}: it is neither a folder nor a regular file")
    return real, status


def at_or_above(snapshots: Iterable[SnapshotManifest], path: str) -> list[SnapshotManifest]:
    """Return the snapshots whose source is a path or a folder above it."""
    above = set(_upward(path))
    return [each for each in snapshots if each.source.path in above]


def _upward(path: str) -> Iterator[str]:
    while True:
        yield path
        parent = posixpath.dirname(path)
        if parent == path:
            return
        path = parent


def path_inside(manifest: SnapshotManifest, path: str) -> str:
    """Return ``path`` relative to the source of a snapshot; empty when it is the source."""
    inside = posixpath.relpath(path, manifest.source.path) if path else "."
    return "" if inside == "." else inside


__all__ = ["at_or_above", "local_source", "path_inside", "source_root"]
