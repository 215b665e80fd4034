"""Every rule of the contract is named by a test that holds it."""

import ast
import re
from pathlib import Path

RULES = {
    *(f"O-00{number}" for number in range(1, 6)),
    "O-010",
    *(f"O-04{number}" for number in range(6)),
    "O-060",
    "O-070",
    "O-071",
    "O-072",
    *(f"O-08{number}" for number in range(6)),
    "O-090",
    "O-091",
    "O-092",
    "O-100",
}


def named() -> dict[str, list[str]]:
    """Return the tests by the rules that their names or docstrings hold."""
    found: dict[str, list[str]] = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.FunctionDef) and node.name.startswith("test_")):
                continue
            texts = re.findall(r"o_(\d{3})", node.name) + re.findall(r"O-(\d{3})", ast.get_docstring(node) or "")
            for number in texts:
                found.setdefault(f"O-{number}", []).append(f"{path.name}: {node.name}")
    return found


def test_every_rule_has_a_test() -> None:
    assert sorted(RULES - named().keys()) == []


def test_no_test_names_a_rule_that_does_not_exist() -> None:
    assert sorted(named().keys() - RULES) == []
