"""How an entry is restored: into a folder, or as an archive of which kind."""

from pathlib import Path
from typing import IO

from pykopia.format.directory import DIRECTORY, DirectoryEntry
from pykopia.snapshot.restore_options import RestoreMode


def restore_mode(mode: RestoreMode, entry: DirectoryEntry, target: Path | IO[bytes]) -> RestoreMode:
    """Return how an entry is restored: ``auto`` means an archive only for a folder, and where none is in its place."""
    if mode != "auto":
        return mode
    if entry.type != DIRECTORY or not isinstance(target, Path):
        return "local"
    named = archive_mode(target.name)
    return "local" if named != "local" and target.is_dir() else named


def archive_mode(name: str) -> RestoreMode:
    """Return how a target of this name is restored to."""
    for ending, mode in ((".zip", "zip"), (".tar", "tar"), (".tar.gz", "tgz"), (".tgz", "tgz")):
        if name.endswith(ending):
            return mode  # type: ignore[return-value]
    return "local"


__all__ = ["archive_mode", "restore_mode"]
