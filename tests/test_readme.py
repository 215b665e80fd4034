"""The examples of the README do what it says."""

import doctest
import re
import shlex
import tempfile
from pathlib import Path

import pytest

from tests.cli_runner import Runner

README = Path(__file__).parents[1] / "README.md"


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert (failed, tried > 5) == (0, True)


def test_the_example_of_the_command_line_runs(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "letter.txt").write_text("Dear reader")
    (tmp_path / "home").mkdir()
    pykopia = Runner(tmp_path)
    section = README.read_text().partition("## On the command line")[2].partition("```\n")[0]
    lines = re.findall(r"^pykopia (.*)$", section, re.MULTILINE)
    assert len(lines) == 9
    snapshot_id = ""
    for line in lines:
        places = {"/backups": f"{tmp_path}/backups", "~/": f"{tmp_path}/", "SNAPSHOT-ID": snapshot_id}
        for example, place in places.items():
            line = line.replace(example, place)
        words = shlex.split(line, comments=True)
        pykopia.ok(*words)
        if words[:2] == ["snapshot", "list"]:
            snapshot_id = pykopia.ok(*words, "--json").json[0]["id"]
    assert (tmp_path / "restored" / "letter.txt").read_text() == "Dear reader"
