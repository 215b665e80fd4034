"""The copy of ``kopia.repository`` at the start of packs, for recovery (format 01 §1.11).

Only repositories without password change have it: those made in format version 1.

    length(2, little-endian) || format blob || HMAC-SHA256 of the format blob (32) || length(2) again
"""

import hmac
from typing import Final

from pykopia.errors import DamagedFormatBlobError
from pykopia.ids import Buffer

REPLICA_PROBE_LENGTH: Final = 65536
"""Bytes at the start, and at the end, of a pack among which a replica is looked for."""

_LENGTH_SIZE: Final = 2
_CHECKSUM_SIZE: Final = 32
_CHECKSUM_KEY: Final = b"kopia-repository"  # no secret: it only marks what is a format blob
_MAXIMUM_LENGTH: Final = 65000


def embed_replica(format_blob: bytes) -> bytes:
    """Return what a pack begins with: the exact bytes of ``kopia.repository``, made findable.

    Raises:
        DamagedFormatBlobError: The format blob is longer than a replica can be.
    """
    checked = format_blob + hmac.digest(_CHECKSUM_KEY, format_blob, "sha256")
    if len(checked) > _MAXIMUM_LENGTH:
        raise DamagedFormatBlobError(
            f"can't write a pack: kopia.repository has {len(format_blob)} bytes, and the copy of it in each pack holds "
            f"at most {_MAXIMUM_LENGTH - _CHECKSUM_SIZE}"
        )
    length = len(checked).to_bytes(_LENGTH_SIZE, "little")
    return length + checked + length


def find_replica(data: Buffer) -> bytes | None:
    """Return the bytes of ``kopia.repository`` that stand at the start or at the end of ``data``.

    Args:
        data: The first or the last `REPLICA_PROBE_LENGTH` bytes of a pack; or all of a shorter one.

    Returns:
        None: There is none.
    """
    view = memoryview(data)
    length = int.from_bytes(view[:_LENGTH_SIZE], "little")
    found = _verified(view[_LENGTH_SIZE:], length, view[_LENGTH_SIZE : _LENGTH_SIZE + length])
    if found is None:
        length = int.from_bytes(view[-_LENGTH_SIZE:], "little")
        body = view[:-_LENGTH_SIZE]
        found = _verified(body, length, body[max(len(body) - length, 0) :])
    return found


def _verified(body: memoryview, length: int, checked: memoryview) -> bytes | None:
    if not _CHECKSUM_SIZE <= length <= min(_MAXIMUM_LENGTH, len(body)):
        return None
    format_blob = bytes(checked[:-_CHECKSUM_SIZE])
    digest = hmac.digest(_CHECKSUM_KEY, format_blob, "sha256")
    return format_blob if hmac.compare_digest(digest, checked[-_CHECKSUM_SIZE:]) else None


__all__ = ["REPLICA_PROBE_LENGTH", "embed_replica", "find_replica"]
