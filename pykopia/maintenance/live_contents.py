"""Which contents of the index are needed: one byte for each, whatever the repository's size.

A set of IDs in Python would take some hundred bytes for each content; the index has them in order already, so a mark
is a byte at the place where the content stands in a merged copy of the index.
"""

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from typing import Final

from pykopia.format.index import IndexEntry, IndexFile
from pykopia.format.index_merge import MergedIndex, merge_index_files

LIVE: Final = 1
"""The content is needed."""
LISTED: Final = 2
"""It is a directory whose entries have been followed; of the list of chunks of a file: its chunks."""


class LiveContents:
    """Marks on the contents of an index as it was when this was made; entries behind a deletion watermark have marks too.

    Not safe for use by several threads at once.
    """

    def __init__(self, index: MergedIndex) -> None:
        """Mark nothing yet. ``index`` stays as it is until ``close``, or is copied."""
        files = index.files
        self._own: list[IndexFile] = []
        if len(files) > 1:
            self._own = [_on_disk(plain) for plain in merge_index_files(files, version=2)]
        self._files: Sequence[IndexFile] = self._own or files
        self._marks = [bytearray(len(file)) for file in self._files]

    def __len__(self) -> int:
        return sum(map(len, self._marks))

    def mark(self, key: bytes, flag: int = LIVE) -> bool | None:
        """Set a mark (and ``LIVE``) on a content; return whether it is new, None when the index has no such content."""
        for file, marks in zip(self._files, self._marks, strict=True):
            position = file.position(key)
            if position >= 0:
                before = marks[position]
                marks[position] = before | flag | LIVE
                return not before & flag
        return None

    def entries(self) -> Iterator[tuple[IndexEntry, bool]]:
        """Yield every entry, deleted and hidden ones too, with whether it is needed."""
        for file, marks in zip(self._files, self._marks, strict=True):
            for entry, mark in zip(file.entries(), marks, strict=True):
                yield entry, mark != 0

    def close(self) -> None:
        """Let the copy of the index go."""
        for file in self._own:
            file.close()


def _on_disk(plain: bytes) -> IndexFile:
    """Return an index file in a temporary file, so that its pages need not stay in memory."""
    with tempfile.TemporaryFile(prefix="pykopia-live-") as file:
        file.write(plain)
        file.flush()
        return IndexFile(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), name="merged copy")


__all__ = ["LISTED", "LIVE", "LiveContents"]
