"""The bytes of blobs, to and from buckets that speak S3, with a checksum that the service compares."""

import base64
import contextlib
import hashlib
import logging
from collections.abc import Mapping
from typing import Any, cast

from botocore.exceptions import ClientError
from isal import isal_zlib

from pykopia.errors import StorageUnavailableError
from pykopia.ids import Buffer
from pykopia.storage.http_connections import Body, part_asked_for

log = logging.getLogger(__name__)

_NOT_KNOWN_CODES = frozenset({"InvalidArgument", "InvalidRequest", "NotImplemented"})
"""Error codes of services that refuse an unknown header."""


class S3Transfer:
    """Gets and puts objects of one bucket; safe for threads.

    What protects a put: the service compares the object with its CRC-32, and says so in its answer; one that does not say so
    gets the MD5 too, which all services compare. A CRC finds what goes wrong by accident; that nobody changes bytes on purpose
    is what TLS is for, and without it nothing proves that the answer is the service's either.
    """

    def __init__(self, client: Any, bucket: str) -> None:  # noqa: ANN401 -- as the SDK's, which has no types
        """Prepare for a bucket.

        Args:
            client: Makes the requests.
            bucket: Its name.
        """
        self.client = client
        self._bucket = bucket
        self._compares_crc: bool | None = None
        """Whether the service compares the CRC; None until the first put shows it."""

    def get(self, key: str, **more: str) -> bytes:
        """Return an object, or a range of it.

        Raises:
            ClientError: What the service answered.
            BotoCoreError: The connection failed.
        """
        answer = self.client.get_object(Bucket=self._bucket, Key=key, **more)
        with contextlib.closing(answer["Body"]) as body:
            content = cast("bytes", body.read())
        if "Range" in more and answer["ResponseMetadata"]["HTTPStatusCode"] == 200:
            return part_asked_for(content, more["Range"])
        return content

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
        answer = self.client.put_object(Bucket=self._bucket, Key=key, Body=Body(view), **more)
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


def _md5(view: memoryview) -> dict[str, str]:
    return {"ContentMD5": base64.b64encode(hashlib.md5(view, usedforsecurity=False).digest()).decode("ascii")}


def _crc(view: memoryview) -> dict[str, str]:
    return {"ChecksumCRC32": base64.b64encode(isal_zlib.crc32(view).to_bytes(4, "big")).decode("ascii")}


def _is_unknown_header(error: ClientError) -> bool:
    """Return True if a service may have refused a put because it does not know the header of the CRC."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    told = error.response.get("Error", {})
    said = str(told.get("Message", "")).lower()
    return status == 501 or (status == 400 and (told.get("Code") in _NOT_KNOWN_CODES or "checksum" in said))


__all__ = ["S3Transfer"]
