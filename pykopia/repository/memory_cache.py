"""A bounded number of bytes, the least recently used dropped first."""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class MemoryCache(Generic[Key, Value]):
    """Values by key up to a limit of bytes; safe for threads."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._total = 0
        self._items: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """Return what was put under ``key``, if it is still here."""
        with self._lock:
            item = self._items.get(key)
            if item is None:
                return None
            self._items.move_to_end(key)
            return item[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """Keep a value of ``size`` bytes; one larger than the limit is not kept."""
        if size > self._limit:
            return
        with self._lock:
            old = self._items.pop(key, None)
            self._total += size - (old[1] if old is not None else 0)
            self._items[key] = (value, size)
            while self._total > self._limit:
                _, (_, dropped) = self._items.popitem(last=False)
                self._total -= dropped

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._items.clear()
            self._total = 0


__all__ = ["MemoryCache"]
