"""Carries out the plans of ``format.epoch_plan``: begin, compact and clean up epochs (format 02 §9).

What merges, hides or deletes takes the proof that the index is complete (``CompleteView``): once an epoch is compacted, no
reader finds an index blob of that epoch that is put back from a copy.
"""

import logging
import secrets
from collections.abc import Iterable, Sequence
from typing import Self

from pykopia.crew import in_parallel
from pykopia.errors import DamagedIndexError
from pykopia.format import epoch
from pykopia.format.blob import BlobMetadata
from pykopia.format.complete_view import CompleteView
from pykopia.format.epoch import BlobSet, EpochState
from pykopia.format.epoch_plan import (
    EpochCompaction,
    plan_advance,
    plan_cleanup,
    plan_range_checkpoint,
    plan_single_compaction,
    plan_watermark,
)
from pykopia.format.gotime import format_time
from pykopia.format.index import IndexFile
from pykopia.format.index_merge import merge_index_files
from pykopia.format.maintenance_schedule import TaskStatistics
from pykopia.ids import BlobID
from pykopia.maintenance.blobs import Check, delete_blobs, no_check, total
from pykopia.repository.core import Core

log = logging.getLogger(__name__)

PARALLEL_READS = 8

_SECOND_NS = 1_000_000_000
_RECENT_NS = 10 * _SECOND_NS


def advance_epoch(repository: Core) -> TaskStatistics:
    """Begin a new epoch when the current one has enough index blobs over enough time."""
    state = _state(repository)
    marker = plan_advance(state, repository.format.epoch_parameters)
    if marker is not None:
        repository.storage.put(marker, epoch.MARKER_CONTENT)
        repository.contents.indexes.forget_epoch_state()
    return TaskStatistics(
        kind="advanceEpochStats",
        values={"currentEpoch": state.write_epoch + (marker is not None), "wasAdvanced": marker is not None},
    )


def has_work(repository: Core) -> bool:
    """Return True if the index blobs of an epoch can be compacted now."""
    return plan_single_compaction(_state(repository)) is not None


def compact_single_epoch(repository: Core, view: CompleteView) -> TaskStatistics:
    """Compact the index blobs of the oldest settled epoch that is not compacted yet.

    Raises:
        DamagedIndexError: one of them can't be read; nothing was written.
    """
    plan = plan_single_compaction(_state(repository))
    if plan is not None:
        write_compaction(repository, view, plan)
    return TaskStatistics(
        kind="compactSingleEpochStats",
        values=None
        if plan is None
        else {
            "supersededIndexBlobCount": len(plan.inputs),
            "supersededIndexTotalSize": plan.input_length,
            "epoch": plan.first,
        },
    )


def generate_range(repository: Core, view: CompleteView) -> TaskStatistics:
    """Compact the index blobs of many settled epochs into one range.

    Raises:
        DamagedIndexError: one of them can't be read; nothing was written.
    """
    plan = plan_range_checkpoint(_state(repository), repository.format.epoch_parameters)
    if plan is not None:
        write_compaction(repository, view, plan)
    return TaskStatistics(
        kind="generateRangeCheckpointStats",
        values=None if plan is None else {"rangeMinEpoch": plan.first, "rangeMaxEpoch": plan.last},
    )


def write_compaction(repository: Core, _view: CompleteView, plan: EpochCompaction) -> None:
    """Write the index blobs of a compaction; they count once all of them are there."""
    with _Files(repository, plan.inputs) as files:
        plain = merge_index_files(files, version=repository.format.effective_index_version)
    suffix = epoch.index_blob_suffix(epoch.new_set_id(secrets.token_bytes(8)), len(plain))
    for data in plain:
        repository.contents.indexes.stored.put(plan.prefix, data, suffix)
    repository.contents.indexes.forget_epoch_state()


def drop_deleted(repository: Core, _view: CompleteView, *, before_ns: int) -> TaskStatistics:
    """Hide contents that were deleted before a time, by a later deletion watermark (format 03 §12)."""
    seconds = before_ns // _SECOND_NS
    marker = plan_watermark(_state(repository), seconds)
    if marker is not None:
        repository.storage.put(marker, epoch.WATERMARK_CONTENT)
        repository.refresh()
    return TaskStatistics(
        kind="compactIndexesStats",
        values=None if marker is None else {"droppedContentsDeletedBefore": format_time(before_ns)},
    )


def clean_up_markers(repository: Core, _view: CompleteView, *, check: Check = no_check) -> TaskStatistics:
    """Delete markers of epochs that are over, and watermarks that a greater one has replaced."""
    state = _state(repository)
    plan = plan_cleanup(state, repository.format.epoch_parameters)
    _delete(repository, (*plan.markers, *plan.watermarks), check)
    return TaskStatistics(
        kind="cleanupMarkersStats",
        values=None
        if state.storage_clock_ns is None
        else {"deletedEpochMarkerBlobCount": len(plan.markers), "deletedWatermarkBlobCount": len(plan.watermarks)},
    )


def delete_superseded(repository: Core, _view: CompleteView, *, check: Check = no_check) -> TaskStatistics:
    """Delete the index blobs of epochs whose compaction is old enough.

    Unlike Kopia, this first reads the compaction and makes sure that it holds every entry of what it stands for: the
    index must never depend on a blob that can't be read.
    """
    state, parameters = _state(repository), repository.format.epoch_parameters
    plan = plan_cleanup(state, parameters)
    delete: list[BlobMetadata] = []
    for number in sorted({epoch.epoch_of(blob.blob_id) or 0 for blob in plan.superseded}):
        blobs = state.uncompacted.get(number, ())
        if _covers(repository, state, number, blobs):
            delete += blobs
    _delete(repository, delete, check)
    storage_clock = state.storage_clock_ns
    return TaskStatistics(
        kind="cleanupSupersededIndexesStats",
        values=None
        if storage_clock is None
        else {
            "maxReplacementTime": format_time(storage_clock - parameters.cleanup_safety_margin_ns),
            "deletedBlobCount": len(delete),
            "deletedTotalSize": total(delete),
        },
    )


def _covers(repository: Core, state: EpochState, number: int, blobs: BlobSet) -> bool:
    """Return True if the compaction of an epoch has all entries of its index blobs; log a warning otherwise."""
    version = repository.format.effective_index_version
    try:
        with _Files(repository, state.singles[number]) as single, _Files(repository, blobs) as superseded:
            if merge_index_files(single, version=version) == merge_index_files([*single, *superseded], version=version):
                return True
        reason = "index blobs came to it after it was compacted"
    except DamagedIndexError as error:
        reason = str(error)
    log.warning("the index blobs of epoch %d are kept beside their compaction: %s", number, reason)
    return False


def _state(repository: Core) -> EpochState:
    """Return the state of the epochs: what maintenance does to them waits for hours, some seconds change nothing."""
    return repository.contents.indexes.epoch_state(within_ns=_RECENT_NS)


def _delete(repository: Core, blobs: Sequence[BlobMetadata], check: Check) -> None:
    if blobs:
        delete_blobs(repository.storage, _names(blobs), check=check)
        repository.contents.indexes.forget_epoch_state()


class _Files(list[IndexFile]):
    """Index blobs that are closed at the end of a ``with`` block."""

    def __init__(self, repository: Core, blobs: BlobSet) -> None:
        read = repository.contents.indexes.stored.open
        super().__init__(in_parallel(read, _names(blobs), threads=PARALLEL_READS, name="pykopia-index"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for file in self:
            file.close()


def _names(blobs: Iterable[BlobMetadata]) -> list[BlobID]:
    return [blob.blob_id for blob in blobs]


__all__ = [
    "advance_epoch",
    "clean_up_markers",
    "compact_single_epoch",
    "delete_superseded",
    "drop_deleted",
    "generate_range",
    "has_work",
]
