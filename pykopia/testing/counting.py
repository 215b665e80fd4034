"""A storage that remembers what it was asked for."""

import threading
from collections.abc import Callable
from typing import TypeVar

from pykopia.storage.base import BlobStorage
from pykopia.testing.intercepting import Call, InterceptingStorage, Method

_T = TypeVar("_T")


class CountingStorage(InterceptingStorage):
    """Record every call, also those that fail, in the order in which they began.

    >>> from pykopia.storage.backends.memory.storage import MemoryStorage
    >>> storage = CountingStorage(MemoryStorage())
    >>> _ = storage.put("p1", b"hello")
    >>> storage.get("p1", 1, 3)
    b'ell'
    >>> storage.count("get"), storage.ranges("p1"), storage.bytes_put()
    (1, [(1, 3)], 5)
    """

    def __init__(self, inner: BlobStorage) -> None:
        super().__init__(inner)
        self._lock = threading.Lock()
        self._calls: list[Call] = []

    def intercept(self, call: Call, proceed: Callable[[], _T]) -> _T:
        """Record a call and pass it on."""
        with self._lock:
            self._calls.append(call)
        return proceed()

    def calls(self, method: Method | None = None, prefix: str = "") -> tuple[Call, ...]:
        """Return the calls of one method, or of all, for blobs whose ID starts with ``prefix``."""
        with self._lock:
            found = tuple(self._calls)
        return tuple(call for call in found if method in (None, call.method) and call.blob_id.startswith(prefix))

    def count(self, method: Method | None = None, prefix: str = "") -> int:
        """Return how many calls there were, see ``calls``."""
        return len(self.calls(method, prefix))

    def ranges(self, blob_id: str) -> "list[tuple[int, int]]":
        """Return offset and length of each get of one blob, in bytes."""
        return [(call.offset, call.length) for call in self.calls("get") if call.blob_id == blob_id]

    def bytes_put(self, prefix: str = "") -> int:
        """Return how many bytes were given to puts."""
        return sum(call.length for call in self.calls("put", prefix))

    def clear(self) -> None:
        """Forget all calls."""
        with self._lock:
            self._calls.clear()


__all__ = ["CountingStorage"]
