"""Blobs as files on a WebDAV server, in Kopia's layout (format 03 §2.1 and §2.4)."""

import logging
import ssl
from typing import ClassVar
from urllib.parse import SplitResult, urlsplit

import httpx

from pykopia.errors import (
    PykopiaError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageError,
    StorageUnavailableError,
    UnsupportedOptionError,
    UsageError,
)
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.webdav.client import (
    AnswerError,
    ChallengeError,
    DAVFileSystem,
    LendingTransport,
    NegotiatedAuth,
    PinnedContext,
    folder_of,
)
from pykopia.storage.backends.webdav.options import WebDAVOptions
from pykopia.storage.base import Capacity, PutOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.fsspec_storage import FsspecStorage
from pykopia.storage.proxies import proxy_for
from pykopia.storage.service_errors import asking_to_wait, connection_error, not_the_service, service_error
from pykopia.storage.trust import tls_context

DEFAULT_LIST_PARALLELISM = 8
"""Folders that a listing reads at one time, unless the connection says otherwise."""

TIMEOUT_SECONDS = 60.0
"""A connection on which nothing comes or goes for so long is given up."""

_KEPT_CONNECTIONS = 32
_TEMPORARY = frozenset({409, 423})
"""Statuses that other clients of the server bring about, and that pass (format 03 §2.4)."""
_UNKNOWN_METHOD = frozenset({405, 501})
_PORTS = {"http": 80, "https": 443}

_log = logging.getLogger(__name__)


class WebDAVStorage(FsspecStorage):
    """A folder on a WebDAV server as a storage.

    A put writes a temporary file next to the final one and moves it over that (``MOVE``), so a reader sees the whole blob or
    none, never a part. A server that has no ``MOVE`` gets blobs under their final names, and a warning is logged: a write that is
    cut off may leave a part of a blob there. Where a blob is replaced, many servers delete the old one first: for a moment there
    is none. With
    ``atomicWrites`` of the connection a blob is written under its final name at once: better, if the server shows a file only
    when it has it whole, as Apache does. WebDAV has no word for flushing to disk: how durable a finished put is, the server
    alone decides. Temporary files that a lost connection left are never taken for blobs.

    ``do_not_recreate``, ``set_mtime_ns`` and object lock are refused. Times are whole seconds.

    Args:
        options: The connection.
        create: Make the folder, with those above it, and choose the layout of new repositories.
        timeout: Seconds after which a connection is given up on which nothing comes or goes.
        context: TLS settings; none: those of the connection.
        info: What opens the storage again; none: ``options`` do.
        display_name: Name for messages; none: the URL.

    Raises:
        StorageNotFoundError: There is no such folder.
        StorageAuthenticationError: The server does not take user and password.
        UntrustedServerError: The server's certificate is not trusted.
        StorageUnavailableError: The server can't be reached.
        UsageError: The URL, the authorities or the fingerprint can't be used.
    """

    failures: ClassVar[tuple[type[Exception], ...]] = (
        OSError,
        httpx.HTTPError,
        httpx.InvalidURL,
        AnswerError,
        ChallengeError,
    )

    _may_use_proxy: ClassVar[bool] = True
    """Whether the proxy of the environment may lead to the server."""

    _no_move: ClassVar[frozenset[int]] = _UNKNOWN_METHOD
    """Statuses by which the server says that it moves no files."""

    _moves = True
    """Whether the server moves files, as far as is known."""

    def __init__(
        self,
        options: WebDAVOptions,
        *,
        create: bool = False,
        timeout: float = TIMEOUT_SECONDS,
        context: ssl.SSLContext | None = None,
        info: ConnectionInfo | None = None,
        display_name: str = "",
    ) -> None:
        self.options = options
        url = _checked(options.url)
        user, password = options.username or url.username or "", options.password or url.password or ""
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        self._user = user
        self._address = f"{host}:{url.port or _PORTS[url.scheme]}"
        origin = f"{url.scheme}://{host}" + (f":{url.port}" if url.port else "")
        self._proxy = proxy_for(origin) if self._may_use_proxy else None
        verify = (context or _context(options)) if url.scheme == "https" else False
        self._http = httpx.Client(
            auth=NegotiatedAuth(user, password) if user or password else None,
            transport=LendingTransport(
                lambda: httpx.HTTPTransport(verify=verify, trust_env=False, proxy=self._proxy), _KEPT_CONNECTIONS
            ),
            timeout=timeout,
            headers={"Accept-Encoding": "identity", "User-Agent": "pykopia"},
            trust_env=False,
        )
        root = folder_of(url.path)
        try:
            super().__init__(
                DAVFileSystem(origin, self._http),
                root or "/",
                create=create,
                dir_shards=options.dir_shards,
                atomic_put=options.atomic_writes,
                info=info or ConnectionInfo.from_options(options),
                display_name=display_name or f"WebDAV: {origin}{root}",
                list_parallelism=options.list_parallelism or DEFAULT_LIST_PARALLELISM,
            )
        except BaseException:
            self._http.close()
            raise

    @classmethod
    def from_options(cls, options: WebDAVOptions, *, create: bool = False) -> "WebDAVStorage":
        """Open the folder that a connection names, see the class."""
        return cls(options, create=create)

    @property
    def fs(self) -> DAVFileSystem:
        """The filesystem."""
        found: DAVFileSystem = self._fs
        return found

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def capacity(self) -> Capacity | None:
        """Return the user's quota, where the server reports it."""
        with self._failing(f"ask for the free space of {self.display_name}"):
            try:
                found = self.fs.quota(self.root)
            except AnswerError as error:
                if error.status in _UNKNOWN_METHOD | {400, 422}:
                    return None
                raise
        return None if found is None else Capacity(size=sum(found), free=found[1])

    def flush_caches(self) -> None:
        """Do nothing: every listing asks the server."""

    def _writes_in_place(self, path: str) -> bool:
        return self._atomic_put or not self._moves

    def _put_file(self, path: str, data: Buffer, options: PutOptions) -> None:
        try:
            super()._put_file(path, data, options)
        except AnswerError as error:
            if error.method != "MOVE" or error.status not in self._no_move:
                raise
            if self._moves:
                self._moves = False
                self._log_no_move()
            if not self._writes_in_place(path):
                raise
            super()._put_file(path, data, options)

    def _log_no_move(self) -> None:
        _log.warning(
            "the server of %s does not support MOVE: blobs are written under their final names, and a write that is cut off may "
            "leave a part of one",
            self.display_name,
        )

    def _error(self, error: Exception, doing: str, blob_id: BlobID | None = None) -> PykopiaError:
        if isinstance(error, AnswerError):
            return self._answer_error(error, doing)
        if isinstance(error, ChallengeError):
            return StorageAuthenticationError(
                f"can't {doing}: the server asks for a login by Digest, but its challenge has no realm or nonce, or an algorithm "
                "or qop that is not supported; correct the server's configuration, or let it ask for Basic"
            )
        if isinstance(error, FileNotFoundError):
            return super()._error(error, doing, blob_id)
        if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
            return StorageError(f"can't {doing}: its URL can't be used; check it")
        if isinstance(error, httpx.TimeoutException):
            return StorageUnavailableError(f"can't {doing}: {self._address} did not answer in time; check the network")
        if isinstance(error, OSError | httpx.HTTPError):
            return connection_error(
                doing,
                error,
                self._address,
                untrusted="give its authority (rootCA) or its fingerprint, if you are sure that it is the right server",
                no_tls="use http:// in the URL if that is meant",
                proxy=self._proxy,
            )
        return super()._error(error, doing, blob_id)

    def _answer_error(self, error: AnswerError, doing: str) -> PykopiaError:
        who = f"user {self._user}" if self._user else "users without a name"
        if error.status == httpx.codes.UNAUTHORIZED:
            what = f"the password of user {self._user}" if self._user else "requests without a user"
            return StorageAuthenticationError(
                f"can't {doing}: the server does not take {what} (401); check user and password"
            )
        if error.status == httpx.codes.FORBIDDEN:
            return StorageAccessDeniedError(
                f"can't {doing}: the server forbids {error.method} to {who} (403); give it access"
            )
        if error.status in _UNKNOWN_METHOD:
            check = "check that WebDAV is switched on for this URL"
            if error.method == "MOVE":
                check = "connect with --atomic-writes if it writes files whole or not at all"
            return UnsupportedOptionError(
                f"can't {doing}: the server does not support {error.method} ({error.status}); {check}"
            )
        if error.status in _TEMPORARY:
            busy = f"can't {doing}: the server answered {error}; another client may be at work there"
            return asking_to_wait(StorageUnavailableError(busy), error.headers.get("Retry-After"))
        if error.status // 100 == 2:
            return not_the_service(doing, self._address, error.headers.get("Content-Type"))
        return service_error(
            doing,
            status=error.status,
            reason=error.reason,
            retry_after=error.headers.get("Retry-After"),
            date=error.headers.get("Date"),
            location=error.headers.get("Location"),
        )


def _checked(url: str) -> SplitResult:
    try:
        found = urlsplit(url)
        _ = found.port
    except ValueError:
        found = SplitResult("", "", "", "", "")
    if found.scheme not in _PORTS or not found.hostname or found.query or found.fragment:
        raise UsageError(
            "can't use the URL of this WebDAV server: it must be like https://host/folder, without a query"
        )
    return found


def _context(options: WebDAVOptions) -> ssl.SSLContext:
    if options.trusted_server_certificate_fingerprint:
        return PinnedContext.of(options.trusted_server_certificate_fingerprint)
    return tls_context(options.root_ca)


__all__ = ["DEFAULT_LIST_PARALLELISM", "TIMEOUT_SECONDS", "WebDAVStorage"]
