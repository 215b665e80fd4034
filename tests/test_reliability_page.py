"""What docs/reliability.md and SECURITY.md claim is tested: the tests that they name exist."""

import re
from pathlib import Path

import pytest

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
