"""Retention: the reasons that Kopia gives, and what always holds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pykopia.format.gotime import SECOND_NS, parse_time
from pykopia.format.policy import DEFAULT_POLICY, RetentionPolicy
from pykopia.format.retention import compact_reasons, plan_expire, retention_reasons, sorted_reasons

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "retention.json").read_text())
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "retention.json").read_text())
HOUR_NS = 3600 * SECOND_NS


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    start_time_ns: int
    end_time_ns: int
    incomplete: str = ""
    pins: tuple[str, ...] = ()


def at(start: str, *, incomplete: str = "", pins: tuple[str, ...] = ()) -> Snapshot:
    time = parse_time(start)
    return Snapshot(start_time_ns=time, end_time_ns=time, incomplete=incomplete, pins=pins)


COUNTS = ("keep_latest", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_annual")


def with_count(policy: RetentionPolicy, field: str, count: int) -> RetentionPolicy:
    changes: dict[str, Any] = {field: count}
    return replace(policy, **changes)


# --- as Kopia --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_reasons_are_kopias(case: dict[str, Any]) -> None:
    snapshots = [
        replace(each, end_time_ns=each.start_time_ns + number * 1000)
        for number, listed in enumerate(case["snapshots"])
        for each in [at(listed["start"], incomplete=listed.get("incomplete", ""))]
    ]
    policy = RetentionPolicy.from_json(json.dumps(case["retention"]), strict=True)
    zone = ZoneInfo(case["local_timezone"])
    reasons = retention_reasons(snapshots, policy, tz=zone)
    assert [list(each) for each in reasons] == case["reasons"]
    plan = plan_expire(snapshots, policy, tz=zone)
    assert [list(why) for _, why in plan.kept] == [why for why in case["reasons"] if why]
    assert len(plan.expired) == case["reasons"].count([])


@pytest.mark.parametrize("case", VECTORS["tags"], ids=lambda case: ",".join(case["in"]))
def test_reasons_are_sorted_and_put_together_as_in_kopia(case: dict[str, Any]) -> None:
    assert sorted_reasons(case["in"]) == case["sorted"]
    assert compact_reasons(case["in"]) == case["compact"]


def test_a_golden_repository_lost_what_the_plan_says() -> None:
    policies = {each["target"]: each["policy"]["retention"] for each in GOLDEN["effective_policies"]}
    policy = RetentionPolicy.from_json(json.dumps(policies["pat@keep:/t"]), strict=True)
    left: list[Snapshot] = []
    for step in GOLDEN["retention_history"]:
        made = replace(at(step["made"], pins=tuple(step["pins"])), end_time_ns=parse_time(step["end"]))
        plan = plan_expire([*left, made], policy, tz=UTC)
        found = {(each.start_time_ns, why, each.pins) for each, why in plan.kept}
        assert found == {(parse_time(start), tuple(why), tuple(pins)) for start, why, pins in step["left"]}
        left = [each for each, _ in plan.kept]


# --- cases of our own ------------------------------------------------------------------------------------------------


def test_a_pin_keeps_what_has_no_reason() -> None:
    old, new = at("2020-01-01T00:00:00Z", pins=("audit",)), at("2024-01-01T00:00:00Z")
    plan = plan_expire([old, new], RetentionPolicy(keep_latest=1), tz=UTC)
    assert plan.kept == ((old, ()), (new, ("latest-1",)))
    assert plan.expired == ()
    assert str(plan) == "keep 2 snapshots, delete 0"


def test_no_snapshot_is_no_trouble() -> None:
    assert retention_reasons([], DEFAULT_POLICY.retention, tz=UTC) == []


@pytest.mark.parametrize("count", [1 << 62, 10_000_000_000])
def test_a_huge_count_keeps_everything(count: int) -> None:
    snapshots = [at(f"{year}-06-01T00:00:00Z") for year in range(1970, 2024, 7)]
    for field in COUNTS:
        assert not plan_expire(
            snapshots, with_count(RetentionPolicy(), field, count), tz=ZoneInfo("Asia/Kolkata")
        ).expired


def test_a_week_belongs_to_the_local_time_zone() -> None:
    sunday, monday = at("2024-05-05T23:30:00Z"), at("2024-05-06T12:00:00Z")
    policy = RetentionPolicy(keep_weekly=9)
    assert len(plan_expire([sunday, monday], policy, tz=UTC).kept) == 2
    assert len(plan_expire([sunday, monday], policy, tz=ZoneInfo("Asia/Kolkata")).kept) == 1


def test_a_month_takes_the_name_of_a_week() -> None:
    may, week_5 = at("2024-05-31T00:00:00Z"), at("2024-01-31T00:00:00Z")
    weekly = RetentionPolicy(keep_weekly=52)
    assert retention_reasons([may, week_5], weekly, tz=UTC)[1] == ("weekly-2",)
    monthly = RetentionPolicy(keep_weekly=52, keep_monthly=1)
    assert retention_reasons([may, week_5], monthly, tz=UTC)[1] == ()


# --- properties ------------------------------------------------------------------------------------------------------

ZONES = [UTC, ZoneInfo("America/New_York"), ZoneInfo("Pacific/Auckland"), ZoneInfo("Asia/Kolkata")]
EPOCH_NS = parse_time("2022-02-25T00:00:00Z")
zones: st.SearchStrategy[tzinfo] = st.sampled_from(ZONES)
counts = st.none() | st.integers(0, 6)
policies = st.builds(
    RetentionPolicy,
    keep_latest=counts,
    keep_hourly=counts,
    keep_daily=counts,
    keep_weekly=counts,
    keep_monthly=counts,
    keep_annual=counts,
)


def sources(*, incomplete: bool = True) -> st.SearchStrategy[list[Snapshot]]:
    reasons = st.sampled_from(["", "", "", "checkpoint"]) if incomplete else st.just("")
    starts = st.integers(0, 30_000).flatmap(lambda span: st.integers(0, span)).map(lambda h: EPOCH_NS + h * HOUR_NS)
    return st.lists(
        st.builds(
            Snapshot,
            start_time_ns=starts,
            end_time_ns=st.integers(0, 5),
            incomplete=reasons,
            pins=st.sampled_from([(), (), (), ("x",)]),
        ),
        max_size=25,
    )


def newest(snapshots: Sequence[Snapshot]) -> Snapshot:
    return max(snapshots, key=lambda each: (each.start_time_ns, each.end_time_ns))


@given(sources(), policies, st.integers(1, 5), zones)
def test_the_newest_complete_snapshot_is_kept(
    snapshots: list[Snapshot], policy: RetentionPolicy, latest: int, zone: tzinfo
) -> None:
    complete = [each for each in snapshots if not each.incomplete]
    assume(complete)
    plan = plan_expire(snapshots, replace(policy, keep_latest=latest), tz=zone)
    assert newest(complete) in [each for each, _ in plan.kept]


@given(sources(), policies, zones)
def test_expiring_twice_expires_nothing_more(snapshots: list[Snapshot], policy: RetentionPolicy, zone: tzinfo) -> None:
    left = [each for each, _ in plan_expire(snapshots, policy, tz=zone).kept]
    assert plan_expire(left, policy, tz=zone).expired == ()


@given(
    sources(incomplete=False),
    policies,
    st.sampled_from([count for count in COUNTS if count != "keep_monthly"]),
    st.integers(1, 9),
    zones,
)
def test_a_larger_count_keeps_no_less(
    snapshots: list[Snapshot], policy: RetentionPolicy, field: str, more: int, zone: tzinfo
) -> None:
    # Months are left out: their names are taken from weeks. So are policies that keep everything because they say nothing.
    assume(retention_counts(policy))
    larger = with_count(policy, field, (getattr(policy, field) or 0) + more)
    kept = {id(each) for each, _ in plan_expire(snapshots, policy, tz=zone).kept}
    assert kept <= {id(each) for each, _ in plan_expire(snapshots, larger, tz=zone).kept}


@given(sources(), policies, zones, st.integers(1, 30_000))
def test_keep_within_keeps_all_of_that_time_and_whatever_the_policy_keeps(
    snapshots: list[Snapshot], policy: RetentionPolicy, zone: tzinfo, hours: int
) -> None:
    plain = plan_expire(snapshots, policy, tz=zone)
    plan = plan_expire(snapshots, policy, tz=zone, keep_within_ns=hours * HOUR_NS)
    complete = [each for each in snapshots if not each.incomplete]
    since = newest(complete).start_time_ns - hours * HOUR_NS if complete else -hours * HOUR_NS
    assert list(plan.expired) == [each for each in plain.expired if each.start_time_ns < since]


def retention_counts(policy: RetentionPolicy) -> int:
    return sum(getattr(policy, field) or 0 for field in COUNTS)


@given(sources(), policies, zones, st.randoms(use_true_random=False))
def test_the_order_of_snapshots_does_not_matter(
    snapshots: list[Snapshot], policy: RetentionPolicy, zone: tzinfo, random: Random
) -> None:
    unique = [replace(each, end_time_ns=number) for number, each in enumerate(snapshots)]
    shuffled = random.sample(unique, len(unique))
    by_snapshot = dict(zip(unique, retention_reasons(unique, policy, tz=zone), strict=True))
    assert [by_snapshot[each] for each in shuffled] == retention_reasons(shuffled, policy, tz=zone)


@given(st.lists(st.from_regex(r"(latest|daily|x-y|)(-[0-9]{0,3})?", fullmatch=True)))
def test_no_reason_is_lost_when_they_are_put_together(reasons: list[str]) -> None:
    expanded = []
    for each in compact_reasons(reasons):
        kind, _, numbers = each.rpartition("-")
        first, dots, last = numbers.partition("..")
        expanded += [f"{kind}-{n}" for n in range(int(first), int(last) + 1)] if dots else [each]
    normal = [
        f"{r.rpartition('-')[0]}-{int(n)}" if (n := r.rpartition("-")[2]).isdigit() and "-" in r else r for r in reasons
    ]
    assert sorted(expanded) == sorted(normal)


def test_snapshots_with_errors_push_none_without_errors_out() -> None:
    times = [at(f"2024-01-{day:02}T00:00:00Z") for day in range(1, 7)]
    good, bad = times[:3], times[3:]
    plan = plan_expire(times, RetentionPolicy(keep_latest=2), tz=UTC, has_errors=lambda each: each in bad)
    # what Kopia keeps, and what it would keep if there were no errors
    assert [each for each, _ in plan.kept] == [*good[1:], *bad[1:]]
    assert plan.expired == (good[0], bad[0])
    assert plan.kept[0][1] == ("latest-2",)
    without = plan_expire(times, RetentionPolicy(keep_latest=2), tz=UTC, has_errors=lambda _: False)
    assert without == plan_expire(times, RetentionPolicy(keep_latest=2), tz=UTC)
    assert [each for each, _ in without.kept] == bad[1:]
