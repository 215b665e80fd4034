"""Schedules: when a snapshot is due, cron expressions, and the clock on the wall."""

import contextlib
import json
from datetime import UTC, timedelta, timezone
from datetime import date as date_type
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykopia.errors import InvalidPolicyError
from pykopia.format.calendar_time import date_of, day_of, from_local, iso_week, to_local, utc_offset, weekday
from pykopia.format.cron import CronExpression
from pykopia.format.gotime import DAY_SECONDS, SECOND_NS, ZERO_TIME_NS, format_time, parse_time
from pykopia.format.policy import SchedulingPolicy, TimeOfDay
from pykopia.format.scheduling import next_snapshot_time, parse_time_of_day

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "scheduling.json").read_text())
NEW_YORK = ZoneInfo("America/New_York")


def next_times(text: str, start: str, count: int = 3, zone: str = "UTC") -> list[str]:
    """Return the next instants of an expression, without the seconds where they are 0."""
    expression = CronExpression.parse(text)
    found = []
    now: int | None = parse_time(start)
    for _ in range(count):
        assert now is not None
        now = expression.next_after(now, ZoneInfo(zone))
        found.append("never" if now is None else format_time(now).removesuffix(":00Z").removesuffix("Z"))
        if now is None:
            break
    return found


# --- as Kopia --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", VECTORS["next_snapshot_time"], ids=str)
def test_the_next_snapshot_is_due_when_kopia_takes_it(case: dict[str, Any]) -> None:
    policy = SchedulingPolicy.from_json(json.dumps(case["scheduling"]), strict=True)
    previous = parse_time(case["previous"])
    due = next_snapshot_time(
        policy,
        previous_ns=None if previous == ZERO_TIME_NS else previous,
        now_ns=parse_time(case["now"]),
        tz=ZoneInfo(case["local_timezone"]),
    )
    assert due == (parse_time(case["next"]) if case["scheduled"] else None)


@pytest.mark.parametrize("case", VECTORS["time_of_day_parse"], ids=lambda case: case["in"])
def test_times_of_day_are_read_as_in_kopia(case: dict[str, Any]) -> None:
    if case["ok"]:
        time = parse_time_of_day(case["in"])
        assert time == TimeOfDay(hour=case["hour"], minute=case["min"])
        assert str(time) == case["string"]
    else:
        with pytest.raises(InvalidPolicyError, match="no time of day"):
            parse_time_of_day(case["in"])


@pytest.mark.parametrize(("text", "time"), [("08:00", "8:00"), ("09:30", "9:30"), ("5:08", "5:08"), ("010:00", None)])
def test_a_leading_zero_is_not_octal(text: str, time: str | None) -> None:
    # Kopia refuses 08:00 and takes 5:08 for 5:00
    if time is None:
        with pytest.raises(InvalidPolicyError):
            parse_time_of_day(text)
    else:
        assert str(parse_time_of_day(text)) == time


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Auckland"])
def test_a_source_without_snapshot_is_due_at_once(zone: str) -> None:
    now = parse_time("2024-05-01T10:30:00Z")
    for policy in (
        SchedulingPolicy(interval_seconds=3600),
        SchedulingPolicy(cron=("0 3 * * *",), run_missed=True),
        SchedulingPolicy(times_of_day=(TimeOfDay(hour=3),), run_missed=True),
    ):
        assert next_snapshot_time(policy, previous_ns=None, now_ns=now, tz=ZoneInfo(zone)) == now


def test_a_negative_interval_is_due_at_once() -> None:
    now = parse_time("2024-05-01T10:30:00Z")
    assert next_snapshot_time(SchedulingPolicy(interval_seconds=-5), previous_ns=now, now_ns=now, tz=UTC) == now


def test_a_cron_expression_that_is_never_due_is_no_schedule() -> None:
    policy = SchedulingPolicy(cron=("0 0 30 2 *",), run_missed=True)
    assert next_snapshot_time(policy, previous_ns=0, now_ns=0, tz=UTC) is None


def test_a_comment_cuts_off_the_number_of_a_weekday_as_in_kopia() -> None:
    now = parse_time("2024-05-01T00:00:00Z")
    policy = SchedulingPolicy(cron=("0 0 * * 5#2",))
    due = next_snapshot_time(policy, previous_ns=now, now_ns=now, tz=UTC)
    assert due == parse_time("2024-05-03T00:00:00Z")


# --- cron ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@hourly", ["2024-05-03T11:00", "2024-05-03T12:00", "2024-05-03T13:00"]),
        ("@daily", ["2024-05-04T00:00", "2024-05-05T00:00", "2024-05-06T00:00"]),
        ("@weekly", ["2024-05-05T00:00", "2024-05-12T00:00", "2024-05-19T00:00"]),
        ("@monthly", ["2024-06-01T00:00", "2024-07-01T00:00", "2024-08-01T00:00"]),
        ("@yearly", ["2025-01-01T00:00", "2026-01-01T00:00", "2027-01-01T00:00"]),
        ("@annually", ["2025-01-01T00:00", "2026-01-01T00:00", "2027-01-01T00:00"]),
        ("30 10 * * *", ["2024-05-04T10:30", "2024-05-05T10:30", "2024-05-06T10:30"]),
        ("*/20 10-11 * * *", ["2024-05-03T10:40", "2024-05-03T11:00", "2024-05-03T11:20"]),
        ("5/25 * * * *", ["2024-05-03T10:55", "2024-05-03T11:05", "2024-05-03T11:30"]),
        ("0 0 1-10/4 * *", ["2024-05-05T00:00", "2024-05-09T00:00", "2024-06-01T00:00"]),
        ("15 30 10 * * * *", ["2024-05-03T10:30:15", "2024-05-04T10:30:15", "2024-05-05T10:30:15"]),
        ("*/30 * * * * * *", ["2024-05-03T10:30:30", "2024-05-03T10:31", "2024-05-03T10:31:30"]),
        ("0 0 1 1 * 2030-2031", ["2030-01-01T00:00", "2031-01-01T00:00", "never"]),
        ("0 0 29 feb ?", ["2028-02-29T00:00", "2032-02-29T00:00", "2036-02-29T00:00"]),
        ("0 0 30 2 *", ["never"]),
        ("0 0 L * *", ["2024-05-31T00:00", "2024-06-30T00:00", "2024-07-31T00:00"]),
        ("0 0 LW * *", ["2024-05-31T00:00", "2024-06-28T00:00", "2024-07-31T00:00"]),
        ("0 0 1W 6 *", ["2024-06-03T00:00", "2025-06-02T00:00", "2026-06-01T00:00"]),
        ("0 0 31W * *", ["2024-05-31T00:00", "2024-07-31T00:00", "2024-08-30T00:00"]),
        ("0 0 * * 5L", ["2024-05-31T00:00", "2024-06-28T00:00", "2024-07-26T00:00"]),
        ("0 0 * * FRI#2", ["2024-05-10T00:00", "2024-06-14T00:00"]),
        ("0 0 13 * fri", ["2024-05-10T00:00", "2024-05-13T00:00", "2024-05-17T00:00"]),
        ("0 0 * * Monday-Wednesday,7", ["2024-05-05T00:00", "2024-05-06T00:00", "2024-05-07T00:00"]),
        ("0 0 * * fri-sun", ["2024-05-04T00:00", "2024-05-10T00:00", "2024-05-11T00:00"]),  # without the Sunday
        ("0 0 * * 05", ["2024-05-05T00:00", "2024-05-12T00:00", "2024-05-19T00:00"]),  # a Sunday
        ("0 0 0 * * * 2024 junk", ["2024-05-04T00:00"]),
        ("0 0 5,*,7 * *", ["2024-05-04T00:00"]),
        ("0,,30 * * * *", ["2024-05-03T11:00"]),
        ("*,nonsense * * * *", ["2024-05-03T10:31"]),
    ],
)
def test_cron_expressions_are_due_when_kopias_parser_says_so(text: str, expected: list[str]) -> None:
    assert next_times(text, "2024-05-03T10:30:00Z", len(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "bogus",
        "61 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * foo *",
        "* * * * 8",
        "* * * * 5#6",
        "* * * * L",
        "* * LL * *",
        "* * 32W * *",
        "*/0 * * * *",
        "*/60 * * * *",
        "*/007 * * * *",
        "5-10/60 * * * *",
        "5- * * * *",
        "?/5 * * * *",
        "*-5 * * * *",
        ", * * * *",
        "5-3 * * * *",
        "* * * * * 1969",
        "* * * * * 2100",
        "@reboot",
        "* * * * *\u00a0",
    ],
)
def test_bad_cron_expressions_are_refused(text: str) -> None:
    with pytest.raises(InvalidPolicyError, match="cron expression"):
        CronExpression.parse(text)


def test_a_time_that_the_clock_does_not_show_is_left_out() -> None:
    assert next_times("30 2 * * *", "2024-03-09T12:00:00Z", 2, "America/New_York") == [
        "2024-03-11T06:30",
        "2024-03-12T06:30",
    ]


def test_a_time_that_the_clock_shows_twice_counts_twice() -> None:
    assert next_times("30 1 * * *", "2024-11-02T12:00:00Z", 3, "America/New_York") == [
        "2024-11-03T05:30",
        "2024-11-03T06:30",
        "2024-11-04T06:30",
    ]


def test_a_day_that_ends_twice_is_met_in_the_order_of_time() -> None:
    # in Goose Bay, 0:01 became 23:01 of the day before
    assert next_times("0,30 0,23 * * *", "2010-11-06T22:00:00Z", 6, "America/Goose_Bay") == [
        "2010-11-07T02:00",
        "2010-11-07T02:30",
        "2010-11-07T03:00",
        "2010-11-07T03:30",
        "2010-11-07T04:00",
        "2010-11-07T04:30",
    ]


def test_a_midnight_that_the_clock_does_not_show_is_left_out() -> None:
    assert next_times("@daily", "2023-03-25T12:00:00Z", 2, "Asia/Beirut") == ["2023-03-26T21:00", "2023-03-27T21:00"]


words = st.sampled_from(
    ["*", "?", "1", "05", "7", "59", "2030", "L", "W", "LW", "15w", "5#2", "3L", "mon", "dec", "-", "/", ",", "/2"]
)
fields = st.lists(words, min_size=1, max_size=4).map("".join)


@given(st.lists(fields, max_size=8).map(" ".join) | st.text(max_size=20), st.integers(-(10**18), 3 * 10**18))
@example("* * * * *", ZERO_TIME_NS)
@example("0 0 29 2 sun 2099", 0)
def test_any_text_is_a_schedule_or_refused(text: str, now: int) -> None:
    with contextlib.suppress(InvalidPolicyError):
        for zone in (UTC, NEW_YORK):
            due = CronExpression.parse(text).next_after(now, zone)
            assert due is None or (due > now and due % SECOND_NS == 0)


times_of_day = st.builds(TimeOfDay, hour=st.integers(0, 23), minute=st.integers(0, 59))


@given(
    st.builds(
        SchedulingPolicy,
        interval_seconds=st.integers(-10, 10**7),
        times_of_day=st.none() | st.lists(times_of_day, max_size=2).map(tuple),
        cron=st.none() | st.just(("0 3 * * 1", "bogus")),
        run_missed=st.none() | st.booleans(),
        manual=st.booleans(),
    ),
    st.none() | st.integers(0, 2 * 10**18),
    st.integers(0, 2 * 10**18),
)
def test_nothing_is_due_in_the_past(policy: SchedulingPolicy, previous: int | None, now: int) -> None:
    due = next_snapshot_time(policy, previous_ns=previous, now_ns=now, tz=NEW_YORK)
    assert due is None or due >= now
    if policy.manual:
        assert due is None


# --- calendar --------------------------------------------------------------------------------------------------------


@given(st.integers(-(10**7), 10**7))
def test_dates_and_days_are_each_others_inverse(day: int) -> None:
    assert day_of(*date_of(day)) == day


@given(st.dates())
def test_dates_are_those_of_python(date: date_type) -> None:
    day = (date - date_type(1970, 1, 1)).days
    assert date_of(day) == (date.year, date.month, date.day)
    assert iso_week(day) == date.isocalendar()[:2]
    assert weekday(day) == date.isoweekday() % 7


@given(st.integers(-400, 400), st.integers(-50, 50))
def test_months_run_over_into_years(year: int, month: int) -> None:
    assert day_of(2000 + year, 12 + month, 1) == day_of(2000 + year + 1, month, 1)


@given(
    st.integers(-(10**12), 10**12), st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"])
)
def test_local_time_leads_back_to_the_instant_or_to_its_twin(seconds: int, name: str) -> None:
    zone = ZoneInfo(name)
    local = to_local(seconds, zone)
    found = from_local(local, zone)
    assert to_local(found, zone) == local or abs(found - seconds) <= DAY_SECONDS


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        ("America/New_York", "2024-03-10T02:30:00Z", "2024-03-10T06:30:00Z"),  # never shown
        ("America/New_York", "2024-11-03T01:30:00Z", "2024-11-03T05:30:00Z"),  # shown twice
        ("Europe/London", "2024-03-31T01:30:00Z", "2024-03-31T01:30:00Z"),
        ("Europe/London", "2024-10-27T01:30:00Z", "2024-10-27T01:30:00Z"),
        ("Europe/Berlin", "2024-03-31T02:30:00Z", "2024-03-31T01:30:00Z"),
        ("Europe/Berlin", "2024-10-27T02:30:00Z", "2024-10-27T01:30:00Z"),
    ],
)
def test_at_changes_of_the_clock_the_instant_is_gos(zone: str, local: str, instant: str) -> None:
    found = from_local(parse_time(local) // SECOND_NS, ZoneInfo(zone))
    assert format_time(found * SECOND_NS) == instant


@pytest.mark.parametrize("seconds", [-(10**20), 10**20])
def test_times_beyond_pythons_years_have_an_offset(seconds: int) -> None:
    assert utc_offset(seconds, timezone(timedelta(hours=2))) == 7200
    assert abs(utc_offset(seconds, NEW_YORK)) < DAY_SECONDS
