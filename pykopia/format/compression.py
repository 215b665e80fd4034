"""Compressors by Kopia's name, and back by the header before each body (format 01 §5).

A compressed payload is the compressor's header ID, 4 bytes, big-endian, and a body. The body's format depends on the
family alone; a level is the writer's choice. The levels here are the fastest whose output is no larger than that of
Kopia's compressor of the same name, on source text, documents and binaries in pieces of 1 KiB to 4 MiB.

>>> packed = compressor("zstd-fastest").compress(bytes(1000))
>>> packed[:4].hex(), decompress(packed) == bytes(1000)
('00001101', True)
"""

from collections.abc import Callable
from dataclasses import field, replace
from typing import Final

from pykopia.dataclass import dataclass
from pykopia.errors import DecompressionError, UnsupportedFormatError
from pykopia.format import deflate, zstd
from pykopia.ids import Buffer

HEADER_LENGTH: Final = 4
"""Bytes of the header ID."""

MAX_LENGTH: Final = 1 << 30
"""Bytes that a payload may expand to when its length is not known: far more than any chunk or listing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compressor:
    """One of Kopia's compressors."""

    name: str
    """Kopia's name."""
    header_id: int
    """First four bytes of a payload, and the compression in an index entry."""
    compress: Callable[[Buffer], bytes] = field(repr=False, compare=False)
    """Return header and body for some bytes; safe for threads.

    Raises UnsupportedFormatError where ``supported`` is false.
    """
    deprecated: bool = False
    """Accepted where it is set, not offered."""
    supported: bool = True
    """Whether it can be written; all can be read."""
    zstd_level: int | None = None
    """Parameters for libzstd; None for other families."""


def _all() -> dict[str, Compressor]:
    gzip, raw = deflate.GZIP, deflate.RAW
    return {
        each.name: each
        for each in (
            _made("deflate-best-compression", 0x1502, deflate.encoder(9, wrapper=raw)),
            _made("deflate-best-speed", 0x1501, deflate.fast_encoder(wrapper=raw)),
            _made("deflate-default", 0x1500, deflate.encoder(5, wrapper=raw)),
            _made("gzip", 0x1000, deflate.encoder(6, wrapper=gzip)),
            _made("gzip-best-compression", 0x1002, deflate.encoder(7, wrapper=gzip)),
            _made("gzip-best-speed", 0x1001, deflate.fast_encoder(wrapper=gzip)),
            Compressor(name="lz4", header_id=0x1400, compress=_refuse_lz4, deprecated=True, supported=False),
            _made("pgzip", 0x1300, deflate.encoder(5, wrapper=gzip)),
            _made("pgzip-best-compression", 0x1302, deflate.encoder(9, wrapper=gzip)),
            _made("pgzip-best-speed", 0x1301, deflate.fast_encoder(wrapper=gzip)),
            _made("s2-better", 0x1201, _encode_s2_better),
            _made("s2-default", 0x1200, _encode_s2),
            _made("s2-parallel-4", 0x1202, _encode_s2),
            _made("s2-parallel-8", 0x1203, _encode_s2),
            _zstd("zstd", 0x1100, 3),
            _zstd("zstd-best-compression", 0x1103, 11, deprecated=True),
            _zstd("zstd-better-compression", 0x1102, 5),
            _zstd("zstd-fastest", 0x1101, 1),
        )
    }


def _made(name: str, header_id: int, encode: Callable[[Buffer], bytes], *, deprecated: bool = False) -> Compressor:
    header = header_id.to_bytes(HEADER_LENGTH, "big")

    def compress(data: Buffer) -> bytes:
        return header + encode(data)

    return Compressor(name=name, header_id=header_id, compress=compress, deprecated=deprecated)


def _zstd(name: str, header_id: int, level: int, *, deprecated: bool = False) -> Compressor:
    return replace(_made(name, header_id, zstd.encoder(level), deprecated=deprecated), zstd_level=level)


def _encode_s2(data: Buffer) -> bytes:
    from pykopia.format.s2 import encode_stream  # noqa: PLC0415 -- tables that other compressors do not need

    return encode_stream(data)


def _encode_s2_better(data: Buffer) -> bytes:
    from pykopia.format.s2 import encode_stream  # noqa: PLC0415 -- as above

    return encode_stream(data, better=True)


def _decode_s2(body: memoryview, limit: int) -> bytes:
    from pykopia.format.s2 import decode_stream  # noqa: PLC0415 -- as above

    return decode_stream(body, max_length=limit)


def _refuse_lz4(data: Buffer) -> bytes:
    raise UnsupportedFormatError(
        f"{len(data)} bytes can't be compressed with lz4: Kopia has given it up, it is only read; choose another "
        "compressor, such as zstd-fastest"
    )


COMPRESSORS: Final = _all()
"""All compressors by Kopia's name, in order of name."""

HEADER_NAMES: Final = {each.header_id: each.name for each in COMPRESSORS.values()}
"""Kopia's name for each header ID."""


def compressor(name: str) -> Compressor:
    """Return the compressor of this name.

    Raises:
        UnsupportedFormatError: there is none.
    """
    try:
        return COMPRESSORS[name]
    except KeyError:
        raise UnsupportedFormatError(
            f"compressor {name!r} is not known; `pykopia policy set --help` lists those that are"
        ) from None


def usable_compressor(name: str) -> Compressor | None:
    """Return the compressor that can be written under this name; None for no, an unknown or a read-only one."""
    found = COMPRESSORS.get(name)
    return found if found is not None and found.supported else None


def decompress(payload: Buffer, *, expected_length: int | None = None, max_length: int = MAX_LENGTH) -> bytes:
    """Return the bytes that a compressed payload stands for, by its header.

    Args:
        payload: header and body.
        expected_length: bytes of the result where they are known; memory is taken once, and for no more.
        max_length: greatest length of the result where ``expected_length`` is not given, in bytes.

    Raises:
        DecompressionError: an unknown header, or a body that is damaged, cut off or too long, that bytes follow, or that
            does not have the expected length.
    """
    header = int.from_bytes(payload[:HEADER_LENGTH], "big")
    if len(payload) < HEADER_LENGTH or header not in HEADER_NAMES:
        raise DecompressionError(
            f"{len(payload)} bytes can't be expanded: they do not begin with the header of a known compressor; they are "
            "damaged, were never compressed, or come from a newer version"
        )
    body = memoryview(payload)[HEADER_LENGTH:]
    limit = max_length if expected_length is None else expected_length
    family = header >> 8
    exact = expected_length is not None
    data = zstd.decode(body, limit, exact=exact) if family == _ZSTD else _DECODERS[family](body, limit)
    if expected_length is not None and len(data) != expected_length:
        raise DecompressionError(
            f"a {HEADER_NAMES[header]} body of {len(body)} bytes holds {len(data)} bytes, recorded were {expected_length}"
        )
    return data


def _decode_lz4(body: memoryview, limit: int) -> bytes:
    """Return what LZ4 frames hold, one after another."""
    from lz4.frame import LZ4FrameDecompressor  # noqa: PLC0415 -- only old repositories need it

    pieces: list[bytes] = []
    length = position = 0
    window = len(body)
    try:
        while position < len(body):
            frame = LZ4FrameDecompressor()
            while not frame.eof:
                # what is given and not needed is copied: see ``deflate``
                given = body[position : position + window] if frame.needs_input else b""
                position += len(given)
                window *= 2
                piece = frame.decompress(given, limit + 1 - length)
                pieces.append(piece)
                length += len(piece)
                if length > limit:
                    raise DecompressionError(f"an lz4 body of {len(body)} bytes holds more than {limit} bytes")
                if not piece and not frame.eof and frame.needs_input and position == len(body):
                    raise DecompressionError(f"an lz4 body of {len(body)} bytes ends within a frame")
            position -= len(frame.unused_data or b"")
            window = _FIRST_LZ4_WINDOW
    except (RuntimeError, EOFError) as error:
        raise DecompressionError(f"an lz4 body of {len(body)} bytes can't be expanded: {error}") from error
    return b"".join(pieces)


_FIRST_LZ4_WINDOW: Final = 256
_ZSTD: Final = 0x11
_DECODERS: Final[dict[int, Callable[[memoryview, int], bytes]]] = {
    0x10: deflate.decode_gzip,
    0x12: _decode_s2,
    0x13: deflate.decode_gzip,
    0x14: _decode_lz4,
    0x15: deflate.decode_raw,
}
"""Decoder of a body for each family but zstd: the header ID without its last byte."""

__all__ = [
    "COMPRESSORS",
    "HEADER_LENGTH",
    "HEADER_NAMES",
    "MAX_LENGTH",
    "Compressor",
    "compressor",
    "decompress",
    "usable_compressor",
]
