"""What is in a folder of a source, and what of it is as it was in an earlier snapshot.

The native twin keeps what it lists out of Python, and makes objects only of what has changed: most of an ordinary source has not.
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from pykopia.format.directory import FILE, SYMLINK, DirectoryEntry
from pykopia.format.gotime import nearest_time
from pykopia.snapshot.placeholder import PLACEHOLDER_SUFFIX

Named = tuple[str, os.stat_result]
"""A name in a folder, and its status; the native twin's has only mode, size, time in nanoseconds, owners and device."""

Sifted = tuple[list[Named], list[Named], list[Named], list[Named], list[DirectoryEntry]]


class Listing(Protocol):
    """What is in a folder, in any order."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Named]: ...
    def __contains__(self, name: object, /) -> bool: ...


class PythonListing:
    """What is in a folder, kept in a list."""

    def __init__(self, entries: Sequence[Named]) -> None:
        self._entries = entries
        self._names = frozenset([name for name, _ in entries])

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Named]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._names


def python_list_folders(paths: list[bytes]) -> list[Listing | None]:
    """Return name and status of all that is in each folder; links are not followed.

    Returns:
        None for a folder that can't be looked at, or of which anything can't; what is gone again is left out.
    """
    return [_listed(path) for path in paths]


def _listed(path: bytes) -> Listing | None:
    found = []
    try:
        with os.scandir(os.fsdecode(path)) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    found.append((entry.name, entry.stat(follow_symlinks=False)))
    except OSError:
        return None
    return PythonListing(found)


def python_sift(entries: Iterable[Named], earlier: Sequence[Mapping[str, DirectoryEntry]]) -> Sifted:
    """Sort out what is in a folder.

    A file or link is as it was if time, size, mode, owners and kind are the same (format 04 §11.2).

    Args:
        entries: all of them.
        earlier: entries of the folder in earlier snapshots by their names, the best snapshot first.

    Returns:
        Folders; files and links that are not as they were; what is neither of these; the earlier entries of the others.
    """
    folders, files, links, unknown = list[Named](), list[Named](), list[Named](), list[Named]()
    taken: dict[str, list[DirectoryEntry]] = {FILE: [], SYMLINK: []}
    for name, status in entries:
        mode = status.st_mode
        if stat.S_ISREG(mode):
            kind, place = FILE, files
        elif stat.S_ISLNK(mode):
            kind, place = SYMLINK, links
        else:
            (folders if stat.S_ISDIR(mode) else unknown).append((name, status))
            continue
        old = _as_it_was(name, status, earlier, kind)
        if old is None:
            place.append((name, status))
        else:
            taken[kind].append(old)
    return folders, files, links, unknown, taken[FILE] + taken[SYMLINK]


def _as_it_was(
    name: str, status: os.stat_result, earlier: Sequence[Mapping[str, DirectoryEntry]], kind: str
) -> DirectoryEntry | None:
    if name.endswith(PLACEHOLDER_SUFFIX):
        return None
    for entries in earlier:
        old = entries.get(name)
        if (
            old is not None
            and old.mtime_ns == nearest_time(status.st_mtime_ns)
            and old.size == status.st_size
            and old.mode == stat.S_IMODE(status.st_mode)
            and old.uid == status.st_uid
            and old.gid == status.st_gid
            and old.type == kind
        ):
            return old
    return None


try:
    from pykopia.snapshot._files import list_folders, sift
except ImportError:  # no compiler was there
    list_folders, sift = python_list_folders, python_sift

__all__ = ["Listing", "Named", "PythonListing", "Sifted", "list_folders", "python_list_folders", "python_sift", "sift"]
