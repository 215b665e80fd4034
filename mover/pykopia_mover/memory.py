"""How many streams fit into the memory that the container may use (rule M-080b)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

BASE_BYTES: Final = 192 << 20
"""The process itself, the index in use, and packs on their way to storage."""
STREAM_BYTES: Final = 32 << 20
"""For each file that is read at one time: chunks of at most 8 MiB, as they are read, compressed and encrypted."""


UNLIMITED: Final = 1 << 60
"""Version 1 of control groups has a number of this size where there is no limit."""


def memory_limit(paths: Iterable[Path]) -> int | None:
    """Return the lowest limit of the control group in bytes, None without one.

    Args:
        paths: files that may hold it, of version 1 or 2 of control groups.
    """
    return min((limit for limit in map(_limit, paths) if limit is not None), default=None)


def _limit(path: Path) -> int | None:
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() and int(text) < UNLIMITED else None


def fitting_streams(wanted: int, limit: int | None) -> int:
    """Return how many streams to use: no more than fit, and at least one.

    >>> fitting_streams(16, 320 << 20), fitting_streams(4, None), fitting_streams(4, 64 << 20)
    (4, 4, 1)
    """
    if limit is None:
        return wanted
    return max(1, min(wanted, (limit - BASE_BYTES) // STREAM_BYTES))


__all__ = ["BASE_BYTES", "STREAM_BYTES", "fitting_streams", "memory_limit"]
