"""A bounded pool of threads that stops at the first error."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Generic, Self, TypeVar

Result = TypeVar("Result")


class Crew(Generic[Result]):
    """Threads that carry out tasks, for a ``with`` block of one thread that submits them.

    The end of the block waits for all tasks. After an error, of a task or of the block, tasks that have not begun are
    dropped, and the block ends when those that have begun are done.
    """

    def __init__(self, threads: int, *, most: int | None = None, name: str = "pykopia") -> None:
        """Prepare; threads are started as tasks come.

        Args:
            threads: tasks that are carried out at one time; at least one.
            most: tasks that are under way at one time, queued ones included; no bound when not given.
            name: beginning of the names of the threads.
        """
        self._pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix=name)
        self._most = most
        self._running: set[Future[Result]] = set()
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        """The first error of a task."""

    @property
    def under_way(self) -> int:
        """Number of tasks that are queued or running, as far as is known without asking them."""
        return len(self._running)

    @property
    def stopped(self) -> bool:
        """Whether a task has failed: a long task looks at this and ends early."""
        return self._error is not None

    def submit(self, work: Callable[..., Result], *arguments: object) -> None:
        """Queue a task; with a bound, wait for room and drop the results of earlier tasks.

        Raises:
            Exception: the first error of an earlier task.
        """
        if self._most is not None:
            self.drain(self._most - 1)
        self._running.add(self._pool.submit(self._carry_out, work, arguments))

    def results(self, most: int = 0) -> Iterator[Result]:
        """Yield the results of tasks as they end, until at most so many are under way; meanwhile more may be submitted.

        Raises:
            Exception: the first error of a task.
        """
        while len(self._running) > most:
            done, self._running = wait(self._running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()

    def drain(self, most: int = 0) -> None:
        """Wait until at most so many tasks are under way.

        Raises:
            Exception: the first error of a task.
        """
        for _ in self.results(most):
            pass

    def _carry_out(self, work: Callable[..., Result], arguments: tuple[object, ...]) -> Result:
        if self._error is not None:
            raise self._error
        try:
            return work(*arguments)
        except BaseException as error:
            with self._lock:
                self._error = self._error or error
            raise

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the tasks; after an error drop those that have not begun."""
        try:
            if error is None:
                self.drain()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)


__all__ = ["Crew"]
