"""HTTP as WebDAV speaks it: one request for each thing, and errors that name the method (format 03 §2.4)."""

import hashlib
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any
from urllib.parse import quote, unquote
from xml.etree.ElementTree import ParseError, fromstring

import httpx
from webdav4.client import Client
from webdav4.fsspec import WebdavFileSystem
from webdav4.multistatus import MultiStatusResponse, Response, parse_multistatus_response

from pykopia.errors import UsageError

_PROPERTIES = b"""<?xml version="1.0" encoding="utf-8"?>
<propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>"""
_QUOTA = b"""<?xml version="1.0" encoding="utf-8"?>
<propfind xmlns="DAV:"><prop><quota-available-bytes/><quota-used-bytes/></prop></propfind>"""
_XML = {"Content-Type": "application/xml; charset=utf-8"}
_MISSING = frozenset({404, 410})
_NO_PARENT = frozenset({404, 409})
_MULTISTATUS = 207
_PARTIAL = 206


class AnswerError(Exception):
    """A server answered with another status than what was asked for allows."""

    def __init__(self, method: str, response: httpx.Response) -> None:
        self.method, self.status, self.reason = method, response.status_code, response.reason_phrase
        self.headers = response.headers
        super().__init__(f"{method}: {self.status} {self.reason}")


class ChallengeError(Exception):
    """A server asked for a login by Digest in a form that can't be answered."""


class DAVFileSystem(WebdavFileSystem):  # type: ignore[misc]
    """WebDAV as fsspec sees it: the parser and the client of webdav4, with requests of our own.

    webdav4 asks for a whole folder where one file is meant, needs several requests to write a small file, and does not quote
    names. Paths here are those of URLs, decoded, from the root of the server on.

    Args:
        origin: Scheme, host and port.
        http: The client.
    """

    def __init__(self, origin: str, http: httpx.Client) -> None:
        super().__init__(origin, client=Client(origin, http_client=http, retry=False), skip_instance_cache=True)
        self._origin, self._http = origin, http

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return self._origin + quote(path, safe="/")

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 -- arguments of httpx
        """Send a request and return an answer of success.

        Raises:
            FileNotFoundError: There is nothing at the path.
            AnswerError: Any other status than one of success.
        """
        response = self._http.request(method, self.url(path), **more)
        if response.status_code in _MISSING:
            raise FileNotFoundError(path)
        if not response.is_success or (
            response.headers.get("Content-Type", "").startswith("text/html") and method == "GET"
        ):
            raise AnswerError(method, response)
        return response

    def info(self, path: str, **_: object) -> dict[str, Any]:
        """Return type, size and time of one file or folder."""
        found = [*self._propfind(path, "0").responses.values()]
        if len(found) != 1:
            raise FileNotFoundError(path)
        return _entry(found[0])

    def ls(self, path: str, detail: bool = True, **_: object) -> list[Any]:
        """Return what a folder holds."""
        found = self._propfind(path.rstrip("/") + "/", "1").responses
        itself = path.rstrip("/") if path.rstrip("/") in found else min(found, key=len, default="")
        entries = [_entry(response) for name, response in found.items() if name != itself]
        return entries if detail else [entry["name"] for entry in entries]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        """Return the bytes of a range; fewer where the file is shorter."""
        headers = {}
        if start is not None or end is not None:
            headers["Range"] = f"bytes={start or 0}-{'' if end is None else end - 1}"
        try:
            response = self.request("GET", path, headers=headers)
        except AnswerError as error:
            if error.status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return b""
            raise
        return response.content if response.status_code == _PARTIAL else response.content[slice(start, end)]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: object) -> None:
        """Write a file."""
        try:
            self.request("PUT", path, content=value, headers={"Content-Type": "application/octet-stream"})
        except AnswerError as error:
            if error.status in _NO_PARENT:
                raise FileNotFoundError(path) from error
            raise

    def mv(self, path1: str, path2: str, **_: object) -> None:
        """Move a file over another."""
        headers = {"Destination": self.url(path2), "Overwrite": "T"}
        self.request("MOVE", path1, headers=headers)

    def rm_file(self, path: str) -> None:
        """Delete a file."""
        self.request("DELETE", path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder and those above it, but the root of the server, which is there: rclone 1.76 never answers for that."""
        if not path.rstrip("/") and self._is_folder("/"):
            if not exist_ok:
                raise FileExistsError(path)
            return
        try:
            self.request("MKCOL", path.rstrip("/") + "/")
        except (AnswerError, FileNotFoundError) as error:
            parent = path.rstrip("/").rpartition("/")[0]
            if parent and (isinstance(error, FileNotFoundError) or error.status in _NO_PARENT):
                self.makedirs(parent, exist_ok=True)
                self.makedirs(path, exist_ok=exist_ok)
            elif not (exist_ok and self._is_folder(path)):
                raise

    def quota(self, path: str) -> tuple[int, int] | None:
        """Return the bytes used and those that are left, where the server reports them (RFC 4331)."""
        response = self.request("PROPFIND", path.rstrip("/") + "/", content=_QUOTA, headers={"Depth": "0", **_XML})
        try:
            tree = fromstring(response.content)  # noqa: S314 -- expat bounds what entities expand to
            left = int(tree.findtext(".//{DAV:}quota-available-bytes") or -1)
            used = int(tree.findtext(".//{DAV:}quota-used-bytes") or -1)
        except (ParseError, ValueError):
            return None
        return (used, left) if used >= 0 and left >= 0 else None

    def _is_folder(self, path: str) -> bool:
        try:
            return bool(self.info(path)["type"] == "directory")
        except (FileNotFoundError, AnswerError):
            return False

    def _propfind(self, path: str, depth: str) -> MultiStatusResponse:
        response = self.request("PROPFIND", path, content=_PROPERTIES, headers={"Depth": depth, **_XML})
        if response.status_code != _MULTISTATUS:
            raise AnswerError("PROPFIND", response)
        try:
            return parse_multistatus_response(response)
        except (ParseError, ValueError, AssertionError) as error:
            raise AnswerError("PROPFIND", response) from error


def _entry(response: Response) -> dict[str, Any]:
    properties = response.properties
    is_folder = properties.resource_type == "directory"
    size = properties.content_length
    return {
        "name": response.path_norm,
        "type": "directory" if is_folder else "file",
        "size": 0 if size is None else size,
        "modified": properties.modified or properties.created,
    }


class LendingTransport(httpx.BaseTransport):
    """Lends each request a transport of its own, so that no two threads share one.

    The pool of httpcore 1.0 looks whether a connection is idle and then whether it can be read; where another thread sends a
    request in between, the answer to it is taken for the end of an idle connection, which is closed under that thread.

    Args:
        make: Makes a transport; it is used by one request after the other.
        kept: How many are kept for later requests.
    """

    def __init__(self, make: Callable[[], httpx.BaseTransport], kept: int) -> None:
        self._make = make
        self._idle: deque[httpx.BaseTransport] = deque()
        self._kept = kept

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        try:
            transport = self._idle.pop()
        except IndexError:
            transport = self._make()
        try:
            response = transport.handle_request(request)
        except BaseException:
            transport.close()
            raise
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _Borrowed(response.stream, lambda: self._take_back(transport))
        return response

    def _take_back(self, transport: httpx.BaseTransport) -> None:
        if len(self._idle) < self._kept:
            self._idle.append(transport)
        else:
            transport.close()

    def close(self) -> None:
        """Close what is kept, and what is lent as soon as it is given back."""
        self._kept = 0
        while self._idle:
            self._idle.pop().close()


class _Borrowed(httpx.SyncByteStream):
    """The body of an answer, which gives its transport back when it is closed."""

    def __init__(self, stream: httpx.SyncByteStream, give_back: Callable[[], None]) -> None:
        self._stream, self._give_back = stream, give_back

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        self._stream.close()
        self._give_back()


class NegotiatedAuth(httpx.Auth):
    """Basic or Digest, whichever the server asks for: a password is not sent before it has asked."""

    def __init__(self, username: str, password: str) -> None:
        self._username, self._password = username, password
        self._lock = threading.Lock()
        self._known: httpx.Auth | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request, with credentials as soon as the server's way is known."""
        known = self._known
        if known is None:
            response = yield request
            if response.status_code != httpx.codes.UNAUTHORIZED:
                return
            with self._lock:
                known = self._known = self._known or self._of(response)
            if known is None:
                return
        try:
            yield from known.auth_flow(request)
        except (httpx.ProtocolError, LookupError, NotImplementedError, ValueError) as error:
            # errors of connections are raised elsewhere: these are of a challenge that can't be parsed or answered
            raise ChallengeError from error

    def _of(self, response: httpx.Response) -> httpx.Auth | None:
        asked = [value.lower() for value in response.headers.get_list("www-authenticate")]
        if any(value.startswith("digest") for value in asked):
            return httpx.DigestAuth(self._username, self._password)
        if not asked or any(value.startswith("basic") for value in asked):
            return httpx.BasicAuth(self._username, self._password)
        return None


class PinnedContext(ssl.SSLContext):
    """Trusts one certificate, by the SHA-256 of its DER, whoever signed it and whatever names it has."""

    fingerprint: str

    @classmethod
    def of(cls, fingerprint: str) -> "PinnedContext":
        """Return the TLS settings for a fingerprint in hex; colons and case don't matter.

        Raises:
            UsageError: It is no SHA-256 in hex.
        """
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.fingerprint = fingerprint.replace(":", "").strip().lower()
        if len(context.fingerprint) != 64 or not set(context.fingerprint) <= set("0123456789abcdef"):
            raise UsageError("the fingerprint of the server's certificate must be its SHA-256: 64 hexadecimal digits")
        return context

    def wrap_socket(self, sock: socket.socket, *arguments: Any, **more: Any) -> ssl.SSLSocket:  # noqa: ANN401
        """Shake hands and compare the fingerprint."""
        wrapped = super().wrap_socket(sock, *arguments, **more)
        shown = hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest()
        if shown != self.fingerprint:
            wrapped.close()
            error = ssl.SSLCertVerificationError(f"its fingerprint is {shown}")
            error.verify_message = f"its fingerprint is {shown}, not {self.fingerprint}"
            raise error
        return wrapped

    def wrap_bio(self, *_: Any, **__: Any) -> ssl.SSLObject:  # noqa: ANN401
        """Refuse: here nothing would be compared."""
        raise ssl.SSLError("a pinned certificate can't be checked through a proxy that speaks TLS itself")


def folder_of(path: str) -> str:
    """Return the decoded path of a URL without slashes at its end."""
    return unquote(path).rstrip("/")


__all__ = [
    "AnswerError",
    "ChallengeError",
    "DAVFileSystem",
    "LendingTransport",
    "NegotiatedAuth",
    "PinnedContext",
    "folder_of",
]
