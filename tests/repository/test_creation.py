"""Two clients that create a repository in one place at the same time: one repository comes of it."""

import heapq
import itertools
import threading

import pytest

from pykopia.api.opening import connect, create
from pykopia.errors import RepositoryExistsError, StorageUnavailableError, UnsupportedOptionError
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import BLOBCFG_ID, FORMAT_BLOB_ID
from pykopia.ids import BlobID, Buffer
from pykopia.repository.creation_claim import CLAIM_PREFIX, claimed
from pykopia.repository.options import NewRepositoryOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, PutOptions, StorageWrapper
from pykopia.testing import FakeClock

PASSWORD = "correct horse"


class SlowFirstPut(StorageWrapper):
    """Lets another client go ahead before the first put, when the place has been found empty already."""

    def __init__(self, inner: MemoryStorage, before: threading.Event, *, conditional: bool) -> None:
        super().__init__(inner)
        self._before, self._conditional = before, conditional
        self.other_is_done = threading.Event()

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        if not self._before.is_set():
            self._before.set()
            assert self.other_is_done.wait(30)
        if options.do_not_recreate and not self._conditional:
            raise UnsupportedOptionError("no such thing here")
        return super().put(blob_id, data, options)


def test_whoever_stores_the_format_block_first_has_made_the_repository() -> None:
    storage = MemoryStorage()
    slow = SlowFirstPut(storage, threading.Event(), conditional=True)
    caught: list[BaseException] = []

    def late() -> None:
        try:
            create(slow, PASSWORD)
        except RepositoryExistsError as error:
            caught.append(error)

    thread = threading.Thread(target=late)
    thread.start()
    assert slow._before.wait(30)
    first = create(storage, PASSWORD)
    stored = storage.get(FORMAT_BLOB_ID), storage.get(BLOBCFG_ID)
    slow.other_is_done.set()
    thread.join()
    assert len(caught) == 1
    assert (storage.get(FORMAT_BLOB_ID), storage.get(BLOBCFG_ID)) == stored
    assert connect(storage, PASSWORD).unique_id == first.unique_id


def test_a_storage_that_can_not_put_if_absent_is_asked_what_it_has_afterwards() -> None:
    storage = MemoryStorage()
    slow = SlowFirstPut(storage, threading.Event(), conditional=False)
    slow.other_is_done.set()
    created = create(slow, PASSWORD)
    assert connect(storage, PASSWORD).unique_id == created.unique_id


def test_a_creation_that_is_cut_off_behind_the_first_blob_leaves_a_repository() -> None:
    storage = MemoryStorage()
    create(storage, PASSWORD)
    storage.delete(BLOBCFG_ID)
    assert connect(storage, PASSWORD).blob_configuration.retention_mode == ""


def test_object_lock_is_never_forgotten_by_a_creation_that_is_cut_off() -> None:
    order: list[str] = []

    class Recording(StorageWrapper):
        def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
            order.append(blob_id)
            return super().put(blob_id, data, PutOptions(do_not_recreate=options.do_not_recreate))

    day = 24 * 3600 * 1_000_000_000
    options = NewRepositoryOptions(retention_mode="GOVERNANCE", retention_period_ns=2 * day)
    create(Recording(MemoryStorage()), PASSWORD, options=options)
    assert order[:2] == [BLOBCFG_ID, FORMAT_BLOB_ID]


def test_an_existing_repository_is_left_as_it_is() -> None:
    storage = MemoryStorage()
    create(storage, PASSWORD)
    before = storage.get(FORMAT_BLOB_ID)
    with pytest.raises(RepositoryExistsError):
        create(storage, "another password")
    assert storage.get(FORMAT_BLOB_ID) == before


class SharedTime:
    """Time of some threads, which passes only while all of them sleep: the one that is to wake first goes on."""

    def __init__(self, threads: int) -> None:
        self.clock = FakeClock()
        self._changed = threading.Condition()
        self._running = threads
        self._sleepers: list[tuple[int, int]] = []
        self._numbers = itertools.count()

    def sleep(self, seconds: float) -> None:
        """Return when so many seconds have passed."""
        with self._changed:
            mine = self.clock.now_ns + round(seconds * 10**9), next(self._numbers)
            heapq.heappush(self._sleepers, mine)
            self._stop_one()
            assert self._changed.wait_for(lambda: mine not in self._sleepers, timeout=60)

    def end(self) -> None:
        """Count a thread no more."""
        with self._changed:
            self._stop_one()

    def _stop_one(self) -> None:
        self._running -= 1
        if not self._running and self._sleepers:
            self.clock.set(heapq.heappop(self._sleepers)[0])
            self._running += 1
            self._changed.notify_all()


class Unconditional(StorageWrapper):
    """Can't put a blob only if it is not there; lets everybody come to that point before anybody goes on."""

    def __init__(self, inner: MemoryStorage, meeting: threading.Barrier, time: SharedTime) -> None:
        super().__init__(inner)
        self._meeting, self._time = meeting, time
        self.puts: list[BlobID] = []

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        if options.do_not_recreate:
            self._meeting.wait()
            raise UnsupportedOptionError("no such thing here")
        if blob_id == FORMAT_BLOB_ID:
            self.puts.append(blob_id)
            self._time.sleep(10)  # a slow storage: whoever may do the same does it now
        return super().put(blob_id, data, options)


def test_of_many_who_create_at_once_where_no_put_is_conditional_one_has_made_the_repository(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = SharedTime(4)
    monkeypatch.setitem(claimed.__wrapped__.__kwdefaults__, "sleep", time.sleep)  # type: ignore[attr-defined]
    storage = Unconditional(MemoryStorage(clock=time.clock), threading.Barrier(4, timeout=30), time)
    outcomes: list[object] = []

    def work() -> None:
        try:
            with create(storage, PASSWORD) as repository:
                outcomes.append(repository.unique_id)
        except RepositoryExistsError as error:
            outcomes.append(error)
        finally:
            time.end()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [made] = [each for each in outcomes if isinstance(each, bytes)]
    assert (len(outcomes), len(storage.puts)) == (4, 1)
    assert connect(storage, PASSWORD).unique_id == made
    assert [blob.blob_id for blob in storage.list(CLAIM_PREFIX)] == []


def test_a_claim_holds_others_up_until_it_is_a_minute_old() -> None:
    storage = MemoryStorage()
    theirs = BlobID(f"{CLAIM_PREFIX}00")
    storage.put(theirs, b"of one that was cut off")
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        storage.put(theirs, b"", PutOptions(set_mtime_ns=storage.metadata(theirs).timestamp_ns - int(seconds * 10**9)))

    with claimed(storage, sleep=sleep, chance=lambda: 1.0):
        assert 55 < sum(pauses) < 65
    assert [blob.blob_id for blob in storage.list()] == [theirs]
    storage.put(theirs, b"")
    with (
        pytest.raises(StorageUnavailableError, match="others are making a repository"),
        claimed(storage, sleep=lambda _: None),
    ):
        pass
