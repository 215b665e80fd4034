"""The notebook in docs runs from its first cell to its last, and its tables are tables."""

import ast
import json
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def run_cell(source: str, names: dict[str, Any]) -> object:
    """Run a cell and return the value of its last line, as a notebook does; None where that is no expression."""
    tree = ast.parse(source)
    last = tree.body[-1]
    value = last.value if isinstance(last, ast.Expr) else None
    if value is not None:
        tree.body.pop()
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return None if value is None else eval(compile(ast.Expression(value), str(NOTEBOOK), "eval"), names)


def test_the_notebook_runs_and_shows_tables() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    names: dict[str, Any] = {}
    values: list[object] = []
    shown: list[str] = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            value = run_cell("".join(cell["source"]), names)
            values.append(value)
            if hasattr(value, "_repr_html_"):
                shown.append(value._repr_html_())
    assert len(shown) == 5  # a list, a snapshot, a comparison, a policy, a ledger
    assert all(each.startswith("<table>") for each in shown)
    assert "./answer.txt" in shown[2]
    assert "zstd" in shown[3]
    assert "in use" in shown[4]
    assert "day,amount\n1,20\n" in values
