"""What docs/reliability.md and SECURITY.md claim is tested: the tests that they name exist."""

import re
from pathlib import Path

import pytest

from tests.faults.__main__ import END, START
from tests.faults.campaign import CASES
from tests.faults.harness import FATES
from tests.faults.programs import PROGRAMS

PROJECT = Path(__file__).parents[1]
NAMED = re.compile(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`")
PAGES = ("docs/reliability.md", "SECURITY.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_exists(page: str) -> None:
    named = NAMED.findall((PROJECT / page).read_text())
    assert named
    for file, test in named:
        text = (PROJECT / file).read_text()
        assert not test or f"def {test}(" in text, f"{page} names {file}::{test}"


def test_every_claim_of_the_threat_model_names_a_test() -> None:
    text = (PROJECT / "SECURITY.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| Claim"))]
    assert len(rows) > 10
    for row in rows:
        assert NAMED.search(row), f"SECURITY.md claims without a test: {row}"


def test_the_table_of_faults_has_every_operation_and_fate() -> None:
    text = (PROJECT / "docs/reliability.md").read_text()
    table = text[text.index(START) : text.index(END)]
    assert "| Operation | Calls | " + " | ".join(FATES) + " |" in table
    for name in PROGRAMS:
        cells = next(line for line in table.splitlines() if line.startswith(f"| {name} |")).strip("| ").split(" | ")
        assert int(cells[1]) > 0
        for fate, cell in zip(FATES, cells[2:], strict=True):
            assert (cell == "-") == ((name, fate) not in CASES)
            assert cell == "-" or int(cell) > 0
