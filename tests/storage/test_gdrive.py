"""Google Drive, against a fake of its HTTP API: there is no server of it to run."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    PykopiaError,
    ReadOnlyStorageError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageError,
    StorageFullError,
    StorageNotFoundError,
    StorageUnavailableError,
    UsageError,
)
from pykopia.ids import BlobID
from pykopia.storage.backends.gdrive.options import GoogleDriveOptions
from pykopia.storage.backends.gdrive.storage import GoogleDriveStorage
from pykopia.storage.base import BlobStorage, Capacity, PutOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.registry import find
from pykopia.storage.retrying import RetryingStorage
from pykopia.testing.proxy import FaultyProxy
from pykopia.testing.storage_fault_tests import StorageFaultTests
from pykopia.testing.storage_tests import FORMAT, PACK, StorageTests
from tests.servers.drive import ACCESS_TOKEN, ACCOUNT, CLIENT_SECRET, REFRESH_TOKEN, DriveServer

SECRETS = (ACCESS_TOKEN, CLIENT_SECRET, REFRESH_TOKEN)


def opened(server: DriveServer, folder: str = "", **changes: Any) -> GoogleDriveStorage:  # noqa: ANN401
    options = server.options(folder or server.new_folder(), **changes)
    return GoogleDriveStorage(options, api_root=server.url, sleep=lambda _: None)


@pytest.fixture(autouse=True)
def _calm(fake_drive: DriveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # google-auth sends refresh tokens of users to Google alone
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{fake_drive.url}/token")
    fake_drive.errors.clear()
    fake_drive.requests.clear()
    fake_drive.lists_new_files = True


class TestFakeDrive(StorageTests):
    supports_do_not_recreate = True
    supports_set_mtime = True
    mtime_precision_ns = 1_000_000
    many_blobs = 350

    @pytest.fixture
    def storage(self, fake_drive: DriveServer) -> Iterator[BlobStorage]:
        with opened(fake_drive) as storage:
            yield storage


class TestFakeDriveWithFaults(StorageFaultTests):
    secrets = SECRETS

    @pytest.fixture
    def proxy(self, fake_drive: DriveServer) -> Iterator[FaultyProxy]:
        with FaultyProxy(fake_drive.host, fake_drive.port) as proxy:
            yield proxy

    @pytest.fixture
    def options(self, fake_drive: DriveServer) -> GoogleDriveOptions:
        return fake_drive.options(fake_drive.new_folder())

    @pytest.fixture
    def direct(self, fake_drive: DriveServer, options: GoogleDriveOptions) -> Iterator[BlobStorage]:
        with GoogleDriveStorage(options, api_root=fake_drive.url, sleep=lambda _: None) as storage:
            yield storage

    @pytest.fixture
    def storage(self, proxy: FaultyProxy, options: GoogleDriveOptions) -> Iterator[BlobStorage]:
        root = f"http://{proxy.host}:{proxy.port}"
        with GoogleDriveStorage(options, api_root=root, timeout=0.7, sleep=lambda _: None) as storage:
            yield storage


@pytest.mark.parametrize("kind", ["service_account", "authorized_user"])
def test_both_kinds_of_credentials_let_in_as_json_and_as_file(
    fake_drive: DriveServer, kind: str, tmp_path: Path
) -> None:
    credentials = getattr(fake_drive, kind)
    (tmp_path / "credentials.json").write_text(json.dumps(credentials))
    before = fake_drive.tokens_given
    for changes in (
        {"credentials": credentials},
        {"credentials": None, "credentials_file": f"{tmp_path}/credentials.json"},
    ):
        with opened(fake_drive, **changes) as storage:
            storage.put(PACK, b"hello")
            assert storage.get(PACK, 1, 3) == b"ell"
    assert fake_drive.tokens_given == before + 2  # once for each storage


def test_rejected_credentials_are_told_without_showing_them(fake_drive: DriveServer) -> None:
    wrong = "canary-wrong-token"
    for credentials in (
        {**fake_drive.authorized_user, "refresh_token": wrong},
        {**fake_drive.service_account, "client_email": "someone@else"},
    ):
        with pytest.raises(StorageAuthenticationError, match="does not take these credentials") as caught:
            opened(fake_drive, credentials=credentials)
        assert wrong not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "credentials",
    [
        {"type": "service_account"},
        {"type": "service_account", "client_email": "x", "token_uri": "y", "private_key": "canary no key"},
        {"type": "authorized_user", "client_secret": "canary"},
        {"type": "canary"},
        {},
        "canary",
        [],
    ],
)
def test_malformed_credentials_are_told_without_showing_them(fake_drive: DriveServer, credentials: object) -> None:
    with pytest.raises(UsageError) as caught:
        opened(fake_drive, credentials=credentials)
    assert "canary" not in str(caught.value)
    assert "the credentials of this connection" in str(caught.value)


def test_a_credentials_file_that_can_not_be_used_is_named(fake_drive: DriveServer, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"canary"')
    for path, words in ((tmp_path / "c.json", "malformed"), (tmp_path / "gone.json", "No such file")):
        with pytest.raises(UsageError, match=words) as caught:
            opened(fake_drive, credentials=None, credentials_file=str(path))
        assert str(path) in str(caught.value)
        assert "canary" not in str(caught.value)


def test_without_any_credentials_it_is_told_how_to_get_some(
    fake_drive: DriveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
    monkeypatch.setenv("CLOUDSDK_CONFIG", "/no/such/folder")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(UsageError, match="--credentials-file"):
        opened(fake_drive, credentials=None)


def test_an_unknown_folder_is_told_with_whom_to_share_it(fake_drive: DriveServer) -> None:
    with pytest.raises(StorageNotFoundError, match=f"no folder no-such-folder .* {ACCOUNT} may see.*--folder-id"):
        opened(fake_drive, "no-such-folder")
    folder = fake_drive.new_folder()
    with opened(fake_drive, folder) as storage:
        fake_drive.folders.discard(folder)
        for call in (lambda: storage.put(PACK, b"x"), lambda: storage.get(PACK), lambda: [*storage.list()]):
            with pytest.raises(StorageNotFoundError):
                call()


@pytest.mark.parametrize(
    ("status", "reason", "kind", "words"),
    [
        (403, "rateLimitExceeded", StorageUnavailableError, "rateLimitExceeded"),
        (403, "userRateLimitExceeded", StorageUnavailableError, "too many requests"),
        (429, "rateLimitExceeded", StorageUnavailableError, "429"),
        (403, "dailyLimitExceeded", StorageUnavailableError, "tomorrow"),
        (500, "backendError", StorageUnavailableError, "500"),
        (503, "", StorageUnavailableError, "503"),
        (403, "storageQuotaExceeded", StorageFullError, "shared drive"),
        (403, "insufficientFilePermissions", StorageAccessDeniedError, f"share the folder with {ACCOUNT}"),
        (403, "appNotAuthorizedToFile", StorageAccessDeniedError, "appNotAuthorizedToFile"),
        (400, "badRequest", StorageError, "badRequest"),
    ],
)
def test_what_the_service_refuses_is_told_by_its_own_name(
    fake_drive: DriveServer, status: int, reason: str, kind: type[PykopiaError], words: str
) -> None:
    with opened(fake_drive) as storage:
        storage.put(PACK, b"x")
        calls: tuple[Callable[[], object], ...] = (
            lambda: storage.get(PACK),
            lambda: storage.put(PACK, b"y"),
            lambda: storage.put(BlobID("p" + "1" * 40), b"y" * (6 << 20)),
            lambda: storage.delete(PACK),
            lambda: [*storage.list()],
        )
        for call in calls:
            fake_drive.errors[:] = [(status, reason)]
            with pytest.raises(kind) as caught:
                call()
            assert isinstance(caught.value, kind)
            assert words in str(caught.value)
            assert fake_drive.errors == []
        assert storage.get(PACK) == b"x"


def test_a_rate_limit_is_waited_out(fake_drive: DriveServer) -> None:
    with opened(fake_drive) as inner:
        storage = RetryingStorage(inner, sleep=lambda _: None)
        fake_drive.errors[:] = [(403, "userRateLimitExceeded"), (429, "rateLimitExceeded")] * 3
        storage.put(PACK, b"x")
        assert storage.get(PACK) == b"x"
        assert len(fake_drive.named(PACK)) >= 1


def test_an_expired_token_is_renewed(fake_drive: DriveServer) -> None:
    with opened(fake_drive) as storage:
        before = fake_drive.tokens_given
        fake_drive.errors[:] = [(401, "authError")]
        storage.put(PACK, b"x")
        assert fake_drive.tokens_given == before + 1


def test_a_name_is_looked_up_once(fake_drive: DriveServer) -> None:
    folder = fake_drive.new_folder()
    with opened(fake_drive, folder) as storage:
        storage.put(PACK, b"x")
        fake_drive.requests.clear()
        storage.get(PACK)
        storage.get(PACK, 0, 1)
        storage.put(PACK, b"y")
        assert [method for method, _ in fake_drive.requests] == ["GET", "GET", "PATCH"]
        assert not [path for _, path in fake_drive.requests if "q=" in path]
        storage.flush_caches()
        fake_drive.requests.clear()
        assert storage.get(PACK) == b"y"
        assert len(fake_drive.requests) == 2
    with opened(fake_drive, folder) as storage:
        assert [blob.blob_id for blob in storage.list()] == [PACK]
        fake_drive.requests.clear()
        storage.get(PACK)
        assert len(fake_drive.requests) == 1  # the listing told the ID


def test_replacing_keeps_one_file(fake_drive: DriveServer) -> None:
    with opened(fake_drive) as storage:
        name = BlobID("p" + "2" * 40)
        for content in (b"1", b"x" * (6 << 20), b"3"):
            storage.put(name, content)
            assert storage.get(name) == content
        assert len(fake_drive.named(name)) == 1


def test_two_files_of_one_name_are_an_error_and_nothing_is_touched(fake_drive: DriveServer) -> None:
    folder = fake_drive.new_folder()
    name = BlobID("kopia.maintenance")
    with opened(fake_drive, folder) as storage:
        storage.put(name, b"x")
        [file] = [file for file in fake_drive.named(name) if file.parent == folder]
        fake_drive.files["twin"] = type(file)(**{**vars(file), "id": "twin"})
    with opened(fake_drive, folder) as storage:
        for call in (lambda: storage.get(name), lambda: storage.put(name, b"y"), lambda: storage.delete(name)):
            with pytest.raises(StorageError, match="2 files with this name") as caught:
                call()
            assert not caught.value.temporary
        assert [blob.blob_id for blob in storage.list()] == [name]
    assert {file.content for file in fake_drive.named(name) if file.parent == folder} == {b"x"}


def test_what_listings_do_not_show_yet_is_added(fake_drive: DriveServer) -> None:
    folder = fake_drive.new_folder()
    with opened(fake_drive, folder) as storage:
        fake_drive.lists_new_files = False
        storage.put(PACK, b"123")
        assert [(blob.blob_id, blob.length) for blob in storage.list()] == [(PACK, 3)]
        assert [blob.blob_id for blob in storage.list("p1")] == [PACK]
        assert [*storage.list("q")] == []
        storage.put(PACK, b"4567")
        assert storage.get(PACK) == b"4567"
        [file] = [file for file in fake_drive.files.values() if file.parent == folder]
        file.listed = True
        storage.delete(PACK)
        fake_drive.files[file.id] = file  # listings show it for a while
        assert [*storage.list()] == []
        with pytest.raises(BlobNotFoundError):
            storage.get(PACK)
        del fake_drive.files[file.id]


def test_a_name_that_is_not_found_is_looked_up_again(fake_drive: DriveServer) -> None:
    folder = fake_drive.new_folder()
    fake_drive.lists_new_files = False
    with opened(fake_drive, folder) as writer:
        writer.put(FORMAT, b"x")

    def shown_later(_: float) -> None:
        for file in fake_drive.files.values():
            file.listed = True

    with GoogleDriveStorage(fake_drive.options(folder), api_root=fake_drive.url, sleep=shown_later) as reader:
        assert reader.get(FORMAT) == b"x"


def test_a_file_that_another_client_replaced_or_deleted_is_found_again(fake_drive: DriveServer) -> None:
    folder = fake_drive.new_folder()
    with opened(fake_drive, folder) as first, opened(fake_drive, folder) as second:
        first.put(PACK, b"1")
        second.delete(PACK)
        second.put(PACK, b"2")
        assert first.get(PACK) == b"2"
        assert first.metadata(PACK).length == 1
        second.delete(PACK)
        for call in (lambda: first.get(PACK), lambda: first.metadata(PACK)):
            with pytest.raises(BlobNotFoundError):
                call()
        second.put(PACK, b"3")
        second.delete(PACK)
        first.put(PACK, b"4")
        assert second.get(PACK) == b"4"


def test_of_two_clients_that_create_a_blob_the_younger_takes_it_back(
    fake_drive: DriveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake_drive.new_folder()
    with opened(fake_drive, folder) as first, opened(fake_drive, folder) as second:
        fake_drive.lists_new_files = False
        first.put(FORMAT, b"first", PutOptions(do_not_recreate=True))
        [file] = [file for file in fake_drive.files.values() if file.parent == folder]
        file.created -= 1000
        upload = second._upload

        def race(*arguments: Any) -> dict[str, Any]:  # noqa: ANN401
            found = upload(*arguments)
            for each in fake_drive.files.values():
                each.listed = True
            return found

        monkeypatch.setattr(second, "_upload", race)
        with pytest.raises(BlobExistsError):
            second.put(FORMAT, b"second", PutOptions(do_not_recreate=True))
        assert second.get(FORMAT) == b"first"
        assert [blob.blob_id for blob in first.list()] == [FORMAT]


def test_files_of_others_in_the_folder_are_no_blobs(fake_drive: DriveServer) -> None:
    folder = fake_drive.new_folder()
    with opened(fake_drive, folder) as storage:
        storage.put(PACK, b"x")
        [file] = [file for file in fake_drive.files.values() if file.parent == folder]
        others: tuple[dict[str, Any], ...] = (
            {"mime_type": "text/plain"},
            {"trashed": True},
            {"name": "umläut"},
            {"name": "a/b"},
            {"parent": "other"},
        )
        for number, changes in enumerate(others):
            fake_drive.files[f"other-{number}"] = type(file)(**{**vars(file), "id": f"other-{number}", **changes})
        assert [blob.blob_id for blob in storage.list()] == [PACK]


def test_a_quota_is_the_capacity(fake_drive: DriveServer) -> None:
    with opened(fake_drive) as storage:
        assert storage.capacity() == Capacity(size=1_000_000, free=600_000)
        fake_drive.quota = {"usage": "5"}
        assert storage.capacity() is None
        fake_drive.quota = {"limit": "5", "usage": "7"}
        assert storage.capacity() == Capacity(size=5, free=0)


def test_reading_rights_alone_refuse_writes(fake_drive: DriveServer) -> None:
    with opened(fake_drive, read_only=True) as storage:
        assert storage.read_only
        with pytest.raises(ReadOnlyStorageError):
            storage.put(PACK, b"x")


def test_what_is_no_drive_is_told(fake_drive: DriveServer) -> None:
    with FaultyProxy(fake_drive.host, fake_drive.port) as proxy:
        for body in (b"<html>Welcome", b"[]"):
            proxy.answer(200, times=-1, body=body)
            with pytest.raises(StorageUnavailableError, match="did not answer as Google Drive does"):
                GoogleDriveStorage(
                    fake_drive.options(fake_drive.new_folder()), api_root=f"http://127.0.0.1:{proxy.port}"
                )


def test_authorities_that_make_no_sense_are_refused(fake_drive: DriveServer) -> None:
    with pytest.raises(UsageError, match="rootCA"):
        opened(fake_drive, root_ca=b"no certificate")


def test_no_secret_is_in_a_repr_or_in_what_libraries_log(
    fake_drive: DriveServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), opened(fake_drive, credentials=fake_drive.authorized_user) as storage:
        storage.put(PACK, b"x" * (6 << 20))
        shown = repr(storage) + repr(storage.options) + repr(storage.connection_info()) + storage.display_name
    for text in (shown, caplog.text):
        for secret in SECRETS:
            assert secret not in text


def test_it_is_known_by_its_type_and_gives_its_connection_back(fake_drive: DriveServer) -> None:
    assert find("gdrive").opener.endswith(":GoogleDriveStorage.from_options")
    with opened(fake_drive) as storage:
        assert storage.connection_info() == ConnectionInfo.from_options(storage.options)
