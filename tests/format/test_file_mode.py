"""Modes of files as Go writes and reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedDataError
from pykopia.format.file_mode import mode_text, parse_mode


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("0", 0),
        ("00", 0),
        ("0644", 0o644),
        ("0_644", 0o644),
        ("0O17", 0o17),
        ("0X1FF", 0o777),
        ("0B1_1", 3),
        ("+7", 7),
        ("-0", 0),
        ("1048577", 0o1001),
        ("04000000", 0o1000),
        ("064000777", 0o7777),
        ("010000000755", 0o755),
    ],
)
def test_modes_are_read_as_numbers_of_go(text: str, mode: int) -> None:
    assert parse_mode(text) == mode


@pytest.mark.parametrize(
    "text", ["", " 0644", "0644 ", "0_", "_0", "0__7", "0x_", "08", "1_", "6.0", "٦٤٤", "--1", "0b2"]
)
def test_what_go_does_not_take_for_a_number_is_no_mode(text: str) -> None:
    with pytest.raises(DamagedDataError, match="is not a file mode"):
        parse_mode(text)


@given(st.integers(0, 0o7777))
def test_every_mode_survives_being_written_and_read(mode: int) -> None:
    assert parse_mode(mode_text(mode)) == mode
