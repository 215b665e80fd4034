"""Backblaze B2 against the simulator of its SDK: in this process, without HTTP."""

import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from b2sdk.v3 import FakeResponse
from b2sdk.v3 import exception as b2

import pykopia
from pykopia.errors import (
    BlobNotFoundError,
    InvalidRangeError,
    PykopiaError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageBusyError,
    StorageError,
    StorageFullError,
    StorageNotFoundError,
    StorageUnavailableError,
)
from pykopia.storage.backends.b2.storage import B2Storage
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.storage.registry import find
from pykopia.storage.retrying import RetryingStorage
from pykopia.testing.storage_tests import PACK, StorageTests
from tests.cli_runner import Runner
from tests.servers.b2 import Service
from tests.trees import assert_trees_equal, changing_tree


@pytest.fixture
def service() -> Service:
    return Service()


class TestSimulator(StorageTests):
    supports_set_mtime = True
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
        (b2.ServiceError("503"), StorageBusyError),
        (b2.ServiceError("500 internal_error"), StorageUnavailableError),
        (b2.TooManyRequests(retry_after_seconds=1), StorageBusyError),
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

        for name in ("upload", "hide_file"):
            monkeypatch.setattr(storage._client.bucket, name, fail)
        calls: tuple[Callable[[], object], ...] = (lambda: storage.put(PACK, b"x"), lambda: storage.delete(PACK))
        for call in calls:
            with pytest.raises(PykopiaError) as caught:
                call()
            assert type(caught.value) is kind
            assert caught.value.temporary == issubclass(kind, StorageUnavailableError)


def test_a_put_is_one_upload_however_large_the_blob_and_the_limit_of_parts_small(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulator recommends parts of 200 bytes."""
    for name in ("start_large_file", "upload_part"):
        monkeypatch.setattr(service.simulator, name, None)
    with service.open() as storage:
        for data in (b"", bytes(200), bytes(7 << 20)):
            storage.put(PACK, data)
            assert storage.get(PACK) == data
    assert [*service.api.get_bucket_by_name("backups").list_unfinished_large_files()] == []


def test_an_upload_that_fails_is_tried_again_and_given_up_without_a_trace(service: Service) -> None:
    with RetryingStorage(service.open(), sleep=lambda _: None) as storage:
        storage.put(PACK, b"old")
        service.simulator.set_upload_errors(
            [b2.ServiceError("503"), b2.B2ConnectionError("reset"), b2.B2RequestTimeout()]
        )
        storage.put(PACK, b"new")
        assert storage.get(PACK) == b"new"
        service.simulator.set_upload_errors([b2.ServiceError("503") for _ in range(100)])
        with pytest.raises(StorageUnavailableError, match="try again later"):
            storage.put(PACK, b"never")
        assert storage.get(PACK) == b"new"
        service.simulator.upload_errors.clear()
        service.simulator.set_upload_errors([b2.StorageCapExceeded()])
        with pytest.raises(StorageFullError):
            storage.put(PACK, b"too much")
        assert storage.get(PACK) == b"new"


class _CutOff:
    """An answer that ends in the middle, so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left, self._whole = times, FakeResponse.iter_content
        monkeypatch.setattr(FakeResponse, "iter_content", lambda answer, size: self._iterate(answer, size))

    def _iterate(self, answer: FakeResponse, size: int) -> Iterator[bytes]:
        pieces = self._whole(answer, size)
        if self.left:
            self.left -= 1
            yield next(pieces)[:3]
            raise requests.exceptions.ChunkedEncodingError("Connection broken: IncompleteRead")
        yield from pieces


def test_an_answer_that_is_cut_off_is_asked_for_again_and_no_part_is_given(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    with RetryingStorage(service.open(), sleep=pauses.append, chance=lambda: 0) as storage:
        storage.put(PACK, b"0123456789")
        _CutOff(monkeypatch, 2)
        assert storage.get(PACK, 2, 5) == b"23456"
        assert pauses == pytest.approx([0.1, 0.15])
        _CutOff(monkeypatch, 1000)
        with pytest.raises(StorageUnavailableError, match="check the network"):
            storage.get(PACK)


def test_a_session_that_ends_is_begun_again(service: Service) -> None:
    with service.open() as storage:
        storage.put(PACK, b"x")
        for call in (lambda: storage.get(PACK), lambda: storage.metadata(PACK), lambda: storage.put(PACK, b"x")):
            service.simulator.expire_auth_token(storage._client.api.account_info.get_account_auth_token())
            call()


def test_what_the_sdk_finds_wrong_by_itself_is_no_wrong_range(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service.open() as storage:
        storage.put(PACK, b"x")

        def fail(*_: object, **__: object) -> None:
            raise ValueError("no such thing")

        monkeypatch.setattr(storage._client.api.session, "download_file_from_url", fail)
        with pytest.raises(StorageError, match="ValueError: no such thing") as caught:
            storage.get(PACK)
        assert not isinstance(caught.value, InvalidRangeError)


def test_a_forked_process_has_a_client_of_its_own(service: Service) -> None:
    """The SDK's threads are not there after a fork: an upload by them would never end."""
    with service.open() as storage:
        storage.put(PACK, b"x")
        parents = storage._client
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking a process with threads
            child = os.fork()
        if child == 0:
            signal.alarm(20)
            storage.put(PACK, b"of the child")  # in its own copy of the simulator
            ok = storage.get(PACK) == b"of the child" and storage._client is not parents
            storage.close()
            os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert storage._client is parents
        assert storage.get(PACK) == b"x"


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
    assert find("b2").opener.endswith("B2Storage.from_options")
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


def test_the_command_line_creates_connects_and_checks_the_provider(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process: the simulator takes the place of the SDK's connection."""
    monkeypatch.setattr("pykopia.storage.backends.b2.storage._configuration", lambda *_: service.config)
    cli = Runner(tmp_path / "client", environment={"B2_KEY_ID": service.key_id, "B2_KEY": service.key})
    flags = ("b2", "--bucket=backups", "--prefix=cli/")
    cli.ok("repository", "create", *flags)
    changing_tree(tmp_path / "source", 0)
    cli.ok("snapshot", "create", str(tmp_path / "source"))
    cli.ok("repository", "disconnect")
    cli.ok("repository", "connect", *flags)
    cli.ok("snapshot", "verify", "--verify-files-percent=100")
    [snapshot] = cli.ok("snapshot", "list", "--json").json
    cli.ok("snapshot", "restore", snapshot["id"], str(tmp_path / "restored"))
    assert_trees_equal(tmp_path / "source", tmp_path / "restored")
    cli.ok("repository", "validate-provider", "--concurrency-test-duration=300ms", "--num-storage-connections=2")
    told = cli.ok("repository", "status")
    assert service.key not in told.stdout + told.stderr
    wrong = cli.fails("repository", "connect", *flags, B2_KEY="canary-wrong-key")
    assert "check key ID and key" in wrong.stderr
    assert "canary-wrong-key" not in wrong.stderr
