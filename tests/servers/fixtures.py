"""The servers as fixtures: each is started by the first test that asks for it and serves to the end of the run."""

from collections.abc import Iterator

import pytest

from tests.servers import azure, drive, gcs, s3, ssh, webdav
from tests.servers.azure import AzureServer
from tests.servers.drive import DriveServer
from tests.servers.gcs import GCSServer
from tests.servers.s3 import S3Server
from tests.servers.ssh import SSHServer
from tests.servers.tls import Certificates, make_certificates
from tests.servers.tunnel import tunnel
from tests.servers.webdav import WebDAVServer

Factory = pytest.TempPathFactory


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: Factory) -> Certificates:
    """Return an authority and a certificate for loopback."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: Factory) -> Iterator[S3Server]:
    """Run a server that speaks S3 without TLS and has come by pip."""
    with s3.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs_tls(tmp_path_factory: Factory, certificates: Certificates) -> Iterator[S3Server]:
    """Run a server that speaks S3 with TLS by an authority of its own."""
    with s3.seaweedfs(tmp_path_factory.mktemp("seaweedfs-tls"), certificates) as server:
        yield server


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: Factory) -> Iterator[S3Server]:
    """Run a server that speaks S3 without TLS."""
    with s3.versitygw(tmp_path_factory.mktemp("versitygw")) as server:
        yield server


@pytest.fixture(scope="session")
def versitygw_tls(tmp_path_factory: Factory, certificates: Certificates) -> Iterator[S3Server]:
    """Run a server that speaks S3 with TLS by an authority of its own."""
    with s3.versitygw(tmp_path_factory.mktemp("versitygw-tls"), certificates) as server:
        yield server


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: Factory) -> Iterator[AzureServer]:
    """Run Azure Blob Storage without TLS."""
    with azure.azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture(scope="session")
def azurite_tls(tmp_path_factory: Factory, certificates: Certificates) -> Iterator[AzureServer]:
    """Run Azure Blob Storage with TLS by an authority of its own."""
    with azure.azurite(tmp_path_factory.mktemp("azurite-tls"), certificates) as server:
        yield server


@pytest.fixture(scope="session")
def azurite_tunnel(azurite_tls: AzureServer) -> Iterator[str]:
    """Return the URL of a proxy behind which all names are Azure Blob Storage with TLS."""
    with tunnel(int(azurite_tls.domain.rpartition(":")[2])) as url:
        yield url


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: Factory) -> Iterator[GCSServer]:
    """Run Google Cloud Storage."""
    with gcs.fake_gcs(tmp_path_factory.mktemp("fake-gcs")) as server:
        yield server


@pytest.fixture(scope="session")
def openssh(tmp_path_factory: Factory) -> Iterator[SSHServer]:
    """Run OpenSSH's server."""
    with ssh.openssh(tmp_path_factory.mktemp("openssh")) as server:
        yield server


@pytest.fixture(scope="session")
def apache(tmp_path_factory: Factory) -> Iterator[WebDAVServer]:
    """Run Apache's WebDAV without TLS."""
    with webdav.apache(tmp_path_factory.mktemp("apache")) as server:
        yield server


@pytest.fixture(scope="session")
def apache_digest(tmp_path_factory: Factory) -> Iterator[WebDAVServer]:
    """Run Apache's WebDAV with digest authentication."""
    with webdav.apache(tmp_path_factory.mktemp("apache-digest"), auth="Digest") as server:
        yield server


@pytest.fixture(scope="session")
def apache_tls(tmp_path_factory: Factory, certificates: Certificates) -> Iterator[WebDAVServer]:
    """Run Apache's WebDAV with TLS by an authority of its own."""
    with webdav.apache(tmp_path_factory.mktemp("apache-tls"), certificates) as server:
        yield server


@pytest.fixture(scope="session")
def wsgidav(tmp_path_factory: Factory) -> Iterator[WebDAVServer]:
    """Run WsgiDAV without TLS."""
    with webdav.wsgidav(tmp_path_factory.mktemp("wsgidav")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_webdav(tmp_path_factory: Factory) -> Iterator[WebDAVServer]:
    """Run rclone as a WebDAV server without TLS."""
    with webdav.rclone_webdav(tmp_path_factory.mktemp("rclone-webdav")) as server:
        yield server


@pytest.fixture(scope="session")
def fake_drive() -> Iterator[DriveServer]:
    """Run a fake of Google Drive."""
    with drive.fake_drive() as server:
        yield server


__all__ = [
    "apache",
    "apache_digest",
    "apache_tls",
    "azurite",
    "azurite_tls",
    "azurite_tunnel",
    "certificates",
    "fake_drive",
    "fake_gcs",
    "openssh",
    "rclone_webdav",
    "seaweedfs",
    "seaweedfs_tls",
    "versitygw",
    "versitygw_tls",
    "wsgidav",
]
