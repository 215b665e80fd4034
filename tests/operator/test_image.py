"""The image has what the operator imports, in the versions that the project asks for, and nothing else."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

PROJECT = Path(__file__).parents[2]
OPERATOR = PROJECT / "operator"
NOT_IMPORTED = {"tzdata"}
"""Read by ``zoneinfo``."""


def requirements() -> set[str]:
    """Return the lines of the image's requirements."""
    lines = (OPERATOR / "requirements.txt").read_text().splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!~\[ ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def imported() -> set[str]:
    """Return the names of the distributions that the operator imports from."""
    found = set()
    for path in (OPERATOR / "pykopia_operator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    by_module = packages_distributions()
    modules = found - set(sys.stdlib_module_names) - {"pykopia_operator"}
    names = [
        by_module[module] for module in modules
    ]  # a module may come from several: lightkube and its models share a folder
    return {min(each, key=len).lower().replace("_", "-") for each in names}


def test_the_requirements_are_those_of_the_project() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    own = set(project["optional-dependencies"]["operator"])
    assert own <= requirements()
    assert requirements() - own <= set(project["dependencies"])


def test_everything_that_is_imported_is_required_and_everything_that_is_required_is_imported() -> None:
    assert {name_of(each) for each in requirements()} == imported() | NOT_IMPORTED


def test_the_image_has_no_repository_code() -> None:
    lines = [line.split() for line in (OPERATOR / "Dockerfile").read_text().splitlines()]
    copied = {word for line in lines if line[:1] == ["COPY"] and "--from=build" not in line for word in line[1:-1]}
    assert copied == {"operator/requirements.txt", "operator/pykopia_operator", "${WHEELS:-operator/requirements.txt}"}
