"""Runs of contents in the order in which a large object needs them."""

from pykopia.format.index import IndexEntry
from pykopia.ids import BlobID, ContentID
from pykopia.repository.runs import MAX_RUN_IN_ORDER, MOST_IN_ORDER, runs_in_order


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
    assert [run[3] for run in grouped([block] * (MOST_IN_ORDER + 2))] == [MOST_IN_ORDER, 2]


def test_a_request_has_a_largest_size_unless_one_content_is_larger() -> None:
    half = MAX_RUN_IN_ORDER // 2
    entries = [entry("p1", number * half, half) for number in range(3)]
    assert grouped(entries) == [("p1", 0, 2 * half, 2), ("p1", 2 * half, half, 1)]
    assert grouped([entry("p1", 0, MAX_RUN_IN_ORDER + 1)]) == [("p1", 0, MAX_RUN_IN_ORDER + 1, 1)]


def test_without_a_limit_to_speak_of_each_content_is_alone() -> None:
    entries = [entry("p1", 0, 5), entry("p1", 5, 5)]
    assert [run.entries for run in runs_in_order(entries, limit=0)] == [(entries[0],), (entries[1],)]
