"""Deletes unused packs, stale session markers and old logs; extends the locks of blobs that are still in use."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

from pykopia import clock
from pykopia.crew import Crew
from pykopia.errors import (
    BlobNotFoundError,
    DamagedDataError,
    InvalidIDError,
    MaintenanceError,
    PykopiaError,
    UsageError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import LOG_PREFIX, SESSION_PREFIX
from pykopia.format.complete_view import FUTURE_TOLERANCE_NS, CompleteView
from pykopia.format.maintenance_plan import (
    CUTOFF_SLACK_NS,
    DELETED_BY_FULL,
    PackDeletion,
    Safety,
    plan_log_deletion,
    plan_pack_deletion,
)
from pykopia.format.maintenance_schedule import LogRetention, TaskStatistics
from pykopia.format.repository_blob import LOCKED_BLOB_PREFIXES
from pykopia.format.session import SessionMarker
from pykopia.ids import BlobID
from pykopia.repository.core import Core
from pykopia.repository.view import SETTLE_NS, Look, complete_view, list_blobs
from pykopia.storage.base import BlobStorage, RetentionMode

PARALLEL_DELETES = 16
DELETED_AT_ONCE = 64
"""Blobs that are deleted between two checks of the clocks and the lease."""

Check = Callable[[], None]


def no_check() -> None:
    """Never stop: for callers without a lease that could be lost."""


# --- unused packs ----------------------------------------------------------------------------------------------------


def plan_unused_packs(
    repository: Core,
    view: CompleteView,
    *,
    started: int,
    safety: Safety,
    prefixes: tuple[str, ...] = DELETED_BY_FULL,
) -> PackDeletion:
    """Return which packs and session markers can be deleted (format 03 §14).

    Args:
        repository: open.
        view: the proof, with packs; those that came later are not looked at.
        started: when maintenance began, by the storage's clock; nanoseconds since 1970.
        safety: how old unused packs must be.
        prefixes: what their names begin with.

    Raises:
        DamagedDataError: a session marker can't be read: the packs of its session can't be distinguished from unused ones then.
    """
    return plan_pack_deletion(
        view.listed,
        view.named,
        active_sessions(repository, view.listed),
        started=started,
        safety=safety,
        prefixes=prefixes,
        unproven=view.unproven(),
        busy=view.sessions,
    )


def look_before_deletion(
    repository: Core,
    *,
    started: int,
    safety: Safety,
    listed: Sequence[BlobMetadata] | None = None,
    list_parallelism: int = 0,
    uncollected: str = "",
    unreadable_is_garbage: bool = False,
    what: str = "delete unused packs",
) -> CompleteView:
    """Return the proof that unused packs may be deleted.

    Args:
        repository: open. Its index is loaded anew.
        started: when maintenance began, by the storage's clock; nanoseconds since 1970.
        safety: how old unused packs must be.
        listed: packs, where they were listed before; younger ones are not looked at then.
        list_parallelism: listings at one time, see ``MaintenanceParameters``.
        uncollected: why there was no garbage collection.
        unreadable_is_garbage: delete also unnamed packs that do not tell what they hold.
        what: what is to be done, for the message.

    Raises:
        ContradictedViewError: storage and index contradict each other.
        DamagedIndexError: a part of the index can't be read.
    """
    settles = min(SETTLE_NS, safety.pack_delete_min_age_ns)
    return complete_view(
        repository,
        what,
        packs=Look(
            listed=listed,
            list_parallelism=list_parallelism,
            older_than_ns=started + CUTOFF_SLACK_NS - settles,
            later_than_ns=max(started, clock.now()) + FUTURE_TOLERANCE_NS,
            sessions_before_ns=started + CUTOFF_SLACK_NS - safety.session_expiration_ns,
            unreadable_is_garbage=unreadable_is_garbage,
        ),
        uncollected=uncollected,
    )


def delete_unused_packs(
    repository: Core, view: CompleteView, plan: PackDeletion, *, check: Check = no_check, parallel: int = 0
) -> TaskStatistics:
    """Delete the packs of a plan that a view proves to be garbage.

    Raises:
        UsageError: the view does not prove it; nothing was deleted.
        StorageError: a blob can't be deleted; others were.
    """
    proven = {blob.blob_id for blob in view.listed} - set(view.named) - view.unproven().keys()
    for blob in plan.delete:
        if blob.blob_id not in proven:
            raise UsageError(f"pack {blob.blob_id} is not deleted: nothing proves that it is unused")
    delete_blobs(repository.storage, [blob.blob_id for blob in plan.delete], check=check, parallel=parallel)
    return pack_statistics(plan, deleted=plan.delete)


def pack_statistics(plan: PackDeletion, *, deleted: Sequence[BlobMetadata] = ()) -> TaskStatistics:
    """Return what Kopia records of the deletion of unused packs."""
    kept = [each.blob for each in plan.kept]
    return TaskStatistics(
        kind="deleteUnreferencedPacksStats",
        values={
            "unreferencedPackCount": len(plan.delete),
            "unreferencedTotalSize": total(plan.delete),
            "deletedPackCount": len(deleted),
            "deletedTotalSize": total(deleted),
            "retainedPackCount": len(kept),
            "retainedTotalSize": total(kept),
        },
    )


def active_sessions(repository: Core, listed: Iterable[BlobMetadata] | None = None) -> dict[str, SessionMarker]:
    """Return the markers of all sessions by their ID.

    Args:
        repository: open.
        listed: markers, and perhaps other blobs; markers are listed now when it is None.

    Raises:
        DamagedDataError: one can't be read: its packs can't be distinguished from unused ones then.
    """
    found = {}
    for blob in repository.storage.list(SESSION_PREFIX) if listed is None else listed:
        if not blob.blob_id.startswith(SESSION_PREFIX):
            continue
        try:
            stored = repository.storage.get(blob.blob_id)
            marker = SessionMarker.from_json(repository.sealer.sealer.open(blob.blob_id, stored))
        except BlobNotFoundError:
            continue  # its session has ended in the meantime
        except (DamagedDataError, InvalidIDError) as error:
            raise DamagedDataError(
                f"session marker {blob.blob_id} can't be read, so the packs of its session can't be told from unused ones: "
                f"{error}; if no client is writing to the repository, delete it by `blob delete`"
            ) from error
        found[marker.session_id] = marker
    return found


def delete_blobs(
    storage: BlobStorage, blob_ids: Iterable[BlobID], *, check: Check = no_check, parallel: int = 0
) -> None:
    """Delete blobs, several at one time; ``check`` is called before each group of them and may raise to stop."""
    with Crew[None](parallel or PARALLEL_DELETES, name="pykopia-delete") as crew:
        for group in _groups(list(blob_ids), DELETED_AT_ONCE):
            check()
            list(crew.map(storage.delete, group))


def _groups(blob_ids: Sequence[BlobID], size: int) -> Iterator[Sequence[BlobID]]:
    for start in range(0, len(blob_ids), size):
        yield blob_ids[start : start + size]


# --- logs ------------------------------------------------------------------------------------------------------------


def delete_logs(
    repository: Core,
    retention: LogRetention,
    *,
    now: int,
    listed: Iterable[BlobMetadata] | None = None,
    check: Check = no_check,
) -> TaskStatistics:
    """Delete old log blobs; pykopia writes none, Kopia does (format 03 §15). They are listed now unless they are ``listed``."""
    logs = repository.storage.list(LOG_PREFIX) if listed is None else listed
    plan = plan_log_deletion(logs, retention.effective, now=now)
    delete_blobs(repository.storage, [blob.blob_id for blob in plan.delete], check=check)
    return TaskStatistics(
        kind="cleanupLogsStats",
        values={
            "toDeleteBlobCount": len(plan.delete),
            "toDeleteBlobSize": total(plan.delete),
            "deletedBlobCount": len(plan.delete),
            "deletedBlobSize": total(plan.delete),
            "retainedBlobCount": len(plan.kept),
            "retainedBlobSize": total(plan.kept),
        },
    )


# --- object lock -----------------------------------------------------------------------------------------------------


def extend_locks(repository: Core, *, check: Check = no_check, parallel: int = 0) -> TaskStatistics:
    """Lock all blobs that the repository locks for its full period from now on (format 03 §6).

    Raises:
        MaintenanceError: for some blobs it failed; the message names one. The others were extended.
    """
    configuration, storage = repository.blob_configuration, repository.storage
    kind = "extendBlobRetentionStats"
    if not configuration.retains:
        return TaskStatistics(kind=kind, values=None)
    mode = cast("RetentionMode", configuration.retention_mode)

    def extend(blob_id: BlobID) -> tuple[BlobID, PykopiaError | None]:
        try:
            storage.extend_retention(blob_id, mode, configuration.retention_period_ns)
        except BlobNotFoundError:
            return blob_id, None
        except PykopiaError as error:
            return blob_id, error
        return blob_id, None

    count = 0
    failures: list[tuple[BlobID, PykopiaError]] = []
    crew = Crew[tuple[BlobID, PykopiaError | None]](parallel or PARALLEL_DELETES, name="pykopia-lock")
    with crew:
        for prefix in LOCKED_BLOB_PREFIXES:
            for group in _groups([blob.blob_id for blob in storage.list(prefix)], DELETED_AT_ONCE):
                check()
                count += len(group)
                failures += [(blob_id, error) for blob_id, error in crew.map(extend, group) if error is not None]
    if failures:
        blob_id, error = failures[0]
        raise MaintenanceError(
            f"the locks of {len(failures)} of {count} blobs could not be extended, {blob_id} first: {error}"
        ) from error
    return TaskStatistics(
        kind=kind,
        values={
            "toExtendBlobCount": count,
            "extendedBlobCount": count,
            "retentionPeriod": _go_duration(configuration.retention_period_ns),
        },
    )


def _go_duration(nanoseconds: int) -> str:
    """Return a duration of an hour or more as Go writes it, in whole seconds."""
    minutes, seconds = divmod(nanoseconds // 1_000_000_000, 60)
    return f"{minutes // 60}h{minutes % 60}m{seconds}s"


def total(blobs: Iterable[BlobMetadata]) -> int:
    """Return the bytes of some blobs."""
    return sum(blob.length for blob in blobs)


__all__ = [
    "Check",
    "active_sessions",
    "delete_blobs",
    "delete_logs",
    "delete_unused_packs",
    "extend_locks",
    "list_blobs",
    "look_before_deletion",
    "no_check",
    "pack_statistics",
    "plan_unused_packs",
    "total",
]
