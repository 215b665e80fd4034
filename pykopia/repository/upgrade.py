"""Upgrading a repository to the newest format while other clients are kept away.

Facts: format 01 §1.9, format 02 §3.3. The lock is placed, all others are waited for, the index moves to epochs, it is compared
with the one from before, and the lock goes. Until then the format block of before the upgrade can be put back.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from pykopia import clock
from pykopia.dataclass import dataclass
from pykopia.errors import BlobNotFoundError, DamagedIndexError, UpgradeInProgressError, UsageError
from pykopia.format.blob_names import FORMAT_BLOB_ID
from pykopia.format.index import IndexEntry
from pykopia.format.index_merge import MergedIndex
from pykopia.format.repository_blob import POISON_INDEX_BLOB, POISON_INDEX_BLOB_ID
from pykopia.format.repository_format import LATEST_VERSION
from pykopia.format.upgrade_lock import BACKUP_BLOB_PREFIX, UpgradeLock
from pykopia.ids import BlobID
from pykopia.index.upgrading import copy_to_first_epoch, delete_epochs, legacy_blobs
from pykopia.repository.core import Core
from pykopia.repository.format_blobs import MAX_CACHE_DURATION_NS
from pykopia.repository.view import Look, complete_view

log = logging.getLogger(__name__)

_SECOND_NS = 1_000_000_000
_MINUTE_NS = 60 * _SECOND_NS


@dataclass(frozen=True, kw_only=True, slots=True)
class UpgradeTimes:
    """Time in nanoseconds that other clients get to stop."""

    io_drain_timeout_ns: int = MAX_CACHE_DURATION_NS
    """Time in which every client sees the lock and ends what it does."""
    status_poll_interval_ns: int = _MINUTE_NS
    max_clock_drift_ns: int = 5 * _MINUTE_NS
    unsafe: bool = False
    """Allow less than 15 minutes: for repositories that no other client uses, or the index of others gets lost."""


class Upgrade:
    """The upgrade of a repository, by the owner of its lock; each step may be done by a process of its own."""

    def __init__(self, repository: Core, *, pause: Callable[[float], None] = time.sleep) -> None:
        """Upgrade ``repository``, whose ``client.upgrade_owner_id`` names the owner of the lock."""
        self._repository = repository
        self._pause = pause

    def place_lock(self, times: UpgradeTimes) -> UpgradeLock | None:
        """Ask all other clients to leave; return the lock, or None when the format is the newest already.

        Raises:
            UsageError: no owner is named, or the times make no sense.
            UpgradeInProgressError: another owner has the lock.
            ContradictedViewError: there are packs that no index lists, or markers of epochs are lost.
        """
        repository = self._repository
        repository.check_writable("upgrade")
        repository.read_format_again()
        current = repository.format
        if current.upgrade_lock is None and current.version >= LATEST_VERSION:
            return None
        if times.io_drain_timeout_ns < MAX_CACHE_DURATION_NS and not times.unsafe:
            raise UsageError(
                "can't lock the repository for an upgrade: the drain timeout must be 15 minutes or more, the time for which "
                "clients believe their copy of the format; if no other client uses it, pass --allow-unsafe-upgrade"
            )
        lock = UpgradeLock(
            owner_id=repository.client.upgrade_owner_id,
            creation_time_ns=clock.now(),
            io_drain_timeout_ns=times.io_drain_timeout_ns,
            status_poll_interval_ns=times.status_poll_interval_ns,
            message=f"Upgrading from format version {current.version} -> {LATEST_VERSION}",
            max_clock_drift_ns=times.max_clock_drift_ns,
        )
        lock.validate()
        complete_view(repository, "upgrade the repository", packs=Look())
        if current.upgrade_lock is None:
            repository.storage.put(lock.backup_blob_id, repository.format_blob_bytes)
        else:
            lock = current.upgrade_lock.updated(lock)
        repository.write_format(replace(current, upgrade_lock=lock, version=LATEST_VERSION))
        return lock

    def drain(self, waiting: Callable[[int], None] | None = None) -> None:
        """Wait until all other clients are surely gone; not at all where the index is kept in epochs already.

        Args:
            waiting: called with the nanoseconds still to wait, before each look.

        Raises:
            UsageError: the lock is gone.
        """
        while True:
            lock = self._lock()
            if self._repository.format.epoch_parameters.enabled and not lock.advance_notice_ns:
                return
            left = lock.upgrade_time_ns - clock.now()
            if left <= 0:
                return
            if waiting is not None:
                waiting(left)
            self._pause(min(lock.status_poll_interval_ns, left) / _SECOND_NS + 0.001)
            self._repository.read_format_again()

    def migrate(self) -> bool:
        """Move the index to epochs; return False where it is there already.

        Raises:
            UsageError: other clients may still be there.
        """
        repository = self._repository
        lock = self._lock()
        current = repository.format
        if current.epoch_parameters.enabled:
            return False
        if not lock.drained(clock.now()):
            raise UsageError("can't upgrade the index yet: other clients may still be writing; wait for them first")
        repository.refresh()
        view = complete_view(repository, "upgrade the repository", packs=Look())
        copy_to_first_epoch(repository.contents.indexes, view)
        changed = replace(current, version=1).upgraded()
        repository.write_format(replace(changed, version=LATEST_VERSION))
        return True

    def commit(self) -> None:
        """Release the lock, so that all clients use the new format.

        Raises:
            UsageError: no upgrade is going on.
        """
        self._lock()
        repository = self._repository
        # old programs look at this one first, and understand
        repository.storage.put(POISON_INDEX_BLOB_ID, POISON_INDEX_BLOB)
        repository.write_format(replace(repository.format, upgrade_lock=None))

    def roll_back(self) -> None:
        """Put the format block of before the upgrade back.

        Raises:
            UsageError: no upgrade is going on.
            ContradictedViewError: the old format is back, and its index is not complete: the index in epochs is kept.
        """
        lock = self._lock()
        repository, storage = self._repository, self._repository.storage
        backups = sorted(storage.list(BACKUP_BLOB_PREFIX), key=lambda blob: blob.timestamp_ns)
        raw = None
        for blob_id in (lock.backup_blob_id, *(blob.blob_id for blob in backups)):
            try:
                raw = storage.get(blob_id)
            except BlobNotFoundError:
                continue
            break
        if raw is None:
            raise UsageError(
                f"can't roll the upgrade back: there is no copy {lock.backup_blob_id} of the format block of before; "
                "`repository upgrade begin` with the same owner goes on with the upgrade"
            )
        storage.put(FORMAT_BLOB_ID, raw)
        for blob in backups:
            storage.delete(blob.blob_id)
        repository.read_format_again()
        if not repository.format.epoch_parameters.enabled:
            view = complete_view(repository, "delete the index of the upgrade", packs=Look())
            delete_epochs(repository.contents.indexes, view)

    def _lock(self) -> UpgradeLock:
        repository = self._repository
        repository.check_writable("upgrade")
        repository.read_format_again()
        lock = repository.format.upgrade_lock
        if lock is None:
            raise UsageError("no upgrade in progress")
        if lock.owner_id != repository.client.upgrade_owner_id:
            raise UpgradeInProgressError(
                f"the upgrade in progress belongs to {lock.owner_id}: pass --upgrade-owner-id={lock.owner_id} if that is you, "
                "or if its process is gone for good"
            )
        return lock


def compare_indexes(repository: Core) -> list[str] | None:
    """Compare the index of format version 1 with the one in epochs; return a line for each difference.

    None where there is no index of format version 1, so nothing to compare with.
    """
    indexes = repository.contents.indexes
    old, new = legacy_blobs(indexes), indexes.epoch_state().complete_index_set()
    if not old:
        return None
    return list(_differences(_entries(repository, old), _entries(repository, new)))


def _entries(repository: Core, blobs: list[BlobID]) -> Iterator[IndexEntry]:
    files = [repository.contents.indexes.stored.open(blob_id) for blob_id in blobs]
    try:
        yield from MergedIndex(files).entries(include_deleted=True)
    finally:
        for file in files:
            file.close()


def _differences(old: Iterator[IndexEntry], new: Iterator[IndexEntry]) -> Iterator[str]:
    before, after = next(old, None), next(new, None)
    while before is not None or after is not None:
        if after is None or (before is not None and before.content_id < after.content_id):
            assert before is not None
            yield f"content {before.content_id} in {before.pack_blob} is missing from the new index"
            before = next(old, None)
        elif before is None or after.content_id < before.content_id:
            yield f"content {after.content_id} in {after.pack_blob} is in the new index only"
            after = next(new, None)
        else:
            if before != after:
                yield f"content {before.content_id} differs: {before} was, {after} is"
            before, after = next(old, None), next(new, None)


def check_indexes(repository: Core) -> bool:
    """Verify that the index in epochs has the same entries as that of format version 1; return whether there is one.

    Raises:
        DamagedIndexError: it does not; the message names the first differences.
    """
    differences = compare_indexes(repository)
    if not differences:
        return differences is not None
    raise DamagedIndexError(
        f"the upgraded index differs from the one before in {len(differences)} contents: {'; '.join(differences[:3])}. The "
        "repository stays locked; `repository upgrade rollback --force` puts the old format back"
    )


__all__ = ["Upgrade", "UpgradeTimes", "check_indexes", "compare_indexes"]
