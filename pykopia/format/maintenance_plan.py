"""What maintenance may do, decided from its schedule, ages and listings (format 03 §8 to §15); others carry it out.

Everything is a pure function with the time among its arguments. Times are nanoseconds since 1970, those of index entries
seconds. A decision to keep something says why (``Rule``), so that a user can be told what holds space back and until when.
"""

import contextlib
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Final, Literal

from pykopia.dataclass import dataclass
from pykopia.errors import DamagedDataError
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import METADATA_PACK_PREFIX, PACK_PREFIXES, SESSION_PREFIX
from pykopia.format.gotime import parse_time
from pykopia.format.index_layout import IndexEntry
from pykopia.format.maintenance_schedule import (
    LogRetention,
    MaintenanceParameters,
    MaintenanceSchedule,
    TaskRun,
)
from pykopia.format.manifest import CONTENT_PREFIX
from pykopia.format.session import SessionMarker, session_of_blob

_SECOND_NS: Final = 1_000_000_000
_MINUTE_NS: Final = 60 * _SECOND_NS
_HOUR_NS: Final = 60 * _MINUTE_NS

SNAPSHOT_GC: Final = "snapshot-gc"
QUICK_REWRITE: Final = "quick-rewrite-contents"
FULL_REWRITE: Final = "full-rewrite-contents"
QUICK_DELETE: Final = "quick-delete-blobs"
FULL_DELETE: Final = "full-delete-blobs"
DROP_DELETED: Final = "full-drop-deleted-content"
INDEX_COMPACTION: Final = "index-compaction"
EXTEND_RETENTION: Final = "extend-blob-retention-time"
CLEANUP_LOGS: Final = "cleanup-logs"
ADVANCE_EPOCH: Final = "advance-epoch"
COMPACT_EPOCH: Final = "compact-single-epoch"
RANGE_CHECKPOINT: Final = "generate-epoch-range-index"
CLEANUP_MARKERS: Final = "cleanup-epoch-markers"
DELETE_SUPERSEDED: Final = "delete-superseded-epoch-indexes"

MAX_CLOCK_SKEW_NS: Final = 5 * _MINUTE_NS
"""By how much the clocks of storage and client may differ."""
CUTOFF_SLACK_NS: Final = _SECOND_NS
SHORT_PACK_PERCENT: Final = 60
"""A pack whose used contents fill less than this share of the pack size is short."""
DELETED_BY_FULL: Final = (*PACK_PREFIXES, SESSION_PREFIX)
"""Name prefixes of unneeded blobs that full maintenance may delete: packs and session markers."""
DELETED_BY_QUICK: Final = (METADATA_PACK_PREFIX,)
"""Name prefixes of unneeded blobs that quick maintenance may delete."""

Mode = Literal["quick", "full"]
Decision = Literal["keep", "too-recent", "undelete", "delete", "deleted", "system"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Safety:
    """Safety margins of maintenance before irreversible steps, in nanoseconds (format 03 §10)."""

    name: str
    rewrite_min_age_ns: int
    """A younger content is not moved."""
    gc_min_age_ns: int
    """A younger content is not marked deleted, whether it is used or not."""
    margin_between_gc_ns: int
    """Time between two collections of which the second confirms the first."""
    two_gc_cycles: bool
    """Whether a content must be found unused twice before its entry is dropped."""
    drop_extra_margin_ns: int
    pack_delete_min_age_ns: int
    """A younger pack is not deleted."""
    session_expiration_ns: int
    """A pack of a session that was alive within this time is not deleted."""
    rewrite_to_delete_ns: int
    """Clients may use an index from before a rewrite for so long."""
    settles: bool
    """Whether old index blobs of format version 1 are kept for an hour."""


FULL_SAFETY: Final = Safety(
    name="full",
    rewrite_min_age_ns=2 * _HOUR_NS,
    gc_min_age_ns=24 * _HOUR_NS,
    margin_between_gc_ns=4 * _HOUR_NS,
    two_gc_cycles=True,
    drop_extra_margin_ns=_HOUR_NS,
    pack_delete_min_age_ns=24 * _HOUR_NS,
    session_expiration_ns=96 * _HOUR_NS,
    rewrite_to_delete_ns=_HOUR_NS,
    settles=True,
)
NO_SAFETY: Final = Safety(
    name="none",
    rewrite_min_age_ns=0,
    gc_min_age_ns=0,
    margin_between_gc_ns=0,
    two_gc_cycles=False,
    drop_extra_margin_ns=0,
    pack_delete_min_age_ns=0,
    session_expiration_ns=0,
    rewrite_to_delete_ns=0,
    settles=False,
)
"""Safe only while no other client uses the repository, on a storage whose listings are never stale."""

SAFETY: Final[Mapping[str, Safety]] = {"full": FULL_SAFETY, "none": NO_SAFETY}


class Rule(StrEnum):
    """Why something is kept for now."""

    CONTENT_AGE = "content-age"
    TWO_CYCLES = "two-gc-cycles"
    PACK_AGE = "pack-age"
    AFTER_START = "written-after-start"
    SESSION = "active-session"
    AFTER_REWRITE = "after-rewrite"
    PARTLY_USED = "pack-partly-used"
    UNPROVEN = "not-proven-unused"


# --- when ------------------------------------------------------------------------------------------------------------


def plan_mode(parameters: MaintenanceParameters, schedule: MaintenanceSchedule, *, now: int) -> Mode | None:
    """Return the cycle that is due, None when none is (format 03 §8); whose turn it is, is another question."""
    if parameters.full.enabled and _is_due(schedule.next_full_ns, now):
        return "full"
    if parameters.quick.enabled and _is_due(schedule.next_quick_ns, now):
        return "quick"
    return None


def _is_due(due_ns: int | None, now: int) -> bool:
    return due_ns is None or now >= due_ns


def may_rewrite(schedule: MaintenanceSchedule, safety: Safety, mode: Mode) -> bool:
    """Return True if contents may be rewritten: not again before what the last rewrite left was deleted (gates A, B)."""
    rewrites = (FULL_REWRITE,) if mode == "full" else (FULL_REWRITE, QUICK_REWRITE)
    rewritten = schedule.last_end_ns(*rewrites)
    if rewritten is None or not safety.rewrite_to_delete_ns:
        return True
    deleted = schedule.last_end_ns(FULL_DELETE, QUICK_DELETE)
    return deleted is not None and deleted >= rewritten


def may_delete_packs_from(schedule: MaintenanceSchedule, safety: Safety) -> int | None:
    """Return when packs may be deleted after the last rewrite (gate C); None: at any time."""
    rewritten = schedule.last_end_ns(FULL_REWRITE, QUICK_REWRITE)
    return None if rewritten is None else rewritten + safety.rewrite_to_delete_ns


def may_delete_packs(schedule: MaintenanceSchedule, safety: Safety, *, now: int) -> bool:
    """Return True if unused packs may be deleted now (gate C)."""
    start = may_delete_packs_from(schedule, safety)
    return start is None or now >= start


def had_recent_full_rewrite(schedule: MaintenanceSchedule) -> bool:
    """Return True if the last rewrite was a full one; true when there was none."""
    quick = schedule.last_end_ns(QUICK_REWRITE)
    full = schedule.last_end_ns(FULL_REWRITE)
    return quick is None or (full is not None and full >= quick)


def safe_drop_time(runs: Iterable[TaskRun], safety: Safety, *, now: int) -> int | None:
    """Return before when contents must have been deleted so that they can be dropped for good; None: none can.

    The newest successful collection confirms an older one that ended long enough before it began (format 03 §12).
    """
    if not safety.two_gc_cycles:
        return now
    newest_first = sorted((run for run in runs if run.success), key=lambda run: run.start_ns, reverse=True)
    for run in newest_first[1:]:
        if newest_first[0].start_ns - run.end_ns > safety.margin_between_gc_ns:
            return run.start_ns - safety.drop_extra_margin_ns
    return None


def latest_drop_ns(schedule: MaintenanceSchedule) -> int | None:
    """Return before when deleted contents were dropped from an index of format version 1, by the recorded runs.

    None when none was. The runs of the drop and of every compaction say it, whoever ran them.
    """
    found = []
    for run in schedule.successes(DROP_DELETED, INDEX_COMPACTION):
        for statistics in run.statistics:
            text = (statistics.values or {}).get("droppedContentsDeletedBefore")
            if isinstance(text, str):
                with contextlib.suppress(DamagedDataError):
                    found.append(parse_time(text))
    return max((time for time in found if time > 0), default=None)


def clock_skew_ns(storage_ns: int, local_ns: int) -> int | None:
    """Return by how much the storage's clock is ahead of ours when that is too much to delete anything, else None."""
    skew = storage_ns - local_ns
    return skew if abs(skew) > MAX_CLOCK_SKEW_NS else None


# --- contents --------------------------------------------------------------------------------------------------------


def decide_content(entry: IndexEntry, *, used: bool, started: int, safety: Safety) -> Decision:
    """Return what garbage collection does with a content (format 03 §11).

    Args:
        entry: the winning entry of the content.
        used: whether a snapshot needs it.
        started: when maintenance began, by the storage's clock.
        safety: how old garbage must be.
    """
    if entry.content_id.startswith(CONTENT_PREFIX):
        return "system"
    if used:
        return "undelete" if entry.deleted else "keep"
    if started - entry.timestamp * _SECOND_NS < safety.gc_min_age_ns:
        return "too-recent"
    return "deleted" if entry.deleted else "delete"


def short_packs(used_bytes: Mapping[str, int], *, max_pack_size: int, prefixes: Iterable[str]) -> set[str]:
    """Return the packs whose contents are to be moved together (format 03 §13).

    Args:
        used_bytes: for each pack, the packed lengths of all contents that the index places in it.
        max_pack_size: bytes.
        prefixes: first letters of the packs that are looked at.
    """
    threshold = max_pack_size * SHORT_PACK_PERCENT // 100
    found: set[str] = set()
    for prefix in prefixes:
        short = {pack for pack, size in used_bytes.items() if pack.startswith(prefix) and size < threshold}
        if len(short) > 1:  # moving the contents of one gains nothing
            found |= short
    return found


# --- blobs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptBlob:
    """A blob that nothing needs and that is kept nevertheless."""

    blob: BlobMetadata
    rule: Rule
    until_ns: int | None
    """When this rule lets it go; None: not by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackDeletion:
    """Packs and session markers that nothing needs any more."""

    delete: tuple[BlobMetadata, ...]
    kept: tuple[KeptBlob, ...]

    def __str__(self) -> str:
        size = sum(blob.length for blob in self.delete)
        kept = sum(each.blob.length for each in self.kept)
        return f"delete {len(self.delete)} blobs ({size} bytes), keep {len(self.kept)} for now ({kept} bytes)"


def plan_pack_deletion(
    listed: Iterable[BlobMetadata],
    used: Collection[str],
    sessions: Mapping[str, SessionMarker],
    *,
    started: int,
    safety: Safety,
    prefixes: tuple[str, ...] = DELETED_BY_FULL,
    unproven: Collection[str] = (),
    busy: Collection[str] = (),
) -> PackDeletion:
    """Return which packs and session markers can be deleted (format 03 §14), markers after the packs of their sessions.

    Args:
        listed: packs and session markers, as the storage lists them.
        used: packs that the index refers to, for deleted contents too.
        sessions: markers of sessions by session ID, all that there are.
        started: when maintenance began, by the storage's clock.
        safety: how old they must be.
        prefixes: what the names of blobs that may be deleted begin with; others are left alone.
        unproven: packs that are not used by the index and not proven to be garbage: they and their markers stay.
        busy: sessions that had a marker when packs were listed: without one by now, they have just ended.
    """
    cutoff = started + CUTOFF_SLACK_NS
    ended = {session for session in busy if session not in sessions}
    unproven_sessions = {session_of_blob(blob_id) for blob_id in unproven}
    delete, kept = [], []
    for blob in listed:
        if blob.blob_id in used or not blob.blob_id.startswith(prefixes):
            continue
        session = session_of_blob(blob.blob_id)
        found = _kept_blob(blob, sessions, cutoff, safety)
        if found is None and session is not None and session in ended:
            found = KeptBlob(blob=blob, rule=Rule.AFTER_START, until_ns=None)
        is_marker = blob.blob_id.startswith(SESSION_PREFIX)
        if found is None and (blob.blob_id in unproven or (is_marker and session in unproven_sessions)):
            found = KeptBlob(blob=blob, rule=Rule.UNPROVEN, until_ns=None)
        if found is None:
            delete.append(blob)
        else:
            kept.append(found)
    delete.sort(key=lambda blob: blob.blob_id.startswith(SESSION_PREFIX))
    return PackDeletion(delete=tuple(delete), kept=tuple(kept))


def _kept_blob(
    blob: BlobMetadata, sessions: Mapping[str, SessionMarker], cutoff: int, safety: Safety
) -> KeptBlob | None:
    old_enough = blob.timestamp_ns + safety.pack_delete_min_age_ns - CUTOFF_SLACK_NS
    if blob.timestamp_ns > cutoff:
        return KeptBlob(blob=blob, rule=Rule.AFTER_START, until_ns=old_enough)
    if cutoff - blob.timestamp_ns < safety.pack_delete_min_age_ns:
        return KeptBlob(blob=blob, rule=Rule.PACK_AGE, until_ns=old_enough)
    session = sessions.get(session_of_blob(blob.blob_id) or "")
    if session is not None and cutoff - session.checkpoint_time_ns < safety.session_expiration_ns:
        expires = session.checkpoint_time_ns + safety.session_expiration_ns - CUTOFF_SLACK_NS
        return KeptBlob(blob=blob, rule=Rule.SESSION, until_ns=expires)
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class LogDeletion:
    """Log blobs to delete, and those that are kept."""

    delete: tuple[BlobMetadata, ...]
    kept: tuple[BlobMetadata, ...]


def plan_log_deletion(listed: Iterable[BlobMetadata], limits: LogRetention, *, now: int) -> LogDeletion:
    """Return which log blobs go: the first that is beyond a limit, and all that are older (format 03 §15).

    A limit of 0 is none: give ``LogRetention.effective`` for Kopia's defaults.
    """
    blobs = sorted(listed, key=lambda blob: blob.timestamp_ns, reverse=True)
    size = 0
    for position, blob in enumerate(blobs):
        size += blob.length
        if (
            (0 < limits.max_total_size < size)
            or (0 < limits.max_count <= position)
            or (limits.max_age_ns and now - blob.timestamp_ns > limits.max_age_ns)
        ):
            return LogDeletion(delete=tuple(blobs[position:]), kept=tuple(blobs[:position]))
    return LogDeletion(delete=(), kept=tuple(blobs))


__all__ = [
    "ADVANCE_EPOCH",
    "CLEANUP_LOGS",
    "CLEANUP_MARKERS",
    "COMPACT_EPOCH",
    "DELETED_BY_FULL",
    "DELETED_BY_QUICK",
    "DELETE_SUPERSEDED",
    "DROP_DELETED",
    "EXTEND_RETENTION",
    "FULL_DELETE",
    "FULL_REWRITE",
    "FULL_SAFETY",
    "INDEX_COMPACTION",
    "NO_SAFETY",
    "QUICK_DELETE",
    "QUICK_REWRITE",
    "RANGE_CHECKPOINT",
    "SAFETY",
    "SNAPSHOT_GC",
    "Decision",
    "KeptBlob",
    "LogDeletion",
    "Mode",
    "PackDeletion",
    "Rule",
    "Safety",
    "clock_skew_ns",
    "decide_content",
    "had_recent_full_rewrite",
    "latest_drop_ns",
    "may_delete_packs",
    "may_delete_packs_from",
    "may_rewrite",
    "plan_log_deletion",
    "plan_mode",
    "plan_pack_deletion",
    "safe_drop_time",
    "short_packs",
]
