"""Azure Blob Storage against Azurite.

Azurite keeps no immutability policy: it takes the request and deletes the blob all the same, so that a lock holds is not tested.
"""

import itertools
import json
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pykopia
from pykopia.errors import (
    PykopiaError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageError,
    StorageNotFoundError,
    StorageUnavailableError,
    UnsupportedOptionError,
    UntrustedServerError,
)
from pykopia.storage.backends.azureblob.options import AzureBlobOptions
from pykopia.storage.backends.azureblob.storage import AzureStorage
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_storage
from pykopia.testing.proxy import FaultyProxy
from pykopia.testing.storage_fault_tests import StorageFaultTests
from pykopia.testing.storage_tests import FORMAT, PACK, StorageTests
from tests.cli_runner import Runner
from tests.servers import tls
from tests.servers.azure import AzureServer
from tests.trees import assert_trees_equal, changing_tree

_numbers = itertools.count()


@pytest.fixture(scope="module")
def container(azurite: AzureServer) -> AzureBlobOptions:
    return azurite.new_container()


@pytest.fixture
def options(container: AzureBlobOptions) -> AzureBlobOptions:
    return replace(container, prefix=f"folder{next(_numbers)}/")


class TestAzurite(StorageTests):
    supports_do_not_recreate = supports_set_mtime = supports_retention = True
    mtime_precision_ns = 1_000_000_000
    many_blobs = 100
    big_blob = 2 << 20
    odd_ids = tuple(name for name in StorageTests.odd_ids if "\\" not in name)  # the service makes a slash of it

    def test_a_blob_is_locked_or_the_option_refused(self, storage: BlobStorage) -> None:
        """Azurite takes a put with a policy, and says that it can't set one later."""
        storage.put(PACK, b"locked", PutOptions(retention_mode="COMPLIANCE", retention_period_ns=86_400_000_000_000))
        assert storage.get(PACK) == b"locked"
        with pytest.raises(UnsupportedOptionError, match="501"):
            storage.extend_retention(PACK, "COMPLIANCE", 2 * 86_400_000_000_000)

    @pytest.fixture(autouse=True)
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(AzureStorage, "page_size", 7)

    @pytest.fixture
    def storage(self, options: AzureBlobOptions) -> Iterator[BlobStorage]:
        with AzureStorage(options) as storage:
            yield storage


class TestAzuriteWithFaults(StorageFaultTests):
    @pytest.fixture
    def proxy(self, options: AzureBlobOptions) -> Iterator[FaultyProxy]:
        host, _, port = options.storage_domain.partition(":")
        with FaultyProxy(host, int(port)) as proxy:
            yield proxy

    @pytest.fixture
    def direct(self, options: AzureBlobOptions) -> Iterator[BlobStorage]:
        with AzureStorage(options) as storage:
            yield storage

    @pytest.fixture
    def storage(
        self, proxy: FaultyProxy, options: AzureBlobOptions, direct: BlobStorage, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[BlobStorage]:
        for name, value in (("ANSWER_SECONDS", 0.7), ("CONNECT_SECONDS", 0.7), ("SLOWEST", 10 << 20)):
            monkeypatch.setattr(f"pykopia.storage.backends.azureblob.storage.{name}", value)
        with AzureStorage(replace(options, storage_domain=f"{proxy.host}:{proxy.port}")) as storage:
            yield storage


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"storage_key": "Y2FuYXJ5LXdyb25n"}, StorageAccessDeniedError, "AuthorizationFailure|AuthenticationFailed"),
        ({"storage_key": "canary: no base64"}, StorageAuthenticationError, "can't be used"),
        ({"container": "no-such-container"}, StorageNotFoundError, "ContainerNotFound"),
        ({"do_not_use_tls": False}, StorageError, "does not speak TLS; if it speaks plain HTTP"),
        ({"storage_domain": "127.0.0.1:1"}, StorageUnavailableError, "127.0.0.1:1"),
        ({"storage_domain": "no-such-host.invalid"}, StorageUnavailableError, "no-such-host.invalid can't be resolved"),
    ],
)
def test_what_can_not_be_opened_is_told_apart(
    container: AzureBlobOptions, changes: dict[str, Any], kind: type[PykopiaError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        AzureStorage(replace(container, **changes)).close()
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "Y2FuYXJ5" not in told
    assert "canary" not in told
    assert container.storage_key not in told


def test_a_signature_logs_in_without_the_key(azurite: AzureServer, options: AzureBlobOptions) -> None:
    signature = azurite.signature()
    for text in (signature, f"?{signature}"):
        with AzureStorage(replace(options, storage_key="", sas_token=text)) as storage:
            storage.put(PACK, b"x")
            assert storage.get(PACK) == b"x"


def test_blobs_are_named_typed_and_timed_as_kopia_does(azurite: AzureServer, container: AzureBlobOptions) -> None:
    with AzureStorage(replace(container, prefix="a/b-")) as storage:
        storage.put(PACK, b"x", PutOptions(set_mtime_ns=1_234_567_890_123_456_789))
        assert storage.metadata(PACK).timestamp_ns == 1_234_567_890_123_456_789
        assert [blob.timestamp_ns for blob in storage.list()] == [1_234_567_890_123_456_789]
    with azurite.container(container.container) as client:
        found = client.get_blob_client(f"a/b-{PACK}").get_blob_properties()
    assert found.content_settings.content_type == "application/x-kopia"
    assert found.metadata == {"Kopiamtime": "1234567890123456789"}
    assert found.blob_type == "BlockBlob"


def test_a_container_without_versions_can_not_be_seen_as_it_was(options: AzureBlobOptions) -> None:
    with AzureStorage(options) as storage:
        storage.put(FORMAT, b"x")
    info = ConnectionInfo.from_options(replace(options, point_in_time="2026-01-01T00:00:00Z"))
    with pytest.raises(StorageError, match="keeps no versions"):
        open_storage(info)


def test_a_server_is_trusted_by_the_authority_of_the_connection_alone(azurite_tls: AzureServer) -> None:
    container = azurite_tls.new_container()
    with AzureStorage(container) as storage:
        for number in range(5):
            storage.put(PACK, bytes([number]))
            assert storage.get(PACK) == bytes([number])
    with pytest.raises(UntrustedServerError, match="unable to get local issuer certificate"):
        AzureStorage(replace(container, root_ca=b""))


def test_a_repository_in_a_container_gives_back_what_it_got(container: AzureBlobOptions, tmp_path: Path) -> None:
    info = ConnectionInfo.from_options(replace(container, prefix="backups/"))
    changing_tree(tmp_path / "source", 0)
    with pykopia.create(info, "password") as repository:
        repository.snapshots.create(tmp_path / "source")
    changing_tree(tmp_path / "source", 1)
    with pykopia.connect(info, "password") as repository:
        snapshot = repository.snapshots.create(tmp_path / "source").manifest
        verified = repository.snapshots.verify(options=pykopia.VerifyOptions(files_percent=100))
        assert verified.errors == ()
        repository.snapshots.restore(snapshot.id, tmp_path / "restored")
    assert_trees_equal(tmp_path / "source", tmp_path / "restored")


def test_the_command_line_connects_by_a_connection_file(container: AzureBlobOptions, tmp_path: Path) -> None:
    """Kopia's flags know no endpoint without TLS; its connection file does."""
    cli = Runner(tmp_path / "client")
    info = ConnectionInfo.from_options(replace(container, prefix="cli/"))
    pykopia.create(info, cli.password).close()
    file = tmp_path / "connection.json"
    file.write_text(json.dumps({"storage": info.to_json()}))
    cli.ok("repository", "connect", "from-config", "--file", str(file))
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"data")
    cli.ok("snapshot", "create", str(tmp_path / "source"))
    cli.ok("snapshot", "verify", "--verify-files-percent=100")
    status = cli.ok("repository", "status")
    assert container.storage_key not in status.stdout + status.stderr


def test_the_command_line_creates_and_connects_by_flags(
    azurite_tls: AzureServer, azurite_tunnel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name and TLS, as flags have it: a tunnel leads to Azurite, whose authority the environment names."""
    assert azurite_tls.certificates is not None
    monkeypatch.setenv("HTTPS_PROXY", azurite_tunnel)
    monkeypatch.setenv("SSL_CERT_FILE", str(azurite_tls.certificates.authority))
    cli = Runner(tmp_path / "client", environment={"AZURE_STORAGE_KEY": azurite_tls.key})
    account = ("--storage-account", azurite_tls.account, "--storage-domain", tls.DOMAIN)
    flags = ("azure", "--container", azurite_tls.new_container().container, "--prefix=cli/", *account)
    cli.ok("repository", "create", *flags)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"data")
    cli.ok("snapshot", "create", str(tmp_path / "source"))
    cli.ok("repository", "disconnect")
    cli.ok("repository", "connect", *flags)
    cli.ok("snapshot", "verify", "--verify-files-percent=100")
    cli.ok("repository", "validate-provider", "--concurrency-test-duration=300ms", "--num-storage-connections=2")
