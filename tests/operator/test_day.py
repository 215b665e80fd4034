"""Whole days under a clock that the test moves: what runs when, in which zone, how often, and by which of two operators."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pykopia_operator.control.carry_out import Performer
from pykopia_operator.control.reconciler import Reconciler
from pykopia_operator.decide.times import parse_time

from tests.operator.fake_api import environment_of
from tests.operator.stage import Stage

PARIS = ZoneInfo("Europe/Paris")
Runs = dict[str, list[datetime]]


class Days:
    """Sources with schedules, which have just been backed up, and the times at which their movers run."""

    def __init__(self, start: datetime, schedules: dict[str, str], **options: Any) -> None:
        self.stage = Stage(**options)
        self.stage.clock.moment = start
        self.stage.secret()
        self.stage.volume()
        for name, schedule in schedules.items():
            self.stage.source(name, trigger={"schedule": schedule})
        self.lasting = timedelta()
        """How long each mover runs."""
        self.begun: dict[str, datetime] = {}
        self.runs: Runs = {name: [] for name in schedules}
        self._step, self.stage.cluster.step = self.stage.cluster.step, self._cluster_step  # type: ignore[method-assign]
        self.settle()
        self.first = {name: self.runs[name].pop() for name in schedules}

    def _cluster_step(self) -> bool:
        """Let the cluster work, but end no mover before its time."""
        now = self.stage.clock.now()
        for job in self.stage.api.of_kind("Job"):
            uid = job["metadata"]["uid"]
            if uid not in self.begun:
                self.begun[uid] = now
                self.runs[job["metadata"]["ownerReferences"][0]["name"]].append(now)
        if any(now - self.begun[job["metadata"]["uid"]] < self.lasting for job in self.stage.api.of_kind("Job")):
            return False
        return self._step()

    def settle(self) -> None:
        self.stage.settle(most=400)

    def go_on(self, length: timedelta, *, look: Callable[[str], float | None] | None = None) -> Runs:
        """Let time pass; each source is looked at when its last look asked for it."""
        end = self.stage.clock.now() + length
        look = look or (lambda name: self.stage.look(name=name))
        while True:
            due = min(again for name in self.runs if (again := look(name)) is not None)
            moment = self.stage.clock.now() + timedelta(seconds=max(due, 1))
            ends = [
                begun + self.lasting for begun in self.begun.values() if begun + self.lasting > self.stage.clock.now()
            ]
            moment = min([moment, *ends])
            if moment > end:
                return self.runs
            self.stage.clock.moment = moment
            self.settle()


def local(runs: list[datetime], form: str = "%d %H:%M") -> list[str]:
    return [each.astimezone(PARIS).strftime(form) for each in runs]


@pytest.mark.parametrize(
    ("start", "night", "hours"),
    [
        (datetime(2026, 3, 28, 12, tzinfo=UTC), ["29 03:00", "30 02:30"], 48),  # 02:30 does not exist on the 29th
        (datetime(2026, 10, 24, 12, tzinfo=UTC), ["25 02:30", "26 02:30"], 48),  # 02:30 comes twice on the 25th
        (datetime(2026, 7, 1, 12, tzinfo=UTC), ["02 02:30", "03 02:30"], 48),
    ],
)
def test_days_of_a_zone_with_its_changes_of_the_clock(start: datetime, night: list[str], hours: int) -> None:
    schedules = {"nightly": "30 2 * * *", "hourly": "@hourly", "office": "0 8-18/2 * * 1-5", "noon": "0 12 * * *"}
    days = Days(start, schedules, timezone="Europe/Paris")
    runs = days.go_on(timedelta(hours=hours))
    assert local(runs["nightly"]) == night
    assert [each.minute for each in runs["hourly"]] == [
        0
    ] * hours  # one in each hour that passes, not on each hour's name
    assert runs["hourly"] == [start + timedelta(hours=number + 1) for number in range(hours)]
    assert [each.astimezone(PARIS).hour for each in runs["noon"]] == [12, 12]
    for each in runs["office"]:
        assert each.astimezone(PARIS).weekday() < 5
        assert each.astimezone(PARIS).hour in {8, 10, 12, 14, 16, 18}


def test_the_same_schedules_in_utc_know_no_change_of_the_clock() -> None:
    days = Days(datetime(2026, 3, 28, 12, tzinfo=UTC), {"nightly": "30 2 * * *"})
    runs = days.go_on(timedelta(days=2))
    assert [each.strftime("%d %H:%M") for each in runs["nightly"]] == ["29 02:30", "30 02:30"]


def test_objects_are_spread_over_the_jitter_and_each_keeps_its_place() -> None:
    names = [f"app-{number}" for number in range(12)]
    days = Days(datetime(2026, 3, 1, 12, tzinfo=UTC), dict.fromkeys(names, "0 */6 * * *"), schedule_jitter=3600)
    runs = days.go_on(timedelta(days=1, minutes=30))
    offsets = {name: {(each.hour % 6, each.minute, each.second) for each in runs[name]} for name in names}
    assert all(len(found) == 1 for found in offsets.values())
    assert len({next(iter(found)) for found in offsets.values()}) > 8
    assert all(hour == 0 for found in offsets.values() for hour, _, _ in found)
    assert {len(runs[name]) for name in names} <= {4, 5}


def test_a_mover_that_takes_longer_than_the_interval_is_counted_and_never_doubled() -> None:
    days = Days(datetime(2026, 3, 1, 12, tzinfo=UTC), {"app": "0 * * * *"})
    days.lasting = timedelta(minutes=150)
    days.stage.measures.clear()
    runs = days.go_on(timedelta(hours=12, minutes=50))["app"]
    # A run from 13:00 to 15:30 misses 14:00 and 15:00; the next one starts at 16:00.
    assert [each.strftime("%H:%M") for each in runs] == ["13:00", "16:00", "19:00", "22:00"]
    missed = [each.labels["once"] for each in days.stage.measures if each.name == "missed_intervals_total"]
    assert len(set(missed)) == 4  # the meters count each value of `once` once
    states = [each.value for each in days.stage.measures if each.name == "volume_out_of_sync"]
    assert states[0] == 1
    assert states[-1] == 0


def test_times_that_pass_while_no_operator_runs_are_made_up_for_by_one_run() -> None:
    days = Days(datetime(2026, 3, 1, 12, tzinfo=UTC), {"app": "0 * * * *"})
    days.stage.clock.move(hours=7, minutes=10)
    days.stage.start_operator()
    days.settle()
    assert [each.strftime("%H:%M") for each in days.runs["app"]] == ["19:10"]
    assert parse_time(days.stage.status()["nextSyncTime"]) == datetime(2026, 3, 1, 20, tzinfo=UTC)


def test_a_failure_that_lasts_for_a_night_is_tried_ever_less_often_and_made_good_by_one_run() -> None:
    days = Days(datetime(2026, 3, 1, 12, tzinfo=UTC), {"app": "0 * * * *"})
    succeeds, days.stage.cluster.outcome = days.stage.cluster.outcome, lambda job: (13, "")
    runs = days.go_on(timedelta(hours=8))["app"]
    pauses = [(later - earlier).total_seconds() / 60 for earlier, later in pairwise(runs)]
    assert pauses[:6] == [1, 2, 4, 8, 16, 30]
    assert set(pauses[6:]) == {30}
    assert days.stage.status()["kopia"]["consecutiveFailures"] == len(runs)
    days.stage.cluster.outcome = succeeds
    count = len(runs)
    days.go_on(timedelta(minutes=31))
    assert len(days.runs["app"]) == count + 1
    assert "consecutiveFailures" not in days.stage.status()["kopia"]


def test_maintenance_comes_once_in_its_interval_with_a_backup_and_retention_with_every_one() -> None:
    days = Days(datetime(2026, 3, 1, 12, tzinfo=UTC), {})
    days.stage.source(trigger={"schedule": "0 */6 * * *"}, maintenanceIntervalDays=2, retain={"daily": 7, "latest": 3})
    days.runs["app"] = []
    days.settle()
    days.go_on(timedelta(days=9))
    jobs = days.stage.cluster.movers
    kept = [environment_of(job) for job in jobs]
    assert {(each["KOPIA_RETAIN_DAILY"], each["KOPIA_RETAIN_LATEST"]) for each in kept} == {("7", "3")}
    ran = [
        days.begun[job["metadata"]["uid"]]
        for job in jobs
        if "maintenance" in job["spec"]["template"]["spec"]["containers"][0]["args"]
    ]
    assert len(jobs) == 37
    assert [each.strftime("%d %H") for each in ran] == ["03 12", "05 12", "07 12", "09 12"]


@settings(deadline=None, max_examples=5)
@given(st.randoms(use_true_random=False))
def test_two_operators_that_change_places_at_any_look_run_nothing_twice(choice: Any) -> None:
    """Stricter than leader election, by which only one of them looks at a time."""
    days = Days(datetime(2026, 3, 1, 12, tzinfo=UTC), {"app": "0 */2 * * *", "other": "*/40 * * * *"})
    stage = days.stage
    operators = [stage.reconciler]
    performer = Performer(stage.api, stage.clock.now)
    operators.append(Reconciler(stage.api, performer, stage.settings, stage.clock.now, stage.around))

    def look(name: str) -> float | None:
        stage.reconciler = choice.choice(operators)
        return stage.look(name=name)

    whole, stage.look = stage.look, lambda *args, **kinds: _switched(stage, operators, choice, whole, *args, **kinds)  # type: ignore[method-assign]
    runs = days.go_on(timedelta(hours=12), look=look)
    assert [each.strftime("%H:%M") for each in runs["app"]] == ["14:00", "16:00", "18:00", "20:00", "22:00", "00:00"]
    assert len(runs["other"]) == len(set(runs["other"])) == 24
    assert len(stage.cluster.movers) == 2 + 6 + 24
    events = [each["metadata"]["name"] for each in stage.api.events("BackupCompleted")]
    assert len(events) == len(set(events)) == 2 + 6 + 24


def _switched(
    stage: Stage, operators: list[Reconciler], choice: Any, look: Callable[..., float | None], *args: Any, **kinds: Any
) -> float | None:
    stage.reconciler = choice.choice(operators)
    return look(*args, **kinds)
