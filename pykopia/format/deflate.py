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
    data, rest = _member(body, limit, GZIP)
    if not rest:
        return data
    pieces = [data]
    while rest:
        limit -= len(pieces[-1])
        data, rest = _member(rest, limit, GZIP)
        pieces.append(data)
    return b"".join(pieces)


def decode_raw(body: memoryview, limit: int) -> bytes:
    """Return what the raw deflate stream at the start of ``body`` holds; bytes after it are ignored, as Kopia does.

    Raises:
        DecompressionError: no stream, damage, truncation, or more than ``limit`` bytes.
    """
    return _member(body, limit, RAW)[0]


def _member(body: memoryview | bytes, limit: int, wrapper: int) -> tuple[bytes, bytes]:
    """Return what the first stream of ``body`` holds and the bytes after it."""
    from isal import isal_zlib  # noqa: PLC0415 -- as above

    stream = isal_zlib.decompressobj(wrapper)
    pieces: list[bytes] = []
    length, rest = 0, body
    try:
        while not stream.eof:
            piece = stream.decompress(rest, limit + 1 - length)
            length += len(piece)
            if length > limit:
                raise DecompressionError(f"a deflate body of {len(body)} bytes holds more than {limit} bytes")
            rest = stream.unconsumed_tail
            if not piece and not stream.eof:
                raise DecompressionError(f"a deflate body of {len(body)} bytes ends within a stream")
            pieces.append(piece)
    except isal_zlib.IsalError as error:  # type: ignore[misc] # the stub has an instance where the class is
        raise DecompressionError(f"a deflate body of {len(body)} bytes can't be expanded: {error}") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces), stream.unused_data


__all__ = ["GZIP", "RAW", "decode_gzip", "decode_raw", "encoder", "fast_encoder"]
