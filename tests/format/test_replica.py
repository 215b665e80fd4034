import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedFormatBlobError
from pykopia.format.replica import REPLICA_PROBE_LENGTH, embed_replica, find_replica

VECTORS = Path(__file__).parents[1] / "vectors"
COPIES = json.loads((VECTORS / "format_blob.json").read_text())["embeddedCopy"]
PACKS = json.loads((VECTORS / "pack_v1.json").read_text())
FORMAT_BLOB = b'{"tool": "x"}\n'


def test_the_copies_in_real_packs_are_found() -> None:
    assert {key for copy in COPIES for key in copy} == {"source", "prefix", "suffix", "recovered"}
    for copy in COPIES:
        data = base64.b64decode(copy.get("prefix") or copy["suffix"])
        assert find_replica(data) == copy["recovered"].encode()


def test_packs_of_kopia_begin_with_our_copy() -> None:
    embedded = bytes.fromhex(PACKS["format"]["formatBytesHex"])
    format_blob = find_replica(embedded)
    assert format_blob is not None
    assert embed_replica(format_blob) == embedded
    packs = [VECTORS / blob["file"] for blob in PACKS["blobs"] if blob["id"][0] in "pq"]
    assert packs
    for pack in packs:
        assert pack.read_bytes().startswith(embedded)
        assert find_replica(pack.read_bytes()) == format_blob


@given(st.binary(max_size=400), st.binary(max_size=100))
def test_a_copy_is_found_at_the_start_and_at_the_end(format_blob: bytes, rest: bytes) -> None:
    embedded = embed_replica(format_blob)
    assert find_replica(embedded) == format_blob
    assert find_replica(embedded + rest) == format_blob
    assert find_replica(memoryview(rest + embedded)) == format_blob


@given(st.binary(max_size=200))
def test_other_bytes_hold_no_copy(data: bytes) -> None:
    assert find_replica(data) is None


@given(st.integers(0, (2 + len(FORMAT_BLOB) + 32) * 8 - 1))
def test_a_copy_with_a_flipped_bit_is_not_found(bit: int) -> None:
    damaged = bytearray(embed_replica(FORMAT_BLOB)[:-2])
    damaged[bit // 8] ^= 1 << bit % 8
    assert find_replica(damaged + b"\0\0") is None


@given(st.integers(0, 2 + len(FORMAT_BLOB) + 32 - 1))
def test_a_copy_that_is_cut_off_is_not_found(length: int) -> None:
    assert find_replica(embed_replica(FORMAT_BLOB)[:length]) is None


def test_a_format_blob_that_is_too_long_is_refused() -> None:
    longest = bytes(65000 - 32)
    assert len(embed_replica(longest)) <= REPLICA_PROBE_LENGTH
    assert find_replica(embed_replica(longest)) == longest
    with pytest.raises(DamagedFormatBlobError, match="64969 bytes"):
        embed_replica(longest + b"x")
