"""Contents: written once, visible after the flush and not before, never half."""

import array
import contextlib
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykopia import clock
from pykopia.api.opening import connect, create
from pykopia.api.repository import Repository
from pykopia.errors import (
    BlobNotFoundError,
    ContentNotFoundError,
    DamagedContentError,
    DamagedPackError,
    NotVisibleError,
    ReadOnlyRepositoryError,
    StorageFullError,
    StorageUnavailableError,
    UsageError,
    WriteConflictError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.format.content_id import key_of
from pykopia.format.pack import read_local_index
from pykopia.ids import BlobID, Buffer, ContentID
from pykopia.repository import packs
from pykopia.repository.options import ClientOptions, NewRepositoryOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOptions
from pykopia.testing.faulty import FaultyStorage
from pykopia.testing.intercepting import Call, InterceptingStorage
from tests.repository.conftest import CLIENT, PASSWORD, UNIQUE_ID, NewRepository


def reopened(storage: BlobStorage) -> Repository:
    return connect(storage, PASSWORD, client=CLIENT)


def blobs(storage: MemoryStorage, prefix: str) -> list[str]:
    return sorted(blob.blob_id for blob in storage.list(prefix))


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("ecc", [0, 10])
def test_contents_come_back_from_another_session(
    new_repository: NewRepository, storage: MemoryStorage, version: int, ecc: int
) -> None:
    if version == 1 and ecc:
        pytest.skip("format version 1 has no error correction")
    repository = new_repository(format_version=version, ecc_overhead_percent=ecc)
    wanted = {"": b"data " * 1000, "k": b"directory", "m": b"", "x": secrets.token_bytes(5000)}
    with repository.writer() as writer:
        ids = {prefix: writer.contents.write(data, prefix=prefix) for prefix, data in wanted.items()}
    with reopened(storage) as other:
        for prefix, data in wanted.items():
            assert other.contents.get(ids[prefix], check=True) == data


def test_nothing_is_visible_before_the_flush(repository: Repository, storage: MemoryStorage) -> None:
    with repository.writer() as writer:
        content_id = writer.contents.write(b"secret plans")
        with reopened(storage) as other, pytest.raises(ContentNotFoundError):
            other.contents.get(content_id)
    assert repository.contents.get(content_id) == b"secret plans"


def test_an_exception_commits_nothing(repository: Repository, storage: MemoryStorage) -> None:
    with pytest.raises(RuntimeError, match="stop"), repository.writer() as writer:  # noqa: PT012 -- the block is the test
        content_id = writer.contents.write(secrets.token_bytes(30 << 20))
        raise RuntimeError("stop")
    assert not blobs(storage, "x")
    with pytest.raises(ContentNotFoundError):
        repository.contents.get(content_id)


def test_one_flush_makes_one_index_blob_one_pack_of_each_kind_and_no_marker(
    repository: Repository, storage: MemoryStorage
) -> None:
    with repository.writer() as writer:
        for number in range(100):
            writer.contents.write(b"%d" % number)
            writer.contents.write(b"%d" % number, prefix="k")
    assert len(blobs(storage, "xn0_")) == 1
    assert len(blobs(storage, "p")) == 1
    assert len(blobs(storage, "q")) == 1
    assert not blobs(storage, "s")


def test_equal_contents_are_stored_once(repository: Repository, storage: MemoryStorage) -> None:
    with repository.writer() as writer:
        first = writer.contents.write(b"same")
        assert writer.contents.write(bytearray(b"same")) == first
        packed = writer.contents.packed_bytes
    with repository.writer() as writer:
        assert writer.contents.write(memoryview(b"same")) == first
        assert writer.contents.packed_bytes == 0
    assert packed == 4 + 28
    assert len(blobs(storage, "p")) == 1


def test_packs_are_closed_at_their_size_and_hold_their_index(
    new_repository: NewRepository, storage: MemoryStorage
) -> None:
    repository = new_repository()
    data = [secrets.token_bytes(3 << 20) for _ in range(16)]
    with repository.writer() as writer:
        ids = [writer.contents.write(each) for each in data]
    packs = blobs(storage, "p")
    assert len(packs) == 3
    recovered = {}
    for pack in packs:
        size = storage.metadata(BlobID(pack)).length
        entries = read_local_index(
            lambda offset, length, pack=pack: storage.get(BlobID(pack), offset, length),  # type: ignore[misc]
            size,
            lambda stored, iv: repository.sealer.sealer.open_content(stored, iv),
        )
        recovered.update({entry.content_id: entry for entry in entries.entries()})
    assert recovered == {content_id: repository.contents.entry(content_id) for content_id in ids}


def test_many_threads_write_the_same_and_different_contents(
    new_repository: NewRepository, storage: MemoryStorage
) -> None:
    repository = new_repository()
    shared = [b"shared %d " % number * 300 for number in range(200)]

    def work(thread: int) -> list[ContentID]:
        own = [b"own %d %d" % (thread, number) for number in range(200)]
        return [writer.contents.write(each, compressor="zstd-fastest") for each in [*shared, *own]]

    with repository.writer() as writer, ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    with reopened(storage) as other:
        entries = list(other.contents.list())
        assert len(entries) == len({entry.content_id for entry in entries}) == 200 + 8 * 200
        assert len({(entry.pack_blob, entry.pack_offset) for entry in entries}) == len(entries)
        for thread, ids in enumerate(results):
            assert [other.contents.get(each, check=True) for each in ids[:200]] == shared
            assert other.contents.get(ids[250]) == b"own %d 50" % thread


def test_a_flush_in_the_middle_of_writing_threads_loses_nothing(
    new_repository: NewRepository, storage: MemoryStorage
) -> None:
    repository = new_repository()
    ids: list[ContentID] = []
    stop = threading.Event()

    def work(thread: int) -> None:
        number = 0
        while not stop.is_set() or number < 50:
            ids.append(writer.contents.write(b"%d %d " % (thread, number) * 50))
            number += 1

    with repository.writer() as writer, ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work, thread) for thread in range(4)]
        for _ in range(5):
            writer.flush()
        stop.set()
        for each in running:
            each.result()
    with reopened(storage) as other:
        for content_id in ids:
            other.contents.get(content_id, check=True)


def test_a_deleted_content_stays_readable_and_is_written_anew(repository: Repository, storage: MemoryStorage) -> None:
    with repository.writer() as writer:
        content_id = writer.contents.write(b"short-lived")
    with repository.writer() as writer:
        writer.contents.delete(content_id)
    deleted = repository.contents.entry(content_id)
    assert deleted.deleted
    assert repository.contents.get(content_id) == b"short-lived"
    assert not [each for each in repository.contents.list() if each.content_id == content_id]
    assert [each for each in repository.contents.list(include_deleted=True) if each.content_id == content_id]
    with repository.writer() as writer:
        assert writer.contents.write(b"short-lived") == content_id
    again = repository.contents.entry(content_id)
    assert not again.deleted
    # the later entry wins whatever the clock says
    assert again.timestamp > deleted.timestamp
    with reopened(storage) as other:
        assert not other.contents.entry(content_id).deleted


def test_a_clock_that_went_back_does_not_bring_a_deleted_content_back(repository: Repository) -> None:
    with repository.writer() as writer:
        content_id = writer.contents.write(b"x")
    entry = repository.contents.entry(content_id)
    with clock.replaced(lambda: 1_000_000_000 * 1_000_000_000), repository.writer() as writer:
        writer.contents.delete(content_id)
    assert repository.contents.entry(content_id).timestamp == entry.timestamp + 1
    assert repository.contents.entry(content_id).deleted


def test_deleting_an_unknown_content_is_an_error(repository: Repository) -> None:
    with repository.writer() as writer, pytest.raises(ContentNotFoundError):
        writer.contents.delete(ContentID("ab" * 16))


class FullStorage(MemoryStorage):
    """Has no room for packs."""

    full = False

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS):  # type: ignore[no-untyped-def]
        if self.full and blob_id.startswith("p"):
            raise StorageFullError(f"no space left for {blob_id}")
        return super().put(blob_id, data, options)


def test_a_full_storage_ends_the_session_and_nothing_is_committed() -> None:
    storage = FullStorage()
    repository = create(
        storage, PASSWORD, options=NewRepositoryOptions(unique_id=UNIQUE_ID), client=CLIENT, defaults=False
    )
    storage.full = True
    with pytest.raises(StorageFullError), repository.writer() as writer:  # noqa: PT012 -- as above
        for _ in range(20):
            writer.contents.write(secrets.token_bytes(4 << 20))
    assert not blobs(storage, "xn")
    storage.full = False
    with repository.writer() as writer:
        content_id = writer.contents.write(b"room again")
    assert repository.contents.get(content_id) == b"room again"


@pytest.mark.parametrize("at", [1, 2, 5])
@pytest.mark.parametrize("threads", [1, 4])
def test_no_flush_lists_the_contents_of_a_pack_that_was_not_stored(at: int, threads: int) -> None:
    """Also when the caller goes on after the error, as ``snapshot create`` does with the next source."""
    storage = FaultyStorage(MemoryStorage())
    repository = create(
        storage, PASSWORD, options=NewRepositoryOptions(unique_id=UNIQUE_ID), client=CLIENT, defaults=False
    )
    storage.fail("put", prefix="p", at=at)
    writer = repository.writer()
    writer.contents._packs.max_pack_size = 200_000

    def write(_: int) -> None:
        # packs are stored in the background: all may be written before the first error
        with contextlib.suppress(StorageUnavailableError):
            writer.contents.write(secrets.token_bytes(50_000))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(40)))
    for _ in range(2):
        with pytest.raises(StorageUnavailableError):
            writer.flush()
    writer.close()
    assert not [*storage.list("xn")]


def test_an_error_during_a_flush_is_not_taken_by_a_thread_that_writes_on() -> None:
    """The pack of the flush fails; a write of the next session gets the error first."""
    storage = FaultyStorage(MemoryStorage())
    repository = create(
        storage, PASSWORD, options=NewRepositoryOptions(unique_id=UNIQUE_ID), client=CLIENT, defaults=False
    )
    storage.fail("put", prefix="p")
    writer = repository.writer()
    store = writer.contents._packs
    writer.contents.write(b"lost")
    (pack,) = writer.contents._session.packs.values()
    store.submit(pack)
    writer.contents._session.packs.clear()
    for future in [*store._running]:
        assert future.exception() is not None
    with pytest.raises(StorageUnavailableError):
        store.check()  # by the thread that writes on
    with pytest.raises(StorageUnavailableError):
        writer.flush()
    writer.close()
    assert not [*storage.list("xn")]


def test_a_pack_that_gets_no_memory_leaves_the_full_one_as_it_is(
    repository: Repository, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents: dict[ContentID, bytes] = {}

    def write(data: bytes) -> None:
        contents[writer.contents.write(data)] = data

    def no_memory(*_: object) -> NoReturn:
        raise MemoryError

    with repository.writer() as writer:
        monkeypatch.setattr(packs, "SLACK", 0)
        writer.contents._packs._capacity = 1 << 20
        writer.contents._packs.max_pack_size = 1 << 20
        write(secrets.token_bytes(900_000))
        with monkeypatch.context() as patch:
            patch.setattr(packs, "new_buffer", no_memory)
            with pytest.raises(MemoryError):
                writer.contents.write(secrets.token_bytes(800_000))
        for _ in range(8):
            write(secrets.token_bytes(30_000))
        write(secrets.token_bytes(900_000))
        for _ in range(8):
            write(secrets.token_bytes(30_000))
    with reopened(storage) as other:
        for content_id, data in contents.items():
            assert other.contents.get(content_id, check=True) == data


def test_an_interrupted_flush_is_the_end_of_the_writer(
    repository: Repository, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    writer = repository.writer()
    writer.contents.write(b"of the flush that was interrupted")
    writer.contents._session.unfinished += 1
    monkeypatch.setattr(writer.contents._filled, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writer.flush()
    with pytest.raises(WriteConflictError, match="nothing since its last flush was committed"):
        writer.flush()
    writer.close()
    assert not blobs(storage, "xn")


def test_a_flush_that_is_repeated_after_an_error_does_not_forget_manifests() -> None:
    storage = FaultyStorage(MemoryStorage())
    repository = create(
        storage, PASSWORD, options=NewRepositoryOptions(unique_id=UNIQUE_ID), client=CLIENT, defaults=False
    )
    writer = repository.writer()
    manifest_id = writer.manifests.put({"type": "note"}, b"{}")
    storage.fail("put", prefix="s")
    with pytest.raises(StorageUnavailableError):
        writer.flush()
    later = writer.manifests.put({"type": "note"}, b"[]")
    writer.flush()
    writer.close()
    with reopened(storage) as other:
        assert [other.manifests.get(each).data for each in (manifest_id, later)] == [b"{}", b"[]"]


def test_a_flush_of_nothing_leaves_no_marker(repository: Repository, storage: MemoryStorage) -> None:
    with repository.writer() as writer:
        assert writer.contents.clocks() is not None
        assert blobs(storage, "s")
        assert not writer.contents.flush()
        assert not blobs(storage, "s")


def test_a_writer_that_failed_refuses_to_commit(repository: Repository) -> None:
    writer = repository.writer()
    writer.contents._failure = OSError("broken")
    with pytest.raises(Exception, match="nothing since its last flush was committed"):
        writer.contents.write(b"x")
    with pytest.raises(Exception, match="nothing since its last flush was committed"):
        writer.contents.flush()
    writer.close()


def test_damage_is_found_and_named(repository: Repository, storage: MemoryStorage) -> None:
    with repository.writer() as writer:
        content_id = writer.contents.write(b"precious " * 100)
    entry = repository.contents.entry(content_id)
    pack = BlobID(entry.pack_blob)
    good = storage.get(pack)
    bad = bytearray(good)
    bad[entry.pack_offset + 20] ^= 1
    storage.put(pack, bytes(bad))
    with pytest.raises(DamagedContentError, match=content_id):
        repository.contents.get(content_id)
    storage.put(pack, good[: entry.pack_offset + 30])
    with pytest.raises(DamagedPackError, match=entry.pack_blob):
        repository.contents.get(content_id)
    storage.delete(pack)
    with pytest.raises(BlobNotFoundError, match=entry.pack_blob):
        repository.contents.get(content_id)
    storage.put(pack, good)
    assert repository.contents.get(content_id) == b"precious " * 100


@pytest.mark.parametrize("prefix", ["a", "f", "0", "G", "kk", "{", " "])
def test_a_prefix_that_is_no_prefix_is_refused(repository: Repository, prefix: str) -> None:
    with repository.writer() as writer, pytest.raises(UsageError, match="prefix"):
        writer.contents.write(b"x", prefix=prefix)


def test_a_read_only_repository_can_not_be_written_to(repository: Repository, storage: MemoryStorage) -> None:
    del repository
    with (
        connect(storage, PASSWORD, client=ClientOptions(read_only=True)) as other,
        pytest.raises(ReadOnlyRepositoryError),
    ):
        other.writer()


def test_a_content_too_large_for_a_pack_gets_one_of_its_own(repository: Repository) -> None:
    data = secrets.token_bytes(60 << 20)
    with repository.writer() as writer:
        small = writer.contents.write(b"small")
        large = writer.contents.write(data)
        last = writer.contents.write(b"last")
    assert repository.contents.get(large) == data
    assert repository.contents.get(small) + repository.contents.get(last) == b"smalllast"


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=st.lists(
        st.tuples(st.sampled_from(["", "k", "m", "x", "g", "z"]), st.binary(max_size=3000), st.booleans()), max_size=40
    )
)
def test_whatever_is_written_is_read_again(contents: list[tuple[str, bytes, bool]]) -> None:
    storage = MemoryStorage()
    with create(
        storage, PASSWORD, options=NewRepositoryOptions(unique_id=UNIQUE_ID), client=CLIENT, defaults=False
    ) as repository:
        with repository.writer() as writer:
            ids = []
            for prefix, data, flush in contents:
                ids.append(writer.contents.write(data, prefix=prefix, compressor="zstd"))
                if flush:
                    writer.flush()
        for content_id, (_, data, _) in zip(ids, contents, strict=True):
            assert repository.contents.get(content_id, check=True) == data
    with reopened(storage) as other:
        listed = [entry.content_id for entry in other.contents.list()]
        assert listed == sorted(set(ids), key=key_of)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_rewritten_content_lies_in_a_new_pack_with_the_same_bytes(
    new_repository: NewRepository, storage: MemoryStorage, version: int
) -> None:
    repository = new_repository(format_version=version, ecc_overhead_percent=0 if version == 1 else 10)
    with repository.writer() as writer:
        live = writer.contents.write(b"live " * 1000, compressor="zstd-fastest")
        gone = writer.contents.write(b"gone " * 1000, compressor="s2-default")
    with repository.writer() as writer:
        writer.contents.delete(gone)
    before = {content_id: repository.contents.entry(content_id) for content_id in (live, gone)}
    with repository.writer() as writer:
        assert writer.contents.rewrite(live)
        assert not writer.contents.rewrite(live)
        assert writer.contents.rewrite(gone)
    with reopened(storage) as other:
        for content_id, old in before.items():
            new = other.contents.entry(content_id)
            assert new.pack_blob != old.pack_blob
            assert (new.packed_length, new.compression, new.deleted) == (
                old.packed_length,
                old.compression,
                old.deleted,
            )
            assert new.timestamp > old.timestamp
        assert other.contents.entry(gone).timestamp == before[gone].timestamp + 1
        assert other.contents.get(live, check=True) == b"live " * 1000
        assert other.contents.get(gone, check=True) == b"gone " * 1000


def test_a_damaged_content_is_not_rewritten(repository: Repository, storage: MemoryStorage) -> None:
    with repository.writer() as writer:
        content_id = writer.contents.write(b"data " * 1000)
    entry = repository.contents.entry(content_id)
    pack = bytearray(storage.get(entry.pack_blob))
    pack[entry.pack_offset + 20] ^= 1
    storage.put(entry.pack_blob, pack)
    with repository.writer() as writer:
        with pytest.raises(DamagedContentError):
            writer.contents.rewrite(content_id)
        with pytest.raises(ContentNotFoundError):
            writer.contents.rewrite(ContentID("00" * 16))
    assert repository.contents.entry(content_id) == entry


def test_what_error_correction_mended_is_named(new_repository: NewRepository, storage: MemoryStorage) -> None:
    repository = new_repository(ecc="REED-SOLOMON-CRC32", ecc_overhead_percent=5)
    with repository.writer() as writer:
        damaged, whole = writer.contents.write(b"damaged" * 500), writer.contents.write(b"whole" * 500)
    entry = repository.contents.entry(damaged)
    pack = bytearray(storage.get(entry.pack_blob))
    pack[entry.pack_offset + entry.packed_length - 1] ^= 0xFF  # the shards with the data come last
    storage.put(entry.pack_blob, pack)
    assert repository.contents.get(whole) == b"whole" * 500
    assert repository.sealer.sealer.mended == {}
    assert repository.contents.get(damaged) == b"damaged" * 500
    assert repository.sealer.sealer.mended == {damaged: 1}


def test_contents_of_another_length_than_expected_are_not_read(new_repository: NewRepository) -> None:
    repository = new_repository()
    with repository.writer() as writer:
        large = writer.contents.write(bytes(1 << 20), compressor="zstd-fastest")
        small = writer.contents.write(b"small")
    lengths: dict[str, int] = {large: 5, small: 5}
    assert repository.contents.get_many(lengths, lengths=lengths) == {small: b"small"}
    assert set(repository.contents.get_many([large], lengths={large: 1 << 20})) == {large}


class _Forgetful(InterceptingStorage):
    """Confirms puts of packs with metadata, and keeps none; it may be far away."""

    far = False

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob, see ``BlobStorage.put``."""
        return None if blob_id.startswith("q") else self.inner.put(blob_id, data, options)

    def intercept(self, call: Call, proceed: Callable[[], Any]) -> Any:  # noqa: ANN401 -- of any call
        """Pass a call on."""
        return proceed()

    @property
    def is_local(self) -> bool:
        """Whether it is near."""
        return not self.far


@pytest.mark.parametrize("far", [False, True])
def test_what_a_storage_confirms_and_does_not_keep_is_not_stored(
    new_repository: NewRepository, storage: MemoryStorage, far: bool
) -> None:
    new_repository()
    forgetful = _Forgetful(storage)
    forgetful.far = far
    with connect(forgetful, PASSWORD, client=CLIENT) as repository:
        writer = repository.writer()
        writer.manifests.put({"type": "t"}, b"{}")
        with pytest.raises(NotVisibleError, match=r"pack q\S+ was written .* is not there"):
            writer.flush()
        with pytest.raises(NotVisibleError):
            writer.flush()
        writer.close()
    assert far or not blobs(storage, "x")


@pytest.mark.parametrize(
    "view",
    [
        memoryview(array.array("i", range(100))),
        memoryview(bytes(400)).cast("B", (20, 20)),
        memoryview(b""),
        memoryview(bytearray()).cast("H"),
    ],
)
def test_a_view_of_anything_is_stored_byte_by_byte(repository: Repository, view: memoryview) -> None:
    with repository.writer() as writer:
        content_id, object_id = writer.contents.write(view), writer.objects.write(view)
    assert repository.contents.get(content_id) == view.tobytes()
    assert repository.objects.read(object_id) == view.tobytes()


def test_a_view_with_gaps_is_refused(repository: Repository) -> None:
    for view in (memoryview(bytes(20))[::2], memoryview(bytes(20))[::-1]):
        with repository.writer() as writer:
            for write in (writer.contents.write, writer.objects.write):
                with pytest.raises(UsageError, match=r"pass bytes\("):
                    write(view)


def test_bringing_back_what_is_live_or_unknown_changes_nothing(repository: Repository, storage: MemoryStorage) -> None:
    with repository.writer() as writer:
        live = writer.contents.write(b"live")
        gone = writer.contents.write(b"gone")
    with repository.writer() as writer:
        writer.contents.delete(gone)
    with repository.writer() as writer:
        before = blobs(storage, "p")
        assert writer.contents.undelete(live) is False
        with pytest.raises(ContentNotFoundError, match="nothing to bring back"):
            writer.contents.undelete(ContentID("0" * 32))
        writer.contents.delete(gone)  # it is deleted already
    assert blobs(storage, "p") == before
    assert repository.contents.entry(gone).deleted
    with repository.writer() as writer:
        assert writer.contents.undelete(gone) is True
    with reopened(storage) as other:
        assert other.contents.get(gone, check=True) == b"gone"
        assert not other.contents.entry(gone).deleted
