"""Reed-Solomon code over GF(256) and the checksums around its shards (format 01 §4.2 - §4.4).

A block is ``d`` data shards of equal size. Position by position they are the values P(0), P(1) .. P(d-1) of a polynomial
of degree below ``d``; parity shard ``k`` is P(d+k). So parity is a matrix times the data, and any ``d`` good shards give
each other one by another such matrix.

The functions here are the definition; ``_reedsolomon`` has the three that take all the time in C.
"""

import zlib
from functools import lru_cache
from itertools import chain
from typing import Final

from pykopia.ids import Buffer

CRC_SIZE: Final = 4
PREFIX_SIZE: Final = 4
"""Bytes of the length in front of the data; it is big-endian."""

_POLYNOMIAL: Final = 0x11D
_ORDER: Final = 255  # of the multiplicative group, which 2 generates


def _powers() -> tuple[bytes, list[int]]:
    powers, logarithms, value = bytearray(), [0] * 256, 1
    for exponent in range(_ORDER):
        powers.append(value)
        logarithms[value] = exponent
        value <<= 1
        if value > 0xFF:
            value ^= _POLYNOMIAL
    return bytes(powers), logarithms


_POWER, _LOGARITHM = _powers()


@lru_cache(maxsize=256)
def products_of(factor: int) -> bytes:
    """Return ``factor`` times each byte in GF(256): a table for ``bytes.translate``."""
    if not factor:
        return bytes(256)
    log = _LOGARITHM[factor]
    return bytes([0]) + bytes(_POWER[(log + _LOGARITHM[value]) % _ORDER] for value in range(1, 256))


@lru_cache(maxsize=64)
def interpolation_matrix(points: tuple[int, ...], targets: tuple[int, ...]) -> bytes:
    """Return what turns the values at ``points`` into those at ``targets``; a row for each target.

    Both are distinct numbers of 0 to 255. The polynomial through the points has a lower degree than their number.
    """
    logs = _LOGARITHM
    weights = [sum(logs[point ^ other] for other in points if other != point) for point in points]
    rows = bytearray()
    for target in targets:
        if target in points:
            rows += bytes(point == target for point in points)
            continue
        all_factors = sum(logs[target ^ point] for point in points)
        rows += bytes(
            _POWER[(all_factors - logs[target ^ point] - weight) % _ORDER]
            for point, weight in zip(points, weights, strict=True)
        )
    return bytes(rows)


@lru_cache
def parity_matrix(data_shards: int, parity_shards: int) -> bytes:
    """Return the matrix that gives the parity shards of a block; a row for each."""
    all_shards = tuple(range(data_shards + parity_shards))
    return interpolation_matrix(all_shards[:data_shards], all_shards[data_shards:])


def python_multiply(matrix: Buffer, rows: int, columns: int, size: int, shards: Buffer) -> bytearray:
    """Return the product of a matrix and ``columns`` shards of ``size`` bytes: ``rows`` shards."""
    factors, data = bytes(matrix), bytes(shards)
    if rows < 1 or not 1 <= columns <= 256 or len(factors) != rows * columns:
        raise ValueError("the matrix has a wrong size")
    if size < 1 or len(data) != columns * size:
        raise ValueError("the shards have a wrong length")
    product = bytearray()
    for row in range(rows):
        total = 0
        for column in range(columns):
            shard = data[column * size : (column + 1) * size]
            total ^= int.from_bytes(shard.translate(products_of(factors[row * columns + column])), "little")
        product += total.to_bytes(size, "little")
    return product


def python_encode(
    data: Buffer,
    blocks: int,
    columns: int,
    rows: int,
    size: int,
    padded: bool,
    matrix: Buffer,
    out: bytearray | memoryview,
) -> None:
    """Fill ``out`` with the parity shards of all blocks, then all data shards, each behind its checksum.

    Args:
        data: What is protected.
        blocks: How many blocks it takes, with its length in front.
        columns: Data shards of a block.
        rows: Parity shards of a block.
        size: Bytes of a shard.
        padded: Whether the zeros that fill up the last block are stored too.
        matrix: As ``parity_matrix`` gives it.
        out: It has exactly the length of the result.

    Raises:
        ValueError: The lengths do not fit together.
    """
    plain = len(data).to_bytes(PREFIX_SIZE, "big") + bytes(data) if len(data) <= 0xFFFFFFFF else b""
    block_size, real = columns * size, PREFIX_SIZE + len(data)
    if not plain or block_size < PREFIX_SIZE:
        raise ValueError("the length of the data does not fit into the first block")
    if blocks < 1 or size < 1 or real > blocks * block_size:
        raise ValueError("the data does not fit into the blocks")
    plain = plain.ljust(blocks * block_size, b"\0")
    parity = (
        python_multiply(matrix, rows, columns, size, plain[start : start + block_size])
        for start in range(0, len(plain), block_size)
    )
    stored_end = len(plain) if padded else real
    parts: list[Buffer] = []
    for parity_shard in chain.from_iterable(_shards(block, size) for block in parity):
        parts += _checksum(parity_shard), parity_shard
    for start in range(0, stored_end, size):
        shard = plain[start : start + size]
        parts += _checksum(shard), shard[: stored_end - start]  # the checksum covers the zeros that are cut off
    if len(out) != sum(map(len, parts)):
        raise ValueError("the output has a wrong length")
    out[:] = b"".join(parts)


def python_strip(stored: Buffer, size: int, out: bytearray | memoryview) -> list[int]:
    """Copy the data shards out of ``stored`` and return the numbers of those that do not match their checksum.

    Args:
        stored: Shards, each behind its checksum; the last one may be cut short, which stands for zeros.
        size: Bytes of a shard.
        out: Room for all the shards, the last one in full.

    Raises:
        ValueError: ``out`` has a wrong length.
    """
    if size < 1:
        raise ValueError("shards can't be empty")
    view, step, wrong = memoryview(stored), CRC_SIZE + size, []
    if len(out) != -(-len(view) // step) * size:
        raise ValueError("the output has a wrong length")
    for number, start in enumerate(range(0, len(view), step)):
        checksum = bytes(view[start : start + CRC_SIZE]).ljust(CRC_SIZE, b"\0")
        shard = bytes(view[start + CRC_SIZE : start + step]).ljust(size, b"\0")
        out[number * size : (number + 1) * size] = shard
        if _checksum(shard) != checksum:
            wrong.append(number)
    return wrong


def _checksum(shard: Buffer) -> bytes:
    return zlib.crc32(shard).to_bytes(CRC_SIZE, "big")


def _shards(block: bytearray, size: int) -> list[bytearray]:
    return [block[start : start + size] for start in range(0, len(block), size)]


try:
    from pykopia.format._reedsolomon import encode, multiply, strip
except ImportError:  # no compiler at installation
    encode, multiply, strip = python_encode, python_multiply, python_strip

__all__ = [
    "CRC_SIZE",
    "PREFIX_SIZE",
    "encode",
    "interpolation_matrix",
    "multiply",
    "parity_matrix",
    "products_of",
    "python_encode",
    "python_multiply",
    "python_strip",
    "strip",
]
