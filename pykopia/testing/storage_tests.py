"""The contract of a storage as tests: a backend passes them by subclassing (format 03 §1). They need pytest.

.. code-block:: python

    from pykopia.testing.storage_tests import StorageTests


    class TestMyStorage(StorageTests):
        @pytest.fixture
        def storage(self):
            with MyStorage(...) as storage:
                yield storage

Class attributes say what the storage can do beyond the least. A storage must be empty at the start of each test.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ClassVar

import pytest

from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    InvalidIDError,
    InvalidRangeError,
    ReadOnlyStorageError,
    StorageError,
    UnsupportedOptionError,
)
from pykopia.ids import BlobID, Buffer
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.storage.readonly import ReadOnlyStorage

_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS

PACK = BlobID("p102a5fa3c3e3c6216a09ff876ced02ed4-s39b23fe2117ad42f147")
"""ID of a pack, as Kopia makes them."""
FORMAT = BlobID("kopia.repository")
"""ID of a blob that stays in the root of sharded storages."""


class StorageTests:
    """What every storage must do."""

    supports_do_not_recreate: ClassVar[bool] = False
    """Whether puts can be refused when the blob is there."""
    supports_set_mtime: ClassVar[bool] = False
    """Whether a put can set the time of a blob."""
    supports_retention: ClassVar[bool] = False
    """Whether blobs can be locked."""
    tests_atomicity: ClassVar[bool] = True
    """Whether the storage bears readers beside a writer."""
    replaces_in_one_step: ClassVar[bool] = True
    """Whether a reader beside a writer who replaces a blob always sees one; false: none for a moment, but never a part."""
    mtime_precision_ns: ClassVar[int] = 1
    """Nanoseconds to which a time that was set is kept."""
    clock_difference_ns: ClassVar[int] = 5 * 60 * _SECOND_NS
    """By how many nanoseconds the clock of the storage may differ from that of this machine."""
    many_blobs: ClassVar[int] = 1100
    """How many blobs the test of long listings puts: more than most servers give at once."""
    big_blob: ClassVar[int] = 32 * 1024 * 1024
    """Bytes of the biggest blob: more than a pack has."""
    odd_ids: ClassVar[tuple[str, ...]] = (
        "a",
        "A",
        "0",
        "-",
        "_",
        "~",
        "a.f",
        ".f",
        ".hidden",
        ".shards",
        "a b",
        "a:b",
        "a::b",
        "a+b&c=d",
        "a%2Fb",
        "a%b",
        "a#b?c",
        "a\\b",
        "[a]*?{b}",
        "$HOME",
        "`id`",
        "'quoted' \"twice\"",
        "name.tmp.0123456789abcdef",
        "x" * 20,
        "x" * 21,
        "X" * 21,
        "y" * 200,
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.f",
    )
    """Legal blob IDs that trip storages up."""

    @pytest.fixture
    def storage(self) -> BlobStorage:
        """Return the storage to test, empty: to be overridden."""
        raise NotImplementedError("a subclass of StorageTests must give the fixture `storage`")

    def test_a_blob_is_read_as_it_was_put(self, storage: BlobStorage) -> None:
        """A whole-blob get returns the bytes of the put."""
        for blob_id in (PACK, FORMAT):
            storage.put(blob_id, b"hello " + blob_id.encode())
        for blob_id in (PACK, FORMAT):
            assert storage.get(blob_id) == b"hello " + blob_id.encode()
            assert isinstance(storage.get(blob_id), bytes)

    @pytest.mark.parametrize("blob_id", [PACK, FORMAT])
    def test_a_put_replaces_the_blob_before_it(self, storage: BlobStorage, blob_id: BlobID) -> None:
        """The last put wins, whether longer, shorter or empty."""
        for content in (b"first", b"a longer second", b"3", b"", b"fifth"):
            storage.put(blob_id, content)
            assert storage.get(blob_id) == content
            assert storage.metadata(blob_id).length == len(content)
            assert [blob.length for blob in storage.list()] == [len(content)]

    @pytest.mark.parametrize(
        ("offset", "length"),
        [(0, 0), (0, 1), (0, 10), (3, 4), (9, 1), (5, 0), (10, 0), (0, -1), (4, -1), (10, -1)],
    )
    def test_a_range_within_the_blob_is_returned_exactly(self, storage: BlobStorage, offset: int, length: int) -> None:
        """A negative length means all that follow; no bytes may be asked for, up to the end."""
        storage.put(PACK, b"0123456789")
        expected = b"0123456789"[offset:] if length < 0 else b"0123456789"[offset : offset + length]
        assert storage.get(PACK, offset, length) == expected

    @pytest.mark.parametrize(
        ("offset", "length"),
        [(0, 11), (10, 1), (9, 2), (11, 0), (11, 1), (11, -1), (-1, 1), (-1, 0), (-3, 3), (-1, -1), (1 << 40, 1)],
    )
    def test_a_range_that_leaves_the_blob_is_refused(self, storage: BlobStorage, offset: int, length: int) -> None:
        """Never are fewer bytes returned than asked for."""
        storage.put(PACK, b"0123456789")
        with pytest.raises(InvalidRangeError):
            storage.get(PACK, offset, length)

    def test_every_range_of_a_small_blob_is_right(self, storage: BlobStorage) -> None:
        """All offsets and lengths, also of an empty blob."""
        for size in (0, 1, 3):
            content = bytes(range(size))
            storage.put(PACK, content)
            for offset in range(size + 2):
                for length in range(size + 2):
                    if offset + length <= size:
                        assert storage.get(PACK, offset, length) == content[offset : offset + length]
                    else:
                        with pytest.raises(InvalidRangeError):
                            storage.get(PACK, offset, length)

    def test_a_buffer_is_filled_from_a_blob(self, storage: BlobStorage) -> None:
        """``get_into`` fills exactly the buffer it is given."""
        storage.put(PACK, b"0123456789")
        buffer = bytearray(b"xxxxxx")
        storage.get_into(PACK, memoryview(buffer)[1:5], 3)
        assert buffer == b"x3456x"
        storage.get_into(PACK, buffer, 4)
        assert buffer == b"456789"
        storage.get_into(PACK, bytearray(), 10)
        for offset in (5, 11, -1):
            with pytest.raises(InvalidRangeError):
                storage.get_into(PACK, buffer, offset)
        with pytest.raises(BlobNotFoundError):
            storage.get_into(BlobID("missing"), buffer)

    def test_an_empty_blob_is_a_blob(self, storage: BlobStorage) -> None:
        """It is listed, has a length of 0, and is not missing."""
        storage.put(PACK, b"")
        assert storage.get(PACK) == b""
        assert storage.get(PACK, 0, 0) == b""
        assert storage.metadata(PACK).length == 0
        assert [blob.blob_id for blob in storage.list()] == [PACK]

    @pytest.mark.parametrize("blob_id", [PACK, FORMAT])
    def test_a_missing_blob_is_reported_by_name(self, storage: BlobStorage, blob_id: BlobID) -> None:
        """Get and metadata say which blob, also when no bytes are asked for; also a ``FileNotFoundError``."""
        calls: tuple[Callable[[], object], ...] = (
            lambda: storage.get(blob_id),
            lambda: storage.get(blob_id, 0, 0),
            lambda: storage.get(blob_id, 3, 5),
            lambda: storage.metadata(blob_id),
        )
        storage.put(BlobID("another"), b"x")
        for call in calls:
            with pytest.raises(BlobNotFoundError, match=blob_id) as caught:
                call()
            assert isinstance(caught.value, FileNotFoundError)
            assert not caught.value.temporary

    def test_a_deleted_blob_is_gone(self, storage: BlobStorage) -> None:
        """From gets, metadata and listings; deleting it again, or one that never was, is no error."""
        for blob_id in (PACK, FORMAT):
            storage.put(blob_id, b"x")
            storage.delete(blob_id)
            storage.delete(blob_id)
            with pytest.raises(BlobNotFoundError):
                storage.get(blob_id)
            with pytest.raises(BlobNotFoundError):
                storage.metadata(blob_id)
        storage.delete(BlobID("never-there"))
        storage.delete(BlobID("never-there-with-a-name-long-enough-for-shards"))
        assert [*storage.list()] == []

    def test_deleting_one_blob_leaves_the_others(self, storage: BlobStorage) -> None:
        """Also those whose ID the deleted one starts."""
        ids = [BlobID(PACK[:length]) for length in (1, 2, 19, 20, 21, 22, 40, len(PACK))]
        for blob_id in ids:
            storage.put(blob_id, blob_id.encode())
        while ids:
            storage.delete(ids.pop(len(ids) // 2))
            assert sorted(blob.blob_id for blob in storage.list()) == sorted(ids)
            assert all(storage.get(blob_id) == blob_id.encode() for blob_id in ids)

    def test_a_listing_gives_what_metadata_gives(self, storage: BlobStorage) -> None:
        """ID, length and time are the same in both, and in what a put returns."""
        returned = {
            blob_id: storage.put(blob_id, b"x" * size) for size, blob_id in enumerate((FORMAT, PACK, BlobID("n" * 33)))
        }
        listed = {blob.blob_id: blob for blob in storage.list()}
        assert listed.keys() == returned.keys()
        for blob_id, blob in listed.items():
            found = storage.metadata(blob_id)
            assert (found.blob_id, found.length) == (blob_id, blob.length)
            assert abs(found.timestamp_ns - blob.timestamp_ns) < _SECOND_NS
            if (result := returned[blob_id]) is not None:
                assert result == found

    def test_a_listing_gives_exactly_the_blobs_with_the_prefix(self, storage: BlobStorage) -> None:
        """For prefixes of all lengths at which storages split names into folders or pages, each blob once."""
        ids = {
            *("kopia.repository", "kopia.maintenance", "xe1", "xe12", "xw1795383714"),
            *(f"{kind}{number:x}{'7' * 31}" for kind in "pqnx" for number in range(4)),
            *("xn0_" + "a" * 32, "xn1_" + "a" * 32, "xn10_" + "a" * 32, "xr0_1_" + "b" * 32, "_log_" + "c" * 40),
        }
        for name in ids:
            storage.put(BlobID(name), name.encode())
        prefixes = {"", "zz", "p0x", "p" * 80}
        for name in ids:
            prefixes |= {name[:length] for length in (*range(6), 19, 20, 21, len(name) - 1, len(name))}
        for prefix in sorted(prefixes):
            listed = [str(blob.blob_id) for blob in storage.list(prefix)]
            assert len(listed) == len(set(listed)), f"twice with prefix {prefix!r}"
            assert set(listed) == {name for name in ids if name.startswith(prefix)}, f"prefix {prefix!r}"

    def test_a_long_listing_is_complete(self, storage: BlobStorage) -> None:
        """More blobs than servers give in one answer."""
        ids = {BlobID(f"p{hashlib.md5(b'%d' % number).hexdigest()}") for number in range(self.many_blobs)}
        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(lambda blob_id: storage.put(blob_id, b"x"), ids):
                pass
        listed = [blob.blob_id for blob in storage.list("p")]
        assert len(listed) == len(ids)
        assert set(listed) == ids

    def test_a_listing_may_be_left_early(self, storage: BlobStorage) -> None:
        """Nothing hangs or fails when the caller has seen enough."""
        for number in range(10):
            storage.put(BlobID(f"p{number:040x}"), b"x")
        for _ in range(3):
            assert next(storage.list()).length == 1
        assert len([*storage.list()]) == 10

    def test_deleting_while_listing_is_no_error(self, storage: BlobStorage) -> None:
        """Blobs that vanish after the listing began may be given or not; all others are."""
        ids = {BlobID(f"p{number:040x}") for number in range(30)}
        for blob_id in ids:
            storage.put(blob_id, b"x")
        gone = {blob_id for number, blob_id in enumerate(sorted(ids)) if number % 2}
        listing = storage.list("p")
        seen = {next(listing).blob_id}
        for blob_id in gone:
            storage.delete(blob_id)
        seen |= {blob.blob_id for blob in listing}
        assert ids - gone <= seen <= ids

    def test_odd_but_legal_ids_work(self, storage: BlobStorage) -> None:
        """None is changed, hidden, or taken for another or for a temporary file."""
        for number, name in enumerate(self.odd_ids):
            storage.put(BlobID(name), b"%d" % number)
        assert sorted(blob.blob_id for blob in storage.list()) == sorted(self.odd_ids)
        for number, name in enumerate(self.odd_ids):
            assert storage.get(BlobID(name)) == b"%d" % number, name
            assert storage.metadata(BlobID(name)).blob_id == name
            assert name in [blob.blob_id for blob in storage.list(name)]
        for name in self.odd_ids:
            storage.delete(BlobID(name))
        assert [*storage.list()] == []

    @pytest.mark.parametrize("name", ["", "a/b", "/etc/passwd", "../x", "a\nb", "a\0b", "ä", "\x7f", "p/../../x"])
    def test_an_illegal_id_is_refused(self, storage: BlobStorage, name: str) -> None:
        """By every method, before anything is touched."""
        blob_id = BlobID(name)
        calls: tuple[Callable[[], object], ...] = (
            lambda: storage.get(blob_id),
            lambda: storage.metadata(blob_id),
            lambda: storage.put(blob_id, b"x"),
            lambda: storage.delete(blob_id),
        )
        for call in calls:
            with pytest.raises(InvalidIDError):
                call()
        assert [*storage.list()] == []

    def test_a_big_blob_comes_back_whole(self, storage: BlobStorage) -> None:
        """Bigger than a pack, also in ranges at its edges."""
        content = hashlib.shake_256(b"big").digest(1 << 20) * (self.big_blob >> 20)
        storage.put(PACK, memoryview(content))
        assert storage.metadata(PACK).length == len(content)
        assert storage.get(PACK) == content
        for offset, length in ((0, 1), (len(content) - 1, 1), (len(content) // 2 - 7, 100_000)):
            assert storage.get(PACK, offset, length) == content[offset : offset + length]
        buffer = bytearray(len(content))
        storage.get_into(PACK, buffer)
        assert buffer == content

    @pytest.mark.parametrize(
        "make", [bytes, bytearray, memoryview, lambda data: memoryview(bytearray(b"..") + data)[2:]]
    )
    def test_any_kind_of_buffer_can_be_put(self, storage: BlobStorage, make: Callable[[bytes], Buffer]) -> None:
        """And may be used again as soon as the put returns."""
        for content in (b"", b"hello", bytes(range(256)) * 1000):
            data = make(content)
            storage.put(PACK, data)
            if isinstance(data, bytearray):
                data[:] = b"\xff" * len(data)
            assert storage.get(PACK) == content

    def test_a_timestamp_is_that_of_the_put(self, storage: BlobStorage) -> None:
        """Up to the difference of the clocks; it does not go back when the blob is replaced."""
        before = self.now_ns()
        storage.put(PACK, b"1")
        first = storage.metadata(PACK).timestamp_ns
        storage.put(PACK, b"2")
        second = storage.metadata(PACK).timestamp_ns
        assert before - self.clock_difference_ns <= first <= self.now_ns() + self.clock_difference_ns
        assert second >= first

    def now_ns(self) -> int:
        """Return the time that the storage should give, in nanoseconds since 1970."""
        return time.time_ns()

    def test_a_time_is_set_or_refused(self, storage: BlobStorage) -> None:
        """Where it can't be set, nothing is written."""
        wanted = 1_600_000_000_123_456_789
        options = PutOptions(set_mtime_ns=wanted)
        if not self.supports_set_mtime:
            self.refused(storage, options)
            return
        for blob_id in (PACK, FORMAT):
            storage.put(blob_id, b"x", options)
            found = storage.metadata(blob_id).timestamp_ns
            assert abs(found - wanted) < self.mtime_precision_ns
            assert [blob.timestamp_ns for blob in storage.list(blob_id)] == [found]
        storage.put(PACK, b"x")
        assert storage.metadata(PACK).timestamp_ns > wanted + _DAY_NS

    def test_a_blob_that_is_there_is_left_or_the_option_refused(self, storage: BlobStorage) -> None:
        """Where puts can't be conditional, nothing is written."""
        options = PutOptions(do_not_recreate=True)
        if not self.supports_do_not_recreate:
            self.refused(storage, options)
            return
        for blob_id in (PACK, FORMAT):
            storage.put(blob_id, b"first", options)
            with pytest.raises(BlobExistsError, match=blob_id):
                storage.put(blob_id, b"second", options)
            assert storage.get(blob_id) == b"first"
        assert sorted(blob.blob_id for blob in storage.list()) == sorted((PACK, FORMAT))

    def test_of_many_who_create_a_blob_one_wins(self, storage: BlobStorage) -> None:
        """And the blob is that of the winner."""
        if not self.supports_do_not_recreate:
            pytest.skip("the storage has no conditional puts")
        start = threading.Barrier(8)

        def create(number: int) -> int | None:
            start.wait()
            try:
                storage.put(FORMAT, b"%d" % number, PutOptions(do_not_recreate=True))
            except BlobExistsError:
                return None
            return number

        with ThreadPoolExecutor(8) as pool:
            winners = [number for number in pool.map(create, range(8)) if number is not None]
        assert len(winners) == 1
        assert storage.get(FORMAT) == b"%d" % winners[0]

    def test_a_blob_is_locked_or_the_option_refused(self, storage: BlobStorage) -> None:
        """Where there is no object lock, nothing is written; where there is, the lock can be extended."""
        options = PutOptions(retention_mode="GOVERNANCE", retention_period_ns=2 * _DAY_NS)
        if not self.supports_retention:
            self.refused(storage, options)
            storage.put(PACK, b"x")
            with pytest.raises(UnsupportedOptionError):
                storage.extend_retention(PACK, "GOVERNANCE", 2 * _DAY_NS)
            return
        storage.put(PACK, b"locked", options)
        storage.extend_retention(PACK, "GOVERNANCE", 3 * _DAY_NS)
        assert storage.get(PACK) == b"locked"

    def refused(self, storage: BlobStorage, options: PutOptions) -> None:
        """Check that puts with ``options`` are refused and leave no trace."""
        with pytest.raises(UnsupportedOptionError):
            storage.put(PACK, b"x", options)
        assert [*storage.list()] == []

    def test_readers_see_the_old_blob_or_the_new_one_whole(self, storage: BlobStorage) -> None:
        """While it is replaced again and again: by get, by get of a range, and in listings."""
        if not self.tests_atomicity:
            pytest.skip("the storage is not made for readers beside a writer")
        contents = (b"a" * 300_000, b"b" * 200_000)
        storage.put(PACK, contents[0])
        done = threading.Event()

        listings = ([300_000], [200_000]) if self.replaces_in_one_step else ([300_000], [200_000], [])
        gaps = () if self.replaces_in_one_step else (BlobNotFoundError,)

        def read() -> None:
            while not done.is_set():
                with suppress(*gaps):
                    assert storage.get(PACK) in contents
                with suppress(*gaps):
                    assert storage.get(PACK, 199_000, 1000) in (b"a" * 1000, b"b" * 1000)
                with suppress(*gaps):
                    assert storage.metadata(PACK).length in (300_000, 200_000)
                assert [blob.length for blob in storage.list("p")] in listings

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(read) for _ in range(3)]
            try:
                for number in range(30):
                    storage.put(PACK, contents[number % 2])
            finally:
                done.set()
            for reader in readers:
                reader.result()

    def test_a_put_that_fails_leaves_the_old_blob(self, storage: BlobStorage) -> None:
        """Bytes that can't be read as a buffer are such a failure."""
        storage.put(PACK, b"old")
        with pytest.raises((TypeError, StorageError)):
            storage.put(PACK, "text is no buffer")  # type: ignore[arg-type]
        assert storage.get(PACK) == b"old"
        assert [blob.length for blob in storage.list()] == [3]

    def test_many_threads_can_work_at_once(self, storage: BlobStorage) -> None:
        """Each finds its own blobs as it put them."""

        def work(worker: int) -> None:
            for number in range(5):
                blob_id = BlobID(f"p{worker:x}{number:040x}")
                content = b"%d-%d" % (worker, number) * 100
                storage.put(blob_id, content)
                assert storage.get(blob_id) == content
                assert [blob.length for blob in storage.list(blob_id)] == [len(content)]
                if number % 2:
                    storage.delete(blob_id)

        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(work, range(8)):
                pass
        assert len([*storage.list()]) == 8 * 3

    def test_a_read_only_view_refuses_writes(self, storage: BlobStorage) -> None:
        """And still reads."""
        storage.put(PACK, b"x")
        view = ReadOnlyStorage(storage)
        calls: tuple[Callable[[], object], ...] = (
            lambda: view.put(PACK, b"y"),
            lambda: view.delete(PACK),
            lambda: view.extend_retention(PACK, "GOVERNANCE", _DAY_NS),
        )
        for call in calls:
            with pytest.raises(ReadOnlyStorageError):
                call()
        assert view.read_only
        assert view.get(PACK) == b"x"
        assert [blob.blob_id for blob in view.list()] == [PACK]

    def test_it_has_a_name_and_may_have_a_capacity(self, storage: BlobStorage) -> None:
        """The name is for people; a capacity is in bytes."""
        assert storage.display_name
        assert storage.display_name in repr(storage)
        capacity = storage.capacity()
        assert capacity is None or 0 <= capacity.free <= capacity.size
        storage.flush_caches()


__all__ = ["FORMAT", "PACK", "StorageTests"]
