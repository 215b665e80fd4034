"""Repositories behind SFTP, WebDAV and rclone, made by one side and used by the other, with the same words."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli_runner import Runner
from tests.servers import programs
from tests.servers.ssh import SSHServer
from tests.servers.webdav import WebDAVServer
from tests.trees import changing_tree

from .kopia_cli import Flag, KopiaCLI, spell_flags
from .repositories import assert_restored_by_kopia, assert_restored_by_pykopia

Words = tuple[str, dict[str, Flag]]
"""Type of a storage, and the flags that name it to either side."""

_numbers = itertools.count()


def sftp_by_key(request: pytest.FixtureRequest, tmp_path: Path) -> Words:
    server: SSHServer = request.getfixturevalue("openssh")
    return "sftp", {
        "path": f"{server.path}/interop-{next(_numbers)}",
        "host": server.host,
        "port": server.port,
        "username": server.user,
        "keyfile": server.keys["ed25519"],
        "known_hosts_data": server.known_hosts,
    }


def sftp_by_password(request: pytest.FixtureRequest, tmp_path: Path) -> Words:
    server: SSHServer = request.getfixturevalue("openssh")
    if not server.password:
        pytest.skip("only root can run a server with a user that has a password")
    kind, flags = sftp_by_key(request, tmp_path)
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(server.known_hosts)
    del flags["keyfile"], flags["known_hosts_data"]
    return kind, {**flags, "sftp_password": server.password, "known_hosts": known_hosts}


def sftp_by_program(request: pytest.FixtureRequest, tmp_path: Path) -> Words:
    server: SSHServer = request.getfixturevalue("openssh")
    kind, flags = sftp_by_key(request, tmp_path)
    (tmp_path / "known_hosts").write_text(server.known_hosts)
    words = f"-F none -o BatchMode=yes -o UserKnownHostsFile={tmp_path}/known_hosts -p {server.port} -i {flags.pop('keyfile')}"
    del flags["known_hosts_data"]
    return kind, {**flags, "external": True, "ssh_args": words}


def webdav(name: str, *, atomic: bool) -> Callable[[pytest.FixtureRequest, Path], Words]:
    def words(request: pytest.FixtureRequest, tmp_path: Path) -> Words:
        server: WebDAVServer = request.getfixturevalue(name)
        folder = f"interop-{next(_numbers)}"
        (server.data / folder).mkdir()
        (server.data / folder).chmod(0o777)
        flags: dict[str, Flag] = {"url": f"{server.url}/{folder}", "webdav_username": server.user}
        return "webdav", {**flags, "webdav_password": server.password, "atomic_writes": atomic}

    return words


def rclone(request: pytest.FixtureRequest, tmp_path: Path) -> Words:
    program = programs.require("rclone", install="sh scripts/test-servers.sh --all")
    config = tmp_path / "rclone.conf"
    config.write_text("[disk]\ntype = local\n")
    (tmp_path / "remote").mkdir()
    return "rclone", {
        "remote_path": f"disk:{tmp_path}/remote",
        "rclone_exe": program,
        "embed_rclone_config": config,
    }


# WsgiDAV is not among them: over a connection that is used again it answers 400 to requests of kopia's own client.
STORAGES: dict[str, Callable[[pytest.FixtureRequest, Path], Words]] = {
    "sftp-key": sftp_by_key,
    "sftp-password": sftp_by_password,
    "sftp-external": sftp_by_program,
    "webdav-apache": webdav("apache", atomic=False),
    "webdav-apache-atomic": webdav("apache", atomic=True),
    "rclone": rclone,
}


@pytest.fixture(params=sorted(STORAGES))
def words(request: pytest.FixtureRequest, tmp_path: Path) -> Words:
    return STORAGES[request.param](request, tmp_path)


def reach(kopia: KopiaCLI, verb: str, words: Words) -> None:
    client: dict[str, Flag] = {
        "cache_directory": kopia.cache_directory,
        "override_username": kopia.username,
        "override_hostname": kopia.hostname,
        "check_for_updates": False,
        "persist_credentials": False,
    }
    kopia.folder.mkdir(parents=True, exist_ok=True)
    kopia.run("repository", verb, words[0], *spell_flags({**client, **words[1]}))


def reach_ours(ours: Runner, kopia: KopiaCLI, verb: str, words: Words) -> None:
    client: dict[str, Flag] = {"override_username": kopia.username, "override_hostname": kopia.hostname}
    ours.ok("repository", verb, words[0], *spell_flags({**client, **words[1]}))


def test_kopia_goes_on_with_a_repository_of_ours(kopia: KopiaCLI, ours: Runner, words: Words, tmp_path: Path) -> None:
    source = tmp_path / "source"
    changing_tree(source, 1)
    reach_ours(ours, kopia, "create", words)
    ours.ok("snapshot", "create", str(source))
    reach(kopia, "connect", words)
    kopia.verify_all()
    [snapshot] = kopia.snapshot_list()
    kopia.restore(snapshot["id"], tmp_path / "restored")
    assert_restored_by_kopia(source, tmp_path / "restored")
    changing_tree(source, 2)
    kopia.snapshot_create(source)
    kopia.maintenance_run(safety="none")
    ours.ok("snapshot", "verify", "--verify-files-percent=100")
    newest = ours.ok("snapshot", "list", "--json").json[-1]["id"]
    ours.ok("snapshot", "restore", newest, str(tmp_path / "restored-2"))
    assert_restored_by_pykopia(source, tmp_path / "restored-2")
    ours.ok("repository", "validate-provider", "--concurrency-test-duration=500ms", "--num-storage-connections=2")


def test_we_go_on_with_a_repository_of_kopia(kopia: KopiaCLI, ours: Runner, words: Words, tmp_path: Path) -> None:
    source = tmp_path / "source"
    changing_tree(source, 1)
    reach(kopia, "create", words)
    kopia.snapshot_create(source)
    line = next(
        line
        for line in kopia.run("repository", "status", "-t", "-s").stdout.splitlines()
        if line.startswith("$ kopia ")
    )
    client = ("--override-username", kopia.username, "--override-hostname", kopia.hostname)
    ours.ok(*line.split()[2:], *client)  # by the token that kopia prints
    changing_tree(source, 2)
    ours.ok("snapshot", "create", str(source))
    ours.ok("snapshot", "verify", "--verify-files-percent=100")
    kopia.verify_all()
    snapshots = sorted(kopia.snapshot_list(), key=lambda each: str(each["startTime"]))
    kopia.restore(snapshots[-1]["id"], tmp_path / "restored")
    assert_restored_by_kopia(source, tmp_path / "restored")
    assert len(snapshots) == 2
