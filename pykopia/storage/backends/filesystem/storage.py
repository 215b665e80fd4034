"""Blobs as files in a folder of this machine, in Kopia's layout (format 03 §2.1 and §2.2)."""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    InvalidRangeError,
    PykopiaError,
    StorageNotFoundError,
    UnsupportedOptionError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage._oserrors import storage_error
from pykopia.storage.backends.filesystem.options import FilesystemOptions
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, Capacity, PutOption, PutOptions, check_range
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.layout import SHARDS_FILE, blob_id_of, may_hold
from pykopia.storage.sharding import ShardsFile
from pykopia.storage.walking import Folder, walk

DEFAULT_FILE_MODE = 0o600
DEFAULT_DIR_MODE = 0o700

_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class FilesystemStorage(BlobStorage):
    """A folder of this machine as a storage.

    A put writes a temporary file next to the final one, flushes it to disk, renames it, and flushes the folder, so it
    survives a power cut once it returned. Temporary files that a killed process left are never taken for blobs.

    The root is made only with ``create``, and never again: a root that is gone is most likely not mounted.

    Args:
        path: The root.
        create: Make the root, with its parents, and choose the layout of new repositories.
        options: What else the connection says; its path is not used.

    Raises:
        StorageNotFoundError: There is no such folder.
        StorageAccessDeniedError: This user may not reach it.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, create: bool = False, options: FilesystemOptions | None = None
    ) -> None:
        self.root = os.path.abspath(path)
        self.options = options or FilesystemOptions()
        self._file_mode = self.options.file_mode or DEFAULT_FILE_MODE
        self._dir_mode = self.options.dir_mode or DEFAULT_DIR_MODE
        self._making_folders = threading.Lock()
        self._open_root(create=create)
        self._shards = ShardsFile(
            read=self._read_shards, write=self._write_shards, dir_shards=self.options.dir_shards, create=create
        )

    @property
    def put_options(self) -> frozenset[PutOption]:
        """Options that a put supports, see ``BlobStorage.put_options``."""
        return frozenset({"do_not_recreate", "set_mtime"})

    @property
    def is_local(self) -> bool:
        """Always: see ``BlobStorage.is_local``."""
        return True

    @property
    def has_cheap_requests(self) -> bool:
        """Always: see ``BlobStorage.has_cheap_requests``."""
        return True

    @classmethod
    def from_options(cls, options: FilesystemOptions, *, create: bool = False) -> Self:
        """Open the folder that a connection names, see the class."""
        return cls(options.path, create=create, options=options)

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return a range of a blob, read straight into the returned bytes; see ``BlobStorage.get``."""
        path = self._path_of(blob_id)
        try:
            file = os.open(path, _READ_FLAGS)
            try:
                wanted = check_range(blob_id, offset, length, os.fstat(file).st_size)
                found = _read(file, offset, wanted)
            finally:
                os.close(file)
        except OSError as error:
            raise self._error(error, f"read blob {blob_id} from {self.root}", blob_id) from error
        if len(found) != wanted:  # another process cut the file off meanwhile
            raise InvalidRangeError(blob_id, offset, wanted)
        return found

    def get_into(self, blob_id: BlobID, target: bytearray | memoryview, offset: int = 0) -> None:
        """Fill a buffer from a blob without a copy, see ``BlobStorage.get_into``."""
        view = memoryview(target).cast("B")
        wanted = len(view)
        path = self._path_of(blob_id)
        try:
            file = os.open(path, _READ_FLAGS)
            try:
                check_range(blob_id, offset, wanted, os.fstat(file).st_size)
                found = _read_into(file, offset, view)
            finally:
                os.close(file)
        except OSError as error:
            raise self._error(error, f"read blob {blob_id} from {self.root}", blob_id) from error
        if found != wanted:  # another process cut the file off meanwhile
            raise InvalidRangeError(blob_id, offset, wanted)

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and modification time of a blob, see ``BlobStorage.metadata``."""
        path = self._path_of(blob_id)
        try:
            found = os.stat(path)
        except OSError as error:
            raise self._error(error, f"look at blob {blob_id} in {self.root}", blob_id) from error
        return _metadata(blob_id, found)

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata:
        """Create or replace a blob durably, see ``BlobStorage.put``; object lock is not supported.

        Raises:
            StorageFullError: No space or quota is left; the old state is unchanged.
        """
        if options.has_retention:
            raise UnsupportedOptionError(
                f"can't lock blob {blob_id}: a folder has no object lock; switch it off for this repository"
            )
        path = f"{self.root}/{self._shards.ensure_stored().path_of(blob_id)}"
        try:
            return _metadata(blob_id, self._put_file(path, data, options))
        except FileExistsError as error:
            raise BlobExistsError(blob_id, self.root) from error
        except OSError as error:
            raise self._error(error, f"write blob {blob_id} to {self.root}") from error

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob; it is no error if there is none."""
        path = self._path_of(blob_id)
        try:
            os.unlink(path)
        except FileNotFoundError as error:
            self._check_root(error)
        except OSError as error:
            raise self._error(error, f"delete blob {blob_id} from {self.root}") from error

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield every blob whose ID starts with ``prefix``; files that vanish meanwhile are left out."""
        return walk(lambda folder: self._scan(folder, prefix), self.root, self.options.list_parallelism)

    def capacity(self) -> Capacity:
        """Return the room on the volume that holds the root."""
        try:
            found = os.statvfs(self.root)
        except OSError as error:
            raise self._error(error, f"ask for the free space of {self.root}") from error
        return Capacity(size=found.f_blocks * found.f_frsize, free=found.f_bavail * found.f_frsize)

    def connection_info(self) -> ConnectionInfo:
        """Return what opens this storage again."""
        return ConnectionInfo(type="filesystem", config={**self.options.to_config(), "path": self.root})

    @property
    def display_name(self) -> str:
        """Name for messages."""
        return f"Filesystem: {self.root}"

    def _path_of(self, blob_id: BlobID) -> str:
        return f"{self.root}/{self._shards.parameters().path_of(blob_id)}"

    def _open_root(self, *, create: bool) -> None:
        try:
            if create:
                self._make_folders("/", self.root)
            if not stat.S_ISDIR(os.stat(self.root).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        except (FileNotFoundError, NotADirectoryError, FileExistsError) as error:
            raise StorageNotFoundError(self._missing()) from error
        except OSError as error:
            raise storage_error(error, f"open the storage folder {self.root}") from error

    def _missing(self) -> str:
        return (
            f"there is no folder {self.root}: check the path, and that its disk is mounted; "
            "a new repository is made by `pykopia repository create`"
        )

    def _check_root(self, cause: OSError) -> None:
        """Raise if the root is missing, because it is most likely not mounted, instead of reporting a missing file."""
        if not os.path.isdir(self.root):
            raise StorageNotFoundError(self._missing()) from cause

    def _error(self, error: OSError, doing: str, blob_id: BlobID | None = None) -> PykopiaError:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            if not os.path.isdir(self.root):
                return StorageNotFoundError(self._missing())
            if blob_id is not None and isinstance(error, FileNotFoundError):
                return BlobNotFoundError(blob_id, self.root)
        return storage_error(error, doing)

    def _read_shards(self) -> bytes | None:
        try:
            return Path(self.root, SHARDS_FILE).read_bytes()
        except FileNotFoundError as error:
            self._check_root(error)
            return None
        except OSError as error:
            raise storage_error(error, f"read {SHARDS_FILE} in {self.root}") from error

    def _write_shards(self, content: bytes) -> None:
        try:
            self._put_file(f"{self.root}/{SHARDS_FILE}", content, DEFAULT_PUT_OPTIONS)
        except OSError as error:
            raise self._error(error, f"write {SHARDS_FILE} to {self.root}") from error

    def _put_file(self, path: str, data: Buffer, options: PutOptions) -> os.stat_result:
        temporary = f"{path}.tmp.{os.urandom(8).hex()}"
        folder = os.path.dirname(path)
        try:
            file = os.open(temporary, _CREATE_FLAGS, self._file_mode)
        except FileNotFoundError:
            self._make_folders(self.root, folder)
            file = os.open(temporary, _CREATE_FLAGS, self._file_mode)
        try:
            try:
                _write(file, data)
                if self.options.file_mode:  # asked for, so that others may read or write too: no umask takes it back
                    os.fchmod(file, self._file_mode)
                if self.options.uid is not None and self.options.gid is not None and os.geteuid() == 0:
                    os.fchown(file, self.options.uid, self.options.gid)
                if options.set_mtime_ns is not None:
                    os.utime(file, ns=(options.set_mtime_ns, options.set_mtime_ns))
                os.fsync(file)
                found = os.fstat(file)
            finally:
                os.close(file)
            if options.do_not_recreate:
                _link(temporary, path)
            else:
                os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _flush_folder(folder)
        with self._making_folders:  # another thread may have made the folder just now, and not yet flushed its parent
            return found

    def _make_folders(self, root: str, folder: str) -> None:
        """Make the folders beneath ``root``, but never that itself, on the way to ``folder``, each flushed to disk."""
        with self._making_folders:
            path = root.rstrip("/")
            for part in folder[len(path) :].split("/")[1:]:
                parent, path = path or "/", f"{path}/{part}"
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path, self._dir_mode)
                    if self.options.dir_mode:
                        os.chmod(path, self._dir_mode)
                    _flush_folder(parent)

    def _scan(self, folder: Folder, prefix: str) -> Iterator[BlobMetadata | Folder]:
        """Yield the blobs of one folder, and each folder in it that may hold more."""
        try:
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        joined = folder.joined + entry.name
                        if may_hold(joined, prefix):
                            yield Folder(entry.path, joined)
                        continue
                    blob_id = blob_id_of(folder.joined, entry.name)
                    if blob_id is None or not blob_id.startswith(prefix):
                        continue
                    try:
                        found = entry.stat()
                    except FileNotFoundError:
                        continue
                    if stat.S_ISREG(found.st_mode):
                        yield _metadata(blob_id, found)
        except FileNotFoundError as error:
            self._check_root(error)  # any other folder may vanish at any time
        except OSError as error:
            raise self._error(error, f"list the blobs in {folder.path}") from error


def _metadata(blob_id: BlobID, found: os.stat_result) -> BlobMetadata:
    return BlobMetadata(blob_id=blob_id, length=found.st_size, timestamp_ns=found.st_mtime_ns)


def _read(file: int, offset: int, length: int) -> bytes:
    found = os.pread(file, length, offset) if length else b""
    if len(found) == length:
        return found
    parts = [found]  # the system gives at most 2 GiB at once, network file systems less
    while parts[-1] and length > (got := sum(map(len, parts))):
        parts.append(os.pread(file, length - got, offset + got))
    return b"".join(parts)


def _read_into(file: int, offset: int, view: memoryview) -> int:
    done = 0
    while done < len(view) and (found := os.preadv(file, [view[done:]], offset + done)):
        done += found
    return done


def _write(file: int, data: Buffer) -> None:
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(file, rest) :]


def _link(temporary: str, path: str) -> None:
    """Give a file its final name unless that is taken."""
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        if not os.path.samefile(temporary, path):  # a network file system may repeat a call whose answer was lost
            raise
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise UnsupportedOptionError(
                f"can't create {path} only if it does not exist: this file system has no hard links"
            ) from error
        raise
    os.unlink(temporary)


def _flush_folder(path: str) -> None:
    folder = os.open(path, _FOLDER_FLAGS)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:  # some network file systems can't
            raise
    finally:
        os.close(folder)


__all__ = ["DEFAULT_DIR_MODE", "DEFAULT_FILE_MODE", "FilesystemStorage"]
