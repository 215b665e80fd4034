"""Containers of Azure Blob Storage (format 03 §3).

The filesystem is adlfs'. Requests go to the SDK beneath it, as it has no words for conditions, metadata and immutability.
"""

import contextlib
import io
import ipaddress
import ssl
from collections.abc import Coroutine, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from adlfs import AzureBlobFileSystem
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DeserializationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob import ContentSettings, ImmutabilityPolicy
from azure.storage.blob.aio import BlobServiceClient
from fsspec.asyn import sync
from fsspec.exceptions import FSTimeoutError

from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    InvalidRangeError,
    PykopiaError,
    StorageAuthenticationError,
    UsageError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import FORMAT_BLOB_ID
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.azureblob.options import AzureBlobOptions
from pykopia.storage.base import BlobStorage, PutOption, PutOptions, RetentionMode
from pykopia.storage.fsspec_storage import nanoseconds
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
from pykopia.storage.point_in_time import BlobVersion, PointInTimeStorage, no_versions
from pykopia.storage.proxies import proxy_for
from pykopia.storage.service_errors import (
    connection_error,
    is_page_of_another,
    not_the_service,
    service_error,
)
from pykopia.storage.trust import tls_context

DEFAULT_DOMAIN = "blob.core.windows.net"
MTIME_KEY = "Kopiamtime"
"""Metadata of a blob with the time that counts instead of the service's: decimal nanoseconds since 1970, as Kopia writes it."""
LARGEST_PUT = 256 << 20
"""Bytes up to which a put is one request: all packs are."""
_VERSIONS = ("versions", "deletedwithversions")
"""Additional parts of a listing, such as deleted versions."""
_MARKER_LOCK_NS = 60 * 10**9
"""For how long the version that comes before a deleted one could be locked, as Kopia has it."""
_TRUST = "give its authority (rootCA), or use the name that the certificate is for"
_DISABLE_TLS = "if it speaks plain HTTP, connect without TLS (doNotUseTLS)"

_T = TypeVar("_T")


class AzureStorage(ObjectStore):
    """A container of Azure Blob Storage.

    How a put is atomic and durable: it is one Put Blob request with the MD5 of the content, never a list of blocks. The
    service shows the blob when all of it is there, and answers when it keeps it. With object lock the immutability policy
    goes with the same request.
    """

    failures = (OSError, AzureError, DeserializationError, UnicodeDecodeError, aiohttp.ClientError, FSTimeoutError)

    page_size = 5000
    """Most names in one answer of a listing."""

    def __init__(self, options: AzureBlobOptions, *, checked: bool = True) -> None:
        self.options = options
        self.address = _address(options)
        super().__init__(
            lambda: _Filesystem(options, self.address),
            options.container,
            options=options,
            display_name=f"Azure: {options.storage_account} {options.container}",
            checked=checked,
        )

    @property
    def put_options(self) -> frozenset[PutOption]:
        """Options that a put supports, see ``BlobStorage.put_options``."""
        return frozenset({"do_not_recreate", "retention", "set_mtime"})

    @classmethod
    def from_options(cls, options: AzureBlobOptions, *, create: bool = False) -> BlobStorage:  # noqa: ARG003
        """Open a container, which ``check`` looks for; with a point in time, for reading as it was then."""
        if options.point_in_time:
            return PointInTimeStorage(cls(options), datetime.fromisoformat(options.point_in_time))
        return cls(options, checked=False)

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob; it is no error if there is none. A container with versions keeps the old ones, locked or not."""
        blob = self._blob(self._path_of(blob_id))
        with self._failing(f"delete blob {blob_id} from {self.display_name}"):
            try:
                self._wait(blob.delete_blob())
            except ResourceNotFoundError as error:
                if _code(error) != "BlobNotFound":
                    raise
            except ResourceExistsError as error:
                if _code(error) != "BlobImmutableDueToPolicy":
                    raise
                self._delete_locked(blob)

    def _delete_locked(self, blob: Any) -> None:  # noqa: ANN401 -- the SDK has no types
        """Delete what a policy keeps, as Kopia does: an empty version without a lock comes before it, and is deleted.

        The version beneath stays for as long as its policy says. Whoever reads between the requests finds an empty blob; if
        it ends there, deleting once more goes on from there.
        """
        unlocked = ImmutabilityPolicy(expiry_time=locked_until(_MARKER_LOCK_NS), policy_mode="Unlocked")
        put = self._wait(blob.upload_blob(b"", overwrite=True, immutability_policy=unlocked))
        self._wait(blob.delete_immutability_policy())
        self._wait(blob.delete_blob())
        if put.get("version_id"):
            with contextlib.suppress(
                *self.failures
            ):  # the blob is gone: only who looks for old versions would see this one
                self._wait(blob.delete_blob(version_id=put["version_id"]))

    def check_versioned(self) -> None:
        """Refuse a container that keeps no versions, as far as the blobs of a repository in it show.

        Raises:
            StorageError: It keeps none.
        """
        with self._failing(f"look for versions in {self.display_name}"):
            found = self._wait(self._next_page(self._listing(FORMAT_BLOB_ID, self.page_size, *_VERSIONS))) or []
        if found and not any(item.version_id for item in found):
            raise no_versions(self.display_name, self.options.holder)

    def versions(self, prefix: str) -> Iterator[BlobVersion]:
        """Yield all versions of the blobs whose ID starts with ``prefix``, deletions included.

        What lies there since before the container kept versions has none, and counts from its last change on.
        """
        listing = self._listing(prefix, self.page_size, *_VERSIONS)
        while True:
            with self._failing(f"list the versions of {self.display_name}"):
                page = self._wait(self._next_page(listing))
            if page is None:
                return
            for item in page:
                blob_id, version = self._listed_id(item.name), item.version_id or ""
                deleted = bool(item.has_versions_only)
                if blob_id is None or (deleted and not version):
                    continue
                time_ns = _version_time_ns(version, item.last_modified)
                metadata = BlobMetadata(blob_id=blob_id, length=item.size or 0, timestamp_ns=time_ns)
                yield BlobVersion(metadata=metadata, version=version, deleted=deleted)

    def get_version(self, blob_id: BlobID, version: str, offset: int, length: int) -> bytes:
        """Return a range of one version of a blob, as ``get`` does; a length of 0 is not asked for."""
        path = self._path_of(blob_id)
        with self._failing(f"read blob {blob_id} from {self.display_name}", blob_id):
            return self._fetch(path, offset, length, **({"version_id": version} if version else {}))

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob for longer, see ``BlobStorage.extend_retention``; Azure's lock is that of the mode COMPLIANCE."""
        blob = self._blob(self._path_of(blob_id))
        with self._failing(f"lock blob {blob_id} in {self.display_name}", blob_id):
            self._wait(blob.set_immutability_policy(_immutable(period_ns)))

    def close(self) -> None:
        """Close the connections."""
        with contextlib.suppress(*self.failures):
            self._wait(self.fs.disconnect())

    def _check_root(self) -> None:
        self._wait(self._next_page(self._listing("", 1)))

    def _read(self, path: str, offset: int, length: int) -> bytes:
        return self._fetch(path, offset, length)

    def _fetch(self, path: str, offset: int, length: int, **more: str) -> bytes:
        wanted = {} if length < 0 and not offset else {"offset": offset, "length": length if length > 0 else None}

        async def read() -> bytes:
            found = await self._blob(path).download_blob(**wanted, **more)
            data: bytes = await found.readall()
            return data

        try:
            return self._wait(read())
        except HttpResponseError as error:
            if error.status_code == 416:
                return b""  # nothing is there: the caller sees that it is less than asked for
            raise

    def _put_file(self, path: str, data: Buffer, options: PutOptions) -> None:
        content = data if isinstance(data, bytes) else bytes(data)  # the library takes no views
        more: dict[str, Any] = {}
        if options.has_retention:
            more["immutability_policy"] = _immutable(options.retention_period_ns)
        if options.set_mtime_ns is not None:
            more["metadata"] = {MTIME_KEY: str(options.set_mtime_ns)}
        put = self._blob(path).upload_blob(
            content,
            overwrite=not options.do_not_recreate,
            validate_content=True,
            content_settings=ContentSettings(content_type=CONTENT_TYPE),
            **more,
        )
        try:
            # the library waits without end for a server that takes no more bytes
            self._wait(put, timeout=CONNECT_SECONDS + ANSWER_SECONDS + len(content) / SLOWEST)
        except ResourceExistsError as error:
            if options.do_not_recreate and _code(error) == "BlobAlreadyExists":
                raise BlobExistsError(self._key(path)[len(self.prefix) :], self.display_name) from None
            raise

    def _head(self, blob_id: BlobID, key: str) -> BlobMetadata:
        return _metadata(blob_id, self._wait(self._container().get_blob_client(key).get_blob_properties()))

    def _pages(self, prefix: str) -> Iterator[Sequence[BlobMetadata]]:
        listing = self._listing(prefix, self.page_size)
        while (page := self._wait(self._next_page(listing))) is not None:
            found = ((self._listed_id(item.name), item) for item in page)
            yield [_metadata(blob_id, item) for blob_id, item in found if blob_id is not None]

    def _listing(self, prefix: str, page_size: int, *more: str) -> Any:  # noqa: ANN401
        blobs = self._container().list_blobs(
            name_starts_with=self.prefix + prefix, include=["metadata", *more], results_per_page=page_size
        )
        return blobs.by_page()

    @staticmethod
    async def _next_page(listing: Any) -> list[Any] | None:  # noqa: ANN401
        try:
            page = await anext(listing)
        except StopAsyncIteration:
            return None
        except AttributeError as error:  # the SDK's, for XML that is no listing, and for no answer
            raise _OtherServerError from error
        return [item async for item in page]

    def _container(self) -> Any:  # noqa: ANN401
        return self.fs.service_client.get_container_client(self.bucket)

    def _blob(self, path: str) -> Any:  # noqa: ANN401
        return self._container().get_blob_client(self._key(path))

    def _wait(self, call: Coroutine[Any, Any, _T], *, timeout: float | None = None) -> _T:
        """Return what a call gives, which is given up after ``timeout`` seconds."""

        async def awaited() -> _T:
            return await call

        found: _T = sync(self.fs.loop, awaited, timeout=timeout)
        return found

    def _error(self, error: Exception, doing: str, blob_id: BlobID | None = None) -> PykopiaError:
        if isinstance(error, HttpResponseError) and error.status_code:
            code, status = _code(error), error.status_code
            headers = getattr(error.response, "headers", {})
            kind = headers.get("Content-Type", "")
            if status < 300 or is_page_of_another(status, kind):
                return not_the_service(doing, self.address, kind)
            if blob_id is not None and status == 404 and code in {"BlobNotFound", "ResourceNotFound", ""}:
                self._check_root()
                return BlobNotFoundError(blob_id, self.display_name)
            if blob_id is not None and status == 416:
                return InvalidRangeError(blob_id, 0, -1)
            return service_error(
                doing,
                status=status,
                code=code,
                reason=self._safe(error.message),
                retry_after=headers.get("Retry-After"),
                date=headers.get("Date"),
                location=headers.get("Location"),
            )
        if isinstance(error, _OtherServerError | UnicodeDecodeError):
            return not_the_service(doing, self.address)
        if isinstance(error, DeserializationError):
            return not_the_service(doing, self.address, "text/html")
        if isinstance(error, ClientAuthenticationError):  # before anything was sent
            return StorageAuthenticationError(
                f"can't {doing}: the credentials of account {self.options.storage_account} can't be used; check them"
            )
        proxy = proxy_for(f"{'http' if self.options.do_not_use_tls else 'https'}://{self.address}")
        return connection_error(doing, error, self.address, untrusted=_TRUST, no_tls=_DISABLE_TLS, proxy=proxy)


class _OtherServerError(OSError):
    """The server is not Azure's service."""


class _Filesystem(AzureBlobFileSystem):  # type: ignore[misc] # adlfs has no types
    """adlfs with a client that trusts whom the connection says, and tries nothing again by itself."""

    cachable = False

    def __init__(self, options: AzureBlobOptions, address: str) -> None:
        self._options, self._address = options, address
        super().__init__(account_name=options.storage_account, anon=True, skip_instance_cache=True)

    def do_connect(self) -> None:
        """Make the client; adlfs calls this.

        The credential has a name of its own: versions of adlfs before 2026 close theirs at exit and fail for a key.
        """
        options = self._options
        scheme = "http" if options.do_not_use_tls else "https"
        trusted = tls_context(options.root_ca)

        async def connect() -> BlobServiceClient:
            self._own_credential = await _credential(options, trusted)
            return BlobServiceClient(
                f"{scheme}://{self._address}",
                credential=self._own_credential,
                transport=_Transport.new(trusted),
                retry_total=0,
                permit_redirects=False,
                max_single_put_size=LARGEST_PUT,
                max_single_get_size=LARGEST_PUT,
            )

        self.service_client = sync(self.loop, connect)

    async def disconnect(self) -> None:
        """Close the connections to the service, and to who gives tokens for it."""
        await self.service_client.close()
        if hasattr(self._own_credential, "close"):
            await self._own_credential.close()


class _Transport(AioHttpTransport):  # type: ignore[misc] # as all of the SDK
    """The SDK's, which sends a big body piece by piece, so that other requests go on meanwhile."""

    @classmethod
    def new(cls, trusted: ssl.SSLContext) -> "_Transport":
        """Return one with connections of its own; the SDK's would read the authorities again for every request."""
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=trusted),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return cls(session=session, connection_timeout=CONNECT_SECONDS, read_timeout=ANSWER_SECONDS)

    async def send(self, request: Any, **config: Any) -> Any:  # noqa: ANN401 -- as all of the SDK
        """Send a request, by the proxy that counts for its server."""
        proxy = proxy_for(request.url)
        proxies = {urlsplit(request.url).scheme: proxy} if proxy else {}
        return await super().send(request, **{**config, "proxies": proxies})

    def _get_request_data(self, request: Any) -> Any:  # noqa: ANN401
        data = super()._get_request_data(request)
        return io.BytesIO(data) if isinstance(data, bytes) and data else data


def _address(options: AzureBlobOptions) -> str:
    """Return the place of an account; emulators at a bare address, or with a folder named, have it as the first folder."""
    domain = options.storage_domain or DEFAULT_DOMAIN
    if "/" in domain or domain.startswith(f"{options.storage_account}."):
        return domain
    try:
        ipaddress.ip_address(domain.rpartition(":")[0] or domain)
    except ValueError:
        return f"{options.storage_account}.{domain}"
    return f"{domain}/{options.storage_account}"


async def _credential(options: AzureBlobOptions, trusted: ssl.SSLContext) -> Any:  # noqa: ANN401
    """Return what logs in: a signature, the key, a service principal, or what the machine has, in Kopia's order.

    Raises:
        UsageError: The certificate can't be used.
    """
    if options.sas_token:
        return options.sas_token.removeprefix("?")
    if options.storage_key:
        return {"account_name": options.storage_account, "account_key": options.storage_key}
    from azure.identity import aio  # noqa: PLC0415 -- keys do without

    tenant, client, transport = options.tenant_id, options.client_id, _Transport.new(trusted)
    if tenant and client and options.client_secret:
        return aio.ClientSecretCredential(tenant, client, options.client_secret, transport=transport)
    if tenant and client and options.client_certificate:
        try:
            certificate = options.client_certificate.encode()
            return aio.CertificateCredential(tenant, client, certificate_data=certificate, transport=transport)
        except ValueError:
            await transport.close()
            raise UsageError(
                f"can't log in to account {options.storage_account}: the client certificate can't be used; it must be PEM, "
                "with its private key and without a password"
            ) from None
    if tenant and client and options.azure_federated_token_file:
        return aio.WorkloadIdentityCredential(
            tenant_id=tenant,
            client_id=client,
            token_file_path=options.azure_federated_token_file,
            transport=transport,
        )
    return aio.DefaultAzureCredential(transport=transport)


def _code(error: HttpResponseError) -> str:
    """Return what the service calls an error; empty where it does not say."""
    code = getattr(error, "error_code", None)
    if not code:  # calls about policies leave it there
        code = getattr(error.response, "headers", {}).get("x-ms-error-code", "")
    return str(getattr(code, "value", code))


def _immutable(period_ns: int) -> ImmutabilityPolicy:
    return ImmutabilityPolicy(expiry_time=locked_until(period_ns), policy_mode="Locked")


def _version_time_ns(version: str, changed: datetime) -> int:
    """Return when a version came to be: its ID is that time, in parts of a second that the last change lacks (format 03 §3)."""
    try:
        seconds, _, parts = version.rstrip("Z").partition(".")
        return nanoseconds(datetime.fromisoformat(f"{seconds}+00:00")) + int(parts.ljust(9, "0")[:9])
    except ValueError:
        return nanoseconds(changed)


def _metadata(blob_id: BlobID, found: Any) -> BlobMetadata:  # noqa: ANN401
    """Return length and time of a blob from the answer of the service."""
    time = stored_time_ns(found.metadata, MTIME_KEY, nanoseconds(found.last_modified))
    return BlobMetadata(blob_id=blob_id, length=found.size, timestamp_ns=time)


__all__ = ["AzureStorage"]
