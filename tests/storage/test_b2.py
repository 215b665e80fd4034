"""Backblaze B2 against the simulator of its SDK: in this process, without HTTP."""

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from b2sdk.v3 import exception as b2

import pykopia
from pykopia.errors import (
    BlobNotFoundError,
    PykopiaError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageError,
    StorageFullError,
    StorageNotFoundError,
    StorageUnavailableError,
)
from pykopia.storage.b2 import B2Storage
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.storage.opening import BACKENDS
from pykopia.testing.storage_tests import PACK, StorageTests
from tests.servers.b2 import Service
from tests.trees import assert_trees_equal, changing_tree


@pytest.fixture
def service() -> Service:
    return Service()


class TestSimulator(StorageTests):
    supports_set_mtime = True
    tests_atomicity = False  # the simulator shows a file before it has its bytes
    mtime_precision_ns = 1_000_000
    many_blobs = 100
    big_blob = 1 << 20
    odd_ids = tuple(name for name in StorageTests.odd_ids if "\\" not in name)  # B2 has no such names

    @pytest.fixture(autouse=True)
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(B2Storage, "page_size", 7)

    @pytest.fixture
    def storage(self, service: Service) -> Iterator[BlobStorage]:
        with service.open() as storage:
            yield storage


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"key": "canary-wrong-key"}, StorageAuthenticationError, "check key ID and key"),
        ({"key_id": "nobody"}, StorageAuthenticationError, "check key ID and key"),
        ({"bucket": "Backups"}, StorageNotFoundError, "matched exactly and are case-sensitive"),
    ],
)
def test_what_can_not_be_opened_is_told_apart(
    service: Service, changes: dict[str, str], kind: type[PykopiaError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        service.open(**changes)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "canary-wrong-key" not in told
    assert service.key not in told


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (b2.StorageCapExceeded(), StorageFullError),
        (b2.AccessDenied(), StorageAccessDeniedError),
        (b2.InvalidAuthToken("the key canary", "expired_auth_token"), StorageAuthenticationError),
        (b2.ServiceError("503"), StorageUnavailableError),
        (b2.TooManyRequests(retry_after_seconds=1), StorageUnavailableError),
        (b2.B2ConnectionError("reset"), StorageUnavailableError),
        (ConnectionResetError(104, "Connection reset by peer"), StorageUnavailableError),
        (b2.BadJson("odd"), StorageError),
    ],
)
def test_errors_of_the_service_are_told_apart(
    service: Service, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[PykopiaError]
) -> None:
    with service.open() as storage:

        def fail(*_: object, **__: object) -> None:
            raise error

        for name in ("upload_bytes", "hide_file"):
            monkeypatch.setattr(storage._bucket, name, fail)
        calls: tuple[Callable[[], object], ...] = (lambda: storage.put(PACK, b"x"), lambda: storage.delete(PACK))
        for call in calls:
            with pytest.raises(PykopiaError) as caught:
                call()
            assert type(caught.value) is kind
            assert caught.value.temporary == (kind is StorageUnavailableError)


def test_files_are_named_typed_and_timed_as_kopia_does(service: Service) -> None:
    with service.open(prefix="a/b-") as storage:
        storage.put(PACK, b"x", PutOptions(set_mtime_ns=1_234_567_890_123_456_789))
        assert storage.metadata(PACK).timestamp_ns == 1_234_567_890_123_456_789
        assert [blob.timestamp_ns for blob in storage.list()] == [1_234_567_890_123_456_789]
    [found] = service.api.session.list_file_names(service.api.get_bucket_by_name("backups").id_)["files"]
    assert found["fileName"] == f"a/b-{PACK}"
    assert (found["contentType"], found["fileInfo"]) == ("application/x-kopia", {"kopia-mtime": "1234567890123456789"})


def test_a_deleted_file_is_hidden_and_can_be_put_again(service: Service) -> None:
    with service.open() as storage:
        storage.put(PACK, b"one")
        storage.delete(PACK)
        assert list(storage.list()) == []
        for call in (lambda: storage.get(PACK), lambda: storage.metadata(PACK)):
            with pytest.raises(BlobNotFoundError):
                call()
        storage.put(PACK, b"two")
        assert storage.get(PACK) == b"two"


def test_a_repository_in_a_bucket_gives_back_what_it_got(service: Service, tmp_path: Path) -> None:
    assert BACKENDS["b2"].opener.endswith("B2Storage.from_options")
    changing_tree(tmp_path / "source", 0)
    with pykopia.create(service.open(), "password") as repository:
        repository.snapshots.create(tmp_path / "source")
    changing_tree(tmp_path / "source", 1)
    with pykopia.connect(service.open(), "password") as repository:
        snapshot = repository.snapshots.create(tmp_path / "source").manifest
        verified = repository.snapshots.verify(options=pykopia.VerifyOptions(files_percent=100))
        assert verified.errors == ()
        repository.snapshots.restore(snapshot.id, tmp_path / "restored")
    assert_trees_equal(tmp_path / "source", tmp_path / "restored")
