"""How the mover is started, held, told to stop and killed; and many of them at one time."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pykopia_mover import connecting
from pykopia_mover.main import HOLD_NAME
from pykopia_mover.run import INTERRUPTED, TERMINATED, Stop

import pykopia
from pykopia.errors import StorageError
from pykopia.format.maintenance_plan import MAX_CLOCK_SKEW_NS
from pykopia.ids import BlobID, Buffer
from pykopia.maintenance.lease import LEASE_NS
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.testing import FakeClock
from tests.mover.harness import PASSWORD, Mover, create_at_once, tree

ROOT = Path(__file__).parents[2]


def command(mover: Mover, *operations: str, script: str = "", **environment: str) -> "subprocess.Popen[str]":
    """Start the mover as a process of its own, with no variables but those; ``script`` runs in it before."""
    words = [sys.executable, "-c", f"{script}\nfrom pykopia_mover.main import main\nmain()", *operations]
    whole = {"PATH": os.environ["PATH"], "DATA_DIR": str(mover.data), **mover.environment, **environment}
    return subprocess.Popen(words, env=whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)


# ---------------------------------------------------------------------- starting


def test_m_001_the_launcher_is_where_operators_expect_it_and_passes_all_on() -> None:
    launcher = ROOT / "mover" / "image" / "entry.sh"
    assert os.access(launcher, os.X_OK)
    assert launcher.read_text().splitlines()[-1] == 'exec /usr/local/bin/pykopia-mover "$@"'
    dockerfile = (ROOT / "mover" / "Dockerfile").read_text()
    assert "COPY mover/image/entry.sh /mover-kopia/entry.sh" in dockerfile
    assert 'ENTRYPOINT ["/mover-kopia/entry.sh"]' in dockerfile


def test_m_001_what_the_image_calls_kopia_lists_snapshots_and_does_no_more(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup", KOPIA_SOURCE_PATH_OVERRIDE="/var/lib/mysql")

    def kopia(*words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": os.environ["PATH"], **mover.environment, **more}
        whole = [sys.executable, "-m", "pykopia_mover.looking", *words]
        return subprocess.run(whole, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)

    for words in ((), ("--all",)):
        assert "ns@app:/var/lib/mysql" in kopia("snapshot", "list", *words).stdout
    document = {"storage": {"type": "filesystem", "config": {"path": str(mover.repository_folder)}}}
    elsewhere = {
        "KOPIA_REPOSITORY": "filesystem:///no/such/folder",
        "KOPIA_STRUCTURED_REPOSITORY_CONFIG": json.dumps(document),
        "KOPIA_PASSWORD": f"{PASSWORD}\n",
    }
    assert "ns@app:/var/lib/mysql" in kopia("snapshot", "list", **elsewhere).stdout
    assert "filesystem" in kopia("repository", "status").stdout
    assert kopia("policy", "show", "--global").returncode == 0
    assert kopia("--version").stdout.startswith("pykopia ")
    before = tree(mover.repository_folder)
    refused = kopia("snapshot", "delete", "x")
    assert (refused.returncode, "there are only snapshot list" in refused.stderr) == (2, True)
    assert tree(mover.repository_folder) == before


def test_m_005_a_held_mover_does_nothing_until_its_file_is_removed(
    mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    mover.write({"a": "b"})
    flag = mover.folder / "tmp" / HOLD_NAME
    looks = []

    def wait(stop: Stop, _: float) -> bool:
        looks.append(flag.exists())
        if len(looks) == 3:
            flag.unlink()
        return stop()

    monkeypatch.setattr(Stop, "wait", wait)
    monkeypatch.setattr(sys, "argv", [str(ROOT / "mover" / "image" / "entry.sh"), "backup"])
    result = mover("backup", DEBUG_MOVER="1")
    assert (result.status, looks) == (0, [True, True, True])
    assert any("DEBUG_MOVER: this mover does nothing" in line for line in result.lines)
    copy = mover.folder / "tmp" / "entry.sh"
    assert os.access(copy, os.X_OK)
    assert f"`DEBUG_MOVER=0 {copy} backup` runs the mover" in result.lines
    assert not mover.repository_folder.exists()
    stop = Stop()
    stop.ask()
    assert mover.run(("backup",), {"DEBUG_MOVER": "1"}, stop).status == 143
    shutil.rmtree(mover.folder / "tmp")
    assert mover.run(("maintenance",), {"DEBUG_MOVER": "1"}, stop).status == 143
    assert (mover.folder / "cache" / HOLD_NAME).exists()
    told = mover.run(("maintenance",), {"DEBUG_MOVER": "1", "KOPIA_CACHE_DIR": f"{mover.folder}/none"}, stop)
    assert (told.status, "emptyDir" in told.last) == (10, True)


WRITTEN: list[str] = []
"""Files that this process has opened for writing since the hook was set, which no call can take away."""


@functools.cache
def record_writes() -> None:
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            WRITTEN.append(os.fsdecode(arguments[0]))

    sys.addaudithook(hook)


def test_m_010_nothing_is_written_outside_of_what_a_pod_gives(mover: Mover) -> None:
    """Cache, temporary folder, target, repository and result lie below one folder here."""
    mover.write({"a": "b"})
    record_writes()
    WRITTEN.clear()
    mover.ok("backup", "maintenance", KOPIA_METRICS_FILE=f"{mover.folder}/tmp/out.prom")
    mover.ok("restore", HOME="/does/not/exist")
    assert any(path.startswith(str(mover.repository_folder)) for path in WRITTEN)
    assert any(path.endswith("termination.json") for path in WRITTEN)
    outside = {path for path in WRITTEN if path.startswith("/") and not path.startswith(f"{mover.folder}/")}
    nameless = tempfile.gettempdir()
    assert {path for path in outside if not path.startswith(("/dev/", "/proc/")) and path != nameless} == set()


def test_lines_of_json_stay_json_where_their_words_are_secrets(mover: Mover) -> None:
    mover.write({"a": "b"})
    words = {f"WORD_{number}_PASSWORD": word for number, word in enumerate(("msg", "level", "info", "ts", "warn"))}
    process = command(mover, "backup", KOPIA_LOG_FORMAT="json", KOPIA_PASSWORD="Kopia", **words)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 0, log
    lines = [json.loads(line) for line in log.splitlines()]
    assert {tuple(line) for line in lines} == {("ts", "level", "msg")}
    assert lines[-1]["msg"].startswith("Kopia completed in ")


# ---------------------------------------------------------------------- being told to stop


class Puts:
    """Calls ``react`` with the number of each put of a blob, before it happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, react: Callable[[int, BlobID], None]) -> None:
        self.count = 0
        lock, real = threading.Lock(), FilesystemStorage.put

        def put(storage: FilesystemStorage, blob_id: BlobID, data: Buffer, *more: Any) -> object:  # noqa: ANN401
            with lock:
                self.count += 1
                number = self.count
            react(number, blob_id)
            return real(storage, blob_id, data, *more)

        monkeypatch.setattr(FilesystemStorage, "put", put)


@pytest.mark.parametrize(("code", "status"), [(TERMINATED, 143), (INTERRUPTED, 130)])
def test_m_006_m_080_a_backup_that_is_stopped_midway_is_no_snapshot_and_what_it_uploaded_is_used_again(
    mover: Mover, monkeypatch: pytest.MonkeyPatch, code: str, status: int
) -> None:
    mover.write({f"f{number}": os.urandom(6 << 20) for number in range(10)})
    stop = Stop()

    def react(_: int, blob_id: BlobID) -> None:
        if blob_id.startswith("p"):
            stop.ask(code)

    with monkeypatch.context() as patch:
        Puts(patch, react)
        result = mover.run(("backup",), {}, stop)
    assert result.status == status
    assert result.last.startswith("ERROR: ")
    assert "checkpoint" in result.last
    assert result.termination["retryable"] is True
    with mover.open() as repository:
        assert [each for each in repository.snapshots.list() if not each.incomplete] == []
    mover.ok("maintenance")  # nothing is locked, and what was uploaded is not taken for garbage
    second = mover.ok("backup").termination["snapshot"]
    assert second["files"] == 10
    assert second["newBytes"] < 45 << 20, "nothing of the 60 MiB was used again"
    mover.ok("restore")
    assert tree(mover.target) == tree(mover.data)


def test_m_006_the_signal_of_a_kubelet_ends_the_process_within_its_time_and_with_a_message(mover: Mover) -> None:
    mover.write({f"f{number}": os.urandom(1 << 20) for number in range(40)})
    process = command(mover, "backup", KOPIA_UPLOAD_SPEED="2MB", KOPIA_BEFORE_SNAPSHOT="echo begun")
    assert process.stdout is not None
    for line in process.stdout:
        if "begun" in line:
            process.send_signal(signal.SIGTERM)
            break
    log, _ = process.communicate(timeout=20)
    assert process.returncode == 143
    assert log.splitlines()[-1].startswith("ERROR: ")
    assert json.loads((mover.folder / "termination.json").read_text())["code"] == "terminated"


# ---------------------------------------------------------------------- being killed


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_m_080_m_080g_m_142_killed_before_any_write_the_next_run_works(
    mover: Mover, monkeypatch: pytest.MonkeyPatch, time: FakeClock, every: int
) -> None:
    """From some write on, nothing reaches the storage any more: to the repository that is what a kill is."""
    mover.write({"a": "one", "big": os.urandom(300_000)})
    with monkeypatch.context() as patch:
        everything = Puts(patch, lambda *_: None)
        mover.ok("backup", "maintenance")
    shutil.rmtree(mover.repository_folder)
    for last in range(0, everything.count, every):

        def react(number: int, _: BlobID, last: int = last) -> None:
            if number > last:
                raise StorageError("killed")

        with monkeypatch.context() as patch:
            Puts(patch, react)
            patch.setattr(FilesystemStorage, "delete", lambda *_: react(10**9, BlobID("")))
            assert mover("backup", "maintenance").status != 0, last
        shutil.rmtree(mover.folder / "cache")
        (mover.folder / "cache").mkdir()
        again = mover("backup", "maintenance")
        if again.status:  # it was killed in the midst of maintenance, whose lease then has to run out; backups go on
            assert (again.status, again.termination["op"]) == (21, "maintenance"), last
            time.advance(seconds=(LEASE_NS + MAX_CLOCK_SKEW_NS) // 10**9 + 1)
            mover.ok("maintenance")
        with mover.open() as repository:
            assert [each.incomplete for each in repository.snapshots.list()][-1] == ""
        shutil.rmtree(mover.target)
        mover.target.mkdir()
        mover.ok("restore")
        assert tree(mover.target) == tree(mover.data)
        shutil.rmtree(mover.repository_folder)
    assert everything.count > 6


KILLED = """
import os, signal
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
real, left = FilesystemStorage.put, [{number}]
def put(*arguments):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
FilesystemStorage.put = put
"""


@pytest.mark.parametrize("number", [1, 3, 5])
def test_m_080g_a_process_that_was_killed_blocks_nobody(mover: Mover, number: int) -> None:
    mover.write({"a": "one", "big": os.urandom(300_000)})
    process = command(mover, "backup", "maintenance", script=KILLED.format(number=number))
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    mover.ok("backup", "maintenance")
    mover.ok("restore")
    assert tree(mover.target) == tree(mover.data)
    with mover.open() as repository:
        assert repository.snapshots.verify().errors == ()


def test_m_135_a_restore_that_was_killed_midway_is_finished_by_the_next_and_leaves_nothing_behind(mover: Mover) -> None:
    mover.write({f"d{number}/f": os.urandom(1 << 20) for number in range(12)})
    mover.ok("backup")
    process = command(mover, "restore", DATA_DIR=str(mover.target), KOPIA_DOWNLOAD_SPEED="8MB", KOPIA_PARALLELISM="1")
    assert process.stdout is not None
    while not any(mover.target.iterdir()) and process.poll() is None:
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert len(tree(mover.target)) < 12
    mover.ok("restore")
    assert tree(mover.target) == tree(mover.data)


# ---------------------------------------------------------------------- several at one time


def test_rows_7_20_m_041_movers_that_create_at_once_end_with_one_repository(
    tmp_path: Path, meeting: threading.Barrier
) -> None:
    create_at_once(tmp_path, {"KOPIA_REPOSITORY": f"filesystem://{tmp_path}/shared"})
    with pykopia.connect(f"{tmp_path}/shared", PASSWORD) as repository:
        assert len(repository.snapshots.list()) == 3
        assert repository.snapshots.verify().errors == ()


def test_m_041_a_repository_that_another_mover_made_since_the_first_look_is_used(
    mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    mover.write({"a": "one"})
    mover.ok("backup")
    look = connecting._look
    monkeypatch.setattr(connecting, "_look", lambda run, connection: (look(run, connection)[0], None))
    assert mover.ok("backup").termination["repository"]["created"] is False
    assert len(mover.sources()) == 2


def test_m_041_a_creation_that_was_cut_off_is_no_damage(mover: Mover) -> None:
    mover.write({"a": "one"})
    mover.ok("backup")
    for path in sorted(mover.repository_folder.rglob("*"), reverse=True):
        if path.is_file() and not path.name.startswith("kopia.blobcfg"):
            path.unlink()
    assert mover.ok("backup").termination["repository"]["created"] is True
    assert len(mover.sources()) == 1


def test_m_041_processes_that_create_at_once_end_with_one_repository(tmp_path: Path) -> None:
    movers = [
        Mover.below(tmp_path / str(number)).with_environment(
            KOPIA_REPOSITORY=f"filesystem://{tmp_path}/shared", VOLSYNC_OWNER_NAME=f"app-{number}"
        )
        for number in range(3)
    ]
    for number, mover in enumerate(movers):
        mover.write({"who": str(number)})
    processes = [command(mover, "backup") for mover in movers]
    logs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], logs
    with pykopia.connect(f"{tmp_path}/shared", PASSWORD) as repository:
        assert len(repository.snapshots.list()) == 3
        assert repository.snapshots.verify().errors == ()
