"""Chunks of large objects on their way into a repository: hashed several at once, sealed in parallel.

A tray is a reusable buffer: the first access to fresh memory costs more than the cipher. Several chunks follow each
other in one tray, so that none is copied and several are hashed at once in SIMD lanes.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import field

from pykopia.dataclass import dataclass
from pykopia.ids import ObjectID
from pykopia.repository.buffers import LargeBuffer, new_buffer
from pykopia.repository.write_buffers import LEAST_TRAYS

LONGEST_CHUNKS = 3
"""Chunks in a tray when all are as long as can be; there are more of them most of the time."""


@dataclass(slots=True, eq=False)
class Tray:
    """A reusable buffer with chunks of one object, one after the other."""

    buffer: LargeBuffer
    chunks: list[tuple[int, int, "Future[ObjectID]"]] = field(default_factory=list)
    """For each chunk its start, its end, and its object ID once it is stored."""
    unfinished: int = 0

    def add(self, start: int, end: int) -> "Future[ObjectID]":
        """Record a chunk; return its coming object ID."""
        future: Future[ObjectID] = Future()
        self.chunks.append((start, end, future))
        return future


@dataclass(frozen=True, slots=True)
class Work:
    """Stores the chunks of a tray; called by several threads."""

    hash: Callable[[Sequence[memoryview]], Sequence[bytes]]
    """Returns the content key of each, empty where it is not known before the chunk is stored."""
    is_stored: Callable[[bytes], bool]
    """Returns True if a content with this key exists, so that storing it is cheap."""
    store: Callable[[memoryview, bytes], ObjectID]


class Trays:
    """A pool of reusable buffers, which also stores the chunks in them; safe for threads."""

    def __init__(self, parallel: int, *, most: int) -> None:
        """Hash and seal in ``parallel`` threads each; lend no more than ``most`` trays at one time: a bound on memory."""
        self._parallel = parallel
        self._room = threading.BoundedSemaphore(min(max(parallel, LEAST_TRAYS), most))
        self._lock = threading.Lock()
        self._free: dict[int, list[LargeBuffer]] = {}
        self._pools: tuple[ThreadPoolExecutor, ThreadPoolExecutor] | None = None

    def take(self, longest: int) -> Tray:
        """Return an empty tray for chunks of up to ``longest`` bytes; waits while too many are in use.

        Whoever waits must not have another one: then some are being stored, and will be free.
        """
        self._room.acquire()
        size = LONGEST_CHUNKS * longest
        with self._lock:
            free = self._free.get(size)
            if free:
                return Tray(free.pop())
        return Tray(new_buffer(size))

    def give(self, tray: Tray) -> None:
        """Take back a tray that was not handed on."""
        with self._lock:
            self._free.setdefault(len(tray.buffer), []).append(tray.buffer)
        self._room.release()

    def hand_on(self, tray: Tray, work: Work) -> None:
        """Let the chunks in a tray be stored; it is taken back afterwards."""
        with self._lock:
            if self._pools is None:
                self._pools = (
                    ThreadPoolExecutor(self._parallel, thread_name_prefix="pykopia-hash"),
                    ThreadPoolExecutor(self._parallel, thread_name_prefix="pykopia-seal"),
                )
        tray.unfinished = len(tray.chunks)
        hashing, sealing = self._pools
        hashing.submit(self._hash, tray, work, sealing)

    def _hash(self, tray: Tray, work: Work, sealing: ThreadPoolExecutor) -> None:
        views = [memoryview(tray.buffer)[start:end] for start, end, _ in tray.chunks]
        futures = [future for _, _, future in tray.chunks]
        try:
            keys = work.hash(views)
        except BaseException as error:  # noqa: BLE001 -- told to those who wait for the chunks
            for future in futures:
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
            self.give(tray)
            return
        for view, future, key in zip(views, futures, keys, strict=True):
            if key and work.is_stored(key):
                self._store(tray, view, future, key, work)
            else:
                sealing.submit(self._store, tray, view, future, key, work)

    def _store(self, tray: Tray, view: memoryview, future: "Future[ObjectID]", key: bytes, work: Work) -> None:
        try:
            if future.set_running_or_notify_cancel():
                with view:
                    future.set_result(work.store(view, key))
        except BaseException as error:  # noqa: BLE001 -- told to those who wait for the chunk
            future.set_exception(error)
        with self._lock:
            tray.unfinished -= 1
            if tray.unfinished:
                return
        self.give(tray)

    def close(self) -> None:
        """Stop the threads."""
        for pool in self._pools or ():
            pool.shutdown(wait=True, cancel_futures=True)
        self._free.clear()


__all__ = ["Tray", "Trays", "Work"]
