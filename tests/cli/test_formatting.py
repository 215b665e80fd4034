import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.cli import formatting

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("length", "base_10", "base_2"),
    [
        (0, "0 B", "0 B"),
        (899, "899 B", "899 B"),
        (900, "0.9 KB", "900 B"),
        (921, "0.9 KB", "921 B"),
        (922, "0.9 KB", "0.9 KiB"),
        (1000, "1 KB", "1 KiB"),
        (1234567, "1.2 MB", "1.2 MiB"),
        (20971520, "21 MB", "20 MiB"),
        (270553174016, "270.6 GB", "252 GiB"),
        (10**21, "1000 EB", "867.4 EiB"),
    ],
)
def test_sizes_have_kopias_form(length: int, base_10: str, base_2: str) -> None:
    assert formatting.size(length) == base_10
    assert formatting.size(length, base_2=True) == base_2


def test_counts_keep_the_blank_of_an_absent_unit() -> None:
    assert formatting.count(8) == "8 "
    assert formatting.count(12345) == "12.3 K"


def test_speeds_have_a_unit() -> None:
    assert formatting.speed(1_500_000) == "1.5 MB/s"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1.5µs"),
        (300_000_000, "300ms"),
        (SECOND, "1s"),
        (90 * SECOND, "1m30s"),
        (900 * SECOND, "15m0s"),
        (86400 * SECOND, "24h0m0s"),
        (3600 * SECOND + 500_000_000, "1h0m0.5s"),
        (-2 * SECOND, "-2s"),
    ],
)
def test_durations_are_written_as_go_writes_them(nanoseconds: int, text: str) -> None:
    assert formatting.duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("kind", "bits", "text"),
    [
        ("f", 0o644, "-rw-r--r--"),
        ("d", 0o755, "drwxr-xr-x"),
        ("s", 0o777, "Lrwxrwxrwx"),
        ("f", 0o4755, "urwxr-xr-x"),
        ("f", 0o2755, "grwxr-xr-x"),
        ("d", 0o1777, "dtrwxrwxrwx"),
        ("f", 0o7000, "ugt---------"),
    ],
)
def test_modes_are_written_as_go_writes_them(kind: str, bits: int, text: str) -> None:
    assert formatting.mode(kind, bits) == text


def test_times_carry_their_zone() -> None:
    moment = 1_785_580_200 * SECOND + 123_456_789
    assert formatting.timestamp(moment, formatting.time_zone("utc")) == "2026-08-01 10:30:00 UTC"
    assert formatting.timestamp(moment, formatting.time_zone("Europe/Berlin")) == "2026-08-01 12:30:00 CEST"
    precise = formatting.timestamp(moment, formatting.time_zone("original"), milliseconds=True)
    assert precise == "2026-08-01 10:30:00.123 UTC"


def test_an_unknown_zone_means_utc() -> None:
    assert formatting.timestamp(0, formatting.time_zone("Nowhere/Land")) == "1970-01-01 00:00:00 UTC"


def test_local_times_are_the_default() -> None:
    assert formatting.time_zone("local") is None
    assert formatting.time_zone("") is None


def test_rfc3339_has_no_fraction() -> None:
    assert formatting.rfc3339(1_785_580_200 * SECOND) == "2026-08-01T10:30:00Z"
    assert formatting.rfc3339(0, formatting.time_zone("Asia/Kolkata")) == "1970-01-01T05:30:00+05:30"


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_every_time_that_can_be_stored_can_be_printed(nanoseconds: int) -> None:
    for zone in ("local", "utc", "Asia/Kolkata"):
        assert formatting.timestamp(nanoseconds, formatting.time_zone(zone))


def test_saving_is_never_negative() -> None:
    assert formatting.percentage_saved(100, 60) == "40.0%"
    assert formatting.percentage_saved(100, 120) == "0%"
    assert formatting.percentage_saved(0, 0) == "0%"
