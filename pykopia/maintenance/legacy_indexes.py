"""Compacts and cleans up the index blobs of format version 1, and drops deleted contents from them (format 02 §8).

Order on storage: outputs, then the log that makes them count instead of their inputs, then, much later, the deletions.
A crash at any point leaves an index that holds the same.
"""

import contextlib
import secrets
from collections import Counter
from collections.abc import Sequence

from pykopia.errors import BlobNotFoundError
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import CLEANUP_LOG_PREFIX, COMPACTION_LOG_PREFIX, INDEX_PREFIX
from pykopia.format.complete_view import CompleteView
from pykopia.format.content_id import key_of
from pykopia.format.gotime import ZERO_TIME_NS, format_time
from pykopia.format.index_merge import merge_index_files
from pykopia.format.legacy_index import (
    MAX_SMALL_BLOBS,
    SETTLE_TIME_NS,
    CleanupLog,
    CompactionLog,
    active_blobs,
    choose_compaction,
    plan_cleanup,
    plan_log_cleanup,
)
from pykopia.format.maintenance_schedule import TaskStatistics
from pykopia.format.pack import LOCAL_INDEX_TAIL_LENGTH
from pykopia.format.repository_blob import POISON_INDEX_BLOB_ID
from pykopia.ids import BlobID
from pykopia.maintenance.blobs import Check, delete_blobs, no_check
from pykopia.repository.core import Core
from pykopia.repository.dropped import record_dropped

_SECOND_NS = 1_000_000_000


def _record_dropped(repository: Core, view: CompleteView, before: int | None, contents: Sequence[bytes]) -> None:
    """Record by pack how many contents are about to be dropped: else their packs would look like those of a lost index."""
    gone = set(contents)
    counts = Counter(
        str(entry.pack_blob)
        for entry in repository.contents.indexes.merged.entries(include_deleted=True)
        if (before is not None and entry.deleted and entry.timestamp < before) or key_of(entry.content_id) in gone
    )
    record_dropped(repository, counts, view.pack_names)


def compact_indexes(
    repository: Core,
    view: CompleteView,
    *,
    max_small_blobs: int = MAX_SMALL_BLOBS,
    all_indexes: bool = False,
    drop_deleted_before_ns: int | None = None,
    drop_contents: Sequence[bytes] = (),
    settles: bool = True,
    check: Check = no_check,
) -> TaskStatistics:
    """Merge small index blobs, then delete the inputs and logs of earlier compactions that are no longer needed.

    Args:
        repository: open for writing, without epochs.
        view: the proof that the index is complete, with packs.
        max_small_blobs: fewer blobs than this are left alone.
        all_indexes: take large ones too; implied when anything is dropped.
        drop_deleted_before_ns: leave out contents that were deleted before this time.
        drop_contents: index keys of contents to leave out.
        settles: wait an hour before inputs, and another before logs, are deleted.
        check: called before what can't be undone; may raise to stop.

    Raises:
        DamagedIndexError: a part of the index can't be read; nothing was written or deleted.
    """
    drops = drop_deleted_before_ns is not None or bool(drop_contents)
    repository.contents.indexes.load()
    repository.contents.indexes.check_complete("compact the index")
    compaction = _Compaction(repository, SETTLE_TIME_NS if settles else 0, check)
    chosen = choose_compaction(
        compaction.active(),
        max_pack_size=repository.format.effective_max_pack_size,
        max_small_blobs=max_small_blobs,
        all_indexes=all_indexes or drops,
    )
    compacts = bool(chosen) and (len(chosen) > 1 or drops)
    if compacts:
        before = None if drop_deleted_before_ns is None else -(-drop_deleted_before_ns // _SECOND_NS)
        if drops:
            _record_dropped(repository, view, before, drop_contents)
        compaction.merge(chosen, before, drop_contents)
    compaction.clean_up_logs()
    if compacts:
        repository.refresh()
    dropped = ZERO_TIME_NS if drop_deleted_before_ns is None else drop_deleted_before_ns
    return TaskStatistics(
        kind="compactIndexesStats",
        values={"droppedContentsDeletedBefore": format_time(dropped)} if compacts else None,
    )


class _Compaction:
    def __init__(self, repository: Core, settle_time_ns: int, check: Check) -> None:
        self._storage = repository.storage
        self._sealer = repository.sealer.sealer
        self._indexes = repository.contents.indexes
        self._version = repository.format.effective_index_version
        self._settle_time_ns = settle_time_ns
        self._check = check

    def active(self) -> list[BlobMetadata]:
        """Return the index blobs that readers use."""
        listed = {blob.blob_id: blob for blob in self._list_indexes()}
        return [listed[blob_id] for blob_id in active_blobs(listed, self._logs().values())]

    def _list_indexes(self) -> list[BlobMetadata]:
        return [blob for blob in self._storage.list(INDEX_PREFIX) if blob.blob_id != POISON_INDEX_BLOB_ID]

    def _logs(self) -> dict[BlobMetadata, CompactionLog]:
        found = {}
        for blob in self._storage.list(COMPACTION_LOG_PREFIX):
            with contextlib.suppress(BlobNotFoundError):
                found[blob] = CompactionLog.from_json(self._indexes.stored.decrypt(blob.blob_id))
        return found

    def merge(self, inputs: Sequence[BlobMetadata], drop_before: int | None, drop_contents: Sequence[bytes]) -> None:
        """Write the compacted blobs and their log, and delete inputs of earlier compactions that are due."""
        files = [self._indexes.stored.open(blob.blob_id) for blob in inputs]
        try:
            plain = merge_index_files(files, version=self._version, drop=drop_contents, drop_deleted_before=drop_before)
        finally:
            for file in files:
                file.close()
        self._check()
        # the tail keeps an output from having the name of an input that was merged from the same entries
        outputs = [self._put(INDEX_PREFIX, data + secrets.token_bytes(LOCAL_INDEX_TAIL_LENGTH)) for data in plain]
        log = CompactionLog(inputs=tuple(inputs), outputs=tuple(outputs))
        written = self._put(COMPACTION_LOG_PREFIX, log.to_json())
        self._clean_up(written.timestamp_ns)

    def _clean_up(self, compacted_ns: int) -> None:
        names = [blob.blob_id for blob in self._list_indexes()]
        plan = plan_cleanup(names, self._logs(), compacted_ns=compacted_ns, settle_time_ns=self._settle_time_ns)
        delete_blobs(self._storage, plan.inputs, check=self._check)
        if plan.log is not None:
            self._put(CLEANUP_LOG_PREFIX, plan.log.to_json())

    def clean_up_logs(self) -> None:
        """Delete logs of compactions whose inputs are deleted."""
        listed = list(self._storage.list(CLEANUP_LOG_PREFIX))
        logs = {}
        for blob in listed:
            with contextlib.suppress(BlobNotFoundError):
                logs[blob.blob_id] = CleanupLog.from_json(self._indexes.stored.decrypt(blob.blob_id))
        plan = plan_log_cleanup(listed, logs, settle_time_ns=self._settle_time_ns)
        delete_blobs(self._storage, plan.compaction_logs, check=self._check)
        delete_blobs(self._storage, plan.cleanup_logs, check=self._check)

    def _put(self, prefix: str, plain: bytes) -> BlobMetadata:
        blob_id: BlobID
        blob_id, sealed = self._sealer.seal(prefix, plain)
        return self._storage.put(blob_id, sealed) or self._storage.metadata(blob_id)


__all__ = ["compact_indexes"]
