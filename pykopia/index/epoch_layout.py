"""The index layout of format versions 2 and 3: index blobs belong to epochs, which are compacted one by one (format 02 §9)."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import ClassVar

from pykopia import clock
from pykopia.errors import WriteConflictError
from pykopia.format import epoch
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import (
    EPOCH_PREFIX,
    INDEX_PREFIX,
    MARKER_PREFIX,
    RANGE_PREFIX,
    SINGLE_PREFIX,
    WATERMARK_PREFIX,
)
from pykopia.format.epoch import EpochState
from pykopia.format.repository_format import RepositoryFormat
from pykopia.ids import BlobID
from pykopia.index.index_blobs import IndexBlobs

FRESH_SHARE = 0.25
"""An epoch state older than this share of its refresh time is read again before writing (format 02 §9.6)."""


class EpochLayout:
    """See ``IndexLayout``."""

    compacted_prefixes: ClassVar[tuple[str, ...]] = (SINGLE_PREFIX, RANGE_PREFIX)
    drops_entries: ClassVar[bool] = False

    def __init__(self, blobs: IndexBlobs, repository_format: RepositoryFormat) -> None:
        """Take the blobs and parameters of a repository."""
        self._blobs = blobs
        self._format = repository_format
        self.watermark: int | None = None
        self.state: EpochState | None = None
        self._read_at = 0

    def listed(self) -> list[BlobMetadata]:
        """See ``IndexLayout.listed``; those from before an upgrade to epochs come first."""
        storage = self._blobs.storage
        found = [*storage.list(INDEX_PREFIX), *storage.list(EPOCH_PREFIX)]
        return [blob for blob in found if not blob.blob_id.startswith((MARKER_PREFIX, WATERMARK_PREFIX))]

    def active(self) -> list[BlobID]:
        """See ``IndexLayout.active``."""
        state = self.read_state()
        self.watermark = state.watermark
        return state.readable_index_set()

    def active_without(self, unreadable: Collection[BlobID]) -> list[BlobID]:
        """See ``IndexLayout.active_without``."""
        listed = [blob for blob in self._blobs.storage.list(EPOCH_PREFIX) if blob.blob_id not in unreadable]
        self.state = EpochState.from_blobs(listed)
        self.forget_state()  # it lacks what can't be read
        return self.state.readable_index_set()

    def recent_state(self, within_ns: int) -> EpochState:
        """See ``IndexLayout.recent_state``."""
        known = self.state
        return known if known is not None and 0 <= clock.now() - self._read_at < within_ns else self.read_state()

    def forget_state(self) -> None:
        """See ``IndexLayout.forget_state``."""
        self._read_at = 0

    def read_state(self, *, marker: BlobID | None = None, written: Sequence[BlobID] = ()) -> EpochState:
        """List the blobs of the epochs once and see what they mean.

        Args:
            marker: a marker that this client has written, which a stale listing may not show yet.
            written: index blobs that this client has written, likewise.
        """
        started = clock.now()
        listed = list(self._blobs.storage.list(EPOCH_PREFIX))
        if marker is not None:
            listed += self._blobs.unlisted(listed, [marker])
        listed += self._blobs.unlisted(listed, written)
        self.state = EpochState.from_blobs(listed)
        self._read_at = started
        return self.state

    def put(
        self, plain: Sequence[bytes], session_id: str, when_put: Callable[[], object] = lambda: None
    ) -> list[BlobID]:
        """Put all shards under one epoch that is still current when they are there (format 02 §9.6)."""
        suffix = epoch.index_blob_suffix(session_id, len(plain))
        written: list[BlobID] = []
        restored: BlobID | None = None
        written_epoch = -1
        while len(written) < len(plain):
            state = self._fresh_state()
            if state.lacks_markers:
                from pykopia.index.lost_marker import restore_marker  # noqa: PLC0415 -- seldom needed

                restore_marker(self._blobs, state, version=self._format.effective_index_version)
                restored = epoch.marker_blob_id(state.current_epoch)
                state = self.read_state(marker=restored)
            if written and state.write_epoch != written_epoch:
                self._remove(written)
                written = []
            written_epoch = state.write_epoch
            written.append(self._blobs.put(epoch.index_blob_prefix(written_epoch), plain[len(written)], suffix))
        when_put()
        state = self.read_state(marker=restored, written=written)
        if state.write_epoch >= written_epoch + 2:
            self._remove(written)
            raise WriteConflictError(
                f"the index was written to epoch {written_epoch}, but the repository is at epoch "
                f"{state.write_epoch} by now: nothing was committed; run the command again"
            )
        self._blobs.check_read(written, state.complete_index_set())
        return written

    def _fresh_state(self) -> EpochState:
        age = clock.now() - self._read_at
        fresh = 0 <= age <= self._format.epoch_parameters.refresh_frequency_ns * FRESH_SHARE
        return self.state if fresh and self.state is not None else self.read_state()

    def _remove(self, blobs: Iterable[BlobID]) -> None:
        for blob in blobs:
            self._blobs.storage.delete(blob)


__all__ = ["EpochLayout"]
