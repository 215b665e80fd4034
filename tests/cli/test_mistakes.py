"""Mistaken command lines of newcomers: each ends with a message that helps, none with an internal error."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from tests.cli_runner import Runner

DATA = Path(__file__).parent / "data"
RECORD = DATA / "mistakes.json"
RECORDING = bool(os.environ.get("PYKOPIA_RECORD"))


def lines() -> list[str]:
    text = (DATA / "mistakes.txt").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the one folder that all lines work in: most of them change nothing."""
    return tmp_path_factory.mktemp("mistakes")


@pytest.fixture(scope="module")
def client(place: Path) -> Runner:
    client = Runner(place / "client")
    (place / "source").mkdir()
    (place / "source" / "file").write_text("hello")
    client.ok("repository", "create", "filesystem", "--path", str(place / "repository"),
              "--override-username=user", "--override-hostname=host")  # fmt: skip
    client.ok("snapshot", "create", str(place / "source"), "--start-time", "2026-08-01 12:00:00 UTC")
    return client


@pytest.fixture(scope="module")
def names(client: Runner, place: Path) -> dict[str, str]:
    (snapshot,) = client.ok("snapshot", "list", "--json").json
    return {
        "source": str(place / "source"),
        "repository": str(place / "repository"),
        "tmp": str(place),
        "id": snapshot["id"],
        "root": snapshot["rootEntry"]["obj"],
    }


def plain(text: str, names: dict[str, str]) -> str:
    """Return a message without what differs between two runs."""
    for name, value in sorted(names.items(), key=lambda pair: -len(pair[1])):
        text = text.replace(value, f"{{{name}}}")
    text = re.sub(r"\b[0-9a-f]{32}\b", "{hex}", text)
    text = re.sub(r"k\{hex\}|\bk[0-9a-f]{32}\b", "{object}", text)
    text = re.sub(r"\b\d+(\.\d+)?m?s\b|\b\d+h\d+m\d+s\b", "{time}", text)
    text = re.sub(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", "{moment}", text)
    return text.strip()


def test_mistakes_end_with_a_message_that_helps(
    client: Runner, names: dict[str, str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    recorded = {} if RECORDING else json.loads(RECORD.read_text())
    found = {}
    for line in lines():
        words = [word.format(**names) for word in shlex.split(line)]
        result = client(*words, EDITOR="false")
        assert "internal error" not in result.stderr, line
        assert "Traceback" not in result.stderr, line
        assert result.status or not result.stderr.startswith("pykopia: error"), line
        found[line] = {"status": result.status, "says": plain(result.stderr, names)}
    if RECORDING:
        RECORD.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    different = {line: (recorded.get(line), says) for line, says in found.items() if recorded.get(line) != says}
    assert RECORDING or different == {}


def test_there_are_enough_of_them() -> None:
    assert len(set(lines())) == len(lines())
    assert len(lines()) >= 200


def test_no_message_has_a_repr_of_python_in_it() -> None:
    for line, each in json.loads(RECORD.read_text()).items():
        assert not re.search(r"\bNone\b|<[a-z_.]+ object|\{'|\['|PosixPath|b'", each["says"]), line
