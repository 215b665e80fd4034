"""Snapshot manifests against the vectors of real Kopia, byte for byte, and as properties."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedManifestError, UsageError
from pykopia.format.directory import DirectoryEntry, DirectorySummary, summarize_file
from pykopia.format.gojson import dumps, members
from pykopia.format.snapshot_manifest import (
    SnapshotManifest,
    SnapshotStats,
    StorageStats,
    StorageUsage,
)
from pykopia.format.source import SourceInfo
from pykopia.ids import ManifestID, ObjectID

VECTOR_FILES = Path(__file__).parents[1] / "vectors"
VECTORS: dict[str, Any] = json.loads((VECTOR_FILES / "dir_objects.json").read_text())
EMPTY, FULL, ODD = (text.encode() for text in VECTORS["snapshot_manifests"])
REAL: dict[str, Any] = json.loads((VECTOR_FILES / "real_snapshot_dump.json").read_text())
STORED: list[dict[str, Any]] = [
    entry
    for content in REAL["manifest_contents"].values()
    for entry in content["entries"]
    if (entry["labels"] or {}).get("type") == "snapshot"
]

SECOND = 10**9
NOON = 1709210096 * SECOND
ROOT = DirectoryEntry("p", "d", 0o755, object_id=ObjectID("k0123456789abcdef0123456789abcdef"), mtime_ns=NOON)
SNAPSHOT = SnapshotManifest(
    source=SourceInfo(host="h", user_name="u", path="/p"), start_time_ns=NOON, end_time_ns=NOON + 1, root_entry=ROOT
)

texts = st.text()
counters = st.integers(0, (1 << 31) - 1)
times = st.integers(-(1 << 63), (1 << 63) - 1)
snapshots = st.builds(
    SnapshotManifest,
    source=st.builds(SourceInfo, host=st.text(min_size=1), user_name=st.text(min_size=1), path=st.text(min_size=1)),
    description=texts,
    start_time_ns=times,
    end_time_ns=times,
    stats=st.builds(SnapshotStats, total_size=st.integers(0, (1 << 63) - 1), file_count=counters, error_count=counters),
    incomplete=texts,
    root_entry=st.just(ROOT),
    tags=st.dictionaries(texts.map("tag:{}".format), texts, max_size=3),
    pins=st.lists(texts, max_size=3).map(tuple),
    extra=st.dictionaries(texts.map("x-{}".format), (st.integers() | texts).map(dumps), max_size=3),
)


def test_the_full_vector_is_written_as_kopia_writes_it() -> None:
    snapshot = SnapshotManifest(
        source=SourceInfo(host="h", user_name="u", path="/p<&>"),
        description='d"<é>',
        start_time_ns=NOON,
        end_time_ns=NOON + 3 * SECOND // 2,
        stats=SnapshotStats(
            total_size=1,
            excluded_total_size=2,
            file_count=3,
            cached_files=4,
            non_cached_files=5,
            dir_count=6,
            excluded_file_count=7,
            excluded_dir_count=8,
            ignored_error_count=9,
            error_count=10,
        ),
        root_entry=DirectoryEntry(
            "p",
            "d",
            0o755,
            mtime_ns=NOON,
            object_id=ROOT.object_id,
            summary=DirectorySummary(dirs=1, max_time_ns=NOON),
        ),
        tags={"tag:z": "1", "": "x", "tag:a": "2"},
        pins=("b", "a"),
    )
    assert snapshot.to_json() == FULL
    assert SnapshotManifest.from_json(FULL) == snapshot
    assert snapshot.root_object_id == ROOT.object_id


def test_the_empty_vector_is_read_and_can_be_shown_but_not_saved() -> None:
    snapshot = SnapshotManifest.from_json(EMPTY)
    assert snapshot == SnapshotManifest(source=SourceInfo(), start_time_ns=0, end_time_ns=0)
    assert snapshot.to_output() == EMPTY
    assert snapshot.root_object_id == ""
    with pytest.raises(UsageError, match="its source has no host"):
        snapshot.to_json()


def test_the_odd_vector_is_shown_as_kopia_shows_it() -> None:
    snapshot = SnapshotManifest.from_json(ODD, ManifestID("abc"))
    assert (snapshot.id, snapshot.incomplete, snapshot.extra) == ("abc", "canceled", {})
    usage = StorageUsage(
        object_bytes=1,
        original_content_bytes=2,
        packed_content_bytes=3,
        file_objects=4,
        dir_objects=5,
        contents=6,
    )
    stats = StorageStats(new_data=usage, running_total=StorageUsage())
    assert snapshot.to_output(storage_stats=stats) == ODD


@pytest.mark.parametrize("entry", STORED, ids=lambda entry: entry["id"])
def test_manifests_of_a_real_repository_are_read_and_written_again(entry: dict[str, Any]) -> None:
    data = dumps(entry["data"])
    snapshot = SnapshotManifest.from_json(data, entry["id"])
    assert snapshot.id == entry["id"]
    assert snapshot.to_json() == data
    assert snapshot.labels() == entry["labels"]
    if snapshot.root_entry is not None and snapshot.root_entry.type == "f":
        assert snapshot.root_entry.summary == summarize_file(snapshot.root_entry.size, snapshot.root_entry.mtime_ns)


def test_the_vectors_hold_snapshots_of_a_real_repository() -> None:
    assert len(STORED) > 20


@pytest.mark.parametrize("shown", REAL["snapshot_list"], ids=lambda shown: shown["id"])
def test_listed_snapshots_are_shown_as_kopia_shows_them(shown: dict[str, Any]) -> None:
    (stored,) = [entry for entry in STORED if entry["id"] == shown["id"]]
    snapshot = SnapshotManifest.from_json(dumps(stored["data"]), shown["id"])
    assert snapshot.to_output(retention_reasons=shown["retentionReason"]) == dumps(shown)
    shown = {key: value for key, value in shown.items() if key not in {"retentionReason", "stats"}}
    assert snapshot.to_output(stats=False) == dumps(shown)
    assert snapshot.to_output(stats=False, indent=2) == dumps(shown, indent=2)


@pytest.mark.parametrize("case", VECTORS["update_pins"], ids=lambda case: f"{case['add']}-{case['remove']}")
def test_pins_change_as_those_of_kopia(case: dict[str, Any]) -> None:
    before = replace(SNAPSHOT, pins=tuple(case["current"] or ()))
    after = before.with_pins(case["add"] or (), case["remove"] or ())
    assert list(after.pins) == (case["result"] or [])
    # Kopia says "changed" even when something added is removed at once; for us a change is a change of the set
    if set(after.pins) != set(before.pins):
        assert case["changed"]


@given(snapshots)
def test_a_snapshot_survives_being_written_and_read(snapshot: SnapshotManifest) -> None:
    data = snapshot.to_json()
    assert SnapshotManifest.from_json(data) == snapshot
    assert json.loads(data)["id"] == ""
    assert SnapshotManifest.from_json(snapshot.to_output(indent=2), ManifestID("x")) == replace(
        snapshot, id=ManifestID("x")
    )


def test_unknown_members_are_kept_as_they_are_and_known_ones_are_not_repeated() -> None:
    data = (
        b'{"ID":"old","new":{"a": 1.50},"SOURCE":{"host":"h","username":"u","path":"/p"},"retentionReason":["x"],'
        b'"storageStats":{},"rootEntry":{"name":"p","type":"d","obj":"k0123456789abcdef0123456789abcdef","x":1},'
        b'"startTime":null,"other":[]}'
    )
    snapshot = SnapshotManifest.from_json(data)
    assert snapshot.extra == {"new": b'{"a": 1.50}', "other": b"[]"}
    assert snapshot.start_time_ns == -6795364578871345152
    written = snapshot.with_pins(["keep"]).to_json()
    assert written.endswith(b'"pins":["keep"],"new":{"a":1.50},"other":[]}')
    assert [key for key, _ in members(written)].count("id") == 1
    assert SnapshotManifest.from_json(written).pins == ("keep",)


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (replace(SNAPSHOT, source=SourceInfo(user_name="u", path="/p")), "its source has no host"),
        (replace(SNAPSHOT, source=SourceInfo(host="h", path="/p")), "its source has no user"),
        (replace(SNAPSHOT, source=SourceInfo(host="h", user_name="u")), "its source has no path"),
        (replace(SNAPSHOT, root_entry=None), "it has no root"),
        (replace(SNAPSHOT, root_entry=DirectoryEntry("p", "d")), "'' is not an object ID"),
        (replace(SNAPSHOT, root_entry=DirectoryEntry("p", "x", object_id=ROOT.object_id)), "the type 'x' is unknown"),
        (replace(SNAPSHOT, tags={"hostname": "other"}), "a tag can't be named 'hostname'"),
        (replace(SNAPSHOT, tags={"type": "other"}), "a tag can't be named 'type'"),
        (replace(SNAPSHOT, start_time_ns=1 << 63), "does not fit into 64 bits"),
        (replace(SNAPSHOT, end_time_ns=-(1 << 63) - 1), "does not fit into 64 bits"),
        (replace(SNAPSHOT, extra={"x": b"{"}), "raw JSON can't be written"),
    ],
)
def test_a_snapshot_that_kopia_would_skip_is_never_written(snapshot: SnapshotManifest, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        snapshot.to_json()


def test_counters_beyond_32_bits_stop_where_kopia_can_still_read_them() -> None:
    huge = replace(SNAPSHOT, stats=SnapshotStats(file_count=1 << 40, total_size=1 << 50))
    read = SnapshotManifest.from_json(huge.to_json())
    assert (read.stats.file_count, read.stats.total_size) == ((1 << 31) - 1, 1 << 50)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'{"id":1}',
        b'{"source":"u@h:/p"}',
        b'{"startTime":"yesterday"}',
        b'{"stats":{"fileCount":2147483648}}',
        b'{"stats":{"fileCount":1.0}}',
        b'{"rootEntry":{"mode":420,"obj":"ab"}}',
        b'{"rootEntry":{"mode":"","obj":"ab"}}',
        b'{"rootEntry":{"obj":"bogus"}}',
        b'{"rootEntry":"kab"}',
        b'{"tags":["a"]}',
        b'{"pins":"a"}',
        b'{"pins":["a"]} x',
        b'{"pins":["a"]',
    ],
)
def test_what_kopia_would_skip_is_damage(data: bytes) -> None:
    with pytest.raises(DamagedManifestError, match="snapshot manifest m1 can't be read"):
        SnapshotManifest.from_json(data, ManifestID("m1"))


@given(snapshots, st.data())
def test_damaged_manifests_raise_damage_or_are_read(snapshot: SnapshotManifest, draw: st.DataObject) -> None:
    data = bytearray(snapshot.to_json())
    data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    for damaged in (data, data[: draw.draw(st.integers(0, len(data)))]):
        with contextlib.suppress(DamagedManifestError):
            SnapshotManifest.from_json(damaged)


@given(st.binary())
def test_garbage_is_damage(garbage: bytes) -> None:
    with pytest.raises(DamagedManifestError):
        SnapshotManifest.from_json(garbage)
