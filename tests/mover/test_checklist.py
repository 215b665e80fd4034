"""Every feature that VolSync's documentation states of the mover has a test with its number, or a reason why not.

``data/features.tsv`` lists them: number, how it can be decided (U unit test, G golden or interoperability test, O operator,
E image), and what must hold. A test is named after the numbers that it holds: ``test_rows_7_20_movers_at_once_succeed``.
"""

import ast
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

ELSEWHERE = {
    107: "schedules are the operator's: a cron expression is none of the mover's settings; tests/format/test_scheduling.py "
    "reads them as policies",
    101: "as 208: how many puts are under way is a limit of the connection, whatever its type",
    108: "as 107",
    281: "events, status and their metrics are the operator's; the mover's own output is row 196",
}
"""Rows without a test here, and why."""


def rows_held() -> dict[int, list[str]]:
    """Return the tests of each row."""
    found: dict[int, list[str]] = {}
    files = [*(TESTS / "mover").glob("test_*.py"), TESTS / "interop" / "test_mover.py"]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and (match := re.match(r"test_rows?((?:_\d+)+)_", node.name)):
                for number in match[1].strip("_").split("_"):
                    found.setdefault(int(number), []).append(f"{path.name}::{node.name}")
    return found


@pytest.mark.parametrize("number", FEATURES)
def test_every_stated_feature_has_a_test_or_a_reason(number: int) -> None:
    assert number in rows_held() or number in ELSEWHERE, FEATURES[number]


def test_no_row_is_named_that_does_not_exist() -> None:
    assert {*rows_held(), *ELSEWHERE} - {*FEATURES} == set()
    assert {*rows_held()} & {*ELSEWHERE} == set()
