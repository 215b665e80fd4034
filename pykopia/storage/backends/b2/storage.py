"""Buckets of Backblaze B2 by its own protocol (format 03 §3).

No fsspec filesystem speaks it; the SDK of its maker does. Through its S3 endpoint such a bucket can also be used as S3, which
Kopia recommends.
"""

import contextlib
import os
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import requests
from b2sdk._internal.b2http import NotDecompressingHTTPAdapter
from b2sdk.v3 import B2Api, B2Http, B2HttpApiConfig, B2RawHTTPApi, InMemoryAccountInfo, UploadSourceBytes
from b2sdk.v3 import exception as b2

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
    UnsupportedOptionError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.b2.options import B2Options
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOption, PutOptions, check_blob_id, check_range
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.http_adapter import OwnSettings
from pykopia.storage.object_store import ANSWER_SECONDS, CONNECT_SECONDS, CONTENT_TYPE, stored_time_ns
from pykopia.storage.proxies import proxy_for
from pykopia.storage.service_errors import asking_to_wait, connection_error, not_the_service, without_secrets
from pykopia.storage.trust import tls_context

MTIME_KEY = "kopia-mtime"
"""File info with the time that counts instead of the service's: decimal nanoseconds since 1970, as Kopia writes it."""

_PIECE = 1 << 20
_REJECTED = (b2.Unauthorized, b2.MissingAccountData)
_DENIED = (b2.AccessDenied, b2.CapExceeded, b2.CapabilityNotAllowed, b2.NotAllowedByAppKeyError, b2.RestrictedBucket)
_FULL = (b2.StorageCapExceeded, b2.NoPaymentHistory)
_TEMPORARY = (b2.TransientErrorMixin, b2.TooManyRequests, b2.MaxRetriesExceeded, b2.BadUploadUrl, b2.ChecksumMismatch)


class _Client:
    """A bucket with the connections of one process."""

    def __init__(self, options: B2Options, config: B2HttpApiConfig | None) -> None:
        self.process = os.getpid()
        self.http = requests.Session()
        self.api = B2Api(InMemoryAccountInfo(), api_config=config or _configuration(self.http, options))
        self.api.services.upload_manager.MAX_UPLOAD_ATTEMPTS = 1  # the retries of the storage count
        try:
            self.api.authorize_account(options.key_id, options.key)
            self.bucket = self.api.get_bucket_by_name(options.bucket)
        except BaseException:
            self.http.close()
            raise


def _configuration(http: requests.Session, options: B2Options) -> B2HttpApiConfig:
    """Return how the SDK makes its requests."""
    config = B2HttpApiConfig(lambda: http, install_clock_skew_hook=False)
    config.raw_api_class = lambda _: B2RawHTTPApi(_Requests(config, tls_context(options.root_ca)))
    return config


class _ConnectionFailedError(b2.B2ConnectionError):  # type: ignore[misc] # as all of the SDK
    """The connection failed; the SDK would keep nothing but words of the reason."""

    def __init__(self, cause: Exception, url: str) -> None:
        self.cause, self.address = cause, urlsplit(url).netloc
        super().__init__(type(cause).__name__)


class _Requests(B2Http):  # type: ignore[misc]
    """The SDK's requests, each made once: it would go on for many minutes by itself, and the retries of the storage count."""

    CONNECTION_TIMEOUT = CONNECT_SECONDS
    TIMEOUT = TIMEOUT_FOR_COPY = TIMEOUT_FOR_UPLOAD = ANSWER_SECONDS

    def __init__(self, config: B2HttpApiConfig, context: ssl.SSLContext) -> None:
        super().__init__(config)
        self.session.mount("https://", _Adapter(context))

    @classmethod
    def _translate_and_retry(cls, fcn: Callable[[], Any], try_count: int, post_params: Any = None) -> Any:  # noqa: ANN401, ARG003
        def once() -> Any:  # noqa: ANN401
            try:
                return fcn()
            except requests.RequestException as error:
                raise _ConnectionFailedError(error, str(error.request.url) if error.request else "") from error

        return cls._translate_errors(once, post_params)


class _Adapter(OwnSettings, NotDecompressingHTTPAdapter):  # type: ignore[misc]
    """The SDK's, which leaves bytes as they come, with settings of ours."""


class B2Storage(BlobStorage):
    """A bucket of Backblaze B2.

    How a put is atomic and durable: it is one upload with the SHA-1 of the content, never a large file of parts. The service
    shows the file when all of it is there, and answers when it keeps it. A delete hides the file, as Kopia's does: what becomes
    of old versions is the bucket's life-cycle rule. The key may be one that is restricted to the bucket.

    The SDK uploads by threads of its own, which a forked process does not have: there, a new client with new connections is
    made at the first use.
    """

    page_size: ClassVar[int] = 1000
    """Most names in one answer of a listing."""

    def __init__(
        self,
        options: B2Options,
        *,
        config: B2HttpApiConfig | None = None,
    ) -> None:
        """Open a bucket, which must exist.

        Args:
            options: Bucket and key.
            config: The SDK's, for tests.
        """
        self.options = options
        self._config = config
        self._client_lock = threading.Lock()
        self._own_client = self._new_client()

    def _new_client(self) -> _Client:
        with self._failing(f"open {self.display_name}"):
            return _Client(self.options, self._config)

    @property
    def _client(self) -> _Client:
        """The client of this process."""
        if self._own_client.process != os.getpid():
            with self._client_lock:
                if self._own_client.process != os.getpid():
                    self._parents = self._own_client  # to let it go would end the connections of the parent
                    self._own_client = self._new_client()
        return self._own_client

    @property
    def put_options(self) -> frozenset[PutOption]:
        """Options that a put supports, see ``BlobStorage.put_options``."""
        return frozenset({"set_mtime"})

    @classmethod
    def from_options(cls, options: B2Options, *, create: bool = False) -> BlobStorage:  # noqa: ARG003 -- what every opener takes
        """Open a bucket, which must exist."""
        return cls(options)

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return a range of a blob, see ``BlobStorage.get``."""
        if length == 0 or offset < 0:
            check_range(blob_id, offset, length, self.metadata(blob_id).length)
            return b""
        if length < 0 and offset:  # the SDK wants the end of a range
            length = self.metadata(blob_id).length - offset
            if length <= 0:
                check_range(blob_id, offset, length, offset + length)
                return b""
        wanted = None if length < 0 else (offset, offset + length - 1)
        try:
            with self._failing(f"read blob {blob_id} from {self.display_name}", blob_id):
                found = self._download(self._name(blob_id), wanted)
        except InvalidRangeError:
            check_range(blob_id, offset, length, self.metadata(blob_id).length)
            return b""
        if length >= 0 and len(found) != length:
            raise InvalidRangeError(blob_id, offset, length)
        return found

    def _download(self, name: str, wanted: tuple[int, int] | None) -> bytes:
        client = self._client
        url = client.api.get_download_url_for_file_name(client.bucket.name, name)
        with client.api.session.download_file_from_url(url, range_=wanted) as answer:
            return b"".join(answer.iter_content(_PIECE))

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob, see ``BlobStorage.metadata``."""
        name = self._name(blob_id)
        with self._failing(f"look at blob {blob_id} in {self.display_name}", blob_id):
            for item in self._page(name, name, 1)["files"]:
                if item["fileName"] == name and item["action"] == "upload":
                    return _metadata(blob_id, item)
        raise BlobNotFoundError(blob_id, self.display_name)

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob, see ``BlobStorage.put`` and the class."""
        for asked, what in (
            (options.has_retention, "lock it: use the S3 endpoint of the bucket for that"),
            (options.do_not_recreate, "create it only if it does not exist"),
        ):
            if asked:
                raise UnsupportedOptionError(f"can't put blob {blob_id}: {self.display_name} can't {what}")
        name = self._name(blob_id)
        told = {} if options.set_mtime_ns is None else {MTIME_KEY: str(options.set_mtime_ns)}
        content = bytes(data)
        with self._failing(f"write blob {blob_id} to {self.display_name}"):
            self._client.bucket.upload(
                UploadSourceBytes(content),
                name,
                content_type=CONTENT_TYPE,
                file_info=told,
                min_part_size=len(content),  # so there is one part, which goes by one request; the service takes 5 GB
            )
        return None

    def delete(self, blob_id: BlobID) -> None:
        """Hide a blob; it is no error if there is none. Other errors are raised; Kopia ignores them."""
        name = self._name(blob_id)
        with (
            self._failing(f"delete blob {blob_id} from {self.display_name}"),
            contextlib.suppress(b2.FileNotPresent, b2.FileAlreadyHidden),
        ):
            self._client.bucket.hide_file(name)

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield every blob whose ID starts with ``prefix``, page by page as the service gives them."""
        start: str | None = self.options.prefix + prefix
        while start is not None:
            with self._failing(f"list the blobs of {self.display_name}"):
                page = self._page(start, self.options.prefix + prefix, self.page_size)
            for item in page["files"]:
                blob_id = BlobID(item["fileName"][len(self.options.prefix) :])
                if item["action"] == "upload" and blob_id and "/" not in blob_id:
                    yield _metadata(blob_id, item)
            start = page["nextFileName"]

    def close(self) -> None:
        """Close the connections of this process."""
        if self._own_client.process == os.getpid():
            self._own_client.http.close()

    def connection_info(self) -> ConnectionInfo:
        """Return what opens the storage again, see ``BlobStorage.connection_info``."""
        return ConnectionInfo.from_options(self.options)

    @property
    def display_name(self) -> str:
        """Name for messages, without secrets."""
        return f"B2: {self.options.bucket}"

    def _name(self, blob_id: BlobID) -> str:
        check_blob_id(blob_id)
        return self.options.prefix + blob_id

    def _page(self, start: str | None, prefix: str, count: int) -> dict[str, Any]:
        client = self._client
        found: dict[str, Any] = client.api.session.list_file_names(client.bucket.id_, start, count, prefix)
        return found

    @contextlib.contextmanager
    def _failing(self, doing: str, blob_id: BlobID | None = None) -> Iterator[None]:
        """Turn what the SDK raises into errors of a storage."""
        try:
            yield
        except PykopiaError:
            raise
        except (b2.B2Error, requests.RequestException, OSError, ValueError) as error:
            raise self._error(error, doing, blob_id) from None  # a foreign traceback may hold the key

    def _error(self, error: Exception, doing: str, blob_id: BlobID | None) -> PykopiaError:
        if isinstance(error, b2.MaxRetriesExceeded) and error.exception_info_list:
            error = error.exception_info_list[-1]
        why = without_secrets(str(error).strip().partition("\n")[0][:300], [self.options.key])
        text = f"can't {doing}: the service answered {type(error).__name__}: {why}".rstrip(" .")
        if blob_id is not None and isinstance(error, b2.FileNotPresent):
            return BlobNotFoundError(blob_id, self.display_name)
        if blob_id is not None and isinstance(error, b2.UnsatisfiableRange | b2.InvalidRange):
            return InvalidRangeError(blob_id, 0, -1)
        if isinstance(error, b2.BadJson | ValueError) and "<" in str(error)[:200]:
            return not_the_service(doing, "Backblaze B2")
        if isinstance(error, _ConnectionFailedError):
            return connection_error(
                doing,
                error.cause,
                error.address,
                untrusted="give its authority (rootCA), or use the name that the certificate is for",
                no_tls="check the network, and whether a proxy answers in its place",
                proxy=proxy_for(f"https://{error.address}"),
            )
        if isinstance(error, b2.TooManyRequests) or (isinstance(error, b2.ServiceError) and why.startswith("503")):
            waiting = getattr(error, "retry_after_seconds", None)
            return asking_to_wait(
                StorageBusyError(f"{text}; try again later"), None if waiting is None else str(waiting)
            )
        for kinds, make, hint in (
            ((b2.NonExistentBucket, b2.BucketIdNotFound, b2.RestrictedBucketMissing), StorageNotFoundError,
             "create it first, or correct its name: names are matched exactly and are case-sensitive"),
            (_FULL, StorageFullError, "raise the cap of the account, or free some space"),
            (_DENIED, StorageAccessDeniedError, "the key must be allowed to use the bucket, and caps must not be used up"),
            (_REJECTED, StorageAuthenticationError, "check key ID and key: they may have expired or been deleted"),
            (_TEMPORARY, StorageUnavailableError, "try again later"),
            ((requests.RequestException, OSError), StorageUnavailableError, "check the network"),
        ):  # fmt: skip
            if isinstance(error, kinds):
                return make(f"{text}; {hint}")
        return StorageError(text)


def _metadata(blob_id: BlobID, item: Mapping[str, Any]) -> BlobMetadata:
    """Return length and time of a file from the answer of the service."""
    time = stored_time_ns(item.get("fileInfo"), MTIME_KEY, item["uploadTimestamp"] * 1_000_000)
    return BlobMetadata(blob_id=blob_id, length=item["contentLength"], timestamp_ns=time)


__all__ = ["B2Storage"]
