"""Index files against files of real Kopia, and against damage."""

import hashlib
import lzma
import mmap
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import pykopia.format.index as module
from pykopia.errors import DamagedIndexError, InvalidIDError, UnsupportedFormatError, UsageError
from pykopia.format.content_id import key_of
from pykopia.format.index import IndexEntry, IndexFile, build_index, shard_entries, wins
from pykopia.format.index_build import fnv32a
from pykopia.ids import BlobID, ContentID
from tests.format.index_support import VECTORS, entries, entry_of, load, using

FILES = load("index_v1.json") + load("index_v2.json")
ERRORS = load("index_errors.json")
SHARDS = load("index_shards.json")


@pytest.fixture(autouse=True, scope="module", params=["native", "python"])
def twin(request: pytest.FixtureRequest) -> Iterator[None]:
    with using(request.param):
        yield


def by_name(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", FILES, ids=by_name)
def test_files_of_kopia_read_as_kopia_reads_them(case: dict[str, Any]) -> None:
    data = (VECTORS / case["file"]).read_bytes()
    expected = [entry_of(e) for e in case["entries"]]
    file = IndexFile(data, overhead=case.get("v1PerContentOverhead", 28))
    assert len(data) == case["fileSize"]
    assert (file.version, len(file)) == (case["version"], case["entryCount"])
    assert (file.header.key_size, file.header.value_size) == (case["keySize"], case["entrySize"])
    if case["version"] == 2:
        assert (file.header.pack_count, file.header.format_count) == (case["packCount"], case.get("formatCount", 1))
    assert list(file.entries()) == expected
    assert file.find_many(key_of(e.content_id) for e in expected) == expected
    for entry in expected:
        key = key_of(entry.content_id)
        for other in (key[:-1], key + b"\0", key[:-1] + bytes([key[-1] ^ 1]), b""):
            assert file.find(other) is None or other in {key_of(e.content_id) for e in expected}


@pytest.mark.parametrize("case", FILES, ids=by_name)
def test_a_file_tells_whether_all_in_it_is_live_and_made_since_a_time(case: dict[str, Any]) -> None:
    file = IndexFile((VECTORS / case["file"]).read_bytes())
    times = {entry.timestamp for entry in file.entries()}
    for second in {-1, 0, 1 << 32, 1 << 50, *times, *(time + 1 for time in times)}:
        expected = not any(entry.deleted or entry.timestamp < second for entry in file.entries())
        assert file.is_live_since(second) is expected


@given(st.data(), st.sampled_from([1, 2]), st.integers(0, 105))
def test_that_all_is_live_and_made_since_a_time_is_what_the_entries_say(
    draw: st.DataObject, version: int, second: int
) -> None:
    made = {each.content_id: each for each in draw.draw(st.lists(entries(version), min_size=1, max_size=6))}
    file = IndexFile(build_index(made.values(), version=version))
    assert file.is_live_since(second) is not any(each.deleted or each.timestamp < second for each in made.values())


@pytest.mark.parametrize("case", [case for case in FILES if case["name"] != "index_v2_basetime"], ids=by_name)
def test_files_are_built_byte_for_byte_as_kopia_builds_them(case: dict[str, Any]) -> None:
    data = (VECTORS / case["file"]).read_bytes()
    given_entries = [entry_of(e) for e in case["entries"]]
    tail = b"" if case["stable"] else data[-32:]
    assert build_index(reversed(given_entries), version=case["version"], random_tail=tail) == data


def manypacks() -> tuple[dict[str, Any], bytes]:
    case = load("index_v2_manypacks.json")
    return case, lzma.decompress((VECTORS / case["file"]).read_bytes())


def test_a_file_with_more_packs_than_16_bits_can_count() -> None:
    case, data = manypacks()
    file = IndexFile(data)
    assert hashlib.sha256(data).hexdigest() == case["sha256"]
    assert (len(file), file.header.value_size, file.header.key_size) == (
        case["entryCount"],
        case["entrySize"],
        case["keySize"],
    )
    for sample in case["samples"]:
        entry = entry_of(sample)
        assert file.find(key_of(entry.content_id)) == entry
    assert build_index(file.entries(), version=2) == data


@pytest.mark.parametrize("case", ERRORS["open"], ids=by_name)
def test_files_that_kopia_refuses_are_refused(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    if case["error"]:
        with pytest.raises(DamagedIndexError):
            list(IndexFile(data, name="xn0_1").entries())
    else:
        assert list(IndexFile(data).entries()) == [entry_of(e) for e in case.get("entries", [])]


def a_content(number: int = 0, **changes: Any) -> IndexEntry:  # noqa: ANN401 -- any field
    fields: dict[str, Any] = {
        "content_id": ContentID("k" + number.to_bytes(16, "big").hex()),
        "pack_blob": BlobID("q0"),
        "timestamp": 1795998151,
        "original_length": 78556,
        "packed_length": 78584,
        "pack_offset": 13979271,
        "compression": 0,
        "deleted": False,
        "format_version": 3,
    }
    return IndexEntry(**fields | changes)


UNFIT: dict[str, list[IndexEntry]] = {
    "packed length 2^28": [a_content(packed_length=1 << 28)],
    "original length 2^28": [a_content(original_length=1 << 28)],
    "pack offset 2^30": [a_content(pack_offset=1 << 30)],
    "compression in v1": [a_content(compression=0x1000)],
    "encryption key id in v1": [a_content(encryption_key_id=1)],
    "empty pack name in v1": [a_content(pack_blob=BlobID(""))],
    "empty pack name in v2": [a_content(pack_blob=BlobID(""))],
    "empty v2": [],
    "mixed key lengths v1": [a_content(), a_content(content_id=ContentID("m" + 20 * "00"))],
    "mixed key lengths v2": [a_content(), a_content(content_id=ContentID("m" + 20 * "00"))],
    "256 formats": [a_content(i, compression=i) for i in range(256)],
    "unsupported version 3": [a_content()],
}


@pytest.mark.parametrize("case", ERRORS["build"], ids=by_name)
def test_entries_that_kopia_does_not_write_are_refused(case: dict[str, Any]) -> None:
    unfit = UNFIT[case["name"]]
    if not case["error"]:
        assert list(IndexFile(build_index(unfit, version=case["version"])).entries()) == unfit
        return
    with pytest.raises(UnsupportedFormatError if case["version"] == 3 else UsageError):
        build_index(unfit, version=case["version"])


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": -1},
        {"timestamp": 1 << 48},
        {"pack_offset": -1},
        {"pack_offset": 1 << 31},
        {"packed_length": -1},
        {"packed_length": 1 << 32},
        {"original_length": 1 << 32},
        {"original_length": -1},
        {"format_version": 256},
        {"format_version": -1},
        {"compression": 1 << 32},
        {"encryption_key_id": 256},
        {"pack_blob": "q" * 256},
        {"pack_blob": "é" * 128},
        {"timestamp": 1 << 100},
    ],
    ids=repr,
)
def test_a_field_that_does_not_fit_is_refused_instead_of_cut(version: int, changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="can't be listed"):
        build_index([a_content(1), a_content(**changes)], version=version)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("content_id", ["", "k", "kx", "00" * 33, "é", "k00é"])
def test_an_id_that_is_none_is_refused(version: int, content_id: str) -> None:
    with pytest.raises((UsageError, InvalidIDError)):
        build_index([a_content(content_id=ContentID(content_id))], version=version)


def test_255_formats_and_the_largest_values_fit() -> None:
    largest = a_content(
        timestamp=(1 << 32) - 1,
        original_length=(1 << 28) - 1,
        packed_length=(1 << 28) - 1,
        pack_offset=(1 << 30) - 1,
        pack_blob=BlobID("q" * 255),
    )
    content = [largest, *(a_content(i, compression=i) for i in range(1, 255))]
    assert list(IndexFile(build_index(content, version=2)).entries()) == content


def test_an_empty_version_1_file_is_what_kopia_writes() -> None:
    assert build_index([], version=1).hex() == "01ff001400000000"


def test_names_and_formats_are_numbered_by_first_use_whatever_the_order_given() -> None:
    content = [a_content(i, pack_blob=BlobID(f"q{i % 3}"), compression=i % 2) for i in range(9)]
    assert build_index(content, version=2) == build_index(content[::-1], version=2)


def test_of_two_entries_of_a_content_the_winner_is_built_in() -> None:
    old, new = a_content(timestamp=1), a_content(timestamp=2, deleted=True)
    for given_entries in ([new, old], [old, new], [old, old]):
        built = list(IndexFile(build_index(given_entries, version=2)).entries())
        assert built == [max(given_entries, key=lambda e: e.timestamp)]


@pytest.mark.parametrize("case", SHARDS["ids"], ids=lambda case: case["id"])
def test_the_hash_that_chooses_a_shard(case: dict[str, Any]) -> None:
    assert fnv32a(case["id"]) == case["fnv32a"]


@pytest.mark.parametrize("case", SHARDS["results"], ids=lambda case: str(case["maxEntriesPerShard"]))
def test_entries_are_spread_over_shards_as_kopia_does(case: dict[str, Any]) -> None:
    content = [a_content(content_id=i["id"]) for i in SHARDS["ids"]]
    shards = shard_entries(content, max_entries=case["maxEntriesPerShard"])
    assert [sorted(e.content_id for e in shard) for shard in shards] == case["shards"]


def test_nothing_makes_no_shard() -> None:
    assert shard_entries([]) == []
    with pytest.raises(UsageError):
        shard_entries([], max_entries=0)


RANGES = [
    ("", "{"),
    ("0", "g"),
    ("g", "{"),
    ("k", "k{"),
    ("k0", "k0{"),
    ("m", "k"),
    ("k000000000000000000000000000000001", "k000000000000000000000000000000003"),
    ("\U0001f600", "\U0001f601"),
    ("z{", "{"),
]


@given(st.sampled_from([1, 2]), st.sampled_from(RANGES), st.data())
def test_ranges_hold_the_ids_between_their_ends(version: int, bounds: tuple[str, str], data: st.DataObject) -> None:
    start, end = bounds
    content = data.draw(st.lists(entries(version), min_size=1, unique_by=lambda e: e.content_id, max_size=20))
    file = IndexFile(build_index(content, version=version))
    found = [e.content_id for e in file.entries(start, end)]
    assert found == sorted(e.content_id for e in content if start <= e.content_id < end)


@pytest.mark.parametrize("version", [1, 2])
@given(data=st.data())
def test_what_is_built_is_found_again(version: int, data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([1, 16, 28, 32]))
    content = data.draw(st.lists(entries(version, size), min_size=1, unique_by=lambda e: e.content_id, max_size=20))
    file = IndexFile(build_index(content, version=version, random_tail=b"\0" * 32))
    found = file.find_many(key_of(e.content_id) for e in content)
    if version == 1:
        content = [replace(e, original_length=(e.packed_length - 28) & 0xFFFFFFFF) for e in content]
    assert found == content
    assert list(file.entries()) == sorted(content, key=lambda e: e.content_id)


def test_a_mapped_file_is_searched_in_place_and_can_be_closed(tmp_path: Path) -> None:
    content = [a_content(i) for i in range(100)]
    path = tmp_path / "index"
    path.write_bytes(build_index(content, version=2))
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        with IndexFile(mapping, name="xn0_1") as file:
            assert file.find(key_of(content[7].content_id)) == content[7]
            assert list(file.entries()) == content
            assert repr(file) == "<IndexFile xn0_1: version 2, 100 entries>"
        assert not mapping.closed


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda b: memoryview(b"x" + b)[1:]])
def test_any_buffer_will_do(wrap: Callable[[bytes], Any]) -> None:
    content = [a_content(i) for i in range(5)]
    assert list(IndexFile(wrap(build_index(content, version=2))).entries()) == content


def test_a_mapping_can_be_closed_after_a_refused_header(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(b"\x09" * 40)
    with path.open("rb") as stream:
        mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        with pytest.raises(DamagedIndexError, match="its version is 9"):
            IndexFile(mapping)
        mapping.close()


def test_entries_out_of_order_are_refused() -> None:
    data = build_index([a_content(1), a_content(2)], version=2)
    stride = 17 + 16
    swapped = data[:17] + data[17 + stride : 17 + 2 * stride] + data[17 : 17 + stride] + data[17 + 2 * stride :]
    with pytest.raises(DamagedIndexError, match="out of order"):
        list(IndexFile(swapped).entries())


def test_an_entry_with_an_impossible_key_is_refused_when_it_is_met() -> None:
    data = bytearray(build_index([a_content(1)], version=2))
    data[17] = ord("a")
    with pytest.raises(DamagedIndexError, match="entry 0"):
        list(IndexFile(data).entries())


def small_files() -> Iterator[bytes]:
    for case in FILES:
        if case["fileSize"] < 3000:
            yield (VECTORS / case["file"]).read_bytes()


SMALL_FILES = list(small_files())


def read_all(data: bytes) -> None:
    """Read in every way; only our own errors may come out."""
    try:
        file = IndexFile(data)
    except DamagedIndexError:
        return
    if len(file) > 1000:
        return  # only the empty keys of a header that claims many entries of no bytes
    for start, end in RANGES:
        try:
            for entry in file.entries(start, end):
                assert file.find(key_of(entry.content_id)) is None or entry.packed_length >= 0
        except DamagedIndexError:
            pass


@given(st.sampled_from(SMALL_FILES), st.data())
def test_truncated_files_are_refused_or_read(data: bytes, draw: st.DataObject) -> None:
    read_all(data[: draw.draw(st.integers(0, len(data)))])


@given(st.sampled_from(SMALL_FILES), st.data())
def test_flipped_bits_are_refused_or_read(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    places = st.integers(0, len(data) - 1) | st.integers(0, 30) | st.integers(len(data) * 3 // 4, len(data) - 1)
    for place in draw.draw(st.lists(places, max_size=6)):
        damaged[place] ^= 1 << draw.draw(st.integers(0, 7))
    read_all(bytes(damaged))


@given(st.sampled_from([1, 2]), st.binary(max_size=200))
def test_garbage_is_refused_or_read(version: int, data: bytes) -> None:
    read_all(bytes([version]) + data)


def test_headers_that_promise_more_than_there_is_are_refused() -> None:
    for header in (
        struct.pack(">BBHI", 1, 17, 20, 0xFFFFFFFF),
        struct.pack(">BBHIIBI", 2, 33, 19, 0xFFFFFFFF, 0xFFFFFFFF, 255, 0),
        struct.pack(">BBHIIBI", 2, 33, 19, 0, 0xFFFFFFFF, 255, 0),
        struct.pack(">BBHIIBI", 2, 33, 19, 0, 0, 255, 0),
    ):
        with pytest.raises(DamagedIndexError, match="cut short"):
            IndexFile(header + b"\0" * 100)


def test_the_winner_rule_in_short() -> None:
    first = a_content(timestamp=5)
    assert wins(a_content(timestamp=6, deleted=True), first)
    assert wins(first, a_content(timestamp=5, deleted=True, pack_blob=BlobID("q9")))
    assert wins(a_content(timestamp=5, pack_blob=BlobID("q2")), a_content(timestamp=5, pack_blob=BlobID("q10")))
    assert not wins(first, first)


def test_the_public_names_are_sorted() -> None:
    assert module.__all__ == sorted(module.__all__)
