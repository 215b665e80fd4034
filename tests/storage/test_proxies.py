"""Which proxy leads to a server: the variables of the environment, understood as Go understands them."""

from collections.abc import Iterator

import pytest

from pykopia.errors import (
    BlobNotFoundError,
    StorageError,
    StorageNotFoundError,
    StorageUnavailableError,
    WrongServerError,
)
from pykopia.ids import BlobID
from pykopia.storage.backends.azureblob.options import AzureBlobOptions
from pykopia.storage.backends.azureblob.storage import AzureStorage
from pykopia.storage.backends.gcs.options import GCSOptions
from pykopia.storage.backends.gcs.storage import GCSStorage
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.backends.s3.storage import S3Storage
from pykopia.storage.backends.webdav.options import WebDAVOptions
from pykopia.storage.backends.webdav.storage import WebDAVStorage
from pykopia.storage.base import BlobStorage
from pykopia.storage.proxies import is_excepted, proxy_for, shown
from pykopia.testing.proxy import FaultyProxy


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "excepted"),
    [
        ("*", "anything", 443, True),
        ("", "host", 80, False),
        ("10.0.0.0/8", "10.1.2.3", 9000, True),
        ("10.0.0.0/8", "11.1.2.3", 9000, False),
        ("10.0.0.0/8", "ten.example", 9000, False),
        (".svc,10.0.0.0/8", "10.1.2.3", 80, True),
        ("fd00::/8", "fd12::1", 443, True),
        ("fd00::/8", "10.1.2.3", 443, False),
        ("10.1.2.3", "10.1.2.3", 80, True),
        ("10.1.2.3:81", "10.1.2.3", 80, False),
        ("[fd12::1]:443", "fd12::1", 443, True),
        ("fd12::1", "fd12::1", 443, True),
        ("fd12:0::1", "fd12::1", 443, True),
        ("example.com", "example.com", 443, True),
        ("example.com", "a.example.com", 443, True),
        ("example.com", "anexample.com", 443, False),
        (".example.com", "a.example.com", 443, True),
        (".example.com", "example.com", 443, False),
        ("*.example.com", "a.b.example.com", 443, True),
        ("Example.COM.", "A.EXAMPLE.com.", 443, True),
        ("example.com:8443", "a.example.com", 8443, True),
        ("example.com:8443", "a.example.com", 443, False),
        ("a b\tc", "b", 80, True),
        ("10.0.0.0/99,1.2.3.4/x,,", "10.0.0.1", 80, False),
        ("cluster.local, 192.168.0.0/16", "192.168.4.5", 80, True),
        ("", "localhost", 9000, True),
        ("", "LOCALHOST.", 9000, True),
        ("", "127.0.0.1", 9000, True),
        ("other", "127.9.9.9", 80, True),
        ("", "::1", 9000, True),
        ("", "::ffff:127.0.0.1", 9000, True),
        ("", "localhost.example", 80, False),
        ("", "128.0.0.1", 80, False),
    ],
)
def test_what_is_reached_without_a_proxy(no_proxy: str, host: str, port: int, excepted: bool) -> None:
    assert is_excepted(host, port, no_proxy) is excepted


def test_a_proxy_is_chosen_by_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_for("https://host/x") is None
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    assert proxy_for("https://host/x") == "http://proxy:3128"
    assert proxy_for("http://host/x") is None
    monkeypatch.setenv("ALL_PROXY", "http://other:1")
    assert proxy_for("http://host/x") == "http://other:1"
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,host:80")
    assert proxy_for("http://host/x") is None
    assert proxy_for("https://host/x") == "http://proxy:3128"
    assert proxy_for("https://10.2.3.4:9000") is None


def test_a_proxy_is_shown_without_its_password() -> None:
    assert shown("http://user:canary@proxy:3128") == "proxy:3128"


def open_storage(kind: str, port: int, host: str = "127.0.0.1") -> BlobStorage:
    """Open a storage whose server is at a port, of this machine unless ``host`` names another."""
    if kind == "s3":
        key = {"access_key_id": "key", "secret_access_key": "canary"}
        return S3Storage(S3Options(bucket="bucket", endpoint=f"{host}:{port}", do_not_use_tls=True, **key))  # type: ignore[arg-type]
    if kind == "azureBlob":
        options = AzureBlobOptions(
            container="container",
            storage_account="account",
            storage_key="Y2FuYXJ5",
            storage_domain=f"{host}:{port}",
            do_not_use_tls=True,
        )
        return AzureStorage(options)
    if kind == "gcs":
        return GCSStorage(GCSOptions(bucket="bucket"))
    return WebDAVStorage(WebDAVOptions(url=f"http://{host}:{port}/dav", username="u", password="canary"))


KINDS = ("s3", "azureBlob", "gcs", "webdav")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """Answers as a test plans."""
    with FaultyProxy("127.0.0.1", 1) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.port}")
        yield server


@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_that_fails_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:canary@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://storage.invalid:80")
    with pytest.raises(StorageUnavailableError, match=r"the proxy 127\.0\.0\.1:9, which leads to .*NO_PROXY") as caught:
        open_storage(kind, 80, "storage.invalid")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_proxy_that_is_named_gets_the_requests(
    kind: str, server: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://storage.invalid:80")
    server.answer(503, times=-1)
    with pytest.raises(StorageUnavailableError, match="503"):
        open_storage(kind, 80, "storage.invalid")
    assert server.hits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("excepted", ["", ".svc,127.0.0.0/8"])
def test_this_machine_and_networks_in_no_proxy_are_reached_directly(
    kind: str, excepted: str, server: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", excepted)
    server.answer(503, times=-1)
    with pytest.raises(StorageUnavailableError, match="503"):
        open_storage(kind, server.port)
    assert server.hits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_portal_that_redirects_is_named_after_few_requests(kind: str, status: int, server: FaultyProxy) -> None:
    server.answer(status, times=-1, headers={"Location": "http://portal.invalid/login?from=canary"})
    with pytest.raises(WrongServerError, match=rf"redirect \({status}\) to portal\.invalid") as caught:
        open_storage(kind, server.port)
    assert "canary" not in str(caught.value)
    assert server.hits <= 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [200, 401, 403, 404, 405, 511])
def test_a_web_page_is_named_after_few_requests(kind: str, status: int, server: FaultyProxy) -> None:
    if kind == "webdav" and status != 200:
        pytest.skip("such a server answers with pages of its own")
    page = b"<!doctype html><title>Console</title><p>Log in<br>"
    server.answer(status, times=-1, headers={"Content-Type": "text/html; charset=utf-8"}, body=page)
    with pytest.raises(WrongServerError, match="is not the storage service: a web page came"):
        open_storage(kind, server.port)
    assert server.hits <= 3


@pytest.mark.parametrize("kind", ["s3", "azureBlob", "gcs"])
@pytest.mark.parametrize("body", [b"", b"<?xml version='1.0'?><html/>", b"[]", b"\xff\x00"])
def test_an_answer_that_no_service_gives_is_named(kind: str, body: bytes, server: FaultyProxy) -> None:
    server.answer(200, times=-1, headers={"Content-Type": "application/xml"}, body=body)
    with pytest.raises(WrongServerError, match="is not the storage service"):
        open_storage(kind, server.port)


@pytest.mark.parametrize("kind", ["s3", "azureBlob", "gcs"])
def test_the_page_of_an_ingress_without_a_backend_is_no_missing_bucket(kind: str, server: FaultyProxy) -> None:
    server.answer(404, times=-1, headers={"Content-Type": "text/plain"}, body=b"default backend - 404")
    with pytest.raises(StorageError, match=r"HTTP status 404.*another server may answer there") as caught:
        open_storage(kind, server.port).get(BlobID("kopia.repository"))
    assert not isinstance(caught.value, StorageNotFoundError | BlobNotFoundError)
