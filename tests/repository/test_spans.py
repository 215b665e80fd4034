"""Parts of packs that are kept: right bytes, none twice, errors told to all who wait."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import InvalidRangeError, StorageUnavailableError
from pykopia.ids import BlobID
from pykopia.repository import spans
from pykopia.repository.spans import BLOCK, PackSpans

PACK = BlobID("p1")
CONTENT = bytes(range(251)) * (6 * BLOCK // 251)


class Source:
    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.ranges: list[tuple[int, int]] = []
        self.error: Exception | None = None

    def fetch(self, pack: BlobID, start: int, length: int) -> bytes:
        if self.error is not None:
            raise self.error
        self.ranges.append((start, start + length))
        if start + length > len(self.content):
            raise InvalidRangeError(pack, start, length)
        return self.content[start : start + length]

    def size(self, _: BlobID) -> int:
        return len(self.content)


@given(
    st.lists(
        st.tuples(st.integers(0, len(CONTENT)), st.integers(1, 2 * BLOCK), st.booleans()), min_size=1, max_size=12
    ),
)
def test_the_bytes_are_right_and_none_is_fetched_twice(asked: list[tuple[int, int, bool]]) -> None:
    source = Source()
    kept = PackSpans(source.fetch, source.size)
    for start, wanted, alone in asked:
        length = min(wanted, len(CONTENT) - start)
        if length:
            assert bytes(kept.get(PACK, start, length, alone=alone)) == CONTENT[start : start + length]
    ranges = sorted(source.ranges)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(ranges))


def test_many_threads_fetch_each_byte_once() -> None:
    source = Source()
    kept = PackSpans(source.fetch, source.size)
    step = 10_007
    starts = [*range(0, len(CONTENT) - step, step)] * 3
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda start: bytes(kept.get(PACK, start, step)) == CONTENT[start : start + step], starts)
        assert all(found)
    assert sum(end - start for start, end in source.ranges) == len(CONTENT)


def test_a_single_content_of_an_untouched_pack_comes_alone() -> None:
    source = Source()
    kept = PackSpans(source.fetch, source.size)
    kept.get(PACK, 5000, 10, alone=True)
    assert source.ranges == [(5000, 5010)]
    kept.get(PACK, 6000, 10, alone=True)
    assert source.ranges[1:] == [(5010, BLOCK)]


def test_what_was_used_longest_ago_is_let_go() -> None:
    source = Source()
    kept = PackSpans(source.fetch, source.size, limit=2 * BLOCK)
    for block, offset in ((0, 0), (1, 0), (0, 100), (2, 0), (0, 200), (1, 100)):
        kept.get(PACK, block * BLOCK + offset, 10)
    assert [start // BLOCK for start, _ in source.ranges] == [0, 1, 2, 1]
    assert kept._total == sum(span.end - span.start for span in kept._used.values()) <= 2 * BLOCK
    tight = PackSpans(source.fetch, source.size, limit=0)
    assert bytes(tight.get(PACK, 0, 10)) == CONTENT[:10]
    assert tight._packs == {}


def test_what_is_expected_comes_with_the_first_of_its_parts() -> None:
    source = Source()
    kept = PackSpans(source.fetch, source.size)
    kept.expect(PACK, 10, 3 * BLOCK - 10)
    for start in (2 * BLOCK, 20, BLOCK + 5):
        assert bytes(kept.get(PACK, start, 10, alone=True)) == CONTENT[start : start + 10]
    assert source.ranges == [(10, 3 * BLOCK - 10)]
    assert kept._expected == {}
    kept.expect(PACK, 4 * BLOCK, 5 * BLOCK)
    kept.get(PACK, 3 * BLOCK, 10)  # of another
    assert source.ranges[1:] == [(3 * BLOCK, 4 * BLOCK)]


def test_it_knows_the_packs_of_which_something_was_expected() -> None:
    source = Source()
    kept = PackSpans(source.fetch, source.size)
    kept.get(PACK, 0, 10)
    assert not kept.knows(PACK)
    kept.expect(PACK, 100, 200)
    assert kept.knows(PACK)
    assert not kept.knows(BlobID("p2"))
    kept.get(PACK, 100, 100)
    assert kept.knows(PACK)


def test_a_range_inside_an_expected_one_never_waits_for_ever() -> None:
    source = Source()
    kept = PackSpans(source.fetch, source.size)
    kept.expect(PACK, 0, 2 * BLOCK, [BLOCK, BLOCK + 100])
    assert bytes(kept.get(PACK, BLOCK + 100, 50)) == CONTENT[BLOCK + 100 : BLOCK + 150]
    assert bytes(kept.get(PACK, BLOCK - 10, 20)) == CONTENT[BLOCK - 10 : BLOCK + 10]
    assert source.ranges == [(0, 2 * BLOCK)]


def test_what_nobody_needs_any_more_goes_first() -> None:
    source = Source()
    kept = PackSpans(source.fetch, source.size, limit=2 * BLOCK)
    kept.get(PACK, 0, 10)
    kept.get(PACK, BLOCK, BLOCK)
    kept.get(PACK, 2 * BLOCK, 10)
    kept.get(PACK, 20, 10)
    assert [start // BLOCK for start, _ in source.ranges] == [0, 1, 2]


def test_an_error_is_told_to_all_who_wait_and_forgotten() -> None:
    source = Source()
    entered, go_on = threading.Event(), threading.Event()

    def fetch(pack: BlobID, start: int, length: int) -> bytes:
        entered.set()
        go_on.wait(10)
        return source.fetch(pack, start, length)

    kept = PackSpans(fetch, source.size)
    source.error = StorageUnavailableError("gone")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(kept.get, PACK, 0, 10)
        entered.wait(10)
        second = pool.submit(kept.get, PACK, 5, 10)
        go_on.set()
        for future in (first, second):
            with pytest.raises(StorageUnavailableError):
                future.result()
    source.error = None
    assert bytes(kept.get(PACK, 0, 10)) == CONTENT[:10]


def test_a_range_behind_the_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "BLOCK", 100)
    source = Source(b"x" * 250)
    kept = PackSpans(source.fetch, source.size)
    assert bytes(kept.get(PACK, 240, 10)) == b"x" * 10
    assert source.ranges == [(200, 250)]
    with pytest.raises(InvalidRangeError):
        kept.get(PACK, 240, 11)
    assert bytes(kept.get(PACK, 0, 250)) == b"x" * 250
