"""Standard streams that are closed, full, gone, or know few letters; log folders that can't be written to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli_runner import Runner

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


@pytest.fixture
def client(cli: Runner, tmp_path: Path) -> Runner:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "grün").write_bytes(b"data")
    cli.ok("repository", "create", "filesystem", "--path", str(tmp_path / "storage"))
    cli.ok("snapshot", "create", str(tmp_path / "source"))
    return cli


def shell(client: Runner, command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of the shell in which ``$P`` is the program."""
    program = f"{sys.executable} -m pykopia --config-file {client.config} --log-dir {client.folder}/logs"
    return subprocess.run(
        ["bash", "-c", command],
        env={
            "PATH": os.environ["PATH"], "HOME": str(client.folder), "PYTHONPATH": str(ROOT),
            "KOPIA_PASSWORD": client.password, "P": program, **environment,
        },
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["snapshot create {source}", "snapshot list", "--help", "snapshot lst"])
def test_a_closed_stream_changes_neither_the_work_nor_the_status(
    closed: str, command: str, client: Runner, tmp_path: Path
) -> None:
    words = command.format(source=tmp_path / "source")
    expected = shell(client, f"$P {words}").returncode
    done = shell(client, f"$P {words} {closed}")
    assert done.returncode == expected
    assert b"Traceback" not in done.stderr


def test_no_message_goes_into_a_file_that_got_the_number_of_a_closed_stream(client: Runner, tmp_path: Path) -> None:
    shell(client, f"$P snapshot create {tmp_path / 'source'} --log-file={tmp_path}/log <&- >&- 2>&-")
    assert b"Created snapshot" in (tmp_path / "log").read_bytes()
    assert client.ok("snapshot", "verify").status == 0


@needs_full
def test_an_output_that_is_full_is_reported_and_fails_a_listing(client: Runner) -> None:
    done = shell(client, "$P snapshot list >/dev/full")
    assert (done.returncode, done.stderr) == (1, b"can't write the output: No space left on device\n")


@needs_full
def test_messages_that_cant_be_written_do_not_fail_a_snapshot(client: Runner, tmp_path: Path) -> None:
    assert shell(client, f"$P snapshot create {tmp_path / 'source'} 2>/dev/full").returncode == 0


def test_a_reader_that_goes_away_ends_a_listing_in_silence_with_the_status_of_the_signal(client: Runner) -> None:
    done = shell(client, "$P snapshot list | true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("encoding", ["ascii:strict", "latin-1"])
def test_letters_that_the_output_does_not_have_are_escaped(client: Runner, encoding: str) -> None:
    snapshot = client.ok("snapshot", "list", "--json").json[0]["id"]
    done = shell(client, f"$P ls {snapshot}", PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    assert done.stdout == {"ascii:strict": b"gr\\u00fcn\n", "latin-1": "grün\n".encode("latin-1")}[encoding]


def test_a_log_folder_on_a_full_volume_changes_no_status(client: Runner, tmp_path: Path) -> None:
    if not FULL.exists():
        pytest.skip("there is no /dev/full here")
    done = client.ok("snapshot", "create", str(tmp_path / "source"), "--log-file=/dev/full")
    assert "can't write the log file /dev/full: No space left on device" in done.stderr
    assert done.stderr.count("can't write the log file") == 1
    assert len(client.ok("snapshot", "list", "--json", "--show-identical").json) == 2


def test_a_log_folder_that_vanishes_while_the_command_runs_changes_no_status(client: Runner, tmp_path: Path) -> None:
    action = f"--before-snapshot-root-action=rm -rf {client.folder}/logs"
    client.ok("policy", "set", "--global", action)
    done = client.ok(
        "snapshot", "create", str(tmp_path / "source"), "--force-enable-actions", PATH=os.environ["PATH"]
    )  # fmt: skip
    assert "Created snapshot" in done.stderr
    assert not (client.folder / "logs").exists()


def test_names_with_control_characters_are_quoted_on_a_terminal_alone(client: Runner, tmp_path: Path) -> None:
    (tmp_path / "source" / "red\x1b[31m").write_bytes(b"")
    (tmp_path / "source" / "two\nlines").write_bytes(b"")
    client.ok("snapshot", "create", str(tmp_path / "source"))
    snapshot = client.ok("snapshot", "list", "--json").json[-1]["id"]
    assert client("ls", snapshot, terminal=True).lines == ["grün", "'red\\x1b[31m'", "'two\\nlines'"]
    assert client.ok("ls", snapshot).stdout == "grün\nred\x1b[31m\ntwo\nlines\n"


def test_a_connection_file_with_a_nul_is_named_with_its_field(cli: Runner) -> None:
    cli.config.parent.mkdir(parents=True)
    cli.config.write_text(
        '{"storage":{"type":"filesystem","config":{"path":"/x\\u0000y"}},"hostname":"h","username":"u"}'
    )
    done = cli.fails("snapshot", "list")
    assert str(cli.config) in done.stderr
    assert "its field 'path' has a NUL character" in done.stderr


def test_a_broken_connection_file_is_named(cli: Runner) -> None:
    cli.config.parent.mkdir(parents=True)
    cli.config.write_text("{broken")
    assert str(cli.config) in cli.fails("snapshot", "list").stderr
