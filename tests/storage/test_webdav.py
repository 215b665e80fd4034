"""WebDAV, against Apache, WsgiDAV and rclone."""

import base64
import itertools
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from pykopia.errors import (
    BlobNotFoundError,
    InvalidRangeError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageError,
    StorageNotFoundError,
    UnsupportedOptionError,
    UntrustedServerError,
    UsageError,
    WrongServerError,
)
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.backends.webdav.client import DAVFileSystem, LendingTransport, PinnedContext
from pykopia.storage.backends.webdav.options import WebDAVOptions
from pykopia.storage.backends.webdav.storage import WebDAVStorage
from pykopia.storage.base import BlobStorage, Capacity
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_storage
from pykopia.storage.retrying import RetryingStorage
from pykopia.testing.proxy import FaultyProxy
from pykopia.testing.storage_fault_tests import StorageFaultTests
from pykopia.testing.storage_tests import FORMAT, PACK, StorageTests
from tests.servers.tls import make_certificates
from tests.servers.webdav import PASSWORD, USER, WebDAVServer, certificate_text

_numbers = itertools.count()


def new_folder() -> str:
    return f"repository-{next(_numbers)}"


# None of these servers keeps readers from the moment of a replacement: they answer 403, 404 or 500, or end early. The few
# blobs that are ever replaced are checked when they are read.


class TestApache(StorageTests):
    many_blobs = 120
    tests_atomicity = False

    @pytest.fixture
    def storage(self, apache: WebDAVServer) -> Iterator[BlobStorage]:
        with WebDAVStorage(apache.options(new_folder()), create=True) as storage:
            yield storage


@pytest.mark.slow  # another way to a storage that is tested above
class TestApacheWithAtomicWrites(StorageTests):
    many_blobs = 120
    tests_atomicity = False
    big_blob = 1 << 20

    @pytest.fixture
    def storage(self, apache: WebDAVServer) -> Iterator[BlobStorage]:
        with WebDAVStorage(apache.options(new_folder(), atomic_writes=True), create=True) as storage:
            yield storage


class TestWsgiDAV(StorageTests):
    tests_atomicity = False
    many_blobs = 120
    odd_ids = tuple(name for name in StorageTests.odd_ids if "?" not in name)  # it cuts the target of a MOVE there

    @pytest.fixture
    def storage(self, wsgidav: WebDAVServer) -> Iterator[BlobStorage]:
        with WebDAVStorage(wsgidav.options(new_folder()), create=True) as storage:
            yield storage


@pytest.mark.slow  # another way to a storage that is tested above
class TestRcloneServer(StorageTests):
    tests_atomicity = False
    many_blobs = 120

    @pytest.fixture
    def storage(self, rclone_webdav: WebDAVServer) -> Iterator[BlobStorage]:
        with WebDAVStorage(rclone_webdav.options(new_folder()), create=True) as storage:
            yield storage


class WebDAVFaultTests(StorageFaultTests):
    secrets = (PASSWORD,)

    @pytest.fixture
    def server(self) -> WebDAVServer:
        raise NotImplementedError

    @pytest.fixture
    def options(self, server: WebDAVServer) -> WebDAVOptions:
        return server.options(new_folder())

    @pytest.fixture
    def proxy(self, server: WebDAVServer) -> Iterator[FaultyProxy]:
        with FaultyProxy(server.host, server.port) as proxy:
            yield proxy

    @pytest.fixture
    def direct(self, options: WebDAVOptions) -> Iterator[BlobStorage]:
        with WebDAVStorage(options, create=True) as storage:
            yield storage

    @pytest.fixture
    def storage(
        self, server: WebDAVServer, proxy: FaultyProxy, options: WebDAVOptions, direct: BlobStorage
    ) -> Iterator[BlobStorage]:
        url = options.url.replace(f":{server.port}/", f":{proxy.port}/")
        through = WebDAVOptions.from_config({**options.to_config(), "url": url})
        with WebDAVStorage(through, create=True, timeout=0.7) as storage:
            yield storage


class TestApacheWithFaults(WebDAVFaultTests):
    @pytest.fixture
    def server(self, apache: WebDAVServer) -> WebDAVServer:
        return apache


@pytest.mark.slow  # another way to a storage that is tested above
class TestApacheTLSWithFaults(WebDAVFaultTests):
    speaks_http = False

    @pytest.fixture
    def server(self, apache_tls: WebDAVServer) -> WebDAVServer:
        return apache_tls


class TestWsgiDAVWithFaults(WebDAVFaultTests):
    @pytest.fixture
    def server(self, wsgidav: WebDAVServer) -> WebDAVServer:
        return wsgidav


def read_and_write(options: WebDAVOptions) -> None:
    with WebDAVStorage(options, create=True) as storage:
        storage.put(PACK, b"hello")
        assert storage.get(PACK, 1, 3) == b"ell"


def changed(options: WebDAVOptions, **config: object) -> WebDAVOptions:
    return WebDAVOptions.from_config({**options.to_config(), **config})


def requests_of(storage: WebDAVStorage) -> list[httpx.Request]:
    seen: list[httpx.Request] = []
    storage._http.event_hooks = {"request": [seen.append]}
    return seen


def test_a_put_is_two_requests_and_a_get_is_one(apache: WebDAVServer) -> None:
    # webdav4 itself needs several for each, and 13 ms for a small file
    with WebDAVStorage(apache.options(new_folder()), create=True) as storage:
        storage.put(PACK, b"x")
        seen = requests_of(storage)
        storage.put(PACK, b"y")
        assert [request.method for request in seen] == ["PUT", "MOVE"]
        storage.get(PACK, 0, 1)
        storage.metadata(PACK)
        storage.delete(PACK)
        assert [request.method for request in seen[2:]] == ["GET", "PROPFIND", "DELETE"]
        assert seen[3].headers["depth"] == "0"
        assert {request.headers["accept-encoding"] for request in seen} == {"identity"}
    with WebDAVStorage(apache.options(new_folder(), atomic_writes=True), create=True) as storage:
        storage.put(PACK, b"x")
        seen = requests_of(storage)
        storage.put(PACK, b"y")
        assert [request.method for request in seen] == ["PUT"]


def test_digest_is_spoken_where_the_server_asks_for_it(apache_digest: WebDAVServer) -> None:
    with WebDAVStorage(apache_digest.options(new_folder()), create=True) as storage:
        seen = requests_of(storage)
        storage.put(PACK, b"x")
        assert storage.get(PACK) == b"x"
        assert all(request.headers["authorization"].startswith("Digest") for request in seen)
        with ThreadPoolExecutor(8) as pool:
            assert [*pool.map(lambda _: storage.get(PACK), range(32))] == [b"x"] * 32
    with pytest.raises(StorageAuthenticationError):
        WebDAVStorage(apache_digest.options("x", password="wrong"))


def test_a_password_is_not_sent_before_it_is_asked_for(proxied_answers: FaultyProxy) -> None:
    proxied_answers.answer(404, times=-1)
    url = f"http://{proxied_answers.host}:{proxied_answers.port}/dav"
    options = WebDAVOptions(url=url, username="u", password=PASSWORD)
    seen: list[httpx.Request] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.HTTPTransport, "handle_request", recording(seen, httpx.HTTPTransport.handle_request))
        with pytest.raises(StorageNotFoundError):
            WebDAVStorage(options)
    assert seen
    assert not [request for request in seen if "authorization" in request.headers]


def recording(seen: list[httpx.Request], handle: Callable[..., httpx.Response]) -> Callable[..., httpx.Response]:
    def record(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return handle(transport, request)

    return record


@pytest.fixture
def proxied_answers(apache: WebDAVServer) -> Iterator[FaultyProxy]:
    """Return a proxy before a server, to answer in its place."""
    with FaultyProxy(apache.host, apache.port) as proxy:
        yield proxy


@pytest.mark.parametrize("changes", [{"password": "canary-wrong"}, {"username": "", "password": ""}])
def test_rejected_credentials_are_told_from_all_else(apache: WebDAVServer, changes: dict[str, str]) -> None:
    with pytest.raises(StorageAuthenticationError, match=f"{apache.host}:{apache.port}.*401") as caught:
        WebDAVStorage(apache.options("x", **changes))
    assert "canary-wrong" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_what_is_forbidden_names_user_and_url(apache: WebDAVServer) -> None:
    folder = new_folder()
    with WebDAVStorage(apache.options(folder), create=True) as storage:
        storage.put(PACK, b"x")
        with FaultyProxy(apache.host, apache.port) as proxy:
            url = f"http://127.0.0.1:{proxy.port}/dav/{folder}"
            with WebDAVStorage(apache.options(folder, url=url)) as forbidden:
                assert forbidden.get(PACK) == b"x"
                proxy.answer(403, times=-1)
                with pytest.raises(StorageAccessDeniedError) as caught:
                    forbidden.delete(PACK)
    assert not isinstance(caught.value, StorageAuthenticationError)
    for part in (apache.user, url, PACK, "DELETE"):
        assert part in str(caught.value)


def test_a_missing_folder_is_told_by_its_url(apache: WebDAVServer) -> None:
    with pytest.raises(StorageNotFoundError, match=f"WebDAV: {apache.url}/missing"):
        WebDAVStorage(apache.options("missing"))
    with pytest.raises(StorageNotFoundError):
        WebDAVStorage(apache.options("missing/below"))


def test_a_folder_in_the_url_is_quoted_and_those_above_are_made_on_creation(apache: WebDAVServer) -> None:
    folder = new_folder()
    with WebDAVStorage(apache.options(f"{folder}/a%20b/c%25d"), create=True) as storage:
        storage.put(PACK, b"x")
    assert [path.name for path in (apache.data / folder / "a b" / "c%d").glob("p/*/*")] == [f"{PACK[4:]}.f"]
    with WebDAVStorage(apache.options(f"{folder}/a%20b/c%25d")) as storage:
        assert [blob.blob_id for blob in storage.list()] == [PACK]


def test_a_root_that_is_gone_is_not_made_again(apache: WebDAVServer) -> None:
    folder = new_folder()
    with WebDAVStorage(apache.options(folder), create=True) as storage:
        (apache.data / folder).rmdir()
        for blob_id in (PACK, FORMAT):
            with pytest.raises(StorageNotFoundError):
                storage.put(blob_id, b"x")
        with pytest.raises(StorageNotFoundError):
            storage.get(PACK)
    assert not (apache.data / folder).exists()


@pytest.mark.parametrize("status", [405, 501])
def test_a_server_without_a_method_is_told_which(
    proxied_answers: FaultyProxy, apache: WebDAVServer, status: int
) -> None:
    folder = new_folder()
    url = f"http://127.0.0.1:{proxied_answers.port}/dav/{folder}"
    with WebDAVStorage(apache.options(folder), create=True), WebDAVStorage(apache.options(folder, url=url)) as storage:
        storage.put(PACK, b"x")
        for call, method in (
            (lambda: storage.get(FORMAT), "GET"),
            (lambda: storage.delete(FORMAT), "DELETE"),
            (lambda: [*storage.list()], "PROPFIND"),
            (lambda: storage.put(FORMAT, b"x"), "PUT"),
        ):
            proxied_answers.answer(status, times=-1)
            with pytest.raises(UnsupportedOptionError, match=rf"does not support ({method}) \({status}\)"):
                call()


@pytest.mark.parametrize("status", [405, 501])
def test_a_server_without_move_gets_blobs_under_their_final_names_and_that_is_logged_once(
    apache: WebDAVServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    asked: list[str] = []
    with WebDAVStorage(apache.options(new_folder()), create=True) as storage:
        storage.put(PACK, b"x")
        send = storage._http.request

        def request(method: str, url: str, **more: object) -> httpx.Response:
            asked.append(method)
            if method == "MOVE":
                return httpx.Response(status, request=httpx.Request(method, url))
            return send(method, url, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(storage._http, "request", request)
        storage.put(PACK, b"yy")
        storage.put(FORMAT, b"zzz")
        assert asked == ["PUT", "MOVE", "DELETE", "PUT", "PUT"]
        assert (storage.get(PACK), storage.get(FORMAT)) == (b"yy", b"zzz")
        assert {blob.blob_id for blob in storage.list()} == {PACK, FORMAT}
        assert list(apache.data.rglob("*.tmp.*")) == []
    assert [record.levelname for record in caplog.records if "does not support MOVE" in record.message] == ["WARNING"]


@pytest.mark.parametrize(
    "challenge",
    [
        "Digest realm=x",
        "Digest nonce=x",
        "Digest realm",
        "Digest ",
        'Digest realm="x", nonce="y", algorithm=SHA-512-256',
        'Digest realm="x", nonce="y", qop="auth-int"',
        'Digest realm="x", nonce="y", qop="other"',
    ],
)
def test_a_challenge_of_digest_that_cannot_be_answered_is_no_matter_of_trying_again(
    proxied_answers: FaultyProxy, challenge: str
) -> None:
    proxied_answers.answer(401, times=-1, headers={"WWW-Authenticate": challenge})
    options = WebDAVOptions(url=f"http://127.0.0.1:{proxied_answers.port}/dav", username="u", password=PASSWORD)
    with pytest.raises(StorageAuthenticationError, match=r"Digest|401") as caught:
        open_storage(ConnectionInfo.from_options(options))
    assert not caught.value.temporary
    assert proxied_answers.hits <= 4
    assert PASSWORD not in str(caught.value)


def test_a_quota_is_the_capacity_where_the_server_tells_it(proxied_answers: FaultyProxy, apache: WebDAVServer) -> None:
    folder = new_folder()
    url = f"http://127.0.0.1:{proxied_answers.port}/dav/{folder}"
    with WebDAVStorage(apache.options(folder), create=True) as storage:
        assert storage.capacity() is None
    body = """<d:multistatus xmlns:d="DAV:"><d:response><d:href>/x/</d:href><d:propstat><d:prop>
      <d:quota-available-bytes>{}</d:quota-available-bytes><d:quota-used-bytes>30</d:quota-used-bytes>
      </d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"""
    with WebDAVStorage(apache.options(folder, url=url)) as storage:
        for left, expected in ((70, Capacity(size=100, free=70)), (-3, None)):
            proxied_answers.answer(207, body=body.format(left).encode())
            assert storage.capacity() == expected
        for answer in (b"", b"<html>no XML", b"<x/>"):
            proxied_answers.answer(207, body=answer)
            assert storage.capacity() is None


@pytest.mark.parametrize("body", [b"", b"<html><body>Welcome", b"<x/>", b'<d:multistatus xmlns:d="DAV:"/>'])
@pytest.mark.parametrize("status", [200, 207, 301, 302])
def test_what_is_no_webdav_server_is_told(proxied_answers: FaultyProxy, status: int, body: bytes) -> None:
    proxied_answers.answer(status, times=-1, body=body)
    with pytest.raises((WrongServerError, StorageNotFoundError)) as caught:
        WebDAVStorage(WebDAVOptions(url=f"http://127.0.0.1:{proxied_answers.port}/dav"))
    empty = status == 207 and not body.startswith(b"<html")  # an answer of WebDAV that lists nothing
    assert isinstance(caught.value, WrongServerError) or empty


def test_a_server_that_ignores_ranges_gives_the_right_bytes(proxied_answers: FaultyProxy, apache: WebDAVServer) -> None:
    folder = new_folder()
    url = f"http://127.0.0.1:{proxied_answers.port}/dav/{folder}"
    with WebDAVStorage(apache.options(folder), create=True), WebDAVStorage(apache.options(folder, url=url)) as storage:
        storage.put(PACK, b"x")
        for offset, length, expected in ((2, 3, b"234"), (7, -1, b"789"), (0, 1, b"0")):
            proxied_answers.answer(200, body=b"0123456789")
            assert storage.get(PACK, offset, length) == expected
        proxied_answers.answer(200, body=b"0123456789")
        with pytest.raises(InvalidRangeError):
            storage.get(PACK, 8, 3)


def test_a_certificate_is_trusted_by_its_authority_or_fingerprint(apache_tls: WebDAVServer) -> None:
    read_and_write(apache_tls.options(new_folder()))
    for fingerprint in (apache_tls.fingerprint, certificate_text(apache_tls).partition("=")[2].strip()):
        read_and_write(
            apache_tls.options(new_folder(), root_ca=b"", trusted_server_certificate_fingerprint=fingerprint)
        )


def test_an_untrusted_certificate_is_told_with_what_to_do(apache_tls: WebDAVServer, tmp_path: Path) -> None:
    other = make_certificates(tmp_path).authority.read_bytes()
    for changes, words in (
        ({"root_ca": b""}, "unable to get"),
        ({"root_ca": other}, "certificate"),
        (
            {"trusted_server_certificate_fingerprint": "0" * 64},
            f"its fingerprint is {apache_tls.fingerprint}, not 0000",
        ),
    ):
        with pytest.raises(UntrustedServerError, match=words) as caught:
            WebDAVStorage(apache_tls.options("x", **changes))
        assert not caught.value.temporary
        assert "rootCA" in str(caught.value)
        assert f"{apache_tls.host}:{apache_tls.port}" in str(caught.value)


def test_tls_settings_that_make_no_sense_are_refused(apache_tls: WebDAVServer) -> None:
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        WebDAVStorage(apache_tls.options("x", trusted_server_certificate_fingerprint="abc"))
    with pytest.raises(UsageError, match="rootCA"):
        WebDAVStorage(apache_tls.options("x", root_ca=b"no certificate"))
    context = PinnedContext.of("0" * 64)
    with pytest.raises(ssl.SSLError, match="proxy"):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())


def test_http_where_tls_is_spoken_and_the_other_way_round_is_told(
    apache: WebDAVServer, apache_tls: WebDAVServer
) -> None:
    with pytest.raises(StorageError, match="does not speak TLS; use http://"):
        WebDAVStorage(apache.options("x", url=f"https://127.0.0.1:{apache.port}/dav"))
    with pytest.raises(StorageError, match=rf"127.0.0.1:{apache_tls.port}"):
        WebDAVStorage(apache_tls.options("x", url=f"http://127.0.0.1:{apache_tls.port}/dav"))


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "host/x", "https://", "https://host/x?y=z", "https://host:port/", "http://[x/"]
)
def test_a_url_that_can_not_be_used_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="https://host/folder"):
        WebDAVStorage(WebDAVOptions(url=url))


def test_user_and_password_of_the_url_are_used_and_not_shown(apache: WebDAVServer) -> None:
    folder = new_folder()
    read_and_write(apache.options(folder))
    url = apache.url.replace("http://", f"http://{USER}:{PASSWORD}@")
    with WebDAVStorage(WebDAVOptions(url=f"{url}/{folder}")) as storage:
        assert storage.get(PACK) == b"hello"
        assert PASSWORD not in storage.display_name + repr(storage) + repr(storage.connection_info()) + repr(storage.fs)


def test_no_secret_is_in_a_repr_or_in_what_libraries_log(
    apache: WebDAVServer, apache_digest: WebDAVServer, caplog: pytest.LogCaptureFixture
) -> None:
    for server in (apache, apache_digest):
        with caplog.at_level(logging.DEBUG), WebDAVStorage(server.options(new_folder()), create=True) as storage:
            storage.put(PACK, b"x")
            shown = repr(storage) + repr(storage.fs) + repr(storage.options) + storage.display_name
        encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        for text in (shown, caplog.text):
            assert PASSWORD not in text
            assert encoded not in text
    assert caplog.text


def test_what_it_writes_is_a_repository_folder_like_any_other(apache: WebDAVServer) -> None:
    folder = new_folder()
    with WebDAVStorage(apache.options(folder), create=True) as storage:
        storage.put(PACK, b"1")
        storage.put(FORMAT, b"2")
    local = FilesystemStorage(apache.data / folder)
    assert {blob.blob_id: local.get(blob.blob_id) for blob in local.list()} == {PACK: b"1", FORMAT: b"2"}


def test_it_is_opened_by_its_connection_and_with_retries(apache: WebDAVServer) -> None:
    info = ConnectionInfo.from_options(apache.options(new_folder()))
    with open_storage(info, create=True) as storage:
        assert isinstance(storage, RetryingStorage)
        assert storage.connection_info() == info
    with open_storage(info) as storage, pytest.raises(BlobNotFoundError):
        storage.get(PACK)


def test_the_root_of_a_server_is_never_made() -> None:
    """It is always there; rclone 1.76 loops for ever when it is asked to make it."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        body = (
            '<multistatus xmlns="DAV:"><response><href>/</href><propstat><prop><resourcetype><collection/></resourcetype>'
            "</prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>"
        )
        return httpx.Response(207, text=body)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        DAVFileSystem("http://box", http).makedirs("/", exist_ok=True)
    assert asked == ["PROPFIND"]


def test_no_connection_in_use_is_closed_by_another_thread() -> None:
    """The answer to a request that is sent after httpcore saw its connection idle made it close that connection."""
    sharers = set()
    numbers, meeting = itertools.count(), threading.Barrier(8, timeout=30)

    class OneAtATime(httpx.BaseTransport):
        def __init__(self) -> None:
            self.using = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.using += 1
            if next(numbers) < meeting.parties:
                meeting.wait()  # all threads are in a request of their own
            sharers.add(self.using)
            self.using -= 1
            return httpx.Response(200, stream=httpx.ByteStream(b"ok"))

    transport = LendingTransport(OneAtATime, kept=2)
    with httpx.Client(transport=transport) as http, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: http.get("http://server/").text, range(100)))
    assert answers == ["ok"] * 100
    assert sharers == {1}
