"""Requests that are begun at once: each result is used once, while it is young, and never after a write."""

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import BlobNotFoundError, StorageUnavailableError
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID
from pykopia.index import first_blobs
from pykopia.index.first_blobs import MOST_BLOBS, first_index_blobs
from pykopia.storage.ahead import BELIEVED_SECONDS, AheadStorage
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing.counting import CountingStorage
from pykopia.testing.faulty import FaultyStorage

PACK = BlobID("p1")
MARKER = BlobID("x1")


class Timer:
    """A clock that stands."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def counting() -> CountingStorage:
    storage = CountingStorage(MemoryStorage())
    storage.inner.put(PACK, b"pack")
    storage.inner.put(MARKER, b"x")
    return storage


def test_what_was_begun_is_asked_once_and_given_once(counting: CountingStorage) -> None:
    storage = AheadStorage(counting, gets=[PACK], lists=["x"])
    assert storage.get(PACK) == b"pack"
    assert [blob.blob_id for blob in storage.list("x")] == [MARKER]
    assert counting.count() == 2
    counting.inner.put(PACK, b"another")
    counting.inner.delete(MARKER)
    assert storage.get(PACK) == b"another"
    assert list(storage.list("x")) == []
    assert counting.count() == 4


def test_a_blob_that_is_named_twice_is_asked_once_and_given_twice(counting: CountingStorage) -> None:
    storage = AheadStorage(counting, gets=[PACK, PACK, MARKER])
    assert [storage.get(PACK), storage.get(PACK), storage.get(MARKER)] == [b"pack", b"pack", b"x"]
    assert counting.count() == 2
    assert [storage.get(PACK), storage.get(MARKER)] == [b"pack", b"x"]
    assert counting.count() == 4


def test_a_blob_that_was_missing_is_asked_for_again_by_the_next_call(counting: CountingStorage) -> None:
    counting.inner.delete(PACK)
    storage = AheadStorage(counting, gets=[PACK, PACK, MARKER])
    with pytest.raises(BlobNotFoundError):
        storage.get(PACK)
    counting.inner.put(PACK, b"another client's")
    assert [storage.get(PACK), storage.get(MARKER)] == [b"another client's", b"x"]
    assert counting.count() == 3


def test_a_blob_that_is_named_twice_is_forgotten_after_a_write(counting: CountingStorage) -> None:
    storage = AheadStorage(counting, gets=[PACK, PACK])
    storage.put(PACK, b"another")
    assert [storage.get(PACK), storage.get(PACK)] == [b"another", b"another"]


def test_other_requests_go_to_the_storage(counting: CountingStorage) -> None:
    storage = AheadStorage(counting, gets=[PACK], lists=["x"])
    assert storage.get(PACK, 1, 2) == b"ac"
    assert storage.get(MARKER) == b"x"
    assert len(list(storage.list())) == 2
    assert storage.get(PACK) == b"pack"
    assert counting.count() == 5


@pytest.mark.parametrize(
    "write",
    [
        lambda storage: storage.put(BlobID("q"), b""),
        lambda storage: storage.delete(BlobID("q")),
        lambda storage: storage.flush_caches(),
    ],
)
def test_nothing_is_believed_after_a_write(counting: CountingStorage, write: object) -> None:
    assert callable(write)
    storage = AheadStorage(counting, gets=[PACK], lists=["x"])
    write(storage)
    counting.inner.put(PACK, b"another")
    assert storage.get(PACK) == b"another"


def test_an_old_result_is_not_believed(counting: CountingStorage) -> None:
    timer = Timer()
    storage = AheadStorage(counting, gets=[PACK], lists=["x"], timer=timer)
    timer.seconds = BELIEVED_SECONDS
    assert storage.get(PACK) == b"pack"
    timer.seconds += 0.1
    counting.inner.delete(MARKER)
    assert list(storage.list("x")) == []


def test_an_error_is_raised_where_the_result_is_taken() -> None:
    storage = AheadStorage(MemoryStorage(), gets=[PACK])
    with pytest.raises(BlobNotFoundError):
        storage.get(PACK)
    faulty = FaultyStorage(MemoryStorage())
    faulty.fail("list", error=lambda: StorageUnavailableError("no"))
    storage = AheadStorage(faulty, lists=["x"])
    with pytest.raises(StorageUnavailableError):
        storage.list("x")
    assert list(storage.list("x")) == []


def test_two_threads_get_one_result_each_from_the_storage(counting: CountingStorage) -> None:
    storage = AheadStorage(counting, gets=[PACK])
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(storage.get(PACK))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"pack"] * 4
    assert counting.count("get") == 4


def test_what_follows_a_listing_is_asked_for_before_anybody_wants_it(counting: CountingStorage) -> None:
    storage = AheadStorage(counting, lists=["x"], following={"x": lambda listed: [blob.blob_id for blob in listed]})
    assert [blob.blob_id for blob in storage.list("x")] == [MARKER]
    counting.inner.delete(MARKER)
    assert storage.get(MARKER) == b"x"
    assert counting.count() == 2


def test_nothing_that_follows_is_asked_for_after_a_write(counting: CountingStorage) -> None:
    written = threading.Event()

    def following(listed: Sequence[BlobMetadata]) -> list[BlobID]:
        written.wait()
        return [blob.blob_id for blob in listed]

    storage = AheadStorage(counting, lists=["x"], following={"x": following})
    listing = storage._lists["x"]
    storage.put(PACK, b"another")
    written.set()
    listing.join()
    assert counting.count("get") == 0


@given(st.lists(st.text("xnsrew_0123456789abcdef-c", max_size=12), max_size=8))
def test_names_of_any_kind_are_no_error(names: list[str]) -> None:
    """An error here would be one of the listing."""
    listed = [BlobMetadata(blob_id=BlobID("x" + name), length=1, timestamp_ns=0) for name in names]
    assert set(first_index_blobs(listed)) <= {blob.blob_id for blob in listed}


def test_the_first_index_blobs_are_few_and_small(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [BlobMetadata(blob_id=BlobID(f"xn0_{n:032x}-s{n}-c1"), length=100, timestamp_ns=n) for n in range(40)]
    assert len(first_index_blobs(listed)) == MOST_BLOBS
    assert set(first_index_blobs(listed[:3])) == {blob.blob_id for blob in listed[:3]}
    monkeypatch.setattr(first_blobs, "MOST_BYTES", 250)
    assert len(first_index_blobs(listed)) == 2
    assert first_index_blobs([]) == []
