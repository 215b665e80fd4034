"""Object lock: the blobs that data depends on are put with the repository's retention (spec 03 §6)."""

from dataclasses import replace

from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOptions, RetentionMode, StorageWrapper

LOCKED_PREFIXES = ("n", "x", "p", "q", "kopia.repository", "kopia.blobcfg")


class LockingStorage(StorageWrapper):
    """Adds retention to every put of a blob whose loss would lose data; sessions and logs stay deletable."""

    def __init__(self, inner: BlobStorage, *, mode: RetentionMode, period_ns: int) -> None:
        """Lock for ``period_ns`` nanoseconds from each put."""
        super().__init__(inner)
        self._mode = mode
        self._period_ns = period_ns

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Put a blob, see ``BlobStorage.put``."""
        if blob_id.startswith(LOCKED_PREFIXES) and not options.has_retention:
            options = replace(options, retention_mode=self._mode, retention_period_ns=self._period_ns)
        return super().put(blob_id, data, options)


__all__ = ["LOCKED_PREFIXES", "LockingStorage"]
