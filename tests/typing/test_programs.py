"""Type checkers accept the programs of others, and refuse what is wrong in them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GOOD, WRONG = "good_program.py", "wrong_program.py"


def mypy(folder: Path, *programs: str) -> dict[str, set[int]]:
    """Return the lines that mypy refuses, by program."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file", os.devnull]
    command += ["--follow-imports", "silent", "--cache-dir", str(folder / "cache"), *programs]
    return _lines(_run(command, folder, MYPYPATH=str(ROOT)), r"^(\w+\.py):(\d+): error", programs)


def pyright(folder: Path, *programs: str) -> dict[str, set[int]]:
    """Return the lines that pyright refuses, by program."""
    if subprocess.run([sys.executable, "-m", "pyright", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("pyright does not start: `make venv` installs it, and it fetches its program from npm once")
    settings = {
        "include": [*programs],
        "extraPaths": [str(ROOT)],
        "pythonVersion": "3.11",
        "typeCheckingMode": "standard",
        "reportMissingModuleSource": False,
        "reportUnusedExpression": False,
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--project", str(folder)]
    return _lines(_run(command, folder), r"(\w+\.py):(\d+):\d+ - error", programs)


def _run(command: list[str], folder: Path, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def _lines(output: str, pattern: str, programs: tuple[str, ...]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {program: set() for program in programs}
    for name, line in re.findall(pattern, output, re.MULTILINE):
        found[name].add(int(line))
    assert any(found.values()) or "error" not in output, output
    return found


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_the_program_of_a_stranger_is_accepted_and_a_wrong_one_refused(
    checker: Callable[..., dict[str, set[int]]], tmp_path: Path
) -> None:
    for program in (GOOD, WRONG):
        (tmp_path / program).write_text((HERE / f"{program}.txt").read_text(encoding="utf-8"))
    found = checker(tmp_path, GOOD, WRONG)
    assert found[GOOD] == set()
    lines = (HERE / f"{WRONG}.txt").read_text(encoding="utf-8").splitlines()
    assert found[WRONG] == {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
