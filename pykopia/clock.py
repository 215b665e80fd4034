"""The one place that asks for the time, so that tests can set it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_source: Callable[[], int] = time.time_ns


def now() -> int:
    """Return nanoseconds since 1970-01-01T00:00:00Z."""
    return _source()


def now_seconds() -> int:
    """Return whole seconds since 1970-01-01T00:00:00Z, as index entries carry them."""
    return _source() // 1_000_000_000


def monotonic() -> float:
    """Return seconds of a clock that never goes back: for durations and waiting."""
    return time.monotonic()


@contextmanager
def replaced(source: Callable[[], int]) -> Iterator[None]:
    """Let ``now`` answer from ``source`` (nanoseconds) inside the block: for tests."""
    global _source  # noqa: PLW0603 -- this module is the one switch
    previous, _source = _source, source
    try:
        yield
    finally:
        _source = previous


__all__ = ["monotonic", "now", "now_seconds", "replaced"]
