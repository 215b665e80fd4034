"""A storage that takes its time."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from pykopia.storage.base import BlobStorage
from pykopia.testing.intercepting import Call, InterceptingStorage, Method

_T = TypeVar("_T")


class LatencyStorage(InterceptingStorage):
    """Wait before every call, as a storage behind a network makes one wait.

    Args:
        inner: The storage.
        delay: Seconds before each call; by method: only before those that it names.
        bytes_per_second: Speed at which the bytes of puts, and of gets with a length, pass; 0: at once.
        sleep: Waits for so many seconds; ``FakeClock.sleep`` lets time pass without waiting.
    """

    def __init__(
        self,
        inner: BlobStorage,
        delay: float | Mapping[Method, float] = 0.0,
        *,
        bytes_per_second: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(inner)
        self.delay = delay
        self.bytes_per_second = bytes_per_second
        self._sleep = sleep

    def intercept(self, call: Call, proceed: Callable[[], _T]) -> _T:
        """Wait, then pass the call on."""
        seconds = self.delay.get(call.method, 0.0) if isinstance(self.delay, Mapping) else self.delay
        if self.bytes_per_second and call.length > 0:
            seconds += call.length / self.bytes_per_second
        if seconds:
            self._sleep(seconds)
        return proceed()


__all__ = ["LatencyStorage"]
