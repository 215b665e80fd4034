"""Compares the clock of the storage with that of the node while a backup runs (mover contract, rule M-044)."""

import contextlib
from collections.abc import Callable
from typing import Final

from pykopia import clock
from pykopia.errors import StorageError
from pykopia.ids import BlobID, Buffer
from pykopia.storage import BlobMetadata
from pykopia.storage.ahead import Request
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOptions, StorageWrapper
from pykopia_mover.output import timestamp

MOST_NS: Final = 5 * 60 * 1_000_000_000
"""Nanoseconds by which clocks may differ without a warning."""
INDEXES: Final = ("n", "x")
"""Name prefixes of index blobs: every backup stores some."""


def difference_ns(stored_ns: int, *, began_ns: int, ended_ns: int) -> int:
    """Return by how much the clock of a storage is ahead of this machine's, 0 where they can't be said to differ.

    >>> difference_ns(50, began_ns=10, ended_ns=20), difference_ns(15, began_ns=10, ended_ns=20)
    (30, 0)

    Args:
        stored_ns: time of a blob by the storage. All times are nanoseconds since 1970.
        began_ns: time of this machine when the blob was about to be stored.
        ended_ns: time of this machine when the blob was stored.
    """
    return min(stored_ns - began_ns, 0) + max(stored_ns - ended_ns, 0)


class ClockWatch(StorageWrapper):
    """Warns once if the time that the storage gives to a new index blob is not the time of this machine."""

    def __init__(self, inner: BlobStorage, warn: Callable[[str], None]) -> None:
        """Watch a storage."""
        super().__init__(inner)
        self._warn = warn
        self._look: Request[None] | None = None

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob, see ``BlobStorage.put``."""
        began = clock.now()
        stored = super().put(blob_id, data, options)
        if self._look is None and blob_id.startswith(INDEXES):
            ended = clock.now()
            self._look = Request(lambda: self._look_at(blob_id, stored, began, ended))
        return stored

    def close(self) -> None:
        """Wait for the look that is under way, and close the storage."""
        if self._look is not None:
            self._look.join()
        super().close()

    def _look_at(self, blob_id: BlobID, stored: BlobMetadata | None, began: int, ended: int) -> None:
        with contextlib.suppress(StorageError):  # a storage that is only written to
            self._compare((stored or self.inner.metadata(blob_id)).timestamp_ns, began, ended)

    def _compare(self, stored: int, began: int, ended: int) -> None:
        difference = difference_ns(stored, began_ns=began, ended_ns=ended)
        if abs(difference) > MOST_NS:
            self._warn(
                f"the clocks differ by {abs(difference) // 1_000_000_000} s: the storage says that it is "
                f"{timestamp(stored)}, this node {timestamp(ended)}. Set the clock that is wrong: retention goes by the "
                "times of snapshots, and maintenance does not run with such clocks"
            )


__all__ = ["MOST_NS", "ClockWatch", "difference_ns"]
