"""The S2 codec: streams of every kind by Kopia's library, the twins, and what must be refused."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DecompressionError
from pykopia.format import s2
from pykopia.format.compression import decompress
from tests.format.conftest import InputGenerator, stream

VARIANTS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "compression.json").read_bytes()
)["s2Variants"]
Decoder = Callable[[bytes, int], bytes]
STREAM_ID = b"\xff\x06\x00\x00S2sTwO"

native = pytest.mark.skipif(s2.decode_block is s2.python_decode_block, reason="no native modules were built")
both_decoders = pytest.mark.parametrize("decode", [s2.decode_block, s2.python_decode_block])


def block(length: int, *operations: bytes) -> bytes:
    """Return a block that says it decodes to ``length`` bytes."""
    header = bytearray()
    while length >= 0x80:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*header, length]) + b"".join(operations)


def literal(data: bytes) -> bytes:
    return bytes([len(data) - 1 << 2]) + data


@pytest.mark.parametrize("case", VARIANTS, ids=lambda case: case["name"])
def test_streams_are_taken_or_refused_as_by_kopia(
    case: dict[str, Any], vector_input: InputGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = base64.b64decode(case["compressed"])
    for decode_block, masked_crc in (
        (s2.decode_block, s2.masked_crc),
        (s2.python_decode_block, s2.python_masked_crc),
    ):
        if len(payload) > 10_000 and decode_block is s2.python_decode_block:
            continue  # slow there, and of the same kind as smaller ones
        monkeypatch.setattr(s2, "decode_block", decode_block)
        monkeypatch.setattr(s2, "masked_crc", masked_crc)
        if case["accepted"]:
            assert decompress(payload) == vector_input(case["input"])
        else:
            with pytest.raises(DecompressionError):
                decompress(payload)


@native
@given(st.binary(max_size=2000))
def test_both_checksums_are_equal(data: bytes) -> None:
    assert s2.masked_crc(data) == s2.python_masked_crc(data)


@native
@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes_are_decoded_or_refused_alike(data: bytes, limit: int) -> None:
    results: list[bytes | None] = []
    for decode in (s2.decode_block, s2.python_decode_block):
        try:
            results.append(decode(data, limit))
        except DecompressionError:
            results.append(None)
    assert results[0] == results[1]


OPERATIONS = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=60).map(literal),
        st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(0, 255)).map(
            lambda each: bytes([each[0] << 5 | each[1] << 2 | 1, each[2]])
        ),
        st.tuples(st.integers(0, 63), st.integers(0, 300)).map(
            lambda each: bytes([each[0] << 2 | 2]) + each[1].to_bytes(2, "little")
        ),
        st.tuples(st.integers(0, 63), st.integers(0, 300)).map(
            lambda each: bytes([each[0] << 2 | 3]) + each[1].to_bytes(4, "little")
        ),
    ),
    max_size=12,
)


@native
@given(OPERATIONS, st.integers(0, 600))
def test_any_operations_are_carried_out_or_refused_alike(operations: list[bytes], length: int) -> None:
    results: list[bytes | None] = []
    for decode in (s2.decode_block, s2.python_decode_block):
        try:
            results.append(decode(block(length, *operations), 1 << 20))
        except DecompressionError:
            results.append(None)
    assert results[0] == results[1]


@both_decoders
@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([literal(b"abcd"), bytes([0 << 2 | 1, 4])], b"abcdabcd"),
        ([literal(b"a"), bytes([63 << 2 | 2, 1, 0])], b"a" * 65),
        ([literal(b"ab"), bytes([9 << 2 | 3, 2, 0, 0, 0])], b"ab" * 6),
        ([literal(b"abc"), bytes([0 << 2 | 1, 3]), bytes([4 << 2 | 1, 0])], (b"abc" * 5)[:15]),
        ([literal(b"a"), bytes([0 << 2 | 1, 1]), bytes([5 << 2 | 1, 0, 200])], b"a" * 213),
        ([literal(b"a"), bytes([0 << 2 | 1, 1]), bytes([6 << 2 | 1, 0, 1, 1])], b"a" * (5 + 260 + 257)),
        ([literal(b"a"), bytes([0 << 2 | 1, 1]), bytes([7 << 2 | 1, 0, 2, 0, 0])], b"a" * (5 + 65540 + 2)),
    ],
)
def test_each_operation_does_what_the_format_says(decode: Decoder, operations: list[bytes], expected: bytes) -> None:
    assert decode(block(len(expected), *operations), 1 << 20) == expected
    for wrong in (len(expected) - 1, len(expected) + 1):
        with pytest.raises(DecompressionError):
            decode(block(wrong, *operations), 1 << 20)
    with pytest.raises(DecompressionError):
        decode(block(len(expected), *operations), len(expected) - 1)


@both_decoders
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\xff\xff\xff\xff\xff\x01",
        block(5, b"\xf0"),
        block(5, bytes([60 << 2])),
        block(5, bytes([63 << 2, 0xFF, 0xFF, 0xFF, 0xFF])),
        block(8, literal(b"abcd"), b"\x01"),
        block(8, literal(b"abcd"), bytes([3 << 2 | 2, 4])),
        block(8, literal(b"abcd"), bytes([3 << 2 | 3, 4, 0, 0])),
        block(8, literal(b"abcd"), bytes([7 << 2 | 1, 0, 0])),
        block(8, bytes([0 << 2 | 1, 0])),
    ],
)
def test_blocks_that_are_cut_off_are_refused(decode: Decoder, data: bytes) -> None:
    with pytest.raises(DecompressionError):
        decode(data, 1 << 20)


@pytest.mark.parametrize(
    "data",
    [
        STREAM_ID[:3],
        STREAM_ID[:-1],
        b"\xff\x06\x00\x00unknow",
        b"\x00\x05\x00\x00....a",
        STREAM_ID + b"\x01\x03\x00\x00abc",
        STREAM_ID + b"\x02\x00\x00\x00",
        b"\xff\x06\x00\x00sNaPpY\x01" + (4 + 65537).to_bytes(3, "little") + bytes(4 + 65537),
    ],
)
def test_streams_with_chunks_that_must_not_be_are_refused(data: bytes) -> None:
    with pytest.raises(DecompressionError, match="S2 data are damaged"):
        s2.decode_stream(data, max_length=1 << 20)


def test_a_stream_is_bounded_by_all_its_blocks_together() -> None:
    data = s2.encode_stream(bytes(3 << 20))
    assert s2.decode_stream(data, max_length=3 << 20) == bytes(3 << 20)
    with pytest.raises(DecompressionError, match="more than"):
        s2.decode_stream(data, max_length=(3 << 20) - 1)


encoders = pytest.mark.parametrize("better", [False, True])


@encoders
@given(
    parts=st.lists(
        st.tuples(st.binary(max_size=70), st.integers(1, 300), st.sampled_from([0, 5000, 66_000])), max_size=6
    )
)
def test_what_was_encoded_is_decoded_by_both_twins(better: bool, parts: list[tuple[bytes, int, int]]) -> None:
    data = b"".join(part * times + stream("noise", noise) for part, times, noise in parts)
    encoded = s2.encode_stream(data, better=better)
    assert s2.decode_stream(encoded, max_length=len(data)) == data
    assert len(encoded) <= len(data) + 10 + 8 * (len(data) // (64 << 10) + 1)
    if s2.decode_block is not s2.python_decode_block and len(encoded) < 5000:
        for length, body in _chunks(encoded):
            assert s2.python_decode_block(body, 1 << 20) == s2.decode_block(body, 1 << 20) if length else True


def _chunks(data: bytes) -> list[tuple[bool, bytes]]:
    """Return whether it is compressed, and the block, of each chunk behind the identifier."""
    found, position = [], 10
    while position < len(data):
        length = int.from_bytes(data[position + 1 : position + 4], "little")
        found.append((data[position] == s2.COMPRESSED, data[position + 8 : position + 4 + length]))
        position += 4 + length
    return found


@encoders
@pytest.mark.parametrize("length", [1, 31, 32, 33, 47, 48, 49, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_blocks_of_every_edge_are_decoded(better: bool, length: int) -> None:
    for data in (bytes(length), stream("random", length), (stream("few", 7000) * (length // 7000 + 1))[:length]):
        encoded = s2.encode_stream(data, better=better)
        assert s2.decode_stream(encoded, max_length=length) == data
        assert len(encoded) <= length + 10 + 8 * (length // (64 << 10) + 1)


@native
@encoders
def test_copies_reach_far_and_long_ones_are_repeated(better: bool) -> None:
    unit = stream("far", 3000)
    data = unit + bytes(70_000) + unit + b"x" * 300 + unit
    encoded = s2.encode_stream(data, better=better)
    assert s2.decode_stream(encoded, max_length=len(data)) == data
    assert len(encoded) < len(unit) + 500


@native
def test_the_better_encoder_takes_fewer_bytes_and_both_fewer_than_snappy() -> None:
    data = Path(os.__file__).read_bytes()
    better, default = len(s2.encode_stream(data, better=True)), len(s2.encode_stream(data))
    assert better < default < len(s2.snappy_encode_stream(data, better=False))


def test_what_snappy_wrote_is_decoded() -> None:
    data = stream("snappy", 100_000) * 2
    assert s2.decode_stream(s2.snappy_encode_stream(data, better=True), max_length=len(data)) == data
    assert bytes(cramjam.snappy.compress(data)) == s2.snappy_encode_stream(data, better=False)


def test_nothing_is_encoded_as_nothing() -> None:
    assert s2.encode_stream(b"") == s2.encode_stream(b"", better=True) == b""
    assert s2.decode_stream(b"", max_length=0) == b""
