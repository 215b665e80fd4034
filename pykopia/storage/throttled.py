"""A storage that is used no faster than its connection allows (format 03 §5)."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

from pykopia import clock
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOptions, RetentionMode, StorageWrapper
from pykopia.storage.options import ThrottlingLimits

WINDOW_SECONDS = 60
"""Seconds of unused allowance that are kept for later."""
FIRST_FILL = 0.1
"""Share of the window that may be used at once at the beginning."""
WHOLE_BLOB = 20_000_000
"""Bytes that the get of a whole blob counts as until its length is known."""


class TokenBucket:
    """An allowance that grows with time; what is taken beyond it is waited for. Safe for threads.

    Args:
        per_second: How fast it grows; zero: without limit.
        monotonic: Seconds of a clock that never goes back.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        per_second: float,
        *,
        monotonic: Callable[[], float] = clock.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = per_second
        self._most = per_second * WINDOW_SECONDS
        self._left = self._most * FIRST_FILL
        self._monotonic, self._sleep = monotonic, sleep
        self._at = monotonic()
        self._lock = threading.Lock()

    def take(self, amount: float) -> None:
        """Take so much, and wait until it has grown; a negative amount gives back."""
        if not self._rate:
            return
        with self._lock:
            now = self._monotonic()
            self._left = min(self._most, self._left + (now - self._at) * self._rate) - amount
            self._at = now
            missing = -self._left
        if missing > 0 and amount > 0:
            self._sleep(missing / self._rate)


class ThrottledStorage(StorageWrapper):
    """Passes calls on, each as soon as the limits allow it.

    Args:
        inner: The storage.
        limits: Of its connection.
        monotonic: Seconds of a clock that never goes back.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        inner: BlobStorage,
        limits: ThrottlingLimits,
        *,
        monotonic: Callable[[], float] = clock.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(inner)
        self.limits = limits

        def bucket(per_second: float) -> TokenBucket:
            return TokenBucket(per_second, monotonic=monotonic, sleep=sleep)

        self._reads, self._writes = bucket(limits.reads_per_second), bucket(limits.writes_per_second)
        self._lists = bucket(limits.lists_per_second)
        self._uploads, self._downloads = (
            bucket(limits.upload_bytes_per_second),
            bucket(limits.download_bytes_per_second),
        )
        self._reading, self._writing = _places(limits.concurrent_reads), _places(limits.concurrent_writes)

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return a range of a blob, see ``BlobStorage.get``."""
        expected = WHOLE_BLOB if length < 0 else length
        self._reads.take(1)
        with self._reading:
            self._downloads.take(expected)
            got = 0
            try:
                data = self.inner.get(blob_id, offset, length)
                got = len(data)
            finally:
                self._downloads.take(min(0, got - expected))
            self._downloads.take(max(0, got - expected))
            return data

    def get_into(self, blob_id: BlobID, target: bytearray | memoryview, offset: int = 0) -> None:
        """Fill a buffer from a blob, see ``BlobStorage.get_into``."""
        self._reads.take(1)
        with self._reading:
            self._downloads.take(len(target))
            self.inner.get_into(blob_id, target, offset)

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob, see ``BlobStorage.metadata``."""
        self._reads.take(1)
        with self._reading:
            return self.inner.metadata(blob_id)

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob, see ``BlobStorage.put``."""
        self._writes.take(1)
        with self._writing:
            self._uploads.take(len(data))
            return self.inner.put(blob_id, data, options)

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob, see ``BlobStorage.delete``."""
        self._writes.take(1)
        with self._writing:
            self.inner.delete(blob_id)

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob for longer, see ``BlobStorage.extend_retention``."""
        self._writes.take(1)
        with self._writing:
            self.inner.extend_retention(blob_id, mode, period_ns)

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield blobs by prefix, see ``BlobStorage.list``."""
        self._lists.take(1)
        return self.inner.list(prefix)


def _places(count: int) -> AbstractContextManager[object]:
    """Return what lets so many in at one time; any number for none."""
    return threading.BoundedSemaphore(count) if count > 0 else nullcontext()


__all__ = ["ThrottledStorage", "TokenBucket"]
