import hashlib
import json
import struct
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykopia.chunking import rolling_hash
from pykopia.chunking.splitters import DEFAULT_SPLITTER, SPLITTERS, Splitter, is_known, splitter
from pykopia.errors import UnsupportedFormatError
from pykopia.ids import Buffer
from tests.format.conftest import generate

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "splitters.json").read_text())
TABLE = json.loads((Path(__file__).parents[1] / "vectors" / "buzhash32_table.json").read_text())["table"]
TABLE_SHA256 = "9f95254df5585a4957a754ceac4fba2a8af24ad015e84f56db59dfc1e218f6dd"
FINDERS = ("find_buzhash", "find_rabinkarp")


@cache
def case_input(number: int) -> bytes:
    return generate(VECTORS["cases"][number]["input"])


def fed(rule: Splitter, data: bytes, sizes: Iterable[int]) -> list[int]:
    """Return the cuts when the data come in pieces, each in a buffer of its own."""
    run, cuts, taken = rule.start(), list[int](), 0
    for size in sizes:
        piece, start = data[taken : taken + size], 0
        while (cut := run.next_cut(piece, start)) >= 0:
            cuts.append(taken + cut)
            start = cut
        taken += len(piece)
        if taken == len(data):
            break
    return cuts


@pytest.mark.parametrize("number", range(len(VECTORS["cases"])))
def test_cuts_are_those_of_kopia_for_every_splitter_and_size_of_write(number: int) -> None:
    case, data = VECTORS["cases"][number], case_input(number)
    assert len(data) == case["inputLength"]
    assert case["cuts"]
    for name, cuts in case["cuts"].items():
        rule = splitter(name)
        assert rule.cut_points(data) == cuts, name
        for size in case["feedSizesCompared"]:
            if size and len(data) // size < 70_000:  # single bytes: only of what is short
                assert fed(rule, data, iter(lambda size=size: size, None)) == cuts, (name, size)  # type: ignore[misc]


@pytest.mark.parametrize("number", [n for n, c in enumerate(VECTORS["cases"]) if 0 < c["inputLength"] <= 400_000])
def test_the_python_search_cuts_where_kopia_does(number: int) -> None:
    finders = {"BUZHASH": rolling_hash.find_buzhash, "RABINKARP": rolling_hash.find_rabinkarp}
    for name, cuts in VECTORS["cases"][number]["cuts"].items():
        rule = splitter(name)
        if rule.find is not None:
            find = finders[name.rpartition("-")[2]]
            twin = Splitter(name=name, minimum=rule.minimum, average=rule.average, maximum=rule.maximum, find=find)
            assert twin.cut_points(case_input(number)) == cuts, name


def test_the_registry_is_that_of_kopia() -> None:
    assert {s["name"]: s["maxSegmentSize"] for s in VECTORS["splitters"]} == {
        rule.name: rule.maximum for rule in SPLITTERS.values()
    }
    assert list(SPLITTERS) == sorted(SPLITTERS)
    assert VECTORS["default"] == DEFAULT_SPLITTER
    assert all(rule.minimum * 2 == rule.average for name, rule in SPLITTERS.items() if name.startswith("DYNAMIC"))


def test_the_table_is_that_of_kopia() -> None:
    assert list(rolling_hash.BUZHASH_TABLE) == TABLE
    assert hashlib.sha256(struct.pack(">256I", *rolling_hash.BUZHASH_TABLE)).hexdigest() == TABLE_SHA256


@pytest.mark.parametrize("name", ["", "none", "FIXED-3M", "dynamic-4m-buzhash"])
def test_an_unknown_splitter_is_refused(name: str) -> None:
    assert not is_known(name)
    with pytest.raises(UnsupportedFormatError, match="DYNAMIC-4M-BUZHASH"):
        splitter(name)


@pytest.mark.parametrize("finder", FINDERS)
@settings(max_examples=40, deadline=None)
@given(seed=st.binary(max_size=8), length=st.integers(64, 20_000), bits=st.integers(4, 14), data=st.data())
def test_the_native_search_finds_what_the_definition_finds(
    finder: str, seed: bytes, length: int, bits: int, data: st.DataObject
) -> None:
    native = pytest.importorskip("pykopia.chunking._splitters")
    sample = hashlib.shake_128(seed).digest(length)
    start = data.draw(st.integers(64, length))
    end = data.draw(st.integers(start, length))
    mask = (1 << bits) - 1
    assert getattr(native, finder)(sample, start, end, mask) == getattr(rolling_hash, finder)(sample, start, end, mask)


@pytest.mark.parametrize("finder", FINDERS)
def test_all_lanes_of_the_native_search_find_their_hit(finder: str) -> None:
    native = pytest.importorskip("pykopia.chunking._splitters")
    sample = hashlib.shake_128(b"lanes").digest(40_000)
    position, expected, found = 64, [], []
    while (position := getattr(rolling_hash, finder)(sample, position, len(sample), 0x1FF)) >= 0:
        expected.append(position)
        position += 1
    assert len(expected) > 40
    for hit, previous in zip(expected, [63, *expected], strict=False):
        for start in {previous + 1, max(previous + 1, hit - 9000), hit}:
            found.append(getattr(native, finder)(sample, start, len(sample), 0x1FF) == hit)
    assert all(found)


@pytest.mark.parametrize("finder", FINDERS)
@pytest.mark.parametrize(("start", "end"), [(0, 10), (63, 100), (64, 101), (90, 80), (-1, 70), (64, 1 << 40)])
def test_a_range_outside_the_data_is_refused_by_both_twins(finder: str, start: int, end: int) -> None:
    native = pytest.importorskip("pykopia.chunking._splitters")
    for module in (native, rolling_hash):
        with pytest.raises(ValueError, match="window"):
            getattr(module, finder)(bytes(100), start, end, 1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 90_000), min_size=1, max_size=12), st.sampled_from(["BUZHASH", "RABINKARP"]))
def test_cuts_do_not_depend_on_the_pieces(sizes: list[int], kind: str) -> None:
    data = case_input(len(VECTORS["cases"]) - 5)[:600_000]  # random, zeros, random
    rule = splitter(f"DYNAMIC-128K-{kind}")
    assert fed(rule, data, [*sizes, len(data)]) == rule.cut_points(data)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_buffer_can_be_split_and_is_not_held(kind: Callable[[bytearray], Buffer]) -> None:
    data = bytearray(300_000)
    assert splitter("DYNAMIC-128K-BUZHASH").cut_points(kind(data)) == [65536, 131072, 196608, 262144]
    del data[:]  # would fail if a view were left


def test_a_range_outside_the_buffer_is_refused() -> None:
    run = splitter("FIXED-128K").start()
    for start, end in ((0, 11), (-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="buffer"):
            run.next_cut(bytes(10), start, end)
