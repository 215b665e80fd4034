import zlib
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.format import reedsolomon
from pykopia.format.reedsolomon import (
    interpolation_matrix,
    parity_matrix,
    products_of,
    python_encode,
    python_multiply,
    python_strip,
)

native = pytest.importorskip("pykopia.format._reedsolomon", reason="the native twins are not built")
SIZES = st.integers(1, 20) | st.sampled_from([63, 64, 65, 80, 128, 200, 512])
BYTES = st.randoms(use_true_random=False)


def multiply_slowly(a: int, b: int) -> int:
    product = 0
    for bit in range(8):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11D << (bit - 8)
    return product


def test_products_are_those_of_the_field() -> None:
    for factor in (0, 1, 2, 3, 29, 128, 254, 255):
        assert products_of(factor) == bytes(multiply_slowly(factor, value) for value in range(256))


def test_the_rows_of_the_specification() -> None:
    assert parity_matrix(6, 2).hex(" ") == "07 06 05 04 03 02 06 07 04 05 02 03"


@given(st.integers(1, 40), st.data())
def test_any_shards_give_all_others(columns: int, data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 20))
    plain = data.draw(st.binary(min_size=columns * 3, max_size=columns * 3))
    shards = plain + python_multiply(parity_matrix(columns, rows), rows, columns, 3, plain)
    numbers = data.draw(st.permutations(range(columns + rows)))
    used, targets = tuple(numbers[:columns]), tuple(range(columns + rows))
    values = b"".join(shards[number * 3 : number * 3 + 3] for number in used)
    assert python_multiply(interpolation_matrix(used, targets), len(targets), columns, 3, values) == shards


def test_the_native_twins_are_in_use() -> None:
    assert reedsolomon.encode is native.encode
    assert reedsolomon.multiply is native.multiply
    assert reedsolomon.strip is native.strip


@given(st.integers(1, 12), st.integers(1, 30), SIZES, BYTES)
def test_both_multiply_alike(rows: int, columns: int, size: int, random: Random) -> None:
    matrix, shards = random.randbytes(rows * columns), random.randbytes(columns * size)
    expected = python_multiply(matrix, rows, columns, size, shards)
    assert native.multiply(matrix, rows, columns, size, shards) == expected
    assert native.multiply(bytearray(matrix), rows, columns, size, memoryview(shards)) == expected


@given(st.integers(1, 4), st.integers(2, 20), st.integers(1, 4), SIZES, st.booleans(), BYTES, st.data())
def test_both_encode_and_strip_alike(
    blocks: int,
    columns: int,
    rows: int,
    size: int,
    padded: bool,
    random: Random,
    data: st.DataObject,
) -> None:
    size += 2
    room = blocks * columns * size - 4
    plain = random.randbytes(data.draw(st.integers(0, room)))
    real = len(plain) + 4
    parity = blocks * rows * (4 + size)
    stored = -(-real // size) * 4 + real
    length = parity + (blocks * columns * (4 + size) if padded else stored)
    ours, theirs = bytearray(length), bytearray(length)
    matrix = parity_matrix(columns, rows)
    python_encode(plain, blocks, columns, rows, size, padded, matrix, ours)
    native.encode(plain, blocks, columns, rows, size, padded, matrix, theirs)
    assert ours == theirs

    shards = bytearray(ours[parity:])
    for _ in range(data.draw(st.integers(0, 3))):
        shards[data.draw(st.integers(0, len(shards) - 1))] ^= 1
    shards = shards[: data.draw(st.sampled_from([len(shards), len(shards) - 1, len(shards) // 2]))]
    count = -(-len(shards) // (4 + size))
    mine, yours = bytearray(b"\xee" * count * size), bytearray(b"\xee" * count * size)
    assert python_strip(shards, size, mine) == native.strip(shards, size, yours)
    assert mine == yours


@given(st.binary(max_size=100))
def test_the_native_checksum_is_that_of_zlib(data: bytes) -> None:
    data += b"x"
    out = bytearray(len(data))
    assert native.strip(zlib.crc32(data).to_bytes(4, "big") + data, len(data), out) == []
    assert native.strip((zlib.crc32(data) ^ 1).to_bytes(4, "big") + data, len(data), out) == [0]
    assert out == data


@pytest.mark.parametrize("multiply", [python_multiply, native.multiply])
@pytest.mark.parametrize(
    ("matrix", "rows", "columns", "size", "shards"),
    [
        (b"", 0, 1, 1, b"x"),
        (b"1", 1, 1, 0, b""),
        (b"1", 1, 2, 1, b"xx"),
        (b"11", 1, 2, 1, b"x"),
        (bytes(257), 1, 257, 1, bytes(257)),
    ],
)
def test_products_of_wrong_sizes_are_refused(
    multiply: Callable[..., bytearray],
    matrix: bytes,
    rows: int,
    columns: int,
    size: int,
    shards: bytes,
) -> None:
    with pytest.raises(ValueError, match="wrong"):
        multiply(matrix, rows, columns, size, shards)


@pytest.mark.parametrize("encode", [python_encode, native.encode])
@pytest.mark.parametrize(
    ("plain", "blocks", "columns", "size", "length"),
    [
        (b"abc", 1, 2, 3, 21), (b"abc", 1, 2, 3, 22), (b"a", 0, 2, 3, 21), (b"a", 1, 2, 0, 21), (b"", 1, 3, 1, 15),
        (b"a", 1, 2, 3, 20), (b"a", 1, 2, 3, 22),
    ],
)  # fmt: skip
def test_encodings_of_wrong_sizes_are_refused(
    encode: Callable[..., None],
    plain: bytes,
    blocks: int,
    columns: int,
    size: int,
    length: int,
) -> None:
    with pytest.raises(ValueError, match=r"fit|wrong"):
        encode(plain, blocks, columns, 1, size, True, bytes(columns), bytearray(length))


@pytest.mark.parametrize("strip", [python_strip, native.strip])
def test_stripping_into_wrong_sizes_is_refused(strip: Callable[..., list[int]]) -> None:
    with pytest.raises(ValueError, match="empty"):
        strip(b"12345", 0, bytearray())
    with pytest.raises(ValueError, match="wrong length"):
        strip(b"12345", 1, bytearray(2))
    assert strip(b"", 1, bytearray()) == []


@given(st.integers(1, 8000))
def test_the_python_definitions_alone_give_the_same_stored_form(length: int) -> None:
    from pykopia.format import ecc

    data = bytes(i * i & 255 for i in range(length))
    code = ecc.ReedSolomonCRC32(10)
    expected = code.encode(data)
    with pytest.MonkeyPatch.context() as patch:
        for name, function in (("encode", python_encode), ("strip", python_strip), ("multiply", python_multiply)):
            patch.setattr(ecc, name, function)
        assert code.encode(data) == expected
        changed = bytearray(expected)
        changed[-1] ^= 1
        assert code.decode(changed) == data
