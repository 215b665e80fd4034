"""Indexes of objects that are stored in several pieces (format 04 §3).

One line of JSON: ``{"stream":"kopia:indirect","entries":[{"l":131072,"o":"7b9e…"},{"s":131072,"l":1,"o":"5c62…"}]}``.
Zero starts and lengths are left out. The pieces are contiguous and begin at 0; a piece may be empty (format 04 §11.4).
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from pykopia.errors import DamagedDataError, DamagedObjectError, InvalidIDError, UsageError
from pykopia.format import gojson
from pykopia.format.object_id import CANONICAL, parse_object_id
from pykopia.ids import Buffer, ObjectID

STREAM: Final = "kopia:indirect"


class IndirectEntry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """Place of one piece of an object."""

    start: gojson.Int64 = msgspec.field(default=0, name="s")
    """Bytes from the start of the object."""
    length: gojson.Int64 = msgspec.field(default=0, name="l")
    """Bytes of the piece."""
    object_id: str = msgspec.field(default="", name="o")
    """The piece itself: an ``ObjectID``, usually of a single content."""

    @property
    def end(self) -> int:
        """Offset in the object of the first byte behind the piece."""
        return self.start + self.length


class _Index(msgspec.Struct, forbid_unknown_fields=True):
    stream: str = ""
    entries: list[IndirectEntry] | None = None


def encode_index(entries: Sequence[IndirectEntry]) -> bytes:
    """Return the index object that lists the pieces, byte for byte as Kopia writes it.

    Raises:
        UsageError: There is no piece, an ID is empty or not in the form that Kopia writes, or the pieces are not
            contiguous.
    """
    reason = _flaw(entries)
    if reason:
        raise UsageError(f"the index of an object can't be written: {reason}")
    for entry in entries:
        if not CANONICAL.fullmatch(entry.object_id):
            raise UsageError(f"the index of an object can't be written: {entry.object_id!r} is not an object ID")
    return msgspec.json.encode(_Index(STREAM, list(entries))) + b"\n"


def decode_index(data: Buffer) -> list[IndirectEntry]:
    """Return the pieces that an index object lists, with their IDs as Kopia writes them.

    The name of the stream, unknown keys and whatever follows the JSON value are ignored, as Kopia does. Unlike Kopia,
    which reads the pieces one after another whatever their offsets are, gaps and overlaps are damage.

    Raises:
        DamagedObjectError: The bytes are no index, list no piece, or pieces that are not contiguous.
    """
    try:
        entries = gojson.decode(data, _Index, first_only=True).entries or []
        for number, entry in enumerate(entries):
            if not CANONICAL.fullmatch(entry.object_id):
                entries[number] = IndirectEntry(entry.start, entry.length, _written_form(entry.object_id))
    except (DamagedDataError, InvalidIDError) as error:
        raise DamagedObjectError(f"the index of an object can't be read: {error}") from error
    reason = _flaw(entries)
    if reason:
        raise DamagedObjectError(f"the index of an object can't be read: {reason}")
    return entries


def join_indexes(parts: Iterable[Sequence[IndirectEntry]]) -> list[IndirectEntry]:
    """Return the pieces of the objects one after another (format 04 §3.1).

    Args:
        parts: For each object its pieces: those of its index, or the object itself as a single piece with its length.
            The piece of an empty object is kept, as Kopia keeps it.
    """
    joined: list[IndirectEntry] = []
    offset = 0
    for part in parts:
        joined.extend(IndirectEntry(offset + entry.start, entry.length, entry.object_id) for entry in part)
        offset = joined[-1].end if joined else 0
    return joined


def _flaw(entries: Sequence[IndirectEntry]) -> str:
    """Return what is wrong with the offsets of pieces, or the empty text."""
    if not entries:
        return "it lists no piece"
    position = 0
    for entry in entries:
        if entry.start != position or entry.length < 0:
            return f"{entry.length} bytes at offset {entry.start} follow bytes that end at {position}"
        position = entry.end
    if position >= 1 << 63:
        return f"the object would have {position} bytes"
    return ""


def _written_form(object_id: str) -> ObjectID:
    parsed = parse_object_id(object_id)
    if not parsed.content_id:
        raise InvalidIDError("object", object_id, "it refers to nothing")
    return parsed.to_string()


__all__ = ["STREAM", "IndirectEntry", "decode_index", "encode_index", "join_indexes"]
