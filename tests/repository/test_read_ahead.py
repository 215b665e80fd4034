"""Contents in the order of a large object, fetched ahead."""

import threading

import pytest

from pykopia.format.index import IndexEntry
from pykopia.ids import BlobID, ContentID
from pykopia.repository.read_ahead import MAX_REQUEST, MOST_CONTENTS, REQUESTS_AHEAD, read_ahead, runs_in_order
from pykopia.repository.runs import Run


def entry(pack: str, offset: int, length: int) -> IndexEntry:
    return IndexEntry(
        content_id=ContentID(f"{offset:032x}"),
        pack_blob=BlobID(pack),
        timestamp=1,
        original_length=length,
        packed_length=length,
        pack_offset=offset,
        compression=0,
        deleted=False,
        format_version=3,
        encryption_key_id=0,
    )


def grouped(entries: list[IndexEntry]) -> list[tuple[str, int, int, int]]:
    return [(run.pack_blob, run.offset, run.length, len(run.entries)) for run in runs_in_order(entries)]


def test_contents_that_follow_each_other_are_one_request() -> None:
    one, two, three = entry("p1", 10, 5), entry("p1", 15, 5), entry("p1", 30, 5)
    assert grouped([]) == []
    assert grouped([one, two]) == [("p1", 10, 10, 2)]
    assert grouped([one, two, three]) == [("p1", 10, 10, 2), ("p1", 30, 5, 1)]
    assert grouped([two, one]) == [("p1", 15, 5, 1), ("p1", 10, 5, 1)]
    assert grouped([one, entry("p2", 15, 5)]) == [("p1", 10, 5, 1), ("p2", 15, 5, 1)]


def test_a_content_again_and_again_is_fetched_once_for_many() -> None:
    block = entry("p1", 0, 4)
    assert grouped([block] * 3) == [("p1", 0, 4, 3)]
    assert [run[3] for run in grouped([block] * (MOST_CONTENTS + 2))] == [MOST_CONTENTS, 2]


def test_a_request_has_a_largest_size_unless_one_content_is_larger() -> None:
    half = MAX_REQUEST // 2
    entries = [entry("p1", number * half, half) for number in range(3)]
    assert grouped(entries) == [("p1", 0, 2 * half, 2), ("p1", 2 * half, half, 1)]
    assert grouped([entry("p1", 0, MAX_REQUEST + 1)]) == [("p1", 0, MAX_REQUEST + 1, 1)]


def test_what_comes_next_is_fetched_before_it_is_asked_for_and_not_more() -> None:
    entries = [entry(f"p{number}", 0, 1) for number in range(9)]
    fetched: list[str] = []
    reached = threading.Semaphore(0)

    def fetch(run: Run) -> memoryview:
        fetched.append(run.pack_blob)
        reached.release()
        return memoryview(run.pack_blob.encode()[1:])

    contents = read_ahead(entries, fetch=fetch, open_one=lambda _, data: bytes(data or b""))
    assert next(contents) == b"0"
    for _ in range(REQUESTS_AHEAD + 1):
        assert reached.acquire(timeout=10)
    assert sorted(fetched) == [f"p{number}" for number in range(REQUESTS_AHEAD + 1)]
    assert [*contents] == [str(number).encode() for number in range(1, 9)]


def test_what_can_not_be_fetched_at_once_is_read_alone_and_errors_come_in_order() -> None:
    def open_one(one: IndexEntry, data: memoryview | None) -> bytes:
        if one.pack_blob == "p2":
            raise LookupError
        return b"alone" if data is None else bytes(data)

    entries = [entry("p0", 0, 1), entry("p1", 0, 1), entry("p2", 0, 1)]
    contents = read_ahead(
        entries, fetch=lambda run: None if run.pack_blob == "p1" else memoryview(b"x"), open_one=open_one
    )
    assert [next(contents), next(contents)] == [b"x", b"alone"]
    with pytest.raises(LookupError):
        next(contents)
