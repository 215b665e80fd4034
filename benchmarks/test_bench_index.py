"""Index files of a million contents: opening, look-up, building, merging, iteration."""

import hashlib
import random
from collections.abc import Iterator
from functools import lru_cache

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pykopia.format.content_id import key_of
from pykopia.format.index import IndexEntry, IndexFile, build_index
from pykopia.format.index_merge import MergedIndex, merge_index_files
from pykopia.ids import BlobID, ContentID

ENTRIES = 1_000_000
FILES = 20
PACK_CONTENTS = 50
LOOK_UPS = 100_000
"""Different keys in one round: dividing its time by this gives the time of one look-up without a warm cache."""


def contents(first: int, count: int) -> Iterator[IndexEntry]:
    """Yield entries of which one in ten is metadata, and whose packs hold 50 contents each."""
    for number in range(first, first + count):
        digest = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).hexdigest()
        is_metadata = number % 10 == 0
        pack = hashlib.blake2b(b"pack%d" % (number // PACK_CONTENTS), digest_size=16).hexdigest()
        yield IndexEntry(
            content_id=ContentID(("k" if is_metadata else "") + digest),
            pack_blob=BlobID(f"{'q' if is_metadata else 'p'}{pack}-s39b23fe2117ad42f147"),
            timestamp=1_795_383_338 + number // 1000,
            original_length=number % 4_000_000,
            packed_length=number % 4_000_000 + 28,
            pack_offset=number % 20_000_000,
            compression=0x1100 if number % 3 else 0,
            deleted=number % 100 == 7,
            format_version=3,
        )


@lru_cache
def a_million() -> bytes:
    return build_index(contents(0, ENTRIES), version=2)


@lru_cache
def twenty_files() -> tuple[bytes, ...]:
    share = ENTRIES // FILES
    return tuple(build_index(contents(i * share, share), version=2) for i in range(FILES))


def keys(present: bool) -> list[bytes]:
    """Return the keys of random contents, in the files or not."""
    numbers = random.Random(7).choices(range(ENTRIES) if present else range(ENTRIES, 2 * ENTRIES), k=LOOK_UPS)
    return [key_of(entry.content_id) for number in numbers for entry in contents(number, 1)]


@pytest.fixture(params=[True, False], ids=["present", "absent"])
def wanted(request: pytest.FixtureRequest) -> list[bytes]:
    return keys(request.param)


def test_open(benchmark: BenchmarkFixture) -> None:
    benchmark(IndexFile, a_million())


def test_find(benchmark: BenchmarkFixture, wanted: list[bytes]) -> None:
    benchmark(IndexFile(a_million()).find_many, wanted)


def test_find_in_twenty_files(benchmark: BenchmarkFixture, wanted: list[bytes]) -> None:
    benchmark(MergedIndex([IndexFile(data) for data in twenty_files()], watermark=5).find_many, wanted)


def test_build(benchmark: BenchmarkFixture) -> None:
    entries = list(contents(0, ENTRIES))
    assert benchmark(build_index, entries, version=2) == a_million()


def test_merge_twenty_files(benchmark: BenchmarkFixture) -> None:
    files = [IndexFile(data) for data in twenty_files()]
    assert benchmark(merge_index_files, files, version=2) == [a_million()]


def test_iterate_over_twenty_files(benchmark: BenchmarkFixture) -> None:
    merged = MergedIndex([IndexFile(data) for data in twenty_files()])
    assert benchmark(lambda: sum(1 for _ in merged.entries(include_deleted=True))) == ENTRIES
