"""Index files: sorted tables that say in which pack each content is, versions 1 and 2 (format 02 §4 and §5).

A file is never parsed into Python objects: ``IndexFile`` searches the bytes where they are, in memory or mapped, so
opening takes the same time and memory for ten entries and ten million. Several files are looked at together by
``index_merge.MergedIndex``.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from mmap import mmap
from types import TracebackType
from typing import Self, TypeAlias

from pykopia.errors import InvalidIDError
from pykopia.format.content_id import ALL, id_of
from pykopia.format.index_build import build_index, shard_entries
from pykopia.format.index_layout import (
    CONTENT_OVERHEAD,
    DELETED,
    FORMAT_V2,
    INVALID_FORMAT,
    INVALID_NAME,
    MAX_VALUE_V2,
    PACK_V2,
    VALUE_V1,
    VALUE_V2,
    IndexEntry,
    IndexHeader,
    damaged,
    decode_name,
    wins,
)
from pykopia.ids import BlobID, Buffer, ContentID

try:
    from pykopia.format import _index
except ImportError:  # no compiler at installation
    _index = None  # type: ignore[assignment]

_LOOKED_AT_ONCE = 1 << 16
"""Entries that are copied at once to look at one column of them."""

IndexBuffer: TypeAlias = Buffer | mmap
"""Buffers that may hold an index file."""


class PythonTable:
    """Search and decode entries in a buffer: the readable definition of the native ``_index.IndexTable``."""

    def __init__(self, view: memoryview, header: IndexHeader, overhead: int, name: str) -> None:
        self._view, self._header, self._overhead, self._name = view, header, overhead, name
        self._stride = header.key_size + header.value_size
        self._names: dict[int, BlobID] = {}

    def __len__(self) -> int:
        return self._header.count

    def release(self) -> None:
        """Release the buffer; no method may be called afterwards."""
        self._view.release()

    def key(self, position: int) -> bytes:
        """Return the key of the entry at ``position``."""
        start = self._header.entries_at + position * self._stride
        return self._view[start : start + self._header.key_size].tobytes()

    def find(self, key: bytes) -> IndexEntry | None:
        """Return the entry of a key, or None."""
        position = self.position(key)
        return None if position < 0 else self.entry(position)

    def position(self, key: bytes) -> int:
        """Return the place of the entry of a key, -1 when there is none."""
        count = self._header.count
        position = bisect_left(range(count), key, key=self.key)
        return position if position < count and self.key(position) == key else -1

    def entry(self, position: int) -> IndexEntry:
        """Return the entry at ``position``.

        Raises:
            DamagedIndexError: Its key is no content ID, or its pack's name lies outside the file.
        """
        try:
            content_id = id_of(self.key(position))
        except InvalidIDError as error:
            raise damaged(self._name, f"entry {position} is of no content: {error}") from None
        value_at = self._header.entries_at + position * self._stride + self._header.key_size
        value = self._view[value_at : value_at + self._header.value_size].tobytes()
        return self._entry_v1(content_id, value) if self._header.version == 1 else self._entry_v2(content_id, value)

    def _entry_v1(self, content_id: ContentID, value: bytes) -> IndexEntry:
        time_high, time_low, format_version, name_length, name_at, offset, packed = VALUE_V1.unpack(value)
        pack_blob = INVALID_NAME
        if name_at + name_length <= len(self._view):
            pack_blob = self._name_at(name_at << 8 | name_length, name_at, name_length)
        return IndexEntry(
            content_id,
            pack_blob,
            time_high << 32 | time_low,
            (packed - self._overhead) & 0xFFFFFFFF,
            packed,
            offset & ~DELETED,
            0,
            bool(offset & DELETED),
            format_version,
            0,
        )

    def _entry_v2(self, content_id: ContentID, value: bytes) -> IndexEntry:
        seconds, offset, *rest = VALUE_V2.unpack(value.ljust(MAX_VALUE_V2, b"\0"))
        original_high, original_low, packed_high, packed_low, pack_low, format_number, pack_high, lengths = rest
        compression, format_version, encryption_key_id = self._format(format_number)
        return IndexEntry(
            content_id,
            self._pack_name(pack_high << 16 | pack_low),
            self._header.base_time + seconds,
            lengths >> 4 << 24 | original_high << 8 | original_low,
            (lengths & 15) << 24 | packed_high << 8 | packed_low,
            offset & ~DELETED,
            compression,
            bool(offset & DELETED),
            format_version,
            encryption_key_id,
        )

    def _format(self, number: int) -> tuple[int, int, int]:
        if number >= self._header.format_count:
            return INVALID_FORMAT
        compression, version, key_id = FORMAT_V2.unpack_from(
            self._view, self._header.formats_at + number * FORMAT_V2.size
        )
        return compression, version, key_id

    def _pack_name(self, number: int) -> BlobID:
        if number >= self._header.pack_count:
            return INVALID_NAME
        length, start = PACK_V2.unpack_from(self._view, self._header.packs_at + number * PACK_V2.size)
        if start + length > len(self._view):
            raise damaged(self._name, f"the name of pack {number} lies outside the file: it was cut short")
        return self._name_at(number, start, length)

    def _name_at(self, number: int, start: int, length: int) -> BlobID:
        """Return the name in the file at ``start``, the same object each time for the same ``number``."""
        pack_blob = self._names.get(number)
        if pack_blob is None:
            pack_blob = self._names[number] = decode_name(self._view[start : start + length].tobytes())
        return pack_blob


class IndexFile:
    """One index file, searched in its mapped bytes.

    Args:
        buffer: The whole decrypted file: bytes or a mapping. It stays in use until ``close``.
        overhead: Bytes that encryption adds to each content; version 1 derives original lengths from it.
        name: Blob ID for messages.

    Raises:
        DamagedIndexError: The header is impossible, or the file is shorter than its tables.
    """

    find: Callable[[bytes], IndexEntry | None]
    """Return the entry of a key (``content_id.key_of``), deleted or not, or None.

    Raises ``DamagedIndexError`` when an entry can't be decoded.
    """

    position: Callable[[bytes], int]
    """Return the number, from 0, of the entry of a key, -1 when there is none."""

    def __init__(self, buffer: IndexBuffer, *, overhead: int = CONTENT_OVERHEAD, name: str = "") -> None:
        view = memoryview(buffer).cast("B")
        try:
            self.header = IndexHeader.from_bytes(view, name=name)
        except BaseException:
            view.release()  # or a mapping could not be closed
            raise
        self.name = name
        self._buffer = buffer
        self.table: _index.IndexTable | PythonTable = (PythonTable if _index is None else _index.IndexTable)(
            view, self.header, overhead, name
        )
        self.find = self.table.find
        self.position = self.table.position

    def __len__(self) -> int:
        return self.header.count

    def __repr__(self) -> str:
        return f"<IndexFile {self.name or 'in memory'}: version {self.version}, {len(self)} entries>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the buffer, so that a mapping can be closed; nothing can be looked up afterwards."""
        self.table.release()

    @property
    def version(self) -> int:
        """Format version of the file: 1 or 2."""
        return self.header.version

    def find_many(self, keys: Iterable[bytes]) -> list[IndexEntry | None]:
        """Return the entry of each key, or None, in the order of ``keys``."""
        find = self.find
        return [find(key) for key in keys]

    def entries(self, start: str = ALL.start, end: str = ALL.end) -> Iterator[IndexEntry]:
        """Yield the entries, deleted ones too, whose IDs lie in the half-open range, in the order of IDs.

        Raises:
            DamagedIndexError: An entry can't be decoded, or is out of order.
        """
        previous = ""
        for position in range(*self.positions(start, end)):
            entry = self.table.entry(position)
            if entry.content_id < previous:
                raise damaged(self.name, f"content {entry.content_id} stands behind {previous}, out of order")
            previous = entry.content_id
            yield entry

    def pack_names(self) -> set[BlobID]:
        """Return the names of all packs that the file names; version 1 is gone through entry by entry.

        Raises:
            DamagedIndexError: A name lies outside the file.
        """
        header = self.header
        if header.version == 1:
            return {entry.pack_blob for entry in self.entries()}
        found = set()
        with memoryview(self._buffer) as whole, whole.cast("B") as view:
            for number in range(header.pack_count):
                length, start = PACK_V2.unpack_from(view, header.packs_at + number * PACK_V2.size)
                if start + length > len(view):
                    raise damaged(self.name, f"the name of pack {number} lies outside the file: it was cut short")
                found.add(decode_name(view[start : start + length].tobytes()))
        return found

    def is_live_since(self, second: int) -> bool:
        """Return True if no entry is deleted and none was made before ``second`` (since 1970); one that is ends the search.

        Only the two columns that tell are looked at: for a young repository this is asked after each snapshot.
        """
        header = self.header
        time_size, flags_at = (6, 6 + 1 + 1 + 4) if header.version == 1 else (4, 4)
        least = max(second - header.base_time, 0)
        if least >> 8 * time_size:
            return not len(self)
        earliest = least.to_bytes(time_size, "big")
        stride = header.key_size + header.value_size
        with memoryview(self._buffer) as whole, whole.cast("B") as view:
            for start in range(header.entries_at, header.packs_at, stride * _LOOKED_AT_ONCE):
                block = view[start : min(start + stride * _LOOKED_AT_ONCE, header.packs_at)].tobytes()
                if max(block[header.key_size + flags_at :: stride]) & DELETED >> 24:
                    return False
                if any(block[at : at + time_size] < earliest for at in range(header.key_size, len(block), stride)):
                    return False
        return True

    def positions(self, start: str, end: str) -> tuple[int, int]:
        """Return the positions of the first entry of a range of IDs and of the first behind it."""
        return self._position(start), self._position(end)

    def _position(self, bound: str) -> int:
        """Return the position of the first entry whose ID is not less than ``bound``."""
        if bound <= ALL.start:
            return 0
        if bound >= ALL.end:
            return len(self)

        def text(position: int) -> str:
            key = self.table.key(position)
            return key[:1].strip(b"\0").decode("latin-1") + key[1:].hex()

        return bisect_left(range(len(self)), bound, key=text)


__all__ = [
    "IndexBuffer",
    "IndexEntry",
    "IndexFile",
    "PythonTable",
    "build_index",
    "shard_entries",
    "wins",
]
