"""The S2 stream format, which Snappy's is a part of (format 01 §5.3).

A stream is a sequence of chunks, each with a checksum of what it decodes to; a block is a sequence of literals and copies
of what was decoded before. Where nothing was compiled, Snappy's framed form is written by its library: Kopia reads it as
S2, though it takes more bytes.
"""

from pykopia.errors import DecompressionError
from pykopia.ids import Buffer

IDENTIFIERS = {b"S2sTwO": 4 << 20, b"sNaPpY": 64 << 10}
"""Stream identifiers, with the largest decoded block in bytes of their streams."""

IDENTIFIER = 0xFF
COMPRESSED = 0x00
UNCOMPRESSED = 0x01
FIRST_SKIPPABLE = 0x80
CHUNK_HEADER = 4
CHECKSUM = 4

CRC_POLYNOMIAL = 0x82F63B78
"""Castagnoli's, reflected."""
MASK_DELTA = 0xA282EAD8


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = crc >> 1 ^ (CRC_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc_table()


def python_masked_crc(data: Buffer) -> int:
    """Return the checksum of a chunk: CRC-32C, rotated and moved."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def python_decode_block(block: Buffer, limit: int) -> bytes:
    """Return what a block decodes to.

    Args:
        block: decoded length and operations.
        limit: bytes that it may decode to.

    Raises:
        DecompressionError: it is not what a block must be.
    """
    source = bytes(block)
    length, position = _length(source, limit)
    out = bytearray()
    offset = 0
    try:
        while position < len(source):
            tag, more = source[position] & 3, source[position] >> 2
            position += 1
            if tag == 0:
                count = more + 1
                if more >= 60:
                    count = 1 + int.from_bytes(source[position : position + more - 59], "little")
                    position += more - 59
                if position + count > len(source):
                    raise _damaged("a literal runs past the end")
                out += source[position : position + count]
                position += count
            else:
                if tag == 1:
                    far = (source[position - 1] >> 5) << 8 | source[position]
                    position += 1
                    count = (more & 7) + 4
                    if far:
                        offset = far
                    elif more & 7 > 4:
                        width = (more & 7) - 4
                        count = (8, 260, 65540)[width - 1] + int.from_bytes(
                            source[position : position + width], "little"
                        )
                        if position + width > len(source):
                            raise _damaged("a copy runs past the end")
                        position += width
                else:
                    width = 2 if tag == 2 else 4
                    offset = int.from_bytes(source[position : position + width], "little")
                    if position + width > len(source):
                        raise _damaged("a copy runs past the end")
                    position += width
                    count = more + 1
                if not 0 < offset <= len(out):
                    raise _damaged("a copy from before the start")
                if len(out) + count > length:
                    raise _damaged("it is longer than it says")
                start = len(out) - offset
                if offset >= count:
                    out += out[start : start + count]
                else:
                    pattern = bytes(out[start:])
                    out += (pattern * (count // offset + 1))[:count]
            if len(out) > length:
                raise _damaged("it is longer than it says")
    except IndexError:
        raise _damaged("it is cut off") from None
    if len(out) != length:
        raise _damaged("it is shorter than it says")
    return bytes(out)


def _length(source: bytes, limit: int) -> tuple[int, int]:
    """Return the decoded length at the start of a block, and where the operations begin."""
    length = shift = 0
    for position in range(min(len(source), 5)):
        length |= (source[position] & 0x7F) << shift
        shift += 7
        if source[position] < 0x80:
            if length > limit:
                raise _damaged(f"a block of {length} bytes, more than the {limit} that it may have")
            return length, position + 1
    raise _damaged("a block without a length")


def _damaged(reason: str) -> DecompressionError:
    return DecompressionError(f"S2 data are damaged: {reason}")


def snappy_encode_stream(data: Buffer, *, better: bool) -> bytes:  # noqa: ARG001 -- there is one Snappy
    """Return the same by Snappy, which knows no better."""
    import cramjam  # noqa: PLC0415 -- the native encoder does without

    return bytes(cramjam.snappy.compress(data))


try:
    from pykopia.format._s2 import decode_block, masked_crc
    from pykopia.format._s2 import encode_stream as _encode_stream
except ImportError:  # no compiler was there
    decode_block, masked_crc, _encode_stream = python_decode_block, python_masked_crc, snappy_encode_stream


def decode_stream(data: Buffer, *, max_length: int) -> bytes:
    """Return what a stream decodes to.

    Args:
        data: all of the stream; none at all is the stream of nothing.
        max_length: bytes that it may decode to.

    Raises:
        DecompressionError: it is damaged, cut off, followed by other bytes, or too long.
    """
    view = memoryview(data).cast("B")
    parts: list[Buffer] = []
    position = total = block_limit = 0
    while position < len(view):
        if position + CHUNK_HEADER > len(view):
            raise _damaged("it ends within a chunk's header")
        kind = view[position]
        length = int.from_bytes(view[position + 1 : position + CHUNK_HEADER], "little")
        position += CHUNK_HEADER
        chunk = view[position : position + length]
        position += length
        if len(chunk) != length:
            raise _damaged("it ends within a chunk")
        if kind == IDENTIFIER:
            if bytes(chunk) not in IDENTIFIERS:
                raise _damaged("an unknown stream identifier")
            block_limit = IDENTIFIERS[bytes(chunk)]
            continue
        if not block_limit:
            raise _damaged("it does not begin with a stream identifier")
        if kind >= FIRST_SKIPPABLE:
            continue
        if kind not in (COMPRESSED, UNCOMPRESSED) or length < CHECKSUM:
            raise _damaged(f"a chunk of type {kind:#x} and {length} bytes")
        body = chunk[CHECKSUM:]
        if kind == UNCOMPRESSED and len(body) > block_limit:
            raise _damaged(f"a block of {len(body)} bytes, more than the {block_limit} that it may have")
        part = decode_block(body, block_limit) if kind == COMPRESSED else body
        if masked_crc(part) != int.from_bytes(chunk[:CHECKSUM], "little"):
            raise _damaged("a checksum does not match")
        total += len(part)
        if total > max_length:
            raise _damaged(f"more than {max_length} bytes come out")
        parts.append(part)
    return b"".join(parts)


def encode_stream(data: Buffer, *, better: bool = False) -> bytes:
    """Return a stream that decodes to ``data``; nothing at all for no data, as Kopia writes it."""
    if not len(data):
        return b""
    return _encode_stream(data, better=better)


__all__ = [
    "decode_block",
    "decode_stream",
    "encode_stream",
    "masked_crc",
    "python_decode_block",
    "python_masked_crc",
    "snappy_encode_stream",
]
