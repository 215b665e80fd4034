"""What a mount shows: one snapshot, the snapshots of a source by time, or all sources, named as Kopia's mount names them."""

import posixpath
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, Union

from pykopia import clock
from pykopia.access.view import RepositoryView
from pykopia.errors import PathNotInSnapshotError
from pykopia.format.directory import DIRECTORY, DirectoryEntry
from pykopia.format.gotime import format_time
from pykopia.format.snapshot_manifest import SnapshotManifest

Top: TypeAlias = Union[DirectoryEntry, Mapping[str, "Top"]]  # noqa: UP007 -- it names itself
"""The folders above snapshots by name, down to the roots of snapshots."""

REFRESH_NS = 60_000_000_000
"""Nanoseconds after which new snapshots are looked for, when one of the folders above snapshots is listed."""
ABOVE = DirectoryEntry(name="", type=DIRECTORY, mode=0o555)
"""In the place of the entry of a folder above snapshots."""


def tree_of_all(snapshots: Iterable[SnapshotManifest]) -> dict[str, Top]:
    """Return ``user@host/path/time`` of all snapshots, a source's path being one name, as Kopia has it."""
    clients: dict[str, dict[str, list[SnapshotManifest]]] = {}
    for each in snapshots:
        client = f"{each.source.user_name}@{each.source.host}"
        clients.setdefault(client, {}).setdefault(each.source.path, []).append(each)
    names = safe_names(clients)
    found: dict[str, Top] = {}
    for client, paths in clients.items():
        below = safe_names(paths)
        found[names[client]] = {below[path]: tree_of_source(each) for path, each in paths.items()}
    return found


def tree_of_source(snapshots: Iterable[SnapshotManifest]) -> dict[str, Top]:
    """Return the roots of snapshots by the times when they began, in UTC: ``20261102-100000``."""
    found: dict[str, Top] = {}
    for each in sorted(snapshots, key=lambda snapshot: snapshot.start_time_ns):
        if each.root_entry is None:
            continue
        began = format_time(each.start_time_ns)
        name = f"{began[:4]}{began[5:7]}{began[8:10]}-{began[11:13]}{began[14:16]}{began[17:19]}"
        name += f" ({each.incomplete.replace('/', '_')})" if each.incomplete else ""
        unique, number = name, 1
        while unique in found:
            number += 1
            unique = f"{name} ({number})"
        found[unique] = each.root_entry
    return found


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """Return for each name one that can be a folder's; those that differ in upper and lower case alone get numbers."""
    safe = {name: _safe(name) for name in names}
    while True:
        same: dict[str, list[str]] = {}
        for name, chosen in safe.items():
            same.setdefault(chosen.lower(), []).append(name)
        if len(same) == len(safe):
            return safe
        for group in same.values():
            for number, name in enumerate(sorted(group)):
                if number:
                    safe[name] += f" ({number + 1})"


def _safe(name: str) -> str:
    if name == "/":
        return "__root"
    for before, after in ((":/", "_"), (":\\", "_"), ("\\", "/"), ("\0", "_")):
        name = name.replace(before, after)
    name = name.lstrip("/").replace("/", "_").rstrip("_").rstrip(":")
    return name if name.strip(".") else f"_{name}"


class MountTree:
    """Looks paths of a mount up; safe for threads."""

    def __init__(self, view: RepositoryView, top: Callable[[Sequence[SnapshotManifest]], Top]) -> None:
        """Show what ``top`` makes of the snapshots of a repository, again and again as new ones are taken."""
        self.view = view
        self._plan = top
        self._lock = threading.Lock()
        self._top = top(view.repository.snapshots.list())
        self._looked_at_ns = clock.now()

    def entry(self, path: str) -> DirectoryEntry:
        """Return the entry at an absolute path.

        Raises:
            PathNotInSnapshotError: there is none.
        """
        here, parts = self._descend(path)
        return self.view.tree(here).find(parts) if isinstance(here, DirectoryEntry) else ABOVE

    def entries(self, path: str) -> Iterator[tuple[str, DirectoryEntry]]:
        """Yield names and entries of a folder, those alone that a file of this machine can have.

        Raises:
            PathNotInSnapshotError: there is no such folder.
        """
        here, parts = self._descend(path)
        if isinstance(here, DirectoryEntry):
            tree = self.view.tree(here)
            folder = tree.find(parts)
            if folder.type != DIRECTORY:
                raise NotADirectoryError(path)
            for name, entry in tree.entries(folder).items():
                if name not in ("", ".", "..") and "/" not in name and "\0" not in name:
                    yield name, entry
            return
        self._look_again()
        here, parts = self._descend(path)
        for name, each in {} if isinstance(here, DirectoryEntry) else here.items():
            yield name, each if isinstance(each, DirectoryEntry) else ABOVE

    def _descend(self, path: str) -> tuple[Top, list[str]]:
        """Return the root of the snapshot that a path leads into, with the names below it, or the folder above snapshots."""
        here, parts = self._top, [part for part in posixpath.normpath(path).split("/") if part not in ("", ".")]
        for depth, name in enumerate(parts):
            if isinstance(here, DirectoryEntry):
                return here, parts[depth:]
            below = here.get(name)
            if below is None:
                raise PathNotInSnapshotError(f"there is no {path} in this mount")
            here = below
        return here, []

    def _look_again(self) -> None:
        """See new snapshots; those that were deleted meanwhile go, but for files that are open."""
        now = clock.now()
        with self._lock:
            if now - self._looked_at_ns < REFRESH_NS:
                return
            self._looked_at_ns = now
        self.view.refresh()
        self._top = self._plan(self.view.repository.snapshots.list())


__all__ = ["MountTree", "Top", "safe_names", "tree_of_all", "tree_of_source"]
