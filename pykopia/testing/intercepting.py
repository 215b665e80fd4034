"""One place through which all calls of a storage go, so that a test can watch, delay or break them."""

from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

from pykopia.dataclass import dataclass
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.base import (
    DEFAULT_PUT_OPTIONS,
    Capacity,
    PutOptions,
    RetentionMode,
    StorageWrapper,
)

_T = TypeVar("_T")

Method = Literal["get", "metadata", "put", "delete", "list", "extend_retention", "capacity", "flush_caches"]
"""A method of ``BlobStorage``; ``get_into`` counts as ``get``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call of a storage."""

    method: Method
    blob_id: str = ""
    """The blob, or the prefix of a listing."""
    offset: int = 0
    """Bytes from the start of the blob, for a get."""
    length: int = 0
    """Bytes: of a get as asked for (negative: all), of a put those given."""
    options: PutOptions = DEFAULT_PUT_OPTIONS


class InterceptingStorage(StorageWrapper):
    """Send every call through ``intercept``; closing and asking for the name go straight on."""

    def intercept(self, call: Call, proceed: Callable[[], _T]) -> _T:
        """Do what is to be done around a call; ``proceed`` carries it out and returns its result.

        For a listing, ``proceed`` only begins it; this is called when its first blob is asked for.
        """
        raise NotImplementedError

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return a range of a blob, see ``BlobStorage.get``."""
        call = Call(method="get", blob_id=blob_id, offset=offset, length=length)
        return self.intercept(call, lambda: self.inner.get(blob_id, offset, length))

    def get_into(self, blob_id: BlobID, target: bytearray | memoryview, offset: int = 0) -> None:
        """Fill a buffer from a blob, see ``BlobStorage.get_into``."""
        call = Call(method="get", blob_id=blob_id, offset=offset, length=memoryview(target).nbytes)
        self.intercept(call, lambda: self.inner.get_into(blob_id, target, offset))

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob, see ``BlobStorage.metadata``."""
        return self.intercept(Call(method="metadata", blob_id=blob_id), lambda: self.inner.metadata(blob_id))

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob, see ``BlobStorage.put``."""
        call = Call(method="put", blob_id=blob_id, length=memoryview(data).nbytes, options=options)
        return self.intercept(call, lambda: self.inner.put(blob_id, data, options))

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob; it is no error if there is none."""
        self.intercept(Call(method="delete", blob_id=blob_id), lambda: self.inner.delete(blob_id))

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield blobs by prefix, see ``BlobStorage.list``."""
        yield from self.intercept(Call(method="list", blob_id=prefix), lambda: self.inner.list(prefix))

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob for longer, see ``BlobStorage.extend_retention``."""
        options = PutOptions(retention_mode=mode, retention_period_ns=period_ns)
        call = Call(method="extend_retention", blob_id=blob_id, options=options)
        self.intercept(call, lambda: self.inner.extend_retention(blob_id, mode, period_ns))

    def capacity(self) -> Capacity | None:
        """Return the room on the volume, see ``BlobStorage.capacity``."""
        return self.intercept(Call(method="capacity"), self.inner.capacity)

    def flush_caches(self) -> None:
        """Forget remembered listings, see ``BlobStorage.flush_caches``."""
        self.intercept(Call(method="flush_caches"), self.inner.flush_caches)


__all__ = ["Call", "InterceptingStorage", "Method"]
