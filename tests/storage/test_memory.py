"""The storage in memory keeps the contract, with locks where they are asked for."""

import pytest

from pykopia.errors import BlobNotFoundError, StorageAccessDeniedError, UnsupportedOptionError
from pykopia.ids import BlobID
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.storage.opening import open_storage
from pykopia.storage.url import storage_from_url
from pykopia.testing import FakeClock
from pykopia.testing.storage_tests import PACK, StorageTests

HOUR_NS = 3_600_000_000_000
LOCK = PutOptions(retention_mode="COMPLIANCE", retention_period_ns=HOUR_NS)


class TestMemoryStorage(StorageTests):
    supports_do_not_recreate = True
    supports_set_mtime = True

    @pytest.fixture
    def storage(self) -> BlobStorage:
        return MemoryStorage("here")


class TestMemoryStorageWithObjectLock(StorageTests):
    supports_do_not_recreate = True
    supports_set_mtime = True
    supports_retention = True

    @pytest.fixture
    def storage(self) -> BlobStorage:
        return MemoryStorage("here", object_lock=True)


def test_a_locked_blob_can_be_neither_deleted_nor_replaced_before_the_lock_ends() -> None:
    clock = FakeClock()
    storage = MemoryStorage("vault", object_lock=True, clock=clock)
    storage.put(PACK, b"kept", LOCK)
    clock.advance(minutes=59)
    with pytest.raises(StorageAccessDeniedError, match=r"locked for 60 more seconds"):
        storage.delete(PACK)
    with pytest.raises(StorageAccessDeniedError):
        storage.put(PACK, b"other")
    assert storage.get(PACK) == b"kept"
    clock.advance(minutes=1)
    storage.put(PACK, b"other")
    storage.delete(PACK)


def test_a_lock_can_be_made_longer_but_not_shorter() -> None:
    clock = FakeClock()
    storage = MemoryStorage(object_lock=True, clock=clock)
    storage.put(PACK, b"kept", LOCK)
    end = storage.locked_until_ns(PACK)
    storage.extend_retention(PACK, "COMPLIANCE", HOUR_NS // 2)
    assert storage.locked_until_ns(PACK) == end == clock.now_ns + HOUR_NS
    storage.extend_retention(PACK, "COMPLIANCE", 2 * HOUR_NS)
    assert storage.locked_until_ns(PACK) == clock.now_ns + 2 * HOUR_NS
    with pytest.raises(BlobNotFoundError):
        storage.extend_retention(BlobID("missing"), "COMPLIANCE", HOUR_NS)


def test_a_put_without_retention_leaves_no_lock() -> None:
    storage = MemoryStorage(object_lock=True)
    storage.put(PACK, b"x")
    assert storage.locked_until_ns(PACK) == 0
    storage.delete(PACK)


def test_times_come_from_the_one_clock_unless_another_is_given() -> None:
    with FakeClock().installed():
        storage = MemoryStorage()
        assert storage.put(PACK, b"").timestamp_ns == FakeClock().now_ns
    assert MemoryStorage(clock=lambda: 7).put(PACK, b"").timestamp_ns == 7


def test_storages_of_one_name_share_their_blobs_however_they_are_opened() -> None:
    storage = MemoryStorage.named("test-shared")
    storage.put(PACK, b"x")
    assert open_storage(storage.connection_info()).get(PACK) == b"x"
    assert open_storage(storage_from_url("memory://test-shared")).get(PACK) == b"x"
    assert MemoryStorage.named("test-other").display_name == "Memory: test-other"
    with pytest.raises(BlobNotFoundError):
        MemoryStorage.named("test-other").get(PACK)


def test_a_put_keeps_no_reference_to_the_buffer() -> None:
    storage = MemoryStorage()
    data = bytearray(b"before")
    storage.put(PACK, data)
    data[:] = b"after!"
    assert storage.get(PACK) == b"before"


def test_an_option_that_is_refused_leaves_nothing_behind() -> None:
    storage = MemoryStorage()
    with pytest.raises(UnsupportedOptionError):
        storage.put(PACK, b"x", LOCK)
    assert [*storage.list()] == []
