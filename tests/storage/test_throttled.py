"""Limits of a connection, with a clock that goes on only while somebody waits."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pykopia.errors import BlobNotFoundError
from pykopia.ids import BlobID
from pykopia.storage.backends.filesystem.options import FilesystemOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_storage
from pykopia.storage.options import ThrottlingLimits
from pykopia.storage.throttled import ThrottledStorage, TokenBucket
from pykopia.testing.intercepting import Call, InterceptingStorage
from pykopia.testing.storage_tests import StorageTests

BLOB = BlobID("p1")


@dataclass
class Clock:
    now: float = 1000.0
    waited: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.waited.append(round(seconds, 6))
        self.now += seconds

    def bucket(self, per_second: float) -> TokenBucket:
        return TokenBucket(per_second, monotonic=lambda: self.now, sleep=self.sleep)

    def storage(self, limits: ThrottlingLimits) -> ThrottledStorage:
        return ThrottledStorage(MemoryStorage(), limits, monotonic=lambda: self.now, sleep=self.sleep)


@pytest.fixture
def time() -> Clock:
    return Clock()


class TestThrottledStorage(StorageTests):
    supports_do_not_recreate = supports_set_mtime = True

    @pytest.fixture
    def storage(self) -> ThrottledStorage:
        limits = ThrottlingLimits(
            reads_per_second=1e6, writes_per_second=1e6, lists_per_second=1e6, upload_bytes_per_second=1e12,
            download_bytes_per_second=1e12, concurrent_reads=4, concurrent_writes=4,
        )  # fmt: skip
        return ThrottledStorage(MemoryStorage(), limits)


def test_a_bucket_holds_a_minute_of_which_a_tenth_is_there_at_once(time: Clock) -> None:
    bucket = time.bucket(10)
    for _ in range(60):
        bucket.take(1)
    assert time.waited == []
    bucket.take(1)
    bucket.take(5)
    assert time.waited == [0.1, 0.5]
    time.now += 1000
    bucket.take(600)
    assert len(time.waited) == 2
    bucket.take(1)
    assert time.waited[-1] == 0.1


def test_more_than_a_bucket_holds_is_waited_for(time: Clock) -> None:
    bucket = time.bucket(10)
    bucket.take(1060)
    assert time.waited == [100.0]
    bucket.take(-30)
    bucket.take(30)
    assert time.waited == [100.0]


def test_without_a_limit_nobody_waits(time: Clock) -> None:
    bucket = time.bucket(0)
    bucket.take(1e18)
    assert time.waited == []


@pytest.mark.parametrize(
    ("limit", "call"),
    [
        ("reads_per_second", lambda storage: storage.get(BLOB)),
        ("reads_per_second", lambda storage: storage.get_into(BLOB, bytearray(3))),
        ("reads_per_second", lambda storage: storage.metadata(BLOB)),
        ("writes_per_second", lambda storage: storage.put(BLOB, b"x")),
        ("writes_per_second", lambda storage: storage.delete(BLOB)),
        ("lists_per_second", lambda storage: list(storage.list())),
    ],
)
def test_each_kind_of_request_has_its_limit(
    time: Clock, limit: str, call: Callable[[ThrottledStorage], object]
) -> None:
    storage = time.storage(ThrottlingLimits(**{limit: 1.0}))  # type: ignore[arg-type]
    storage.inner.put(BLOB, b"data")
    for _ in range(6):
        call(storage)
        storage.inner.put(BLOB, b"data")
    assert time.waited == []
    call(storage)
    assert time.waited == [1.0]


def test_bytes_are_counted_on_their_way_in_and_out(time: Clock) -> None:
    storage = time.storage(ThrottlingLimits(upload_bytes_per_second=100, download_bytes_per_second=10_000_000))
    storage.put(BLOB, bytes(600))
    storage.put(BLOB, bytes(700))
    assert time.waited == [7.0]
    storage.get(BLOB)
    storage.get(BLOB, 0, 100)
    target = bytearray(700)
    storage.get_into(BLOB, target)
    assert time.waited == [7.0], "what a whole blob was taken for is given back"
    with pytest.raises(BlobNotFoundError):
        storage.get(BlobID("p2"))
    storage.get(BLOB)
    assert time.waited == [7.0]


@pytest.mark.parametrize(("places", "seen"), [(1, 1), (2, 2), (0, 4)])
def test_so_many_at_one_time(places: int, seen: int) -> None:
    most = now = 0
    lock, together = threading.Lock(), threading.Barrier(seen)

    class Watched(InterceptingStorage):
        def intercept(self, call: Call, proceed: Callable[[], object]) -> object:  # type: ignore[override]
            nonlocal most, now
            with lock:
                now += 1
                most = max(most, now)
            together.wait(10)
            with lock:
                now -= 1
            return proceed()

    storage = ThrottledStorage(Watched(MemoryStorage()), ThrottlingLimits(concurrent_writes=places))
    threads = [threading.Thread(target=storage.put, args=(BlobID(f"p{each}"), b"x")) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == seen


def test_the_limits_of_a_connection_hold_and_others_replace_them(tmp_path: Path) -> None:
    def limited(**limits: float) -> ConnectionInfo:
        throttling = ThrottlingLimits(**limits)  # type: ignore[arg-type]
        return ConnectionInfo.from_options(FilesystemOptions(path=str(tmp_path), throttling=throttling))

    with open_storage(limited(), create=True) as storage:
        assert not isinstance(storage, ThrottledStorage)
    info = limited(reads_per_second=2.0)
    with open_storage(info) as storage:
        assert isinstance(storage, ThrottledStorage)
        assert storage.connection_info() == info
    with open_storage(info, limits=ThrottlingLimits()) as storage:
        assert not isinstance(storage, ThrottledStorage)
