"""Compressors against what Kopia's wrote and what Kopia's readers took or refused."""

import base64
import gzip
import hashlib
import itertools
import json
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from pykopia.errors import DecompressionError, UnsupportedFormatError
from pykopia.format.compression import (
    COMPRESSORS,
    HEADER_LENGTH,
    HEADER_NAMES,
    compressor,
    decompress,
    usable_compressor,
)
from pykopia.format.zstd import MAX_WINDOW
from pykopia.ids import Buffer
from tests.format.conftest import InputGenerator, generate

VECTORS = Path(__file__).parent.parent / "vectors"
KOPIA: dict[str, Any] = json.loads((VECTORS / "compression.json").read_bytes())
FOREIGN: dict[str, Any] = json.loads((VECTORS / "compression_foreign.json").read_bytes())
INPUTS = {each["name"]: generate(each) for each in KOPIA["inputs"]}
WRITTEN = [each["name"] for each in KOPIA["compressors"] if each["supported"]]
FAMILIES = ["zstd-fastest", "gzip", "deflate-default", "s2-default", "lz4"]

every_written = pytest.mark.parametrize("name", WRITTEN)
every_family = pytest.mark.parametrize("name", FAMILIES)


def packed(name: str, data: bytes) -> bytes:
    """Return a payload, also of the family that is only read."""
    if name == "lz4":
        return COMPRESSORS["lz4"].header_id.to_bytes(4, "big") + bytes(lz4.frame.compress(data))
    return COMPRESSORS[name].compress(data)


def test_names_headers_and_what_is_deprecated_are_kopias() -> None:
    assert {
        each.name: (each.header_id, each.deprecated, each.supported) for each in COMPRESSORS.values()
    } == {
        each["name"]: (int(each["headerID"], 16), each["deprecated"], each["supported"])
        for each in KOPIA["compressors"]
    }  # fmt: skip
    assert all(HEADER_NAMES[each.header_id] == name for name, each in COMPRESSORS.items())


@every_written
def test_what_kopia_compressed_is_expanded(name: str) -> None:
    [recorded] = [each for each in KOPIA["compressors"] if each["name"] == name]
    assert recorded["compressed"].keys() == INPUTS.keys()
    for label, text in recorded["compressed"].items():
        payload = base64.b64decode(text)
        assert decompress(payload) == INPUTS[label], label
        assert decompress(payload, expected_length=len(INPUTS[label])) == INPUTS[label], label


@pytest.mark.parametrize("case", FOREIGN["cases"], ids=lambda case: f"{case['compressor']}: {case['name']}")
def test_foreign_streams_are_taken_or_refused_as_by_kopia(case: dict[str, Any], vector_input: InputGenerator) -> None:
    payload = base64.b64decode(case["compressed"])
    expected = vector_input(case["expected"])
    assert hashlib.sha256(expected).hexdigest() == case["expectSHA256"]
    if not case["accepted"]:
        for length in (None, len(expected)):
            with pytest.raises(DecompressionError):
                decompress(payload, expected_length=length)
        return
    assert decompress(payload) == expected
    assert decompress(payload, expected_length=len(expected)) == expected


@every_written
@given(data=st.binary(max_size=3000), times=st.integers(1, 40))
def test_what_was_compressed_is_expanded_to_the_same(name: str, data: bytes, times: int) -> None:
    data *= times
    payload = COMPRESSORS[name].compress(memoryview(data))
    assert int.from_bytes(payload[:HEADER_LENGTH], "big") == COMPRESSORS[name].header_id
    assert decompress(payload, expected_length=len(data)) == data
    assert decompress(payload, max_length=len(data)) == data


@every_written
def test_a_body_is_never_empty_where_that_ends_kopia(name: str) -> None:
    """Kopia's gzip panics for no bytes; its S2 and zstd read them as nothing."""
    body = COMPRESSORS[name].compress(b"")[HEADER_LENGTH:]
    assert body or name.startswith("s2")
    assert decompress(COMPRESSORS[name].compress(b"")) == b""


@every_family
def test_a_body_that_is_cut_off_anywhere_is_refused(name: str) -> None:
    data = INPUTS["text6k"]
    payload = packed(name, data)
    for end in range(HEADER_LENGTH, len(payload)):
        with pytest.raises(DecompressionError):
            decompress(payload[:end], expected_length=len(data))


@every_family
@given(places=st.lists(st.tuples(st.integers(min_value=0), st.integers(1, 255)), min_size=1, max_size=4))
def test_altered_bytes_raise_nothing_but_an_error_of_the_right_class(name: str, places: list[tuple[int, int]]) -> None:
    data = INPUTS["text6k"]
    payload = bytearray(packed(name, data))
    for place, change in places:
        payload[HEADER_LENGTH + place % (len(payload) - HEADER_LENGTH)] ^= change
    try:
        found = decompress(bytes(payload), expected_length=len(data))
    except DecompressionError:
        return
    assert len(found) == len(data), "deflate alone has no checksum"


@every_family
@given(body=st.binary(max_size=300))
def test_any_bytes_for_a_body_raise_nothing_but_an_error_of_the_right_class(name: str, body: bytes) -> None:
    payload = COMPRESSORS[name].header_id.to_bytes(4, "big") + body
    for length in (None, 0, 100):
        try:
            decompress(payload, expected_length=length, max_length=1 << 20)
        except DecompressionError:
            continue


@every_family
@pytest.mark.parametrize("recorded", [0, 1, 5999, 6001, 1 << 20])
def test_another_length_than_the_recorded_one_is_refused(name: str, recorded: int) -> None:
    assert len(INPUTS["text6k"]) == 6000
    with pytest.raises(DecompressionError):
        decompress(packed(name, INPUTS["text6k"]), expected_length=recorded)


@every_family
@pytest.mark.parametrize("exact", [True, False])
def test_a_bomb_is_refused_before_it_takes_memory(name: str, exact: bool) -> None:
    payload = packed(name, bytes(64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(DecompressionError):
            decompress(payload, expected_length=1 << 20) if exact else decompress(payload, max_length=1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_frame_that_claims_much_and_holds_little_takes_no_memory() -> None:
    single_segment_of_512_mib = b"\x28\xb5\x2f\xfd" + bytes([0xA0]) + MAX_WINDOW.to_bytes(4, "little")
    last_raw_block = (1 | 3 << 3).to_bytes(3, "little") + b"abc"
    with pytest.raises(DecompressionError, match="claims to hold"):
        decompress(b"\x00\x00\x11\x00" + single_segment_of_512_mib + last_raw_block)


@pytest.mark.parametrize("frame", [b"\x50\x2a\x4d\x18\x05\x00\x00\x00abcde", b"\x5f\x2a\x4d\x18\x00\x00\x00\x00"])
def test_skippable_frames_are_skipped_wherever_they_stand(frame: bytes) -> None:
    payload = COMPRESSORS["zstd"].compress(b"one")
    more = COMPRESSORS["zstd"].compress(b"two")[HEADER_LENGTH:]
    body = frame + payload[HEADER_LENGTH:] + frame + frame + more + frame
    assert decompress(payload[:HEADER_LENGTH] + body, expected_length=6) == b"onetwo"
    with pytest.raises(DecompressionError, match="ends within a frame"):
        decompress(payload + frame[:-1])


@pytest.mark.parametrize("name", ["gzip", "lz4"])
def test_members_one_after_another_are_joined_and_bounded_together(name: str) -> None:
    payload = packed(name, b"a" * 1000)
    twice = payload + payload[HEADER_LENGTH:]
    assert decompress(twice, expected_length=2000) == b"a" * 2000
    with pytest.raises(DecompressionError, match="holds more than"):
        decompress(twice, max_length=1500)


def test_bytes_after_raw_deflate_are_ignored_as_kopia_does() -> None:
    body = zlib.compress(b"data", 6, -15)
    assert decompress(b"\x00\x00\x15\x00" + body + b"more") == b"data"


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x00\x00\x11", b"\xde\xad\xbe\xef....", b"\x00\x00\x16\x00"])
def test_a_header_that_nobody_knows_is_named_as_the_trouble(payload: bytes) -> None:
    with pytest.raises(DecompressionError, match="header of a known compressor"):
        decompress(payload)


def test_names_that_can_not_be_written_are_told_apart() -> None:
    with pytest.raises(UnsupportedFormatError, match="'zstd-magic' is not known"):
        compressor("zstd-magic")
    with pytest.raises(UnsupportedFormatError, match="lz4"):
        compressor("lz4").compress(b"data")
    assert usable_compressor("lz4") is usable_compressor("none") is None
    assert usable_compressor("gzip") is compressor("gzip")


def test_a_level_costs_no_more_bytes_than_kopias_of_the_same_name() -> None:
    """The sum over the inputs that are no edge cases, for each name; S2 has no such level without a compiler."""
    names = [name for name in WRITTEN if not name.startswith("s2")]
    labels = ["far70k", "random1k", "text6k"]
    for name, (ours, kopias) in zip(names, map(_sizes, names, itertools.repeat(labels)), strict=True):
        assert ours <= kopias * 1.01, name


def _sizes(name: str, labels: list[str]) -> tuple[int, int]:
    [recorded] = [each for each in KOPIA["compressors"] if each["name"] == name]
    return (
        sum(len(COMPRESSORS[name].compress(INPUTS[label])) for label in labels),
        sum(len(base64.b64decode(recorded["compressed"][label])) for label in labels),
    )


@pytest.mark.parametrize("name", ["gzip", "lz4"])
def test_many_short_members_are_given_to_the_decoder_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder copies what it was given and did not need: with all of the rest each time, time would grow with the square."""
    given = 0

    class Counting:
        def __init__(self, *arguments: int) -> None:
            self.inner = made(*arguments)

        def decompress(self, data: Buffer, most: int) -> bytes:
            nonlocal given
            given += len(data)
            return bytes(self.inner.decompress(data, most))

        def __getattr__(self, attribute: str) -> object:
            return getattr(self.inner, attribute)

    if name == "gzip":
        made: Any = isal_zlib.decompressobj
        monkeypatch.setattr(isal_zlib, "decompressobj", Counting)
        body = gzip.compress(b"", mtime=0) * 3000
    else:
        made = lz4.frame.LZ4FrameDecompressor
        monkeypatch.setattr(lz4.frame, "LZ4FrameDecompressor", Counting)
        body = lz4.frame.compress(b"") * 3000
    header = 0x1000 if name == "gzip" else 0x1400
    assert decompress(header.to_bytes(4, "big") + body) == b""
    assert len(body) <= given < 30 * len(body)
