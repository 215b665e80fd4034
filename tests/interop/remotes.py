"""Storages on other machines, as the flags that name them to kopia and pykopia alike."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import programs, tls
from tests.servers.azure import AzureServer
from tests.servers.gcs import GCSServer
from tests.servers.s3 import S3Server, admin
from tests.servers.ssh import SSHServer
from tests.servers.webdav import WebDAVServer

from .kopia_cli import Flag

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


def s3(name: str) -> Callable[[pytest.FixtureRequest, Path], Words]:
    def words(request: pytest.FixtureRequest, tmp_path: Path) -> Words:
        server: S3Server = request.getfixturevalue(name)
        bucket = f"interop-{os.getpid()}-{next(_numbers)}"
        admin(server).call_s3("create_bucket", Bucket=bucket)
        flags: dict[str, Flag] = {"bucket": bucket, "prefix": "a/folder/", "endpoint": server.endpoint}
        flags |= {"access_key": server.access_key, "secret_access_key": server.secret_key}
        if server.certificates:
            return "s3", {**flags, "root_ca_pem_path": server.certificates.authority}
        return "s3", {**flags, "disable_tls": True}

    return words


def azure_by_key(request: pytest.FixtureRequest, tmp_path: Path) -> Words:
    """Kopia knows accounts as names below a domain, and its flags TLS only: a tunnel leads to Azurite.

    Both sides take the authority to trust from SSL_CERT_FILE, as there is no flag for it.
    """
    server: AzureServer = request.getfixturevalue("azurite_tls")
    assert server.certificates is not None
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setenv("HTTPS_PROXY", request.getfixturevalue("azurite_tunnel"))
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificates.authority))
    return "azure", {
        "container": server.new_container().container,
        "prefix": "a/folder/",
        "storage_account": server.account,
        "storage_key": server.key,
        "storage_domain": tls.DOMAIN,
    }


def azure_by_signature(request: pytest.FixtureRequest, tmp_path: Path) -> Words:
    server: AzureServer = request.getfixturevalue("azurite_tls")
    kind, flags = azure_by_key(request, tmp_path)
    del flags["storage_key"]
    return kind, {**flags, "sas_token": server.signature()}


def gcs(request: pytest.FixtureRequest, tmp_path: Path) -> Words:
    """Both sides find the emulator by Google's own variable, and use no credentials then."""
    server: GCSServer = request.getfixturevalue("fake_gcs")
    request.getfixturevalue("monkeypatch").setenv("STORAGE_EMULATOR_HOST", server.url)
    return "gcs", {"bucket": server.new_bucket().bucket, "prefix": "a/folder/"}


# B2 and Google Drive are not among them: kopia's clients know no other address than that of the service, where no test goes.
# WsgiDAV is not among them: over a connection that is used again it answers 400 to requests of kopia's own client.
STORAGES: dict[str, Callable[[pytest.FixtureRequest, Path], Words]] = {
    "sftp-key": sftp_by_key,
    "sftp-password": sftp_by_password,
    "sftp-external": sftp_by_program,
    "webdav-apache": webdav("apache", atomic=False),
    "webdav-apache-atomic": webdav("apache", atomic=True),
    "rclone": rclone,
    "s3-seaweedfs": s3("seaweedfs"),
    "s3-versitygw": s3("versitygw"),
    "s3-versitygw-tls": s3("versitygw_tls"),
    "azure-key": azure_by_key,
    "azure-sas": azure_by_signature,
    "gcs": gcs,
}
