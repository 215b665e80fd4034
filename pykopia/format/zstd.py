"""Zstandard bodies: any frames that Kopia reads, and no more output than was agreed (format 01 §5, §5.2).

Kopia's own frames mostly do not tell the length of what they hold, so it is bounded here by the blocks of a frame before
memory is asked for.
"""

import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, NamedTuple

from pykopia.errors import DecompressionError
from pykopia.ids import Buffer

MAGIC: Final = 0xFD2FB528
SKIPPABLE_MAGIC: Final = 0x184D2A50
"""Magic of a skippable frame; the low four bits are free."""
MAX_WINDOW: Final = 1 << 29
"""Bytes of the widest window that Kopia's reader takes."""
MAX_BLOCK: Final = 128 << 10
"""Bytes that one block may expand to."""

_RUN: Final = 1  # block types
_COMPRESSED: Final = 2

_MAX_TRUSTED_LENGTH: Final = 64 << 20  # from an index: memory is asked for without a look at the blocks


class Tuning(NamedTuple):
    """Parameters that differ from those of a zstd level; zero leaves a parameter to the level."""

    hash_log: int = 0
    """Logarithm of the entries of the table of long matches."""
    chain_log: int = 0
    """Logarithm of the entries of the table of short matches."""
    min_match: int = 0
    """Bytes of a short match."""
    strategy: int = 0
    """1 for `fast`, which has one table only."""


SHORT: Final = 4 << 10
LARGE: Final = 256 << 10
"""Bytes up to which contents are short, and beyond which they are large."""

_UNTUNED: Final = Tuning()
_SHORT: Final = Tuning(min_match=4, strategy=1)
_MIDDLE: Final = Tuning(hash_log=15, chain_log=14, min_match=5)
_LARGE: Final = Tuning(hash_log=17, chain_log=15, min_match=6)


def tuning_of(level: int, length: int) -> Tuning:
    """Return how contents of ``length`` bytes are compressed at a level: the fastest that makes no more bytes than Kopia.

    Measured for level 3 beside Kopia's ``zstd`` on generated text and random bytes, Python packages with their libraries,
    C headers, Go sources, and the programs and libraries of a Debian: in each of them at most Kopia's bytes in all.
    Text of some MiB takes 15 % less time than by the level alone, small files 10 %; large programs take a little more.
    """
    if level != 3:
        return _UNTUNED
    return _SHORT if length <= SHORT else _MIDDLE if length <= LARGE else _LARGE


def encoder(level: int) -> Callable[[Buffer], bytes]:
    """Return a function that makes one frame, safe for threads: each has contexts of its own that it reuses."""
    local = threading.local()

    def encode(data: Buffer) -> bytes:
        tuning = tuning_of(level, len(data))
        try:
            made: dict[Tuning, Callable[[Buffer], bytes]] = local.made
        except AttributeError:
            made = local.made = {}
        compress = made.get(tuning)
        if compress is None:
            from zstandard import ZstdCompressionParameters, ZstdCompressor  # noqa: PLC0415 -- 10 ms often not needed

            parameters = ZstdCompressionParameters(compression_level=level, write_checksum=True, **tuning._asdict())
            compress = made[tuning] = ZstdCompressor(compression_params=parameters).compress
        return compress(data)

    return encode


class _Contexts(threading.local):
    """Decompressor of each thread; decompressors can't be shared."""

    def __init__(self) -> None:
        from zstandard import CONTENTSIZE_UNKNOWN, ZstdDecompressor, ZstdError, get_frame_parameters  # noqa: PLC0415

        self.decompress = ZstdDecompressor(max_window_size=MAX_WINDOW).decompress
        self.parameters_of = get_frame_parameters
        self.unknown_length = CONTENTSIZE_UNKNOWN
        self.error = ZstdError


@cache
def _contexts() -> _Contexts:
    return _Contexts()


def decode(body: memoryview, limit: int, *, exact: bool) -> bytes:
    """Return what the frames of ``body`` hold, one after another; nothing for no frame.

    Args:
        body: frames, and nothing else.
        limit: greatest length of the result, in bytes.
        exact: ``limit`` is most likely the very length of the result.

    Raises:
        DecompressionError: damage, truncation, trailing bytes, a window beyond Kopia's, or a longer result.
    """
    contexts = _contexts()
    if exact and limit <= _MAX_TRUSTED_LENGTH:
        try:
            parameters = contexts.parameters_of(body)
            if (
                parameters.content_size in (limit, contexts.unknown_length)
                and parameters.window_size <= MAX_WINDOW
                and limit
            ):
                return contexts.decompress(body, limit, False, False)  # noqa: FBT003 -- one frame, nothing after it
        except contexts.error:
            pass  # several frames, or damage: the walk below tells
    pieces: list[bytes] = []
    room = limit
    for start, end, least, most in frames(body):
        if least > room:
            raise DecompressionError(f"a zstd body of {len(body)} bytes holds more than {limit} bytes")
        try:
            pieces.append(contexts.decompress(body[start:end], min(most, room) or 1))
        except contexts.error as error:
            reason = str(error) if most <= room else f"it is damaged, or holds more than {limit} bytes"
            raise DecompressionError(f"a zstd body of {len(body)} bytes can't be expanded: {reason}") from error
        room -= len(pieces[-1])
        if room < 0:  # the decoder takes a room of 0 for none told, so it was given 1
            raise DecompressionError(f"a zstd body of {len(body)} bytes holds more than {limit} bytes")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def frames(body: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield start, end, least and greatest decoded length of each frame that holds data.

    Raises:
        DecompressionError: what stands there is no frame, or the body ends within one.
    """
    position = 0
    while position < len(body):
        magic = _integer(body, position, 4)
        if magic & ~0xF == SKIPPABLE_MAGIC:
            position += 8 + _integer(body, position + 4, 4)
        elif magic == MAGIC:
            start = position
            position, least, most = _frame(body, position + 4)
            if position <= len(body):
                yield start, position, least, most
        else:
            raise DecompressionError(f"a zstd body of {len(body)} bytes has no frame at offset {position}")
    if position > len(body):
        raise _ends_early(body)


def _frame(body: memoryview, position: int) -> tuple[int, int, int]:
    """Return the end, the least and the greatest decoded length of the frame with its descriptor at ``position``.

    Layout: RFC 8878 §3.1.
    """
    descriptor = _integer(body, position, 1)
    position += 1
    single_segment = descriptor & 0x20
    window = 0
    if not single_segment:
        exponent, mantissa = divmod(_integer(body, position, 1), 8)
        window = (8 + mantissa) << exponent + 7
        position += 1
    position += (0, 1, 2, 4)[descriptor & 3]  # a dictionary's ID; the decoder refuses any but 0
    size_width = (1 if single_segment else 0, 2, 4, 8)[descriptor >> 6]
    declared = _integer(body, position, size_width) + (256 if size_width == 2 else 0) if size_width else -1
    position += size_width
    window = max(window, declared) if single_segment else window
    if window > MAX_WINDOW:
        raise DecompressionError(f"a zstd frame asks for a window of {window} bytes; Kopia reads up to {MAX_WINDOW}")
    bound, last = 0, 0
    while not last:
        size_type_last = _integer(body, position, 3)
        size, kind, last = size_type_last >> 3, size_type_last >> 1 & 3, size_type_last & 1
        bound += min(window, MAX_BLOCK) if kind == _COMPRESSED else min(size, MAX_BLOCK)
        position += 3 + (1 if kind == _RUN else size)
    if declared > bound:
        raise DecompressionError(f"a zstd frame of at most {bound} bytes claims to hold {declared}")
    end = position + (4 if descriptor & 4 else 0)
    return (end, 0, bound) if declared < 0 else (end, declared, declared)


def _integer(body: memoryview, position: int, width: int) -> int:
    if position + width > len(body):
        raise _ends_early(body)
    return int.from_bytes(body[position : position + width], "little")


def _ends_early(body: memoryview) -> DecompressionError:
    return DecompressionError(f"a zstd body of {len(body)} bytes ends within a frame")


__all__ = ["MAX_WINDOW", "Tuning", "decode", "encoder", "frames", "tuning_of"]
