"""The work queue: keys that are due now or later, each at most once, never in two workers at a time."""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 120.0


class WorkQueue(Generic[K]):
    """Keys to look at. A key that is added while a worker has it comes again when the worker is done."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ready: dict[K, None] = {}
        self._active: set[K] = set()
        self._again: set[K] = set()
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        self._order = itertools.count()
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def active(self) -> int:
        """Keys that workers have."""
        return len(self._active)

    def add(self, key: K) -> None:
        """Make a key due now."""
        if key in self._active:
            self._again.add(key)
        else:
            self._ready[key] = None
            self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Make a key due after so many seconds, unless it is due earlier."""
        due = self._clock() + max(seconds, 0)
        known = self._due.get(key)
        if known is not None and known <= due:
            return
        self._due[key] = due
        heapq.heappush(self._later, (due, next(self._order), key))
        self._wake.set()

    def failed(self, key: K) -> float:
        """Make a key due after a pause that grows with each failure, and return the pause."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(FIRST_DELAY * (1 << min(count - 1, 16)), LONGEST_DELAY)
        self.add_after(key, pause)
        return pause

    def succeeded(self, key: K) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    def forget(self, key: K) -> None:
        """Forget a key, unless a worker has it."""
        self._ready.pop(key, None)
        self._due.pop(key, None)
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Wait for a key that is due, and return it."""
        while True:
            pause = self._promote()
            if self._ready:
                key = next(iter(self._ready))
                del self._ready[key]
                self._active.add(key)
                return key
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                continue

    def done(self, key: K) -> None:
        """Say that a worker is done with a key."""
        self._active.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _promote(self) -> float | None:
        """Move keys that are due to the ready ones; return how long until the next one is due."""
        while self._later:
            due, _, key = self._later[0]
            if self._due.get(key) != due:
                heapq.heappop(self._later)
                continue
            pause = due - self._clock()
            if pause > 0:
                return pause
            heapq.heappop(self._later)
            del self._due[key]
            self.add(key)
        return None
