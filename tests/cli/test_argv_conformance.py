"""Command lines that Kopia's own test suites use: ours must understand them (tests/cli/data/e2e-argv.tsv)."""

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

from pykopia.cli import tree
from pykopia.cli.parsing import Command, CommandLineError, parse

QUOTED = re.compile(
    r"\{ACTION_EXE\}(?: --(?:create-file|exit-code|save-env|sleep|stdout-file)=\S+)*|My (?:Updated )?Repo"
)
"""Values that had blanks in them."""
NO_COMMANDS = ("snapshot success", "shallow ")
"""Lines of tests that run something else."""

DATA = Path(__file__).parent / "data"


class Row(NamedTuple):
    test: str
    source: str
    expected: str
    line: str


def rows() -> list[Row]:
    lines = (DATA / "e2e-argv.tsv").read_text().splitlines()[1:]
    return [Row(*line.split("\t")) for line in lines]


def missing_commands() -> list[str]:
    """Return the commands that are not there yet, from the list that shrinks as they arrive."""
    lines = (DATA / "missing-commands.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def words_of(line: str, folder: Path) -> list[str]:
    """Split a recorded line; quotes were lost in the record and are put back here."""
    line = line.replace("--from-file={TMP}", f"--from-file={folder}/testfile.txt").replace("{TMP}", str(folder))
    line = QUOTED.sub(lambda found: found[0].replace(" ", "\0"), line)
    return [word.replace("\0", " ") for word in line.split(" ")]


def command_of(line: str) -> str:
    """Return the full name of the command that a line begins with, as far as it is known."""
    path = [tree.ROOT]
    for word in line.split():
        if word.startswith("-"):
            continue
        child = path[-1].find(word)
        if child is None:
            break
        path.append(child)
    return " ".join(command.name for command in path[1:])


def is_missing(line: str, missing: list[str]) -> bool:
    words = " ".join(word for word in line.split() if not word.startswith("-"))
    return any(words == name or words.startswith(name + " ") for name in missing)


def by_command() -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    missing = missing_commands()
    for row in rows():
        if not row.line.startswith(NO_COMMANDS) and not is_missing(row.line, missing):
            groups[command_of(row.line)].append(row)
    return dict(sorted(groups.items()))


GROUPS = by_command()


@pytest.mark.parametrize("command", GROUPS)
def test_every_line_that_kopia_accepts_is_understood(command: str, tmp_path: Path) -> None:
    refused = []
    for name in (".kopia.config", "testfile.txt"):
        (tmp_path / name).touch()  # of the tests that recorded the lines
    for row in GROUPS[command]:
        try:
            parse(tree.ROOT, words_of(row.line, tmp_path), {})
        except CommandLineError as error:
            if row.expected != "fail":
                refused.append(f"{row.line}: {error}")
    assert refused == []


def test_no_command_is_listed_as_missing_that_is_there() -> None:
    for name in missing_commands():
        path = tree.find(name.split())
        assert len(path) - 1 < len(name.split()), f"{name} is there: remove it from missing-commands.txt"


def test_missing_commands_are_told_as_unknown() -> None:
    for name in missing_commands():
        with pytest.raises(CommandLineError, match="unknown command"):
            parse(tree.ROOT, name.split(), {})


def test_most_lines_are_covered() -> None:
    covered = sum(len(group) for group in GROUPS.values())
    assert covered > 1600


def test_every_command_declares_flags_that_can_be_parsed() -> None:
    """Import what each command names, and read every default once."""

    def visit(path: tuple[Command, ...]) -> None:
        command = path[-1]
        command.options()
        if command.run_path:
            assert callable(command.run)
        for child in command.children:
            visit((*path, child))

    visit((tree.ROOT,))
