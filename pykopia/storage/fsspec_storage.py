"""Blobs in any fsspec filesystem, flat or in shards (format 03 §2 and §3)."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from pykopia.errors import (
    BlobNotFoundError,
    InvalidRangeError,
    PykopiaError,
    StorageError,
    StorageNotFoundError,
    UnsupportedOptionError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage._oserrors import storage_error
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOptions, check_range, is_blob_id
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.layout import SHARDS_FILE, FlatLayout, blob_id_of, may_hold
from pykopia.storage.sharding import ShardsFile
from pykopia.storage.walking import Folder, walk

if TYPE_CHECKING:
    from fsspec.spec import AbstractFileSystem
else:
    AbstractFileSystem = Any  # annotations resolve without fsspec

ATOMIC_PROTOCOLS = frozenset({"abfs", "abfss", "az", "gcs", "gs", "memory", "s3", "s3a"})
"""fsspec protocols in which a whole-file write appears at once or not at all."""

_TIME_KEYS = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")


class FsspecStorage(BlobStorage):
    """A folder or bucket of an fsspec filesystem as a storage; backends refine it where fsspec can't say enough.

    How a put is atomic: where ``atomic_put`` is true, the file is written under its final name, and the filesystem must
    show it whole or not at all. Otherwise it is written under a temporary name and moved over the final one, which the
    filesystem must do in one step. How durable a finished put is, the filesystem alone decides; for a folder of this
    machine ``FilesystemStorage`` is safer and faster. Give a filesystem without a cache of listings
    (``use_listings_cache=False``): what others write must be seen.

    ``do_not_recreate``, ``set_mtime_ns`` and object lock are refused: fsspec has no common way for them.

    Args:
        fs: The filesystem.
        root: Path of the folder or bucket within it.
        layout: Object names of a flat storage; none: files in shards, with ``.shards``.
        create: Make the root, and choose the layout of new repositories.
        dir_shards: Shards of a storage without ``.shards``; none: those of Kopia.
        atomic_put: Whether a write under the final name is atomic; none: known by the protocol of ``fs``.
        info: What opens the storage again; none: it has no connection.
        display_name: Name for messages, without secrets.
        list_parallelism: Folders that a listing looks into at one time.

    Raises:
        StorageNotFoundError: There is no such root.
        UnsupportedOptionError: The filesystem can neither write nor move a file in one step.
    """

    failures: ClassVar[tuple[type[Exception], ...]] = (OSError, NotImplementedError)
    """Errors that the filesystem raises; backends add those of their libraries."""

    def __init__(
        self,
        fs: "AbstractFileSystem",
        root: str,
        *,
        layout: FlatLayout | None = None,
        create: bool = False,
        dir_shards: Sequence[int] | None = None,
        atomic_put: bool | None = None,
        info: ConnectionInfo | None = None,
        display_name: str = "",
        list_parallelism: int = 1,
    ) -> None:
        self._fs = fs
        self.root = root.rstrip("/")
        self._below = f"{self.root}/" if root else ""  # some filesystems have no path "/x" where they have "x"
        self._layout = layout
        self._info = info
        self._display_name = display_name or f"{_protocols(fs)[0]}: {self.root}"
        self._list_parallelism = list_parallelism
        self._atomic_put = _writes_atomically(fs) if atomic_put is None else atomic_put
        self._shards = ShardsFile(
            read=self._read_shards, write=self._write_shards, dir_shards=dir_shards, create=create
        )
        self._open_root(create=create)

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return a range of a blob, see ``BlobStorage.get``."""
        if length == 0 or offset < 0:
            check_range(blob_id, offset, length, self.metadata(blob_id).length)
            return b""
        path = self._path_of(blob_id)
        with self._failing(f"read blob {blob_id} from {self.display_name}", blob_id):
            found = self._read(path, offset, length)
        if length >= 0 and len(found) != length:
            raise InvalidRangeError(blob_id, offset, length)
        if not found and offset:  # nothing follows: does the offset lie in the blob, or behind it?
            check_range(blob_id, offset, length, self.metadata(blob_id).length)
        return found

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob, see ``BlobStorage.metadata``."""
        path = self._path_of(blob_id)
        with self._failing(f"look at blob {blob_id} in {self.display_name}", blob_id):
            return self._metadata(blob_id, self.fs.info(path))

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob, see ``BlobStorage.put`` and the class."""
        self._check_options(blob_id, options)
        if self._layout is None:
            self._shards.ensure_stored()
        path = self._path_of(blob_id)
        with self._failing(f"write blob {blob_id} to {self.display_name}"):
            self._put_file(path, data, options)
        return None

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob; it is no error if there is none."""
        path = self._path_of(blob_id)
        with self._failing(f"delete blob {blob_id} from {self.display_name}"):
            try:
                self.fs.rm_file(path)
            except FileNotFoundError:
                self._check_root()

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield every blob whose ID starts with ``prefix``; files that vanish meanwhile are left out."""
        if self._layout is not None:
            yield from self._list_flat(self._layout, prefix)
            return
        yield from walk(lambda folder: self._scan(folder, prefix), self._top, self._list_parallelism)

    @property
    def has_slow_listings(self) -> bool:
        """Where blobs are in folders: see ``BlobStorage.has_slow_listings``."""
        return self._layout is None

    def flush_caches(self) -> None:
        """Make the filesystem forget its listings."""
        self.fs.invalidate_cache()

    def connection_info(self) -> ConnectionInfo:
        """Return what opens this storage again.

        Raises:
            UnsupportedOptionError: It was made from a filesystem alone.
        """
        if self._info is None:
            raise UnsupportedOptionError(
                f"{self.display_name} was opened from a filesystem object: no connection to it can be saved"
            )
        return self._info

    @property
    def display_name(self) -> str:
        """Name for messages, without secrets."""
        return self._display_name

    @property
    def place(self) -> object:
        """Equal for storages whose blobs are the same ones."""
        return (self.fs, self.root) if self._info is None else self._info

    @property
    def _top(self) -> str:
        """The path of the root itself."""
        return self.root or self._below

    @property
    def fs(self) -> "AbstractFileSystem":
        """The filesystem; backends whose connections may be lost give a fresh one."""
        return self._fs

    def _path_of(self, blob_id: BlobID) -> str:
        layout = self._shards.parameters() if self._layout is None else self._layout
        return f"{self._below}{layout.path_of(blob_id)}"

    def _check_options(self, blob_id: BlobID, options: PutOptions) -> None:
        for name, asked, what in (
            ("retention", options.has_retention, "lock it"),
            ("do_not_recreate", options.do_not_recreate, "create it only if it does not exist"),
            ("set_mtime", options.set_mtime_ns is not None, "set its time"),
        ):
            if asked and name not in self.put_options:
                raise UnsupportedOptionError(f"can't put blob {blob_id}: {self.display_name} can't {what}")

    def _read(self, path: str, offset: int, length: int) -> bytes:
        """Return a range of a file; a negative length means all that follow."""
        found: bytes
        if length < 0:
            found = self.fs.cat_file(path, start=offset) if offset else self.fs.cat_file(path)
        else:
            found = self.fs.cat_file(path, start=offset, end=offset + length)
        return found

    def _put_file(self, path: str, data: Buffer, options: PutOptions) -> None:
        """Write a file so that no reader sees a part of it."""
        content = data if isinstance(data, bytes) else bytes(data)  # not every library takes other buffers
        if self._writes_in_place(path):
            self._in_folder(path, lambda: self.fs.pipe_file(path, content))
            return
        temporary = self._temporary_path(path)
        try:
            self._in_folder(temporary, lambda: self.fs.pipe_file(temporary, content))
            self._in_folder(path, lambda: self.fs.mv(temporary, path))
        except BaseException:
            self._remove_quietly(temporary)
            raise

    def _writes_in_place(self, path: str) -> bool:
        """Return True if a file is written under its final name at once."""
        return self._atomic_put

    def _temporary_path(self, path: str) -> str:
        """Return a path that no listing takes for a blob."""
        suffix = f"tmp.{os.urandom(8).hex()}"
        if self._layout is None:
            return f"{path}.{suffix}"  # does not end as blobs do
        return f"{self._below}{self._layout.prefix}.tmp/{suffix}"  # not a direct child, where all blobs are

    def _open_root(self, *, create: bool) -> None:
        with self._failing(f"open {self.display_name}"):
            if create:
                self._make_folders(self._top)
            self._check_root()

    def _check_root(self) -> None:
        """Raise ``StorageNotFoundError`` if the root is not there."""
        try:
            if self.fs.info(self._top)["type"] == "directory":
                return
        except FileNotFoundError:
            pass
        raise StorageNotFoundError(
            f"there is no folder or bucket {self.display_name}: check its name and that it is within reach; "
            "a new repository is made by `pykopia repository create`"
        )

    @contextlib.contextmanager
    def _failing(self, doing: str, blob_id: BlobID | None = None) -> Iterator[None]:
        """Turn what the filesystem raises into errors of a storage."""
        try:
            yield
        except PykopiaError:
            raise
        except self.failures as error:
            raise self._translated(error, doing, blob_id) from error

    def _translated(self, error: Exception, doing: str, blob_id: BlobID | None) -> PykopiaError:
        """Return the storage error that stands for one of ``failures``.

        To tell a missing blob from a missing bucket takes another request: what goes wrong with that is translated too.
        """
        try:
            return self._error(error, doing, blob_id)
        except PykopiaError as told:
            return told
        except self.failures as another:
            error = another
        doing = f"{doing}, and look whether {self.display_name} is there"
        try:
            return self._error(error, doing)
        except PykopiaError as told:
            return told
        except self.failures as another:
            return StorageError(f"can't {doing}: {type(another).__name__}")

    def _error(self, error: Exception, doing: str, blob_id: BlobID | None = None) -> PykopiaError:
        """Return the storage error that stands for one of ``failures``; backends know their libraries' errors."""
        if isinstance(error, FileNotFoundError):
            self._check_root()
            if blob_id is not None:
                return BlobNotFoundError(blob_id, self.display_name)
        if isinstance(error, NotImplementedError):
            return UnsupportedOptionError(
                f"can't {doing}: a filesystem of type {_protocols(self.fs)[0]} has no way to do it"
            )
        if isinstance(error, OSError):
            return storage_error(error, doing)
        return StorageError(f"can't {doing}: {type(error).__name__}")  # the text of a foreign error may hold a secret

    def _entries(self, path: str) -> Sequence[Mapping[str, Any]]:
        """Return what a folder holds, now and not from a cache."""
        with self._failing(f"list the blobs of {self.display_name}"):
            self.fs.invalidate_cache(path)
            try:
                found: Sequence[Mapping[str, Any]] = self.fs.ls(path, detail=True)
            except FileNotFoundError:
                self._check_root()  # any other folder may vanish at any time
                return []
            return found

    def _scan(self, folder: Folder, prefix: str) -> Iterator[BlobMetadata | Folder]:
        """Yield the blobs of one folder of a sharded storage, and each folder in it that may hold more."""
        for entry in self._entries(folder.path):
            name = _base_name(entry)
            if entry["name"].strip("/") == folder.path.strip("/"):
                continue  # some filesystems list a folder among what it holds
            if entry.get("type") == "directory":
                if may_hold(folder.joined + name, prefix):
                    yield Folder(
                        f"{folder.path.rstrip('/')}/{name}".lstrip("" if self._below else "/"), folder.joined + name
                    )
                continue
            blob_id = blob_id_of(folder.joined, name)
            if blob_id is not None and blob_id.startswith(prefix):
                yield self._metadata(blob_id, entry)

    def _list_flat(self, layout: FlatLayout, prefix: str) -> Iterator[BlobMetadata]:
        folder, _, start = layout.prefix.rpartition("/")
        for entry in self._entries(f"{self._below}{folder}" if folder else self._top):
            name = _base_name(entry)
            if entry.get("type") == "directory" or not name.startswith(start + prefix):
                continue
            blob_id = name[len(start) :]
            if is_blob_id(blob_id):
                yield self._metadata(BlobID(blob_id), entry)

    def _metadata(self, blob_id: BlobID, entry: Mapping[str, Any]) -> BlobMetadata:
        found = next((entry[key] for key in _TIME_KEYS if entry.get(key) is not None), None)
        if found is None and "date_time" in entry:  # of a zip, without a time zone
            with contextlib.suppress(ValueError):
                year, month, day, hour, minute, second = entry["date_time"]
                found = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        if found is None:
            try:
                found = self.fs.modified(entry["name"])
            except NotImplementedError:
                raise UnsupportedOptionError(
                    f"can't use {self.display_name} as a storage: a filesystem of type {_protocols(self.fs)[0]} does not tell "
                    "when a file was written"
                ) from None
        return BlobMetadata(blob_id=blob_id, length=entry["size"], timestamp_ns=nanoseconds(found))

    def _in_folder(self, path: str, write: Callable[[], object]) -> None:
        """Write a file, and make the folders above it, but never the root, if they are not there."""
        try:
            write()
        except FileNotFoundError:
            self._check_root()
            self._make_folders(path.rpartition("/")[0])
            write()

    def _make_folders(self, path: str) -> None:
        """Make a folder and those above it; it is no error if they are there."""
        self.fs.makedirs(path, exist_ok=True)

    def _remove_quietly(self, path: str) -> None:
        try:
            self.fs.rm_file(path)
        except self.failures:
            return  # the error that led here says more

    def _read_shards(self) -> bytes | None:
        with self._failing(f"read {SHARDS_FILE} in {self.display_name}"):
            try:
                return self._read(f"{self._below}{SHARDS_FILE}", 0, -1)
            except FileNotFoundError:
                self._check_root()
                return None

    def _write_shards(self, content: bytes) -> None:
        with self._failing(f"write {SHARDS_FILE} to {self.display_name}"):
            self._put_file(f"{self._below}{SHARDS_FILE}", content, DEFAULT_PUT_OPTIONS)


def _protocols(fs: "AbstractFileSystem") -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _writes_atomically(fs: "AbstractFileSystem") -> bool:
    """Return True if to write under the final name; false: under a temporary one, to be moved."""
    from fsspec.spec import AbstractFileSystem  # noqa: PLC0415 -- loaded already, as there is a filesystem

    if ATOMIC_PROTOCOLS.intersection(_protocols(fs)):
        return True
    if type(fs).mv is AbstractFileSystem.mv:
        raise UnsupportedOptionError(
            f"can't keep a repository in a filesystem of type {_protocols(fs)[0]}: it moves a file by copying it, so "
            "half-written blobs could be seen; pass atomic_put=True if its writes appear at once"
        )
    return False


def _base_name(entry: Mapping[str, Any]) -> str:
    name: str = entry["name"]
    return name.rstrip("/").rpartition("/")[2]


def nanoseconds(time: float | str | datetime) -> int:
    """Return nanoseconds since 1970, exact to a microsecond: fsspec has seconds as float, datetimes, and text."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    if isinstance(time, datetime):
        if time.tzinfo is None:
            time = time.replace(tzinfo=UTC)
        passed = time - datetime.fromtimestamp(0, UTC)
        return ((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1_000
    return round(time * 1_000_000) * 1_000


__all__ = ["ATOMIC_PROTOCOLS", "FsspecStorage", "nanoseconds"]
