"""Wrappers keep the contract and add one thing: retries, refusals."""

import itertools
import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    InvalidRangeError,
    PykopiaError,
    ReadOnlyStorageError,
    StorageBusyError,
    StorageFullError,
    StorageUnavailableError,
    UnsupportedOptionError,
)
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage, Capacity, PutOptions, StorageWrapper
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.readonly import ReadOnlyStorage
from pykopia.storage.retrying import RetryingStorage, RetrySchedule
from pykopia.storage.service_errors import seconds_to_wait
from pykopia.testing import CountingStorage, FaultyStorage
from pykopia.testing.storage_tests import PACK, StorageTests

LOCK = PutOptions(retention_mode="GOVERNANCE", retention_period_ns=1)


class WrapperContract(StorageTests):
    supports_do_not_recreate = True
    supports_set_mtime = True
    supports_retention = True
    big_blob = 1 << 20


class TestPlainWrapper(WrapperContract):
    @pytest.fixture
    def storage(self) -> BlobStorage:
        return StorageWrapper(MemoryStorage(object_lock=True))


class TestRetryingStorage(WrapperContract):
    @pytest.fixture
    def storage(self) -> BlobStorage:
        return RetryingStorage(MemoryStorage(object_lock=True), sleep=never)


def never(seconds: float) -> None:
    raise AssertionError(f"slept {seconds} s")


class Named(MemoryStorage):
    """A storage with all the properties that a wrapper passes on."""

    closed = False

    def close(self) -> None:
        self.closed = True

    def capacity(self) -> Capacity:
        return Capacity(size=2, free=1)

    @property
    def read_only(self) -> bool:
        return True


@pytest.mark.parametrize("wrap", [StorageWrapper, RetryingStorage, ReadOnlyStorage])
def test_a_wrapper_passes_names_and_closing_on(wrap: Callable[[BlobStorage], BlobStorage]) -> None:
    inner = Named("vault")
    with wrap(inner) as storage:
        assert storage.display_name == "Memory: vault"
        assert storage.connection_info() == ConnectionInfo(type="memory", config={"name": "vault"})
        assert storage.capacity() == Capacity(size=2, free=1)
        assert storage.read_only
        assert not inner.closed
    assert inner.closed


# -- retrying ----------------------------------------------------------------------------------------------------------


class Setup:
    """A storage that fails as planned, beneath retries that don't wait."""

    def __init__(self, chance: float = 0.0) -> None:
        self.memory = MemoryStorage("m", object_lock=True)
        self.counting = CountingStorage(self.memory)
        self.faulty = FaultyStorage(self.counting)
        self.pauses: list[float] = []
        self.storage = RetryingStorage(self.faulty, sleep=self.pauses.append, chance=lambda: chance)


def calls_of(storage: BlobStorage) -> dict[str, Callable[[], object]]:
    return {
        "get": lambda: storage.get(PACK),
        "metadata": lambda: storage.metadata(PACK),
        "put": lambda: storage.put(PACK, b"y"),
        "delete": lambda: storage.delete(PACK),
        "list": lambda: [*storage.list()],
        "extend_retention": lambda: storage.extend_retention(PACK, "GOVERNANCE", 1),
        "capacity": storage.capacity,
    }


@pytest.mark.parametrize("method", calls_of(MemoryStorage()))
def test_a_temporary_error_is_tried_again_until_it_goes_well(method: str) -> None:
    setup = Setup()
    setup.memory.put(PACK, b"x")
    fault = setup.faulty.fail(method, times=9)  # type: ignore[arg-type]
    calls_of(setup.storage)[method]()
    assert fault.hits == 9
    assert setup.pauses == pytest.approx([0.1 * 1.5**number for number in range(9)])


@pytest.mark.parametrize("method", calls_of(MemoryStorage()))
@pytest.mark.parametrize("closed", ["before", "while it waits"])
def test_nothing_is_tried_again_once_the_storage_is_closed(method: str, closed: str) -> None:
    setup = Setup()
    fault = setup.faulty.fail(method, times=9)  # type: ignore[arg-type]
    if closed == "before":
        setup.storage.close()
    else:
        setup.storage._sleep = lambda _: setup.storage.close()
    with pytest.raises(StorageUnavailableError):
        calls_of(setup.storage)[method]()
    assert fault.hits == 1


@pytest.mark.parametrize("method", calls_of(MemoryStorage()))
def test_after_ten_attempts_the_error_passes(method: str) -> None:
    setup = Setup()
    setup.memory.put(PACK, b"x")
    fault = setup.faulty.fail(method, times=-1)  # type: ignore[arg-type]
    with pytest.raises(StorageUnavailableError, match="simulated"):
        calls_of(setup.storage)[method]()
    assert fault.hits == 10
    assert len(setup.pauses) == 9


@pytest.mark.parametrize(
    "error",
    [
        BlobNotFoundError(PACK, "here"),
        BlobExistsError(PACK, "here"),
        InvalidRangeError(PACK, 1, 2),
        StorageFullError("full"),
        UnsupportedOptionError("no"),
        ReadOnlyStorageError("no"),
        ZeroDivisionError("a bug"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("method", calls_of(MemoryStorage()))
def test_other_errors_pass_at_once(method: str, error: BaseException) -> None:
    setup = Setup()
    setup.memory.put(PACK, b"x")
    fault = setup.faulty.fail(method, times=-1, error=lambda: error)  # type: ignore[arg-type]
    with pytest.raises(type(error)) as caught:
        calls_of(setup.storage)[method]()
    assert caught.value is error
    assert fault.hits == 1
    assert setup.pauses == []


def test_filling_a_buffer_is_tried_again() -> None:
    setup = Setup()
    setup.memory.put(PACK, b"hello")
    setup.faulty.fail("get", times=2)
    buffer = bytearray(3)
    setup.storage.get_into(PACK, buffer, 1)
    assert buffer == b"ell"
    assert len(setup.pauses) == 2


def test_a_listing_that_breaks_off_goes_on_without_repeating() -> None:
    setup = Setup()
    ids = [BlobID(f"p{number}") for number in range(6)]
    for blob_id in ids:
        setup.memory.put(blob_id, b"")
    setup.faulty.fail("list", items=2)
    setup.faulty.fail("list", items=4, at=2)
    assert [blob.blob_id for blob in setup.storage.list()] == ids
    assert len(setup.pauses) == 2


def test_a_listing_that_makes_no_progress_ends() -> None:
    setup = Setup()
    setup.memory.put(BlobID("p1"), b"")
    setup.memory.put(BlobID("p2"), b"")
    setup.faulty.fail("list", items=1, times=-1)
    seen: list[str] = []
    with pytest.raises(StorageUnavailableError):
        seen.extend(blob.blob_id for blob in setup.storage.list())
    assert seen == ["p1"]
    assert len(setup.pauses) == 9


def test_pauses_differ_by_chance_and_end_at_the_longest() -> None:
    schedule = RetrySchedule()
    assert schedule.pause(1, 0.0) == pytest.approx(0.1)
    assert schedule.pause(1, 0.5) == pytest.approx(0.075)
    assert schedule.pause(100, 0.0) == pytest.approx(32.0)
    assert RetrySchedule(first_pause=1, factor=2, longest_pause=5, jitter=0).pause(4, 0.9) == 5


@given(st.integers(1, 1000), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_never_longer_than_the_longest_nor_shorter_than_half(attempt: int, chance: float) -> None:
    full = min(0.1 * 1.5 ** (attempt - 1), 32.0)
    assert full / 2 <= RetrySchedule().pause(attempt, chance) <= full


def test_another_schedule_is_kept_to() -> None:
    inner = FaultyStorage(MemoryStorage())
    fault = inner.fail("list", times=-1)
    storage = RetryingStorage(inner, schedule=RetrySchedule(attempts=1), sleep=never)
    with pytest.raises(StorageUnavailableError):
        [*storage.list()]
    assert fault.hits == 1


@pytest.mark.parametrize("data", [b"mine", bytearray(b"mine"), memoryview(b"mine")])
def test_a_lost_answer_does_not_make_the_creator_lose(data: Buffer) -> None:
    setup = Setup()
    setup.faulty.fail("put", effect="after")
    setup.storage.put(PACK, data, PutOptions(do_not_recreate=True))
    assert setup.memory.get(PACK) == b"mine"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0), (" 120 ", 120), ("Thu, 01 Jan 1970 00:01:40 GMT", 90), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("-5", None), ("1.5", None), ("soon", None), ("", None), ("9" * 400, 999_999_999),
    ],
)  # fmt: skip
def test_what_a_service_asks_to_wait_is_understood(header: str, seconds: float | None) -> None:
    assert seconds_to_wait(header, 10_000_000_000) == seconds


def test_a_blob_of_another_is_reported_also_after_a_retry() -> None:
    setup = Setup()
    setup.memory.put(PACK, b"theirs")
    setup.faulty.fail("put")
    with pytest.raises(BlobExistsError):
        setup.storage.put(PACK, b"mine", PutOptions(do_not_recreate=True))
    with pytest.raises(BlobExistsError):  # without a retry, even the same bytes are another's
        setup.storage.put(PACK, b"theirs", PutOptions(do_not_recreate=True))
    assert setup.memory.get(PACK) == b"theirs"


def test_retries_are_logged_without_content(caplog: pytest.LogCaptureFixture) -> None:
    setup = Setup()
    setup.faulty.fail("put")
    with caplog.at_level(logging.INFO):
        setup.storage.put(PACK, b"secret")
    assert f"put {PACK} failed, trying again in 0.1 s (attempt 1): simulated fault" in caplog.text
    assert "secret" not in caplog.text


class Waiting:
    """A storage that fails, beneath retries whose clock moves by their pauses, and by what each attempt takes."""

    def __init__(self, error: Callable[[], PykopiaError], *, takes: float = 0.0, **schedule: float) -> None:
        self.now, self.pauses = 0.0, list[float]()
        self.inner = FaultyStorage(MemoryStorage("m"))
        self.fault = self.inner.fail("get", times=-1, error=lambda: self._fails(error, takes))
        self.storage = RetryingStorage(
            self.inner,
            schedule=RetrySchedule(**schedule),  # type: ignore[arg-type]
            sleep=self._sleep,
            chance=lambda: 0.0,
            timer=lambda: self.now,
        )

    def _fails(self, error: Callable[[], PykopiaError], takes: float) -> PykopiaError:
        self.now += takes
        return error()

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def busy() -> StorageBusyError:
    return StorageBusyError("slow down")


def silent() -> StorageUnavailableError:
    return StorageUnavailableError("nothing comes")


def test_a_service_that_asks_to_come_back_later_is_asked_for_fifteen_minutes() -> None:
    waiting = Waiting(busy)
    with pytest.raises(StorageBusyError):
        waiting.storage.get(PACK)
    assert 900 <= waiting.now < 900 + 33
    assert waiting.pauses == sorted(waiting.pauses)
    assert max(waiting.pauses) == 32


@pytest.mark.parametrize("patience", [0.0, 5.0, 3600.0])
def test_the_patience_with_a_busy_service_is_a_setting(patience: float) -> None:
    waiting = Waiting(busy, patience=patience)
    with pytest.raises(StorageBusyError):
        waiting.storage.get(PACK)
    assert patience <= waiting.now <= patience + 33


def test_a_service_that_recovers_within_minutes_is_no_error() -> None:
    waiting = Waiting(busy)
    waiting.inner.put(PACK, b"x")
    waiting.fault.times = 25
    assert waiting.storage.get(PACK) == b"x"
    assert waiting.now > 250


def test_a_server_that_takes_connections_and_never_answers_is_given_up_within_fifteen_minutes_in_all() -> None:
    waiting = Waiting(silent, takes=105)
    for _ in range(3):  # what a command does until it has ended: each call is tried once more
        with pytest.raises(StorageUnavailableError):
            waiting.storage.get(PACK)
    assert waiting.now < 900 + 105


def test_an_answer_ends_the_silence() -> None:
    waiting = Waiting(silent, takes=100)
    waiting.fault.times = 5
    with pytest.raises(BlobNotFoundError):
        waiting.storage.get(PACK)
    waiting.fault.times = 10
    with pytest.raises(BlobNotFoundError):
        waiting.storage.get(PACK)
    assert waiting.fault.hits == 10


def test_a_busy_answer_between_lost_connections_does_not_use_up_their_attempts() -> None:
    errors = itertools.cycle([busy] * 8 + [silent] * 8)
    waiting = Waiting(lambda: next(errors)())
    waiting.inner.put(PACK, b"x")
    waiting.fault.times = 40
    assert waiting.storage.get(PACK) == b"x"


def test_a_storage_that_does_not_recover_is_reported_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    waiting = Waiting(busy)
    with caplog.at_level(logging.WARNING), pytest.raises(StorageBusyError):
        waiting.storage.get(PACK)
    assert 10 <= len(caplog.records) <= 16
    assert caplog.records[3].getMessage().startswith("Memory: m has not done what it was asked for")
    caplog.clear()
    waiting.fault.times = waiting.fault.hits + 3
    with caplog.at_level(logging.WARNING), pytest.raises(BlobNotFoundError):
        waiting.storage.get(PACK)
    assert caplog.records == []


def test_each_part_of_a_long_listing_has_attempts_of_its_own() -> None:
    setup = Setup()
    ids = [BlobID(f"p{number:03}") for number in range(40)]
    for blob_id in ids:
        setup.memory.put(blob_id, b"")
    for number in range(1, 40):
        setup.faulty.fail("list", items=number, at=number)
    assert [blob.blob_id for blob in setup.storage.list()] == ids


# -- read-only ---------------------------------------------------------------------------------------------------------


def test_a_refused_write_reaches_nothing() -> None:
    counting = CountingStorage(MemoryStorage("m"))
    storage = ReadOnlyStorage(counting)
    calls: tuple[Callable[[], object], ...] = (
        lambda: storage.put(PACK, b"x"),
        lambda: storage.delete(PACK),
        lambda: storage.extend_retention(PACK, "GOVERNANCE", 1),
    )
    for call in calls:
        with pytest.raises(ReadOnlyStorageError, match=rf"{PACK}: Memory: m is opened for reading only") as caught:
            call()
        assert isinstance(caught.value, PermissionError)
        assert not caught.value.temporary
    assert counting.calls() == ()
