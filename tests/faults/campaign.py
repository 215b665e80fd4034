"""Runs the programs with each fate at each call, and tells what was tried."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pykopia.errors import PykopiaError
from pykopia.testing import FakeClock

from .harness import (
    FATES,
    STEP_NS,
    Fate,
    Ground,
    Program,
    assert_survived,
    blob_ids,
    calls_to_fail,
    count_calls,
    run_until,
)
from .programs import PROGRAMS, ground_of

NOT_TORN = {
    "change password", "upgrade by parameters", "upgrade from format 1", "upgrade from format 2", "restore", "verify",
    "sync from the origin", "migrate from",
}  # fmt: skip
"""The first four replace the one blob without which nothing can be opened: only an atomic put can do that (format 03 §1). The
others put nothing."""

CASES: list[tuple[str, Fate]] = [
    (name, fate) for name in PROGRAMS for fate in FATES if fate != "torn" or name not in NOT_TORN
]


TRIES = 3
"""Runs in which a program must make the call that is to fail: with several threads the number of calls differs by one or two."""


@dataclass(frozen=True)
class Tried:
    """How often a program met a fate."""

    calls: int
    """Calls of the storage that the program makes without a fault."""
    faults: int
    """At how many of them it met its fate, and all was well afterwards."""


def check_all(source: Path, name: str, fate: Fate, most: int | None) -> Tried:
    """Run a program until it meets its fate at each of its calls, or at ``most`` of them, and look at what is left.

    Raises:
        AssertionError: something was lost, is wrong, or the fault was never reached.
    """
    make, version = PROGRAMS[name]
    time = FakeClock(step_ns=STEP_NS)
    with time.installed():
        ground = ground_of(source, time, version=version)
        program = make(ground)
        calls = count_calls(ground, program, fate)
        return Tried(calls, sum(1 for _ in _each(ground, program, name, fate, calls_to_fail(calls, most))))


def _each(ground: Ground, program: Program, name: str, fate: Fate, calls: Iterator[int]) -> Iterator[int]:
    for call in calls:
        for _ in range(TRIES):
            left = run_until(ground, program, call, fate)
            if left.reached:
                break
        try:
            assert_survived(ground, left, torn=fate == "torn")
        except (AssertionError, PykopiaError) as error:
            error.add_note(f"{name}: {fate} at call {call}; left: {blob_ids(left.storage)}")
            raise
        yield call


__all__ = ["CASES", "NOT_TORN", "Tried", "check_all"]
