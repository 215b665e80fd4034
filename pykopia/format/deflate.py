"""Bodies made of deflate: gzip members and raw deflate (format 01 §5, §5.2).

They are written without a time and never empty: a gzip body of no bytes ends Kopia with a panic.
"""

import zlib
from collections.abc import Callable
from typing import Final

from pykopia.errors import DecompressionError
from pykopia.ids import Buffer

GZIP: Final = 31
"""``wbits`` of zlib for a gzip member with the widest window."""
RAW: Final = -15
"""``wbits`` of zlib for deflate without a wrapper."""

_FIRST_WINDOW: Final = 256
_ISAL_LEVEL: Final = 1  # its level 0 leaves a tenth more, and codes even an empty body in 117 bytes


def encoder(level: int, *, wrapper: int) -> Callable[[Buffer], bytes]:
    """Return zlib's encoder of a level; ``wrapper`` is ``GZIP`` or ``RAW``."""

    def encode(data: Buffer) -> bytes:
        return zlib.compress(data, level, wrapper)

    return encode


def fast_encoder(*, wrapper: int) -> Callable[[Buffer], bytes]:
    """Return the encoder of ISA-L: several times as fast as zlib's fastest, and no larger."""

    def encode(data: Buffer) -> bytes:
        from isal import isal_zlib  # noqa: PLC0415 -- few commands need it

        compressed: bytes = isal_zlib.compress(data, _ISAL_LEVEL, wrapper)
        return compressed

    return encode


def decode_gzip(body: memoryview, limit: int) -> bytes:
    """Return what the members of ``body`` hold, one after another.

    Args:
        body: one gzip member or more, and nothing else.
        limit: greatest length of the result, in bytes.

    Raises:
        DecompressionError: no member, damage, truncation, trailing bytes, or a longer result.
    """
    data, position = _member(body, limit, GZIP, window=len(body))
    if position == len(body):
        return data
    pieces = [data]
    while position < len(body):
        limit -= len(pieces[-1])
        data, length = _member(body[position:], limit, GZIP, window=_FIRST_WINDOW)
        position += length
        pieces.append(data)
    return b"".join(pieces)


def decode_raw(body: memoryview, limit: int) -> bytes:
    """Return what the raw deflate stream at the start of ``body`` holds; bytes after it are ignored, as Kopia does.

    Raises:
        DecompressionError: no stream, damage, truncation, or more than ``limit`` bytes.
    """
    return _member(body, limit, RAW, window=len(body))[0]


def _member(body: memoryview, limit: int, wrapper: int, *, window: int) -> tuple[bytes, int]:
    """Return what the first stream of ``body`` holds and the number of bytes of that stream.

    The decoder copies what it was given and did not need. ``window`` bytes are given first, then twice as many each time, so
    that a body of many short streams takes time in proportion to its length.
    """
    from isal import isal_zlib  # noqa: PLC0415 -- as above

    stream = isal_zlib.decompressobj(wrapper)
    pieces: list[bytes] = []
    length = position = 0
    given: memoryview | bytes = b""
    try:
        while not stream.eof:
            if not given:
                given = body[position : position + window]
                position += len(given)
                window *= 2
            piece = stream.decompress(given, limit + 1 - length)
            length += len(piece)
            if length > limit:
                raise DecompressionError(f"a deflate body of {len(body)} bytes holds more than {limit} bytes")
            left = stream.unconsumed_tail
            if not piece and not stream.eof and position == len(body) and len(left) in (0, len(given)):
                raise DecompressionError(f"a deflate body of {len(body)} bytes ends within a stream")
            pieces.append(piece)
            given = left
    except isal_zlib.IsalError as error:  # type: ignore[misc] # the stub has an instance where the class is
        raise DecompressionError(f"a deflate body of {len(body)} bytes can't be expanded: {error}") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces), position - len(stream.unused_data)


__all__ = ["GZIP", "RAW", "decode_gzip", "decode_raw", "encoder", "fast_encoder"]
