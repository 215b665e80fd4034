"""Pack blobs: names, the parts around the contents, and the index at their end that recovers them (format 02 §2).

A pack is ``[format replica] preamble content… padding local-index postamble``. Contents have no framing: where they
lie stands in the index alone. Random bytes are the caller's, so everything here is a pure function.
"""

import zlib
from collections.abc import Callable
from typing import Final, Literal

from pykopia.dataclass import dataclass
from pykopia.errors import DamagedPackError, UsageError
from pykopia.format.blob_names import DATA_PACK_PREFIX, METADATA_PACK_PREFIX
from pykopia.format.content_id import prefix_of
from pykopia.format.index import IndexFile
from pykopia.format.index_layout import CONTENT_OVERHEAD
from pykopia.ids import BlobID, Buffer

PackType = Literal["p", "q"]
"""``p`` holds file data, ``q`` metadata: the first letter of a pack's name."""

PREAMBLE_LENGTH: Final = 32
"""Random bytes before the first content; a reader assumes no length."""

ALIGNMENT: Final = 4096
"""The local index starts at a multiple of this."""

LOCAL_INDEX_TAIL_LENGTH: Final = 32
"""Random bytes at the end of a local index (the ``random_tail`` of ``build_index``)."""

TAIL_READ_LENGTH: Final = 8192
"""Bytes at the end of a pack that hold the local index and postamble of most packs."""

MAX_POSTAMBLE_LENGTH: Final = 255
_POSTAMBLE_FLAG: Final = 1
_CHECKSUM_LENGTH: Final = 4
_MAX_UVARINT: Final = (1 << 64) - 1


def pack_type_of(content_id: str) -> PackType:
    """Return the type of the packs that a content goes to: any prefix at all means metadata (format 02 §1)."""
    return METADATA_PACK_PREFIX if prefix_of(content_id) else DATA_PACK_PREFIX


def new_pack_blob_id(pack_type: PackType, random: bytes, session_id: str) -> BlobID:
    """Return the name of a new pack (format 02 §2.1).

    Args:
        pack_type: Its first letter.
        random: 16 random bytes.
        session_id: Session that writes it.

    Raises:
        UsageError: There are not 16 random bytes.
    """
    if len(random) != 16:
        raise UsageError(f"naming a pack takes 16 random bytes, not {len(random)}")
    return BlobID(f"{pack_type}{random.hex()}-{session_id}")


def padding_length(length: int) -> int:
    """Return how many bytes pad a pack of ``length`` bytes before its local index: 1 to 4096, never 0."""
    return ALIGNMENT - length % ALIGNMENT


@dataclass(frozen=True, kw_only=True, slots=True)
class Postamble:
    """The last bytes of a pack: where its local index is (format 02 §2.4).

    Only a checksum protects it; the local index itself is authenticated when it is decrypted.
    """

    iv: bytes
    """Repository hash of the decrypted local index, in full: what it is encrypted with."""
    index_offset: int
    """Bytes from the start of the pack to the encrypted local index."""
    index_length: int
    """Bytes of the encrypted local index."""

    def to_bytes(self) -> bytes:
        """Return the postamble as it ends a pack.

        Raises:
            UsageError: The iv is too long.
        """
        body = b"".join(
            (
                _uvarint(_POSTAMBLE_FLAG),
                _uvarint(len(self.iv)),
                self.iv,
                _uvarint(self.index_offset),
                _uvarint(self.index_length),
            )
        )
        body += zlib.crc32(body).to_bytes(_CHECKSUM_LENGTH, "big")
        if len(body) > MAX_POSTAMBLE_LENGTH:
            raise UsageError(f"a postamble has at most {MAX_POSTAMBLE_LENGTH} bytes, not {len(body)}")
        return body + bytes([len(body)])

    @classmethod
    def from_tail(cls, tail: Buffer, blob_size: int, *, name: str = "") -> "Postamble":
        """Find the postamble in the last bytes of a pack.

        Args:
            tail: Bytes up to the end of the pack; 256 are always enough.
            blob_size: Bytes of the whole pack.
            name: Blob ID for messages.

        Raises:
            DamagedPackError: There is no postamble, or it tells of bytes outside the pack.
        """
        length = tail[-1] if len(tail) else 0
        if length <= _CHECKSUM_LENGTH or length + 1 > len(tail):
            raise _damaged(name, "it does not end with a postamble")
        postamble = bytes(tail[-1 - length : -1])
        body, checksum = postamble[:-_CHECKSUM_LENGTH], postamble[-_CHECKSUM_LENGTH:]
        if zlib.crc32(body) != int.from_bytes(checksum, "big"):
            raise _damaged(name, "the checksum of its postamble is wrong")
        flag, position = _read_uvarint(body, 0, name)
        if flag != _POSTAMBLE_FLAG:
            raise _damaged(name, f"its postamble is of the unknown kind {flag}")
        iv_length, position = _read_uvarint(body, position, name)
        iv = body[position : position + iv_length]
        if len(iv) < iv_length:
            raise _damaged(name, "its postamble ends too early")
        index_offset, position = _read_uvarint(body, position + iv_length, name)
        index_length, position = _read_uvarint(body, position, name)
        if index_offset + index_length + length + 1 > blob_size:
            raise _damaged(
                name,
                f"its local index should have {index_length} bytes at {index_offset}, but the pack has {blob_size}",
            )
        return cls(iv=iv, index_offset=index_offset, index_length=index_length)


def pack_end(length: int, *, padding: bytes, local_index: bytes, iv: bytes) -> bytes:
    """Return what comes behind the contents of a pack: padding, local index and postamble (format 02 §2.2).

    Args:
        length: Bytes of the pack so far, format replica and preamble included.
        padding: ``padding_length(length)`` random bytes.
        local_index: The encrypted local index.
        iv: Repository hash of the decrypted local index, which it was encrypted with.

    Raises:
        UsageError: The padding has another length.
    """
    if len(padding) != padding_length(length):
        raise UsageError(
            f"a pack of {length} bytes takes {padding_length(length)} bytes of padding, not {len(padding)}"
        )
    postamble = Postamble(iv=iv, index_offset=length + len(padding), index_length=len(local_index))
    return b"".join((padding, local_index, postamble.to_bytes()))


def read_local_index(
    get_range: Callable[[int, int], Buffer],
    size: int,
    open_local_index: Callable[[bytes, bytes], Buffer],
    *,
    overhead: int = CONTENT_OVERHEAD,
    name: str = "",
) -> IndexFile:
    """Return the local index of a pack: the entries that were made with it, some of them for other packs.

    Most packs take one read of ``TAIL_READ_LENGTH`` bytes, others a second one.

    Args:
        get_range: Returns ``length`` bytes of the pack at ``offset``.
        size: Bytes of the pack.
        open_local_index: Decrypts (and corrects) stored bytes with an iv.
        overhead: Bytes that encryption adds to each content, for index version 1.
        name: Blob ID of the pack for messages.

    Raises:
        DamagedPackError: The pack has no postamble that fits.
        DamagedIndexError: The decrypted local index can't be read.
        PykopiaError: What the two functions raise.
    """
    start = max(0, size - TAIL_READ_LENGTH)
    tail = memoryview(get_range(start, size - start))
    if len(tail) != size - start:
        raise _damaged(name, f"{size - start} bytes at its end were asked for and {len(tail)} came")
    postamble = Postamble.from_tail(tail, size, name=name)
    if postamble.index_offset >= start:
        stored = tail[postamble.index_offset - start :][: postamble.index_length].tobytes()
    else:
        stored = bytes(get_range(postamble.index_offset, postamble.index_length))
    if len(stored) != postamble.index_length:
        raise _damaged(name, f"its local index has {postamble.index_length} bytes and {len(stored)} came")
    return IndexFile(open_local_index(stored, postamble.iv), overhead=overhead, name=name)


def _uvarint(value: int) -> bytes:
    """Return an unsigned LEB128 number: seven bits a byte, lowest first."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _read_uvarint(data: bytes, position: int, name: str) -> tuple[int, int]:
    """Return an unsigned LEB128 number of at most 64 bits and the position behind it."""
    value = shift = 0
    for index in range(position, len(data)):
        value |= (data[index] & 0x7F) << shift
        shift += 7
        if value > _MAX_UVARINT or shift > 70:
            break
        if data[index] < 0x80:
            return value, index + 1
    raise _damaged(name, "a number in its postamble has no end")


def _damaged(name: str, reason: str) -> DamagedPackError:
    return DamagedPackError(
        f"reading the local index of pack {name or 'blob'}: {reason}; other index blobs may still list what it contains"
    )


__all__ = [
    "ALIGNMENT",
    "LOCAL_INDEX_TAIL_LENGTH",
    "MAX_POSTAMBLE_LENGTH",
    "PREAMBLE_LENGTH",
    "TAIL_READ_LENGTH",
    "PackType",
    "Postamble",
    "new_pack_blob_id",
    "pack_end",
    "pack_type_of",
    "padding_length",
    "read_local_index",
]
