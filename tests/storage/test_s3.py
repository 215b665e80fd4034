"""S3 against real servers: SeaweedFS and versitygw, without and with TLS."""

import itertools
import os
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

import pykopia
from pykopia.errors import (
    BlobNotFoundError,
    PykopiaError,
    ReadOnlyStorageError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageError,
    StorageNotFoundError,
    StorageUnavailableError,
    UnsupportedOptionError,
    UntrustedServerError,
)
from pykopia.ids import BlobID
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.backends.s3.storage import S3Storage
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_storage
from pykopia.testing.proxy import FaultyProxy
from pykopia.testing.storage_fault_tests import StorageFaultTests
from pykopia.testing.storage_tests import FORMAT, PACK, StorageTests
from tests.cli_runner import Runner
from tests.servers.s3 import SECRET_KEY, S3Server, admin
from tests.trees import assert_trees_equal, changing_tree

_numbers = itertools.count()
_DAY_NS = 86_400_000_000_000


def new_bucket(server: S3Server, *, locked: bool = False, versioned: bool = False) -> S3Options:
    """Return the options of a new, empty bucket."""
    bucket = f"bucket-{os.getpid()}-{next(_numbers)}"
    fs = admin(server)
    fs.call_s3("create_bucket", Bucket=bucket, **({"ObjectLockEnabledForBucket": True} if locked else {}))
    if versioned:
        fs.call_s3("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return S3Options(
        bucket=bucket,
        endpoint=server.endpoint,
        do_not_use_tls=server.certificates is None,
        root_ca=server.certificates.authority.read_bytes() if server.certificates else b"",
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
    )


class S3Tests(StorageTests):
    """What every server must do; a class has a bucket, a test a folder in it."""

    server: ClassVar[str]
    locked: ClassVar[bool] = False
    supports_do_not_recreate = True
    mtime_precision_ns = 1_000_000_000
    many_blobs = 100
    big_blob = 1 << 20

    @pytest.fixture(scope="class")
    @classmethod
    def bucket(cls, request: pytest.FixtureRequest) -> S3Options:
        return new_bucket(request.getfixturevalue(cls.server), locked=cls.locked)

    @pytest.fixture
    def storage(self, bucket: S3Options) -> Iterator[BlobStorage]:
        with S3Storage(replace(bucket, prefix=f"folder{next(_numbers)}/")) as storage:
            yield storage


class TestSeaweedFSWithTLS(S3Tests):
    """With object lock, and many pages of a listing."""

    server = "seaweedfs_tls"
    locked = supports_retention = True
    odd_ids = tuple(name for name in StorageTests.odd_ids if "\\" not in name)  # this server makes a slash of it

    @pytest.fixture(autouse=True)
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(S3Storage, "page_size", 7)


class TestVersitygw(S3Tests):
    """Without TLS and locks, and with sizes as they are in earnest."""

    server = "versitygw"
    many_blobs = StorageTests.many_blobs
    big_blob = StorageTests.big_blob

    def refused(self, storage: BlobStorage, options: PutOptions) -> None:
        """Check that puts with ``options`` are refused; this server answers so, and keeps the object all the same."""
        with pytest.raises(UnsupportedOptionError):
            storage.put(PACK, b"x", options)


class S3FaultTests(StorageFaultTests):
    server: ClassVar[str]
    secrets = (SECRET_KEY,)

    @pytest.fixture(scope="class")
    @classmethod
    def bucket(cls, request: pytest.FixtureRequest) -> S3Options:
        return replace(new_bucket(request.getfixturevalue(cls.server)), prefix=f"folder{next(_numbers)}/")

    @pytest.fixture
    def options(self, bucket: S3Options) -> S3Options:
        return replace(bucket, prefix=f"folder{next(_numbers)}/")

    @pytest.fixture
    def proxy(self, options: S3Options) -> Iterator[FaultyProxy]:
        host, _, port = options.endpoint.partition(":")
        with FaultyProxy(host, int(port)) as proxy:
            yield proxy

    @pytest.fixture
    def direct(self, options: S3Options) -> Iterator[BlobStorage]:
        with S3Storage(options) as storage:
            yield storage

    @pytest.fixture
    def storage(
        self, proxy: FaultyProxy, options: S3Options, direct: BlobStorage, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[BlobStorage]:
        for name, value in (("ANSWER_SECONDS", 0.7), ("CONNECT_SECONDS", 0.7)):
            monkeypatch.setattr(f"pykopia.storage.backends.s3.storage.{name}", value)
        with S3Storage(replace(options, endpoint=f"{proxy.host}:{proxy.port}")) as storage:
            yield storage


class TestSeaweedFSWithFaults(S3FaultTests):
    server = "seaweedfs"


class TestVersitygwTLSWithFaults(S3FaultTests):
    server = "versitygw_tls"
    speaks_http = False


# ---------------------------------------------------------------------- opening, and what can be wrong with it


@pytest.fixture
def cli(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "client")


@pytest.fixture
def options(versitygw: S3Server) -> S3Options:
    return new_bucket(versitygw)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"secret_access_key": "canary-wrong-secret"}, StorageAuthenticationError, "SignatureDoesNotMatch"),
        ({"access_key_id": "canary-nobody"}, StorageAuthenticationError, "(InvalidAccessKeyId|XAdminUserNotFound)"),
        ({"bucket": "no-such-bucket-here"}, StorageNotFoundError, "NoSuchBucket"),
        ({"do_not_use_tls": False}, StorageError, "does not speak TLS; if it speaks plain HTTP, .*--disable-tls"),
        ({"endpoint": "127.0.0.1:1"}, StorageUnavailableError, "127.0.0.1:1"),
        ({"endpoint": "no-such-host.invalid"}, StorageUnavailableError, "no-such-host.invalid can't be resolved"),
    ],
)
def test_what_can_not_be_opened_is_told_apart(
    options: S3Options, changes: dict[str, Any], kind: type[PykopiaError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        S3Storage(replace(options, **changes)).close()
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "canary-wrong-secret" not in told
    assert SECRET_KEY not in told


def test_a_server_of_an_unknown_authority_is_not_trusted_unless_that_is_wanted(versitygw_tls: S3Server) -> None:
    options = new_bucket(versitygw_tls)
    with pytest.raises(UntrustedServerError, match="--root-ca-pem-path"):
        S3Storage(replace(options, root_ca=b"")).close()
    with S3Storage(replace(options, root_ca=b"", do_not_verify_tls=True)) as storage:
        storage.put(PACK, b"x")
    with S3Storage(options) as storage:
        assert storage.get(PACK) == b"x"


def test_credentials_of_the_environment_are_used_when_none_are_given(
    options: S3Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = replace(options, access_key_id="", secret_access_key="")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(StorageAccessDeniedError, match="no credentials"):
        S3Storage(bare).close()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", options.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", options.secret_access_key)
    with S3Storage(bare) as storage:
        storage.put(PACK, b"x")


def test_a_profile_is_used(options: S3Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[mine]\naws_access_key_id={options.access_key_id}\naws_secret_access_key={options.secret_access_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    with S3Storage(replace(options, access_key_id="", secret_access_key="")) as storage:
        storage.put(PACK, b"x")


# ---------------------------------------------------------------------- what Kopia does with a bucket


def test_objects_are_named_by_prefix_and_blob_and_typed_as_kopia_does(versitygw: S3Server, options: S3Options) -> None:
    with S3Storage(replace(options, prefix="a/b-")) as storage:
        storage.put(PACK, b"x")
    found = admin(versitygw).call_s3("head_object", Bucket=options.bucket, Key=f"a/b-{PACK}")
    assert found["ContentType"] == "application/x-kopia"
    with S3Storage(replace(options, prefix="a/")) as storage:
        assert [blob.blob_id for blob in storage.list()] == [f"b-{PACK}"]


def test_storage_classes_are_those_that_the_bucket_tells(seaweedfs: S3Server) -> None:
    options = new_bucket(seaweedfs)
    fs = admin(seaweedfs)
    config = b'{"blobOptions":[{"prefix":"p","storageClass":"STANDARD_IA"},{"prefix":"","storageClass":"GLACIER_IR"}]}'
    fs.call_s3("put_object", Bucket=options.bucket, Key="f/.storageconfig", Body=config)
    with S3Storage(replace(options, prefix="f/")) as storage:
        storage.put(PACK, b"x")
        storage.put(FORMAT, b"x")
        assert {blob.blob_id for blob in storage.list()} == {PACK, FORMAT}
    with S3Storage(replace(options, prefix="g/")) as storage:
        storage.put(PACK, b"x")
    kept = {
        key: fs.call_s3("head_object", Bucket=options.bucket, Key=key).get("StorageClass", "STANDARD")
        for key in (f"f/{PACK}", f"f/{FORMAT}", f"g/{PACK}")
    }
    assert kept == {f"f/{PACK}": "STANDARD_IA", f"f/{FORMAT}": "GLACIER_IR", f"g/{PACK}": "STANDARD"}
    fs.call_s3("put_object", Bucket=options.bucket, Key="f/.storageconfig", Body=b"{]")
    with pytest.raises(StorageError, match="storageconfig"):
        S3Storage(replace(options, prefix="f/")).close()


def test_a_locked_blob_outlives_its_deletion(seaweedfs_tls: S3Server) -> None:
    options = new_bucket(seaweedfs_tls, locked=True)
    with S3Storage(options) as storage:
        storage.put(PACK, b"x", PutOptions(retention_mode="GOVERNANCE", retention_period_ns=2 * _DAY_NS))
        fs = admin(seaweedfs_tls)
        [version] = fs.call_s3("list_object_versions", Bucket=options.bucket)["Versions"]
        with pytest.raises(OSError, match=r"(?i)denied|lock"):
            fs.call_s3("delete_object", Bucket=options.bucket, Key=PACK, VersionId=version["VersionId"])
        until = fs.call_s3("get_object_retention", Bucket=options.bucket, Key=PACK)["Retention"]["RetainUntilDate"]
        storage.extend_retention(PACK, "GOVERNANCE", 4 * _DAY_NS)
        later = fs.call_s3("get_object_retention", Bucket=options.bucket, Key=PACK)["Retention"]["RetainUntilDate"]
        assert 1.9 < (later - until).total_seconds() / 86_400 < 2.1


def test_a_bucket_with_versions_is_seen_as_it_was(seaweedfs_tls: S3Server) -> None:
    options = new_bucket(seaweedfs_tls, versioned=True)
    with S3Storage(options) as storage:
        storage.put(FORMAT, b"first")
        storage.put(PACK, b"deleted later")
        then = max(blob.timestamp_ns for blob in storage.list()) + 500_000_000
        while storage.metadata(FORMAT).timestamp_ns < then + 1_600_000_000:  # the service's times are whole seconds
            storage.put(FORMAT, b"first")
        storage.put(FORMAT, b"second")
        storage.delete(PACK)
        storage.put(BlobID("q1"), b"new")
    moment = datetime.fromtimestamp(then / 1e9, UTC).isoformat()
    info = ConnectionInfo.from_options(replace(options, point_in_time=moment))
    with open_storage(info) as past:
        assert {blob.blob_id for blob in past.list()} == {FORMAT, PACK}
        assert (past.get(FORMAT), past.get(PACK, 8, 5)) == (b"first", b"later")
        with pytest.raises(BlobNotFoundError):
            past.get(BlobID("q1"))
        with pytest.raises(ReadOnlyStorageError):
            past.put(PACK, b"x")


def test_a_bucket_without_versions_can_not_be_seen_as_it_was(options: S3Options) -> None:
    info = ConnectionInfo.from_options(replace(options, point_in_time="2026-01-01T00:00:00Z"))
    with pytest.raises(StorageError, match="keeps no versions"):
        open_storage(info)


def test_a_forked_process_has_connections_of_its_own(options: S3Options) -> None:
    with S3Storage(options) as storage:
        storage.put(PACK, b"x")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking a process with threads
            child = os.fork()
        if child == 0:
            os._exit(0 if storage.get(PACK) == b"x" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert storage.get(PACK) == b"x"


# ---------------------------------------------------------------------- repositories


@pytest.mark.parametrize("server", ["seaweedfs", "versitygw_tls"])
def test_a_repository_in_a_bucket_gives_back_what_it_got(
    server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    options = replace(new_bucket(request.getfixturevalue(server)), prefix="backups/")
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


def test_the_command_line_creates_and_connects(cli: Runner, versitygw_tls: S3Server, tmp_path: Path) -> None:
    options = new_bucket(versitygw_tls)
    authority = tmp_path / "ca.pem"
    authority.write_bytes(options.root_ca)
    flags = (
        "s3", "--bucket", options.bucket, "--endpoint", options.endpoint, "--prefix=r/", "--access-key",
        options.access_key_id, "--secret-access-key", options.secret_access_key, "--root-ca-pem-path", str(authority),
    )  # fmt: skip
    cli.ok("repository", "create", *flags)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"data")
    cli.ok("snapshot", "create", str(tmp_path / "source"))
    token = cli.ok("repository", "status", "--reconnect-token", "--reconnect-token-with-password").stdout
    cli.ok("repository", "disconnect")
    cli.ok("repository", "connect", *flags)
    cli.ok("snapshot", "verify", "--verify-files-percent=100")
    cli.ok("repository", "validate-provider", "--num-storage-connections=2", "--concurrency-test-duration=200ms")
    status = cli.ok("repository", "status")
    assert options.secret_access_key not in status.stdout + status.stderr
    assert "connect from-config --token" in token
