from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.cli import formatting, values


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("10s", 10_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1.5s", 1_500_000_000),
        (".5m", 30_000_000_000),
        ("1.s", 1_000_000_000),
        ("3us", 3_000),
        ("3µs", 3_000),
        ("7ns", 7),
        ("-2m", -120_000_000_000),
        ("+2m", 120_000_000_000),
        ("720h", 2_592_000_000_000_000),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, nanoseconds: int) -> None:
    assert values.duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "1h 2m", ".s", "--1s", "1h2", "-", "+"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        values.duration(text)


@given(st.integers(min_value=-(10**18), max_value=10**18))
def test_durations_come_back_from_their_text(nanoseconds: int) -> None:
    assert values.duration(formatting.duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(("text", "number"), [("3", 3), ("-4", -4), ("3.9", 3), ("0x10", 16), ("1e3", 1000)])
def test_numbers_are_read_as_go_reads_them(text: str, number: int) -> None:
    assert values.integer(text) == number


@pytest.mark.parametrize("text", ["", "x", "1 2", "inf", "nan"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        values.integer(text)


def test_truth_has_gos_words() -> None:
    assert all(values.boolean(text) for text in ("1", "t", "T", "TRUE", "true", "True"))
    assert not any(values.boolean(text) for text in ("0", "f", "F", "FALSE", "false", "False"))
    with pytest.raises(ValueError, match="neither true nor false"):
        values.boolean("yes")


def test_paths_must_exist(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert values.existing_file(str(file)) == str(file)
    assert values.existing_path(str(tmp_path)) == str(tmp_path)
    with pytest.raises(ValueError, match="folder"):
        values.existing_file(str(tmp_path))
    with pytest.raises(ValueError, match="No such file"):
        values.existing_path(str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("0", 0),
        ("1000000", 10**6),
        ("1GB", 10**9),
        ("10 MB", 10**7),
        ("1.5MiB", 3 << 19),
        ("2k", 2000),
        ("1Gi", 1 << 30),
    ],
)
def test_a_size_may_have_a_unit(text: str, bytes_: int) -> None:
    assert values.size(text) == bytes_


@pytest.mark.parametrize("text", ["", "B", "GB", "-5", "1.5", "1XB", "1e9", "ten"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size such as"):
        values.size(text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (values.threads, "-1"), (values.threads, "100000"), (values.percentage, "-5"), (values.percentage, "200"),
        (values.interval, "0"), (values.interval, "-1h"), (values.waiting_time, "-1s"),
    ],
)  # fmt: skip
def test_a_number_out_of_range_is_refused(kind: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match="it must be"):
        kind(text)
