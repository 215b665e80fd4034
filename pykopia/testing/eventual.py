"""A storage whose listings lag behind."""

import threading
from collections.abc import Callable, Iterator

from pykopia.errors import BlobNotFoundError
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOptions, StorageWrapper
from pykopia.testing.clock import FakeClock


class EventuallyConsistentStorage(StorageWrapper):
    """Show what was put or deleted in listings only after a while; gets and metadata are never stale.

    So behaved some object stores of old, and so behave caches on the way. Every change must go through this wrapper.

    >>> from pykopia.storage.backends.memory.storage import MemoryStorage
    >>> clock = FakeClock()
    >>> storage = EventuallyConsistentStorage(MemoryStorage(clock=clock), clock, delay=30)
    >>> _ = storage.put("p1", b"hello")
    >>> storage.get("p1"), [*storage.list()]
    (b'hello', [])
    >>> clock.advance(30)
    >>> [blob.blob_id for blob in storage.list()]
    ['p1']

    Args:
        inner: The storage.
        clock: Tells when listings catch up; its time is the test's to turn.
        delay: Seconds until a change shows.
        chance: Gives the share, in [0, 1], of ``delay`` that a change really takes: later ones may show first.
    """

    def __init__(
        self, inner: BlobStorage, clock: FakeClock, *, delay: float = 60.0, chance: Callable[[], float] = lambda: 1.0
    ) -> None:
        super().__init__(inner)
        self.clock = clock
        self._delay, self._chance = delay, chance
        self._lock = threading.Lock()
        self._history: dict[BlobID, list[tuple[int, BlobMetadata | None]]] = {}

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob; it shows in listings later."""
        with self._lock:
            self._remember_now(blob_id)
            result = self.inner.put(blob_id, data, options)
            self._add(blob_id, self.inner.metadata(blob_id))
        return result

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob; it vanishes from listings later."""
        with self._lock:
            self._remember_now(blob_id)
            self.inner.delete(blob_id)
            self._add(blob_id, None)

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield the blobs with a prefix as they were a while ago."""
        with self._lock:
            shown = {blob.blob_id: blob for blob in self.inner.list(prefix) if blob.blob_id not in self._history}
            for blob_id, changes in self._history.items():
                state = [state for visible_ns, state in changes if visible_ns <= self.clock.now_ns]
                if state and state[-1] is not None and blob_id.startswith(prefix):
                    shown[blob_id] = state[-1]
        yield from shown.values()

    def settle(self) -> None:
        """Let listings catch up with all changes at once."""
        with self._lock:
            self._history.clear()

    def _remember_now(self, blob_id: BlobID) -> None:
        if blob_id not in self._history:
            try:
                self._history[blob_id] = [(0, self.inner.metadata(blob_id))]
            except BlobNotFoundError:
                self._history[blob_id] = []

    def _add(self, blob_id: BlobID, state: BlobMetadata | None) -> None:
        visible_ns = self.clock.now_ns + round(self._delay * self._chance() * 1_000_000_000)
        self._history[blob_id].append((visible_ns, state))


__all__ = ["EventuallyConsistentStorage"]
