"""Which contents of the index are needed: 17 bytes for each, whatever the repository's size.

A set of IDs in Python would take some hundred bytes for each content. Here the IDs are two sorted columns of 8 bytes, and
a mark is a byte. The columns are in a work file on the volume of the cache, where there is one with enough room, so their
pages need not stay in memory; otherwise they are in memory. No other temporary file is used.
"""

import contextlib
import mmap
import os
import tempfile
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pykopia.format.content_id import key_of
from pykopia.format.index import IndexEntry
from pykopia.format.index_merge import MergedIndex

LIVE: Final = 1
"""The content is needed."""
LISTED: Final = 2
"""The content is a directory whose entries have been followed, or a list of chunks whose chunks are marked."""

_COLUMN: Final = 8
"""Bytes of a hash in each of the two columns. The rest of a longer hash is not compared: 16 bytes are unique."""


class LiveContents:
    """Marks on the contents of an index as it was when this was made; entries behind a deletion watermark have marks too.

    Not safe for use by several threads at once.
    """

    def __init__(self, index: MergedIndex, folder: Path | None = None) -> None:
        """Mark nothing yet.

        Args:
            index: stays as it is until ``close``, or is copied.
            folder: of the cache; None where nothing is kept on disk.
        """
        self._index = MergedIndex(index.files)  # no watermark: each content once, hidden ones too
        most = self._index.approximate_count
        self._space = _space(2 * _COLUMN * most, folder)
        self._columns = memoryview(self._space).cast("Q")
        self._first, self._second = self._columns[:most], self._columns[most:]
        self._ranges: dict[int, tuple[int, int]] = {}
        """Positions of the contents with each prefix letter: the first one, and the one after the last."""
        count = self._fill()
        self._marks = bytearray(count)

    def _fill(self) -> int:
        first, second, ranges = self._first, self._second, self._ranges
        count = start = 0
        prefix = -1
        for entry in self._index.entries(include_deleted=True):
            key = key_of(entry.content_id)
            first[count], second[count] = _columns_of(key)
            if key[0] != prefix:
                if prefix >= 0:
                    ranges[prefix] = (start, count)
                prefix, start = key[0], count
            count += 1
        if prefix >= 0:
            ranges[prefix] = (start, count)
        return count

    def __len__(self) -> int:
        return len(self._marks)

    def mark(self, key: bytes, flag: int = LIVE) -> bool | None:
        """Set a mark (and ``LIVE``) on a content; return whether it is new, None when the index has no such content."""
        start, end = self._ranges.get(key[0], (0, 0))
        first, second = _columns_of(key)
        new = None
        position = bisect_left(self._first, first, start, end)
        while position < end and self._first[position] == first:
            if self._second[position] == second:
                before = self._marks[position]
                self._marks[position] = before | flag | LIVE
                new = new or not before & flag
            position += 1
        return new

    def entries(self) -> Iterator[tuple[IndexEntry, bool]]:
        """Yield every entry, deleted and hidden ones too, with whether it is needed."""
        for entry, mark in zip(self._index.entries(include_deleted=True), self._marks, strict=True):
            yield entry, mark != 0

    def close(self) -> None:
        """Release memory and the work file."""
        for view in (self._first, self._second, self._columns):
            view.release()
        self._space.close()


def _columns_of(key: bytes) -> tuple[int, int]:
    """Return the first 16 bytes of the hash in a key as two numbers, which are in the order of the keys."""
    padded = key[1 : 1 + 2 * _COLUMN].ljust(2 * _COLUMN, b"\0")
    return int.from_bytes(padded[:_COLUMN], "big"), int.from_bytes(padded[_COLUMN:], "big")


def _space(size: int, folder: Path | None) -> mmap.mmap:
    """Return so many bytes of zeros: of an unnamed file in the folder if it has room for them, otherwise in memory."""
    size = max(size, 2 * _COLUMN)
    if folder is not None:
        with contextlib.suppress(OSError), tempfile.TemporaryFile(prefix="pykopia-live-", dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)  # now, as a write to the mapping could not report a full volume
            return mmap.mmap(file.fileno(), size)
    return mmap.mmap(-1, size)


__all__ = ["LISTED", "LIVE", "LiveContents"]
