"""Object lock: the blobs that data depends on are put with the repository's retention (format 03 §6)."""

from dataclasses import replace
from typing import cast

from pykopia.format.blob import BlobMetadata
from pykopia.format.repository_blob import BlobConfiguration
from pykopia.ids import BlobID, Buffer
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOptions, RetentionMode, StorageWrapper


class LockingStorage(StorageWrapper):
    """Adds retention to every put of a blob whose loss would lose data; sessions and logs stay deletable."""

    def __init__(self, inner: BlobStorage, configuration: BlobConfiguration) -> None:
        """Lock as ``configuration`` says, counted from each put."""
        super().__init__(inner)
        self._configuration = configuration

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Put a blob, see ``BlobStorage.put``."""
        if self._configuration.covers(blob_id) and not options.has_retention:
            options = replace(
                options,
                retention_mode=cast("RetentionMode", self._configuration.retention_mode),
                retention_period_ns=self._configuration.retention_period_ns,
            )
        return super().put(blob_id, data, options)


__all__ = ["LockingStorage"]
