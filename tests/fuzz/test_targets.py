"""A bounded run of every target; ``make fuzz`` runs them for long."""

import pytest

from .running import cases, corpus, run
from .targets import TARGETS, missing_native

CASES = 60
"""Cases of each target in the default run: always the same ones."""
NEVER_REFUSED = {"what s2 writes", "cut points", "mixing of keys", "files and folders"}


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_withstands_changed_bytes(name: str) -> None:
    if missing_native(TARGETS[name]):
        pytest.skip("the native code is not built")
    accepted, refused = run(name, 0, CASES)
    assert accepted + refused == CASES


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_kept_inputs_are_taken_as_they_should(name: str) -> None:
    chosen = TARGETS[name]
    if missing_native(chosen):
        pytest.skip("the native code is not built")
    assert chosen.seeds()
    for seed in chosen.seeds():
        assert chosen.check(seed), seed
    for kept in corpus(name):
        chosen.check(kept)


def test_a_number_makes_a_case_again() -> None:
    assert list(cases("policies", 5, 20)) == list(cases("policies", 5, 20))
    assert next(cases("policies", 5, 1)) != next(cases("policies", 6, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_target_withstands_many_changed_bytes(name: str) -> None:
    if missing_native(TARGETS[name]):
        pytest.skip("the native code is not built")
    accepted, refused = run(name, 1_000_000, 3000)
    assert accepted, "no changed input is accepted: the changes keep too little of the structure"
    assert refused or name in NEVER_REFUSED, "no changed input is refused"
