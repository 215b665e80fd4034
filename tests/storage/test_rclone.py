"""rclone as Kopia drives it: a child that serves a remote, on loopback, and ends with us."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from pykopia.errors import BlobNotFoundError, StorageError, StorageNotFoundError, StorageUnavailableError, UsageError
from pykopia.ids import BlobID
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.backends.rclone.options import RcloneOptions
from pykopia.storage.backends.rclone.storage import (
    _STARTED,
    RcloneStorage,
    _Server,
    _ThroughRclone,
    secrets_of,
    startup_seconds,
)
from pykopia.storage.backends.webdav.client import AnswerError, DAVFileSystem
from pykopia.storage.base import BlobStorage
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_storage
from pykopia.storage.retrying import RetryingStorage
from pykopia.testing.proxy import FaultyProxy
from pykopia.testing.storage_fault_tests import StorageFaultTests
from pykopia.testing.storage_tests import FORMAT, PACK, StorageTests
from tests.servers import programs

CANARY = "canary-rclone-91ad"
INDEX = BlobID("xn0_102a5fa3c3e3c6216a09ff876ced02ed-s39b23fe2117ad42f147-c1")
OTHER_INDEX = BlobID("xn0_202a5fa3c3e3c6216a09ff876ced02ed-s39b23fe2117ad42f147-c1")


@pytest.fixture(autouse=True)
def _program() -> None:
    programs.require("rclone", install="sh scripts/test-servers.sh --all")


def options(folder: Path, **changes: object) -> RcloneOptions:
    fields: dict[str, object] = {
        "remote_path": f"disk:{folder}/data",
        "embedded_config": "[disk]\ntype = local\n\n[other]\ntype = drive\ntoken = " + CANARY + "\n",
        "atomic_writes": True,
    }
    return RcloneOptions(**{**fields, **changes})  # type: ignore[arg-type]


def children() -> set[int]:
    """Return the rclone processes beneath this one."""
    found = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in found.splitlines()]
    mine = {str(os.getpid())}
    for _ in range(3):
        mine |= {pid for pid, parent, _ in rows if parent in mine}
    return {int(pid) for pid, _, name in rows if pid in mine and name == "rclone"}


class TestRclone(StorageTests):
    tests_atomicity = False  # a local remote is written in place
    many_blobs = 120
    big_blob = 1 << 20

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[BlobStorage]:
        with RcloneStorage(options(tmp_path), create=True) as storage:
            yield storage


@pytest.mark.slow  # another way to a storage that is tested above
class TestRcloneWithoutAtomicWrites(StorageTests):
    tests_atomicity = False  # while a file is replaced, rclone answers readers with temporary errors
    many_blobs = 20
    big_blob = 1 << 20

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[BlobStorage]:
        with RcloneStorage(options(tmp_path, atomic_writes=False), create=True) as storage:
            yield storage


class _ServerBehindProxy(_Server):
    """An rclone that is reached through a proxy."""

    def __init__(self, options: RcloneOptions) -> None:
        super().__init__(options)
        _, _, port = self.url.rpartition(":")
        self.proxy = FaultyProxy("127.0.0.1", int(port))
        self.url = self.url.replace(port, str(self.proxy.port))

    def stop(self) -> None:
        if hasattr(self, "proxy"):  # it has started
            self.proxy.close()
        super().stop()


def proxy_of(storage: RcloneStorage) -> FaultyProxy:
    assert isinstance(storage._server, _ServerBehindProxy)
    return storage._server.proxy


@pytest.fixture
def behind_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykopia.storage.backends.rclone.storage._Server", _ServerBehindProxy)
    monkeypatch.setattr("pykopia.storage.backends.rclone.storage._ThroughRclone", partial(_ThroughRclone, timeout=0.7))


@pytest.mark.usefixtures("behind_proxy")
class TestRcloneWithFaults(StorageFaultTests):
    """TLS goes through the proxy, so it can't answer by itself; the remote is looked at beside rclone."""

    speaks_http = False

    @pytest.fixture
    def storage(self, behind_proxy: None, tmp_path: Path) -> Iterator[BlobStorage]:
        with RcloneStorage(options(tmp_path, atomic_writes=False), create=True) as storage:
            yield storage

    @pytest.fixture
    def proxy(self, storage: RcloneStorage) -> FaultyProxy:
        return proxy_of(storage)

    @pytest.fixture
    def direct(self, storage: BlobStorage, tmp_path: Path) -> BlobStorage:
        return FilesystemStorage(tmp_path / "data", create=True)  # rclone makes the folder with the first file


@pytest.mark.usefixtures("behind_proxy")
def test_whoever_is_cut_off_leaves_no_part_of_an_index_even_if_the_remote_is_said_to_be_atomic(tmp_path: Path) -> None:
    """rclone keeps what it has got; of a pack that is left, and the next put replaces it."""
    direct = FilesystemStorage(tmp_path / "data", create=True)
    with RcloneStorage(options(tmp_path, atomic_writes=True), create=True) as storage:
        proxy = proxy_of(storage)
        for blob_id in (INDEX, PACK):
            proxy.kill_uploads(300_000, times=-1)
            with pytest.raises(StorageUnavailableError):
                storage.put(blob_id, bytes(1 << 20))
            proxy.heal()
        assert {blob.blob_id for blob in direct.list()} <= {PACK}
        for blob_id in (INDEX, PACK, FORMAT):
            storage.put(blob_id, b"whole")
            assert direct.get(blob_id) == b"whole"


@pytest.mark.usefixtures("behind_proxy")
@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_remote_that_can_not_move_files_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """rclone answers so; that a disk can't is made up here."""
    moves = []

    def refuse(_: DAVFileSystem, __: str, target: str) -> None:
        moves.append(target)
        raise AnswerError("MOVE", httpx.Response(status))

    monkeypatch.setattr(DAVFileSystem, "mv", refuse)
    with RcloneStorage(options(tmp_path, atomic_writes=True), create=True) as storage:
        for blob_id in (INDEX, OTHER_INDEX):
            storage.put(blob_id, b"whole")
            assert storage.get(blob_id) == b"whole"
        assert len(moves) == 1
        assert len([*tmp_path.rglob("*.f")]) == 2
        assert [*tmp_path.rglob("*tmp*")] == []


def test_what_it_writes_is_a_repository_folder_like_any_other(tmp_path: Path) -> None:
    with RcloneStorage(options(tmp_path), create=True) as storage:
        storage.put(PACK, b"1")
        storage.put(FORMAT, b"2")
        local = FilesystemStorage(tmp_path / "data")
        assert {blob.blob_id: local.get(blob.blob_id) for blob in local.list()} == {PACK: b"1", FORMAT: b"2"}
        local.put(FORMAT, b"written by another")  # which rclone must not hide behind what it remembers
        assert storage.get(FORMAT) == b"written by another"
        local.delete(PACK)
        assert [blob.blob_id for blob in storage.list()] == [FORMAT]


def test_a_missing_folder_looks_empty(tmp_path: Path) -> None:
    with RcloneStorage(options(tmp_path)) as storage:
        assert [*storage.list()] == []
        with pytest.raises(BlobNotFoundError):
            storage.get(FORMAT)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_network_does_not_lead_to_this_machine(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for known in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(known, raising=False)
        monkeypatch.delenv(known.lower(), raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    with RcloneStorage(options(tmp_path)) as storage:
        storage.put(FORMAT, b"content")
        assert storage.get(FORMAT) == b"content"


def test_it_ends_with_the_storage_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    before = children()
    with RcloneStorage(options(tmp_path), create=True) as storage:
        assert len(children() - before) == 1
        [folder] = (tmp_path / "tmp").iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        storage.put(PACK, b"x")
    assert children() == before
    assert [*(tmp_path / "tmp").iterdir()] == []


def test_it_ends_with_us_even_when_we_are_killed(tmp_path: Path) -> None:
    program = f"""
        import sys, tempfile, threading
        tempfile.tempdir = {str(tmp_path)!r}
        from pykopia.storage.backends.rclone.storage import RcloneStorage
        from pykopia.storage.backends.rclone.options import RcloneOptions
        opened = []
        thread = threading.Thread(target=lambda: opened.append(RcloneStorage(
            RcloneOptions(remote_path=":local:{tmp_path}/data"), create=True)))
        thread.start(); thread.join()  # a signal to the child at the end of this thread would come too early
        opened[0].put("p1", b"x")
        print(opened[0].process_id, flush=True)
        sys.stdin.read()
    """
    (tmp_path / "data").mkdir()
    words, pipe = [sys.executable, "-c", textwrap.dedent(program)], subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        watcher = int(process.stdout.readline())
        descriptor = os.pidfd_open(watcher)
        assert [*tmp_path.glob("pykopia-rclone-*")] != []
        process.send_signal(signal.SIGKILL)
        process.wait()
    import select

    assert select.select([descriptor], [], [], 30)[0], "rclone outlives a killed process"
    os.close(descriptor)
    assert [*tmp_path.glob("pykopia-rclone-*")] == []


def test_it_is_started_again_when_it_has_died(tmp_path: Path) -> None:
    others = children()  # such as the server of other tests
    with RcloneStorage(options(tmp_path), create=True) as inner:
        assert inner._server is not None
        noticed = inner._server._ended

        def until_noticed(_: float) -> None:
            noticed.wait(10)

        storage = RetryingStorage(inner, sleep=until_noticed)
        storage.put(PACK, b"x")
        [first] = children() - others
        os.kill(first, signal.SIGKILL)
        assert storage.get(PACK) == b"x"
        [second] = children() - others - {first}
        assert second


def test_its_own_words_are_told_without_secrets(tmp_path: Path) -> None:
    with pytest.raises(StorageNotFoundError, match=r"can't serve gone:/x; it said: .*didn't find section") as caught:
        RcloneStorage(options(tmp_path, remote_path="gone:/x"))
    assert CANARY not in str(caught.value)
    with pytest.raises(StorageError, match=r"unknown flag: --no-such-flag") as other:
        RcloneStorage(options(tmp_path, rclone_args=("--no-such-flag", f"--drive-token={CANARY}")))
    assert CANARY not in str(other.value)
    script = tmp_path / "rclone.sh"
    script.write_text(f"#!/bin/sh\necho 'token {CANARY} is wrong' >&2\nexit 1\n")
    script.chmod(0o700)
    with pytest.raises(StorageError, match=r"it said: token \*\*\* is wrong"):
        RcloneStorage(options(tmp_path, rclone_exe=str(script)))


def test_a_program_that_is_missing_or_never_starts_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't find the program /no/such/rclone"):
        RcloneStorage(options(tmp_path, rclone_exe="/no/such/rclone"))
    script = tmp_path / "rclone.sh"
    script.write_text("#!/bin/sh\necho still thinking >&2\nexec sleep 60\n")
    script.chmod(0o700)
    with pytest.raises(StorageUnavailableError, match=r"within 0.3 s.* it said: still thinking"):
        RcloneStorage(options(tmp_path, rclone_exe=str(script), startup_timeout="300ms"))
    with pytest.raises(UsageError, match="no time"):
        startup_seconds(RcloneOptions(startup_timeout="soon"))
    assert startup_seconds(RcloneOptions(startup_timeout="0s")) == 15
    assert startup_seconds(RcloneOptions(startup_timeout="1m30s")) == 90


@pytest.mark.parametrize(
    "line",
    [
        "2026/11/25 18:39:17 NOTICE: Local file system at /x: WebDav Server started on https://127.0.0.1:18099/",
        "2026/11/25 18:39:17 NOTICE: Local file system at /x: WebDav Server started on [https://127.0.0.1:18099/]",
    ],
)
def test_the_url_is_found_in_the_log_of_old_and_new_versions(line: str) -> None:
    match = _STARTED.search(line)
    assert match
    assert match[1] == "https://127.0.0.1:18099/"


def test_a_configuration_may_come_by_file_and_variables(tmp_path: Path) -> None:
    (tmp_path / "rclone.conf").write_text("[mine]\ntype = local\n")
    by_file = options(tmp_path, remote_path=f"mine:{tmp_path}/data", embedded_config="")
    arguments = ("--config", f"{tmp_path}/rclone.conf")
    with RcloneStorage(
        RcloneOptions.from_config({**by_file.to_config(), "rcloneArgs": arguments}), create=True
    ) as storage:
        storage.put(PACK, b"x")
    variables = (f"RCLONE_CONFIG={tmp_path}/rclone.conf", "PATH=/usr/bin:/bin")
    with RcloneStorage(RcloneOptions.from_config({**by_file.to_config(), "rcloneEnv": variables})) as storage:
        assert storage.get(PACK) == b"x"


def test_what_rclone_prints_is_logged_only_when_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for debug in (False, True):
        with (
            caplog.at_level(logging.DEBUG, "pykopia"),
            RcloneStorage(options(tmp_path, debug=debug), create=True) as storage,
        ):
            storage.put(PACK, b"x")
        assert ("rclone: " in caplog.text) == debug
    assert CANARY not in caplog.text


def test_all_that_may_be_a_secret_is_hidden() -> None:
    found = secrets_of(
        RcloneOptions(
            rclone_args=("--drive-token=token-in-flag", "--transfers=4000000", "--s3-secret-access-key=key-in-flag"),
            rclone_env=("RCLONE_CONFIG_X_PASS=pass-in-variable",),
            embedded_config='[a]\ntype = drive\nprovider = Someone\npass = "in-config"\ntoken = {"access_token":"deep-inside"}\n'
            "flag = true\nshort = x\n",
        )
    )
    assert {"token-in-flag", "key-in-flag", "pass-in-variable", "in-config", "deep-inside"} <= set(found)
    assert not {"4000000", "drive", "Someone", "true", "x"} & set(found)
    assert "canary" not in repr(
        RcloneOptions(embedded_config="canary", rclone_args=("canary",), rclone_env=("canary",))
    )


def test_it_is_opened_by_its_connection_and_with_retries(tmp_path: Path) -> None:
    info = ConnectionInfo.from_options(options(tmp_path))
    with open_storage(info, create=True) as storage:
        assert isinstance(storage, RetryingStorage)
        assert storage.connection_info() == info
        assert storage.display_name == f"rclone: disk:{tmp_path}/data"
