"""Indexes of objects against the vectors of real Kopia: what its writer wrote and what its reader read."""

import base64
import contextlib
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedObjectError, UsageError
from pykopia.format.indirect import IndirectEntry, decode_index, encode_index, join_indexes
from pykopia.format.object_id import parse_object_id

VECTOR_FILES = Path(__file__).parents[1] / "vectors"
VECTORS: dict[str, Any] = json.loads((VECTOR_FILES / "indirect.json").read_text())
REAL: dict[str, Any] = json.loads((VECTOR_FILES / "real_snapshot_dump.json").read_text())["indirect_objects"]
SIZES = {"": 4 << 20, "FIXED-128K": 128 << 10, "FIXED-256K": 256 << 10}

object_ids = st.builds(
    lambda letters, digest: letters + digest.hex(),
    st.sampled_from(["", "x", "k", "Z", "I", "IIx"]),
    st.binary(min_size=16, max_size=16),
)
indexes = st.lists(st.tuples(st.integers(0, 1 << 40), object_ids), min_size=1, max_size=20).map(
    lambda pieces: join_indexes([[IndirectEntry(0, length, object_id)] for length, object_id in pieces])
)


def chunks(description: dict[str, Any], size: int) -> list[tuple[bytes, int]]:
    """Return the chunks of fixed size of described data: bytes, and how many times they repeat."""
    length = description["len"]
    if description["kind"] == "zeros":
        full, rest = divmod(length, size)
        return [(bytes(size), full)] * (full > 0) + [(bytes(rest), 1)] * (rest > 0 or not length)
    blocks = (
        hashlib.sha256(description["seed"].encode() + counter.to_bytes(8, "big")).digest()
        for counter in itertools.count()
    )
    data = b"".join(itertools.islice(blocks, length // 32 + 1))[:length]
    return [(data[start : start + size], 1) for start in range(0, max(length, 1), size)]


def content_id(prefix: str, data: bytes) -> str:
    """Return the ID that the store of the vectors gives to a content."""
    return prefix + hashlib.sha256(data).digest()[:16].hex()


def write(parts: list[tuple[bytes, int]], prefix: str, index_size: int, indexes: list[bytes]) -> str:
    """Write an object as Kopia does and return its ID; index objects are added to ``indexes``."""
    index = join_indexes(
        itertools.chain.from_iterable(
            itertools.repeat([IndirectEntry(0, len(data), content_id(prefix, data))], repeat) for data, repeat in parts
        )
    )
    if len(index) == 1:
        return index[0].object_id
    encoded = encode_index(index)
    indexes.append(encoded)
    pieces = [(encoded[start : start + index_size], 1) for start in range(0, len(encoded), index_size)]
    return "I" + write(pieces, prefix or "x", index_size, indexes)


@pytest.mark.parametrize("case", VECTORS["writer"], ids=lambda case: case["name"])
def test_the_index_of_chunks_is_what_kopia_writes(case: dict[str, Any]) -> None:
    repository_size = SIZES[case["repo_splitter"]]
    size = SIZES.get(case.get("splitter", ""), repository_size) if case.get("splitter") else repository_size
    prefix = case.get("prefix", "")
    parts = chunks(case["data"], size)
    indexes: list[bytes] = []
    assert write(parts, prefix, repository_size, indexes) == case["object_id"]

    written = [(entry["id"], entry["len"], entry.get("repeat", 1)) for entry in case["writes"]]
    runs = [(content_id(prefix, data), len(data), repeat) for data, repeat in parts]
    assert written[: len(runs)] == runs
    if "index_json" in case:
        assert indexes[0].decode() == case["index_json"]
    elif "index_json_sha256" in case:
        assert hashlib.sha256(indexes[0]).hexdigest() == case["index_json_sha256"]
        assert len(indexes[0]) == case["index_json_len"]
        assert indexes[0].decode().startswith(case["index_json_head"])
    for encoded in indexes:
        assert encode_index(decode_index(encoded)) == encoded


@pytest.mark.parametrize("case", VECTORS["concatenate"], ids=lambda case: str(len(case["parts"])))
def test_concatenated_objects_have_the_index_that_kopia_writes(case: dict[str, Any]) -> None:
    if len(case["parts"]) < 2:
        assert "index_json" not in case
        return
    size = SIZES["FIXED-128K"]
    parts: list[list[IndirectEntry]] = []
    for description, object_id in zip(case["parts"], case["part_object_ids"], strict=True):
        indexes: list[bytes] = []
        assert write(chunks(description, size), "", size, indexes) == object_id
        parts.append(decode_index(indexes[0]) if indexes else [IndirectEntry(0, description["len"], object_id)])
    joined = join_indexes(parts)
    encoded = encode_index(joined)
    assert encoded.decode() == case["index_json"]
    assert "I" + content_id("x", encoded) == case["object_id"]
    assert joined[-1].end == case["read_len"]


def read(object_id: str, store: dict[str, bytes]) -> bytes:
    """Read an object from a store of contents."""
    parsed = parse_object_id(object_id)
    if parsed.index_object is None:
        data = store[parsed.content_id]
        return zstandard.decompress(data[4:], max_output_size=1 << 20) if parsed.compressed else data
    pieces = []
    for entry in decode_index(read(parsed.index_object.to_string(), store)):
        pieces.append(read(entry.object_id, store))
        if len(pieces[-1]) != entry.length:
            raise DamagedObjectError("length")
    return b"".join(pieces)


@pytest.mark.parametrize("case", VECTORS["reader"], ids=lambda case: case["name"])
def test_indexes_are_read_as_kopia_reads_them(case: dict[str, Any]) -> None:
    store = {key: base64.b64decode(value) for key, value in case["store_base64"].items()}
    index = store[case["object_id"].removeprefix("I")]
    if "index_json" in case:
        assert index.decode() == case["index_json"]
    if case["name"] == "gap between entries is not checked":
        with pytest.raises(DamagedObjectError, match="3 bytes at offset 10 follow bytes that end at 3"):
            decode_index(index)
        return
    if not case.get("open_ok", True):
        with pytest.raises(DamagedObjectError, match="can't be read"):
            decode_index(index)
        return
    assert decode_index(index)[-1].end == case["length"]
    if not case.get("read_ok", True):
        with pytest.raises((DamagedObjectError, KeyError)):
            read(case["object_id"], store)
        return
    data = read(case["object_id"], store)
    assert len(data) == case["length"]
    if "read" in case:
        assert data.decode() == case["read"]
    if "sha256" in case:
        assert hashlib.sha256(data).hexdigest() == case["sha256"]
    for seek in case.get("seeks", []):
        position = seek["offset"] + (len(data) if seek["whence"] == 2 else 0)
        assert seek["ok"] == (position >= 0)
        if seek["ok"]:
            assert position == seek["pos"]
            assert data[position : position + seek["read_request"]].hex() == seek["read_hex"]


@pytest.mark.parametrize("object_id", REAL)
def test_indexes_of_a_real_repository_are_read_and_written_again(object_id: str) -> None:
    encoded = REAL[object_id]["index_json"].encode()
    entries = decode_index(encoded)
    assert entries[-1].end == REAL[object_id]["size"]
    assert encode_index(entries) == encoded


def test_the_legacy_letter_is_dropped_when_an_index_is_written_again() -> None:
    written = json.loads(VECTORS["legacy_D_prefix_reencoded"])["o"]
    entries = decode_index(b'{"entries":[{"l":1,"o":"D' + written.encode() + b'"}]}')
    assert entries == [IndirectEntry(0, 1, written)]


@given(indexes)
def test_an_index_survives_being_written_and_read(entries: list[IndirectEntry]) -> None:
    encoded = encode_index(entries)
    assert decode_index(encoded) == decode_index(memoryview(encoded)) == entries
    assert [entry.start for entry in entries[1:]] == [entry.end for entry in entries[:-1]]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([], "it lists no piece"),
        ([IndirectEntry(0, 1, "")], "'' is not an object ID"),
        ([IndirectEntry(0, 1, "AB")], "'AB' is not an object ID"),
        ([IndirectEntry(0, 1, "I")], "'I' is not an object ID"),
        ([IndirectEntry(1, 1, "ab")], "1 bytes at offset 1 follow bytes that end at 0"),
        ([IndirectEntry(0, 2, "ab"), IndirectEntry(1, 1, "ab")], "offset 1 follow bytes that end at 2"),
        ([IndirectEntry(0, 2, "ab"), IndirectEntry(3, 1, "ab")], "offset 3 follow bytes that end at 2"),
        ([IndirectEntry(0, -1, "ab")], "-1 bytes"),
        ([IndirectEntry(0, 1 << 63, "ab")], "the object would have"),
    ],
)
def test_an_index_that_kopia_could_not_read_is_never_written(entries: list[IndirectEntry], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        encode_index(entries)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"entries":null}',
        b'{"entries":[]}',
        b'{"entries":[null]}',
        b'{"entries":[{"l":1}]}',
        b'{"entries":[{"l":1,"o":""}]}',
        b'{"entries":[{"l":1,"o":"I"}]}',
        b'{"entries":[{"l":1,"o":"bogus"}]}',
        b'{"entries":[{"l":-1,"o":"ab"}]}',
        b'{"entries":[{"l":1.0,"o":"ab"}]}',
        b'{"entries":[{"l":9223372036854775808,"o":"ab"}]}',
        b'{"entries":[{"l":9223372036854775807,"o":"ab"},{"s":9223372036854775807,"l":1,"o":"ab"}]}',
        b'{"entries":{"l":1,"o":"ab"}}',
    ],
)
def test_what_is_no_index_is_damage(data: bytes) -> None:
    with pytest.raises(DamagedObjectError, match="the index of an object can't be read"):
        decode_index(data)


@given(indexes, st.data())
def test_damaged_indexes_raise_damage_or_are_read(entries: list[IndirectEntry], draw: st.DataObject) -> None:
    encoded = bytearray(encode_index(entries))
    position = draw.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= draw.draw(st.integers(1, 255))
    cut = draw.draw(st.integers(0, len(encoded)))
    for damaged in (encoded, encoded[:cut]):
        with contextlib.suppress(DamagedObjectError):
            decode_index(damaged)


@given(st.binary())
def test_garbage_is_damage(data: bytes) -> None:
    with pytest.raises(DamagedObjectError):
        decode_index(data)
