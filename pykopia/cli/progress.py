"""The line that tells how far a snapshot or a restore is.

On a terminal one line is written over again and again; elsewhere, when progress is asked for, lines follow each other.
"""

from collections.abc import Callable
from typing import Protocol

from pykopia import clock
from pykopia.cli import formatting
from pykopia.cli.session import Session

_SPINNER = "|/-\\"
_SECOND = 1_000_000_000


class UploadCountersLike(Protocol):
    """What is counted while a snapshot is taken."""

    @property
    def hashed_files(self) -> int: ...
    @property
    def hashed_bytes(self) -> int: ...
    @property
    def cached_files(self) -> int: ...
    @property
    def cached_bytes(self) -> int: ...
    @property
    def uploaded_bytes(self) -> int: ...
    @property
    def fatal_errors(self) -> int: ...
    @property
    def ignored_errors(self) -> int: ...
    @property
    def estimated_bytes(self) -> int: ...


class RestoreCountersLike(Protocol):
    """What is counted while a snapshot is restored."""

    @property
    def restored_files(self) -> int: ...
    @property
    def restored_directories(self) -> int: ...
    @property
    def restored_symlinks(self) -> int: ...
    @property
    def restored_bytes(self) -> int: ...
    @property
    def skipped_files(self) -> int: ...
    @property
    def skipped_bytes(self) -> int: ...
    @property
    def ignored_errors(self) -> int: ...
    @property
    def enqueued_files(self) -> int: ...
    @property
    def enqueued_directories(self) -> int: ...
    @property
    def enqueued_symlinks(self) -> int: ...
    @property
    def enqueued_bytes(self) -> int: ...


class ProgressLine:
    """One line on stderr that is rewritten, not more often than the flags say."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._wanted = session.shows_progress
        self._live = session.stderr.isatty()
        self._interval = session.flags.progress_update_interval / _SECOND
        self._started = clock.monotonic()
        self._next = self._started
        self._width = self._turn = 0
        self._open = False

    def show(self, line: Callable[[str], str], *, last: bool = False) -> None:
        """Write the line that ``line`` makes of a spinner character, if it is time or the last one."""
        now = clock.monotonic()
        if not self._wanted or not (last or now >= self._next):
            return
        self._next = now + self._interval
        spinner = "*" if last else _SPINNER[self._turn % len(_SPINNER)]
        self._turn += 1
        text = line(spinner)
        stderr = self._session.stderr
        if self._live:
            stderr.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            stderr.write(text + "\n")
        stderr.flush()
        self._open = self._live

    def end(self) -> None:
        """Leave the line."""
        if self._open:
            self._session.stderr.write("\n")
            self._open = False

    def estimate(self, done: int, total: int) -> tuple[float, float, str] | None:
        """Return percent done, bytes a second and the time left, once enough is known to tell."""
        elapsed = clock.monotonic() - self._started
        if done <= 0 or total <= 0 or elapsed < 1:
            return None
        speed = done / elapsed
        left = max(0, round((total - done) / speed))
        return min(100.0, 100 * done / total), speed, formatting.duration(left * _SECOND)


class UploadProgress:
    """Tells how far a snapshot is."""

    def __init__(self, session: Session) -> None:
        self._session, self._line = session, ProgressLine(session)
        self._last: UploadCountersLike | None = None

    def __call__(self, counters: UploadCountersLike) -> None:
        """Take note of new counters."""
        self._last = counters
        self._line.show(lambda spinner: self._text(counters, spinner))

    def finish(self) -> None:
        """Write the final line."""
        counters = self._last
        if counters is not None:
            self._line.show(lambda spinner: self._text(counters, spinner), last=True)
        self._line.end()

    def _text(self, counters: UploadCountersLike, spinner: str) -> str:
        size = self._session.size
        text = (
            f" {spinner} 0 hashing, {counters.hashed_files} hashed ({size(counters.hashed_bytes)}), "
            f"{counters.cached_files} cached ({size(counters.cached_bytes)}), uploaded {size(counters.uploaded_bytes)}"
        )
        if counters.fatal_errors:
            text += f" ({counters.fatal_errors} fatal errors)"
        if counters.ignored_errors:
            text += f" ({counters.ignored_errors} errors ignored)"
        done, total = counters.hashed_bytes + counters.cached_bytes, counters.estimated_bytes
        estimate = self._line.estimate(done, total)
        if estimate is None:
            return text + ", estimating..."
        percent, _, left = estimate
        return f"{text}, estimated {size(total)} ({percent:.1f}%) {left} left"


class RestoreProgress:
    """Tells how far a restore is."""

    def __init__(self, session: Session) -> None:
        self._session, self._line = session, ProgressLine(session)
        self._last: RestoreCountersLike | None = None

    def __call__(self, counters: RestoreCountersLike) -> None:
        """Take note of new counters."""
        self._last = counters
        if counters.restored_bytes:
            self._line.show(lambda _: self._text(counters))

    def finish(self) -> None:
        """Write the final line."""
        counters = self._last
        if counters is not None and counters.restored_bytes:
            self._line.show(lambda _: self._text(counters), last=True)
        self._line.end()

    def _text(self, counters: RestoreCountersLike) -> str:
        size = self._session.size
        done = counters.restored_files + counters.restored_directories + counters.restored_symlinks
        total = counters.enqueued_files + counters.enqueued_directories + counters.enqueued_symlinks
        text = (
            f"Processed {done + counters.skipped_files} ({size(counters.restored_bytes)}) "
            f"of {total} ({size(counters.enqueued_bytes)})"
        )
        if counters.skipped_files:
            text += f", skipped {counters.skipped_files} ({size(counters.skipped_bytes)})"
        if counters.ignored_errors:
            text += f", ignored {counters.ignored_errors} errors"
        estimate = self._line.estimate(counters.restored_bytes, counters.enqueued_bytes)
        if estimate is not None:
            percent, speed, left = estimate
            text += f" {formatting.speed(speed)} ({percent:.1f}%) remaining {left}"
        return text + "."


__all__ = ["ProgressLine", "RestoreProgress", "UploadProgress"]
