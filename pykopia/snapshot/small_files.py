"""Reading and making many small files with one call for all of them, and folders with one call each.

The native twin does it without the interpreter's lock: a call for each step of each file would cost more in handing the
lock back and forth than in the system calls themselves.
"""

import contextlib
import errno
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from pykopia.format.directory import DirectoryEntry

READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""A file that was replaced by a link or a pipe since it was listed is an error, not something to follow or wait for."""

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

TEMPORARY_NAME = re.compile(r"\.pykopia-[0-9a-f]{16}")
"""Names of files that a restore has not finished."""
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""Errors of a file system without hard links."""

GREW = -1
SHRANK = -2
"""Stands in for the contents of a file whose length differs from the listing."""

OWNER = 1
MODE = 2
TIME = 4
IGNORE_RIGHTS = 8
"""Ignore permission errors when owner, mode or time is set."""
FLUSH = 16
EXTENDED = 32
"""Extended attributes; no function here sets them."""


def python_read_files(paths: list[bytes], sizes: list[int]) -> list[bytes | int]:
    """Return the contents of files.

    Args:
        paths: of the files; a link is not followed.
        sizes: bytes that each was listed with.

    Returns:
        For each file its contents, or GREW or SHRANK where it has another length, or the errno that reading it ended with.
    """
    return [_read(path, size) for path, size in zip(paths, sizes, strict=True)]


def _read(path: bytes, size: int) -> bytes | int:
    try:
        descriptor = os.open(path, READ_FLAGS)
    except OSError as error:
        return error.errno or -1
    try:
        data = os.read(descriptor, size + 1)
    except OSError as error:
        return error.errno or -1
    finally:
        os.close(descriptor)
    if len(data) == size:
        return data
    return GREW if len(data) > size else SHRANK


def python_write_files(
    folders: list[int], entries: Sequence[DirectoryEntry], contents: list[bytes], flags: int
) -> list[int]:
    """Make new files in open folders, with contents and attributes.

    Args:
        folders: descriptor of the folder of each.
        entries: name, mode, owners and time of each; none of them may exist.
        contents: of each.
        flags: which attributes are set, and how.

    Returns:
        For each file 0, or the errno that making it ended with; nothing is left of such a file. A file has a temporary
        name until it is whole.
    """
    return [_write(*each, flags) for each in zip(folders, entries, contents, strict=True)]


def _write(folder: int, entry: DirectoryEntry, data: bytes, flags: int) -> int:
    temporary = temporary_name()
    try:
        descriptor = os.open(temporary, CREATE_FLAGS, 0o600, dir_fd=folder)
    except OSError as error:
        return error.errno or errno.EIO
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            set_attributes(descriptor, entry, flags)
        finally:
            os.close(descriptor)
        python_publish(folder, temporary, entry.name)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        return error.errno or errno.EIO
    return 0


def temporary_name() -> str:
    """Return a new name that ``TEMPORARY_NAME`` matches."""
    return f".pykopia-{os.urandom(8).hex()}"


def python_publish(folder: int, temporary: str, name: str) -> None:
    """Give a file in an open folder its final name, unless the name exists.

    Args:
        folder: descriptor of the folder.
        temporary: name of the file so far.
        name: name that the file gets.

    Raises:
        OSError: the name is taken (EEXIST), or can't be given.
    """
    old, new = os.fsencode(temporary), os.fsencode(name)
    try:
        os.link(old, new, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    else:
        os.unlink(old, dir_fd=folder)
        return
    with contextlib.suppress(FileNotFoundError):
        os.stat(new, dir_fd=folder, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)


def set_attributes(descriptor: int, entry: DirectoryEntry, flags: int) -> int:
    """Set owner, then mode (a change of owner clears set-uid bits), then time; flush.

    Args:
        descriptor: of a file or folder.
        entry: with the values.
        flags: which attributes are set, and how.

    Returns:
        The flags of the attributes that could not be set for lack of rights.
    """
    steps: list[tuple[int, Callable[[int], None]]] = [
        (OWNER, lambda file: change_owner(file, entry.uid, entry.gid)),
        (MODE, lambda file: os.chmod(file, entry.mode)),
        (TIME, lambda file: os.utime(file, ns=(entry.mtime_ns, entry.mtime_ns))),
    ]
    unset = 0
    for flag, step in steps:
        if flags & flag:
            try:
                step(descriptor)
            except PermissionError:
                if not flags & IGNORE_RIGHTS:
                    raise
                unset |= flag
    if flags & FLUSH:
        os.fsync(descriptor)
    return unset


def change_owner(file: int | str, uid: int, gid: int, **where: Any) -> None:  # noqa: ANN401 -- of os.chown
    """Set owner and group of a file; the group alone where the process may set no more.

    Args:
        file: descriptor or name.
        uid: owner.
        gid: group.
        where: further arguments of ``os.chown``.

    Raises:
        PermissionError: the owner, or both, could not be set.
    """
    try:
        os.chown(file, uid, gid, **where)
    except OSError as error:
        if not lacks_rights(error):
            raise
        with contextlib.suppress(OSError):
            os.chown(file, -1, gid, **where)
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM)) from error


def lacks_rights(error: OSError) -> bool:
    """Return whether an attribute could not be set for lack of rights.

    A user namespace, such as that of a rootless container, refuses owners that it does not have as invalid (chown(2)).
    """
    return isinstance(error, PermissionError) or error.errno == errno.EINVAL


def python_make_folder(parent: int, name: str) -> tuple[int, bool]:
    """Make a folder in an open one, with mode 0700, or open one that is there; a link is not followed.

    Returns:
        The descriptor of the folder, and whether it was made.

    Raises:
        OSError: It can't be made, or something that is no folder is there.
    """
    made = True
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        made = False
    return os.open(name, FOLDER_FLAGS, dir_fd=parent), made


def python_finish_folder(descriptor: int, entry: DirectoryEntry, flags: int) -> None:
    """Set the attributes of an open folder (see ``python_write_files``), and close it.

    Raises:
        OSError: One of them can't be set; the folder is closed all the same.
    """
    try:
        set_attributes(descriptor, entry, flags)
    finally:
        os.close(descriptor)


try:
    from pykopia.snapshot._files import finish_folder, make_folder, publish, read_files, write_files
except ImportError:  # no compiler was there
    read_files, write_files = python_read_files, python_write_files
    make_folder, finish_folder, publish = python_make_folder, python_finish_folder, python_publish

__all__ = [
    "EXTENDED",
    "FLUSH",
    "FOLDER_FLAGS",
    "GREW",
    "IGNORE_RIGHTS",
    "MODE",
    "OWNER",
    "READ_FLAGS",
    "SHRANK",
    "TEMPORARY_NAME",
    "TIME",
    "change_owner",
    "finish_folder",
    "lacks_rights",
    "make_folder",
    "publish",
    "python_finish_folder",
    "python_make_folder",
    "python_publish",
    "python_read_files",
    "python_write_files",
    "read_files",
    "set_attributes",
    "temporary_name",
    "write_files",
]
