"""Hard links of a restore: the first name of a file is made as any file, the others become further names of it."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from pykopia.format.directory import DirectoryEntry
from pykopia.snapshot.small_files import FOLDER_FLAGS
from pykopia.snapshot.target_folder import Identity

log = logging.getLogger(__name__)


class _Names:
    """The names of one file."""

    __slots__ = ("identity", "lock", "path")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.path = ""
        """Below the target, of the first name; empty until there is one."""
        self.identity: Identity | None = None
        """Of the file that has this name."""

    def note_first(self, path: str, folder: int, name: str) -> None:
        """Record the first name of the file, which was just made in an open folder."""
        if not self.path:
            status = os.lstat(name, dir_fd=folder)
            self.path, self.identity = path, (status.st_dev, status.st_ino)


class HardLinks:
    """Finds the first name of a file; safe for threads.

    Names are one file if the snapshot says so, and if contents and all attributes are the same: a snapshot may have met a
    file between two of its changes.
    """

    def __init__(self) -> None:
        """Prepare."""
        self._lock = threading.Lock()
        self._files: dict[DirectoryEntry, _Names] = {}

    def _names(self, entry: DirectoryEntry) -> _Names:
        with self._lock:
            return self._files.setdefault(msgspec.structs.replace(entry, name=""), _Names())

    @contextmanager
    def making(self, entry: DirectoryEntry) -> Iterator[_Names]:
        """Let one thread at a time make a name of a file."""
        names = self._names(entry)
        with names.lock:
            yield names

    def link(self, entry: DirectoryEntry, target: int, folder: int, name: str) -> bool:
        """Make one more name of a file; return False if it has to be written instead.

        Args:
            entry: of the file.
            target: the open folder that is restored to; nothing outside of it is linked to.
            folder: the open folder that gets the name.
            name: new in that folder.
        """
        names = self._names(entry)
        if not names.path:
            return False
        try:
            _link(names.path, target, folder, name)
        except OSError as error:
            log.warning("can't link to %s, a copy is made of it: %s", names.path, error.strerror)
            return False
        status = os.lstat(name, dir_fd=folder)
        if (status.st_dev, status.st_ino) == names.identity:
            return True
        os.unlink(name, dir_fd=folder)
        log.warning("%s was replaced while the restore ran, a copy is made of it", names.path)
        return False


def _link(path: str, target: int, folder: int, name: str) -> None:
    """Link to a file below an open folder; no symbolic link is followed on the way."""
    *folders, last = path.split("/")
    handle = os.dup(target)
    try:
        for each in folders:
            inner = os.open(each, FOLDER_FLAGS, dir_fd=handle)
            os.close(handle)
            handle = inner
        os.link(last, name, src_dir_fd=handle, dst_dir_fd=folder, follow_symlinks=False)
    finally:
        os.close(handle)


__all__ = ["HardLinks"]
