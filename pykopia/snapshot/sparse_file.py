"""Holes of sparse files: found by lseek(2), so that the zeros that they stand for are not read."""

import errno
import os

BLOCK = 512
"""Bytes of which ``st_blocks`` counts."""
LEAST_HOLES = 1 << 20
"""Bytes of holes that a file has at the least to be looked at for them."""


class SparseFile:
    """Reads an open file from a position on, and knows its holes; see ``Zeros`` of the object writer."""

    def __init__(self, descriptor: int, start: int = 0) -> None:
        """Read from ``start``; the position of the descriptor itself is not used."""
        self._descriptor, self._start = descriptor, start
        self._position = start
        self._hole = (0, 0)

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer with the bytes that follow; 0 at the end of the file."""
        count = os.preadv(self._descriptor, [buffer], self._position)
        self._position += count
        return count

    def zeros_end(self, position: int) -> int:
        """Return where the hole ends that has a position, counted from the start; the position itself if none has it."""
        place = self._start + position
        begin, end = self._hole
        if not begin <= place < end:
            self._hole = place, self._data_after(place)
        return max(self._hole[1] - self._start, position)

    def _data_after(self, place: int) -> int:
        try:
            return os.lseek(self._descriptor, place, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data any more: a hole to the end, if that is not passed
                return os.fstat(self._descriptor).st_size
            return place

    def skip(self, count: int) -> None:
        """Go on so many bytes further."""
        self._position += count


def sparse_file(descriptor: int, start: int = 0) -> SparseFile | None:
    """Return the reader of an open file from ``start`` on if it has holes, None if it has none worth a look."""
    status = os.fstat(descriptor)
    if not hasattr(os, "SEEK_DATA") or status.st_size - status.st_blocks * BLOCK < LEAST_HOLES:
        return None
    return SparseFile(descriptor, start)


__all__ = ["SparseFile", "sparse_file"]
