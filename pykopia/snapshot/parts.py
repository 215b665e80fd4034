"""Doing the parts of one thing by several threads: the caller's own, and those that have nothing else to do."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Part = TypeVar("Part")


class Parts(Generic[Part]):
    """Threads that help with parts, shared by all who have some; none is started before it is needed."""

    def __init__(self, parallel: int) -> None:
        """Do ``parallel`` parts at one time, when a single caller asks."""
        self._helpers = max(0, parallel - 1)
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def run(self, work: Callable[[Part], None], parts: Iterable[Part]) -> None:
        """Call ``work`` for each part, from several threads; return when all are done.

        Raises:
            Exception: the first that ``work`` raised; then no further part was begun, and none is under way any more.
        """
        left = _Left(parts)

        def help_out() -> None:
            try:
                for part in left:
                    work(part)
            except BaseException:
                left.stop()
                raise

        helpers = [self._started().submit(help_out) for _ in range(self._helpers)]
        try:
            help_out()
        finally:
            # those that have not begun would find nothing to do
            begun = [helper for helper in helpers if not helper.cancel()]
            errors = [error for helper in begun if (error := helper.exception()) is not None]
        if errors:
            raise errors[0]

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._helpers, thread_name_prefix="pykopia-part")
            return self._pool


class _Left(Iterator[Part]):
    """Remaining work, handed out to several threads."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._parts = iter(parts)
        self._lock = threading.Lock()
        self._stopped = False

    def __next__(self) -> Part:
        with self._lock:
            if self._stopped:
                raise StopIteration
            return next(self._parts)

    def stop(self) -> None:
        """Hand out nothing more."""
        self._stopped = True


__all__ = ["Parts"]
