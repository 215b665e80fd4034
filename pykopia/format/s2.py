"""S2 streams: the reader and the two encoders, as plain definitions (spec 01 §5.3).

S2 is Snappy's framed format with blocks of up to 4 MiB and one more operation: a copy from the last distance used. The
functions here are the definition; ``_s2`` has ``decode`` and ``encode`` in C, and makes the same bytes.
"""

from collections.abc import Iterator
from typing import Final

from pykopia.errors import DecompressionError
from pykopia.ids import Buffer

STREAM_ID: Final = b"\xff\x06\x00\x00S2sTwO"
"""The first chunk of a stream."""
MAX_BLOCKS: Final = {b"S2sTwO": 4 << 20, b"sNaPpY": 64 << 10}
"""Bytes that one chunk may hold, for each identifier."""
BLOCK_SIZE: Final = 1 << 20
"""Bytes that one chunk holds as written here."""

COMPRESSED: Final = 0x00  # types of chunks
UNCOMPRESSED: Final = 0x01
FIRST_SKIPPABLE: Final = 0x80
IDENTIFIER: Final = 0xFF

CHUNK_HEADER: Final = 1 + 3  # type, length
CHECKSUM: Final = 4

LITERAL: Final = 0  # the low two bits of an operation
NEAR_COPY: Final = 1  # distance of 11 bits; 0: the last distance again
COPY: Final = 2  # distance of 16 bits
FAR_COPY: Final = 3  # distance of 32 bits


# ---------------------------------------------------------------------------------------------------------- checksum


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901 -- shifted in place
        table.append(value)
    return table


_CRC_TABLE: Final = _crc_table()


def masked_crc(data: Buffer) -> int:
    """Return CRC-32C (Castagnoli) of ``data`` in the disguise that chunks carry."""
    crc = 0xFFFF_FFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFF_FFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFF_FFFF


# ----------------------------------------------------------------------------------------------------------- reading


def decode(body: Buffer, limit: int) -> bytes:
    """Return what an S2 or framed Snappy stream holds; nothing for an empty one.

    Args:
        body: chunks, and nothing else.
        limit: greatest length of the result, in bytes; it is known before memory is asked for.

    Raises:
        DecompressionError: no stream, damage, truncation, or a longer result.
    """
    view = memoryview(body)
    chunks = list(_data_chunks(view))
    if sum(length for _, _, length in chunks) > limit:
        raise _refusal(view, f"it holds more than {limit} bytes")
    pieces = []
    for kind, payload, length in chunks:
        content = payload[CHECKSUM:]
        data = _decode_block(content, length) if kind == COMPRESSED else bytes(content)
        if data is None:
            raise _refusal(view, "a block is damaged")
        if masked_crc(data) != int.from_bytes(payload[:CHECKSUM], "little"):
            raise _refusal(view, "a checksum does not match")
        pieces.append(data)
    return b"".join(pieces)


def _data_chunks(body: memoryview) -> Iterator[tuple[int, memoryview, int]]:
    """Yield type, payload and decoded length of each chunk that holds data."""
    position, max_block = 0, 0
    while position < len(body):
        if position + CHUNK_HEADER > len(body):
            raise _refusal(body, "it ends within a chunk")
        kind = body[position]
        start = position + CHUNK_HEADER
        position = start + int.from_bytes(body[position + 1 : start], "little")
        if position > len(body):
            raise _refusal(body, "it ends within a chunk")
        payload = body[start:position]
        if kind == IDENTIFIER:
            max_block = MAX_BLOCKS.get(bytes(payload), 0)
        if not max_block:
            raise _refusal(body, "it does not begin with the identifier of an S2 or Snappy stream")
        if kind in (COMPRESSED, UNCOMPRESSED):
            length = len(payload) - CHECKSUM
            if length >= 0 and kind == COMPRESSED:
                length = _uvarint(payload, CHECKSUM)[0]
            if not 0 <= length <= max_block:
                raise _refusal(body, "a block has no valid length")
            yield kind, payload, length
        elif kind < FIRST_SKIPPABLE:
            raise _refusal(body, f"it has a chunk of an unknown type, {kind:#04x}")


def _uvarint(data: memoryview, position: int) -> tuple[int, int]:
    """Return the number that begins at ``position`` and where it ends; -1 for none of 32 bits."""
    value = 0
    for shift in range(0, 35, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value if value < 1 << 32 else -1), position
    return -1, position


def _decode_block(block: memoryview, length: int) -> bytes | None:
    """Return the ``length`` bytes of a block; None if its operations make anything else."""
    data = bytearray()
    position, distance = _uvarint(block, 0)[1], 0
    while position < len(block):
        operation = block[position]
        tag, argument = operation & 3, operation >> 2
        position += 1
        if tag == LITERAL:
            width = max(0, argument - 59)
            count = (int.from_bytes(block[position : position + width], "little") if width else argument) + 1
            end = position + width + count
            if end > len(block) or len(data) + count > length:
                return None
            data += block[position + width : end]
            position = end
            continue
        base, width = argument + 1, (0, 1, 2, 4)[tag]
        if position + width > len(block):
            return None
        number = int.from_bytes(block[position : position + width], "little")
        position += width
        if tag == NEAR_COPY:
            number |= operation >> 5 << 8
            code = argument & 7
            base = code + 4
            if not number:  # the distance is the last one, and the length may be longer
                number, width = distance, max(0, code - 4)
                if position + width > len(block):
                    return None
                base = (4, 5, 6, 7, 8, 8, 260, 65540)[code] + int.from_bytes(block[position : position + width], "little")
                position += width
        distance = number
        if not 0 < distance <= len(data) or len(data) + base > length:
            return None
        _repeat_tail(data, distance, base)
    return bytes(data) if len(data) == length else None


def _repeat_tail(data: bytearray, distance: int, count: int) -> None:
    """Append ``count`` bytes that each equal the one ``distance`` before."""
    unit = bytes(data[-distance:])
    data += (unit * (count // distance + 1))[:count]


def _refusal(body: memoryview, reason: str) -> DecompressionError:
    return DecompressionError(f"an s2 body of {len(body)} bytes can't be expanded: {reason}")


# ----------------------------------------------------------------------------------------------------------- writing


def encode(data: Buffer, better: bool) -> bytes:  # noqa: FBT001 -- the native twin takes it by position
    """Return an S2 stream of ``data``, nothing for no bytes; with ``better`` a longer search and a smaller stream."""
    view = memoryview(data)
    pieces = [STREAM_ID] if len(view) else []
    for start in range(0, len(view), BLOCK_SIZE):
        block = bytes(view[start : start + BLOCK_SIZE])
        packed = _varint_of(len(block)) + (_encode_better(block) if better else _encode_fast(block))
        kind, content = (COMPRESSED, packed) if len(packed) < len(block) else (UNCOMPRESSED, block)
        pieces.append(bytes([kind]) + (CHECKSUM + len(content)).to_bytes(3, "little"))
        pieces.append(masked_crc(block).to_bytes(CHECKSUM, "little") + content)
    return b"".join(pieces)


def _varint_of(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_MIN_INPUT: Final = 16  # shorter blocks are one literal
_MARGIN: Final = 12  # bytes at the end of a block where no match begins
_FAR: Final = 1 << 16

FAST_BITS: Final = 14  # of the tables of positions, at most
FAST_HASHED: Final = 5  # bytes that a table's key covers
LONG_BITS: Final = 17
LONG_HASHED: Final = 7
SHORT_BITS: Final = 14
SHORT_HASHED: Final = 4


class _Table:
    """The last position where bytes were seen that hash alike; 0 for none."""

    def __init__(self, block: bytes, bits: int, hashed: int) -> None:
        while bits > 8 and 1 << bits - 1 >= len(block):
            bits -= 1
        self.block, self.bits, self.hashed = block, bits, hashed
        self.positions = [0] * (1 << bits)

    def put(self, position: int) -> int:
        """Enter ``position``; return the one that it replaces."""
        word = int.from_bytes(self.block[position : position + self.hashed], "little") << 64 - 8 * self.hashed
        slot = (word * 0x9E3779B185EBCA87 & 0xFFFF_FFFF_FFFF_FFFF) >> 64 - self.bits
        previous = self.positions[slot]
        self.positions[slot] = position
        return previous


def _encode_fast(block: bytes) -> bytes:
    """Return the operations of a block: the first match that turns up is taken."""
    out = bytearray()
    position, done, last = 1, 0, 0
    stop = len(block) - _MARGIN
    table = _Table(block, FAST_BITS, FAST_HASHED)
    while position < stop and len(block) >= _MIN_INPUT:
        source = table.put(position)
        if last and block[position + 1 : position + 5] == block[position + 1 - last : position + 5 - last]:
            position += 1
            source = position - last
        elif block[position : position + 4] != block[source : source + 4]:
            position += 1 + (position - done >> 6)
            continue
        first = position
        while first > done and source > 0 and block[first - 1] == block[source - 1]:
            first -= 1
            source -= 1
        length, distance = _common(block, first, source), first - source
        if first > done:
            _put_literal(out, block[done:first])
        _put_copy(out, distance, length, last)
        last = distance
        position = done = first + length
        if position < stop:
            table.put(position - 2)
            table.put(first + 1)
    if done < len(block):
        _put_literal(out, block[done:])
    return bytes(out)


def _encode_better(block: bytes) -> bytes:
    """Return the operations of a block: of the matches at a position and at the next one the best is taken."""
    out = bytearray()
    position, done, last = 1, 0, 0
    stop = len(block) - _MARGIN
    tables = _Table(block, LONG_BITS, LONG_HASHED), _Table(block, SHORT_BITS, SHORT_HASHED)
    while position < stop and len(block) >= _MIN_INPUT:
        gain, length, source = _best(block, tables, position, last)
        if gain <= 0:
            position += 1 + (position - done >> 7)
            continue
        if position + 1 < stop:
            later = _best(block, tables, position + 1, last)
            if later[0] > gain:
                _, length, source = later
                position += 1
        first = position
        while first > done and source > 0 and block[first - 1] == block[source - 1]:
            first -= 1
            source -= 1
            length += 1
        distance = first - source
        if first > done:
            _put_literal(out, block[done:first])
        _put_copy(out, distance, length, last)
        last = distance
        passed, position = position + 2, first + length
        done = position
        if position < stop:
            while passed + 2 < position:
                tables[0].put(passed)
                tables[1].put(passed + 1)
                passed += 2
            for table in tables:
                table.put(position - 2)
    if done < len(block):
        _put_literal(out, block[done:])
    return bytes(out)


def _best(block: bytes, tables: tuple[_Table, _Table], position: int, last: int) -> tuple[int, int, int]:
    """Return gain, length and source of the best match at ``position``; a gain of 0 for none."""
    best = 0, 0, 0
    for source in (position - last, tables[0].put(position), tables[1].put(position)):
        if 0 < source < position and block[position : position + 4] == block[source : source + 4]:
            length, distance = _common(block, position, source), position - source
            gain = length - (0 if distance == last else 2 if distance < _FAR else 4)
            if gain > best[0]:
                best = gain, length, source
    return best


def _common(block: bytes, position: int, source: int) -> int:
    """Return how many bytes from ``position`` on equal those from ``source`` on."""
    length = 0
    while position + length < len(block) and block[position + length] == block[source + length]:
        length += 1
    return length


def _put_literal(out: bytearray, data: bytes) -> None:
    count = len(data) - 1
    width = 0 if count < 60 else (count.bit_length() + 7) // 8
    out.append((count if count < 60 else 59 + width) << 2 | LITERAL)
    out += count.to_bytes(4, "little")[:width]
    out += data


def _put_copy(out: bytearray, distance: int, length: int, last: int) -> None:
    if distance == last:
        _put_repeat(out, distance, length)
    elif distance < 2048 and length < 12:
        _put_near(out, distance, length)
    else:
        if distance >= _FAR:
            count = min(length, 64 if not 64 < length < 68 else 60)
            out.append(count - 1 << 2 | FAR_COPY)
            out += distance.to_bytes(4, "little")
        elif length > 64 and distance < 2048:
            count = 8
            _put_near(out, distance, count)
        else:
            count = length if length <= 64 else 60
            out.append(count - 1 << 2 | COPY)
            out += distance.to_bytes(2, "little")
        if length > count:
            _put_repeat(out, distance, length - count)


def _put_near(out: bytearray, distance: int, length: int) -> None:
    out.append(distance >> 8 << 5 | length - 4 << 2 | NEAR_COPY)
    out.append(distance & 0xFF)


def _put_repeat(out: bytearray, distance: int, length: int) -> None:
    if 8 < length < 12 and distance < 2048:
        _put_near(out, distance, length)
        return
    code, base, width = (
        (length - 4, length, 0)
        if length <= 8
        else (5, 8, 1)
        if length < 8 + (1 << 8)
        else (6, 260, 2)
        if length < 260 + (1 << 16)
        else (7, 65540, 3)
    )
    out += bytes([code << 2 | NEAR_COPY, 0])
    out += (length - base).to_bytes(3, "little")[:width]


__all__ = ["BLOCK_SIZE", "MAX_BLOCKS", "STREAM_ID", "decode", "encode", "masked_crc"]
