"""The index layout of format version 1: every index blob counts until a log names its replacement (format 02 §8)."""

import contextlib
from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from pykopia.errors import BlobNotFoundError, DamagedDataError
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import COMPACTION_LOG_PREFIX, INDEX_PREFIX
from pykopia.format.epoch import EpochState
from pykopia.format.legacy_index import CompactionLog, active_blobs
from pykopia.format.repository_blob import POISON_INDEX_BLOB_ID
from pykopia.ids import BlobID
from pykopia.index.index_blobs import IndexBlobs


class LegacyLayout:
    """See ``IndexLayout``; also reads what an upgrade to epochs has left."""

    compacted_prefixes: ClassVar[tuple[str, ...]] = ()
    drops_entries: ClassVar[bool] = True
    watermark: ClassVar[None] = None
    state: ClassVar[None] = None

    def __init__(self, blobs: IndexBlobs) -> None:
        """Take the blobs of a repository."""
        self._blobs = blobs

    def listed(self) -> list[BlobMetadata]:
        """See ``IndexLayout.listed``."""
        return list(self._blobs.storage.list(INDEX_PREFIX))

    def active(self) -> list[BlobID]:
        """See ``IndexLayout.active``."""
        listing = self.listed()
        logs = []
        for blob in self._blobs.storage.list(COMPACTION_LOG_PREFIX):
            # one that can't be read hides what was compacted, and the blobs from before it count again
            with contextlib.suppress(BlobNotFoundError, DamagedDataError):
                logs.append(CompactionLog.from_json(self._blobs.decrypt(blob.blob_id)))
        names = [blob.blob_id for blob in listing if blob.blob_id != POISON_INDEX_BLOB_ID]
        return list(active_blobs(names, logs))

    def active_without(self, unreadable: Collection[BlobID]) -> list[BlobID]:
        """See ``IndexLayout.active_without``: a compaction that can't be read says nothing of its inputs here."""
        return [blob_id for blob_id in self.active() if blob_id not in unreadable]

    def read_state(self) -> EpochState:
        """See ``IndexLayout.read_state``."""
        return EpochState()

    def recent_state(self, within_ns: int) -> EpochState:
        """See ``IndexLayout.recent_state``."""
        return EpochState()

    def forget_state(self) -> None:
        """See ``IndexLayout.forget_state``."""

    def put(
        self, plain: Sequence[bytes], session_id: str, when_put: Callable[[], object] = lambda: None
    ) -> list[BlobID]:
        """See ``IndexLayout.put``."""
        written = [self._blobs.put(INDEX_PREFIX, data, session_id) for data in plain]
        when_put()
        listed = self.listed()
        listed += self._blobs.unlisted(listed, written)
        self._blobs.check_read(written, [blob.blob_id for blob in listed])
        return written


__all__ = ["LegacyLayout"]
