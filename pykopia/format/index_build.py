"""Index files from entries, byte for byte as Kopia makes them (format 02 §3.4, §4 and §5)."""

from collections.abc import Iterable
from operator import attrgetter

from pykopia.errors import UnsupportedFormatError, UsageError
from pykopia.format.content_id import key_of
from pykopia.format.index_layout import (
    DELETED,
    EMPTY_KEY_SIZE,
    FORMAT_V2,
    HEADER_V1,
    HEADER_V2,
    MAX_FORMATS_V2,
    MAX_KEY_SIZE,
    MAX_LENGTH_V2,
    MAX_NAME_LENGTH,
    MAX_OFFSET_V2,
    MAX_PACKS_V2,
    MAX_SHARD_ENTRIES,
    MAX_VALUE_V2,
    MIN_VALUE_V2,
    PACK_V2,
    VALUE_V1,
    VALUE_V2,
    IndexEntry,
    encode_name,
    wins,
)

try:
    from pykopia.format import _index_build
except ImportError:  # no compiler at installation
    _index_build = None  # type: ignore[assignment]


def build_index(entries: Iterable[IndexEntry], *, version: int, random_tail: bytes = b"") -> bytes:
    """Return an index file of the given entries, which may come in any order.

    Of several entries of one content the one that wins goes in (format 02 §6). The bytes depend on nothing but the
    entries, so a file that must be unique (a pack's local index, a v0 compaction) gets 32 random bytes as its tail.

    Raises:
        UnsupportedFormatError: The version is neither 1 nor 2.
        UsageError: An entry does not fit into a file of this version, or there are none (version 2).
    """
    check_version(version)
    ordered = sorted(entries, key=attrgetter("content_id"))  # IDs sort like keys
    file = _encode_natively(ordered, version)  # which refuses two entries of a content, as they are rare
    if file is None:
        ordered = _winners(ordered)
        file = _encode_natively(ordered, version)
    if file is None:
        file = encode_v1(ordered) if version == 1 else encode_v2(ordered)
    return file + random_tail if random_tail else file


def _encode_natively(entries: list[IndexEntry], version: int) -> bytes | None:
    return None if _index_build is None else _index_build.encode_entries(entries, version)


def check_version(version: int) -> None:
    """Refuse a version of index files that can't be written.

    Raises:
        UnsupportedFormatError: The version is neither 1 nor 2.
    """
    if version not in (1, 2):
        raise UnsupportedFormatError(f"building an index: its version is {version}; versions 1 and 2 are known")


def check_shard_limit(max_entries: int) -> None:
    """Refuse a limit of entries in a file that no entry could meet.

    Raises:
        UsageError: It is not positive.
    """
    if max_entries < 1:
        raise UsageError(f"building an index: a file can't be limited to {max_entries} entries")


def _winners(ordered: list[IndexEntry]) -> list[IndexEntry]:
    kept: list[IndexEntry] = []
    for entry in ordered:
        if kept and kept[-1].content_id == entry.content_id:
            if wins(entry, kept[-1]):
                kept[-1] = entry
        else:
            kept.append(entry)
    return kept


class _Names:
    """Pack names in the order of their first use."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.encoded: list[bytes] = []

    def number(self, entry: IndexEntry) -> int:
        number = self.numbers.get(entry.pack_blob)
        if number is None:
            number = self.numbers[entry.pack_blob] = len(self.encoded)
            self.encoded.append(encode_name(entry.pack_blob))
            if len(self.encoded[number]) > MAX_NAME_LENGTH:
                raise _unfit(entry, f"the name of its pack is longer than {MAX_NAME_LENGTH} bytes")
        return number

    def offsets(self, start: int) -> list[int]:
        """Return the place of each name when the first begins at ``start``."""
        offsets = []
        for name in self.encoded:
            offsets.append(start)
            start += len(name)
        if start >= 1 << 32:
            raise UsageError(f"building an index: the file would have {start} bytes, more than it can count")
        return offsets


def encode_v1(entries: list[IndexEntry]) -> bytes:
    """Return a version 1 file of entries that are in order and different."""
    keys = _keys(entries)
    names = _Names()
    numbers = [names.number(entry) for entry in entries]
    key_size = len(keys[0]) if keys else EMPTY_KEY_SIZE
    offsets = names.offsets(HEADER_V1.size + len(entries) * (key_size + VALUE_V1.size))
    parts = [HEADER_V1.pack(1, key_size, VALUE_V1.size, len(entries))]
    for entry, key, number in zip(entries, keys, numbers, strict=True):
        _check(entry, max_offset=DELETED, max_length=1 << 32, max_time=1 << 48)
        if entry.compression or entry.encryption_key_id:
            raise _unfit(entry, "version 1 knows neither compression nor encryption keys of contents")
        if not entry.pack_blob:
            raise _unfit(entry, "it names no pack")
        parts.append(key)
        parts.append(
            VALUE_V1.pack(
                entry.timestamp >> 32,
                entry.timestamp & 0xFFFFFFFF,
                entry.format_version,
                len(names.encoded[number]),
                offsets[number],
                entry.pack_offset | (DELETED if entry.deleted else 0),
                entry.packed_length,
            )
        )
    return b"".join(parts + names.encoded)


def encode_v2(entries: list[IndexEntry]) -> bytes:
    """Return a version 2 file of entries that are in order and different."""
    keys = _keys(entries)
    if not keys:
        raise UsageError("building an index: a version 2 index can't be empty")
    names = _Names()
    formats: dict[tuple[int, int, int], int] = {}
    values = []
    longest = 0
    for entry in entries:
        _check(entry, max_offset=MAX_OFFSET_V2, max_length=MAX_LENGTH_V2, max_time=1 << 32)
        longest = max(longest, entry.original_length, entry.packed_length)
        pack = names.number(entry)
        form = formats.setdefault((entry.compression, entry.format_version, entry.encryption_key_id), len(formats))
        if len(formats) > MAX_FORMATS_V2:
            raise _unfit(entry, f"the file would know more than {MAX_FORMATS_V2} compressions and formats")
        if pack >= MAX_PACKS_V2:
            raise _unfit(entry, f"the file would name more than {MAX_PACKS_V2} packs")
        values.append(
            VALUE_V2.pack(
                entry.timestamp,
                entry.pack_offset | (DELETED if entry.deleted else 0),
                entry.original_length >> 8 & 0xFFFF,
                entry.original_length & 0xFF,
                entry.packed_length >> 8 & 0xFFFF,
                entry.packed_length & 0xFF,
                pack & 0xFFFF,
                form,
                pack >> 16,
                entry.original_length >> 24 << 4 | entry.packed_length >> 24,
            )
        )
    value_size = _value_size(len(formats), len(names.encoded), longest)
    packs_at = HEADER_V2.size + len(entries) * (len(keys[0]) + value_size)
    names_at = packs_at + len(names.encoded) * PACK_V2.size + len(formats) * FORMAT_V2.size
    parts = [HEADER_V2.pack(2, len(keys[0]), value_size, len(entries), len(names.encoded), len(formats), 0)]
    parts += [key + value[:value_size] for key, value in zip(keys, values, strict=True)]
    parts += [PACK_V2.pack(len(n), at) for n, at in zip(names.encoded, names.offsets(names_at), strict=True)]
    parts += [FORMAT_V2.pack(*form) for form in formats]
    return b"".join(parts + names.encoded)


def _value_size(formats: int, packs: int, longest: int) -> int:
    """Return the smallest value size that holds all; a longer one contains the fields of the shorter ones."""
    if longest >= 1 << 24:
        return MAX_VALUE_V2
    if packs > 1 << 16:
        return MIN_VALUE_V2 + 2
    return MIN_VALUE_V2 + 1 if formats > 1 else MIN_VALUE_V2


def _keys(entries: list[IndexEntry]) -> list[bytes]:
    keys = [key_of(entry.content_id) for entry in entries]
    for entry, key in zip(entries, keys, strict=True):
        if len(key) != len(keys[0]) or not 2 <= len(key) <= MAX_KEY_SIZE:
            raise _unfit(entry, f"its key has {len(key)} bytes; the first one has {len(keys[0])}")
    if len(keys) >= 1 << 32:
        raise UsageError("building an index: there are more than 2^32 entries")
    return keys


def _check(entry: IndexEntry, *, max_offset: int, max_length: int, max_time: int) -> None:
    fields = (
        ("time", entry.timestamp, max_time),
        ("offset in its pack", entry.pack_offset, max_offset),
        ("original length", entry.original_length, max_length),
        ("packed length", entry.packed_length, max_length),
        ("compression", entry.compression, 1 << 32),
        ("format version", entry.format_version, 256),
        ("encryption key ID", entry.encryption_key_id, 256),
    )
    for field, value, limit in fields:
        if not 0 <= value < limit:
            raise _unfit(entry, f"its {field} is {value}; it must be at least 0 and less than {limit}")


def _unfit(entry: IndexEntry, reason: str) -> UsageError:
    return UsageError(f"building an index: content {entry.content_id} can't be listed in it: {reason}")


def fnv32a(text: str) -> int:
    """Return the 32-bit FNV-1a hash of an ASCII text."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def shard_entries(entries: list[IndexEntry], *, max_entries: int = MAX_SHARD_ENTRIES) -> list[list[IndexEntry]]:
    """Return the entries in as many groups as files are needed (format 02 §3.4); no group is empty.

    Raises:
        UsageError: ``max_entries`` is not positive.
    """
    check_shard_limit(max_entries)
    if len(entries) <= max_entries:
        return [entries] if entries else []
    shards: list[list[IndexEntry]] = [[] for _ in range(-(-len(entries) // max_entries))]
    for entry in entries:
        shards[fnv32a(entry.content_id) % len(shards)].append(entry)
    return [shard for shard in shards if shard]


def build_indexes(entries: list[IndexEntry], *, version: int, max_entries: int = MAX_SHARD_ENTRIES) -> list[bytes]:
    """Return as many index files as these entries need, none for none; see ``build_index`` and ``shard_entries``."""
    return [build_index(shard, version=version) for shard in shard_entries(entries, max_entries=max_entries)]


__all__ = [
    "build_index",
    "build_indexes",
    "check_shard_limit",
    "check_version",
    "encode_v1",
    "encode_v2",
    "fnv32a",
    "shard_entries",
]
