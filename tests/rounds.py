"""A storage far away, whose requests are answered in rounds: how many rounds a command takes is its longest chain of requests.

Requests wait until nothing else in the process can go on: until all threads sleep. Then all of them are answered, and that is
one round. What a request depends on was answered in an earlier round; what is independent is asked for in the same round.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pykopia.storage.base import BlobStorage
from pykopia.testing.intercepting import Call, InterceptingStorage

_T = TypeVar("_T")

_PAUSE_SECONDS = 0.002
_QUIET_CHECKS = 3
"""Looks in a row at which all threads must sleep, without processor time in between."""


class Rounds:
    """Answers requests in rounds, by a thread of its own."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        """The requests of each round."""
        self._waiting: list[tuple[str, threading.Event]] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def wait(self, request: str) -> None:
        """Wait for the end of the round."""
        done = threading.Event()
        with self._lock:
            self._waiting.append((request, done))
        done.wait()

    @contextlib.contextmanager
    def running(self) -> Iterator["Rounds"]:
        """Answer requests for the time of a block."""
        thread = threading.Thread(target=self._run, name="rounds")
        thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            thread.join()

    def _run(self) -> None:
        quiet = 0
        while not self._stopped.is_set():
            quiet = quiet + 1 if self._all_sleep() else 0
            if quiet >= _QUIET_CHECKS:
                self._answer()
                quiet = 0
        self._answer()

    def _answer(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if waiting:
            self.asked.append([request for request, _ in waiting])
        for _, done in waiting:
            done.set()

    def _all_sleep(self) -> bool:
        """Return whether no other thread ran during a pause, or could run after it."""
        before = time.process_time_ns() - time.thread_time_ns()
        self._stopped.wait(_PAUSE_SECONDS)  # without the interpreter's lock, so that whoever waits for it runs
        own = str(threading.get_native_id())
        try:
            states = [
                (task / "stat").read_text().rpartition(")")[2].split()[0]
                for task in Path("/proc/self/task").iterdir()
                if task.name != own
            ]
        except OSError:  # a thread has just ended
            return False
        return time.process_time_ns() - time.thread_time_ns() - before < 50_000 and set(states) <= {"S"}


class RemoteStorage(InterceptingStorage):
    """A storage whose every request waits for the end of a round."""

    def __init__(self, inner: BlobStorage, rounds: Rounds) -> None:
        super().__init__(inner)
        self._rounds = rounds

    def intercept(self, call: Call, proceed: Callable[[], _T]) -> _T:
        """Wait for the round, then pass the call on."""
        if call.method not in {"flush_caches", "capacity"}:
            self._rounds.wait(f"{call.method} {call.blob_id}".strip())
        return proceed()

    def check(self) -> None:
        """Look at the storage, which is a request as it is for a bucket."""
        self._rounds.wait("check")

    @property
    def is_local(self) -> bool:
        """Whether it is near: it is not."""
        return False

    @property
    def has_cheap_requests(self) -> bool:
        """Whether requests cost little: they do not."""
        return False


__all__ = ["RemoteStorage", "Rounds"]
