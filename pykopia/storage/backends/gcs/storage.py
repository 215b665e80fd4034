"""Buckets of Google Cloud Storage (format 03 §3).

The filesystem is gcsfs'; requests go through it to the JSON API, as it has no words for conditions, metadata and retention.
"""

import base64
import contextlib
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import aiohttp
from fsspec.asyn import sync
from fsspec.exceptions import FSTimeoutError
from gcsfs.core import GCSFileSystem
from gcsfs.retry import HttpError, NonRetryableError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError, RefreshError
from yarl import URL

from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    InvalidRangeError,
    PykopiaError,
    StorageAuthenticationError,
    StorageError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.gcs.options import GCSOptions
from pykopia.storage.base import BlobStorage, PutOption, PutOptions, RetentionMode
from pykopia.storage.fsspec_storage import nanoseconds
from pykopia.storage.google_credentials import load_credentials, trust_for_tokens
from pykopia.storage.object_store import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    CONNECTIONS,
    CONTENT_TYPE,
    SLOWEST,
    ObjectStore,
    locked_until,
    stored_time_ns,
)
from pykopia.storage.point_in_time import BlobVersion, PointInTimeStorage
from pykopia.storage.proxies import proxy_for
from pykopia.storage.readonly import ReadOnlyStorage
from pykopia.storage.service_errors import (
    connection_error,
    is_page_of_another,
    not_the_service,
    service_error,
)
from pykopia.storage.trust import tls_context

MTIME_KEY = "Kopia-Mtime"
"""Metadata with the time that counts instead of the service's: decimal nanoseconds since 1970, as Kopia writes it."""
_SCOPE = "https://www.googleapis.com/auth/devstorage.full_control"
_READ_ONLY_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
_BOUNDARY = "pykopia-5f1c7b0e9d"
_FIELDS = "name,size,timeCreated,timeDeleted,metadata,generation"
_TRUST = "give its authority (rootCA), or use the name that the certificate is for"


class GCSStorage(ObjectStore):
    """A bucket of Google Cloud Storage.

    How a put is atomic and durable: it is one upload request with the MD5 of the content. The service shows the object when
    all of it is there, and answers when it keeps it. With object lock the retention goes with the same request.
    """

    failures = (OSError, aiohttp.ClientError, FSTimeoutError, GoogleAuthError, HttpError, NonRetryableError)

    page_size: ClassVar[int] = 1000
    """Most names in one answer of a listing."""

    def __init__(self, options: GCSOptions, *, checked: bool = True) -> None:
        self.options = options
        super().__init__(
            lambda: _Filesystem(options),
            options.bucket,
            options=options,
            display_name=f"GCS: {options.bucket}",
            checked=checked,
        )

    @property
    def put_options(self) -> frozenset[PutOption]:
        """Options that a put supports, see ``BlobStorage.put_options``."""
        return frozenset({"do_not_recreate", "retention", "set_mtime"})

    @classmethod
    def from_options(cls, options: GCSOptions, *, create: bool = False) -> BlobStorage:  # noqa: ARG003
        """Open a bucket, which ``check`` looks for; with a point in time, for reading as it was then."""
        if options.point_in_time:
            return PointInTimeStorage(cls(options), datetime.fromisoformat(options.point_in_time))
        storage = cls(options, checked=False)
        return ReadOnlyStorage(storage) if options.read_only else storage

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob; it is no error if there is none. A bucket with versions keeps the old ones."""
        key = self._key(self._path_of(blob_id))
        with self._failing(f"delete blob {blob_id} from {self.display_name}"):
            try:
                self._call("DELETE", self._object(key))
            except _AnswerError as error:
                if error.status != 404:
                    raise
                self._check_root()

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob for longer, see ``BlobStorage.extend_retention``; the mode is always ``Locked``, as Kopia's."""
        key = self._key(self._path_of(blob_id))
        with self._failing(f"lock blob {blob_id} in {self.display_name}", blob_id):
            self._call("PATCH", self._object(key), json={"retention": _retention(period_ns)})

    def close(self) -> None:
        """Close the connections."""
        session = self.fs.session
        if session is not None and not session.closed:
            sync(self.fs.loop, session.close)

    def check_versioned(self) -> None:
        """Refuse a bucket that keeps no versions.

        Raises:
            StorageError: It keeps none.
        """
        with self._failing(f"look for versions in {self.display_name}"):
            found = self._json(f"b/{quote(self.bucket)}", fields="versioning")
        if not found.get("versioning", {}).get("enabled"):
            raise StorageError(
                f"can't look at {self.display_name} as it was: the bucket keeps no versions; connect without a point in time"
            )

    def versions(self, prefix: str) -> Iterator[BlobVersion]:
        """Yield all versions of the blobs whose ID starts with ``prefix``, then where they were deleted.

        The service tells of a version that was replaced that it was deleted, perhaps a moment after the next one came.
        """
        gone = []
        beginnings: dict[BlobID, list[int]] = {}
        for items in self._listing(prefix, self.page_size, versions="true"):
            for item in items:
                blob_id = self._listed_id(item["name"])
                if blob_id is None:
                    continue
                created = nanoseconds(datetime.fromisoformat(item["timeCreated"]))
                metadata = BlobMetadata(blob_id=blob_id, length=int(item["size"]), timestamp_ns=created)
                yield BlobVersion(metadata=metadata, version=item["generation"])
                beginnings.setdefault(blob_id, []).append(created)
                if "timeDeleted" in item:
                    gone.append((metadata, nanoseconds(datetime.fromisoformat(item["timeDeleted"]))))
        for metadata, at in gone:
            if any(metadata.timestamp_ns < begun <= at for begun in beginnings[metadata.blob_id]):
                continue
            ended = BlobMetadata(blob_id=metadata.blob_id, length=0, timestamp_ns=at)
            yield BlobVersion(metadata=ended, version="", deleted=True)

    def get_version(self, blob_id: BlobID, version: str, offset: int, length: int) -> bytes:
        """Return a range of one version of a blob, as ``get`` does; a length of 0 is not asked for."""
        key = self._key(self._path_of(blob_id))
        with self._failing(f"read blob {blob_id} from {self.display_name}", blob_id):
            return self._fetch(key, offset, length, generation=version)

    def _check_root(self) -> None:
        next(self._listing("", 1), None)

    def _read(self, path: str, offset: int, length: int) -> bytes:
        return self._fetch(self._key(path), offset, length)

    def _fetch(self, key: str, offset: int, length: int, **more: Any) -> bytes:  # noqa: ANN401
        headers = {"Accept-Encoding": "identity"}
        if length > 0:
            headers["Range"] = f"bytes={offset}-{offset + length - 1}"
        elif offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            return self._call("GET", self._object(key), headers=headers, alt="media", **more)
        except _AnswerError as error:
            if error.status == 416:
                return b""  # nothing is there: the caller sees that it is less than asked for
            raise

    def _put_file(self, path: str, data: Buffer, options: PutOptions) -> None:
        key = self._key(path)
        digest = hashlib.md5(data, usedforsecurity=False).digest()
        told: dict[str, Any] = {
            "name": key,
            "contentType": CONTENT_TYPE,
            "md5Hash": base64.b64encode(digest).decode("ascii"),
        }
        if options.set_mtime_ns is not None:
            told["metadata"] = {MTIME_KEY: str(options.set_mtime_ns)}
        if options.has_retention:
            told["retention"] = _retention(options.retention_period_ns)
        head = (
            f"--{_BOUNDARY}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(told)}\r\n"
            f"--{_BOUNDARY}\r\nContent-Type: {CONTENT_TYPE}\r\n\r\n"
        )
        more: dict[str, Any] = {"ifGenerationMatch": "0"} if options.do_not_recreate else {}
        try:
            self._call(
                "POST",
                f"{self.fs._location}/upload/storage/v1/b/{quote(self.bucket)}/o",  # noqa: SLF001 -- as gcsfs' own callers
                headers={"Content-Type": f"multipart/related; boundary={_BOUNDARY}"},
                data=io.BytesIO(b"".join((head.encode(), data, f"\r\n--{_BOUNDARY}--\r\n".encode()))),
                timeout=CONNECT_SECONDS + ANSWER_SECONDS + len(data) / SLOWEST,
                uploadType="multipart",
                **more,
            )
        except _AnswerError as error:
            if options.do_not_recreate and error.status == 412:
                raise BlobExistsError(key[len(self.prefix) :], self.display_name) from None
            raise

    def _head(self, blob_id: BlobID, key: str) -> BlobMetadata:
        return _metadata(blob_id, self._json(self._object(key), fields=_FIELDS))

    def _pages(self, prefix: str) -> Iterator[Sequence[BlobMetadata]]:
        for items in self._listing(prefix, self.page_size):
            found = ((self._listed_id(item["name"]), item) for item in items)
            yield [_metadata(blob_id, item) for blob_id, item in found if blob_id is not None]

    def _listing(self, prefix: str, page_size: int, **more: Any) -> Iterator[list[dict[str, Any]]]:  # noqa: ANN401
        while True:
            page = self._json(
                f"b/{quote(self.bucket)}/o",
                prefix=self.prefix + prefix,
                delimiter="/",
                maxResults=str(page_size),
                fields=f"nextPageToken,items({_FIELDS})",
                **more,
            )
            yield page.get("items", [])
            if not page.get("nextPageToken"):
                return
            more["pageToken"] = page["nextPageToken"]

    def _object(self, key: str) -> str:
        return f"b/{quote(self.bucket)}/o/{quote(key, safe='')}"

    def _call(self, method: str, path: str, *, timeout: float | None = None, **arguments: Any) -> bytes:  # noqa: ANN401
        """Make one request, which is given up after ``timeout`` seconds, and return what comes back."""
        _, found = sync(self.fs.loop, self.fs._call, method, path, timeout=timeout, **arguments)  # noqa: SLF001
        return bytes(found)

    def _json(self, path: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
        """Ask for something that is told as a JSON object."""
        try:
            found = json.loads(self._call("GET", path, **arguments))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise _OtherServerError
        return found

    def _error(self, error: Exception, doing: str, blob_id: BlobID | None = None) -> PykopiaError:
        address = urlsplit(self.fs.base).netloc
        if isinstance(error, _OtherServerError):
            return not_the_service(doing, address, error.content_type)
        if isinstance(error, _AnswerError):
            if not error.reason and is_page_of_another(error.status, error.headers.get("Content-Type")):
                return not_the_service(doing, address, "text/html")
            if blob_id is not None and error.status == 404:
                self._check_root()
                return BlobNotFoundError(blob_id, self.display_name)
            if blob_id is not None and error.status == 416:
                return InvalidRangeError(blob_id, 0, -1)
            code = "NoSuchBucket" if error.status == 404 and error.words else error.reason
            return service_error(
                doing,
                status=error.status,
                code=code,
                reason=self._safe(error.words),
                retry_after=error.headers.get("Retry-After"),
                date=error.headers.get("Date"),
                location=error.headers.get("Location"),
            )
        if isinstance(error, HttpError | NonRetryableError) and isinstance(error.__cause__, Exception):
            error = error.__cause__  # gcsfs tells of every token that it does not get as a rejected one
        if isinstance(error, RefreshError) and not error.retryable:
            return StorageAuthenticationError(f"can't {doing}: Google does not take the credentials; check them")
        return connection_error(
            doing, error, address, untrusted=_TRUST, no_tls="check the endpoint", proxy=proxy_for(self.fs.base)
        )


class _AnswerError(OSError):
    """The service answered with an error."""

    def __init__(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.status, self.reason, self.words, self.headers = status, "", "", headers
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, IndexError):
            told = json.loads(content)["error"]
            self.words = str(told["message"])
            self.reason = str(told["errors"][0]["reason"])
        super().__init__(f"HTTP status {status}")


class _OtherServerError(OSError):
    """The server is not Google's service."""

    content_type = ""


class _Filesystem(GCSFileSystem):  # type: ignore[misc] # gcsfs has no types
    """gcsfs that trusts whom the connection says, and tries nothing again by itself."""

    cachable = False

    def __init__(self, options: GCSOptions) -> None:
        self._options = options
        self._session: aiohttp.ClientSession | None = None
        super().__init__(
            project=options.project_id or "none",  # only for what is not done here
            token=AnonymousCredentials(),
            skip_instance_cache=True,
        )
        self._endpoint = self._location  # for as long as it lives
        if self.on_google or options.credentials or options.credentials_file:
            scope = _READ_ONLY_SCOPE if options.read_only else _SCOPE
            credentials = load_credentials(
                options.credentials, options.credentials_file, scopes=[scope], service="Google Cloud Storage"
            )
            if options.root_ca:
                trust_for_tokens(credentials, tls_context(options.root_ca))
            self.credentials.credentials = credentials

    async def _set_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            options = self._options
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=tls_context(options.root_ca)),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS),
            )
        return self._session

    async def _request(
        self,
        method: str,
        path: str,
        *_: str,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        data: io.BytesIO | None = None,
        **parameters: str,
    ) -> tuple[int, Any, Any, bytes]:
        """Make one request; gcsfs' own would try again."""
        session = await self._set_session()
        where = path if path.startswith("http") else self.base + path
        async with session.request(
            method,
            URL(where, encoded=True).update_query(parameters),
            json=json,
            data=data,
            headers=self._get_headers(headers),
            proxy=proxy_for(where),
            allow_redirects=False,
        ) as answer:
            content = await answer.read()
            if answer.status >= 300:
                raise _AnswerError(answer.status, content, answer.headers)
            if answer.content_type == "text/html":
                error = _OtherServerError()
                error.content_type = answer.content_type
                raise error
            return answer.status, answer.headers, answer.request_info, content


def _retention(period_ns: int) -> dict[str, str]:
    return {"mode": "Locked", "retainUntilTime": locked_until(period_ns).isoformat().replace("+00:00", "Z")}


def _metadata(blob_id: BlobID, item: Mapping[str, Any]) -> BlobMetadata:
    """Return length and time of what the service tells of an object."""
    created = nanoseconds(datetime.fromisoformat(item["timeCreated"]))
    time = stored_time_ns(item.get("metadata"), MTIME_KEY, created)
    return BlobMetadata(blob_id=blob_id, length=int(item["size"]), timestamp_ns=time)


__all__ = ["GCSStorage"]
