"""Compressors by Kopia's names: ``header(4 bytes, big-endian) || body`` (spec 01 §5).

A reader goes by the family alone (the second byte of the header); level and block sizes are the writer's choice. The
levels here are the fastest whose output is no larger than that of Kopia's encoder of the same name.
"""

import contextlib
import gzip
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import zstandard
from isal import igzip_lib, isal_zlib

from pykopia.errors import DecompressionError, UnsupportedFormatError
from pykopia.ids import Buffer

HEADER_SIZE = 4

MAX_LENGTH = 1 << 30
"""Bytes that anything may decompress to: four times the longest content (spec 02 §2.5)."""

ZSTD_MAX_WINDOW = 1 << 29
"""The largest window that Kopia reads (spec 01 §5.2)."""

NO_COMPRESSION = "none"

Encode = Callable[[Buffer], bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compressor:
    """One of Kopia's compressors."""

    name: str
    header_id: int
    """What a compressed payload begins with."""
    encode: Encode | None
    """Makes the body; None for one that can only be read."""
    deprecated: bool = False
    """Accepted when it is set, and not offered."""

    @property
    def writable(self) -> bool:
        """Whether payloads can be made with it."""
        return self.encode is not None

    def compress(self, data: Buffer) -> bytes:
        """Return ``data`` as a payload: header and body.

        Raises:
            UnsupportedFormatError: it can only be read.
        """
        if self.encode is None:
            raise UnsupportedFormatError(f"compressor {self.name} can only be read; choose another one")
        return self.header_id.to_bytes(HEADER_SIZE, "big") + self.encode(data)


# ---------------------------------------------------------------------- encoders

_contexts = threading.local()


def _zstd(level: int) -> Encode:
    def encode(data: Buffer) -> bytes:
        known: dict[int, zstandard.ZstdCompressor] | None = getattr(_contexts, "compressors", None)
        if known is None:
            known = _contexts.compressors = {}
        context = known.get(level)
        if context is None:
            context = known[level] = zstandard.ZstdCompressor(level=level)
        return context.compress(data)

    return encode


def _gzip_fast(data: Buffer) -> bytes:
    return igzip_lib.compress(data, level=1, flag=igzip_lib.COMP_GZIP)


def _gzip(level: int) -> Encode:
    def encode(data: Buffer) -> bytes:
        return gzip.compress(data, level, mtime=0)

    return encode


def _deflate(level: int) -> Encode:
    def encode(data: Buffer) -> bytes:
        compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        return compressor.compress(data) + compressor.flush()

    return encode


def _deflate_fast(data: Buffer) -> bytes:
    return igzip_lib.compress(data, level=1, flag=igzip_lib.COMP_DEFLATE)


def _s2(data: Buffer) -> bytes:
    from pykopia.format.s2 import encode_stream  # noqa: PLC0415 -- tables that other compressors do not need

    return encode_stream(data)


COMPRESSORS: dict[str, Compressor] = {
    each.name: each
    for each in (
        Compressor(name="gzip", header_id=0x1000, encode=_gzip(5)),
        Compressor(name="gzip-best-speed", header_id=0x1001, encode=_gzip_fast),
        Compressor(name="gzip-best-compression", header_id=0x1002, encode=_gzip(9)),
        Compressor(name="zstd", header_id=0x1100, encode=_zstd(1)),
        Compressor(name="zstd-fastest", header_id=0x1101, encode=_zstd(1)),
        Compressor(name="zstd-better-compression", header_id=0x1102, encode=_zstd(7)),
        Compressor(name="zstd-best-compression", header_id=0x1103, encode=_zstd(11), deprecated=True),
        Compressor(name="s2-default", header_id=0x1200, encode=_s2),
        Compressor(name="s2-better", header_id=0x1201, encode=_s2),
        Compressor(name="s2-parallel-4", header_id=0x1202, encode=_s2, deprecated=True),
        Compressor(name="s2-parallel-8", header_id=0x1203, encode=_s2, deprecated=True),
        Compressor(name="pgzip", header_id=0x1300, encode=_gzip(5)),
        Compressor(name="pgzip-best-speed", header_id=0x1301, encode=_gzip_fast),
        Compressor(name="pgzip-best-compression", header_id=0x1302, encode=_gzip(9)),
        Compressor(name="lz4", header_id=0x1400, encode=None, deprecated=True),
        Compressor(name="deflate-default", header_id=0x1500, encode=_deflate(5)),
        Compressor(name="deflate-best-speed", header_id=0x1501, encode=_deflate_fast),
        Compressor(name="deflate-best-compression", header_id=0x1502, encode=_deflate(9)),
    )
}
"""All compressors by Kopia's name."""

HEADER_NAMES: dict[int, str] = {each.header_id: each.name for each in COMPRESSORS.values()}
"""Kopia's name by header ID."""


def compressor(name: str) -> Compressor:
    """Return a compressor by its name.

    Raises:
        UnsupportedFormatError: there is none of that name.
    """
    found = COMPRESSORS.get(name)
    if found is None:
        raise UnsupportedFormatError(
            f"compressor {name!r} is not known: use one of "
            f"{', '.join(each.name for each in COMPRESSORS.values() if each.writable)}"
        )
    return found


def usable_compressor(name: str) -> Compressor | None:
    """Return the compressor that a policy's name stands for; None for none, and as in Kopia for an unknown name."""
    found = COMPRESSORS.get(name)
    return found if found is not None and found.writable else None


# ---------------------------------------------------------------------- decoders


def decompress(payload: Buffer, *, expected_length: int | None = None) -> bytes:
    """Return what a payload was made from.

    Args:
        payload: header and body.
        expected_length: bytes that must come out, where that is known; it also sizes the output.

    Raises:
        DecompressionError: an unknown header, a body that is cut off, altered or followed by other bytes, or another
            length.
    """
    header_id = int.from_bytes(payload[:HEADER_SIZE], "big")
    decode = _DECODERS.get(header_id >> 8)
    if len(payload) < HEADER_SIZE or decode is None or header_id not in HEADER_NAMES:
        raise DecompressionError(
            f"can't decompress: {bytes(payload[:HEADER_SIZE]).hex()} is no known compression header"
        )
    limit = MAX_LENGTH if expected_length is None else expected_length
    name = HEADER_NAMES[header_id]
    try:
        data = decode(memoryview(payload)[HEADER_SIZE:], limit)
    except _FAILURES as error:
        raise DecompressionError(f"can't decompress {name} data: {error}") from error
    if expected_length is not None and len(data) != expected_length:
        raise DecompressionError(
            f"can't decompress {name} data: {len(data)} bytes came out, {expected_length} were expected"
        )
    return data


class _Damaged(Exception):  # noqa: N818 -- never leaves this module
    """A body that its library did not complain of."""


def _zstd_decode(body: memoryview, limit: int) -> bytes:
    """Decode frames to the end; most lack the content size, and the library tells of no truncation by itself."""
    context: zstandard.ZstdDecompressor | None = getattr(_contexts, "decompressor", None)
    if context is None:
        context = _contexts.decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_MAX_WINDOW)
    if limit < MAX_LENGTH:
        # one frame that is all there is, the usual case: in one call, into one buffer of the right size
        with contextlib.suppress(zstandard.ZstdError):
            return context.decompress(body, max_output_size=limit, allow_extra_data=False)
    return _zstd_frames(context, body, limit)


def _zstd_frames(context: zstandard.ZstdDecompressor, body: memoryview, limit: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    rest = bytes(body)
    while rest:
        frame = context.decompressobj()
        part = frame.decompress(rest)
        if not frame.eof:
            raise _Damaged("it is cut off")
        total += len(part)
        if total > limit:
            raise _Damaged(f"more than {limit} bytes come out")
        parts.append(part)
        rest = frame.unused_data
    return b"".join(parts)


def _gzip_decode(body: memoryview, limit: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    rest: Buffer = body
    while rest:
        member = isal_zlib.decompressobj(31)
        part = member.decompress(rest, limit - total + 1)
        total += len(part)
        if total > limit:
            raise _Damaged(f"more than {limit} bytes come out")
        if not member.eof:
            raise _Damaged("it is cut off")
        parts.append(part)
        rest = member.unused_data
    if not parts:
        raise _Damaged("it is empty")
    return b"".join(parts)


def _deflate_decode(body: memoryview, limit: int) -> bytes:
    stream = isal_zlib.decompressobj(-15)
    data = stream.decompress(body, limit + 1)
    if len(data) > limit:
        raise _Damaged(f"more than {limit} bytes come out")
    if not stream.eof:
        raise _Damaged("it is cut off")
    return data


def _lz4_decode(body: memoryview, limit: int) -> bytes:
    import lz4.frame  # noqa: PLC0415 -- for repositories of old releases alone

    stream = lz4.frame.LZ4FrameDecompressor()
    try:
        data: bytes = stream.decompress(bytes(body), limit + 1)
    except RuntimeError as error:
        raise _Damaged(str(error)) from error
    if len(data) > limit or not stream.eof or stream.unused_data:
        raise _Damaged("it is cut off, too long or followed by other bytes")
    return data


def _s2_decode(body: memoryview, limit: int) -> bytes:
    from pykopia.format.s2 import decode_stream  # noqa: PLC0415 -- as above

    return decode_stream(body, max_length=limit)


_FAILURES: tuple[type[Exception], ...] = (
    _Damaged,
    DecompressionError,
    zstandard.ZstdError,
    cast("type[Exception]", igzip_lib.IsalError),
    zlib.error,
    EOFError,
    MemoryError,
)

_DECODERS: dict[int, Callable[[memoryview, int], bytes]] = {
    0x10: _gzip_decode,
    0x11: _zstd_decode,
    0x12: _s2_decode,
    0x13: _gzip_decode,
    0x14: _lz4_decode,
    0x15: _deflate_decode,
}

__all__ = [
    "COMPRESSORS",
    "HEADER_NAMES",
    "NO_COMPRESSION",
    "Compressor",
    "compressor",
    "decompress",
    "usable_compressor",
]
