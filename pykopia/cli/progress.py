"""Progress of a command: one line on a terminal, occasional lines elsewhere, JSON lines for programs.

On a terminal one line is written over again and again. It never gets longer than the terminal is wide: what is least
important is left out, then the rest is cut.
"""

import dataclasses
import json
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from pykopia import clock
from pykopia.cli import formatting
from pykopia.dataclass import dataclass

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from pykopia.cli.session import Session
    from pykopia.repository.sync import SyncCounters
    from pykopia.snapshot.restore_options import RestoreCounters
    from pykopia.snapshot.upload_options import UploadCounters
    from pykopia.snapshot.verify import VerifyCounters

Counters = TypeVar("Counters")

_SPINNER = "|/-\\"
_SECOND = 1_000_000_000
SHORTEST_INTERVAL = 0.1
"""Seconds between two updates at least."""
SLOW_INTERVAL = 30.0
"""Seconds between two lines where the output is no terminal and progress was not requested."""
_USUAL_WIDTH = 80


class Part(NamedTuple):
    """A part of a line."""

    rank: int
    """The parts of the highest rank are left out first."""
    text: str
    """With the separator before it."""


class Estimate(NamedTuple):
    """Estimate of the remaining time, from the work done so far."""

    percent: float
    bytes_per_second: float
    seconds_left: int

    @property
    def left(self) -> str:
        """The time left."""
        return formatting.duration(self.seconds_left * _SECOND)


def fitted(parts: Sequence[Part], width: int) -> str:
    """Return the line that some parts make, no longer than ``width``.

    >>> fitted([Part(0, "3 files"), Part(2, ", 4 cached"), Part(1, ", 7%")], 12)
    '3 files, 7%'
    """
    kept = list(parts)
    while len(text := "".join(part.text for part in kept)) > width and len(kept) > 1:
        kept.remove(max(kept))
    return text.removeprefix(", ")[: max(0, width)]


class ProgressLine:
    """Writes the progress of a command on stderr, not more often than the flags say."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        wanted, terminal = session.flags.progress, session.stderr.isatty()
        self._json = wanted == "json"
        self._live = terminal and not self._json
        self._wanted = wanted is not False
        asked = max(SHORTEST_INTERVAL, session.flags.progress_update_interval / _SECOND)
        self._slow = wanted is None and not terminal
        self._interval = SLOW_INTERVAL if self._slow else asked
        self._lock = threading.Lock()
        self._started = clock.monotonic()
        self._next = self._started + (self._interval if self._slow else 0)
        self._shown = self._turn = 0

    @property
    def is_wanted(self) -> bool:
        """Whether anything may ever be shown."""
        return self._wanted

    def show(
        self,
        parts: Callable[[str], Sequence[Part]],
        counters: "DataclassInstance",
        estimate: Estimate | None,
        *,
        last: bool = False,
    ) -> None:
        """Write the line, if it is time or the last one.

        Args:
            parts: makes the parts of the line out of a spinner character.
            counters: for JSON.
            estimate: for JSON.
            last: whether the command is done.
        """
        now = clock.monotonic()
        with self._lock:
            if not self._wanted or (self._slow and last) or not (last or now >= self._next):
                return
            self._next = now + self._interval
            spinner = "*" if last else _SPINNER[self._turn % len(_SPINNER)]
            self._turn += 1
            if self._json:
                self._session.tell(self._event(counters, estimate, last=last) + "\n")
            elif self._live:
                self._write_over(fitted(parts(spinner), self._width() - 1))
            else:
                self._session.tell("".join(part.text for part in parts(spinner)).removeprefix(", ") + "\n")

    def write_event(self, counters: "DataclassInstance", *, last: bool) -> None:
        """Write an event for programs now, if events were requested."""
        if self._json:
            self._session.tell(self._event(counters, None, last=last) + "\n")

    def _event(self, counters: "DataclassInstance", estimate: Estimate | None, *, last: bool) -> str:
        event: dict[str, object] = {"type": "progress", "operation": self._session.invocation.name, "done": last}
        event |= {_camel_case(name): value for name, value in dataclasses.asdict(counters).items()}
        if estimate is not None:
            event |= {
                "percent": round(estimate.percent, 1),
                "bytesPerSecond": round(estimate.bytes_per_second),
                "secondsLeft": estimate.seconds_left,
            }
        return json.dumps(event, separators=(",", ":"))

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._session.stderr.fileno()).columns or _USUAL_WIDTH
        except (OSError, ValueError):
            return _USUAL_WIDTH

    def _write_over(self, text: str) -> None:
        self._session.tell("\r" + text.ljust(min(self._shown, self._width() - 1)))
        self._shown = len(text)
        self._session.progress = self

    def clear(self) -> None:
        """Take the line away: something else is to be written."""
        with self._lock:
            if self._shown:
                self._session.tell("\r" + " " * min(self._shown, self._width() - 1) + "\r")
                self._shown = 0

    def end(self) -> None:
        """Leave the line."""
        with self._lock:
            if self._shown:
                self._session.tell("\n")
                self._shown = 0
            self._session.progress = None

    def estimate(self, done: int, total: int) -> Estimate | None:
        """Return how the rest looks, None until enough is known."""
        elapsed = clock.monotonic() - self._started
        if done <= 0 or total <= 0 or elapsed < 1:
            return None
        speed = done / elapsed
        return Estimate(min(100.0, 100 * done / total), speed, max(0, round((total - done) / speed)))


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


class _Progress(ABC, Generic[Counters]):
    """Shows the progress of a command, whose counters it is called with."""

    def __init__(self, session: "Session") -> None:
        self._session, self._line = session, ProgressLine(session)
        self._last: Counters | None = None

    def __call__(self, counters: Counters) -> None:
        """Record new counters."""
        self._last = counters
        self._show(counters)

    def finish(self) -> None:
        """Write the final line, and end it."""
        if self._last is not None:
            self._show(self._last, last=True)
        self._line.end()

    @abstractmethod
    def _show(self, counters: Counters, *, last: bool = False) -> None:
        """Write the line."""


class UploadProgress(_Progress["UploadCounters"]):
    """Shows the progress of a snapshot."""

    def _show(self, counters: "UploadCounters", *, last: bool = False) -> None:
        done = counters.hashed_bytes + counters.cached_bytes
        total = max(done, counters.estimated_bytes) if counters.estimated_bytes else 0
        estimate = self._line.estimate(done, total)
        self._line.show(lambda spinner: self._parts(counters, spinner, total, estimate), counters, estimate, last=last)

    def _parts(self, counters: "UploadCounters", spinner: str, total: int, estimate: Estimate | None) -> Sequence[Part]:
        size = self._session.size
        parts = [
            Part(0, f" {spinner}"),
            Part(6, f" {counters.hashing_files} hashing,"),
            Part(1, f" {counters.hashed_files} hashed ({size(counters.hashed_bytes)})"),
            Part(4, f", {counters.cached_files} cached ({size(counters.cached_bytes)})"),
            Part(3, f", uploaded {size(counters.uploaded_bytes)}"),
        ]
        if counters.fatal_errors:
            parts.append(Part(2, f" ({counters.fatal_errors} fatal errors)"))
        if counters.ignored_errors:
            parts.append(Part(4, f" ({counters.ignored_errors} errors ignored)"))
        if estimate is None:
            return [*parts, Part(5, ", estimating...")]
        return [
            *parts,
            Part(5, f", estimated {size(total)}"),
            Part(0, f" ({estimate.percent:.1f}%)"),
            Part(2, f" {estimate.left} left"),
            Part(7, f", {formatting.speed(estimate.bytes_per_second)}"),
        ]


class RestoreProgress(_Progress["RestoreCounters"]):
    """Shows the progress of a restore."""

    def _show(self, counters: "RestoreCounters", *, last: bool = False) -> None:
        if not counters.restored_bytes:
            return
        done = counters.restored_bytes + counters.skipped_bytes
        estimate = self._line.estimate(done, max(done, counters.enqueued_bytes))
        self._line.show(lambda _: self._parts(counters, estimate), counters, estimate, last=last)

    def _parts(self, counters: "RestoreCounters", estimate: Estimate | None) -> Sequence[Part]:
        size = self._session.size
        done = counters.restored_files + counters.restored_directories + counters.restored_symlinks
        total = counters.enqueued_files + counters.enqueued_directories + counters.enqueued_symlinks
        parts = [
            Part(1, f"Processed {done + counters.skipped_files} ({size(counters.restored_bytes)})"),
            Part(3, f" of {total} ({size(counters.enqueued_bytes)})"),
        ]
        if counters.skipped_files:
            parts.append(Part(5, f", skipped {counters.skipped_files} ({size(counters.skipped_bytes)})"))
        if counters.ignored_errors:
            parts.append(Part(2, f", ignored {counters.ignored_errors} errors"))
        if estimate is not None:
            parts += [
                Part(4, f" {formatting.speed(estimate.bytes_per_second)}"),
                Part(0, f" ({estimate.percent:.1f}%)"),
                Part(2, f" remaining {estimate.left}"),
            ]
        return [*parts, Part(6, ".")]


class VerifyProgress(_Progress["VerifyCounters"]):
    """Shows the progress of a verification."""

    def __init__(self, session: "Session", *, files_percent: float) -> None:
        """Prepare; ``files_percent`` is the share of files that are read."""
        super().__init__(session)
        self._share = files_percent / 100

    def _show(self, counters: "VerifyCounters", *, last: bool = False) -> None:
        done, total = counters.processed_bytes, counters.expected_bytes
        if self._share:
            done, total = counters.read_bytes, round(counters.expected_bytes * self._share)
        estimate = self._line.estimate(done, max(done, total))
        self._line.show(lambda _: self._parts(counters, estimate), counters, estimate, last=last)

    def _parts(self, counters: "VerifyCounters", estimate: Estimate | None) -> Sequence[Part]:
        size = self._session.size
        parts = [
            Part(1, f"Processed {counters.processed_objects} objects ({size(counters.processed_bytes)})"),
            Part(4, f" of {counters.expected_objects} ({size(counters.expected_bytes)})"),
            Part(3, f", read {counters.read_files} files ({size(counters.read_bytes)})"),
        ]
        if counters.errors:
            parts.append(Part(1, f", {counters.errors} errors"))
        if estimate is not None:
            parts += [Part(0, f" ({estimate.percent:.1f}%)"), Part(2, f" remaining {estimate.left}")]
        return parts


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncStatus:
    """What `--progress=json` says about a copy of a repository."""

    copied_blobs: int
    copied_bytes: int
    deleted_blobs: int
    total_blobs: int
    total_bytes: int


class SyncProgress(_Progress["SyncCounters"]):
    """Shows the progress of a copy of a repository."""

    def __init__(self, session: "Session") -> None:
        super().__init__(session)
        self.total_bytes = self.total_blobs = 0

    def _show(self, counters: "SyncCounters", *, last: bool = False) -> None:
        estimate = self._line.estimate(counters.copied_bytes, self.total_bytes)
        status = SyncStatus(
            copied_blobs=counters.copied,
            copied_bytes=counters.copied_bytes,
            deleted_blobs=counters.deleted,
            total_blobs=self.total_blobs,
            total_bytes=self.total_bytes,
        )
        self._line.show(lambda _: self._parts(counters, estimate), status, estimate, last=last)

    def _parts(self, counters: "SyncCounters", estimate: Estimate | None) -> Sequence[Part]:
        size = self._session.size
        parts = [
            Part(1, f"  Copied {counters.copied} of {self.total_blobs} blobs"),
            Part(1, f" ({size(counters.copied_bytes)} of {size(self.total_bytes)})"),
        ]
        if estimate is not None:
            parts += [
                Part(4, f" {formatting.speed(estimate.bytes_per_second)}"),
                Part(0, f" ({estimate.percent:.1f}%)"),
                Part(2, f" remaining {estimate.left}"),
            ]
        return parts


@dataclass(frozen=True, kw_only=True, slots=True)
class MaintenanceStatus:
    """What `--progress=json` says about maintenance."""

    task: str
    """The task that is running; empty at the end."""
    finished_tasks: int
    total_tasks: int


class MaintenanceProgress:
    """Tells which task of maintenance is running: a log line each for people, an event each for programs."""

    def __init__(self, session: "Session", words: Mapping[str, str], total: int) -> None:
        """Prepare.

        Args:
            session: the run of the program.
            words: what is logged about a task, by its name.
            total: how many tasks there are.
        """
        self._session, self._words, self._total = session, words, total
        self._line = ProgressLine(session)
        self._begun = 0

    def __call__(self, task: str) -> None:
        """Report that a task begins."""
        self._begun += 1
        self._total = max(self._total, self._begun)
        self._session.log.info("[%d/%d] %s ...", self._begun, self._total, self._words.get(task, task))
        self._event(task, self._begun - 1)

    def finish(self) -> None:
        """Report the end."""
        self._event("", self._begun)

    def _event(self, task: str, finished: int) -> None:
        status = MaintenanceStatus(task=task, finished_tasks=finished, total_tasks=self._total)
        self._line.write_event(status, last=not task)


__all__ = [
    "SHORTEST_INTERVAL",
    "SLOW_INTERVAL",
    "Estimate",
    "MaintenanceProgress",
    "MaintenanceStatus",
    "Part",
    "ProgressLine",
    "RestoreProgress",
    "SyncProgress",
    "SyncStatus",
    "UploadProgress",
    "VerifyProgress",
    "fitted",
]
