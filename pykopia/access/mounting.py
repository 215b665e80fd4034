"""A mount by FUSE, for reading; the library is imported when something is mounted."""

import errno
import itertools
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pykopia.access.attributes import BLOCK, attributes
from pykopia.access.errors import reading
from pykopia.access.files import READ_AHEAD, ObjectReader, ReadAhead
from pykopia.access.mount_tree import ABOVE, MountTree
from pykopia.dataclass import dataclass
from pykopia.errors import MountError, PykopiaError
from pykopia.format.directory import DIRECTORY, FILE, SYMLINK, DirectoryEntry
from pykopia.signals import left_to_others
from pykopia.snapshot.snapshot_path import TYPE_BITS

log = logging.getLogger(__name__)

Result = TypeVar("Result")

KNOWN_SECONDS = 60
"""For how long the kernel keeps names and attributes; what is in a snapshot never changes, new snapshots appear."""
ENDED_BY_SIGNAL = 8
"""What libfuse returns when a signal ended its loop."""
OUT_OF_ORDER = 2 << 20
"""Bytes by which reads of one reader may come out of order: the kernel asks ahead by several threads."""


@dataclass(slots=True)
class _Folder:
    """An open folder."""

    path: str
    is_fixed: bool
    """Whether it is in a snapshot, so that its names never change."""
    entries: list[tuple[str, DirectoryEntry]] | None = None
    """None until they are asked for."""


class SnapshotOperations:
    """The calls of the kernel, answered from a tree. Errors become numbers: what is lost is ``EIO``."""

    use_ns = True

    def __init__(self, tree: MountTree, mounted: Callable[[], object]) -> None:
        """Answer from ``tree``; ``mounted`` is called once the kernel knows the mount."""
        self._tree = tree
        self._mounted = mounted
        self._handles = itertools.count(1)
        self._folders: dict[int, _Folder] = {}
        self._open: dict[int, tuple[ObjectReader, ReadAhead]] = {}
        self._lock = threading.Lock()

    def init(self, _path: str) -> None:
        """Report that the mount is there."""
        self._mounted()

    def getattr(self, path: str, _handle: int | None = None) -> dict[str, int]:
        """Return the attributes of a name."""
        found = attributes(self._answer(path, lambda: self._tree.entry(path)))
        return {
            "st_mode": found.mode,
            "st_nlink": 1,
            "st_uid": found.uid,
            "st_gid": found.gid,
            "st_size": found.size,
            "st_blocks": found.blocks,
            "st_blksize": BLOCK,
            **dict.fromkeys(("st_mtime", "st_ctime", "st_atime"), found.mtime_ns),
        }

    def readdir(self, _path: str, handle: int) -> Iterator[tuple[str, int, int]]:
        """Yield names and types of an open folder."""
        for name, entry in self.listing(handle):
            yield name, TYPE_BITS.get(entry.type, stat.S_IFREG), 0

    def opendir(self, path: str) -> int:
        """Open a folder; return its handle."""
        entry = self._answer(path, lambda: self._tree.entry(path))
        if entry.type != DIRECTORY:
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        with self._lock:
            handle = next(self._handles)
            self._folders[handle] = _Folder(path, is_fixed=entry is not ABOVE)
        return handle

    def listing(self, handle: int) -> Sequence[tuple[str, DirectoryEntry]]:
        """Return names and entries of an open folder; it is read when the kernel asks, which may know them already."""
        folder = self._folders[handle]
        if folder.entries is None:
            found = self._answer(folder.path, lambda: [*self._tree.entries(folder.path)])
            folder.entries = [(".", ABOVE), ("..", ABOVE), *found]
        return folder.entries

    def is_fixed(self, handle: int) -> bool:
        """Return True if an open folder is in a snapshot; those above snapshots get new ones."""
        return self._folders[handle].is_fixed

    def releasedir(self, _path: str, handle: int) -> int:
        """Close a folder."""
        with self._lock:
            self._folders.pop(handle, None)
        return 0

    def readlink(self, path: str) -> str:
        """Return the target of a link."""

        def target() -> str:
            entry = self._tree.entry(path)
            if entry.type != SYMLINK:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return self._tree.view.link(entry)

        return self._answer(path, target)

    def open(self, path: str, flags: int) -> int:
        """Open a file for reading; return its handle."""
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        def opened() -> ObjectReader:
            entry = self._tree.entry(path)
            if entry.type != FILE:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return self._tree.view.reader(entry)

        reader = self._answer(path, opened)
        with self._lock:
            handle = next(self._handles)
            self._open[handle] = reader, ReadAhead(reader, READ_AHEAD, tolerance=OUT_OF_ORDER)
        return handle

    def read(self, path: str, size: int, offset: int, handle: int) -> bytes:
        """Return bytes of an open file."""
        reader, ahead = self._open[handle]
        end = min(offset + size, reader.length)
        if offset >= end:
            return b""
        ahead.note(offset, end)
        return self._answer(path, lambda: reader.read(offset, end))

    def release(self, _path: str, handle: int) -> int:
        """Close a file."""
        with self._lock:
            self._open.pop(handle, None)
        return 0

    def statfs(self, _path: str) -> dict[str, int]:
        """Return a size of zero: nothing can be written."""
        return {"f_bsize": BLOCK, "f_frsize": BLOCK, "f_namemax": 255, "f_flag": os.ST_RDONLY}

    @staticmethod
    def _answer(path: str, work: Callable[[], Result]) -> Result:
        try:
            with reading(path):
                return work()
        except FileNotFoundError:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
        except NotADirectoryError:
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        except (OSError, PykopiaError) as error:
            number = error.errno if isinstance(error, OSError) and not isinstance(error, PykopiaError) else errno.EIO
            if number != errno.EINVAL:
                log.warning("%s", error)
            raise OSError(number or errno.EIO, os.strerror(number or errno.EIO)) from error


def mount(
    tree: MountTree,
    folder: Path,
    *,
    name: str,
    mounted: Callable[[], object],
    allow_other: bool = False,
    allow_non_empty: bool = False,
) -> None:
    """Mount a tree at a folder and return once it is unmounted: by another program, or by a signal to this one.

    Args:
        tree: what is shown.
        folder: where; it must be there and empty.
        name: what is mounted, as the table of mounts shows it.
        mounted: called once files can be opened.
        allow_other: let other users read too, as far as the modes of files let them.
        allow_non_empty: hide what is in the folder.

    Raises:
        MountError: it can't be mounted.
    """
    try:
        from pykopia.access.fuse import Fuse  # noqa: PLC0415 -- an extra, and it loads the library of the system
    except (ImportError, OSError, AttributeError) as error:
        raise MountError(
            str(folder), "FUSE is missing: install `pykopia[mount]`, and the package fuse3 of this system"
        ) from error
    if not folder.is_dir():
        raise MountError(str(folder), "it is no folder")
    if not allow_non_empty and any(folder.iterdir()):
        raise MountError(
            str(folder),
            "it is not empty: choose another folder, or hide what is in it (--fuse-allow-non-empty-mount)",
        )
    options: dict[str, Any] = {
        "ro": True,
        "fsname": name.replace(",", "_"),
        "subtype": "pykopia",
        "attr_timeout": KNOWN_SECONDS,
        "entry_timeout": KNOWN_SECONDS,
        "kernel_cache": True,
    }
    if allow_other:
        options |= {"allow_other": True, "default_permissions": True}
    begun = threading.Event()

    def begin() -> None:
        begun.set()
        mounted()

    operations = SnapshotOperations(tree, begin)
    try:
        with left_to_others():
            Fuse(operations, str(folder), foreground=True, **options)
    except RuntimeError as error:
        if begun.is_set() and error.args == (ENDED_BY_SIGNAL,):
            return
        raise MountError(str(folder), "FUSE refused it: it has written why to standard error") from error


__all__ = ["SnapshotOperations", "mount"]
