"""Counting what a storage is asked for and how many bytes it moves."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pykopia.clock import monotonic
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOptions, RetentionMode, StorageWrapper

_T = TypeVar("_T")


@dataclass(slots=True)
class Meter:
    """What one method did so far."""

    calls: int = 0
    errors: int = 0
    """Calls that raised."""
    items: int = 0
    """Blobs that listings gave."""
    byte_count: int = 0
    """Bytes read by gets, or written by puts, that went well."""
    seconds: float = 0.0
    """Time in calls, added up over threads; a listing counts until its last item is taken."""


class MeteredStorage(StorageWrapper):
    """Count calls, errors, bytes and time of each method.

    Args:
        inner: The storage.
        timer: Gives seconds of a clock that never goes back.
    """

    METHODS = ("get", "metadata", "put", "delete", "list", "extend_retention")
    """Names by which ``meters`` can be asked; ``get_into`` counts as ``get``."""

    def __init__(self, inner: BlobStorage, *, timer: Callable[[], float] = monotonic) -> None:
        super().__init__(inner)
        self._timer = timer
        self._lock = threading.Lock()
        self._meters = {name: Meter() for name in self.METHODS}

    def meter(self, method: str) -> Meter:
        """Return a copy of the counts of one method as they stand now."""
        with self._lock:
            found = self._meters[method]
            return Meter(found.calls, found.errors, found.items, found.byte_count, found.seconds)

    def meters(self) -> dict[str, Meter]:
        """Return a copy of the counts of all methods as they stand now."""
        return {name: self.meter(name) for name in self.METHODS}

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return a range of a blob, see ``BlobStorage.get``."""
        return self._measured("get", lambda: self.inner.get(blob_id, offset, length), len)

    def get_into(self, blob_id: BlobID, target: bytearray | memoryview, offset: int = 0) -> None:
        """Fill a buffer from a blob, see ``BlobStorage.get_into``."""
        size = memoryview(target).nbytes
        self._measured("get", lambda: self.inner.get_into(blob_id, target, offset), lambda _: size)

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob, see ``BlobStorage.metadata``."""
        return self._measured("metadata", lambda: self.inner.metadata(blob_id))

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob, see ``BlobStorage.put``."""
        size = memoryview(data).nbytes
        return self._measured("put", lambda: self.inner.put(blob_id, data, options), lambda _: size)

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob; it is no error if there is none."""
        self._measured("delete", lambda: self.inner.delete(blob_id))

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield blobs by prefix, see ``BlobStorage.list``."""
        start, items, failed = self._timer(), 0, True
        try:
            for blob in self.inner.list(prefix):
                items += 1
                yield blob
            failed = False
        except GeneratorExit:  # the caller has seen enough
            failed = False
            raise
        finally:
            self._add("list", start, failed=failed, items=items)

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob for longer, see ``BlobStorage.extend_retention``."""
        self._measured("extend_retention", lambda: self.inner.extend_retention(blob_id, mode, period_ns))

    def _measured(self, method: str, call: Callable[[], _T], size: Callable[[_T], int] = lambda _: 0) -> _T:
        start = self._timer()
        try:
            result = call()
        except BaseException:
            self._add(method, start, failed=True)
            raise
        self._add(method, start, byte_count=size(result))
        return result

    def _add(self, method: str, start: float, *, failed: bool = False, items: int = 0, byte_count: int = 0) -> None:
        seconds = self._timer() - start
        with self._lock:
            meter = self._meters[method]
            meter.calls += 1
            meter.errors += failed
            meter.items += items
            meter.byte_count += byte_count
            meter.seconds += seconds


__all__ = ["Meter", "MeteredStorage"]
