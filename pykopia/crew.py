"""Bounded pools of threads that stop at the first error.

``Crew`` carries out tasks that one thread submits, ``in_parallel`` calls a function for each of some things, ``Parts``
lends helpers to callers that work on parts of something themselves.

``repository.packs`` and ``repository.trays`` have threads of their own: they live as long as a writer, go on after an error
until the writer asks for it, and hand reused buffers from one stage to the next.
So have ``access.chunks``, ``snapshot.listing_ahead``, ``snapshot.remote_upload`` and ``repository.stored_packs``, where each task
is waited for by itself, an error belongs to whoever asked for that piece, and the others go on.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Item = TypeVar("Item")
Part = TypeVar("Part")
Result = TypeVar("Result")

MEANWHILE_SECONDS = 1.0
"""Longest time between two calls of ``meanwhile``, see ``Crew.drain``."""


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
        self._pool = _pool(threads, name)
        self._most = most
        self._running: set[Future[Result]] = set()
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        """The first error of a task or of the block."""

    @property
    def under_way(self) -> int:
        """Number of submitted tasks that are queued or running, as far as is known without asking them."""
        return len(self._running)

    @property
    def stopped(self) -> bool:
        """Whether a task or the block has failed: a long task looks at this and ends early."""
        return self._error is not None

    def submit(self, work: Callable[..., Result], *arguments: object) -> None:
        """Queue a task; with a bound, wait for room and drop the results of earlier tasks.

        Raises:
            Exception: the first error of an earlier task.
        """
        if self._most is not None:
            self.drain(self._most - 1)
        self._running.add(self._pool.submit(self._carry_out, work, arguments))

    def results(self, most: int = 0, *, meanwhile: Callable[[], object] | None = None) -> Iterator[Result]:
        """Yield the results of tasks as they end; meanwhile more may be submitted.

        Args:
            most: return when at most so many tasks are under way.
            meanwhile: called now and then while this waits.

        Raises:
            Exception: the first error of a task.
        """
        timeout = None if meanwhile is None else MEANWHILE_SECONDS
        while len(self._running) > most:
            done, self._running = wait(self._running, timeout=timeout, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            if meanwhile is not None:
                meanwhile()

    def drain(self, most: int = 0, *, meanwhile: Callable[[], object] | None = None) -> None:
        """Wait until at most so many tasks are under way; see ``results``.

        Raises:
            Exception: the first error of a task.
        """
        for _ in self.results(most, meanwhile=meanwhile):
            pass

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield what ``work`` returns for each item, in the order of the items.

        With a bound, an item is taken when there is room for it; without one, all are taken at the first step.

        Raises:
            Exception: the first error of a task.
        """
        queued: deque[Future[Result]] = deque()
        for item in items:
            queued.append(self._pool.submit(self._carry_out, work, (item,)))
            while self._most is not None and len(queued) >= self._most:
                yield queued.popleft().result()
        while queued:
            yield queued.popleft().result()

    def _carry_out(self, work: Callable[..., Result], arguments: tuple[object, ...]) -> Result:
        if self._error is not None:
            raise self._error
        try:
            return work(*arguments)
        except BaseException as error:
            self._stop(error)
            raise

    def _stop(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error

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
            else:
                self._stop(error)
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item], *, threads: int, name: str) -> list[Result]:
    """Return what ``work`` returns for each item, in the order of the items; a single one needs no thread.

    Args:
        work: called by several threads.
        items: what it is called with.
        threads: calls at one time.
        name: beginning of the names of the threads.

    Raises:
        Exception: the first error of ``work``; calls that had not begun were dropped.
    """
    items = list(items)
    if len(items) <= 1:
        return [work(item) for item in items]
    with Crew[Result](threads, name=name) as crew:
        return list(crew.map(work, items))


def both(first: Callable[[], Result], second: Callable[[], Item]) -> tuple[Result, Item]:
    """Return what two calls return, each in a thread of its own, as when each asks a storage that is far away.

    Raises:
        Exception: the first error of them.
    """
    one, other = in_parallel(lambda call: call(), (first, second), threads=2, name="pykopia-both")
    return one, other  # type: ignore[return-value]


class Parts(Generic[Part]):
    """Threads that help callers with the parts of something; shared by all callers, started when they are needed."""

    def __init__(self, parallel: int) -> None:
        """Do ``parallel`` parts at one time, when a single caller asks."""
        self._helpers = max(0, parallel - 1)
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def run(self, work: Callable[[Part], object], parts: Iterable[Part]) -> None:
        """Call ``work`` for each part, by the caller and the helpers; return when all are done.

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

    def _started(self) -> "ThreadPoolExecutor":
        with self._lock:
            if self._pool is None:
                self._pool = _pool(self._helpers, "pykopia-part")
            return self._pool


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pool(threads: int, name: str) -> "ThreadPoolExecutor":
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 -- many commands need no threads

    return ThreadPoolExecutor(max(1, threads), thread_name_prefix=name)


class _Left(Iterator[Part]):
    """Parts that no thread has begun, handed out to several threads."""

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


__all__ = ["Crew", "Parts", "available_cpus", "both", "in_parallel"]
