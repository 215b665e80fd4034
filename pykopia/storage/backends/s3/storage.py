"""Buckets that speak S3: AWS, MinIO and all compatible services (format 03 §3)."""

import json
import ssl
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar

import urllib3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from pykopia.dataclass import dataclass
from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    InvalidRangeError,
    PykopiaError,
    StorageAccessDeniedError,
    StorageError,
    UnsupportedOptionError,
    UsageError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.s3.address import DEFAULT_REGION, STYLES, S3Address
from pykopia.storage.backends.s3.client import OtherServerError, S3Client
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.backends.s3.sdk import SDK, Key
from pykopia.storage.backends.s3.transfer import S3Transfer
from pykopia.storage.base import BlobStorage, PutOption, PutOptions, RetentionMode
from pykopia.storage.fsspec_storage import nanoseconds
from pykopia.storage.http_connections import connections
from pykopia.storage.object_store import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    CONNECTIONS,
    CONTENT_TYPE,
    ObjectStore,
    locked_until,
)
from pykopia.storage.point_in_time import BlobVersion, PointInTimeStorage, no_versions
from pykopia.storage.proxies import proxy_for
from pykopia.storage.service_errors import connection_error, not_the_service, service_error
from pykopia.storage.trust import tls_context, unverified_context

CONFIG_ID = BlobID(".storageconfig")
"""Object that holds the storage classes of new objects; it is no blob."""
_NO_LOCK_CODES = frozenset({"InvalidRequest", "ObjectLockConfigurationNotFoundError"})
_DISABLE_TLS = "if it speaks plain HTTP, connect with --disable-tls"
_TRUST = "give its authority by --root-ca-pem-path, or use the name that the certificate is for"


@dataclass(frozen=True, kw_only=True, slots=True)
class StorageClass:
    """The storage class of the blobs whose ID has a prefix."""

    prefix: str
    name: str


class S3Storage(ObjectStore):
    """A bucket that speaks S3.

    How a put is atomic and durable: it is one PutObject, never a multipart upload. The service shows the object when all of
    it is there and its CRC or MD5 is that of the header (see ``S3Transfer``), and answers when it keeps it. With object lock
    the retention goes with the same request.
    """

    failures = (OSError, BotoCoreError, ClientError, urllib3.exceptions.HTTPError)

    page_size: ClassVar[int] = 1000
    """Most names in one answer of a listing."""

    def __init__(self, options: S3Options, *, checked: bool = True) -> None:
        self.options = options
        self._classes: tuple[StorageClass, ...] = ()
        self._address = S3Address(
            endpoint=options.endpoint,
            bucket=options.bucket,
            tls=not options.do_not_use_tls,
            style=_style(options),
        )
        self._transfer: S3Transfer | None = None
        super().__init__(
            lambda: _client(options, self._address),
            options.bucket,
            options=options,
            display_name=f"S3: {options.endpoint} {options.bucket}",
            checked=checked,
        )

    @property
    def put_options(self) -> frozenset[PutOption]:
        """Options that a put supports, see ``BlobStorage.put_options``."""
        return frozenset({"do_not_recreate", "retention"})

    @classmethod
    def from_options(cls, options: S3Options, *, create: bool = False) -> BlobStorage:  # noqa: ARG003 -- what every opener takes
        """Open a bucket, which ``check`` looks for; with a point in time, for reading as it was then."""
        if options.point_in_time:
            return PointInTimeStorage(cls(options), datetime.fromisoformat(options.point_in_time))
        return cls(options, checked=False)

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob, see ``BlobStorage.metadata``."""
        try:
            return super().metadata(blob_id)
        except PykopiaError as error:
            answer = _answer(error.__cause__) if error.__cause__ else {}
            if answer.get("Code") not in {"301", "400"}:
                raise
        # an answer to HEAD has no words: one to another request tells which region it should have been, and is remembered
        with self._failing(f"look at blob {blob_id} in {self.display_name}"):
            self._check_root()
        return super().metadata(blob_id)

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob; it is no error if there is none. A bucket with versions keeps the old ones."""
        key = self._key(self._path_of(blob_id))
        with self._failing(f"delete blob {blob_id} from {self.display_name}"):
            self._call("delete_object", Key=key)

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob for longer, see ``BlobStorage.extend_retention``."""
        key = self._key(self._path_of(blob_id))
        retention = {"Mode": mode, "RetainUntilDate": locked_until(period_ns)}
        with self._failing(f"lock blob {blob_id} in {self.display_name}", blob_id):
            try:
                self._call("put_object_retention", Key=key, Retention=retention)
            except ClientError as error:
                raise self._no_lock(blob_id, error) or error from error

    def _no_lock(self, blob_id: str, error: Exception) -> UnsupportedOptionError | None:
        """Return the error that stands for a lock that the bucket can't keep, nothing for any other."""
        if _answer(error).get("Code") not in _NO_LOCK_CODES:
            return None
        return UnsupportedOptionError(
            f"can't lock blob {blob_id}: {self.display_name} has no object lock; use a bucket that was created with it, or "
            "switch it off for this repository"
        )

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
            status = self._call("get_bucket_versioning").get("Status", "")
        if not status:
            raise no_versions(self.display_name, self.options.holder)

    def versions(self, prefix: str) -> Iterator[BlobVersion]:
        """Yield all versions of the blobs whose ID starts with ``prefix``, deletions included."""
        marker: dict[str, Any] = {}
        while True:
            with self._failing(f"list the versions of {self.display_name}"):
                page = self._call(
                    "list_object_versions", Prefix=self.prefix + prefix, Delimiter="/", MaxKeys=self.page_size, **marker
                )
            for name, deleted in (("Versions", False), ("DeleteMarkers", True)):
                for item in page.get(name, ()):
                    blob_id = self._listed_id(item["Key"])
                    if blob_id is not None and blob_id != CONFIG_ID:
                        yield BlobVersion(
                            metadata=_metadata(blob_id, item.get("Size", 0), item["LastModified"]),
                            version=item["VersionId"],
                            deleted=deleted,
                        )
            if not page.get("IsTruncated"):
                return
            marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page.get("NextVersionIdMarker", "")}

    def get_version(self, blob_id: BlobID, version: str, offset: int, length: int) -> bytes:
        """Return a range of one version of a blob, as ``get`` does; a length of 0 is not asked for."""
        key = self._key(self._path_of(blob_id))
        with self._failing(f"read blob {blob_id} from {self.display_name}", blob_id):
            return self._fetch(key, offset, length, VersionId=version)

    def _check_opened(self) -> None:
        try:
            content = self._fetch(self.prefix + CONFIG_ID, 0, -1)
        except ClientError as error:
            if _answer(error)["Code"] in {"NoSuchKey", "404"}:
                return
            raise
        try:
            self._classes = _storage_classes(content, self.display_name)
        except StorageError:
            self._check_root()  # a server that is not S3 may give the same answer to every request
            raise

    def _check_root(self) -> None:
        self._call("list_objects_v2", Prefix=self.prefix, MaxKeys=1)

    def _read(self, path: str, offset: int, length: int) -> bytes:
        return self._fetch(self._key(path), offset, length)

    def _fetch(self, key: str, offset: int, length: int, **more: str) -> bytes:
        if length > 0:
            more["Range"] = f"bytes={offset}-{offset + length - 1}"
        elif offset:
            more["Range"] = f"bytes={offset}-"
        try:
            return self._bytes.get(key, **more)
        except ClientError as error:
            if _answer(error).get("Code") in {"InvalidRange", "416"}:
                return b""  # nothing is there: the caller sees that it is less than asked for
            raise

    @property
    def _bytes(self) -> S3Transfer:
        """Transfers the bytes of objects over connections of this process."""
        client, found = self.fs, self._transfer
        if found is None or found.client is not client:
            with self._fs_lock:
                found = self._transfer
                if found is None or found.client is not client:
                    found = self._transfer = S3Transfer(client, self.bucket)
        return found

    def _put_file(self, path: str, data: Buffer, options: PutOptions) -> None:
        key = self._key(path)
        more: dict[str, Any] = {}
        storage_class = next(
            (item.name for item in self._classes if key[len(self.prefix) :].startswith(item.prefix)), ""
        )
        if storage_class:
            more["StorageClass"] = storage_class
        if options.has_retention:
            more["ObjectLockMode"] = options.retention_mode
            more["ObjectLockRetainUntilDate"] = locked_until(options.retention_period_ns)
        if options.do_not_recreate:
            more["IfNoneMatch"] = "*"
        try:
            self._bytes.put(key, data, ContentType=CONTENT_TYPE, **more)
        except ClientError as error:
            if options.do_not_recreate and _answer(error).get("Code") == "PreconditionFailed":
                raise BlobExistsError(key[len(self.prefix) :], self.display_name) from None
            if options.has_retention and (refused := self._no_lock(key[len(self.prefix) :], error)):
                raise refused from error
            raise

    def _head(self, blob_id: BlobID, key: str) -> BlobMetadata:
        found = self._call("head_object", Key=key)
        return _metadata(blob_id, found["ContentLength"], found["LastModified"])

    def _pages(self, prefix: str) -> Iterator[Sequence[BlobMetadata]]:
        token: dict[str, Any] = {}
        while True:
            page = self._call(
                "list_objects_v2", Prefix=self.prefix + prefix, Delimiter="/", MaxKeys=self.page_size, **token
            )
            blobs = []
            for item in page.get("Contents", ()):
                blob_id = self._listed_id(item["Key"])
                if blob_id is not None and blob_id != CONFIG_ID:
                    blobs.append(_metadata(blob_id, item["Size"], item["LastModified"]))
            yield blobs
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _call(self, method: str, /, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 -- the SDK has no types
        """Make one request for the bucket that moves no bytes of objects."""
        found: dict[str, Any] = getattr(self.fs, method)(Bucket=self.bucket, **arguments)
        return found

    def _error(self, error: Exception, doing: str, blob_id: BlobID | None = None) -> PykopiaError:
        cause = error if isinstance(error, ClientError) else error.__cause__
        if isinstance(cause, ClientError):
            answer = _answer(cause)
            code, status = answer["Code"], answer["HTTPStatusCode"]
            if blob_id is not None and (code == "NoSuchKey" or (status == 404 and code != "NoSuchBucket")):
                self._check_root()
                return BlobNotFoundError(blob_id, self.display_name)
            if blob_id is not None and status == 416:
                return InvalidRangeError(blob_id, 0, -1)
            return service_error(
                doing,
                status=status,
                code=code,
                reason=self._safe(answer.get("Message", "")),
                retry_after=answer["RetryAfter"],
                date=answer["Date"],
                location=answer["Location"],
            )
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return StorageAccessDeniedError(
                f"can't {doing}: there are no credentials; give an access key and its secret, or set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY"
            )
        if isinstance(error, OtherServerError):
            return not_the_service(doing, self.options.endpoint, error.content_type)
        proxy = proxy_for(self._address.url("", self.fs.region))
        return connection_error(doing, error, self.options.endpoint, untrusted=_TRUST, no_tls=_DISABLE_TLS, proxy=proxy)


def _style(options: S3Options) -> str:
    """Return in which part of requests the bucket is named.

    Raises:
        UsageError: The setting has a value that it can't have.
    """
    if options.addressing_style not in STYLES:
        raise UsageError(
            f"can't use the addressing style {options.addressing_style!r} of this connection: it is path, virtual, or left out"
        )
    return options.addressing_style


def _client(options: S3Options, address: S3Address) -> S3Client:
    """Return a client with connections of its own, which tries nothing again by itself."""
    sdk = SDK()
    region = options.region or address.region or sdk.setting("region", "AWS_DEFAULT_REGION") or DEFAULT_REGION
    key = None
    if options.role_arn:
        from pykopia.storage.backends.s3.credentials import add_role  # noqa: PLC0415 -- loads all of the SDK

        add_role(sdk.session, options, _context(options, sdk))
    elif options.access_key_id:
        key = Key(options.access_key_id, options.secret_access_key, options.session_token or None)
    pool = connections(
        address.url("", region),
        most=CONNECTIONS,
        connect_seconds=CONNECT_SECONDS,
        answer_seconds=ANSWER_SECONDS,
        context=_context(options, sdk) if address.tls else None,
    )
    return S3Client(address, sdk=sdk, region=region, pool=pool, key=key)


def _context(options: S3Options, sdk: SDK) -> ssl.SSLContext:
    if options.do_not_verify_tls:  # the user asked for it, and need not be warned at each request
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return unverified_context()
    context = tls_context(options.root_ca)
    if bundle := sdk.setting("ca_bundle", "AWS_CA_BUNDLE"):
        context.load_verify_locations(bundle)
    return context


def _metadata(blob_id: BlobID, length: int, modified: datetime) -> BlobMetadata:
    return BlobMetadata(blob_id=blob_id, length=length, timestamp_ns=nanoseconds(modified))


def _answer(error: BaseException) -> dict[str, Any]:
    """Return code, words and status of what the service answered; empty if it did not."""
    for item in (error, error.__cause__):
        if isinstance(item, ClientError):
            answer = item.response.get("ResponseMetadata", {})
            headers = answer.get("HTTPHeaders", {})
            return {
                "Code": "",
                "HTTPStatusCode": answer.get("HTTPStatusCode", 0),
                "RetryAfter": headers.get("retry-after"),
                "Date": headers.get("date"),
                "Location": headers.get("location"),
                **item.response.get("Error", {}),
            }
    return {}


def _storage_classes(content: bytes, location: str) -> tuple[StorageClass, ...]:
    try:
        items = json.loads(content).get("blobOptions") or ()
        return tuple(StorageClass(prefix=item.get("prefix", ""), name=item.get("storageClass", "")) for item in items)
    except (ValueError, AttributeError, TypeError) as error:
        raise StorageError(
            f"can't read {CONFIG_ID} in {location}, which tells the storage classes of new objects; correct or delete it"
        ) from error


__all__ = ["CONFIG_ID", "S3Storage", "StorageClass"]
