"""Buckets of Google Cloud Storage by its JSON API (format 03 §3)."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import urllib3

from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    InvalidRangeError,
    PykopiaError,
    StorageAuthenticationError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.gcs.client import AnswerError, GCSClient, OtherServerError, TokenError
from pykopia.storage.backends.gcs.options import GCSOptions
from pykopia.storage.base import BlobStorage, PutOption, PutOptions, RetentionMode
from pykopia.storage.fsspec_storage import nanoseconds
from pykopia.storage.http_connections import Body
from pykopia.storage.object_store import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    CONTENT_TYPE,
    ObjectStore,
    locked_until,
    stored_time_ns,
)
from pykopia.storage.point_in_time import BlobVersion, PointInTimeStorage, no_versions
from pykopia.storage.proxies import proxy_for
from pykopia.storage.readonly import ReadOnlyStorage
from pykopia.storage.service_errors import (
    connection_error,
    is_page_of_another,
    not_the_service,
    service_error,
)

MTIME_KEY = "Kopia-Mtime"
"""Metadata with the time that counts instead of the service's: decimal nanoseconds since 1970, as Kopia writes it."""
_BOUNDARY = "pykopia-5f1c7b0e9d"
_FIELDS = "name,size,timeCreated,timeDeleted,metadata,generation"
_TRUST = "give its authority (rootCA), or use the name that the certificate is for"


class GCSStorage(ObjectStore):
    """A bucket of Google Cloud Storage.

    How a put is atomic and durable: it is one upload request with the MD5 of the content. The service shows the object when
    all of it is there, and answers when it keeps it. With object lock the retention goes with the same request.
    """

    failures = (OSError, urllib3.exceptions.HTTPError)

    page_size: ClassVar[int] = 1000
    """Most names in one answer of a listing."""

    def __init__(self, options: GCSOptions, *, checked: bool = True) -> None:
        self.options = options
        super().__init__(
            lambda: GCSClient(options, connect_seconds=CONNECT_SECONDS, answer_seconds=ANSWER_SECONDS),
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
            except AnswerError as error:
                if error.status != 404:
                    raise
                self._check_root()

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob for longer, see ``BlobStorage.extend_retention``; the mode is always ``Locked``, as Kopia's."""
        key = self._key(self._path_of(blob_id))
        with self._failing(f"lock blob {blob_id} in {self.display_name}", blob_id):
            body = json.dumps({"retention": _retention(period_ns)}).encode()
            self._call("PATCH", self._object(key), headers={"Content-Type": "application/json"}, body=body)

    def close(self) -> None:
        """Close the connections."""
        self.fs.close()

    def flush_caches(self) -> None:
        """Do nothing: every listing asks the service."""

    def check_versioned(self) -> None:
        """Refuse a bucket that keeps no versions.

        Raises:
            StorageError: It keeps none.
        """
        with self._failing(f"look for versions in {self.display_name}"):
            found = self._json(f"b/{quote(self.bucket)}", fields="versioning")
        if not found.get("versioning", {}).get("enabled"):
            raise no_versions(self.display_name, self.options.holder)

    def versions(self, prefix: str) -> Iterator[BlobVersion]:
        """Yield all versions of the blobs whose ID starts with ``prefix``, then where they were deleted.

        The service tells of a version that was replaced that it was deleted, perhaps a moment after the next one came.
        """
        gone = []
        beginnings: dict[BlobID, list[int]] = {}
        pages = self._listing(prefix, self.page_size, versions="true")
        while True:
            with self._failing(f"list the versions of {self.display_name}"):
                items = next(pages, None)
                found = [] if items is None else self._versions_of(items)
            if items is None:
                break
            for metadata, generation, deleted_ns in found:
                yield BlobVersion(metadata=metadata, version=generation)
                beginnings.setdefault(metadata.blob_id, []).append(metadata.timestamp_ns)
                if deleted_ns is not None:
                    gone.append((metadata, deleted_ns))
        for metadata, at in gone:
            if any(metadata.timestamp_ns < begun <= at for begun in beginnings[metadata.blob_id]):
                continue
            ended = BlobMetadata(blob_id=metadata.blob_id, length=0, timestamp_ns=at)
            yield BlobVersion(metadata=ended, version="", deleted=True)

    def _versions_of(self, items: Sequence[Mapping[str, Any]]) -> list[tuple[BlobMetadata, str, int | None]]:
        """Return the blobs of a page: each version with its number, and when it ended."""
        found = []
        for item in items:
            blob_id = self._listed_id(item["name"])
            if blob_id is not None:
                metadata = _metadata(blob_id, {**item, "metadata": None})  # the service's time, as for deletions
                ended = _time_ns(item, "timeDeleted") if "timeDeleted" in item else None
                found.append((metadata, str(item.get("generation", "")), ended))
        return found

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
        headers = {}
        if length > 0:
            headers["Range"] = f"bytes={offset}-{offset + length - 1}"
        elif offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            return self._call("GET", self._object(key), headers=headers, alt="media", **more)
        except AnswerError as error:
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
        body = Body(head.encode(), data, f"\r\n--{_BOUNDARY}--\r\n".encode())
        more = {"ifGenerationMatch": "0"} if options.do_not_recreate else {}
        try:
            self._call(
                "POST",
                f"{self.fs.location}/upload/storage/v1/b/{quote(self.bucket)}/o",
                headers={
                    "Content-Type": f"multipart/related; boundary={_BOUNDARY}",
                    "Content-Length": str(len(body)),
                },
                body=body,
                uploadType="multipart",
                **more,
            )
        except AnswerError as error:
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
            items = page.get("items", [])
            if not _is_listing(page, items):
                raise OtherServerError
            yield items
            token = page.get("nextPageToken")
            if not token:
                return
            if token == more.get("pageToken"):  # the same page again, without end
                raise OtherServerError
            more["pageToken"] = token

    def _object(self, key: str) -> str:
        return f"b/{quote(self.bucket)}/o/{quote(key, safe='')}"

    def _call(self, method: str, path: str, **arguments: Any) -> bytes:  # noqa: ANN401
        """Make one request and return what comes back."""
        found: bytes = self.fs.call(method, path, **arguments)
        return found

    def _json(self, path: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
        """Request something whose answer is a JSON object."""
        try:
            found = json.loads(self._call("GET", path, **arguments))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise OtherServerError
        return found

    def _error(self, error: Exception, doing: str, blob_id: BlobID | None = None) -> PykopiaError:
        address = urlsplit(self.fs.base).netloc
        if isinstance(error, OtherServerError):
            return not_the_service(doing, address, error.content_type)
        if isinstance(error, AnswerError):
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
        if isinstance(error, TokenError):
            if error.rejected:
                return StorageAuthenticationError(f"can't {doing}: Google does not take the credentials; check them")
            assert isinstance(error.__cause__, Exception)
            error = error.__cause__
        return connection_error(
            doing, error, address, untrusted=_TRUST, no_tls="check the endpoint", proxy=proxy_for(self.fs.base)
        )


def _retention(period_ns: int) -> dict[str, str]:
    return {"mode": "Locked", "retainUntilTime": locked_until(period_ns).isoformat().replace("+00:00", "Z")}


def _metadata(blob_id: BlobID, item: Mapping[str, Any]) -> BlobMetadata:
    """Return length and time of an object from the answer of the service."""
    told = item.get("metadata")
    time = stored_time_ns(told if isinstance(told, dict) else None, MTIME_KEY, _time_ns(item, "timeCreated"))
    try:
        length = int(item["size"])
    except (KeyError, TypeError, ValueError):
        raise OtherServerError("application/json") from None
    return BlobMetadata(blob_id=blob_id, length=length, timestamp_ns=time)


def _time_ns(item: Mapping[str, Any], name: str) -> int:
    try:
        return nanoseconds(datetime.fromisoformat(item[name]))
    except (KeyError, TypeError, ValueError):
        raise OtherServerError("application/json") from None


def _is_listing(page: Mapping[str, Any], items: object) -> bool:
    """Return False for the answer of another service: it must never be taken for an empty bucket."""
    return (
        isinstance(items, list)
        and all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in items)
        and ("items" in page or "kind" in page or page.keys() <= {"nextPageToken", "prefixes"})
    )


__all__ = ["GCSStorage"]
