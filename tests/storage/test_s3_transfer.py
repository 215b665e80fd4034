"""Bytes to and from S3: which checksum a service compares is found out, and nothing is stored without one."""

import base64
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pykopia.errors import BlobNotFoundError, StorageUnavailableError
from pykopia.storage import http_connections
from pykopia.storage.backends.s3 import transfer
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.backends.s3.storage import S3Storage
from pykopia.storage.backends.s3.transfer import S3Transfer
from pykopia.testing.storage_tests import PACK
from tests.servers.s3 import S3Server, admin
from tests.storage.test_s3 import new_bucket


class Service:
    """Answers puts; compares the MD5 as every service does, and the CRC if it knows it."""

    def __init__(self, crc: str) -> None:
        """``crc``: compared, ignored, unknown (501), unsupported (400)."""
        self.crc = crc
        self.kept: dict[str, bytes] = {}
        self.protected_by: list[set[str]] = []
        self.damage: Callable[[bytes], bytes] = bytes

    def put_object(self, *, Bucket: str, Key: str, Body: Any, **more: str) -> dict[str, str]:  # noqa: ANN401, N803
        data = self.damage(b"".join(Body))
        digest, crc = more.get("ContentMD5"), more.get("ChecksumCRC32")
        if digest is not None and digest != base64.b64encode(hashlib.md5(data).digest()).decode():
            raise refusal(400, "BadDigest")
        if crc is not None and self.crc == "unknown":
            raise refusal(501, "NotImplemented")
        if crc is not None and self.crc == "unsupported":
            raise refusal(
                400, "InvalidArgument", "Unsupported header 'x-amz-checksum-crc32' received for this API call."
            )
        told = {}
        if crc is not None and self.crc == "compared":
            if crc != base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode():
                raise refusal(400, "BadDigest")
            told = {"ChecksumCRC32": crc}
        self.protected_by.append({name for name in ("ContentMD5", "ChecksumCRC32") if name in more})
        self.kept[Key] = data
        return told


def refusal(status: int, code: str, message: str = "") -> ClientError:
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutObject")


def transfer_to(service: Service) -> S3Transfer:
    return S3Transfer(service, "bucket")


@pytest.mark.parametrize(
    ("crc", "first", "later"),
    [
        ("compared", {"ContentMD5", "ChecksumCRC32"}, {"ChecksumCRC32"}),
        ("ignored", {"ContentMD5", "ChecksumCRC32"}, {"ContentMD5"}),
        ("unknown", {"ContentMD5"}, {"ContentMD5"}),
        ("unsupported", {"ContentMD5"}, {"ContentMD5"}),
    ],
)
def test_every_put_has_a_checksum_that_the_service_compares(crc: str, first: set[str], later: set[str]) -> None:
    service = Service(crc)
    transfer = transfer_to(service)
    for number in range(3):
        transfer.put(f"p{number}", memoryview(bytearray(b"0123456789"))[number:])
    assert service.protected_by == [first, later, later]
    assert service.kept == {"p0": b"0123456789", "p1": b"123456789", "p2": b"23456789"}


@pytest.mark.parametrize("crc", ["compared", "ignored", "unknown"])
def test_bytes_that_are_damaged_on_the_way_are_not_kept(crc: str) -> None:
    service = Service(crc)
    transfer = transfer_to(service)
    service.damage = lambda data: data[:-1]
    for _ in range(2):
        with pytest.raises(ClientError, match="BadDigest"):
            transfer.put("p", b"123")
    service.damage = bytes
    transfer.put("p", b"123")
    service.damage = lambda data: data[:-1]
    with pytest.raises(ClientError, match="BadDigest"):
        transfer.put("p", b"456")
    assert service.kept == {"p": b"123"}


def test_a_service_that_no_longer_compares_the_crc_gets_the_md5_again() -> None:
    service = Service("compared")
    transfer = transfer_to(service)
    transfer.put("p", b"1")
    service.crc = "ignored"
    with pytest.raises(StorageUnavailableError, match="did not compare"):
        transfer.put("p", b"2")
    transfer.put("p", b"3")
    assert service.protected_by[-1] == {"ContentMD5", "ChecksumCRC32"}


def test_another_refusal_is_told_as_it_is() -> None:
    transfer = transfer_to(Service("compared"))
    transfer.client.damage = lambda data: (_ for _ in ()).throw(refusal(403, "AccessDenied"))
    with pytest.raises(ClientError, match="AccessDenied"):
        transfer.put("p", b"1")
    assert transfer._compares_crc is None


def test_bodies_are_sent_in_pieces_of_the_buffer_itself() -> None:
    buffer = bytearray(http_connections.PIECE + 10)
    pieces = list(http_connections.Body(buffer))
    assert [len(piece) for piece in pieces] == [http_connections.PIECE, 10]
    assert all(piece.obj is buffer for piece in pieces)


@pytest.mark.parametrize("name", ["seaweedfs", "versitygw", "versitygw_tls"])
def test_a_real_server_compares_the_crc(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: S3Server = request.getfixturevalue(name)
    options: S3Options = replace(new_bucket(server), prefix="a/")
    with S3Storage(options) as storage:
        storage.put(PACK, b"first")
        monkeypatch.setattr(transfer, "_crc", lambda view: {"ChecksumCRC32": "AAAAAA=="})
        with pytest.raises(StorageUnavailableError, match=r"Digest|Checksum|checksum"):
            storage.put(PACK, b"second")
        assert storage.get(PACK) == b"first"
        monkeypatch.undo()
        storage.put(PACK, b"third")
        told = admin(server).call_s3("head_object", Bucket=options.bucket, Key=f"a/{PACK}", ChecksumMode="ENABLED")
        assert base64.b64decode(told["ChecksumCRC32"]) == zlib.crc32(b"third").to_bytes(4, "big")
        storage.delete(PACK)
        with pytest.raises(BlobNotFoundError):
            storage.get(PACK)
