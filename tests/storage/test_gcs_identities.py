"""How pykopia logs in to Google Cloud Storage: by its own name, to which a tunnel leads, and tokens of an imitation."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pykopia.errors import StorageAuthenticationError, UsageError
from pykopia.storage.backends.gcs.options import GCSOptions
from pykopia.storage.backends.gcs.storage import GCSStorage
from pykopia.testing.storage_tests import PACK
from tests.cli_runner import Runner
from tests.servers.drive import ACCESS_TOKEN, DriveServer
from tests.servers.gcs_versions import BUCKET, VersionedBucket, versioned_bucket
from tests.servers.tls import Certificates
from tests.servers.tunnel import tunnel
from tests.trees import small_tree


@pytest.fixture
def service(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[VersionedBucket]:
    with versioned_bucket(certificates) as service, tunnel(service.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        yield service


@pytest.fixture(autouse=True)
def _token_service(fake_drive: DriveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of users don't say where their tokens are had: the library knows one place."""
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{fake_drive.url}/token")


@pytest.fixture
def options(service: VersionedBucket, certificates: Certificates) -> GCSOptions:
    return GCSOptions(bucket=BUCKET, root_ca=certificates.authority.read_bytes())


def works(service: VersionedBucket, options: GCSOptions) -> None:
    with GCSStorage(options) as storage:
        storage.put(PACK, b"x")
        assert storage.get(PACK) == b"x"
    assert service.logins == {f"Bearer {ACCESS_TOKEN}"}


def test_a_service_account_may_stand_in_the_connection_or_in_a_file(
    service: VersionedBucket, options: GCSOptions, fake_drive: DriveServer, tmp_path: Path
) -> None:
    file = tmp_path / "account.json"
    file.write_text(json.dumps(fake_drive.service_account))
    works(service, replace(options, credentials=fake_drive.service_account))
    works(service, replace(options, credentials_file=str(file)))


def test_a_user_who_has_agreed_is_taken_too(
    service: VersionedBucket, options: GCSOptions, fake_drive: DriveServer
) -> None:
    works(service, replace(options, credentials=fake_drive.authorized_user))


def test_without_credentials_those_of_the_machine_are_used(
    service: VersionedBucket,
    options: GCSOptions,
    fake_drive: DriveServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "machine.json"
    file.write_text(json.dumps(fake_drive.service_account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    works(service, options)


def test_a_machine_without_credentials_is_told_what_to_do(
    options: GCSOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # nobody answers for long where there is no such machine
    with pytest.raises(UsageError, match=r"name their file by --credentials-file, or log in by `gcloud auth"):
        GCSStorage(options)


def test_a_connection_for_reading_asks_for_no_more(
    service: VersionedBucket, options: GCSOptions, fake_drive: DriveServer
) -> None:
    works(service, replace(options, credentials=fake_drive.service_account))
    GCSStorage(replace(options, credentials=fake_drive.service_account, read_only=True)).close()
    asked = [scope.rpartition("/")[2] for scope in fake_drive.scopes[-2:]]
    assert asked == ["devstorage.full_control", "devstorage.read_only"]


def test_a_user_who_takes_the_consent_back_is_told_and_no_secret_shown(
    options: GCSOptions, fake_drive: DriveServer
) -> None:
    user = fake_drive.authorized_user | {"refresh_token": "canary-taken-back"}
    with pytest.raises(StorageAuthenticationError, match="Google does not take the credentials") as caught:
        GCSStorage(replace(options, credentials=user))
    assert "canary" not in str(caught.value)


def test_the_command_line_keeps_credentials_in_a_file_or_in_the_connection(
    service: VersionedBucket,
    certificates: Certificates,
    fake_drive: DriveServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    file = tmp_path / "account.json"
    file.write_text(json.dumps(fake_drive.service_account))
    cli = Runner(tmp_path / "client")
    flags = ("gcs", "--bucket", BUCKET, "--credentials-file", str(file))
    cli.ok("repository", "create", *flags)
    small_tree(tmp_path / "source")
    cli.ok("snapshot", "create", str(tmp_path / "source"))
    cli.ok("repository", "disconnect")
    cli.ok("repository", "connect", *flags, "--embed-credentials", "--read-only")
    file.unlink()
    cli.ok("snapshot", "verify", "--verify-files-percent=100")
    told = cli.ok("repository", "status")
    assert fake_drive.service_account["private_key"].splitlines()[1] not in told.stdout + told.stderr
