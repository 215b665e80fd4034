"""Schedules: cron expressions, time zones and their changes, jitter, missed intervals."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pykopia_operator.decide.cron import NICKNAMES, check_schedule, jitter_of, next_time, times_between
from pykopia_operator.decide.trigger import Clock, State, is_interval_missed, next_sync_time, state_of, when_due
from pykopia_operator.errors import InvalidObjectError
from pykopia_operator.model.common import SCHEDULE_PATTERN, Trigger

RANGES = ((0, 59), (0, 23), (1, 28), (1, 12), (0, 6))
WHOLE = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
MOMENTS = st.integers(1_577_836_800, 2_051_222_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
PARIS = ZoneInfo("Europe/Paris")


def one_field(least: int, most: int) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    part = st.one_of(
        st.just("*"),
        number.map(str),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.integers(1, most).map(lambda step: f"*/{step}"),
    )
    return st.lists(part, min_size=1, max_size=3).map(",".join)


SCHEDULES = st.tuples(*(one_field(*each) for each in RANGES)).map(" ".join)


def allowed(text: str, value: int, least: int, most: int) -> bool:
    for part in text.split(","):
        span, _, step = part.partition("/")
        low, high = (least, most) if span == "*" else (int(span.split("-")[0]), int(span.split("-")[-1]))
        if low <= value <= high and (value - low) % int(step or 1) == 0:
            return True
    return False


def matches(schedule: str, moment: datetime) -> bool:
    """Say by the definition whether a time belongs to a schedule."""
    fields = schedule.split()
    values = (moment.minute, moment.hour, moment.day, moment.month, moment.isoweekday() % 7)
    minute, hour, day, month, weekday = (
        allowed(text, value, *span) for text, value, span in zip(fields, values, WHOLE, strict=True)
    )
    starred = fields[2].startswith("*") or fields[4].startswith("*")
    return minute and hour and month and ((day and weekday) if starred else (day or weekday))


@given(SCHEDULES, MOMENTS)
def test_the_next_time_matches_and_none_before_it_does(schedule: str, after: datetime) -> None:
    assert re.fullmatch(SCHEDULE_PATTERN, schedule)
    found = next_time(schedule, after)
    assert found > after
    assert matches(schedule, found)
    assert (found.second, found.microsecond) == (0, 0)
    step = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(200):
        if step >= found:
            break
        assert not matches(schedule, step)
        step += timedelta(minutes=1)


@given(MOMENTS, st.integers(0, 86399))
def test_an_offset_shifts_every_time_and_nothing_else(after: datetime, seconds: int) -> None:
    offset = timedelta(seconds=seconds)
    assert next_time("0 */6 * * *", after, offset=offset) - offset == next_time("0 */6 * * *", after - offset)


@given(st.text(min_size=1), st.integers(1, 10**6))
def test_jitter_is_stable_and_within_its_bounds(uid: str, seconds: int) -> None:
    found = jitter_of(uid, seconds)
    assert timedelta() <= found < timedelta(seconds=seconds)
    assert found == jitter_of(uid, seconds)


def test_jitter_spreads_objects() -> None:
    assert len({jitter_of(f"uid-{number}", 3600) for number in range(500)}) > 400


@pytest.mark.parametrize("nickname", NICKNAMES)
def test_nicknames_mean_their_expressions(nickname: str) -> None:
    check_schedule(nickname)
    moment = datetime(2026, 5, 5, 5, 5, tzinfo=UTC)
    assert next_time(nickname, moment) == next_time(NICKNAMES[nickname], moment)


@pytest.mark.parametrize(
    "schedule",
    [" ", "every day", "* * * *", "60 * * * *", "0 0 30 2 *", "* * * * * *", "@reboot", "0 25 * * *", "*/0 * * * *"],
)
def test_a_schedule_that_means_nothing_is_refused_with_its_text(schedule: str) -> None:
    with pytest.raises(InvalidObjectError, match=re.escape(schedule)):
        check_schedule(schedule)


def test_a_time_that_is_skipped_in_spring_runs_once_and_a_double_one_in_autumn_too() -> None:
    moment, runs = datetime(2026, 3, 27, 12, tzinfo=UTC), []
    for _ in range(4):
        moment = next_time("30 2 * * *", moment, zone="Europe/Paris")
        runs.append(moment.astimezone(PARIS).strftime("%d %H:%M"))
    assert runs == ["28 02:30", "29 03:00", "30 02:30", "31 02:30"]
    moment, runs = datetime(2026, 10, 24, 12, tzinfo=UTC), []
    for _ in range(3):
        moment = next_time("30 2 * * *", moment, zone="Europe/Paris")
        runs.append(moment.astimezone(PARIS).strftime("%d %H:%M"))
    assert runs == ["25 02:30", "26 02:30", "27 02:30"]


def test_hourly_runs_go_on_through_both_changes() -> None:
    for begin in (datetime(2026, 3, 28, 23, 30, tzinfo=UTC), datetime(2026, 10, 24, 22, 30, tzinfo=UTC)):
        assert times_between("@hourly", begin, begin + timedelta(hours=6), zone="Europe/Paris", most=20) == 6


def thing(**status: str) -> dict[str, Any]:
    return {"metadata": {"creationTimestamp": "2026-03-01T00:00:00Z"}, "status": status}


NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_the_state_follows_from_two_fields_alone() -> None:
    assert state_of(thing()) is State.INITIAL
    assert (
        state_of(thing(lastSyncStartTime="2026-03-01T00:00:00Z", lastSyncTime="2026-03-01T00:00:00Z"))
        is State.SYNCHRONIZING
    )
    assert state_of(thing(lastSyncTime="2026-03-01T00:00:00Z")) is State.CLEANING_UP


def test_a_manual_value_wins_over_a_schedule_and_runs_once() -> None:
    trigger = Trigger(schedule="@hourly", manual="two")
    assert when_due(thing(lastManualSync="one", lastSyncTime="2026-03-01T11:59:00Z"), trigger, Clock(), NOON).now
    assert not when_due(thing(lastManualSync="two", lastSyncTime="2026-01-01T00:00:00Z"), trigger, Clock(), NOON).now
    assert next_sync_time(thing(), trigger, Clock(), NOON) is None


def test_without_a_trigger_the_next_run_starts_at_once() -> None:
    for trigger in (None, Trigger()):
        assert when_due(thing(lastSyncTime="2026-03-01T12:00:00Z"), trigger, Clock(), NOON).now


def test_a_schedule_starts_the_first_run_at_once_unless_told_otherwise() -> None:
    trigger = Trigger(schedule="0 18 * * *")
    assert when_due(thing(), trigger, Clock(), NOON).now
    delayed = when_due(thing(), trigger, Clock(delay_first=True), NOON)
    assert not delayed.now
    assert delayed.next == datetime(2026, 3, 1, 18, tzinfo=UTC)
    assert not when_due(thing(lastSyncTime="2026-03-01T11:00:00Z"), trigger, Clock(), NOON).now
    assert when_due(thing(lastSyncTime="2026-02-28T17:00:00Z"), trigger, Clock(), NOON).now


@pytest.mark.parametrize(
    ("last", "expected"), [("12:00:00", "12:30"), ("12:07:31", "12:30"), ("12:30:00", "13:00"), ("12:59:59", "13:00")]
)
def test_every_thirty_minutes_the_next_run_is_at_the_next_half_hour(last: str, expected: str) -> None:
    trigger = Trigger(schedule="*/30 * * * *")
    done = thing(lastSyncTime=f"2026-03-01T{last}Z")
    due = next_sync_time(done, trigger, Clock(), NOON)
    assert due is not None
    assert due.isoformat() == f"2026-03-01T{expected}:00+00:00"
    assert not when_due(done, trigger, Clock(), due - timedelta(seconds=1)).now
    assert when_due(done, trigger, Clock(), due).now


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("*/30 * * * *", "03-01T12:30"), ("*/6 * * * *", "03-01T12:06"), ("0 */4 * * *", "03-01T16:00"),
        ("0 1 * * *", "03-02T01:00"), ("0 2 * * *", "03-02T02:00"), ("0 3 * * *", "03-02T03:00"),
    ],
)  # fmt: skip
def test_the_documented_schedules_mean_what_they_say(schedule: str, expected: str) -> None:
    check_schedule(schedule)
    assert re.fullmatch(SCHEDULE_PATTERN, schedule)
    assert next_time(schedule, NOON).isoformat() == f"2026-{expected}:00+00:00"


def test_an_interval_is_missed_when_two_times_have_passed() -> None:
    trigger = Trigger(schedule="0 * * * *")
    start = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
    assert not is_interval_missed(trigger, Clock(), start, datetime(2026, 3, 1, 11, 30, tzinfo=UTC))
    assert is_interval_missed(trigger, Clock(), start, NOON)
    assert not is_interval_missed(Trigger(manual="x"), Clock(), start, NOON)
