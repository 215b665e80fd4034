"""Decisions of maintenance against those of real Kopia."""

from typing import Any

import pytest

from pykopia.format.blob import BlobMetadata
from pykopia.format.gotime import parse_time
from pykopia.format.index import IndexEntry
from pykopia.format.maintenance_plan import (
    ADVANCE_EPOCH,
    CLEANUP_LOGS,
    CLEANUP_MARKERS,
    COMPACT_EPOCH,
    DELETE_SUPERSEDED,
    DROP_DELETED,
    EXTEND_RETENTION,
    FULL_DELETE,
    FULL_REWRITE,
    FULL_SAFETY,
    INDEX_COMPACTION,
    NO_SAFETY,
    QUICK_DELETE,
    QUICK_REWRITE,
    RANGE_CHECKPOINT,
    SAFETY,
    SNAPSHOT_GC,
    Rule,
    Safety,
    clock_skew_ns,
    decide_content,
    had_recent_full_rewrite,
    may_delete_packs,
    may_rewrite,
    plan_log_deletion,
    plan_mode,
    plan_pack_deletion,
    safe_drop_time,
    short_packs,
)
from pykopia.format.maintenance_schedule import (
    CycleParameters,
    LogRetention,
    MaintenanceParameters,
    MaintenanceSchedule,
)
from pykopia.format.maintenance_schedule import TaskRun as Run
from pykopia.format.session import SessionMarker
from pykopia.ids import BlobID, ContentID
from tests.format.index_support import load

VECTORS = load("maintenance.json")
SECOND = 10**9
HOUR = 3600 * SECOND
NOW = parse_time("2026-11-25T12:00:00Z")
FORMATS = ["repoV1", "repoV3"]


def runs_of(cases: list[dict[str, Any]] | None) -> tuple[Run, ...]:
    return tuple(
        Run(start_ns=parse_time(case["start"]), end_ns=parse_time(case["end"]), success=case.get("success", False))
        for case in cases or ()
    )


@pytest.mark.parametrize("name", ["full", "none"])
def test_the_times_of_safety_are_those_of_kopia(name: str) -> None:
    expected, safety = VECTORS[f"safety{name.capitalize()}"], SAFETY[name]
    assert {
        "RewriteMinAge": safety.rewrite_min_age_ns,
        "MinContentAgeSubjectToGC": safety.gc_min_age_ns,
        "MarginBetweenSnapshotGC": safety.margin_between_gc_ns,
        "RequireTwoGCCycles": safety.two_gc_cycles,
        "DropContentFromIndexExtraMargin": safety.drop_extra_margin_ns,
        "PackDeleteMinAge": safety.pack_delete_min_age_ns,
        "SessionExpirationAge": safety.session_expiration_ns,
        "MinRewriteToOrphanDeletionDelay": safety.rewrite_to_delete_ns,
        "DisableEventualConsistencySafety": not safety.settles,
    } == expected


@pytest.mark.parametrize("case", VECTORS["gates"], ids=lambda case: case["name"])
def test_the_gates_open_when_those_of_kopia_do(case: dict[str, Any]) -> None:
    schedule = MaintenanceSchedule(
        runs={
            QUICK_REWRITE: runs_of(case["quickRewriteRuns"]),
            FULL_REWRITE: runs_of(case["fullRewriteRuns"]),
            QUICK_DELETE: runs_of(case["quickDeleteRuns"]),
            FULL_DELETE: runs_of(case["fullDeleteRuns"]),
        }
    )
    now = parse_time(case["now"])
    for safety, suffix in ((FULL_SAFETY, ""), (NO_SAFETY, "SafetyNone")):
        assert may_rewrite(schedule, safety, "quick") == case["mayQuickRewrite" + suffix]
        assert may_rewrite(schedule, safety, "full") == case["mayFullRewrite" + suffix]
        assert may_delete_packs(schedule, safety, now=now) == case["mayDeletePacks" + suffix]
    assert had_recent_full_rewrite(schedule) == case["hadRecentFullRewrite"]


@pytest.mark.parametrize("case", VECTORS["safeDropTime"], ids=lambda case: case["name"])
def test_deleted_contents_are_dropped_when_kopia_drops_them(case: dict[str, Any]) -> None:
    expected = parse_time(case["safeDropTime"]) if case["safeDropTime"] else None
    assert safe_drop_time(runs_of(case["runs"]), FULL_SAFETY, now=NOW) == expected
    assert safe_drop_time(runs_of(case["runs"]), NO_SAFETY, now=NOW) == NOW


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("safety", [FULL_SAFETY, NO_SAFETY], ids=lambda safety: safety.name)
def test_packs_are_deleted_as_kopia_deletes_them(version: str, safety: Safety) -> None:
    case = VECTORS[version]["packGC"]
    started = NOW
    sessions = {
        each["sessionID"]: SessionMarker(
            session_id=each["sessionID"], checkpoint_time_ns=started - int(float(each["checkpointAgeSeconds"])) * SECOND
        )
        for each in case["activeSessions"]
    }
    listed = [
        BlobMetadata(
            blob_id=BlobID(blob["id"]),
            length=10,
            timestamp_ns=started - int(float(blob["ageBeforeCutoffSeconds"])) * SECOND,
        )
        for blob in case["blobs"]
    ]
    used = {blob["id"] for blob in case["blobs"] if "referenced by" in blob["why"]}
    assert used
    plan = plan_pack_deletion(listed, used, sessions, started=started, safety=safety)
    key = "deletedSafetyFull" if safety is FULL_SAFETY else "deletedSafetyNone"
    assert {blob.blob_id for blob in plan.delete} == {blob["id"] for blob in case["blobs"] if blob[key]}
    assert {each.blob.blob_id for each in plan.kept}.isdisjoint(used)
    quick = plan_pack_deletion(listed, used, sessions, started=started, safety=FULL_SAFETY, prefixes=("q",))
    expected = {blob["id"] for blob in case["blobs"] if blob["deletedQuickSafetyFull"]}
    assert {blob.blob_id for blob in quick.delete} == expected


@pytest.mark.parametrize("version", FORMATS)
def test_a_kept_pack_goes_at_the_time_that_was_told(version: str) -> None:
    blobs = [
        BlobMetadata(blob_id=BlobID("p1"), length=1, timestamp_ns=NOW - HOUR),
        BlobMetadata(blob_id=BlobID("p2"), length=1, timestamp_ns=NOW + 5 * SECOND),
        BlobMetadata(blob_id=BlobID("p3-s1"), length=1, timestamp_ns=NOW - 50 * HOUR),
    ]
    sessions = {"s1": SessionMarker(session_id="s1", checkpoint_time_ns=NOW - 50 * HOUR)}
    kept = plan_pack_deletion(blobs, set(), sessions, started=NOW, safety=FULL_SAFETY).kept
    assert [each.rule for each in kept] == [Rule.PACK_AGE, Rule.AFTER_START, Rule.SESSION]
    for each in kept:
        assert each.until_ns is not None
        later = plan_pack_deletion([each.blob], set(), sessions, started=each.until_ns, safety=FULL_SAFETY)
        assert later.delete == (each.blob,)
        sooner = plan_pack_deletion([each.blob], set(), sessions, started=each.until_ns - 1, safety=FULL_SAFETY)
        assert not sooner.delete


@pytest.mark.parametrize("case", VECTORS["repoV3"]["cleanupLogs"], ids=lambda case: case["name"])
def test_logs_are_deleted_as_kopia_deletes_them(case: dict[str, Any]) -> None:
    blobs = [
        BlobMetadata(
            blob_id=BlobID(blob["id"]), length=blob["length"], timestamp_ns=NOW - round(blob["ageHours"] * HOUR)
        )
        for blob in case["blobs"]
    ]
    retention = LogRetention(
        max_total_size=case["maxTotalSize"], max_count=case["maxCount"], max_age_ns=case["maxAgeNanos"]
    )
    plan = plan_log_deletion(reversed(blobs), retention, now=NOW)
    assert {blob.blob_id for blob in plan.delete} == {blob["id"] for blob in case["blobs"] if blob["deleted"]}
    assert len(plan.delete) + len(plan.kept) == len(blobs)


@pytest.mark.parametrize("version", FORMATS)
def test_contents_are_marked_as_kopia_marks_them(version: str) -> None:
    for case in VECTORS[version]["snapshotGC"]:
        entry = IndexEntry(
            content_id=ContentID(case["prefix"] + "00" * 16),
            pack_blob=BlobID("p1"),
            timestamp=(NOW - case["ageHours"] * HOUR) // SECOND,
            original_length=1,
            packed_length=1,
            pack_offset=0,
            compression=0,
            deleted=case["deletedBefore"],
            format_version=3,
        )
        decision = decide_content(entry, used=case["usedBySnapshot"], started=NOW, safety=FULL_SAFETY)
        assert (decision in {"delete", "deleted"}) == case["deletedAfter"], case["name"]
        assert (decision == "undelete") == case["movedToAnotherPack"], case["name"]


def test_one_short_pack_is_left_alone_and_two_are_not() -> None:
    used = {"p1": 10, "p2": 59, "p3": 60, "q1": 1, "x": 0}
    assert short_packs(used, max_pack_size=100, prefixes="pq") == {"p1", "p2"}
    assert short_packs({**used, "q2": 3}, max_pack_size=100, prefixes="q") == {"q1", "q2"}


def test_the_full_cycle_comes_before_the_quick_one_and_only_what_is_enabled_runs() -> None:
    parameters = MaintenanceParameters()
    due, later = NOW, NOW + 1
    assert plan_mode(parameters, MaintenanceSchedule(), now=NOW) == "full"
    assert plan_mode(parameters, MaintenanceSchedule(next_full_ns=due, next_quick_ns=due), now=NOW) == "full"
    assert plan_mode(parameters, MaintenanceSchedule(next_full_ns=later, next_quick_ns=due), now=NOW) == "quick"
    assert plan_mode(parameters, MaintenanceSchedule(next_full_ns=later, next_quick_ns=later), now=NOW) is None
    off = MaintenanceParameters(full=CycleParameters(), quick=CycleParameters())
    assert plan_mode(off, MaintenanceSchedule(), now=NOW) is None


def test_clocks_may_differ_by_five_minutes() -> None:
    assert clock_skew_ns(NOW + 300 * SECOND, NOW) is None
    assert clock_skew_ns(NOW - 300 * SECOND, NOW) is None
    assert clock_skew_ns(NOW + 301 * SECOND, NOW) == 301 * SECOND
    assert clock_skew_ns(NOW - 301 * SECOND, NOW) == -301 * SECOND


def test_tasks_have_the_names_that_kopia_records() -> None:
    """Another client finds the runs of a task in the schedule by these."""
    assert [
        SNAPSHOT_GC, QUICK_REWRITE, FULL_REWRITE, QUICK_DELETE, FULL_DELETE, DROP_DELETED, INDEX_COMPACTION,
        EXTEND_RETENTION, CLEANUP_LOGS, ADVANCE_EPOCH, COMPACT_EPOCH, RANGE_CHECKPOINT, CLEANUP_MARKERS, DELETE_SUPERSEDED,
    ] == [
        "snapshot-gc", "quick-rewrite-contents", "full-rewrite-contents", "quick-delete-blobs", "full-delete-blobs",
        "full-drop-deleted-content", "index-compaction", "extend-blob-retention-time", "cleanup-logs", "advance-epoch",
        "compact-single-epoch", "generate-epoch-range-index", "cleanup-epoch-markers", "delete-superseded-epoch-indexes",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("prefix", "used", "deleted", "hours", "decision"),
    [
        ("m", False, False, 1000, "system"),
        ("m", True, True, 1000, "system"),
        ("", True, False, 1000, "keep"),
        ("", True, True, 1000, "undelete"),
        ("k", False, False, 23, "too-recent"),
        ("k", False, False, 24, "delete"),
        ("", False, True, 24, "deleted"),
    ],
)
def test_each_content_is_decided_on(prefix: str, used: bool, deleted: bool, hours: int, decision: str) -> None:
    entry = IndexEntry(
        content_id=ContentID(prefix + "00" * 16),
        pack_blob=BlobID("p1"),
        timestamp=(NOW - hours * HOUR) // SECOND,
        original_length=1,
        packed_length=1,
        pack_offset=0,
        compression=0,
        deleted=deleted,
        format_version=3,
    )
    assert decide_content(entry, used=used, started=NOW, safety=FULL_SAFETY) == decision
