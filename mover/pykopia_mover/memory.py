"""Computes how many streams fit the memory limit of the container (rule M-080b)."""

import contextlib
import ctypes
import gc
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pykopia import WriteBuffers

BASE_BYTES: Final = 160 << 20
"""The process itself, the index in use, and packs on their way to storage."""
STREAM_BYTES: Final = 40 << 20
"""For each of the first streams: chunks of at most 8 MiB, as they are read, compressed and encrypted."""
BUSY_STREAMS: Final = 4
"""So many streams have chunks in memory at one time: the buffers for chunks are as many, however many files are read."""
FURTHER_STREAM_BYTES: Final = 12 << 20
"""For each stream more: what was read of its file, and small files.

Measured are first backups to a bucket that is slower than the machine, so that packs and chunks wait for it: 197, 227, 277, 282,
317 and 348 MiB with 1, 2, 3, 4, 8 and 16 streams (``benchmarks/mover_memory.py``).
"""


FEW_BUFFERS: Final = WriteBuffers(packs=1, trays=2)
"""Those of the formula."""
LARGE_BUFFERS_BYTES: Final = 48 << 20
"""What the usual buffers need beyond these: one more pack and one more tray."""

FURTHER_PACK_BYTES: Final = 48 << 20
"""For each pack more on its way at one time: its buffer, and the copy that some backends send."""

UNLIMITED: Final = 1 << 60
"""Control groups of version 1 report a number of this size where there is no limit."""


_M_ARENA_MAX: Final = -8
_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 1 << 20


def keep_small() -> None:
    """Set up the C library, where it can be, to use one heap for all threads and to free large blocks at once.

    With a heap for each thread, freed memory of one thread is of no use to the others.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, 1)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Give memory that is not used any more back to the system: connecting leaves some tens of MiB."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


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


def memory_of(streams: int) -> int:
    """Return the bytes that a mover needs with so many streams and few buffers.

    >>> [memory_of(streams) >> 20 for streams in (1, 4, 16)]
    [200, 320, 464]
    """
    busy = min(streams, BUSY_STREAMS)
    return BASE_BYTES + busy * STREAM_BYTES + (streams - busy) * FURTHER_STREAM_BYTES


def write_buffers(streams: int, limit: int | None, *, uploads: int = 1) -> WriteBuffers:
    """Return the buffers to write with: as many as are good for speed where the limit leaves room for them.

    >>> write_buffers(4, 320 << 20), write_buffers(4, None)
    (WriteBuffers(packs=1, trays=2), WriteBuffers(packs=2, trays=3))
    >>> [write_buffers(8, limit, uploads=8).packs for limit in (320 << 20, 512 << 20, None)]
    [1, 4, 8]

    Args:
        streams: files that are read at one time.
        limit: bytes that the container may use.
        uploads: packs that may be on their way to the storage at one time.
    """
    usual = WriteBuffers()
    packs = max(usual.packs, min(uploads, streams))
    if limit is None:
        return WriteBuffers(packs=packs)
    spare = limit - memory_of(streams) - LARGE_BUFFERS_BYTES
    if spare < 0:
        return FEW_BUFFERS
    return WriteBuffers(packs=min(packs, usual.packs + spare // FURTHER_PACK_BYTES))


def fitting_streams(wanted: int, limit: int | None) -> int:
    """Return how many streams to use: no more than fit, and at least one.

    >>> fitting_streams(16, 320 << 20), fitting_streams(4, None), fitting_streams(4, 64 << 20)
    (4, 4, 1)
    """
    if limit is None:
        return wanted
    fitting = (limit - BASE_BYTES) // STREAM_BYTES
    if fitting >= BUSY_STREAMS:
        fitting = BUSY_STREAMS + (limit - memory_of(BUSY_STREAMS)) // FURTHER_STREAM_BYTES
    return max(1, min(wanted, fitting))


__all__ = [
    "BASE_BYTES",
    "BUSY_STREAMS",
    "FURTHER_STREAM_BYTES",
    "STREAM_BYTES",
    "fitting_streams",
    "give_back",
    "keep_small",
    "memory_limit",
    "memory_of",
    "write_buffers",
]
