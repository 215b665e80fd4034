"""Epochs against the scenarios of real Kopia, and against names that nobody should write."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import UsageError
from pykopia.format.blob import BlobMetadata
from pykopia.format.epoch import (
    MARKER_CONTENT,
    WATERMARK_CONTENT,
    EpochState,
    complete_sets,
    epoch_of,
    index_blob_prefix,
    index_blob_suffix,
    marker_blob_id,
    new_set_id,
    range_of,
    watermark_of,
)
from pykopia.format.epoch_plan import (
    EpochCleanup,
    plan_advance,
    plan_cleanup,
    plan_range_checkpoint,
    plan_single_compaction,
    plan_watermark,
)
from pykopia.format.gojson import dumps, parse_time
from pykopia.format.repository_format import DEFAULT_EPOCH_PARAMETERS, EpochParameters
from pykopia.ids import BlobID
from tests.format.index_support import load

SCENARIOS = load("epoch_scenarios.json")
NAMES = load("epoch_names.json")
HOUR_NS = 3600 * 10**9


def a_blob(blob_id: str, length: int = 100, timestamp_ns: int = 0) -> BlobMetadata:
    return BlobMetadata(blob_id=BlobID(blob_id), length=length, timestamp_ns=timestamp_ns)


def blobs_of(case: dict[str, Any]) -> list[BlobMetadata]:
    return [a_blob(b["id"], b["length"], parse_time(b["timestamp"])) for b in case["blobs"]]


def ids(blobs: Iterable[BlobMetadata]) -> list[str]:
    return [blob.blob_id for blob in blobs]


def parameters_of(case: dict[str, Any]) -> EpochParameters:
    return EpochParameters.parse(dumps(case))


def by_name(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", SCENARIOS, ids=by_name)
def test_the_state_is_what_kopia_sees(case: dict[str, Any]) -> None:
    state = EpochState.from_blobs(blobs_of(case))
    watermark = case["deletionWatermark"]
    assert state.write_epoch == case["writeEpoch"]
    assert state.watermark == (watermark if not isinstance(watermark, str) else parse_time(watermark) // 10**9)
    assert [[r.first, r.last] for r in state.ranges] == case["longestRangeChain"]
    assert {str(e): sorted(ids(blobs)) for e, blobs in state.singles.items()} == case["singleEpochCompactionSets"]
    assert sorted(state.complete_index_set()) == case["completeIndexSet"]
    assert index_blob_prefix(state.write_epoch) == case["newIndexBlobPrefix"]


@pytest.mark.parametrize("case", SCENARIOS, ids=by_name)
def test_listing_only_what_counts_gives_the_same_set(case: dict[str, Any]) -> None:
    blobs = blobs_of(case)
    state = EpochState.from_blobs(b for b in blobs if not b.blob_id.startswith("xn"))
    prefixes = state.uncompacted_prefixes()
    listed = [b for prefix in prefixes for b in blobs if b.blob_id.startswith(prefix)]
    assert len(prefixes) < 16
    partial = state.with_uncompacted(listed)
    complete = EpochState.from_blobs(blobs)
    assert partial.complete_index_set() == complete.complete_index_set()
    assert partial.storage_clock_ns == complete.storage_clock_ns


@pytest.mark.parametrize("case", SCENARIOS, ids=by_name)
def test_maintenance_plans_what_kopia_does(case: dict[str, Any]) -> None:
    state, parameters = EpochState.from_blobs(blobs_of(case)), parameters_of(case["params"])
    assert plan_advance(state, parameters) == case.get("advanceWritesMarker")
    for plan, expected in (
        (plan_single_compaction(state), case.get("singleCompaction")),
        (plan_range_checkpoint(state, parameters), case.get("rangeCompaction")),
    ):
        assert (plan is None) is (expected is None)
        if plan is not None and expected is not None:
            assert {"inputs": sorted(ids(plan.inputs)), "outputPrefix": plan.prefix} == expected
            assert plan.input_length == sum(b.length for b in plan.inputs)
    cleanup = plan_cleanup(state, parameters)
    assert sorted(ids(cleanup.markers + cleanup.watermarks)) == case["cleanupMarkersDeletes"]
    # Kopia also deletes flushes of an epoch that is compacted but not settled, which its readers then miss
    settled = [b for b in case["cleanupSupersededDeletes"] if (epoch_of(b) or 0) <= state.last_settled]
    assert sorted(ids(cleanup.superseded)) == settled


@pytest.mark.parametrize("case", NAMES["names"], ids=lambda case: case["id"])
def test_names_are_read_as_kopia_reads_them(case: dict[str, Any]) -> None:
    bounds = range_of(case["id"])
    assert epoch_of(case["id"]) == case["epoch"]
    assert list(bounds or (None, None)) == [case["rangeMin"], case["rangeMax"]]
    assert watermark_of(case["id"]) == case["watermark"]


@pytest.mark.parametrize("case", NAMES["completeSets"], ids=lambda case: "+".join(case["blobs"]) or "none")
def test_complete_sets_are_those_of_kopia(case: dict[str, Any]) -> None:
    found = [ids(blobs) for blobs in complete_sets(map(a_blob, case["blobs"]))]
    assert found == case["completeSets"]
    assert (found[0] if found else []) == case["first"]
    assert list(chain(*found)) == case["kept"]


@pytest.mark.parametrize("case", NAMES["parametersValidation"], ids=by_name)
def test_parameters_are_checked_as_kopia_checks_them(case: dict[str, Any]) -> None:
    parameters = parameters_of(case["P"])
    if case["error"]:
        with pytest.raises(UsageError):
            parameters.validate()
    else:
        parameters.validate()


def test_markers_and_suffixes_are_what_kopia_writes() -> None:
    assert (MARKER_CONTENT, len(WATERMARK_CONTENT)) == (b"epoch-marker", 18)
    assert marker_blob_id(3) == "xe3"
    assert index_blob_suffix("s1147", 2) == "s1147-c2"
    assert new_set_id(bytes(range(8))) == "s0001020304050607"
    with pytest.raises(UsageError):
        new_set_id(b"short")


def test_a_watermark_only_goes_forward() -> None:
    assert plan_watermark(EpochState(), 5) == "xw5"
    state = EpochState.from_blobs([a_blob("xw5"), a_blob("xw4")])
    assert plan_watermark(state, 5) is None
    assert plan_watermark(state, 6) == "xw6"


def test_flushes_of_an_unsettled_epoch_are_kept_even_when_it_is_compacted() -> None:
    # readers ignore the compaction of an epoch that is not settled, so its flushes are all they have
    state = EpochState.from_blobs(
        [a_blob("xs0_a-s1-c1"), a_blob("xn0_b-s1-c1"), a_blob("xn0_c-s2-c1", timestamp_ns=1000 * HOUR_NS)]
    )
    assert plan_cleanup(state, DEFAULT_EPOCH_PARAMETERS) == EpochCleanup()
    settled = replace(state, write_epoch=2, uncompacted={**state.uncompacted, 2: state.uncompacted[0][1:]})
    assert ids(plan_cleanup(settled, DEFAULT_EPOCH_PARAMETERS).superseded) == ["xn0_b-s1-c1", "xn0_c-s2-c1"]


def test_a_range_of_one_epoch_within_a_chain_is_read() -> None:
    state = EpochState.from_blobs(map(a_blob, ["xr0_2_a", "xr3_3_b", "xr4_6_c", "xe8", "xn3_d"]))
    assert state.complete_index_set() == ["xr0_2_a", "xr3_3_b", "xr4_6_c"]


def test_a_range_that_ends_before_it_begins_is_ignored() -> None:
    state = EpochState.from_blobs(map(a_blob, ["xr0_-1_a", "xr0_2_b", "xr3_1_c", "xe4", "xn4_d"]))
    assert state.complete_index_set() == ["xr0_2_b", "xn4_d"]


def test_a_range_checkpoint_begins_behind_the_last_one() -> None:
    state = EpochState.from_blobs(map(a_blob, ["xr0_7_a", "xe18", "xs8_b", "xn9_c", "xn17_d"]))
    plan = plan_range_checkpoint(state, DEFAULT_EPOCH_PARAMETERS)
    assert plan is not None
    assert (plan.first, plan.last, plan.prefix) == (8, 16, "xr8_16_")
    assert ids(plan.inputs) == ["xs8_b", "xn9_c"]


def test_a_marker_of_a_huge_epoch_costs_nothing() -> None:
    state = EpochState.from_blobs(map(a_blob, [f"xe{(1 << 63) - 1}", "xn0_a", "xe99999999999999999999"]))
    assert state.write_epoch == (1 << 63) - 1
    assert state.uncompacted_prefixes() == ["xn"]
    assert state.complete_index_set() == ["xn0_a"]


def test_a_long_chain_of_ranges_is_followed() -> None:
    names = [f"xr{i}_{i}_a" for i in range(3000)] + ["xe3005", "xn3000_z"]
    state = EpochState.from_blobs(map(a_blob, names))
    assert len(state.ranges) == 3000
    assert state.complete_index_set() == [*names[:3000], "xn3000_z"]


_numbers = st.sampled_from(["0", "1", "2", "3", "007", "-1", "", "x", "99999999999999999999"])
_names = st.builds(
    lambda kind, first, last, rest: f"{kind}{first}{last}{rest}",
    st.sampled_from(["xe", "xn", "xs", "xr", "xw", "x", "xz"]),
    _numbers,
    _numbers.map(lambda n: f"_{n}") | st.just(""),
    st.sampled_from(["", "_h", "_h-s1-c1", "_h-s1-c2", "_i-s1-c2", "_h-s2-c0", "_h-s2-c-1", "_h-s3-c", "-s1"]),
)


@given(st.lists(_names | st.text(max_size=10).map(lambda s: "x" + s), unique=True))
def test_any_names_make_a_state_and_plans_within_it(names: list[str]) -> None:
    blobs = [a_blob(name, timestamp_ns=i * HOUR_NS) for i, name in enumerate(names)]
    state = EpochState.from_blobs(blobs)
    active = state.complete_index_set()
    assert len(active) == len(set(active)) <= len(names)
    assert {a[:2] for a in active} <= {"xn", "xs", "xr"}
    parameters = replace(DEFAULT_EPOCH_PARAMETERS, checkpoint_frequency=1, min_duration_ns=1, advance_on_count=1)
    single, checkpoint = plan_single_compaction(state), plan_range_checkpoint(state, parameters)
    plan_advance(state, parameters)
    for plan in (single, checkpoint):
        if plan is not None:
            assert set(ids(plan.inputs)) <= set(active)
            # once the compaction is there it is what readers use, and nothing else changes
            after = EpochState.from_blobs([*blobs, a_blob(f"{plan.prefix}new-snew-c1")])
            rest = [a for a in active if a not in ids(plan.inputs)]
            assert sorted(after.complete_index_set()) == sorted([*rest, f"{plan.prefix}new-snew-c1"])
    cleanup = plan_cleanup(state, parameters)
    removed = set(ids(cleanup.markers + cleanup.watermarks + cleanup.superseded))
    remaining = EpochState.from_blobs(b for b in blobs if b.blob_id not in removed)
    assert remaining.complete_index_set() == active
    assert (remaining.write_epoch, remaining.watermark) == (state.write_epoch, state.watermark)
