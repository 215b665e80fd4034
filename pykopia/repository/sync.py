"""A copy of a repository, kept up to date: blobs that are missing or older in another storage are copied there.

The copy is a repository of its own at every moment: what the index is read from is copied after the packs that it lists
and deleted before them, so a copy that is cut off, or that others write to the source during, lists nothing it has not.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import groupby

from pykopia.arguments import check_fields, check_number
from pykopia.crew import in_parallel
from pykopia.dataclass import dataclass
from pykopia.errors import (
    BlobNotFoundError,
    RepositoryExistsError,
    RepositoryNotFoundError,
    UnsupportedOptionError,
    UsageError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import FORMAT_BLOB_ID, INDEX_PREFIXES, is_pack
from pykopia.format.repository_blob import FormatBlob
from pykopia.ids import BlobID
from pykopia.storage.base import BlobStorage, PutOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncOptions:
    """Options of a synchronization; the defaults are Kopia's."""

    update: bool = True
    """Copy blobs that are there but older than in the source."""
    delete: bool = False
    """Delete blobs that the source has not."""
    dry_run: bool = False
    parallel: int = 1
    times: bool = False
    """Give the copies the times of the originals, where the storage can."""
    must_exist: bool = False
    """Fail where no repository is there yet."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self)
        check_number("parallel", self.parallel, least=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncPlan:
    """Plan of a synchronization."""

    copy: tuple[BlobMetadata, ...]
    """In the order in which they are copied."""
    delete: tuple[BlobMetadata, ...]
    """In the order in which they are deleted, after all copies."""
    in_sync: int
    in_sync_bytes: int

    @property
    def copy_bytes(self) -> int:
        """Bytes to copy."""
        return sum(blob.length for blob in self.copy)

    @property
    def delete_bytes(self) -> int:
        """Bytes that go."""
        return sum(blob.length for blob in self.delete)


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncCounters:
    """Progress so far."""

    copied: int = 0
    copied_bytes: int = 0
    deleted: int = 0
    vanished: int = 0
    """Blobs that were deleted from the source before they were copied."""


def plan_sync(
    source: Iterable[BlobMetadata], target: Iterable[BlobMetadata], options: SyncOptions, *, listed_first: set[BlobID]
) -> SyncPlan:
    """Return what makes a target equal to a source.

    Args:
        source: All blobs of the source.
        target: All blobs of the target.
        options: What is wanted.
        listed_first: The index blobs of a listing of the source that was made before ``source``: later ones may list
            packs that are not in it, and are left for the next time.
    """
    there = {blob.blob_id: blob for blob in target}
    copy: list[BlobMetadata] = []
    same = same_bytes = 0
    for blob in source:
        known = there.pop(blob.blob_id, None)
        if known is None:
            if blob.blob_id in listed_first or not blob.blob_id.startswith(INDEX_PREFIXES):
                copy.append(blob)
        elif known.length != blob.length or (options.update and blob.timestamp_ns > known.timestamp_ns):
            copy.append(blob)
        else:
            same += 1
            same_bytes += blob.length
    return SyncPlan(
        copy=tuple(sorted(copy, key=_rank)),
        delete=tuple(sorted(there.values(), key=_rank, reverse=True)) if options.delete else (),
        in_sync=same,
        in_sync_bytes=same_bytes,
    )


def _rank(blob: BlobMetadata) -> tuple[int, str]:
    """Packs, then what is neither pack nor index, then index blobs."""
    return (0 if is_pack(blob.blob_id) else 2 if blob.blob_id.startswith(INDEX_PREFIXES) else 1), blob.blob_id


def sync(
    source: BlobStorage,
    target: BlobStorage,
    options: SyncOptions | None = None,
    *,
    planned: Callable[[SyncPlan], None] | None = None,
    progress: Callable[[SyncCounters], None] | None = None,
) -> SyncCounters:
    """Copy what a target lacks of the repository in ``source``; the source is only read.

    Args:
        source: Where the repository is.
        target: Where the copy is, or an empty storage.
        options: What to do.
        planned: Told what will be done, before it is.
        progress: Told after each blob.

    Raises:
        RepositoryExistsError: The target holds another repository, or blobs of something else; it was left alone.
        RepositoryNotFoundError: The target holds none and ``must_exist`` is set.
        UsageError: Source and target are the same.
    """
    options = options or SyncOptions()
    if source.place == target.place:
        raise UsageError(f"{target.display_name} can't be synchronized with itself: name another place for the copy")
    there = list(target.list())
    _check_same_repository(source, target, there, options)
    if not there:
        there = list(target.list())  # the format block may be there now
    listed_first = {blob.blob_id for prefix in INDEX_PREFIXES for blob in source.list(prefix)}
    plan = plan_sync(source.list(), there, options, listed_first=listed_first)
    if planned is not None:
        planned(plan)
    return SyncCounters() if options.dry_run else _Copying(source, target, options, progress).run(plan)


def _check_same_repository(
    source: BlobStorage, target: BlobStorage, there: list[BlobMetadata], options: SyncOptions
) -> None:
    """Write the format block first, so that nothing of another repository can get in between."""
    raw = source.get(FORMAT_BLOB_ID)
    try:
        present = target.get(FORMAT_BLOB_ID)
    except BlobNotFoundError:
        if options.must_exist:
            raise RepositoryNotFoundError(
                f"{target.display_name} holds no repository: {FORMAT_BLOB_ID} is missing; leave --must-exist out to make a "
                "first copy there"
            ) from None
        if there:
            raise RepositoryExistsError(
                f"{target.display_name} holds {len(there)} blobs and no {FORMAT_BLOB_ID}: it is not a copy of this "
                "repository, and nothing was written; choose an empty place"
            ) from None
        if not options.dry_run:
            target.put(FORMAT_BLOB_ID, raw)
        return
    if FormatBlob.from_bytes(present).unique_id != FormatBlob.from_bytes(raw).unique_id:
        raise RepositoryExistsError(
            f"{target.display_name} holds another repository: its unique ID differs, and nothing was written; choose "
            "another place"
        )


class _Copying:
    def __init__(
        self,
        source: BlobStorage,
        target: BlobStorage,
        options: SyncOptions,
        progress: Callable[[SyncCounters], None] | None,
    ) -> None:
        self._source, self._target = source, target
        self._times = options.times
        self._parallel = max(1, options.parallel)
        self._progress = progress
        self._lock = threading.Lock()
        self._counters = SyncCounters()

    def run(self, plan: SyncPlan) -> SyncCounters:
        """Carry a plan out; each rank is finished before the next begins."""
        for act, blobs in ((self._copy, plan.copy), (self._delete, plan.delete)):
            for _, same in groupby(blobs, key=lambda blob: _rank(blob)[0]):
                in_parallel(act, same, threads=self._parallel, name="pykopia-sync")
        return self._counters

    def _copy(self, blob: BlobMetadata) -> None:
        try:
            data = self._source.get(blob.blob_id)
        except BlobNotFoundError:
            log.info("ignoring BLOB not found: %s", blob.blob_id)
            self._count(vanished=1)
            return
        self._put(blob, data)
        self._count(copied=1, copied_bytes=len(data))

    def _put(self, blob: BlobMetadata, data: bytes) -> None:
        if self._times:
            try:
                self._target.put(blob.blob_id, data, PutOptions(set_mtime_ns=blob.timestamp_ns))
            except UnsupportedOptionError:
                log.warning("destination repository does not support preserving modification times")
                self._times = False
            else:
                return
        self._target.put(blob.blob_id, data)

    def _delete(self, blob: BlobMetadata) -> None:
        self._target.delete(blob.blob_id)
        self._count(deleted=1)

    def _count(self, **numbers: int) -> None:
        with self._lock:
            counters = self._counters
            self._counters = replace(
                counters, **{name: getattr(counters, name) + number for name, number in numbers.items()}
            )
            if self._progress is not None:
                self._progress(self._counters)


__all__ = ["SyncCounters", "SyncOptions", "SyncPlan", "plan_sync", "sync"]
