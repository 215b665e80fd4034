"""Progress as a person sees it: the program in a pseudo-terminal, its output on a screen that pyte keeps."""

import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

import pyte
import pytest

from tests.cli_runner import Runner

ROWS = 24


def on_terminal(columns: int, words: list[str], environment: dict[str, str]) -> pyte.HistoryScreen:
    """Run a program on a terminal of some width, and return its screen with what scrolled off."""
    screen = pyte.HistoryScreen(columns, ROWS, history=1000)
    stream = pyte.ByteStream(screen)
    child, terminal = pty.fork()
    if child == 0:
        os.execve(sys.executable, [sys.executable, "-m", "pykopia", *words], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    try:
        while piece := os.read(terminal, 65536):
            stream.feed(piece)
    except OSError:  # the program has ended
        pass
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return screen


def lines(screen: pyte.HistoryScreen) -> list[str]:
    top = ["".join(row[column].data for column in range(screen.columns)) for row in screen.history.top]
    return [line.rstrip() for line in [*top, *screen.display] if line.strip()]


@pytest.fixture
def client(cli: Runner, tmp_path: Path) -> Runner:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(40):
        (source / f"{number}.bin").write_bytes(os.urandom(1 << 20))
    cli.ok("repository", "create", "filesystem", "--path", str(tmp_path / "r"))
    return cli


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_line_of_progress_stays_one_line(client: Runner, tmp_path: Path, columns: int) -> None:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "KOPIA_PASSWORD": client.password, "TERM": "xterm",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip
    words = [
        "--config-file", str(client.config), "--disable-file-logging", "snapshot", "create", str(tmp_path / "source"),
        "--parallel=1", "--progress-update-interval=100ms",
    ]  # fmt: skip
    seen = lines(on_terminal(columns, words, environment))
    progress = [line for line in seen if re.match(r" [|/\\*-] ", line)]
    assert len(progress) == 1, seen
    assert progress[0].lstrip().startswith("*")
    assert all(len(line) <= columns for line in seen)
    # a message that clears the line, and one that is longer than the terminal, may add rows; each update must not
    assert sum("hash" in line or "upload" in line for line in seen) <= 2, seen


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith('{"type":"progress"')]


def test_a_copy_of_a_repository_has_totals(client: Runner, tmp_path: Path) -> None:
    client.ok("snapshot", "create", str(tmp_path / "source"))
    (tmp_path / "copy").mkdir()
    result = client.ok("repository", "sync-to", "filesystem", "--path", str(tmp_path / "copy"), "--progress=json")
    last = events(result.stderr)[-1]
    assert (last["operation"], last["done"]) == ("repository sync-to filesystem", True)
    assert last["copiedBlobs"] == last["totalBlobs"]
    assert last["copiedBytes"] == last["totalBytes"]


def test_a_migration_has_totals(client: Runner, tmp_path: Path) -> None:
    client.ok("snapshot", "create", str(tmp_path / "source"))
    client.ok("snapshot", "create", str(tmp_path / "source"))
    other = Runner(tmp_path / "other")
    other.ok("repository", "create", "filesystem", "--path", str(tmp_path / "other-r"))
    result = other.ok("snapshot", "migrate", "--all", "--source-config", str(client.config), "--progress=json")
    last = events(result.stderr)[-1]
    assert last["estimatedBytes"] == 2 * 40 * (1 << 20)
    assert int(str(last["hashedBytes"])) + int(str(last["cachedBytes"])) == last["estimatedBytes"]


def test_maintenance_reports_its_tasks(client: Runner) -> None:
    result = client.ok("maintenance", "run", "--full", "--progress=json")
    found = events(result.stderr)
    assert [each["done"] for each in found[-2:]] == [False, True]
    assert found[0]["task"] == "snapshot-gc"
    assert int(str(found[-1]["finishedTasks"])) <= int(str(found[-1]["totalTasks"]))
