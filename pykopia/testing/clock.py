"""A clock that tests turn by hand."""

import threading
from contextlib import AbstractContextManager

from pykopia import clock

START_NS = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z in nanoseconds since 1970."""


class FakeClock:
    """A clock that stands still until a test advances it.

    Calling it returns nanoseconds since 1970, so it can be given wherever a clock is asked for.

    >>> time = FakeClock()
    >>> with time.installed():
    ...     before = clock.now()
    ...     time.advance(hours=1)
    ...     (clock.now() - before) // 1_000_000_000
    3600

    Args:
        start_ns: Nanoseconds since 1970 at the start.
        step_ns: By how many nanoseconds each look at the clock advances it, so that no two answers are equal.
    """

    def __init__(self, start_ns: int = START_NS, *, step_ns: int = 0) -> None:
        self._now_ns = start_ns
        self._step_ns = step_ns
        self._lock = threading.Lock()

    def __call__(self) -> int:
        """Return nanoseconds since 1970, and advance by the step."""
        with self._lock:
            now = self._now_ns
            self._now_ns += self._step_ns
            return now

    @property
    def now_ns(self) -> int:
        """Nanoseconds since 1970, without advancing."""
        return self._now_ns

    def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Let time pass, by the sum of the arguments; negative: backwards, as wrong clocks do."""
        total = seconds + 60 * (minutes + 60 * (hours + 24 * days))
        with self._lock:
            self._now_ns += round(total * 1_000_000_000)

    def set(self, now_ns: int) -> None:
        """Set the time, in nanoseconds since 1970."""
        with self._lock:
            self._now_ns = now_ns

    def sleep(self, seconds: float) -> None:
        """Take the place of ``time.sleep``: the clock advances, and the caller does not wait."""
        self.advance(seconds)

    def installed(self) -> AbstractContextManager[None]:
        """Return a block in which ``pykopia.clock.now`` answers from this clock."""
        return clock.replaced(self)


__all__ = ["START_NS", "FakeClock"]
