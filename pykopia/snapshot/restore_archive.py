"""Restoring into an archive: tar, compressed tar, zip.

Kopia's tar drops special mode bits and parts of seconds, its zip drops folders and links (format 04 §14.4); here both keep
what their format can hold.
"""

import contextlib
import os
import shutil
import stat
import tarfile
import tempfile
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import IO

from pykopia.errors import RestoreError
from pykopia.format.directory import DirectoryEntry
from pykopia.repository.objects import ObjectStore
from pykopia.snapshot.restore import Failed, Item, link_target, one_by_one
from pykopia.snapshot.restore_stream import Sink

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Earliest time that a zip can say."""
ZIP_NAME_MAX = 65535
"""Bytes of the longest path that a zip can hold."""
ZIP_END = (2107, 12, 31, 23, 59, 58)
NANOSECONDS = 1_000_000_000
COPY_BYTES = 1 << 20
MEMORY_BYTES = 16 << 20
"""Bytes of a file that are kept in memory before it is copied to disk."""


class _Archive(ABC):
    """Base class of archives: one entry at a time, folders after all entries in them.

    So an unpacking program, which sets the time of a folder when it meets its entry, does not change it afterwards.
    """

    warnings: Sequence[str] = ()

    def __init__(self, sink: Sink, objects: ObjectStore, *, whole: bool) -> None:
        """Begin an archive; with ``whole`` no part of a file is written before all of it was read."""
        self._objects = objects
        self._whole = whole
        self._lock = threading.Lock()
        self._sink = sink

    def root(self, entry: DirectoryEntry) -> str:
        """Return the path of the top: the archive has no entry for it."""
        return ""

    def directory(self, parent: str, entry: DirectoryEntry, path: str) -> str:
        """Return the path of a folder; its entry is written when it is finished."""
        return path

    def name_key(self, folder: str, entries: Sequence[DirectoryEntry]) -> Callable[[str], str]:
        """Return what makes two names one: only that they are equal."""
        return str

    def prepare(self, folder: str, entries: Sequence[DirectoryEntry], path: str, *, shallow: bool) -> Iterator[Failed]:
        """Pass: an archive is always new."""
        return iter(())

    def park(self, folder: str) -> None:
        """Pass: nothing is open."""
        return

    def ends_all(self, error: OSError) -> bool:
        """Return True: the archive is one file."""
        return True

    def needed(self, folder: str, entries: Iterable[DirectoryEntry]) -> Iterator[DirectoryEntry]:
        """Yield all: an archive is always new."""
        return iter(entries)

    def files(self, items: Sequence[Item[str]]) -> Iterator[tuple[Item[str], bool | Exception]]:
        """Write files, see ``Output.files``."""
        return one_by_one(
            lambda _, entry, path: self.file(entry, f"{path}/{entry.name}" if path else entry.name), items
        )

    @abstractmethod
    def file(self, entry: DirectoryEntry, path: str) -> bool:
        """Write a file."""

    def counts(self, entry: DirectoryEntry) -> bool:
        """Return False: bytes are counted when a file is done."""
        return False

    def placeholder(self, parent: str, entry: DirectoryEntry, path: str) -> bool:
        """Refuse: an archive has no placeholders."""
        raise RestoreError("shallow restore needs a folder as its target, not an archive")

    def finish(self, folder: str, entry: DirectoryEntry, path: str, *, complete: bool) -> None:
        """Write the entry of a folder; the top has none."""
        if path:
            self._folder(entry, path)

    @abstractmethod
    def _folder(self, entry: DirectoryEntry, path: str) -> None:
        """Write the entry of a folder."""

    @contextlib.contextmanager
    def _content(self, entry: DirectoryEntry, path: str) -> Iterator[IO[bytes]]:
        """Provide the bytes of a file, and hold the lock while they are written to the archive.

        What was begun can't be taken back, so an archive that goes on after errors gets files that were read to their end.
        """
        length = self._objects.length(entry.object_id)
        if length != entry.size:
            raise RestoreError(f"can't restore {path}: its object has {length} bytes, its entry says {entry.size}")
        with self._objects.open(entry.object_id) as source:
            if not self._whole:
                with self._lock:
                    yield source
                return
            with tempfile.SpooledTemporaryFile(MEMORY_BYTES, dir=self._sink.scratch) as copy:
                shutil.copyfileobj(source, copy, COPY_BYTES)
                copy.seek(0)
                with self._lock:
                    yield copy

    def close(self, *, complete: bool) -> None:
        """Write the end of the archive and put it in its place; after an error it is removed."""
        done = False
        try:
            with contextlib.nullcontext() if complete else contextlib.suppress(OSError, ValueError):
                self._end()
            done = complete
        except OSError as error:
            raise RestoreError(f"can't write the archive: {error.strerror}") from error
        finally:
            self._sink.close(complete=done)

    @abstractmethod
    def _end(self) -> None:
        """Write the end of the archive."""


class TarOutput(_Archive):
    """A tar archive (POSIX, with full times), gzip-compressed or not."""

    def __init__(self, sink: Sink, objects: ObjectStore, *, whole: bool, compressed: bool) -> None:
        super().__init__(sink, objects, whole=whole)
        self._tar = tarfile.open(  # noqa: SIM115 -- closed by close()
            fileobj=sink.stream, mode="w|gz" if compressed else "w|", format=tarfile.PAX_FORMAT, encoding="utf-8"
        )

    def _folder(self, entry: DirectoryEntry, path: str) -> None:
        info = self._info(entry, path)
        info.type = tarfile.DIRTYPE
        with self._lock:
            self._tar.addfile(info)

    def file(self, entry: DirectoryEntry, path: str) -> bool:
        """Write a file."""
        info = self._info(entry, path)
        info.size = entry.size
        with self._content(entry, path) as source:
            self._tar.addfile(info, source)
        return True

    def symlink(self, parent: str, entry: DirectoryEntry, path: str) -> bool:
        """Write a symbolic link."""
        info = self._info(entry, path)
        info.type = tarfile.SYMTYPE
        info.linkname = os.fsdecode(link_target(self._objects, entry))
        with self._lock:
            self._tar.addfile(info)
        return True

    @staticmethod
    def _info(entry: DirectoryEntry, path: str) -> tarfile.TarInfo:
        info = tarfile.TarInfo(path)
        info.mode = entry.mode
        info.uid, info.gid = entry.uid, entry.gid
        seconds, fraction = divmod(entry.mtime_ns, NANOSECONDS)
        info.mtime = seconds
        if fraction or seconds < 0:
            info.pax_headers = {"mtime": _decimal_seconds(entry.mtime_ns)}
        return info

    def _end(self) -> None:
        self._tar.close()


class ZipOutput(_Archive):
    """A zip archive with folders and symbolic links."""

    def __init__(self, sink: Sink, objects: ObjectStore, *, whole: bool, compressed: bool) -> None:
        super().__init__(sink, objects, whole=whole)
        self._method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
        self._zip = zipfile.ZipFile(sink.stream, "w", self._method, strict_timestamps=False)

    def _folder(self, entry: DirectoryEntry, path: str) -> None:
        with self._lock:
            self._zip.writestr(self._info(entry, path + "/", stat.S_IFDIR), b"")

    def file(self, entry: DirectoryEntry, path: str) -> bool:
        """Write a file."""
        info = self._info(entry, path, stat.S_IFREG)
        info.file_size = entry.size
        with self._content(entry, path) as source, self._zip.open(info, "w") as out:
            shutil.copyfileobj(source, out, COPY_BYTES)
        return True

    def symlink(self, parent: str, entry: DirectoryEntry, path: str) -> bool:
        """Write a symbolic link: a file that holds its target, marked as a link."""
        with self._lock:
            self._zip.writestr(self._info(entry, path, stat.S_IFLNK), link_target(self._objects, entry))
        return True

    def _info(self, entry: DirectoryEntry, path: str, kind: int) -> zipfile.ZipInfo:
        if len(path.encode("utf-8", "surrogateescape")) > ZIP_NAME_MAX:
            raise RestoreError(f"can't put {path[:80]}… into a zip: its path has more than {ZIP_NAME_MAX} bytes")
        try:
            moment = datetime.fromtimestamp(entry.mtime_ns // NANOSECONDS, UTC).timetuple()[:6]
        except (OverflowError, ValueError, OSError):
            moment = ZIP_EPOCH
        info = zipfile.ZipInfo(path, min(max(moment, ZIP_EPOCH), ZIP_END))
        info.compress_type = self._method
        info.create_system = 3  # Unix: the upper half of the attributes is the mode
        info.external_attr = (kind | entry.mode) << 16
        return info

    def _end(self) -> None:
        self._zip.close()


def _decimal_seconds(nanoseconds: int) -> str:
    """Return seconds with nine digits after the point, exactly."""
    sign = "-" if nanoseconds < 0 else ""
    seconds, fraction = divmod(abs(nanoseconds), NANOSECONDS)
    return f"{sign}{seconds}.{fraction:09d}"


__all__ = ["TarOutput", "ZipOutput"]
