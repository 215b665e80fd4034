"""The mover in a pod: a user without a name, no home, no temporary folder, limits of memory, signals, odd Secrets."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pykopia_mover.connecting import password_forms
from pykopia_mover.memory import (
    BASE_BYTES,
    BUSY_STREAMS,
    FURTHER_STREAM_BYTES,
    STREAM_BYTES,
    fitting_streams,
    memory_limit,
    memory_of,
)

from pykopia.maintenance.live_contents import LiveContents
from tests.mover.harness import Mover, tree

ROOT = Path(__file__).parents[2]

NAMELESS = """
import pwd, tempfile
def getpwuid(uid): raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = getpwuid
tempfile._candidate_tempdir_list = lambda: []
"""
"""Put into ``sitecustomize``: nobody knows the name of the user, and no folder is good for temporary files."""


@pytest.fixture
def pod(mover: Mover) -> dict[str, str]:
    """Return the environment of a process in such a pod."""
    (mover.folder / "sitecustomize.py").write_text(NAMELESS)
    return {
        **mover.environment,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(mover.folder),
        "DATA_DIR": str(mover.data),
    }


def run(environment: dict[str, str], *operations: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pykopia_mover", *operations]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_a_user_without_name_home_and_temporary_folder_backs_up_maintains_and_restores(
    mover: Mover, pod: dict[str, str]
) -> None:
    mover.write({"a": "one", "d/b": "two"})
    for operations in (["backup", "maintenance"], ["restore"]):
        folder = mover.target if "restore" in operations else mover.data
        done = run(pod | {"DATA_DIR": str(folder)}, *operations)
        assert done.returncode == 0, done.stdout + done.stderr
    assert tree(mover.target) == tree(mover.data)


def test_sftp_needs_no_name_of_the_local_user(mover: Mover, pod: dict[str, str]) -> None:
    mover.write({"a": "one"})
    sftp = {"KOPIA_REPOSITORY": "sftp://h/x", "SFTP_HOST": "127.0.0.1", "SFTP_PORT": "9", "SFTP_USERNAME": "u"}
    done = run(pod | sftp | {"SFTP_PASSWORD": "p", "SFTP_PATH": "/x"}, "backup")
    assert done.returncode == 13, done.stdout


@pytest.fixture
def silent_server() -> Iterator[int]:
    """Return the port of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.slow
def test_a_run_that_a_silent_server_holds_up_ends_within_its_grace_with_a_last_line_and_a_result(
    mover: Mover, pod: dict[str, str], silent_server: int
) -> None:
    mover.write({"a": "one"})
    s3 = {"KOPIA_REPOSITORY": "s3://bucket/x", "AWS_S3_ENDPOINT": f"http://127.0.0.1:{silent_server}"}
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    command = [sys.executable, "-m", "pykopia_mover", "backup"]
    with subprocess.Popen(command, env=pod | s3 | keys, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "End S3 Connection Debug" in line:
                break
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert rest.splitlines()[-1].startswith("ERROR: backup was told to stop")
    assert '"code":"terminated"' in Path(pod["TERMINATION_LOG"]).read_text()


def test_limits_of_both_versions_of_control_groups_count(tmp_path: Path) -> None:
    second, first = tmp_path / "memory.max", tmp_path / "limit_in_bytes"
    assert memory_limit([second, first]) is None
    second.write_text("max\n")
    first.write_text("9223372036854771712\n")  # how version 1 says that there is no limit
    assert memory_limit([second, first]) is None
    first.write_text(f"{320 << 20}\n")
    assert memory_limit([second, first]) == 320 << 20
    second.write_text(f"{300 << 20}\n")
    assert memory_limit([second, first]) == 300 << 20


@given(st.integers(1, 200), st.integers(0, 4 << 30))
def test_streams_are_reduced_to_the_most_that_fit(wanted: int, limit: int) -> None:
    streams = fitting_streams(wanted, limit)
    assert streams == 1 or memory_of(streams) <= limit
    assert streams == wanted or memory_of(streams + 1) > limit


def test_the_formula_is_the_documented_one() -> None:
    readme = " ".join((Path(__file__).parents[2] / "mover" / "README.md").read_text().split())
    base, busy, further = (number >> 20 for number in (BASE_BYTES, STREAM_BYTES, FURTHER_STREAM_BYTES))
    assert f"{base} MiB, and {busy} MiB for each of the first four files" in readme
    assert f"{further} MiB for each further one" in readme
    one, four, sixteen = (memory_of(streams) >> 20 for streams in (1, BUSY_STREAMS, 16))
    assert f"{one} MiB for one, {four} for four, {sixteen} for sixteen" in readme


def test_a_small_limit_of_version_1_reduces_parallelism(mover: Mover) -> None:
    mover.write({"a": "one"})
    (mover.folder / "memory.limit_in_bytes").write_text(f"{320 << 20}\n")
    assert "4 is used" in mover.ok("backup", KOPIA_PARALLELISM="16").log
    assert "4 is used" in mover.ok("backup", KOPIA_ADDITIONAL_ARGS="--parallel=16").log


@pytest.mark.parametrize("made", ["word", "word\n", "word\r\n"])
@pytest.mark.parametrize("opened", ["word", "word\n", "word\r\n"])
def test_a_password_with_a_line_break_opens_what_either_form_made(mover: Mover, made: str, opened: str) -> None:
    mover.write({"a": "one"})
    first = mover.ok("backup", KOPIA_PASSWORD=made)
    assert ("line break" in first.log) == (made != "word")
    if made in password_forms(opened):
        second = mover.ok("backup", KOPIA_PASSWORD=opened)
        assert ("line break" in second.log) == (made != opened)
    else:
        mover.fails("auth", "backup", KOPIA_PASSWORD=opened)


def test_a_restore_as_of_the_time_that_the_mover_shows_takes_that_snapshot(mover: Mover) -> None:
    for text in ("one", "two"):
        mover.write({"a": text})
        shown = mover.ok("backup").termination["snapshot"]["start"]
    mover.ok("restore", KOPIA_RESTORE_AS_OF=shown)
    assert tree(mover.target) == {"a": b"two"}


def test_the_result_of_two_operations_has_what_both_did(mover: Mover) -> None:
    mover.write({"a": "one"})
    result = mover.ok("backup", "maintenance").termination
    assert result["identity"] == "ns@app:/data"
    assert result["snapshot"]["files"] == 1
    assert result["repository"]["created"] is True
    assert result["maintenance"]["last"] != "never"
    assert result["maintenance"]["lastFull"] >= result["snapshot"]["start"]


def test_a_secret_that_is_a_word_does_not_change_the_identity_in_the_result(mover: Mover) -> None:
    mover.write({"a": "one"})
    result = mover.ok(
        "backup", KOPIA_PASSWORD="password", KOPIA_OVERRIDE_USERNAME="password-manager", KOPIA_OVERRIDE_HOSTNAME="h"
    )
    assert result.termination["identity"] == "password-manager@h:/data"
    assert "password" not in result.termination["message"]


def test_an_action_of_a_policy_file_is_explained_like_one_of_the_spec(mover: Mover) -> None:
    mover.write({"a": "one"})
    action = '{"script": "no-such-dump --all", "timeout": "1m", "mode": "essential"}'
    mover.policy_files(
        {
            "repository.config": '{"enableActions": true}',
            "global-policy.json": f'{{"actions": {{"beforeSnapshotRoot": {action}}}}}',
        }
    )
    last = mover.fails("action", "backup").last
    assert "A command was not found (exit status 127)" in last
    assert "no-such-dump" in last


def test_sockets_and_pipes_are_counted(mover: Mover) -> None:
    mover.write({"a": "one"})
    os.mkfifo(mover.data / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        before = os.open(".", os.O_RDONLY)
        os.chdir(mover.data)  # the path of a socket is short
        try:
            listening.bind("socket")
        finally:
            os.chdir(before)
            os.close(before)
    result = mover.ok("backup")
    assert result.termination["snapshot"]["special"] == {"sockets": 1, "pipes": 1}
    assert "1 sockets, 1 pipes" in result.log


def test_lines_of_text_begin_with_the_time_where_that_is_asked_for_but_for_the_last_ones(mover: Mover) -> None:
    mover.write({"a": "one"})
    result = mover.ok("backup", KOPIA_LOG_TIMES="true")
    timed = [line for line in result.lines if line[:2] == "20" and line[10] == "T"]
    assert len(timed) > 20
    assert result.last.startswith("Kopia completed in")


def test_lz4_stands_for_s2(mover: Mover) -> None:
    mover.write({"a": "one"})
    assert "Compression policy in effect: s2-default" in mover.ok("backup", KOPIA_COMPRESSION="lz4").log


def test_metrics_tell_of_maintenance_and_name_repository_and_identity(mover: Mover) -> None:
    mover.write({"a": "one"})
    path = mover.folder / "metrics"
    identifier = mover.ok("backup", KOPIA_METRICS_FILE=str(path)).termination["repository"]["id"]
    assert f'repository="{identifier}",identity="ns@app:/data"' in path.read_text()
    mover.ok("maintenance", KOPIA_METRICS_FILE=str(path))
    for name in ("last_timestamp_seconds", "last_full_timestamp_seconds", "freed_bytes", "held_bytes"):
        assert f"pykopia_maintenance_{name}{{" in path.read_text()


def test_marks_of_a_collection_are_in_memory_where_the_volume_has_no_room(
    mover: Mover, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    mover.write({"a": "one"})
    with mover_repository(mover) as repository:
        live = LiveContents(repository.contents.indexes.merged, tmp_path)
        assert len(live) > 0
        live.close()


def mover_repository(mover: Mover):  # type: ignore[no-untyped-def]
    mover.ok("backup")
    return mover.open()


# ---------------------------------------------------------------------- work that grows

OPENED: list[str] = []
"""Paths that this process has opened for writing since the hook was set, which no call can take away."""


@functools.cache
def record_files() -> None:
    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            OPENED.append(os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else "")

    sys.addaudithook(hook)


def test_work_files_of_maintenance_lie_on_the_volume_of_the_cache_and_take_16_bytes_for_each_content(
    mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    mover.write({"a": "one"})
    with mover_repository(mover) as repository, repository.writer() as writer:
        for number in range(3000):
            writer.contents.write(number.to_bytes(8, "big"))
    sizes = []
    real = os.posix_fallocate

    def allocate(descriptor: int, offset: int, size: int) -> None:
        sizes.append(size)
        real(descriptor, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    record_files()
    OPENED.clear()
    mover.ok("maintenance", KOPIA_MAINTENANCE_FORCE="true")
    cache, repository_folder = str(mover.folder / "cache"), str(mover.repository_folder)
    result = mover.environment["TERMINATION_LOG"]
    assert {path for path in OPENED if path and not path.startswith((cache, repository_folder, result))} == set()
    assert 3000 * 16 <= max(sizes) <= 3100 * 16


COUNTED = """
import json, pathlib, sys, threading
from tests.mover.harness import Mover

calls = 0

def count(frame, event, argument):
    global calls
    calls += event in {"call", "c_call"}

threading.setprofile(count)
sys.setprofile(count)
done = Mover(folder=pathlib.Path(sys.argv[1]), environment=json.loads(sys.argv[2]))("backup")
sys.setprofile(None)
told = sum("not in the snapshot" in line for line in done.lines)
print(json.dumps([done.status, calls, told, "not-readable" in done.last]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="root gives the right to read everything up")
def test_m_080d_the_work_for_unreadable_entries_is_linear_and_the_first_20_are_listed(mover: Mover) -> None:
    mover.write({"a": "one"})
    mover.ok("backup")
    words = ["setpriv", "--bounding-set", "-all", sys.executable, "-c", COUNTED, str(mover.folder)]
    calls = []
    for number in (500, 1000, 2000):
        for each in range(number):
            path = mover.data / f"not-readable-{each}"
            path.touch(mode=0)
        done = subprocess.run(
            [*words, json.dumps(mover.environment)], capture_output=True, text=True, check=True, cwd=ROOT
        )
        status, count, listed, named = json.loads(done.stdout)
        assert (status, listed, named) == (18, 20, True)
        calls.append(count)
    assert calls[2] - calls[1] < 1.5 * 2 * (calls[1] - calls[0])
