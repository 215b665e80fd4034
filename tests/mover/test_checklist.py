"""Every feature and every rule of the mover has a test with its number, or a reason why not.

``data/features.tsv`` lists what VolSync's documentation states: number, how it can be decided (U unit test, G golden or
interoperability test, O operator, E image), and what must hold. A test is named after the numbers that it holds:
``test_rows_7_20_movers_at_once_succeed``.
``data/rules.tsv`` lists the rules of the mover's contract: ``test_m_012_an_empty_volume_is_skipped`` holds rule M-012.
"""

import ast
import functools
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FEATURES = {
    int(number): text
    for number, _, text in (
        line.split("\t") for line in (Path(__file__).parent / "data" / "features.tsv").read_text().splitlines()
    )
}

RULES = dict(line.split("\t") for line in (Path(__file__).parent / "data" / "rules.tsv").read_text().splitlines())

RULES_ELSEWHERE = {
    "083": "it is another name for rule 133",
}
"""Rules without a test of their number, and why."""

ELSEWHERE = {
    107: "schedules are the operator's: a cron expression is none of the mover's settings; tests/operator/test_schedules.py "
    "runs the documented ones",
    108: "as 107",
    281: "events, status and their metrics are the operator's; the mover's own output is row 196",
}
"""Rows without a test here, and why."""


@functools.cache
def names_of_tests() -> tuple[str, ...]:
    """Return the names of all tests of the mover."""
    files = [*(TESTS / "mover").glob("test_*.py"), TESTS / "interop" / "test_mover.py"]
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text())))
    return tuple(node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


def rows_held() -> set[int]:
    """Return the rows that tests are named after."""
    matches = (re.match(r"test_rows?((?:_\d+)+)_", name) for name in names_of_tests())
    return {int(number) for match in matches if match for number in match[1].strip("_").split("_")}


def rules_held() -> set[str]:
    """Return the rules that tests are named after."""
    return {rule for name in names_of_tests() for rule in re.findall(r"_m_(\d{3}[a-z]?)(?=_)", name)}


@pytest.mark.parametrize("number", FEATURES)
def test_every_stated_feature_has_a_test_or_a_reason(number: int) -> None:
    assert number in rows_held() or number in ELSEWHERE, FEATURES[number]


def test_no_row_is_named_that_does_not_exist() -> None:
    assert {*rows_held(), *ELSEWHERE} - {*FEATURES} == set()
    assert {*rows_held()} & {*ELSEWHERE} == set()


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_test_or_a_reason(rule: str) -> None:
    assert rule in rules_held() or rule in RULES_ELSEWHERE, RULES[rule]


def test_no_rule_is_named_that_does_not_exist() -> None:
    assert {*rules_held(), *RULES_ELSEWHERE} - {*RULES} == set()
    assert {*rules_held()} & {*RULES_ELSEWHERE} == set()
