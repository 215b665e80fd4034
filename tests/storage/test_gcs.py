"""Google Cloud Storage against fake-gcs-server, which asks for no credentials."""

import json
import traceback
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import pykopia
from pykopia.errors import (
    ReadOnlyStorageError,
    StorageError,
    StorageNotFoundError,
    StorageUnavailableError,
    UsageError,
)
from pykopia.storage.backends.gcs.options import GCSOptions
from pykopia.storage.backends.gcs.storage import GCSStorage
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_storage
from pykopia.testing.proxy import FaultyProxy
from pykopia.testing.storage_fault_tests import StorageFaultTests
from pykopia.testing.storage_tests import PACK, StorageTests
from tests.cli_runner import Runner
from tests.servers.gcs import GCSServer
from tests.trees import assert_trees_equal, changing_tree


@pytest.fixture
def emulator(fake_gcs: GCSServer, monkeypatch: pytest.MonkeyPatch) -> GCSServer:
    """The server, which the library finds by Google's own variable."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake_gcs.url)
    return fake_gcs


@pytest.fixture
def options(emulator: GCSServer) -> GCSOptions:
    return replace(emulator.new_bucket(), prefix="folder/")


class TestFakeGCS(StorageTests):
    supports_do_not_recreate = supports_set_mtime = True
    mtime_precision_ns = 1_000
    many_blobs = 100
    big_blob = 1 << 20

    @pytest.fixture(autouse=True)
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(GCSStorage, "page_size", 7)

    @pytest.fixture
    def storage(self, options: GCSOptions) -> Iterator[BlobStorage]:
        with GCSStorage(options) as storage:
            yield storage

    def test_a_blob_is_locked_or_the_option_refused(self, storage: BlobStorage) -> None:
        """The server keeps a policy, and refuses to make it longer, which Google's does not."""
        storage.put(PACK, b"locked", PutOptions(retention_mode="COMPLIANCE", retention_period_ns=86_400_000_000_000))
        with pytest.raises(StorageError, match="locked"):
            storage.extend_retention(PACK, "COMPLIANCE", 2 * 86_400_000_000_000)
        assert storage.get(PACK) == b"locked"


class TestFakeGCSWithFaults(StorageFaultTests):
    @pytest.fixture
    def proxy(self, emulator: GCSServer) -> Iterator[FaultyProxy]:
        host, _, port = emulator.url.removeprefix("http://").partition(":")
        with FaultyProxy(host, int(port)) as proxy:
            yield proxy

    @pytest.fixture
    def direct(self, options: GCSOptions) -> Iterator[BlobStorage]:
        with GCSStorage(options) as storage:
            yield storage

    @pytest.fixture
    def storage(
        self, proxy: FaultyProxy, options: GCSOptions, direct: BlobStorage, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[BlobStorage]:
        for name, value in (("ANSWER_SECONDS", 0.7), ("CONNECT_SECONDS", 0.7)):
            monkeypatch.setattr(f"pykopia.storage.backends.gcs.storage.{name}", value)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{proxy.host}:{proxy.port}")
        with GCSStorage(options) as storage:
            yield storage


def test_what_can_not_be_opened_is_told_apart(emulator: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageNotFoundError, match="no-such-bucket"):
        GCSStorage(GCSOptions(bucket="no-such-bucket"))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    with pytest.raises(StorageUnavailableError):
        GCSStorage(GCSOptions(bucket="any"))


@pytest.mark.parametrize(
    "credentials", [{"type": "service_account", "private_key": "canary-key"}, {"type": "canary-x"}]
)
def test_credentials_that_are_none_are_told_and_not_shown(
    emulator: GCSServer, credentials: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps(credentials))
    for options in (
        GCSOptions(bucket="any", credentials=credentials),
        GCSOptions(bucket="any", credentials_file=str(file)),
    ):
        with pytest.raises(UsageError, match="credentials") as caught:
            open_storage(ConnectionInfo.from_options(options))
        assert "canary" not in "".join(traceback.format_exception_only(caught.value)) + repr(caught.value)


def test_blobs_are_named_typed_and_timed_as_kopia_does(emulator: GCSServer, options: GCSOptions) -> None:
    with GCSStorage(replace(options, prefix="a/b-")) as storage:
        storage.put(PACK, b"x", PutOptions(set_mtime_ns=1_234_567_890_123_456_789))
        assert storage.metadata(PACK).timestamp_ns == 1_234_567_890_123_456_789
        assert [blob.timestamp_ns for blob in storage.list()] == [1_234_567_890_123_456_789]
    url = f"{emulator.url}/storage/v1/b/{options.bucket}/o/a%2Fb-{PACK}"
    with urllib.request.urlopen(url) as answer:
        found = json.load(answer)
    assert (found["contentType"], found["metadata"]) == (
        "application/x-kopia",
        {"Kopia-Mtime": "1234567890123456789"},
    )


def test_a_connection_for_reading_writes_nothing(emulator: GCSServer, options: GCSOptions) -> None:
    with open_storage(ConnectionInfo.from_options(replace(options, read_only=True))) as storage:
        with pytest.raises(ReadOnlyStorageError):
            storage.put(PACK, b"x")
        assert list(storage.list()) == []


def test_a_bucket_without_versions_can_not_be_seen_as_it_was(emulator: GCSServer, options: GCSOptions) -> None:
    info = ConnectionInfo.from_options(replace(options, point_in_time="2026-01-01T00:00:00Z"))
    with pytest.raises(StorageError, match="keeps no versions"):
        open_storage(info)


def test_a_repository_in_a_bucket_gives_back_what_it_got(
    emulator: GCSServer, options: GCSOptions, tmp_path: Path
) -> None:
    info = ConnectionInfo.from_options(options)
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


def test_the_command_line_creates_and_connects(emulator: GCSServer, options: GCSOptions, tmp_path: Path) -> None:
    cli = Runner(tmp_path / "client")
    flags = ("gcs", "--bucket", options.bucket, "--prefix=cli/")
    cli.ok("repository", "create", *flags)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"data")
    cli.ok("snapshot", "create", str(tmp_path / "source"))
    cli.ok("repository", "disconnect")
    cli.ok("repository", "connect", *flags)
    cli.ok("snapshot", "verify", "--verify-files-percent=100")
    cli.ok("repository", "validate-provider", "--concurrency-test-duration=300ms", "--num-storage-connections=2")
