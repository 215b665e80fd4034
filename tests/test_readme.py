"""The examples of the README do what it says, and those of the other pages are understood."""

import doctest
import re
import shlex
import tempfile
from pathlib import Path

import pytest

from pykopia.cli import tree
from pykopia.cli.parsing import CommandLineError, parse
from tests.cli_runner import Runner

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


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


def command_lines(page: Path) -> list[str]:
    """Return the lines of a page's examples that call pykopia, without what a shell would take away."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("pykopia ")]


PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_of_the_documentation_is_understood(page: Path) -> None:
    refused = []
    for line in command_lines(page):
        words = shlex.split(line, comments=True)[1:]
        try:
            parse(tree.ROOT, words, {})
        except CommandLineError as error:
            if "No such file" not in str(error):
                refused.append(f"{line}: {error}")
    assert refused == []
