"""Blobs in the memory of this process: for tests and experiments."""

import threading
from collections.abc import Callable, Iterator
from typing import Self

from pykopia.clock import now
from pykopia.dataclass import dataclass
from pykopia.errors import BlobExistsError, BlobNotFoundError, StorageAccessDeniedError, UnsupportedOptionError
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.memory.options import MemoryOptions
from pykopia.storage.base import (
    DEFAULT_PUT_OPTIONS,
    BlobStorage,
    PutOption,
    PutOptions,
    RetentionMode,
    check_blob_id,
    check_range,
)
from pykopia.storage.connection import ConnectionInfo


@dataclass(frozen=True, slots=True)
class _Blob:
    content: bytes
    timestamp_ns: int
    locked_until_ns: int


class MemoryStorage(BlobStorage):
    """A dict as a storage.

    Args:
        name: For messages; ``named`` gives the storage that all who use the name share.
        object_lock: Keep locks, and refuse to delete or replace a blob before its lock ends.
        clock: Gives timestamps, in nanoseconds since 1970; by default ``pykopia.clock.now``.
    """

    def __init__(self, name: str = "", *, object_lock: bool = False, clock: Callable[[], int] = now) -> None:
        self.name = name
        self.object_lock = object_lock
        self._clock = clock
        self._blobs: dict[str, _Blob] = {}
        self._lock = threading.Lock()

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the storage of this name, the same one in all of this process."""
        with _named_lock:
            found = _named.setdefault((cls, name), cls(name))
        assert isinstance(found, cls)
        return found

    @property
    def put_options(self) -> frozenset[PutOption]:
        """Options that a put supports, see ``BlobStorage.put_options``."""
        always: frozenset[PutOption] = frozenset({"do_not_recreate", "set_mtime"})
        return always | {"retention"} if self.object_lock else always

    @property
    def is_local(self) -> bool:
        """Always: see ``BlobStorage.is_local``."""
        return True

    @classmethod
    def from_options(cls, options: MemoryOptions, *, create: bool = False) -> Self:  # noqa: ARG003 -- always there
        """Return the storage that a connection names."""
        return cls.named(options.name)

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return a range of a blob, see ``BlobStorage.get``."""
        content = self._find(blob_id).content
        length = check_range(blob_id, offset, length, len(content))
        return content if length == len(content) else content[offset : offset + length]

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob, see ``BlobStorage.metadata``."""
        return _metadata(blob_id, self._find(blob_id))

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata:
        """Create or replace a blob, see ``BlobStorage.put``."""
        check_blob_id(blob_id)
        put_at = self._clock()
        locked_until = self._lock_end(blob_id, put_at, options.retention_mode, options.retention_period_ns)
        timestamp = put_at if options.set_mtime_ns is None else options.set_mtime_ns
        blob = _Blob(bytes(data), timestamp, locked_until)
        with self._lock:
            if options.do_not_recreate and blob_id in self._blobs:
                raise BlobExistsError(blob_id, self.display_name)
            self._check_unlocked(blob_id, put_at)
            self._blobs[blob_id] = blob
        return _metadata(blob_id, blob)

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob; it is no error if there is none.

        Raises:
            StorageAccessDeniedError: It is locked.
        """
        check_blob_id(blob_id)
        with self._lock:
            self._check_unlocked(blob_id, self._clock())
            self._blobs.pop(blob_id, None)

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield the blobs with a prefix as they were at the first step, in the order of their IDs."""
        with self._lock:
            found = sorted(item for item in self._blobs.items() if item[0].startswith(prefix))
        for blob_id, blob in found:
            yield _metadata(BlobID(blob_id), blob)

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob for longer, see ``BlobStorage.extend_retention``; a lock is never shortened."""
        end = self._lock_end(blob_id, self._clock(), mode, period_ns)
        with self._lock:
            blob = self._blobs.get(blob_id)
            if blob is None:
                raise BlobNotFoundError(blob_id, self.display_name)
            self._blobs[blob_id] = _Blob(blob.content, blob.timestamp_ns, max(end, blob.locked_until_ns))

    def locked_until_ns(self, blob_id: BlobID) -> int:
        """Return when the lock of a blob ends, in nanoseconds since 1970; 0: it has none."""
        return self._find(blob_id).locked_until_ns

    def connection_info(self) -> ConnectionInfo:
        """Return what opens the storage of this name."""
        return ConnectionInfo.from_options(MemoryOptions(name=self.name))

    @property
    def display_name(self) -> str:
        """Name for messages."""
        return f"Memory: {self.name}"

    def _find(self, blob_id: BlobID) -> _Blob:
        check_blob_id(blob_id)
        blob = self._blobs.get(blob_id)
        if blob is None:
            raise BlobNotFoundError(blob_id, self.display_name)
        return blob

    def _lock_end(self, blob_id: BlobID, start_ns: int, mode: RetentionMode, period_ns: int) -> int:
        if not mode:
            return 0
        if not self.object_lock:
            raise UnsupportedOptionError(
                f"can't lock blob {blob_id}: {self.display_name} has no object lock; switch it off for this repository"
            )
        return start_ns + period_ns

    def _check_unlocked(self, blob_id: BlobID, time_ns: int) -> None:
        blob = self._blobs.get(blob_id)
        if blob is not None and blob.locked_until_ns > time_ns:
            raise StorageAccessDeniedError(
                f"can't delete or replace blob {blob_id} in {self.display_name}: it is locked "
                f"for {(blob.locked_until_ns - time_ns) // 1_000_000_000} more seconds"
            )


def _metadata(blob_id: BlobID, blob: _Blob) -> BlobMetadata:
    return BlobMetadata(blob_id=blob_id, length=len(blob.content), timestamp_ns=blob.timestamp_ns)


_named: dict[tuple[type[MemoryStorage], str], MemoryStorage] = {}
_named_lock = threading.Lock()

__all__ = ["MemoryStorage"]
