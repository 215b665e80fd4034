"""Plans of the maintenance of epochs, made from a listing (format 02 §9.7 to §9.10).

All ages compare storage times with storage times: no local clock is asked.
"""

from pykopia.dataclass import dataclass
from pykopia.format.blob import BlobMetadata
from pykopia.format.epoch import (
    BlobSet,
    EpochState,
    epoch_of,
    marker_blob_id,
    range_prefix,
    single_prefix,
    watermark_blob_id,
    watermark_of,
)
from pykopia.format.repository_format import EpochParameters
from pykopia.ids import BlobID


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochCompaction:
    """Index blobs to merge into a set with a common prefix; no entry is dropped (format 02 §9.11)."""

    first: int
    """First epoch that the result stands for."""
    last: int
    """Last epoch that the result stands for."""
    inputs: BlobSet
    prefix: str
    """Name prefix of the new index blobs."""

    @property
    def input_length(self) -> int:
        """Bytes of all inputs."""
        return sum(blob.length for blob in self.inputs)


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochCleanup:
    """Blobs that nothing depends on any more."""

    markers: BlobSet = ()
    """Markers of past epochs."""
    watermarks: BlobSet = ()
    """Watermarks that a greater one has replaced."""
    superseded: BlobSet = ()
    """Flushed index blobs of compacted epochs."""


def plan_advance(state: EpochState, parameters: EpochParameters) -> BlobID | None:
    """Return the marker to write when the write epoch should end, or None (format 02 §9.7).

    It is the span between the first and last flush that counts, not the age: a burst followed by silence ends nothing.
    """
    blobs = state.uncompacted.get(state.write_epoch, ())
    if not blobs:
        return None
    times = [blob.timestamp_ns for blob in blobs]
    if max(times) - min(times) < parameters.min_duration_ns:
        return None
    if len(blobs) < parameters.advance_on_count and sum(b.length for b in blobs) < parameters.advance_on_size:
        return None
    return marker_blob_id(state.write_epoch + 1)


def plan_single_compaction(state: EpochState) -> EpochCompaction | None:
    """Return the compaction of the oldest settled epoch that has none yet, or None (format 02 §9.8).

    An epoch without flushes stops this until a range covers it.
    """
    epoch = state.first_after_ranges
    while epoch in state.singles:
        epoch += 1
    inputs = state.uncompacted.get(epoch, ())
    if epoch > state.last_settled or not inputs:
        return None
    return EpochCompaction(first=epoch, last=epoch, inputs=inputs, prefix=single_prefix(epoch))


def plan_range_checkpoint(state: EpochState, parameters: EpochParameters) -> EpochCompaction | None:
    """Return the compaction of all settled epochs behind the ranges, or None when they are too few (format 02 §9.9)."""
    first, last = state.first_after_ranges, state.last_settled
    if last < 0 or last - first < parameters.checkpoint_frequency:
        return None
    inputs = tuple(state.index_blobs(first, last))
    if not inputs:
        return None
    return EpochCompaction(first=first, last=last, inputs=inputs, prefix=range_prefix(first, last))


def plan_watermark(state: EpochState, seconds: int) -> BlobID | None:
    """Return the watermark to write that hides deleted contents up to ``seconds`` since 1970, or None if it is there."""
    if state.watermark is not None and seconds <= state.watermark:
        return None
    return watermark_blob_id(seconds)


def plan_cleanup(state: EpochState, parameters: EpochParameters) -> EpochCleanup:
    """Return what can be deleted (format 02 §9.10); ``state`` must know all flushed index blobs.

    Nothing is, when the state has no storage clock. Compacted blobs are never deleted.
    """
    now = state.storage_clock_ns
    if now is None:
        return EpochCleanup()
    written_before = now - parameters.cleanup_safety_margin_ns

    def is_old(blobs: BlobSet) -> bool:
        return bool(blobs) and max(blob.timestamp_ns for blob in blobs) < written_before

    def is_past(marker: BlobMetadata) -> bool:
        epoch = epoch_of(marker.blob_id)
        return epoch is not None and epoch < state.write_epoch - 1

    return EpochCleanup(
        markers=tuple(filter(is_past, state.markers)),
        watermarks=tuple(b for b in state.watermarks if watermark_of(b.blob_id) != state.watermark and is_old((b,))),
        superseded=tuple(
            blob
            for epoch, blobs in sorted(state.uncompacted.items())
            if epoch <= state.last_settled and is_old(state.singles.get(epoch, ()))
            for blob in blobs
        ),
    )


__all__ = [
    "EpochCleanup",
    "EpochCompaction",
    "plan_advance",
    "plan_cleanup",
    "plan_range_checkpoint",
    "plan_single_compaction",
    "plan_watermark",
]
