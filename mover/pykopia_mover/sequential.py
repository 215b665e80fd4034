"""A storage that is asked one thing at a time: what ``parallelism: 1`` is for (VolSync's documentation on rclone)."""

import threading
from collections.abc import Iterator

from pykopia.ids import BlobID, Buffer
from pykopia.storage import BlobMetadata
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOptions, RetentionMode, StorageWrapper


class SequentialStorage(StorageWrapper):
    """Lets no call begin before the one before it has ended; safe for threads."""

    def __init__(self, inner: BlobStorage) -> None:
        super().__init__(inner)
        self._turn = threading.Lock()

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return a range of a blob, see ``BlobStorage.get``."""
        with self._turn:
            return self.inner.get(blob_id, offset, length)

    def get_into(self, blob_id: BlobID, target: bytearray | memoryview, offset: int = 0) -> None:
        """Fill a buffer from a blob, see ``BlobStorage.get_into``."""
        with self._turn:
            self.inner.get_into(blob_id, target, offset)

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob, see ``BlobStorage.metadata``."""
        with self._turn:
            return self.inner.metadata(blob_id)

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob, see ``BlobStorage.put``."""
        with self._turn:
            return self.inner.put(blob_id, data, options)

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob, see ``BlobStorage.delete``."""
        with self._turn:
            self.inner.delete(blob_id)

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob for longer, see ``BlobStorage.extend_retention``."""
        with self._turn:
            self.inner.extend_retention(blob_id, mode, period_ns)

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield blobs by prefix, see ``BlobStorage.list``; other calls may come between two of them."""
        with self._turn:
            found = iter(self.inner.list(prefix))
        while True:
            with self._turn:
                blob = next(found, None)
            if blob is None:
                return
            yield blob


__all__ = ["SequentialStorage"]
