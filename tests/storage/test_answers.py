"""What the answers of servers and programs mean: answers that the servers of these tests never give."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncssh
import b2sdk.v3.exception as b2
import httpx
import pytest
import requests
from botocore.credentials import CredentialProvider, Credentials
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.session import Session
from fsspec.implementations.memory import MemoryFileSystem

from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    ConnectionFileError,
    InvalidRangeError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageBusyError,
    StorageClockError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    UnsupportedOptionError,
    UsageError,
    WrongServerError,
)
from pykopia.ids import BlobID
from pykopia.storage import opening, registry
from pykopia.storage.backends.azureblob import storage as azure_storage
from pykopia.storage.backends.azureblob.options import AzureBlobOptions
from pykopia.storage.backends.b2 import storage as b2_storage
from pykopia.storage.backends.b2.storage import B2Storage
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.backends.rclone.storage import explained
from pykopia.storage.backends.s3 import credentials
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.backends.s3.storage import S3Storage
from pykopia.storage.backends.sftp import storage as sftp_storage
from pykopia.storage.backends.sftp.options import SFTPOptions
from pykopia.storage.backends.sftp.storage import SFTPStorage
from pykopia.storage.backends.webdav.client import AnswerError, NegotiatedAuth
from pykopia.storage.backends.webdav.options import WebDAVOptions
from pykopia.storage.backends.webdav.storage import WebDAVStorage
from pykopia.storage.base import Capacity, StorageWrapper
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.environment import legacy_connections
from pykopia.storage.fsspec_storage import FsspecStorage
from pykopia.storage.object_store import ObjectStore
from pykopia.storage.opening import retry_schedule
from pykopia.storage.service_errors import connection_error, service_error
from pykopia.storage.storage_options import secret_options, with_options
from pykopia.storage.trust import tls_context
from tests.servers.b2 import Service

BLOB = BlobID("p1")


# --- rclone -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("complaint", "kind"),
    [
        ("RequestTimeTooSkewed: the difference is too large", StorageClockError),
        ("googleapi: Error 429: Rate Limit Exceeded", StorageBusyError),
        ("SlowDown: please reduce your request rate", StorageBusyError),
        ("write: no space left on device", StorageFullError),
        ("507 Insufficient Storage", StorageFullError),
        ("InvalidAccessKeyId: no such key", StorageAuthenticationError),
        ("couldn't fetch token: invalid_grant", StorageAuthenticationError),
        ("AccessDenied: 403 Forbidden", StorageAccessDeniedError),
    ],
)
def test_what_rclone_complains_about_becomes_an_error_of_its_kind(complaint: str, kind: type[StorageError]) -> None:
    found = explained(StorageUnavailableError("can't put: 500"), "put blob p1", f"{complaint}.")
    assert type(found) is kind
    assert str(found).startswith(f"can't put blob p1: rclone says: {complaint}; ")


def test_what_rclone_complains_about_for_unknown_reasons_is_added_to_the_answer() -> None:
    found = explained(StorageUnavailableError("can't put: 500"), "put blob p1", "something new")
    assert type(found) is StorageUnavailableError
    assert str(found) == "can't put: 500; rclone says: something new"
    missing = BlobNotFoundError(BLOB, "rclone")
    assert explained(missing, "get blob p1", "something new") is missing
    usage = UsageError("no such option")
    assert explained(usage, "get blob p1", "something new") is usage


@pytest.mark.parametrize(
    "answer", [BlobExistsError(BLOB, "rclone"), InvalidRangeError(BLOB, 5, 5), StorageFullError("full")]
)
def test_an_answer_that_says_what_it_is_needs_no_complaint(answer: Exception) -> None:
    assert explained(answer, "put blob p1", "403 Forbidden") is answer  # type: ignore[arg-type]
    other = StorageUnavailableError("can't put")
    assert explained(other, "put blob p1", "") is other


# --- SFTP -------------------------------------------------------------------------------------------------------------


class Unconnected(SFTPStorage):
    """Has no connection: answers are made up."""

    def __init__(self) -> None:
        self.options = SFTPOptions(path="/backups", host="nas", username="ann", known_hosts_data="nas ssh-rsa x")
        self._address, self._display_name = "nas:22", "SFTP: ann@nas:22/backups"
        self.given_up = 0
        self.room: Capacity | Exception | None = None

    def _give_up(self) -> None:
        self.given_up += 1

    def capacity(self) -> Capacity | None:
        if isinstance(self.room, Exception):
            raise self.room
        return self.room


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (asyncssh.SFTPPermissionDenied("no"), StorageAccessDeniedError, "permission denied for user ann on nas"),
        (asyncssh.SFTPWriteProtect("no"), StorageAccessDeniedError, "permission denied"),
        (asyncssh.SFTPNoSpaceOnFilesystem("disk full"), StorageFullError, "disk full"),
        (asyncssh.SFTPQuotaExceeded("your quota"), StorageFullError, "your quota"),
        (asyncssh.SFTPConnectionLost("reset"), StorageUnavailableError, "lost: reset"),
        (ConnectionResetError(104, "reset by peer"), StorageUnavailableError, "lost: reset by peer"),
        (asyncssh.SFTPEOFError(), InvalidRangeError, "p1"),
        (asyncssh.SFTPFailure("whatever"), StorageError, "the server answered whatever, to user ann on nas"),
        (asyncssh.SFTPFailure(""), StorageError, "the server answered SFTPFailure"),
    ],
)
def test_an_answer_of_an_sftp_server_becomes_an_error_of_its_kind(
    answer: Exception, kind: type[Exception], words: str
) -> None:
    storage = Unconnected()
    found = storage._error(answer, "get blob p1", BLOB)
    assert type(found) is kind
    assert words in str(found)
    assert storage.given_up == 0


def test_a_connection_that_does_not_answer_is_given_up() -> None:
    storage = Unconnected()
    found = storage._error(TimeoutError(), "get blob p1", BLOB)
    assert type(found) is StorageUnavailableError
    assert "nas:22 did not answer in time" in str(found)
    assert storage.given_up == 1


@pytest.mark.parametrize(
    ("room", "kind"),
    [
        (Capacity(size=10 << 30, free=4096), StorageFullError),
        (Capacity(size=10 << 30, free=5 << 20), StorageFullError),
        (Capacity(size=10 << 30, free=1 << 30), asyncssh.SFTPFailure),
        (None, asyncssh.SFTPFailure),
        (StorageUnavailableError("lost"), asyncssh.SFTPFailure),
    ],
)
def test_a_failed_put_is_a_full_disk_where_less_is_free_than_was_put(room: object, kind: type[Exception]) -> None:
    storage = Unconnected()
    storage.room = room  # type: ignore[assignment]
    assert type(storage._failure_of_put(asyncssh.SFTPFailure("failure"), 20 << 20)) is kind


class Channel:
    """An SFTP connection to a server that lacks some requests, or finds a name taken."""

    def __init__(self, files: dict[str, bytes], *, lacks: tuple[str, ...] = (), error: Exception | None = None) -> None:
        self.files, self._lacks, self._error = files, lacks, error

    async def posix_rename(self, old: str, new: str) -> None:
        if "posix_rename" in self._lacks:
            raise asyncssh.SFTPOpUnsupported("no such request")
        self.files[new] = self.files.pop(old)

    async def rename(self, old: str, new: str) -> None:
        if new in self.files:
            raise asyncssh.SFTPFailure("exists")
        self.files[new] = self.files.pop(old)

    async def link(self, old: str, new: str) -> None:
        if "link" in self._lacks:
            raise asyncssh.SFTPOpUnsupported("no such request")
        if self._error or new in self.files:
            raise self._error or asyncssh.SFTPFailure("exists")
        self.files[new] = self.files[old]

    async def exists(self, path: str) -> bool:
        return path in self.files


def drive(coroutine: Any) -> object:  # noqa: ANN401
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def test_a_server_without_a_rename_over_files_never_leaves_half_a_blob() -> None:
    whole = Channel({"t": b"new", "p": b"old"})
    drive(sftp_storage._replace(whole, "t", "p"))  # type: ignore[arg-type]
    assert whole.files == {"p": b"new"}
    poor = Channel({"t": b"new"}, lacks=("posix_rename",))
    drive(sftp_storage._replace(poor, "t", "p"))  # type: ignore[arg-type]
    assert poor.files == {"p": b"new"}
    taken = Channel({"t": b"new", "p": b"old"}, lacks=("posix_rename",))
    with pytest.raises(asyncssh.SFTPFailure):
        drive(sftp_storage._replace(taken, "t", "p"))  # type: ignore[arg-type]
    assert taken.files["p"] == b"old"


def test_a_name_that_is_taken_is_told_from_a_link_that_fails() -> None:
    free = Channel({"t": b"new"})
    drive(sftp_storage._link(free, "t", "p"))  # type: ignore[arg-type]
    assert free.files["p"] == b"new"
    with pytest.raises(sftp_storage._TakenError):
        drive(sftp_storage._link(Channel({"t": b"", "p": b""}), "t", "p"))  # type: ignore[arg-type]
    with pytest.raises(asyncssh.SFTPFailure, match="no links here"):
        drive(sftp_storage._link(Channel({"t": b""}, error=asyncssh.SFTPFailure("no links here")), "t", "p"))  # type: ignore[arg-type]
    with pytest.raises(UnsupportedOptionError, match=r"hardlink@openssh\.com"):
        drive(sftp_storage._link(Channel({"t": b""}, lacks=("link",)), "t", "p"))  # type: ignore[arg-type]


# --- WebDAV -----------------------------------------------------------------------------------------------------------


class Undialled(WebDAVStorage):
    """Has no server: answers are made up."""

    def __init__(self, *, user: str = "ann", quota: object = None) -> None:
        self.options = WebDAVOptions(url="https://nas/dav", username=user)
        self._address, self._user, self._proxy = "nas", user, ""
        self._display_name, self.root = "WebDAV: https://nas/dav", ""
        self._quota = quota

    @property
    def fs(self) -> Any:  # noqa: ANN401
        return self

    def quota(self, _path: str) -> object:
        if isinstance(self._quota, Exception):
            raise self._quota
        return self._quota


def answer(status: int, method: str = "PUT", **headers: str) -> AnswerError:
    request = httpx.Request(method, "https://nas/dav/p1")
    return AnswerError(method, httpx.Response(status, request=request, headers=headers))


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (httpx.InvalidURL("no"), StorageError, "its URL can't be used"),
        (httpx.UnsupportedProtocol("no"), StorageError, "its URL can't be used"),
        (httpx.ReadTimeout("slow"), StorageUnavailableError, "did not answer in time"),
        (httpx.ConnectError("refused"), StorageUnavailableError, "nas"),
        (answer(401), StorageAuthenticationError, "the password of user ann"),
        (answer(403), StorageAccessDeniedError, "forbids PUT to user ann"),
        (answer(405), UnsupportedOptionError, "WebDAV is switched on"),
        (answer(501, "MOVE"), UnsupportedOptionError, "--atomic-writes"),
        (answer(423), StorageUnavailableError, "another client may be at work"),
    ],
)
def test_an_answer_of_a_webdav_server_becomes_an_error_of_its_kind(
    given: Exception, kind: type[Exception], words: str
) -> None:
    found = Undialled()._error(given, "put blob p1", BLOB)
    assert type(found) is kind
    assert words in str(found)


def test_a_webdav_server_without_a_quota_tells_no_room() -> None:
    assert Undialled(quota=(10, 5)).capacity() == Capacity(size=15, free=5)
    assert Undialled(quota=None).capacity() is None
    for status in (400, 405, 422, 501):
        assert Undialled(quota=answer(status, "PROPFIND")).capacity() is None
    with pytest.raises(StorageAccessDeniedError):
        Undialled(quota=answer(403, "PROPFIND")).capacity()


# --- B2 ---------------------------------------------------------------------------------------------------------------


UNREACHABLE = b2_storage._ConnectionFailedError(requests.ConnectionError("no"), "https://b2.example/x")


@pytest.fixture
def b2_service() -> Service:
    return Service()


@pytest.mark.parametrize(
    ("given", "blob_id", "kind", "words"),
    [
        (b2.FileNotPresent(), BLOB, BlobNotFoundError, "p1"),
        (b2.UnsatisfiableRange(), BLOB, InvalidRangeError, "p1"),
        (b2.BadJson("<html>Sign in</html>"), None, WrongServerError, "Backblaze B2"),
        (UNREACHABLE, None, StorageUnavailableError, "b2.example"),
        (b2.TooManyRequests(retry_after_seconds=7), None, StorageBusyError, "try again later"),
    ],
)  # fmt: skip
def test_an_answer_of_b2_becomes_an_error_of_its_kind(
    b2_service: Service, given: Exception, blob_id: BlobID | None, kind: type[Exception], words: str
) -> None:
    with b2_service.open() as storage:
        found = storage._error(given, "get blob p1", blob_id)
    assert type(found) is kind
    assert words in str(found)


def test_a_forked_process_has_a_client_of_its_own_and_leaves_that_of_its_parent_open(
    b2_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with b2_service.open() as storage:
        parents = storage._client
        real = os.getpid()
        monkeypatch.setattr("os.getpid", lambda: real + 1)
        child = storage._client
        assert child is not parents
        assert child is storage._client
        closed: list[B2Storage] = []
        monkeypatch.setattr(parents.http, "close", lambda: closed.append(storage))
        storage.close()
        assert closed == []
        monkeypatch.undo()


# --- S3 ---------------------------------------------------------------------------------------------------------------


class Provider(CredentialProvider):  # type: ignore[misc]
    """Credentials as the SDK finds them in the environment."""

    METHOD = CANONICAL_NAME = "of-the-test"

    def __init__(self, found: Credentials | None) -> None:
        super().__init__()
        self._found = found

    def load(self) -> Credentials | None:
        return self._found


def session_with(*found: Credentials | None) -> Session:
    session = Session()
    resolver = session.get_component("credential_provider")
    resolver.providers[:] = [Provider(each) for each in found]
    return session


def test_a_role_is_taken_with_the_credentials_of_the_connection_or_the_first_that_are_found() -> None:
    role = S3Options(bucket="b", role_arn="arn:aws:iam::1:role/backup")
    context = tls_context(b"")

    def source(session: Session, options: S3Options) -> Credentials:
        credentials.add_role(session, options, context)
        own = session.get_component("credential_provider").providers[0]
        assert isinstance(own, credentials._RoleProvider)
        return own._source()

    given = S3Options(bucket="b", role_arn=role.role_arn, access_key_id="id", secret_access_key="secret")
    assert source(session_with(), given).access_key == "id"
    first, second = Credentials("first", "x"), Credentials("second", "x")
    assert source(session_with(None, first, second), role) is first
    with pytest.raises(NoCredentialsError):
        source(session_with(None), role)


def test_no_role_leaves_the_credentials_of_a_session_alone() -> None:
    session = session_with(None)
    before = list(session.get_component("credential_provider").providers)
    credentials.add_role(session, S3Options(bucket="b"), tls_context(b""))
    assert session.get_component("credential_provider").providers == before


# --- options beside a URL ---------------------------------------------------------------------------------------------


S3_CONNECTION = ConnectionInfo.from_options(S3Options(bucket="b"))


def test_options_join_those_of_a_connection() -> None:
    found = with_options(S3_CONNECTION, {"region": "eu-1", "prefix": "a/", "upload_bytes_per_second": 5.0})
    options = found.options()
    assert isinstance(options, S3Options)
    assert (options.bucket, options.region, options.prefix) == ("b", "eu-1", "a/")
    assert options.throttling.upload_bytes_per_second == 5


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"regoin": "eu-1"}, "can't have 'regoin'; the names are .*region"),
        ({"secret_access_key": 5}, "secret_access_key must be text, not a int"),
        ({"root_ca": "canary"}, "root_ca must be"),
        (["region"], "must be a dictionary, not a list"),
    ],
)
def test_options_that_a_connection_can_not_have_are_refused_without_their_value(options: Any, reason: str) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match=reason) as caught:
        with_options(S3_CONNECTION, options)
    assert "canary" not in str(caught.value)


def test_secrets_among_the_options_are_known() -> None:
    assert {"secret_access_key", "session_token"} <= secret_options(S3_CONNECTION)
    assert "bucket" not in secret_options(S3_CONNECTION)


# --- clouds -----------------------------------------------------------------------------------------------------------


class Failing(S3Storage):
    """Has no bucket: answers are made up."""

    def __init__(self) -> None:
        self.options = S3Options(bucket="b")
        self._display_name, self._secrets = "S3: b", ()

    def _check_root(self) -> None:
        """Let the bucket be there."""


def s3_answer(code: str, status: int) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": "words"},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}},
        },
        "GetObject",
    )


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", 404, BlobNotFoundError),
        ("404", 404, BlobNotFoundError),
        ("InvalidRange", 416, InvalidRangeError),
        ("SlowDown", 503, StorageBusyError),
        ("AccessDenied", 403, StorageAccessDeniedError),
    ],
)
def test_an_answer_of_s3_becomes_an_error_of_its_kind(code: str, status: int, kind: type[Exception]) -> None:
    found = Failing()._error(s3_answer(code, status), "get blob p1", BLOB)
    assert isinstance(found, kind)


def test_only_an_answer_about_locks_says_that_a_bucket_has_none() -> None:
    storage = Failing()
    assert storage._no_lock("p1", s3_answer("AccessDenied", 403)) is None
    found = storage._no_lock("p1", s3_answer("ObjectLockConfigurationNotFoundError", 404))
    assert isinstance(found, UnsupportedOptionError)
    assert isinstance(storage._no_lock("p1", s3_answer("InvalidRequest", 400)), UnsupportedOptionError)


def test_a_forked_process_has_a_filesystem_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[MemoryFileSystem] = []

    def make() -> MemoryFileSystem:
        made.append(MemoryFileSystem(skip_instance_cache=True))
        return made[-1]

    class Memory(ObjectStore):
        failures = (OSError,)

        def _head(self, blob_id: BlobID, key: str) -> Any:  # noqa: ANN401
            raise AssertionError(f"{blob_id} is asked for as {key}")

        def _pages(self, prefix: str) -> Any:  # noqa: ANN401
            raise AssertionError(f"{prefix} is listed")

    storage = Memory(make, "bucket", options=S3Options(bucket="bucket"), display_name="memory", checked=False)
    assert storage.fs is made[0]
    real = os.getpid()
    monkeypatch.setattr("os.getpid", lambda: real + 1)
    assert storage.fs is storage.fs is made[1]
    assert len(made) == 2


@pytest.mark.parametrize(
    ("domain", "address"),
    [
        ("", "account.blob.core.windows.net"),
        ("blob.example.com", "account.blob.example.com"),
        ("account.blob.example.com", "account.blob.example.com"),
        ("localhost:1/account", "localhost:1/account"),
        ("127.0.0.1:1", "127.0.0.1:1/account"),
    ],
)
def test_the_address_of_an_azure_account_is_its_domain_or_a_folder(domain: str, address: str) -> None:
    options = AzureBlobOptions(container="c", storage_account="account", storage_domain=domain)
    assert azure_storage._address(options) == address


@pytest.mark.parametrize(
    ("reason", "words"),
    [("Client sent an HTTP request to an HTTPS server.", "speaks nothing else"), ("something else", "something else")],
)
def test_an_endpoint_that_speaks_tls_alone_is_named_as_such(reason: str, words: str) -> None:
    assert words in str(service_error("list", status=400, code="", reason=reason))


def test_why_a_proxy_leads_nowhere_is_told() -> None:
    error = ConnectionError("Tunnel connection failed: 407 Proxy Authentication Required")
    found = connection_error("list", error, "h:443", untrusted="", no_tls="", proxy="http://ann:secret@proxy:1")
    assert "407" in str(found)
    assert "proxy:1" in str(found)
    assert "secret" not in str(found)


def test_a_login_that_nobody_can_give_is_not_given() -> None:
    request = httpx.Request("PUT", "https://nas/p1")

    def of(**headers: str) -> object:
        return NegotiatedAuth("ann", "secret")._of(httpx.Response(401, request=request, headers=headers))

    assert type(of(**{"www-authenticate": "Digest realm=x"})) is httpx.DigestAuth
    assert type(of(**{"www-authenticate": "Basic realm=x"})) is httpx.BasicAuth
    assert type(of()) is httpx.BasicAuth
    assert of(**{"www-authenticate": "Negotiate"}) is None


def test_folders_that_are_no_storages_are_none(tmp_path: Path) -> None:
    assert registry._of_folder("no-name") is None
    assert registry._of_folder("none_such") is None
    found = registry._of_folder("s3")
    assert found is not None
    assert found.command == "s3"


def test_a_connection_without_a_prefix_has_no_older_places() -> None:
    assert legacy_connections(ConnectionInfo.from_options(S3Options(bucket="b"))) == ()
    [older] = legacy_connections(ConnectionInfo.from_options(S3Options(bucket="b", prefix="a/")))
    assert older.config["prefix"] == "a"
    assert legacy_connections(ConnectionInfo(type="filesystem", config={"path": "/p", "prefix": "a/"})) == ()


# --- connections ------------------------------------------------------------------------------------------------------


def test_a_connection_with_a_nul_character_is_refused() -> None:
    with pytest.raises(ConnectionFileError, match="'path' has a NUL character"):
        ConnectionInfo.from_json({"type": "filesystem", "config": {"path": "/p\0q"}})


def test_how_long_a_busy_service_is_asked_must_be_a_duration() -> None:
    assert retry_schedule(S3Options(bucket="b", retry_for="2m")).patience == 120
    with pytest.raises(UsageError, match="'soon' is no duration"):
        retry_schedule(S3Options(bucket="b", retry_for="soon"))


class Looked(StorageWrapper):
    """Notes when it is looked at."""

    def __init__(self, notes: list[str], *, local: bool) -> None:
        super().__init__(MemoryStorage())
        self._notes, self._local = notes, local

    @property
    def is_local(self) -> bool:
        return self._local

    def check(self) -> None:
        self._notes.append("check")


def test_what_is_done_meanwhile_comes_after_a_look_that_takes_no_time() -> None:
    notes: list[str] = []
    opening._look(Looked(notes, local=True), lambda: notes.append("meanwhile"))
    assert notes == ["check", "meanwhile"]
    notes.clear()
    opening._look(Looked(notes, local=True), None)
    assert notes == ["check"]
    notes.clear()
    opening._look(Looked(notes, local=False), lambda: notes.append("meanwhile"))
    assert sorted(notes) == ["check", "meanwhile"]


def test_times_of_a_filesystem_are_those_of_an_archive_or_asked_for() -> None:
    class Asked(MemoryFileSystem):  # type: ignore[misc]
        def modified(self, path: str) -> datetime:
            if path == "untimed":
                raise NotImplementedError
            return datetime(2026, 1, 2, tzinfo=UTC)

    storage = FsspecStorage(Asked(skip_instance_cache=True), "/repository", create=True)
    zipped = storage._metadata(BLOB, {"name": "p1", "size": 3, "date_time": (2026, 1, 2, 3, 4, 5)})
    assert zipped.timestamp_ns == int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()) * 10**9
    for date in ({}, {"date_time": (1980, 0, 0, 0, 0, 0)}):
        asked = storage._metadata(BLOB, {"name": "p1", "size": 3, **date})
        assert asked.timestamp_ns == int(datetime(2026, 1, 2, tzinfo=UTC).timestamp()) * 10**9
    with pytest.raises(UnsupportedOptionError, match="does not tell"):
        storage._metadata(BLOB, {"name": "untimed", "size": 3})


def test_a_folder_that_is_listed_within_itself_is_passed_over() -> None:
    class Listing(MemoryFileSystem):  # type: ignore[misc]
        def ls(self, path: str, detail: bool = True, **more: Any) -> Any:  # noqa: ANN401
            own = {"name": path, "size": 0, "type": "directory"}
            return [own, *super().ls(path, detail, **more)]

    storage = FsspecStorage(Listing(skip_instance_cache=True), "/listed", create=True)
    storage.put(BLOB, b"x")
    assert [blob.blob_id for blob in storage.list()] == [BLOB]
