"""Work that takes longer than a page may: it runs in a thread, and pages show how far it is."""

import logging
import secrets
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from pykopia.errors import CanceledError, PykopiaError, UsageError

Result = TypeVar("Result")
Kind = TypeVar("Kind", bound="Job[object]")

MOST_RUNNING = 4
"""Jobs that run at one time."""
MOST_KEPT = 50
"""Jobs that are remembered."""

log = logging.getLogger(__name__)


class Job(Generic[Result]):
    """One piece of work; pages read its attributes, the work reports by ``report``."""

    def __init__(self, title: str, kind: str) -> None:
        self.id = secrets.token_hex(8)
        self.title, self.kind = title, kind
        self.text = "Starting"
        self.share: float | None = None
        """How much is done, from 0 to 1; None while that is not known."""
        self.result: Result | None = None
        self.error: Exception | None = None
        self.used = False
        """Whether the result was acted on: a plan is carried out once."""
        self._cancel = threading.Event()
        self._ended = threading.Event()

    @property
    def running(self) -> bool:
        """Whether the work goes on."""
        return not self._ended.is_set()

    @property
    def canceled(self) -> bool:
        """Whether the user asked to stop."""
        return self._cancel.is_set()

    def is_canceled(self) -> bool:
        """Return ``canceled``, for methods of the library that ask."""
        return self.canceled

    def cancel(self) -> None:
        """Ask the work to stop."""
        self._cancel.set()

    def check(self) -> None:
        """Raise if the work is to stop.

        Raises:
            CanceledError: it is.
        """
        if self.canceled:
            raise CanceledError("canceled: what was finished before is kept")

    def report(self, text: str, share: float | None = None) -> None:
        """Say how far the work is."""
        self.text, self.share = text, share

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; return False if it did not come in time."""
        return self._ended.wait(seconds)

    def run(self, work: Callable[["Job[Result]"], Result]) -> None:
        """Do the work; what goes wrong is kept in ``error``."""
        try:
            self.result = work(self)
        except Exception as error:
            self.error = error
            if not isinstance(error, PykopiaError | OSError):
                log.exception("internal error in %s", self.kind)
        finally:
            self._ended.set()


class Jobs:
    """The jobs of one page, the latest last."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job[object]] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def start(self, job: Job[Result], work: Callable[[Job[Result]], Result]) -> None:
        """Begin a job.

        Raises:
            UsageError: too many run already.
        """
        with self._lock:
            if sum(each.running for each in self._jobs.values()) >= MOST_RUNNING:
                raise UsageError(f"{MOST_RUNNING} tasks are running; wait for one of them to end, or cancel it")
            while len(self._jobs) >= MOST_KEPT:
                del self._jobs[next(key for key, each in self._jobs.items() if not each.running)]
            self._jobs[job.id] = job  # type: ignore[assignment]  # only looked at from here on
            self._threads = [each for each in self._threads if each.is_alive()]
            thread = threading.Thread(target=job.run, args=(work,), name=f"pykopia-ui-{job.kind}", daemon=True)
            self._threads.append(thread)
        thread.start()

    def find(self, job_id: str) -> Job[object] | None:
        """Return a job by its ID; None if there is none."""
        return self._jobs.get(job_id)

    def running(self) -> list[Job[object]]:
        """Return the jobs that run."""
        with self._lock:
            return [each for each in self._jobs.values() if each.running]

    def close(self, seconds: float) -> bool:
        """Cancel all jobs and wait for their ends; return False if one did not end in time."""
        for job in self.running():
            job.cancel()
        return all(job.wait(seconds) for job in self.running())


__all__ = ["Job", "Jobs"]
