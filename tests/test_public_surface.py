"""What ``import pykopia`` offers, to programs and to type checkers."""

import ast
import inspect
import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import pykopia

SOURCE = Path(pykopia.__file__)


def names_for_type_checkers() -> dict[str, str]:
    """Return the module of each name that the package imports for type checkers alone."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {
        alias.asname or alias.name: f"{node.module}:{alias.name}" if alias.asname else f"{node.module}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_programs_and_type_checkers_see_the_same_names() -> None:
    places: dict[str, str] = dict.fromkeys(pykopia._MODULES, "pykopia") | pykopia._PLACES
    assert names_for_type_checkers() == places
    assert sorted(places) == sorted(pykopia.__all__)


@pytest.mark.parametrize("name", pykopia.__all__)
def test_each_public_name_is_there_without_any_other_import(name: str) -> None:
    assert getattr(pykopia, name) is not None


@pytest.mark.parametrize("name", ["errors", "storage", "testing", "create"])
def test_a_fresh_process_needs_no_second_import(name: str) -> None:
    subprocess.run([sys.executable, "-c", f"import pykopia; pykopia.{name}"], check=True)


def test_dir_shows_the_public_names_alone() -> None:
    assert {name for name in dir(pykopia) if not name.startswith("__")} == set(pykopia.__all__)


def test_importing_the_package_imports_nothing_of_it() -> None:
    script = "import sys, pykopia; print(*[name for name in sys.modules if name.startswith('pykopia')])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["pykopia"]


def test_a_type_checker_refuses_a_misspelt_name_and_accepts_a_program(tmp_path: Path) -> None:
    good = tmp_path / "good.py"
    good.write_text(
        "import pykopia\n"
        "def newest(repository: pykopia.Repository) -> pykopia.SnapshotManifest:\n"
        "    try:\n"
        "        return repository.snapshots.list()[-1]\n"
        "    except pykopia.errors.PykopiaError:\n"
        "        raise\n"
    )
    bad = tmp_path / "bad.py"
    bad.write_text("import pykopia\npykopia.SnapshotOption()\npykopia.RestoreOptions(mode='rar')\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--follow-imports", "silent"]
    command += ["--cache-dir", str(tmp_path / "cache")]
    environment = {**os.environ, "MYPYPATH": str(SOURCE.parents[1])}
    found = subprocess.run(
        [*command, str(good), str(bad)], capture_output=True, text=True, cwd=tmp_path, check=False, env=environment
    )
    lines = found.stdout.splitlines()
    assert [line for line in lines if "good.py" in line] == []
    assert any('bad.py:2: error: Module has no attribute "SnapshotOption"' in line for line in lines), found.stdout
    assert any("bad.py:3: error: Argument" in line for line in lines), found.stdout


METHODS = {
    f"{owner}.{name}": value
    for owner in pykopia.__all__
    if isinstance(getattr(pykopia, owner), type)
    for name, value in inspect.getmembers(getattr(pykopia, owner), inspect.isfunction)
    if not name.startswith("_") and value.__module__.startswith("pykopia.")
}


@pytest.mark.parametrize("method", METHODS)
def test_annotations_of_public_methods_resolve(method: str) -> None:
    assert typing.get_type_hints(METHODS[method]) is not None


def test_what_the_methods_of_a_repository_take_and_return_is_public() -> None:
    owners = ("Repository", "Snapshots", "Policies", "Maintenance")
    unnamed = {
        f"{method}: {kind.__name__}"
        for method, function in METHODS.items()
        if method.split(".")[0] in owners
        for hint in typing.get_type_hints(function).values()
        for kind in (
            hint,
            *typing.get_args(hint),
            *(each for inner in typing.get_args(hint) for each in typing.get_args(inner)),
        )
        if inspect.isclass(kind) and kind.__module__.startswith("pykopia.") and kind.__name__ not in pykopia.__all__
        if not kind.__module__.startswith("pykopia.errors")
    }
    assert unnamed == set()
