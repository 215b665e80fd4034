"""Which snapshot a restore takes."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pykopia_mover.failures import MoverError
from pykopia_mover.selection import nothing_to_restore, parse_as_of, select


@dataclass(frozen=True)
class Taken:
    start_time_ns: int


def starts(*times: int) -> list[Taken]:
    return [Taken(time) for time in times]


def test_row_175_m_131_a_time_needs_its_t_and_its_zone() -> None:
    assert parse_as_of("2022-08-10T20:01:03-04:00") == 1660176063 * 10**9
    for text in ("2022-08-10 20:01:03-04:00", "2022-08-10T20:01:03", "2022-08-10", "yesterday", "2022-13-10T20:01:03Z"):
        with pytest.raises(MoverError, match="2022-08-10T20:01:03-04:00") as caught:
            parse_as_of(text)
        assert caught.value.code.name == "config"


def test_row_174_m_130_times_of_different_zones_are_compared_as_instants() -> None:
    same = {
        parse_as_of(text) for text in ("2022-08-10T20:01:03-04:00", "2022-08-11T00:01:03Z", "2022-08-11t02:01:03+02:00")
    }
    assert len(same) == 1
    as_of = parse_as_of("2022-08-11T02:00:00+02:00")
    early, late = as_of - 60 * 10**9, as_of + 60 * 10**9
    assert select(starts(early, late), as_of_ns=as_of).snapshot == Taken(early)


def test_fractions_and_leap_seconds_are_times_too() -> None:
    assert parse_as_of("2022-08-10T20:01:03.5Z") - parse_as_of("2022-08-10T20:01:03Z") == 500_000_000
    assert parse_as_of("2016-12-31T23:59:60Z") == parse_as_of("2017-01-01T00:00:00Z")


def test_the_newest_is_taken_unless_something_else_is_said() -> None:
    assert select(starts(2, 9, 5)).snapshot == Taken(9)
    assert select(starts(2, 9, 5), previous=1).snapshot == Taken(5)
    assert select(starts(2, 9, 5), previous=3).snapshot is None
    assert select(starts(2, 9, 5), as_of_ns=5).snapshot == Taken(5)


def test_row_176_shallow_says_how_many_of_the_newest_are_considered() -> None:
    for count in range(1, 4):
        chosen = select(starts(1, 2, 3), shallow=count)
        assert (chosen.snapshot, chosen.eligible) == (Taken(3), count)
    assert select(starts(1, 2, 3), shallow=0).snapshot is None


def test_row_177_shallow_counts_from_the_first_snapshot_before_the_time() -> None:
    chosen = select(starts(1, 2, 3, 4), as_of_ns=3, shallow=2)
    assert (chosen.snapshot, chosen.eligible) == (Taken(3), 2)


@given(
    st.lists(st.integers(0, 100), unique=True, max_size=8),
    st.none() | st.integers(0, 100),
    st.integers(0, 9),
    st.none() | st.integers(0, 9),
)
def test_m_132_what_is_chosen_is_the_newest_of_what_is_allowed(
    times: list[int], as_of: int | None, previous: int, shallow: int | None
) -> None:
    chosen = select(starts(*times), as_of_ns=as_of, previous=previous, shallow=shallow).snapshot
    allowed = sorted((time for time in times if as_of is None or time <= as_of), reverse=True)
    if shallow == 0 or len(allowed) <= previous:
        assert chosen is None
    else:
        assert chosen == Taken(allowed[previous])


@pytest.mark.parametrize(
    ("mode", "available", "as_of", "previous", "shallow", "outcome"),
    [
        ("auto", 0, False, 0, None, "no-data"),
        ("auto", 3, False, 0, 0, "no-data"),
        ("auto", 3, True, 0, None, "no-snapshot"),
        ("auto", 0, True, 0, None, "no-snapshot"),
        ("auto", 3, False, 5, None, "no-snapshot"),
        ("continue", 0, True, 0, None, "no-data"),
        ("continue", 3, False, 5, None, "no-data"),
        ("fail", 0, False, 0, None, "no-snapshot"),
        ("fail", 3, False, 0, 0, "no-snapshot"),
    ],
)
def test_m_133_nothing_to_restore_is_a_success_only_where_that_can_be_meant(
    mode: str, available: int, as_of: bool, previous: int, shallow: int | None, outcome: str
) -> None:
    assert (
        nothing_to_restore(mode, available=available, as_of_given=as_of, previous=previous, shallow=shallow) == outcome
    )
