"""The storages for tests keep the contract while nothing is planned, and do exactly what is."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia import clock
from pykopia.errors import StorageFullError, StorageUnavailableError
from pykopia.ids import BlobID
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage, PutOptions, is_blob_id
from pykopia.testing import (
    Call,
    CountingStorage,
    EventuallyConsistentStorage,
    FakeClock,
    FaultyStorage,
    InterceptingStorage,
    LatencyStorage,
    SimulatedCrash,
)
from pykopia.testing.storage_tests import FORMAT, PACK, StorageTests
from pykopia.testing.strategies import blob_ids, content_bytes, kopia_blob_ids


class WrapperContract(StorageTests):
    supports_do_not_recreate = True
    supports_set_mtime = True
    supports_retention = True
    big_blob = 1 << 20


class TestCountingStorage(WrapperContract):
    @pytest.fixture
    def storage(self) -> BlobStorage:
        return CountingStorage(MemoryStorage(object_lock=True))


class TestFaultyStorage(WrapperContract):
    @pytest.fixture
    def storage(self) -> BlobStorage:
        return FaultyStorage(MemoryStorage(object_lock=True))


class TestLatencyStorage(WrapperContract):
    @pytest.fixture
    def storage(self) -> BlobStorage:
        return LatencyStorage(MemoryStorage(object_lock=True), 1.0, sleep=FakeClock().sleep)


class TestEventuallyConsistentStorageWithoutDelay(WrapperContract):
    @pytest.fixture
    def storage(self) -> BlobStorage:
        return EventuallyConsistentStorage(MemoryStorage(object_lock=True), FakeClock(), delay=0)


def names(storage: BlobStorage, prefix: str = "") -> list[str]:
    return sorted(blob.blob_id for blob in storage.list(prefix))


# -- clock -------------------------------------------------------------------------------------------------------------


def test_a_fake_clock_stands_still_until_it_is_told_to_go_on() -> None:
    fake = FakeClock(5_000_000_000)
    assert fake() == fake() == fake.now_ns == 5_000_000_000
    fake.advance(0.5)
    fake.advance(minutes=1, hours=1, days=1)
    assert fake() == 5_500_000_000 + (60 + 3600 + 86400) * 1_000_000_000
    fake.advance(-1)
    fake.sleep(1)
    fake.set(7)
    assert fake() == 7


def test_a_fake_clock_can_step_at_every_look() -> None:
    fake = FakeClock(0, step_ns=3)
    assert [fake(), fake(), fake.now_ns, fake()] == [0, 3, 6, 6]


def test_a_fake_clock_takes_the_place_of_the_real_one() -> None:
    fake = FakeClock()
    with fake.installed():
        assert clock.now() == fake.now_ns
        fake.advance(1)
        assert clock.now_seconds() == fake.now_ns // 1_000_000_000
    assert clock.now() != fake.now_ns


# -- counting ----------------------------------------------------------------------------------------------------------


def test_every_call_is_recorded_with_its_arguments() -> None:
    storage = CountingStorage(MemoryStorage(object_lock=True))
    options = PutOptions(retention_mode="GOVERNANCE", retention_period_ns=5)
    storage.put(PACK, b"hello", options)
    storage.get(PACK, 1, 2)
    storage.get_into(PACK, bytearray(3), 2)
    storage.metadata(PACK)
    assert [*storage.list("p")]
    storage.extend_retention(PACK, "GOVERNANCE", 5)
    storage.capacity()
    storage.flush_caches()
    assert storage.calls() == (
        Call(method="put", blob_id=PACK, length=5, options=options),
        Call(method="get", blob_id=PACK, offset=1, length=2),
        Call(method="get", blob_id=PACK, offset=2, length=3),
        Call(method="metadata", blob_id=PACK),
        Call(method="list", blob_id="p"),
        Call(method="extend_retention", blob_id=PACK, options=options),
        Call(method="capacity"),
        Call(method="flush_caches"),
    )


def test_calls_can_be_asked_for_by_method_and_prefix() -> None:
    storage = CountingStorage(MemoryStorage())
    for name in ("p1", "p2", "q1"):
        storage.put(BlobID(name), b"12")
        storage.get(BlobID(name))
        storage.get(BlobID(name), 1, 1)
    storage.delete(BlobID("p1"))
    assert (storage.count(), storage.count("get"), storage.count("put", "p"), storage.count("list")) == (10, 6, 2, 0)
    assert storage.ranges("q1") == [(0, -1), (1, 1)]
    assert storage.bytes_put() == 6
    assert storage.bytes_put("q") == 2
    storage.clear()
    assert storage.calls() == ()


def test_a_listing_counts_when_it_is_begun() -> None:
    storage = CountingStorage(MemoryStorage())
    listing = storage.list()
    assert storage.count("list") == 0
    assert [*listing] == []
    assert storage.count("list") == 1


# -- faults ------------------------------------------------------------------------------------------------------------


def test_the_planned_calls_fail_and_no_others() -> None:
    storage = FaultyStorage(MemoryStorage())
    fault = storage.fail("put", at=2, times=2, prefix="p")
    results = []
    for name in ("p1", "q1", "p2", "q2", "p3", "p4"):
        try:
            storage.put(BlobID(name), b"")
            results.append(name)
        except StorageUnavailableError:
            results.append(f"not {name}")
    assert results == ["p1", "q1", "not p2", "q2", "not p3", "p4"]
    assert names(storage) == ["p1", "p4", "q1", "q2"]
    assert (fault.seen, fault.hits) == (4, 2)


@pytest.mark.parametrize("method", ["get", "metadata", "put", "delete", "list", "extend_retention", "capacity"])
@pytest.mark.parametrize("effect", ["before", "after"])
def test_a_fault_acts_before_or_after_the_call(method: str, effect: str) -> None:
    counting = CountingStorage(MemoryStorage(object_lock=True))
    counting.put(PACK, b"old")
    counting.clear()
    storage = FaultyStorage(counting)
    storage.fail(method, effect=effect)  # type: ignore[arg-type]
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: storage.get(PACK),
        "metadata": lambda: storage.metadata(PACK),
        "put": lambda: storage.put(PACK, b"new"),
        "delete": lambda: storage.delete(PACK),
        "list": lambda: [*storage.list()],
        "extend_retention": lambda: storage.extend_retention(PACK, "GOVERNANCE", 5),
        "capacity": storage.capacity,
    }
    with pytest.raises(StorageUnavailableError):
        calls[method]()
    if method != "list":
        assert counting.count() == (effect == "after")
    calls[method]()


def test_a_fault_may_be_of_any_method_and_any_error() -> None:
    storage = FaultyStorage(MemoryStorage())
    storage.fail(times=-1, error=lambda: StorageFullError("full"))
    for call in (
        lambda: storage.get(PACK),
        lambda: storage.put(PACK, b""),
        lambda: [*storage.list()],
        storage.capacity,
    ):
        for _ in range(2):
            with pytest.raises(StorageFullError):
                call()
    storage.heal()
    storage.put(PACK, b"")


def test_of_several_faults_the_first_planned_acts() -> None:
    storage = FaultyStorage(MemoryStorage())
    first, second = storage.fail("put"), storage.fail("put", at=1, times=2, error=lambda: StorageFullError("full"))
    with pytest.raises(StorageUnavailableError):
        storage.put(PACK, b"")
    with pytest.raises(StorageFullError):
        storage.put(PACK, b"")
    storage.put(PACK, b"")
    assert (first.hits, second.hits) == (1, 2)


def test_a_listing_can_break_off_after_some_blobs() -> None:
    storage = FaultyStorage(MemoryStorage())
    for number in range(4):
        storage.put(BlobID(f"p{number}"), b"")
    storage.fail("list", items=3)
    seen: list[str] = []
    with pytest.raises(StorageUnavailableError):
        seen.extend(blob.blob_id for blob in storage.list())
    assert seen == ["p0", "p1", "p2"]
    assert len(names(storage)) == 4


@pytest.mark.parametrize(("effect", "left"), [("before", ["p1"]), ("after", ["p1", "p2"])])
def test_after_a_death_every_call_is_dead_until_it_is_healed(effect: str, left: list[str]) -> None:
    storage = FaultyStorage(MemoryStorage())
    storage.kill("put", at=2, effect=effect)  # type: ignore[arg-type]
    storage.put(BlobID("p1"), b"")
    states = [storage.dead]
    with pytest.raises(SimulatedCrash):
        storage.put(BlobID("p2"), b"")
    states.append(storage.dead)
    assert states == [False, True]
    for call in (lambda: storage.get(PACK), lambda: storage.delete(BlobID("p1")), lambda: [*storage.list()]):
        with pytest.raises(SimulatedCrash):
            call()
    storage.heal()
    assert names(storage) == left


def test_a_crash_is_not_caught_by_those_who_catch_errors() -> None:
    assert not issubclass(SimulatedCrash, Exception)


def test_a_death_ends_a_listing_that_is_under_way() -> None:
    storage = FaultyStorage(MemoryStorage())
    for number in range(3):
        storage.put(BlobID(f"p{number}"), b"")
    listing = storage.list()
    next(listing)
    storage.kill("put")
    with pytest.raises(SimulatedCrash):
        storage.put(PACK, b"")
    with pytest.raises(SimulatedCrash):
        next(listing)


def test_calls_of_many_threads_are_counted_one_by_one() -> None:
    storage = FaultyStorage(MemoryStorage())
    fault = storage.fail("put", at=50, times=10)
    failed = threading.Semaphore(0)

    def put(number: int) -> None:
        try:
            storage.put(BlobID(f"p{number}"), b"")
        except StorageUnavailableError:
            failed.release()

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(put, range(100)):
            pass
    assert (fault.seen, fault.hits, len(names(storage))) == (100, 10, 90)


# -- latency -----------------------------------------------------------------------------------------------------------


def test_every_call_takes_its_time() -> None:
    pauses: list[float] = []
    storage = LatencyStorage(MemoryStorage(), 0.25, sleep=pauses.append)
    storage.put(PACK, b"x" * 100)
    storage.get(PACK)
    assert len([*storage.list()]) == 1
    assert pauses == [0.25, 0.25, 0.25]


def test_methods_can_differ_and_bytes_take_time() -> None:
    pauses: list[float] = []
    storage = LatencyStorage(MemoryStorage(), {"put": 1.0}, bytes_per_second=100, sleep=pauses.append)
    storage.put(PACK, b"x" * 50)
    storage.get(PACK, 0, 25)
    storage.get(PACK)
    storage.metadata(PACK)
    assert pauses == [1.5, 0.25]
    storage.delay = 2
    storage.delete(PACK)
    assert pauses[-1] == 2


# -- stale listings ----------------------------------------------------------------------------------------------------


def test_changes_show_in_listings_after_the_delay() -> None:
    fake = FakeClock()
    storage = EventuallyConsistentStorage(MemoryStorage(clock=fake), fake, delay=60)
    storage.put(PACK, b"1")
    assert names(storage) == []
    assert storage.get(PACK) == b"1"
    assert storage.metadata(PACK).length == 1
    fake.advance(59)
    assert names(storage) == []
    fake.advance(1)
    assert names(storage) == [PACK]
    storage.put(PACK, b"longer")
    assert [blob.length for blob in storage.list()] == [1]
    storage.delete(PACK)
    fake.advance(60)
    assert names(storage) == []


def test_what_was_there_before_is_shown_until_its_change_shows() -> None:
    fake = FakeClock()
    inner = MemoryStorage(clock=fake)
    inner.put(PACK, b"1")
    inner.put(FORMAT, b"1")
    storage = EventuallyConsistentStorage(inner, fake, delay=60)
    assert names(storage) == sorted([FORMAT, PACK])
    storage.delete(PACK)
    assert names(storage, "p") == [PACK]
    assert names(storage, "k") == [FORMAT]
    fake.advance(60)
    assert names(storage) == [FORMAT]


def test_changes_may_show_out_of_order_or_all_at_once() -> None:
    fake, chances = FakeClock(), iter([1.0, 0.0, 0.5])
    storage = EventuallyConsistentStorage(MemoryStorage(clock=fake), fake, delay=60, chance=lambda: next(chances))
    for name in ("p1", "p2", "p3"):
        storage.put(BlobID(name), b"")
    assert names(storage) == ["p2"]
    fake.advance(30)
    assert names(storage) == ["p2", "p3"]
    storage.settle()
    assert names(storage) == ["p1", "p2", "p3"]


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_an_intercepting_storage_must_say_what_it_does() -> None:
    with pytest.raises(NotImplementedError):
        InterceptingStorage(MemoryStorage()).get(PACK)


def test_a_suite_without_storage_says_what_is_missing() -> None:
    wrapped = StorageTests.storage
    with pytest.raises(NotImplementedError, match="fixture `storage`"):
        wrapped.__wrapped__(StorageTests())  # type: ignore[attr-defined]


@given(st.one_of(blob_ids(), kopia_blob_ids()), content_bytes(max_size=100))
def test_strategies_give_legal_blobs(blob_id: BlobID, content: bytes) -> None:
    assert is_blob_id(blob_id)
    assert len(content) <= 100
    storage = MemoryStorage()
    storage.put(blob_id, content)
    assert storage.get(blob_id) == content
