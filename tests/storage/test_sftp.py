"""SFTP, against OpenSSH."""

import contextlib
import itertools
import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pykopia.errors import (
    BlobNotFoundError,
    PykopiaError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageError,
    StorageFullError,
    StorageNotFoundError,
    StorageUnavailableError,
    UntrustedServerError,
    UsageError,
)
from pykopia.ids import BlobID
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.backends.sftp.options import SFTPOptions
from pykopia.storage.backends.sftp.storage import SFTPStorage
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_storage
from pykopia.storage.retrying import RetryingStorage
from pykopia.testing.proxy import FaultyProxy
from pykopia.testing.storage_fault_tests import StorageFaultTests
from pykopia.testing.storage_tests import FORMAT, PACK, StorageTests
from tests.servers.ssh import KEY_KINDS, PASSWORD, SSHServer, make_key

_numbers = itertools.count()


def new_folder() -> str:
    return f"repository-{next(_numbers)}"


class TestOpenSSH(StorageTests):
    many_blobs = 350
    supports_do_not_recreate = True
    supports_set_mtime = True
    mtime_precision_ns = 1_000_000_000

    @pytest.fixture
    def storage(self, openssh: SSHServer) -> Iterator[BlobStorage]:
        with SFTPStorage(openssh.options(new_folder()), create=True) as storage:
            yield storage


class TestOpenSSHWithFaults(StorageFaultTests):
    speaks_http = False
    secrets = (PASSWORD,)

    @pytest.fixture
    def options(self, openssh: SSHServer) -> SFTPOptions:
        return openssh.options(new_folder(), password=openssh.password)

    @pytest.fixture
    def proxy(self, openssh: SSHServer) -> Iterator[FaultyProxy]:
        with FaultyProxy(openssh.host, openssh.port) as proxy:
            yield proxy

    @pytest.fixture
    def direct(self, options: SFTPOptions) -> Iterator[BlobStorage]:
        with SFTPStorage(options, create=True) as storage:
            yield storage

    @pytest.fixture
    def storage(
        self, openssh: SSHServer, proxy: FaultyProxy, options: SFTPOptions, direct: BlobStorage
    ) -> Iterator[BlobStorage]:
        through = through_proxy(openssh, options, proxy.port)
        with SFTPStorage(through, create=True, timeout=0.7) as storage:
            yield storage


def through_proxy(server: SSHServer, options: SFTPOptions, port: int) -> SFTPOptions:
    known_hosts = server.known_hosts.replace(f":{server.port} ", f":{port} ")
    config = {**options.to_config(), "port": port, "knownHostsData": known_hosts}
    return SFTPOptions.from_config(config)


def read_and_write(options: SFTPOptions) -> None:
    with SFTPStorage(options, create=True) as storage:
        storage.put(PACK, b"hello")
        assert storage.get(PACK, 1, 3) == b"ell"


@pytest.mark.parametrize("kind", sorted(KEY_KINDS))
def test_keys_of_all_kinds_and_formats_let_in_as_file_and_as_text(openssh: SSHServer, kind: str) -> None:
    path = openssh.keys[kind]
    read_and_write(openssh.options(new_folder(), keyfile=str(path)))
    text = path.read_text()
    read_and_write(openssh.options(new_folder(), keyfile="", key_data=text))
    read_and_write(openssh.options(new_folder(), keyfile="", key_data="\n" + text.strip().replace("\n", "\r\n")))


def need_password(server: SSHServer) -> None:
    if not server.password:
        pytest.skip("only root can run a server with a user that has a password")


def test_a_password_lets_in(openssh: SSHServer) -> None:
    need_password(openssh)
    read_and_write(openssh.options(new_folder(), keyfile="", password=openssh.password))


def test_with_both_the_key_is_tried_first_and_the_password_after_it(openssh: SSHServer) -> None:
    need_password(openssh)
    read_and_write(openssh.options(new_folder(), password="wrong"))
    read_and_write(openssh.options(new_folder(), keyfile=str(openssh.other_key), password=openssh.password))
    log = openssh.log.read_text(errors="replace")
    assert log.rfind("Failed publickey") < log.rfind("Accepted password")


@pytest.mark.parametrize("secret", ["password", "key"])
def test_rejected_credentials_are_told_from_all_else(openssh: SSHServer, secret: str) -> None:
    changes = (
        {"keyfile": "", "password": "canary-wrong"} if secret == "password" else {"keyfile": str(openssh.other_key)}
    )
    with pytest.raises(StorageAuthenticationError) as caught:
        SFTPStorage(openssh.options("x", **changes))
    assert f"does not let user {openssh.user} in with this {secret}" in str(caught.value)
    assert f"{openssh.host}:{openssh.port}" in str(caught.value)
    assert "canary" not in repr(caught.value) + str(caught.value)
    assert not caught.value.temporary


def test_a_refused_connection_names_host_and_port(openssh: SSHServer) -> None:
    with socket.socket() as bound:  # bound, and nobody listens
        bound.bind((openssh.host, 0))
        port = bound.getsockname()[1]
        with pytest.raises(StorageUnavailableError, match=f"connect to 127.0.0.1:{port}: connection refused"):
            SFTPStorage(openssh.options("x", port=port))


def test_an_unknown_host_name_is_told(openssh: SSHServer) -> None:
    with pytest.raises(StorageUnavailableError, match=r"host.invalid:\d+: the host name can't be resolved"):
        SFTPStorage(openssh.options("x", host="host.invalid"))


def test_a_server_that_is_no_ssh_server_is_told(seaweedfs: Any, openssh: SSHServer) -> None:  # noqa: ANN401
    port = int(seaweedfs.endpoint.partition(":")[2])
    with pytest.raises(StorageError, match=f"connect to 127.0.0.1:{port}"):
        SFTPStorage(openssh.options("x", port=port), timeout=5)


def test_a_missing_folder_names_path_and_user(openssh: SSHServer) -> None:
    with pytest.raises(StorageNotFoundError, match=f"{openssh.user}@127.0.0.1:{openssh.port}{openssh.path}/missing"):
        SFTPStorage(openssh.options("missing"))


def test_a_folder_that_may_not_be_written_names_path_and_user(openssh: SSHServer) -> None:
    if not openssh.namespace:
        pytest.skip("only root can run a server with another user")
    folder = new_folder()
    (openssh.data / folder).mkdir(mode=0o755)  # of this user, not the server's
    with SFTPStorage(openssh.options(folder)) as storage:
        with pytest.raises(StorageAccessDeniedError) as caught:
            storage.put(PACK, b"x")
        assert not isinstance(caught.value, StorageAuthenticationError)
        assert f"user {openssh.user}" in str(caught.value)
        assert f"{openssh.path}/{folder}" in str(caught.value)
        with pytest.raises(StorageAccessDeniedError):
            SFTPStorage(openssh.options(f"{folder}/below"), create=True)
    (openssh.data / folder / "kopia.repository.f").write_bytes(b"x")
    (openssh.data / folder / "kopia.repository.f").chmod(0o600)
    with SFTPStorage(openssh.options(folder)) as storage:
        for call in (lambda: storage.get(FORMAT), lambda: storage.delete(FORMAT)):
            with pytest.raises(StorageAccessDeniedError, match=openssh.user):
                call()


def test_a_full_disk_is_told_as_such(openssh: SSHServer) -> None:
    if not openssh.namespace:
        pytest.skip("only root can mount a small disk")
    mount = openssh.small_disk
    with SFTPStorage(openssh.options(mount), create=True) as storage:
        storage.put(PACK, b"small")
        with pytest.raises(StorageFullError) as caught:
            storage.put(BlobID("p" + "1" * 40), b"x" * (4 << 20))
        assert not caught.value.temporary
        assert [blob.blob_id for blob in storage.list()] == [PACK]
        storage.delete(PACK)
        capacity = storage.capacity()
        assert capacity is not None
        assert 0 < capacity.free <= capacity.size == 1 << 20


def test_a_key_that_can_not_be_used_is_told_with_the_formats(openssh: SSHServer, tmp_path: Path) -> None:
    locked = make_key(tmp_path / "locked", ["-t", "ed25519"], "passphrase")
    locked_pem = make_key(tmp_path / "locked-pem", ["-t", "rsa", "-m", "PEM"], "passphrase")
    for changes, words in (
        ({"keyfile": str(locked)}, f"{locked}: it has a passphrase"),
        ({"keyfile": str(locked_pem)}, f"{locked_pem}: it has a passphrase"),
        ({"keyfile": "", "key_data": "canary no key"}, "OpenSSH or PEM format"),
        ({"keyfile": "", "key_data": openssh.keys["rsa"].read_text()[:300]}, "damaged"),
        ({"keyfile": f"{tmp_path}/gone"}, f"{tmp_path}/gone: No such file"),
    ):
        with pytest.raises(UsageError) as caught:
            SFTPStorage(openssh.options("x", **changes))
        assert words in str(caught.value)
        assert "canary" not in str(caught.value)


def test_known_hosts_may_be_a_file_hashed_or_a_default(
    openssh: SSHServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    file = tmp_path / ".ssh" / "known_hosts"
    file.write_text(
        "other ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1Gz0a0pmDGiP7V2RSx8cJiVrOdR7Z6uM0cdMVmeGPh\n" + openssh.known_hosts
    )
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert openssh.host not in file.read_text()
    read_and_write(openssh.options(new_folder(), known_hosts_data="", known_hosts_file=str(file)))
    read_and_write(openssh.options(new_folder(), known_hosts_data=""))


def test_an_unknown_host_is_not_talked_to(openssh: SSHServer, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for changes in (
        {"known_hosts_data": "other ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1Gz0a0pmDGiP7V2RSx8cJiVrOdR7Z6uM0cdMVmeGPh"},
        {"known_hosts_data": "", "known_hosts_file": f"{tmp_path}/empty"},
        {"known_hosts_data": "", "known_hosts_file": f"{tmp_path}/gone"},
    ):
        with pytest.raises(UntrustedServerError, match=r"is not known: it shows SHA256:.* from `ssh-keyscan`"):
            SFTPStorage(openssh.options("x", **changes))
    with pytest.raises(UsageError, match="known hosts"):
        SFTPStorage(openssh.options("x", known_hosts_data="@unknown-marker x y z"))


def changed_host_key(server: SSHServer) -> str:
    return f"[{server.host}]:{server.port} {server.other_key.with_suffix('.pub').read_text()}"


def test_a_changed_host_key_is_told_with_both_fingerprints(openssh: SSHServer) -> None:
    with pytest.raises(
        UntrustedServerError, match=r"has changed: it shows SHA256:\S+, and the known hosts .* has SHA256:\S+;"
    ):
        SFTPStorage(openssh.options("x", known_hosts_data=changed_host_key(openssh)))


def test_a_new_host_may_be_accepted_once_and_is_remembered(
    openssh: SSHServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "cache" / "ssh_known_hosts"
    options = openssh.options(
        new_folder(), known_hosts_data="", known_hosts_file=str(file), host_key_policy="accept-new"
    )
    with caplog.at_level(logging.WARNING):
        read_and_write(options)
    assert file.read_text().split()[:3] == openssh.known_hosts.split()[:3]
    assert file.stat().st_mode & 0o777 == 0o600
    assert "SHA256:" in caplog.text
    assert openssh.known_hosts.split()[2] in caplog.text
    caplog.clear()
    read_and_write(options)
    assert caplog.text == ""
    read_and_write(openssh.options(new_folder(), known_hosts_data="", known_hosts_file=str(file)))
    file.write_text(changed_host_key(openssh))
    with pytest.raises(UntrustedServerError, match=f"has changed: .* and {file} has"):
        SFTPStorage(options)


def test_no_secret_is_in_a_repr_or_in_what_libraries_log(openssh: SSHServer, caplog: pytest.LogCaptureFixture) -> None:
    need_password(openssh)
    options = openssh.options(new_folder(), password=PASSWORD, keyfile="", key_data=openssh.keys["ed25519"].read_text())
    secret = openssh.keys["ed25519"].read_text().splitlines()[1]
    with caplog.at_level(logging.DEBUG), SFTPStorage(options, create=True) as storage:
        storage.put(PACK, b"x")
        shown = (
            repr(storage) + str(storage.fs) + repr(storage.fs) + str(storage.fs.storage_options) + storage.display_name
        )
    for text in (shown, caplog.text, repr(options)):
        assert PASSWORD not in text
        assert secret not in text


def test_a_range_is_all_that_is_read(openssh: SSHServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # sshfs itself ignores the range of cat_file and reads the whole file
    with SFTPStorage(openssh.options(new_folder()), create=True) as storage:
        storage.put(PACK, bytes(1 << 20) + b"needle" + bytes(1 << 20))
        monkeypatch.setattr(type(storage.fs), "cat_file", None)
        with FaultyProxy(openssh.host, openssh.port) as proxy:
            through = through_proxy(openssh, storage.options, proxy.port)
            with SFTPStorage(through) as other:
                assert other.get(PACK, 0, 1) == b"\0"
                proxy.kill_downloads(100_000)
                assert other.get(PACK, 1 << 20, 6) == b"needle"
                assert proxy.hits == 0


def test_files_and_folders_are_for_the_user_alone(openssh: SSHServer) -> None:
    folder = new_folder()
    read_and_write(openssh.options(folder))
    modes = {path.name: path.stat().st_mode & 0o777 for path in (openssh.data / folder).rglob("*")}
    assert set(modes.values()) == {0o600, 0o700}


def test_left_over_temporary_files_are_no_blobs(openssh: SSHServer) -> None:
    folder = new_folder()
    read_and_write(openssh.options(folder))
    [blob] = (openssh.data / folder).rglob("*.f")
    shutil.copy(blob, f"{blob}.tmp.0123456789abcdef")
    with SFTPStorage(openssh.options(folder)) as storage:
        assert [found.blob_id for found in storage.list()] == [PACK]


def test_what_it_writes_is_a_repository_folder_like_any_other(openssh: SSHServer) -> None:
    folder = new_folder()
    with SFTPStorage(openssh.options(folder), create=True) as storage:
        storage.put(PACK, b"1")
        storage.put(FORMAT, b"2", PutOptions(set_mtime_ns=1_700_000_000_999_999_999))
    local = FilesystemStorage(openssh.data / folder)
    assert {blob.blob_id: local.get(blob.blob_id) for blob in local.list()} == {PACK: b"1", FORMAT: b"2"}
    assert local.metadata(FORMAT).timestamp_ns == 1_700_000_000_000_000_000


def test_it_is_opened_by_its_connection_and_with_retries(openssh: SSHServer) -> None:
    info = ConnectionInfo.from_options(openssh.options(new_folder()))
    with pytest.raises(StorageNotFoundError):
        open_storage(info)
    with open_storage(info, create=True) as storage:
        assert isinstance(storage, RetryingStorage)
        assert storage.connection_info() == info
    with open_storage(info) as storage, pytest.raises(BlobNotFoundError):
        storage.get(PACK)


def test_a_lost_connection_is_made_anew(openssh: SSHServer) -> None:
    with FaultyProxy(openssh.host, openssh.port) as proxy:
        options = through_proxy(openssh, openssh.options(new_folder()), proxy.port)
        with SFTPStorage(options, create=True) as storage:
            storage.put(PACK, b"x")
            assert proxy.accepted == 1
            proxy.drop_connections()
            with contextlib.suppress(StorageUnavailableError):  # whether it is noticed before or by the call
                storage.get(PACK)
            assert storage.get(PACK) == b"x"
            assert proxy.accepted == 2


@pytest.mark.slow  # another way to a storage that is tested above
class TestExternalSSH(StorageTests):
    supports_do_not_recreate = True
    supports_set_mtime = True
    mtime_precision_ns = 1_000_000_000
    many_blobs = 120
    big_blob = 1 << 20

    @pytest.fixture
    def storage(self, openssh: SSHServer, tmp_path: Path) -> Iterator[BlobStorage]:
        with SFTPStorage(external(openssh, tmp_path), create=True) as storage:
            yield storage


def external(server: SSHServer, folder: Path, *, key: Path | None = None) -> SFTPOptions:
    if shutil.which("ssh") is None:
        pytest.skip("no ssh program")
    (folder / "known_hosts").write_text(server.known_hosts)
    arguments = f"-F none -o BatchMode=yes -o UserKnownHostsFile={folder}/known_hosts -p {server.port}"
    return server.options(
        new_folder(),
        external_ssh=True,
        keyfile="",
        known_hosts_data="",
        ssh_arguments=f"{arguments} -i {key or server.keys['ed25519']}",
    )


def test_what_the_ssh_program_says_is_told(openssh: SSHServer, tmp_path: Path) -> None:
    with pytest.raises(StorageAuthenticationError, match=r"Permission denied \(publickey"):
        SFTPStorage(external(openssh, tmp_path, key=openssh.other_key))
    options = SFTPOptions.from_config({**external(openssh, tmp_path).to_config(), "sshCommand": "/no/such/ssh"})
    with pytest.raises(UsageError, match="can't run /no/such/ssh"):
        SFTPStorage(options)


def test_the_ssh_program_ends_with_the_storage_and_is_started_again(openssh: SSHServer, tmp_path: Path) -> None:
    def children() -> list[int]:
        found = subprocess.run(
            ["ps", "--ppid", str(os.getpid()), "-o", "pid=,comm="], capture_output=True, text=True, check=True
        )
        return [int(line.split()[0]) for line in found.stdout.splitlines() if line.split()[1] == "ssh"]

    with SFTPStorage(external(openssh, tmp_path), create=True) as storage:
        storage.put(PACK, b"x")
        [first] = children()
        os.kill(first, 9)
        with contextlib.suppress(PykopiaError):
            storage.get(PACK)
        assert storage.get(PACK) == b"x"
        assert children() != [first]
    assert children() == []


def test_a_user_without_a_name_on_this_machine_can_connect(openssh: SSHServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a pod: no entry in the password file, no variable that names the user, no home folder."""

    def nobody(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    options = openssh.options(new_folder())
    with SFTPStorage(options, create=True) as storage:
        storage.put(PACK, b"x")
        assert storage.get(PACK) == b"x"
    with pytest.raises(UntrustedServerError):
        SFTPStorage(replace(options, known_hosts_data="", known_hosts_file=""))
