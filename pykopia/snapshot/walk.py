"""Looking at one folder of a source: what is in it, what the rules leave out, what is unchanged.

Facts: format 04 §8 (kinds of files), format 05 §4 (rules). Nothing is opened here but the folder and its ignore files.
"""

import contextlib
import os
import stat
import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import field

from pykopia.dataclass import dataclass
from pykopia.errors import SourceReadError
from pykopia.format.directory import DirectoryEntry
from pykopia.format.ignore import CACHE_TAG_NAME, CACHE_TAG_SIGNATURE, IgnoreContext, is_cache_tag
from pykopia.format.policy import FilesPolicy
from pykopia.format.policy_tree import PolicyTree
from pykopia.snapshot.listing import Listing, Named, PythonListing, sift

MAX_LINKS = 30
"""Symbolic links that are followed to an ignore file."""


@dataclass(slots=True)
class Found:
    """Entries of a folder after the ignore rules."""

    folders: list[tuple[str, os.stat_result]] = field(default_factory=list)
    files: list[tuple[str, os.stat_result]] = field(default_factory=list)
    links: list[tuple[str, os.stat_result]] = field(default_factory=list)
    unknown: list[tuple[str, os.stat_result]] = field(default_factory=list)
    """Devices, sockets, pipes."""
    taken: list[DirectoryEntry] = field(default_factory=list)
    """Entries of earlier snapshots: the files and links that are as they were then, and are in no other list."""
    failed: list[tuple[str, bool, OSError]] = field(default_factory=list)
    """Names that may not be looked at, whether they are folders, and why."""
    excluded_files: int = 0
    excluded_bytes: int = 0
    excluded_folders: int = 0

    def take(self, entries: Iterable[Named], earlier: Sequence[Mapping[str, DirectoryEntry]] = ()) -> None:
        """Sort out what is in the folder, see ``sift``."""
        self.folders, self.files, self.links, self.unknown, self.taken = sift(entries, earlier)


def _rules_of(
    path: str,
    relative: str,
    context: IgnoreContext,
    defined: FilesPolicy | None,
    names: Container[str],
) -> IgnoreContext:
    """Return the rules that hold in a folder.

    Args:
        path: the folder.
        relative: its path below the root of the snapshot, empty for the root, such as ``/a/b`` below it.
        context: the rules of the folder above.
        defined: the policy that is defined for just this folder.
        names: of all that is in the folder.

    Raises:
        OSError: an ignore file can't be read.
        SourceReadError: an ignore file is a link that leads to no file.
        InvalidPolicyError: a rule makes no sense.
    """
    files = []
    for name in context.dot_ignore_names(defined):
        data = _ignore_file(f"{path}/{name}") if _may_be_there(name, names) else None
        if data is not None:
            files.append(data)
    return context.enter(relative, defined, files)


def _may_be_there(name: str, names: Container[str] | None) -> bool:
    """Return True if a file of this name is worth a look; some file systems ignore upper and lower case."""
    return names is None or name in names or "/" in name or sys.platform != "linux"


def _ignore_file(path: str) -> bytes | None:
    """Return an ignore file, None where there is no regular file of that name."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(found.st_mode):
        try:
            found = os.stat(path)
        except OSError as error:
            raise SourceReadError(
                f"its ignore file {path} is a link that can't be followed: {error.strerror}"
            ) from error
        if not stat.S_ISREG(found.st_mode):
            raise SourceReadError(f"its ignore file {path} is a link to something that is not a file")
    elif not stat.S_ISREG(found.st_mode):
        return None
    with open(path, "rb") as file:
        return file.read()


def _is_cache_folder(path: str, names: Container[str] | None = None) -> bool:
    """Return True if a folder, with these names in it if they are known, is marked as a cache (format 05 §4.6)."""
    if not _may_be_there(CACHE_TAG_NAME, names):
        return False
    name = f"{path}/{CACHE_TAG_NAME}"
    try:
        if not stat.S_ISREG(os.lstat(name).st_mode):
            return False
        with open(name, "rb", buffering=0) as file:
            return is_cache_tag(file.read(len(CACHE_TAG_SIGNATURE)))
    except OSError:
        return False


def look(
    path: str,
    relative: str,
    device: int,
    context: IgnoreContext,
    policies: PolicyTree,
    listing: Listing | None,
) -> tuple[Iterable[Named], Found, IgnoreContext]:
    """Look at a folder by the rules that hold in it.

    Args:
        path: the folder.
        relative: its path below the root of the snapshot, empty for the root.
        device: number of the device that it is on.
        context: the rules of the folder above.
        policies: of the folder.
        listing: what is in it, None where it, or anything in it, can't be looked at.

    Returns:
        What is in it and is to be taken, not sorted out yet; what is left out or can't be looked at; the rules.

    Raises:
        OSError: the folder or an ignore file can't be read, or an entry fails in another way than by a lack of rights.
        SourceReadError: an ignore file is a link that leads to no file.
        InvalidPolicyError: a rule makes no sense.
    """
    found = Found()
    caches_left_out = policies.effective.files.ignore_cache_directories is not False
    if listing is None:
        try:
            listing = _step_by_step(path, found)
        except OSError:
            if not caches_left_out or not _is_cache_folder(path):
                raise
            return (), found, context
    defined = policies.defined
    context = _rules_of(path, relative, context, None if defined is None else defined.files, listing)
    if caches_left_out and _is_cache_folder(path, listing):
        return (), Found(), context
    return _wanted(listing, found, relative, context, device), found, context


def _wanted(
    entries: Iterable[Named], found: Found, relative: str, context: IgnoreContext, device: int
) -> Iterable[Named]:
    """Return what the rules do not leave out of a folder, see ``look``; what they do is counted in ``found``."""
    if not (context.rules or context.max_file_size or context.one_file_system):
        return entries
    kept = []
    for name, status in entries:
        is_folder = stat.S_ISDIR(status.st_mode)
        if not context.excludes(
            f"{relative}/{name}",
            is_directory=is_folder,
            size=status.st_size,
            device=status.st_dev,
            directory_device=device,
        ):
            kept.append((name, status))
        elif is_folder:
            found.excluded_folders += 1
        else:
            found.excluded_files += 1
            found.excluded_bytes += status.st_size
    return kept


def _step_by_step(path: str, found: Found) -> Listing:
    """List a folder of which something can't be looked at; this says what."""
    there = []
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                there.append((entry.name, entry.stat(follow_symlinks=False)))
            except FileNotFoundError:
                continue  # gone since the folder was read
            except PermissionError as error:
                found.failed.append((entry.name, _looks_like_folder(entry), error))
    return PythonListing(there)


def _looks_like_folder(entry: "os.DirEntry[str]") -> bool:
    with contextlib.suppress(OSError):
        return entry.is_dir(follow_symlinks=False)
    return False


__all__ = ["Found", "look"]
