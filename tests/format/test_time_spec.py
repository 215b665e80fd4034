from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.cli import formatting
from pykopia.errors import InvalidTimeError
from pykopia.format.time_spec import latest_start, parse_timestamp

BERLIN = ZoneInfo("Europe/Berlin")
NOW = parse_timestamp("2026-08-15 14:30:00 UTC")


def limit(spec: str) -> str:
    return formatting.timestamp(latest_start(spec, now_ns=NOW, local=BERLIN), BERLIN)


@pytest.mark.parametrize(
    ("spec", "moment"),
    [
        ("yesterday", "2026-08-15 00:00:00 CEST"),
        ("last-month", "2026-08-01 00:00:00 CEST"),
        ("last-year", "2026-01-01 00:00:00 CET"),
        ("ago", "2026-08-16 00:00:00 CEST"),
        ("1d-ago", "2026-08-15 00:00:00 CEST"),
        ("2days-ago", "2026-08-14 00:00:00 CEST"),
        ("1m-ago", "2026-07-16 00:00:00 CEST"),
        ("1y-2mo-3d-ago", "2025-06-13 00:00:00 CEST"),
        ("2026", "2027-01-01 00:00:00 CET"),
        ("2026-1", "2026-02-01 00:00:00 CET"),
        ("2026-12", "2027-01-01 00:00:00 CET"),
        ("2026-3-28", "2026-03-29 00:00:00 CET"),
        ("2026-3-29", "2026-03-30 00:00:00 CEST"),
        ("2026-8-1 12", "2026-08-01 13:00:00 CEST"),
        ("2026-8-1T12:30", "2026-08-01 12:31:00 CEST"),
        ("2026-8-1 12:30:15", "2026-08-01 12:30:16 CEST"),
        ("2026-8-1T12:30:15Z", "2026-08-01 14:30:16 CEST"),
        ("2026-8-1T12:30:15+05:30", "2026-08-01 09:00:16 CEST"),
        ("2026-8-1 12:30Z", "2026-08-01 14:31:00 CEST"),
        ("2026-08-01 12:30:15 UTC", "2026-08-01 14:30:16 CEST"),
        ("2026-08-01 12:30:15 CEST", "2026-08-01 12:30:16 CEST"),
    ],
)
def test_specifications_include_their_last_unit(spec: str, moment: str) -> None:
    assert limit(spec) == moment


def test_days_beyond_the_end_of_a_month_run_over() -> None:
    march = parse_timestamp("2026-03-31 12:00:00 UTC")
    found = latest_start("1m-ago", now_ns=march, local=ZoneInfo("UTC"))
    assert formatting.timestamp(found, ZoneInfo("UTC")) == "2026-03-04 00:00:00 UTC"


@pytest.mark.parametrize("spec", ["", "soon", "2026-13", "2026-02-30", "20260801", "1x-ago", "2026-8-1 25:00", "d-ago"])
def test_what_is_no_time_is_refused(spec: str) -> None:
    with pytest.raises(InvalidTimeError):
        latest_start(spec, now_ns=NOW, local=BERLIN)


@given(st.text(alphabet="0123456789-: TZ.+agoUTCyear", max_size=30))
def test_any_text_is_understood_or_refused(spec: str) -> None:
    try:
        latest_start(spec, now_ns=NOW, local=BERLIN)
    except InvalidTimeError:
        return


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_printed_times_can_be_typed_again(seconds: int) -> None:
    moment = seconds * 1_000_000_000
    assert parse_timestamp(formatting.timestamp(moment, formatting.time_zone("utc"))) == moment


def test_a_typed_time_needs_seconds_and_zone() -> None:
    for text in ("2026-08-01", "2026-08-01 12:30", "2026-08-01 12:30:00"):
        with pytest.raises(InvalidTimeError):
            parse_timestamp(text)


@pytest.mark.parametrize("text", ["0001-01-01 00:00:00 UTC", "9999-12-31 23:59:59 UTC", "0000-01-01 00:00:00 UTC"])
def test_a_time_at_the_end_of_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(InvalidTimeError):
        parse_timestamp(text)


@given(st.integers(0, 9999), st.integers(1, 12), st.integers(1, 28), st.sampled_from(["", "Z", "+14:00", "-12:00"]))
def test_every_day_of_the_calendar_is_understood_or_refused(year: int, month: int, day: int, zone: str) -> None:
    for spec in (f"{year:04d}", f"{year:04d}-{month:02d}", f"{year:04d}-{month:02d}-{day:02d} 00:00:00{zone}"):
        try:
            latest_start(spec, now_ns=NOW, local=BERLIN)
        except InvalidTimeError:
            continue


def test_a_time_long_ago_is_refused() -> None:
    with pytest.raises(InvalidTimeError, match="beyond the calendar"):
        latest_start("999y-999m-ago", now_ns=parse_timestamp("0900-01-01 00:00:00 UTC"), local=ZoneInfo("UTC"))
