"""The contract between a repository and the place that holds its blobs (format 03 §1)."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Literal, Self

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidIDError, InvalidRangeError, UnsupportedOptionError
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.connection import ConnectionInfo

RetentionMode = Literal["", "GOVERNANCE", "COMPLIANCE"]
"""How strongly a blob is locked; empty: not at all (format 03 §6)."""


PutOption = Literal["do_not_recreate", "retention", "set_mtime"]
"""Options that a put supports."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PutOptions:
    """Options of a put; a storage refuses those that it can't fulfil (format 03 §1)."""

    do_not_recreate: bool = False
    """Fail with ``BlobExistsError`` when the blob is there already."""
    retention_mode: RetentionMode = ""
    """Object lock mode; empty: no lock."""
    retention_period_ns: int = 0
    """Nanoseconds from now for which the blob can't be deleted."""
    set_mtime_ns: int | None = None
    """Modification time to give the blob, in nanoseconds since 1970; none: the storage's clock."""

    @property
    def has_retention(self) -> bool:
        """Whether the blob is to be locked."""
        return bool(self.retention_mode)


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """Room on the volume beneath a storage."""

    size: int
    """Bytes in all."""
    free: int
    """Bytes that this user may still fill."""


DEFAULT_PUT_OPTIONS = PutOptions()


class BlobStorage(ABC):
    """A flat namespace of blobs: ID to bytes, each with a length and a time (format 03 §1).

    All methods may be called from several threads at once. What the repository format relies on: a put is atomic and
    durable when it returns; a reader or a listing that starts afterwards sees it; timestamps don't run backwards by
    more than a few minutes.
    """

    @abstractmethod
    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return exactly ``length`` bytes from ``offset`` on; a negative length means all that follow.

        Raises:
            BlobNotFoundError: There is no such blob, also when no bytes of it are asked for.
            InvalidRangeError: The range does not lie within the blob, or the offset is negative.
        """

    def get_into(self, blob_id: BlobID, target: bytearray | memoryview, offset: int = 0) -> None:
        """Fill ``target`` with the bytes of a blob from ``offset`` on.

        A buffer that is used again costs no page faults: on a local disk, big reads are several times faster than with
        ``get``. After an error the content of ``target`` is undefined.

        Raises:
            BlobNotFoundError: There is no such blob.
            InvalidRangeError: The blob is too short, or the offset is negative.
        """
        view = memoryview(target).cast("B")
        view[:] = self.get(blob_id, offset, len(view))

    @abstractmethod
    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob.

        Raises:
            BlobNotFoundError: There is no such blob.
        """

    @abstractmethod
    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob atomically; no reader ever sees a part of it.

        Returns:
            The metadata, where the storage knows it without another request; otherwise nothing.

        Raises:
            BlobExistsError: It is there already and ``options.do_not_recreate`` is set.
            UnsupportedOptionError: The storage can't do what ``options`` asks; nothing was written.
        """

    @abstractmethod
    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob; it is no error if there is none."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield every blob whose ID starts with ``prefix``, in any order and each once."""

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob until ``period_ns`` nanoseconds from now (format 03 §6).

        Raises:
            UnsupportedOptionError: The storage has no object lock.
        """
        raise UnsupportedOptionError(
            f"can't lock blob {blob_id} ({mode}, {period_ns} ns): {self.display_name} has no object lock; "
            "use a bucket with object lock, or switch it off for this repository"
        )

    def check(self) -> None:  # noqa: B027 -- most storages are looked at when they are made
        """Look whether the folder or bucket is there, and read its settings; ``open_storage`` does it once.

        Requests to other blobs may be under way meanwhile.

        Raises:
            StorageNotFoundError: There is no such folder or bucket.
        """

    def flush_caches(self) -> None:  # noqa: B027 -- most storages keep no caches
        """Forget what was remembered of listings, so that the next one shows what others wrote."""

    def close(self) -> None:  # noqa: B027 -- most storages hold nothing open
        """Close connections and stop helper processes; the storage can't be used afterwards."""

    def capacity(self) -> Capacity | None:
        """Return the room on the volume, or nothing where the storage is no volume."""
        return None

    @abstractmethod
    def connection_info(self) -> ConnectionInfo:
        """Return what opens this storage again, with its secrets."""

    @property
    @abstractmethod
    def display_name(self) -> str:
        """Name for messages, without secrets, such as ``Filesystem: /backups``."""

    @property
    def read_only(self) -> bool:
        """Whether every write is refused."""
        return False

    @property
    def is_local(self) -> bool:
        """Whether the blobs are on this machine, so that a cache of them on its disk gains nothing."""
        return False

    @property
    def has_cheap_requests(self) -> bool:
        """Whether many small reads cost no more than few large ones, so that none are joined."""
        return False

    @property
    def has_slow_listings(self) -> bool:
        """Whether a listing takes many requests, one for each folder, so that it should not be made for little."""
        return False

    @property
    def put_options(self) -> frozenset[PutOption]:
        """Options that a put supports; a server may still refuse it, with ``UnsupportedOptionError``."""
        return frozenset()

    @property
    def place(self) -> object:
        """Equal for storages whose blobs are the same ones; only good for comparing."""
        return self.connection_info()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.display_name!r}>"


class StorageWrapper(BlobStorage):
    """Passes every call on to another storage: base class of wrappers that add one thing."""

    def __init__(self, inner: BlobStorage) -> None:
        self.inner = inner

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return a range of a blob, see ``BlobStorage.get``."""
        return self.inner.get(blob_id, offset, length)

    def get_into(self, blob_id: BlobID, target: bytearray | memoryview, offset: int = 0) -> None:
        """Fill a buffer from a blob, see ``BlobStorage.get_into``."""
        self.inner.get_into(blob_id, target, offset)

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob, see ``BlobStorage.metadata``."""
        return self.inner.metadata(blob_id)

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob, see ``BlobStorage.put``."""
        return self.inner.put(blob_id, data, options)

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob, see ``BlobStorage.delete``."""
        self.inner.delete(blob_id)

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield blobs by prefix, see ``BlobStorage.list``."""
        return self.inner.list(prefix)

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob for longer, see ``BlobStorage.extend_retention``."""
        self.inner.extend_retention(blob_id, mode, period_ns)

    def check(self) -> None:
        """Look whether the storage is there, see ``BlobStorage.check``."""
        self.inner.check()

    def flush_caches(self) -> None:
        """Forget remembered listings, see ``BlobStorage.flush_caches``."""
        self.inner.flush_caches()

    def close(self) -> None:
        """Close connections, see ``BlobStorage.close``."""
        self.inner.close()

    def capacity(self) -> Capacity | None:
        """Return the room on the volume, see ``BlobStorage.capacity``."""
        return self.inner.capacity()

    def connection_info(self) -> ConnectionInfo:
        """Return what opens the storage again, see ``BlobStorage.connection_info``."""
        return self.inner.connection_info()

    @property
    def display_name(self) -> str:
        """Name for messages, without secrets."""
        return self.inner.display_name

    @property
    def read_only(self) -> bool:
        """Whether every write is refused."""
        return self.inner.read_only

    @property
    def is_local(self) -> bool:
        """Whether the blobs are on this machine, see ``BlobStorage.is_local``."""
        return self.inner.is_local

    @property
    def has_cheap_requests(self) -> bool:
        """Whether many small reads are cheap, see ``BlobStorage.has_cheap_requests``."""
        return self.inner.has_cheap_requests

    @property
    def has_slow_listings(self) -> bool:
        """Whether a listing takes many requests, see ``BlobStorage.has_slow_listings``."""
        return self.inner.has_slow_listings

    @property
    def put_options(self) -> frozenset[PutOption]:
        """Options that a put supports, see ``BlobStorage.put_options``."""
        return self.inner.put_options

    @property
    def place(self) -> object:
        """Equal for storages whose blobs are the same ones, see ``BlobStorage.place``."""
        return self.inner.place


def is_blob_id(text: str) -> bool:
    """Return True if ``text`` can name a blob: printable ASCII without ``/``, not empty (format 03 §1)."""
    return text.isascii() and text.isprintable() and "/" not in text and text != ""


def check_blob_id(blob_id: str) -> None:
    """Refuse what can't name a blob.

    Raises:
        InvalidIDError: It is empty, or holds ``/`` or a character that is not printable ASCII.
    """
    if not is_blob_id(blob_id):
        raise InvalidIDError("blob", blob_id, "it must be printable ASCII without a slash")


def check_range(blob_id: BlobID, offset: int, length: int, size: int) -> int:
    """Return how many bytes a range has in a blob of ``size`` bytes.

    Raises:
        InvalidRangeError: It does not lie within the blob.
    """
    if length < 0:
        length = size - offset
    if offset < 0 or length < 0 or offset + length > size:
        raise InvalidRangeError(blob_id, offset, max(length, 0))
    return length


__all__ = [
    "DEFAULT_PUT_OPTIONS",
    "BlobMetadata",
    "BlobStorage",
    "Capacity",
    "PutOption",
    "PutOptions",
    "RetentionMode",
    "StorageWrapper",
    "check_blob_id",
    "check_range",
    "is_blob_id",
]
