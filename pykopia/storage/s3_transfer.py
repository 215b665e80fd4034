"""The bytes of blobs, to and from buckets that speak S3.

s3fs takes them through an event loop: each byte is copied several times, and a thread hands over to another one twice for each
request. What it stands on has a blocking client too, which sends from the buffer of a pack and receives into the result: a
third of the processor time. Keys, roles and their refreshing stay those of s3fs.
"""

import base64
import contextlib
import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import urllib3
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.session import Session
from fsspec.asyn import sync
from isal import isal_zlib

from pykopia.errors import StorageUnavailableError
from pykopia.ids import Buffer

if TYPE_CHECKING:
    import s3fs

log = logging.getLogger(__name__)

PIECE = 256 << 10
"""Bytes that are sent at once, for which the time-out of the connection counts."""
_NOT_KNOWN_CODES = frozenset({"InvalidArgument", "InvalidRequest", "NotImplemented"})
"""How services refuse a header that they don't know."""


class S3Transfer:
    """Gets and puts objects of one bucket; safe for threads.

    What protects a put: the service compares the object with its CRC-32, and says so in its answer; one that does not say so
    gets the MD5 too, which all services compare. A CRC finds what goes wrong by accident; that nobody changes bytes on purpose
    is what TLS is for, and without it nothing proves that the answer is the service's either.
    """

    def __init__(self, fs: "s3fs.S3FileSystem", bucket: str, arguments: Mapping[str, Any]) -> None:
        """Prepare for a bucket.

        Args:
            fs: Has the credentials, unless ``arguments`` do.
            bucket: Its name.
            arguments: Of the client, as botocore takes them; ``config`` is a dictionary.
        """
        self.fs = fs
        self._bucket = bucket
        self._arguments = arguments
        self._lock = threading.Lock()
        self._client: Any = None
        self._compares_crc: bool | None = None
        """Whether the service compares the CRC; None as long as no put has told."""

    def get(self, key: str, **more: str) -> bytes:
        """Return an object, or a range of it.

        Raises:
            ClientError: What the service answered.
            BotoCoreError: The connection failed.
        """
        answer = self._connected().get_object(Bucket=self._bucket, Key=key, **more)
        with contextlib.closing(answer["Body"]) as body:
            return cast("bytes", body.read())

    def put(self, key: str, data: Buffer, **more: object) -> None:
        """Create or replace an object.

        Raises:
            ClientError: What the service answered.
            BotoCoreError: The connection failed.
            StorageUnavailableError: The service did not compare what it got; it may go well when tried again.
        """
        view = memoryview(data).cast("B")
        if self._compares_crc is None:
            try:
                self._put(key, view, {**more, **_md5(view), **_crc(view)})
            except ClientError as error:
                if not _is_unknown_header(error):
                    raise
                self._put(key, view, {**more, **_md5(view)})  # it is something else that is refused if this fails too
                log.info("the service of bucket %s knows no CRC of an object; it gets the MD5", self._bucket)
                self._compares_crc = False
        else:
            self._put(key, view, {**more, **(_crc(view) if self._compares_crc else _md5(view))})

    def _put(self, key: str, view: memoryview, more: Mapping[str, object]) -> None:
        answer = self._connected().put_object(Bucket=self._bucket, Key=key, Body=_Body(view), **more)
        sent, told = more.get("ChecksumCRC32"), answer.get("ChecksumCRC32")
        if sent is None:
            return
        if told == sent:
            self._compares_crc = True
        elif told is not None or "ContentMD5" not in more:
            self._compares_crc = None
            raise StorageUnavailableError(
                f"can't write object {key} to bucket {self._bucket}: the service "
                + (f"has stored bytes with CRC-32 {told} instead of {sent}" if told else "did not compare its CRC-32")
                + "; try again"
            )
        else:
            self._compares_crc = False

    def close(self) -> None:
        """End the connections."""
        if self._client is not None:
            self._client.close()

    def _connected(self) -> Any:  # noqa: ANN401 -- the SDK has no types
        with self._lock:
            if self._client is None:
                self._client = self._connect()
        return self._client

    def _connect(self) -> Any:  # noqa: ANN401 -- the SDK has no types
        session = Session()
        # the descriptions of the service that s3fs has read already
        session.register_component("data_loader", self.fs.session.get_component("data_loader"))
        arguments = dict(self._arguments)
        # the SDK's check of arguments takes no body that is not a file, and would ask the service before it sends one
        config = Config(**{**arguments.pop("config"), "parameter_validation": False})
        if arguments["verify"] is False:  # somebody asked for it, and need not be told at each request
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if "aws_access_key_id" not in arguments:
            session._credentials = _SharedCredentials(self.fs)  # noqa: SLF001 -- it can't be given any other way
        return session.create_client("s3", config=config, **arguments)


class _Body:
    """A buffer, sent in pieces: with one alone, the time-out of a connection would count for all of it."""

    def __init__(self, view: memoryview) -> None:
        self._view = view

    def __len__(self) -> int:
        return len(self._view)

    def __iter__(self) -> Iterator[memoryview]:
        return (self._view[start : start + PIECE] for start in range(0, len(self._view), PIECE))


class _SharedCredentials(Credentials):  # type: ignore[misc]
    """What s3fs has found: a profile, a role, what the machine has; asked for at each request, as they are renewed."""

    def __init__(self, fs: "s3fs.S3FileSystem") -> None:
        super().__init__("unused", "unused", method="s3fs")
        self._fs = fs

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the key that is valid now."""
        return sync(self._fs.loop, self._find)

    async def _find(self) -> ReadOnlyCredentials:
        found = await self._fs.session.get_credentials()
        if found is None:
            raise NoCredentialsError
        return await found.get_frozen_credentials()


def _md5(view: memoryview) -> dict[str, str]:
    return {"ContentMD5": base64.b64encode(hashlib.md5(view, usedforsecurity=False).digest()).decode("ascii")}


def _crc(view: memoryview) -> dict[str, str]:
    return {"ChecksumCRC32": base64.b64encode(isal_zlib.crc32(view).to_bytes(4, "big")).decode("ascii")}


def _is_unknown_header(error: ClientError) -> bool:
    """Tell whether a service may have refused a put because it does not know the header of the CRC."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    told = error.response.get("Error", {})
    said = str(told.get("Message", "")).lower()
    return status == 501 or (status == 400 and (told.get("Code") in _NOT_KNOWN_CODES or "checksum" in said))


__all__ = ["PIECE", "S3Transfer"]
