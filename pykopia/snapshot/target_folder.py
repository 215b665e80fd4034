"""Folders of this machine that a restore fills: opened without following links, parked when too many are open."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pykopia.snapshot.restore_decision import NAME_MAX, Existing, Refuse
from pykopia.snapshot.small_files import FOLDER_FLAGS

PATH_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC
ALL_OF_OWNER = stat.S_IRWXU
PARKED = -1

Identity = tuple[int, int]
"""Device and number of a folder."""


class LocalFolder:
    """A folder of the target, open until it is finished or parked."""

    __slots__ = ("fresh", "handle", "identity", "mode", "name", "parent")

    def __init__(
        self, handle: int, *, fresh: bool, name: str = "", parent: "LocalFolder | None" = None, mode: int | None = None
    ) -> None:
        self.handle = handle
        """The open folder, ``PARKED`` for none."""
        self.fresh = fresh
        """Whether this restore has made it, so nothing can be in it yet."""
        self.name = name
        self.parent = parent
        self.mode = mode
        """Mode that the folder had before it was made writable; None if it was not changed."""
        self.identity: Identity | None = None
        """Identity of the folder when it was parked."""

    def park(self) -> None:
        """Close the folder; ``reopened`` opens it again."""
        if self.handle != PARKED:
            self.identity = identity_of(self.handle)
            os.close(self.handle)
            self.handle = PARKED

    def take_back(self, handle: int) -> bool:
        """Use ``handle`` for a parked folder if it is the same folder; return whether it is."""
        if self.handle != PARKED or identity_of(handle) != self.identity:
            return False
        self.handle = handle
        return True


def reopened(folder: LocalFolder) -> int:
    """Return the open folder; one that was parked is opened again, from the nearest folder above it that is open.

    Raises:
        OSError: something else is there now, or the folder can't be opened.
    """
    if folder.handle != PARKED:
        return folder.handle
    names, above = [folder.name], folder.parent
    while above is not None and above.handle == PARKED:
        names.append(above.name)
        above = above.parent
    if above is None:
        raise OSError(errno.ESTALE, "the target itself was closed")
    handle = os.dup(above.handle)
    try:
        for name in reversed(names):
            inner = os.open(name, FOLDER_FLAGS, dir_fd=handle)
            os.close(handle)
            handle = inner
        if not folder.take_back(handle):
            raise OSError(errno.ESTALE, "the folder was replaced by another while it was filled")
    except OSError:
        os.close(handle)
        raise
    return handle


def identity_of(handle: int) -> Identity:
    """Return what identifies an open folder among all others."""
    status = os.fstat(handle)
    return status.st_dev, status.st_ino


def kind_of(mode: int) -> str:
    """Return the type of an entry, from the mode of what is in the target; empty for devices and the like."""
    if stat.S_ISLNK(mode):
        return "s"
    if stat.S_ISDIR(mode):
        return "d"
    return "f" if stat.S_ISREG(mode) else ""


def status_of(name: str, folder: int) -> os.stat_result | None:
    """Return the status of what is in an open folder, None if nothing is; links are not followed."""
    try:
        return os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None


def look_at_target(path: Path) -> os.stat_result | Refuse | None:
    """Return the status of what is where a folder is to be filled; links are followed, because the caller named them.

    Returns:
        None if the folder is to be made first; a refusal if it can't be, or can't be looked at.
    """
    for place in (path, *path.parents):
        try:
            status = os.stat(place)
        except (FileNotFoundError, NotADirectoryError):
            if place.is_symlink():
                return Refuse(f"{place} is a symbolic link that leads nowhere")
            length = len(os.fsencode(place.name))
            if length > NAME_MAX:
                return Refuse(f"the name {place.name} has {length} bytes, and file systems take {NAME_MAX}")
            continue
        except OSError as error:
            return Refuse(f"{place} can't be looked at: {error.strerror}")
        if place == path:
            return status
        return None if stat.S_ISDIR(status.st_mode) else Refuse(f"{place} is no folder")
    return None


def existing_of(status: os.stat_result | None, *, empty: bool = True) -> Existing | None:
    """Return what a decision needs of a status."""
    if status is None:
        return None
    return Existing(kind_of(status.st_mode), status.st_size, status.st_mtime_ns, empty, status.st_nlink)


def opened(folder: int, name: str) -> tuple[int, int | None]:
    """Open a folder in another one for entries to be made in it; a link is not followed.

    Returns:
        The open folder, and the mode that it had if it had to be made writable for its owner.

    Raises:
        OSError: it can't be opened, or is no folder.
    """
    try:
        handle = os.open(name, FOLDER_FLAGS, dir_fd=folder)
    except PermissionError:
        mode = allow_owner(folder, name, ALL_OF_OWNER)
        if mode is None:
            raise
        return os.open(name, FOLDER_FLAGS, dir_fd=folder), mode
    return handle, made_writable(handle)


def made_writable(handle: int) -> int | None:
    """Let its owner, if that is this process, write to an open folder; return the mode that it had if it was changed."""
    status = os.fstat(handle)
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid() or mode & ALL_OF_OWNER == ALL_OF_OWNER:
        return None
    try:
        os.fchmod(handle, mode | ALL_OF_OWNER)
    except OSError:
        return None  # whether it is a hindrance is seen when something is made
    return mode


def allow_owner(folder: int, name: str, bits: int) -> int | None:
    """Give the owner of a file or folder more rights, if that is this process; return the mode before, None if not."""
    with contextlib.suppress(OSError):
        place = os.open(name, PATH_FLAGS, dir_fd=folder)
        try:
            status = os.fstat(place)
            if status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode):
                os.chmod(f"/proc/self/fd/{place}", stat.S_IMODE(status.st_mode) | bits)
                return stat.S_IMODE(status.st_mode)
        finally:
            os.close(place)
    return None


def remove(folder: int, name: str) -> None:
    """Remove what is in an open folder, with all that is in it; links are removed, other file systems are not entered.

    Raises:
        OSError: something can't be removed.
    """
    try:
        os.unlink(name, dir_fd=folder)
    except (IsADirectoryError, PermissionError):
        # unlink of a folder: EPERM on some systems
        if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
            raise
        _empty(folder, name)
        os.rmdir(name, dir_fd=folder)


def _empty(folder: int, name: str) -> None:
    """Remove all that is in a folder; one level is open at a time, so that no tree is too deep."""
    handle = _entered(folder, name)
    levels = [(name, identity_of(handle), _names(handle))]
    try:
        while True:
            below = next(_folders_left(handle, levels[-1][2]), None)
            if below is not None:
                inner = _entered(handle, below)
                os.close(handle)
                handle = inner
                levels.append((below, identity_of(handle), _names(handle)))
                continue
            emptied, *_ = levels.pop()
            if not levels:
                return
            upper = os.open("..", FOLDER_FLAGS, dir_fd=handle)
            os.close(handle)
            handle = upper
            if identity_of(handle) != levels[-1][1]:
                raise OSError(errno.ESTALE, "a folder was moved while it was removed", emptied)
            os.rmdir(emptied, dir_fd=handle)
    finally:
        os.close(handle)


def _names(handle: int) -> list[str]:
    return os.listdir(handle)


def _folders_left(handle: int, names: list[str]) -> Iterator[str]:
    """Remove the names one by one; yield those of folders."""
    while names:
        name = names.pop()
        try:
            os.unlink(name, dir_fd=handle)
        except FileNotFoundError:
            continue
        except (IsADirectoryError, PermissionError):
            if not stat.S_ISDIR(os.lstat(name, dir_fd=handle).st_mode):
                raise
            yield name


def _entered(folder: int, name: str) -> int:
    handle, _ = opened(folder, name)
    if identity_of(handle)[0] != identity_of(folder)[0]:
        os.close(handle)
        raise OSError(errno.EBUSY, "another file system is mounted there", name)
    return handle


__all__ = [
    "PARKED",
    "LocalFolder",
    "allow_owner",
    "existing_of",
    "identity_of",
    "kind_of",
    "look_at_target",
    "made_writable",
    "opened",
    "remove",
    "reopened",
    "status_of",
]
