"""The program as a process: start, exit status, signals, broken pipes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pykopia import __version__
from tests.cli_runner import Runner

PROGRAM = [sys.executable, "-m", "pykopia"]
ROOT = Path(__file__).parents[2]


def start(*words: str, folder: Path, **streams: int) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "KOPIA_PASSWORD": "secret"}
    return subprocess.Popen([*PROGRAM, *words], env=environment, **streams)  # type: ignore[call-overload, no-any-return]


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout.decode(), stderr.decode()


def run(*words: str, folder: Path) -> tuple[int, str, str]:
    return finish(
        start(*words, folder=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    )


def test_the_version_is_printed(tmp_path: Path) -> None:
    assert run("--version", folder=tmp_path) == (0, f"{__version__}\n", "")


def test_help_and_version_leave_no_files(tmp_path: Path) -> None:
    run("--version", folder=tmp_path)
    run("snapshot", "--help", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_is_one_line_on_stderr_and_status_1(tmp_path: Path) -> None:
    status, stdout, stderr = run("snapshot", "lst", folder=tmp_path)
    assert (status, stdout) == (1, "")
    assert stderr.count("\n") == 1
    assert stderr.startswith("pykopia: error: unknown command 'lst'")
    assert "did you mean 'list'?" in stderr


def test_without_a_connection_it_says_so(tmp_path: Path) -> None:
    status, stdout, stderr = run("snapshot", "list", folder=tmp_path)
    assert status != 0
    assert stdout == ""
    assert "repository is not connected" in stderr
    assert "Traceback" not in stderr


def test_starting_imports_nothing_heavy(tmp_path: Path) -> None:
    """Start-up time is the sum of imports; they are counted here, as time itself can't be trusted on a busy machine."""
    code = (
        "import sys, io; from pykopia.cli.main import run\n"
        "for words in (['--version'], ['--help'], ['snapshot', '--help']):\n"
        "    run(words, environment={}, stdin=io.StringIO(), stdout=io.StringIO(), stderr=io.StringIO())\n"
        "print(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {
        "dataclasses",
        "logging",
        "msgspec",
        "numpy",
        "cryptography",
        "fsspec",
        "click",
        "argparse",
        "rich",
        "json",
    }
    assert heavy & loaded == set()
    assert {name for name in loaded if name.startswith(("pykopia.repository", "pykopia.snapshot"))} == set()


def test_help_and_flags_of_no_command_import_what_commands_work_with() -> None:
    """Help of each command, and its line up to the connection file, take the declarations of flags alone."""
    code = (
        "import sys, io; from pykopia.cli.main import run; from pykopia.cli import tree\n"
        "def names(path):\n"
        "    yield [command.name for command in path[1:]]\n"
        "    for child in path[-1].children: yield from names((*path, child))\n"
        "def go(words):\n"
        "    run(words, environment={'HOME': '/none'}, stdin=io.StringIO(), stdout=io.StringIO(), stderr=io.StringIO())\n"
        "for words in names((tree.ROOT,)): go([*words, '--help'])\n"
        "for words in ('snapshot list', 'maintenance run', 'policy list', 'check'): go(words.split())\n"
        "print(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"cryptography", "msgspec", "fsspec", "dataclasses", "logging"} & loaded <= {"dataclasses", "logging"}
    heavy = ("pykopia.api.", "pykopia.repository.", "pykopia.snapshot.", "pykopia.maintenance.")
    assert {name for name in loaded if name.startswith(heavy)} == set()


@pytest.mark.parametrize("words", [["help"], ["help", "snapshot", "create"], ["repository", "create", "s3", "--help"]])
def test_help_goes_to_stdout(words: list[str], tmp_path: Path) -> None:
    status, stdout, stderr = run(*words, folder=tmp_path)
    assert (status, stderr) == (0, "")
    assert stdout.startswith("usage: pykopia")


def test_a_reader_that_went_away_is_no_trouble(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start("--help-full", folder=tmp_path, stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGPIPE
    assert stderr == b""


def test_help_for_what_is_unknown_fails(cli: Runner) -> None:
    result = cli.fails("help", "snapshot", "creat")
    assert "did you mean 'create'?" in result.stderr


def test_no_argument_at_all_shows_help(cli: Runner) -> None:
    assert cli.ok().stdout.startswith("usage: pykopia [<flags>]")


def test_a_first_interrupt_ends_a_snapshot_in_good_order(cli: Runner, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(1500):
        (source / f"{number}.dat").write_bytes(os.urandom(10_000))
    cli.ok("repository", "create", "filesystem", "--path", str(tmp_path / "storage"))
    process = start(
        "--config-file", str(cli.config), "--log-dir", str(tmp_path / "logs"), "snapshot", "create", str(source),
        "--parallel=1", "--password", cli.password, folder=tmp_path, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith(b"Snapshotting ")
    process.send_signal(signal.SIGINT)
    status, _, stderr = finish(process)
    assert "Traceback" not in stderr
    if "stopping" in stderr and "partial" in stderr:  # the machine may have been quick enough to finish
        assert status == 130
        assert [each["incomplete"] for each in cli.ok("snapshot", "list", "--json").json] == ["canceled"]
    cli.ok("snapshot", "create", str(source))
    assert "incomplete" not in cli.ok("snapshot", "list", "--json").json[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_password_is_awaited_ends_the_program(
    number: signal.Signals, cli: Runner, tmp_path: Path
) -> None:
    cli.ok("repository", "create", "filesystem", "--path", str(tmp_path / "storage"))
    log = tmp_path / "log"
    os.mkfifo(log)
    process = start(
        "--config-file", str(cli.config), "--log-file", str(log), "repository", "connect", "from-config",
        "--token-stdin", folder=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with log.open("rb") as lines:  # waits until the program logs
        assert lines.readline()
        process.send_signal(number)
        status, stdout, stderr = finish(process)
    assert status == 128 + number
    assert stdout == ""
    # the end of stdin may be noticed first when the signal came while a module was imported
    assert stderr.splitlines()[-1] in {"interrupted", "terminated"}
