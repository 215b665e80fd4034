"""The layout of index files, versions 1 and 2, and the entry that both hold (format 02 §4 to §6).

All integers are big-endian. ``index`` reads such files and ``index_build`` makes them.
"""

import struct
from typing import Final

import msgspec

from pykopia.dataclass import dataclass
from pykopia.errors import DamagedIndexError
from pykopia.format.content_id import MAX_HASH_LENGTH
from pykopia.ids import BlobID, ContentID

HEADER_V1: Final = struct.Struct(">BBHI")  # version, key size, value size, entries
assert HEADER_V1.size == 1 + 1 + 2 + 4
HEADER_V2: Final = struct.Struct(">BBHIIBI")  # version, key size, value size, entries, packs, formats, base time
assert HEADER_V2.size == 1 + 1 + 2 + 4 + 4 + 1 + 4

VALUE_V1: Final = struct.Struct(">HIBBIII")  # time (high, low), format version, name length, name at, offset, packed
assert VALUE_V1.size == 6 + 1 + 1 + 4 + 4 + 4
VALUE_V2: Final = struct.Struct(">IIHBHBHBBB")  # time, offset, original, packed (u24 each), pack, format, pack, lengths
MIN_VALUE_V2: Final = 4 + 4 + 3 + 3 + 2
MAX_VALUE_V2: Final = MIN_VALUE_V2 + 1 + 1 + 1
assert VALUE_V2.size == MAX_VALUE_V2

PACK_V2: Final = struct.Struct(">BI")  # length of the pack blob's name, its place in the file
FORMAT_V2: Final = struct.Struct(">IBB")  # compression header ID, format version, encryption key ID

DELETED: Final = 1 << 31
"""Bit of the pack offset that marks a deleted content."""

EMPTY_KEY_SIZE: Final = 255
"""Key size in the header of a version 1 file without entries."""

MAX_KEY_SIZE: Final = 1 + MAX_HASH_LENGTH
MAX_NAME_LENGTH: Final = 255
MAX_LENGTH_V2: Final = 1 << 28
MAX_OFFSET_V2: Final = 1 << 30
MAX_FORMATS_V2: Final = 255
MAX_PACKS_V2: Final = 1 << 24

INVALID_NAME: Final = BlobID("---invalid---")
"""Pack name of an entry whose name or pack number points nowhere; reading the content then fails."""

INVALID_FORMAT: Final = (0xFFFF, 255, 255)
"""Compression, format version and key ID of an entry whose format number points nowhere."""

CONTENT_OVERHEAD: Final = 12 + 16
"""Bytes that encryption adds to a content: nonce and tag. Version 1 derives the original length from it."""

MAX_SHARD_ENTRIES: Final = 16_000_000
"""Entries that go into one file; more are spread over several (format 02 §3.4)."""


class IndexEntry(msgspec.Struct, frozen=True, gc=False):
    """Place of one content, or the note that it was deleted (format 02 §5.2).

    A ``msgspec.Struct`` because there can be millions: it is made four times faster than a named tuple and the
    garbage collector does not visit it.
    """

    content_id: ContentID
    pack_blob: BlobID
    timestamp: int
    """Seconds since 1970 when the entry was made."""
    original_length: int
    """Bytes of the content before compression."""
    packed_length: int
    """Bytes in the pack: compressed, encrypted, with error correction."""
    pack_offset: int
    """Bytes from the start of the pack blob."""
    compression: int
    """Header ID of the compressor, 0 for none."""
    deleted: bool
    format_version: int
    """Repository format version at the time of writing; informative."""
    encryption_key_id: int = 0
    """Reserved: 0."""


def wins(entry: IndexEntry, other: IndexEntry) -> bool:
    """Return True if an entry of a content wins over another one of the same content (format 02 §6).

    The later one wins; at the same second a live one beats a deleted one; then the greater pack name wins.
    """
    if entry.timestamp != other.timestamp:
        return entry.timestamp > other.timestamp
    if entry.deleted != other.deleted:
        return other.deleted
    return encode_name(entry.pack_blob) > encode_name(other.pack_blob)


def encode_name(pack_blob: str) -> bytes:
    """Return the bytes of a pack name as they stand in an index file."""
    return pack_blob.encode("utf-8", "surrogateescape")


def decode_name(name: bytes) -> BlobID:
    """Return the pack name for bytes of an index file; any bytes can be decoded."""
    return BlobID(name.decode("utf-8", "surrogateescape"))


def damaged(name: str, reason: str) -> DamagedIndexError:
    """Return the error for an index file that can't be read."""
    return DamagedIndexError(
        f"reading index {name or 'file'}: {reason}; the contents in it can be found again from the packs "
        "with `pykopia index recover`"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexHeader:
    """The fixed part at the start of an index file, checked against the length of the file."""

    version: int
    key_size: int
    """Bytes of a key: prefix byte and hash."""
    value_size: int
    """Bytes behind each key."""
    count: int
    """Number of entries."""
    pack_count: int = 0
    """Number of packs in the table (version 2)."""
    format_count: int = 0
    """Number of formats in the table (version 2)."""
    base_time: int = 0
    """Seconds since 1970 that are added to each timestamp (version 2)."""

    @property
    def entries_at(self) -> int:
        """Offset of the first entry in the file."""
        return HEADER_V1.size if self.version == 1 else HEADER_V2.size

    @property
    def packs_at(self) -> int:
        """Offset of the pack table: the end of the entries."""
        return self.entries_at + self.count * (self.key_size + self.value_size)

    @property
    def formats_at(self) -> int:
        """Offset of the format table: the end of the pack table."""
        return self.packs_at + self.pack_count * PACK_V2.size

    @property
    def end(self) -> int:
        """Offset of the end of all tables."""
        return self.formats_at + self.format_count * FORMAT_V2.size

    @classmethod
    def from_bytes(cls, view: memoryview, *, name: str = "") -> "IndexHeader":
        """Read and check the header of the file in ``view``.

        Raises:
            DamagedIndexError: The header is impossible, or the file is shorter than its tables.
        """
        if len(view) < HEADER_V1.size:
            raise damaged(name, f"it has {len(view)} bytes, which is less than a header")
        version, key_size, value_size, count = HEADER_V1.unpack_from(view)
        if version == 1:
            header = cls(version=1, key_size=key_size, value_size=value_size, count=count)
            sizes_fit = value_size == VALUE_V1.size
        elif version == 2:
            if len(view) < HEADER_V2.size:
                raise damaged(name, f"it has {len(view)} bytes, which is less than a header")
            _, _, _, _, packs, formats, base_time = HEADER_V2.unpack_from(view)
            header = cls(
                version=2,
                key_size=key_size,
                value_size=value_size,
                count=count,
                pack_count=packs,
                format_count=formats,
                base_time=base_time,
            )
            sizes_fit = MIN_VALUE_V2 <= value_size <= MAX_VALUE_V2
        else:
            raise damaged(name, f"its version is {version}; versions 1 and 2 are known")
        if not sizes_fit or key_size < 2 or (key_size > MAX_KEY_SIZE and count):
            raise damaged(name, f"its header tells of keys of {key_size} and values of {value_size} bytes")
        if header.end > len(view):
            raise damaged(name, f"its tables need {header.end} bytes and it has {len(view)}: it was cut short")
        return header


__all__ = [
    "CONTENT_OVERHEAD",
    "DELETED",
    "EMPTY_KEY_SIZE",
    "FORMAT_V2",
    "HEADER_V1",
    "HEADER_V2",
    "INVALID_FORMAT",
    "INVALID_NAME",
    "MAX_FORMATS_V2",
    "MAX_KEY_SIZE",
    "MAX_LENGTH_V2",
    "MAX_NAME_LENGTH",
    "MAX_OFFSET_V2",
    "MAX_PACKS_V2",
    "MAX_SHARD_ENTRIES",
    "MAX_VALUE_V2",
    "MIN_VALUE_V2",
    "PACK_V2",
    "VALUE_V1",
    "VALUE_V2",
    "IndexEntry",
    "IndexHeader",
    "damaged",
    "decode_name",
    "encode_name",
    "wins",
]
