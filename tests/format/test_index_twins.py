"""The native code of index files and the Python definition answer alike, also for damaged files."""

import gc
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pykopia.errors import DamagedIndexError, UsageError
from pykopia.format.content_id import key_of
from pykopia.format.index import IndexEntry, IndexFile, PythonTable, build_index
from pykopia.format.index_build import encode_v1, encode_v2
from pykopia.format.index_merge import MergedIndex, merge_index_files
from tests.format.index_support import VECTORS, content_ids, entries, load, using

native = pytest.importorskip("pykopia.format._index")
native_build = pytest.importorskip("pykopia.format._index_build")

SMALL_FILES = [
    (VECTORS / case["file"]).read_bytes()
    for case in load("index_v1.json") + load("index_v2.json")
    if case["fileSize"] < 3000
]

contents = st.lists(entries(2), max_size=8, min_size=1, unique_by=lambda e: e.content_id)


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """Files of real Kopia with some bits flipped, mostly where they hurt."""
    data = bytearray(draw(st.sampled_from(SMALL_FILES)))
    places = st.integers(0, len(data) - 1) | st.integers(0, 20) | st.integers(len(data) * 3 // 4, len(data) - 1)
    for place in draw(st.lists(places, max_size=4)):
        data[place] ^= 1 << draw(st.integers(0, 7))
    return bytes(data[: draw(st.integers(0, len(data)) | st.just(len(data)))])


def outcome(action: Callable[[], Any]) -> Any:  # noqa: ANN401 -- whatever comes out
    """Return the result of an action or the class of its error."""
    try:
        return action()
    except DamagedIndexError:
        return DamagedIndexError
    except UsageError as error:
        return str(error)


def both(action: Callable[[], Any]) -> Any:  # noqa: ANN401 -- whatever comes out
    """Return the outcome of an action, which must be the same with either twin."""
    with using("native"):
        by_native = outcome(action)
    with using("python"):
        assert outcome(action) == by_native
    return by_native


def test_the_twins_are_what_the_test_takes_them_for() -> None:
    with using("native"):
        assert isinstance(IndexFile(SMALL_FILES[0]).table, native.IndexTable)
    with using("python"):
        assert isinstance(IndexFile(SMALL_FILES[0]).table, PythonTable)


def read(data: bytes) -> object:
    file = IndexFile(data)
    found = [outcome(lambda p=p: file.table.entry(p)) for p in range(min(len(file), 100))]  # type: ignore[misc]
    keys = [file.table.key(p) for p in range(min(len(file), 100))]
    if keys != sorted(keys):
        keys = []  # in a file that is out of order an entry may be found or not
    keys += [b"", b"\0", b"\xff" * 40]
    merged = MergedIndex([file], watermark=1795900000)
    return (
        found,
        [outcome(lambda k=k: file.find(k)) for k in keys],  # type: ignore[misc]
        [outcome(lambda k=k: merged.find(k)) for k in keys],  # type: ignore[misc]
        outcome(lambda: list(file.entries("k", "k{"))),
        outcome(lambda: list(merged.entries(include_deleted=True))),
        outcome(lambda: merge_index_files([file], version=2)),
        outcome(lambda: merge_index_files([file], version=1)),
    )


@given(damaged_files())
def test_damaged_files_read_alike(data: bytes) -> None:
    if len(data) > 8 and int.from_bytes(data[4:8], "big") > 10_000:
        return
    both(lambda: read(data))


@given(st.sampled_from([1, 2]), st.binary(max_size=120))
def test_garbage_reads_alike(version: int, data: bytes) -> None:
    both(lambda: read(bytes([version]) + data))


@given(st.lists(damaged_files(), max_size=3), st.sampled_from([1, 2]))
def test_damaged_files_merge_alike(data: list[bytes], version: int) -> None:
    def merge() -> object:
        files = [IndexFile(each) for each in data]
        return merge_index_files(files, version=version) if sum(map(len, files)) < 10_000 else None

    both(merge)


@given(
    st.lists(contents, max_size=5),
    st.sampled_from([1, 2]),
    st.integers(1, 20),
    st.sets(content_ids().map(key_of), max_size=5),
    st.none() | st.integers(99, 105),
)
def test_files_merge_alike(
    groups: list[list[IndexEntry]], version: int, max_entries: int, drop: set[bytes], before: int | None
) -> None:
    def merge() -> object:
        files = [IndexFile(build_index(group, version=2)) for group in groups]
        return merge_index_files(files, version=version, max_entries=max_entries, drop=drop, drop_deleted_before=before)

    both(merge)


@given(st.lists(contents, max_size=5), st.none() | st.integers(99, 105), st.booleans())
def test_look_ups_and_iteration_are_alike(
    groups: list[list[IndexEntry]], watermark: int | None, include_deleted: bool
) -> None:
    keys = [key_of(e.content_id) for group in groups for e in group] + [b"", b"\0" * 17]

    def look_up() -> object:
        files = [IndexFile(build_index(g, version=2)) for g in groups]
        merged = MergedIndex(files, watermark=watermark)
        positions = [[file.position(key) for key in keys] for file in files]
        for file, found in zip(files, positions, strict=True):
            assert all(file.table.key(at) == key for key, at in zip(keys, found, strict=True) if at >= 0)
        return (
            positions,
            merged.find_many(keys),
            [(merged.winner(k), merged.contains(k), merged.is_live(k)) for k in keys],
            list(merged.entries(include_deleted=include_deleted)),
            list(merged.entries("g", "l", include_deleted=include_deleted)),
        )

    both(look_up)


odd_numbers = st.sampled_from([-1, 0, 1, 255, 256, 1 << 24, 1 << 28, 1 << 30, 1 << 31, 1 << 32, 1 << 48, 1 << 64])
FIELDS = [
    "timestamp",
    "original_length",
    "packed_length",
    "pack_offset",
    "compression",
    "format_version",
    "encryption_key_id",
]


@given(
    st.lists(st.one_of(entries(1), entries(2)), min_size=1, max_size=5, unique_by=lambda e: e.content_id),
    st.sampled_from([1, 2]),
    st.dictionaries(st.sampled_from(FIELDS), odd_numbers, max_size=2),
    st.sampled_from(["p1", "", "q" * 255, "q" * 256, "é" * 127, "é" * 128, "\udcff"]),
)
def test_entries_are_encoded_alike(content: list[IndexEntry], version: int, fields: dict[str, int], pack: str) -> None:
    changed: Any = {**fields, "pack_blob": pack}
    content[0] = replace(content[0], **changed)
    both(lambda: build_index(content, version=version))


@given(st.lists(st.sampled_from(["", "k", "00", "k00", "K00", "kAB", "a00", "0g", "00" * 33, "é", "k0é", "\ud800"])))
def test_ids_that_are_none_are_refused_alike(ids: list[str]) -> None:
    template = IndexFile(SMALL_FILES[0]).table.entry(0)
    content: Any = [replace(template, content_id=content_id) for content_id in ids]
    both(lambda: build_index(content, version=2))
    both(lambda: build_index(content, version=1))


def test_entries_that_are_out_of_order_are_left_to_the_definition() -> None:
    content = list(IndexFile(SMALL_FILES[0]).entries())
    assert native_build.encode_entries(content, 1) == encode_v1(content)
    assert native_build.encode_entries(content[::-1], 1) is None
    assert native_build.encode_entries(content[:1] * 2, 1) is None
    assert native_build.encode_entries([], 1) == encode_v1([])
    assert native_build.encode_entries([], 2) is None
    with pytest.raises(UsageError):
        encode_v2([])


def test_more_packs_than_16_bits_can_count_merge_alike() -> None:
    content = [
        IndexEntry(f"{i:08x}", f"p{i}", 1, i, i, 0, 0, False, 3)  # type: ignore[arg-type]
        for i in range((1 << 16) + 2)
    ]
    data = build_index(content, version=2)
    half = [build_index(content[i::2], version=2) for i in range(2)]
    assert both(lambda: merge_index_files([IndexFile(each) for each in half], version=2)) == [data]


def a_table() -> Any:  # noqa: ANN401 -- the native class
    return IndexFile(SMALL_FILES[0]).table


def test_positions_outside_the_table_are_refused() -> None:
    table = a_table()
    for position in (-1, 60, 1 << 40):
        with pytest.raises(IndexError):
            table.entry(position)
        with pytest.raises(IndexError):
            table.key(position)
    with pytest.raises(IndexError):
        native.Winners([table], [(0, 61)], None)
    with pytest.raises(IndexError):
        native.Winners([table], [(-1, 1)], None)


@pytest.mark.parametrize("twin", ["native", "python"])
def test_a_closed_file_is_not_read_any_more(twin: str) -> None:
    buffer = bytearray(SMALL_FILES[0])
    with using(twin):
        file = IndexFile(buffer)
        merged = MergedIndex([file])
        key = file.table.key(0)
        file.close()
        file.close()
        buffer.clear()  # nothing holds it
        for action in (lambda: file.find(key), lambda: merged.find(key), lambda: list(merged.entries())):
            with pytest.raises(ValueError, match="released"):
                action()


def test_a_file_that_is_closed_while_it_is_iterated_lives_on_until_the_end() -> None:
    buffer = bytearray(SMALL_FILES[0])
    file = IndexFile(buffer)
    iterator = MergedIndex([file]).entries(include_deleted=True)
    first = next(iterator)
    file.close()
    with pytest.raises(BufferError):
        buffer.clear()
    assert [first, *iterator] == list(IndexFile(SMALL_FILES[0]).entries())
    del iterator
    gc.collect()
    buffer.clear()


def test_what_is_no_table_is_refused() -> None:
    for wrong in ([None], [PythonTable], ["x"]):
        with pytest.raises(TypeError):
            native.MergedTable(wrong, None)
        with pytest.raises(TypeError):
            native.Winners(wrong, [(0, 1)], None)
        with pytest.raises(TypeError):
            native_build.merge_tables(wrong, 2, (), None, 10)


def test_files_can_be_merged_by_several_threads_at_once() -> None:
    files = [IndexFile(data) for data in SMALL_FILES if data[:2] == b"\x02\x11"]
    expected = merge_index_files(files, version=2)
    results: list[Iterable[bytes]] = []
    threads = [threading.Thread(target=lambda: results.append(merge_index_files(files, version=2))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def test_names_of_packs_are_shared_between_entries() -> None:
    for data in SMALL_FILES[:1] + SMALL_FILES[-2:]:
        file = IndexFile(data)
        names = [e.pack_blob for e in file.entries()]
        assert len({id(name) for name in names}) == len(set(names))


def test_a_file_is_let_go_when_the_garbage_collector_finds_it_among_things_that_refer_to_each_other() -> None:
    held = bytearray(SMALL_FILES[0])
    file = IndexFile(held)
    winners = MergedIndex([file]).entries("", "{")
    next(iter(winners))
    cycle: list[object] = [winners, file.table]
    cycle.append(cycle)
    with pytest.raises(BufferError):
        held.clear()
    del file, winners, cycle
    gc.collect()
    held.clear()
