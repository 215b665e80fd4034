"""Copies of a repository: complete, resumable, never mixed with another repository."""

import pytest

from pykopia.api.opening import connect, create
from pykopia.api.repository import Repository
from pykopia.errors import (
    RepositoryExistsError,
    RepositoryNotFoundError,
    StorageUnavailableError,
    UsageError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import FORMAT_BLOB_ID
from pykopia.ids import BlobID
from pykopia.repository.sync import SyncCounters, SyncOptions, SyncPlan, plan_sync, sync
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing import FaultyStorage
from tests.repository.conftest import PASSWORD


@pytest.fixture
def target() -> MemoryStorage:
    return MemoryStorage("copy")


def fill(repository: Repository, *texts: bytes) -> list[str]:
    with repository.writer() as writer:
        return [writer.contents.write(text) for text in texts]


def blobs(storage: MemoryStorage) -> dict[BlobID, bytes]:
    return {blob.blob_id: storage.get(blob.blob_id) for blob in storage.list()}


def blob(name: str, length: int = 1, at: int = 0) -> BlobMetadata:
    return BlobMetadata(blob_id=BlobID(name), length=length, timestamp_ns=at)


def test_a_copy_is_equal_and_opens(repository: Repository, storage: MemoryStorage, target: MemoryStorage) -> None:
    ids = fill(repository, b"one", b"two")
    done = sync(storage, target, SyncOptions(parallel=3))
    assert blobs(target) == blobs(storage)
    assert done.copied == len(blobs(storage)) - 1  # the format block was there by then
    with connect(target, PASSWORD) as copy:
        assert copy.contents.get(ids[1]) == b"two"
    assert sync(storage, target) == SyncCounters()


def test_later_writes_and_deletions_follow(
    repository: Repository, storage: MemoryStorage, target: MemoryStorage
) -> None:
    fill(repository, b"one")
    sync(storage, target)
    gone = next(name for name in blobs(storage) if name.startswith("xn"))
    fill(repository, b"two")
    storage.delete(gone)
    sync(storage, target)
    assert set(blobs(target)) - set(blobs(storage)) == {gone}
    assert sync(storage, target, SyncOptions(delete=True)).deleted == 1
    assert blobs(target) == blobs(storage)


def test_a_dry_run_writes_nothing(repository: Repository, storage: MemoryStorage, target: MemoryStorage) -> None:
    fill(repository, b"one")
    plans: list[SyncPlan] = []
    sync(storage, target, SyncOptions(dry_run=True), planned=plans.append)
    assert blobs(target) == {}
    assert len(plans[0].copy) == len(blobs(storage))


def test_times_are_kept_when_asked_for(repository: Repository, storage: MemoryStorage, target: MemoryStorage) -> None:
    fill(repository, b"one")
    sync(storage, target, SyncOptions(times=True))
    for each in storage.list():
        if each.blob_id != FORMAT_BLOB_ID:
            assert target.metadata(each.blob_id).timestamp_ns == each.timestamp_ns


def test_another_repository_is_never_written_to(
    repository: Repository, storage: MemoryStorage, target: MemoryStorage
) -> None:
    fill(repository, b"one")
    create(target, PASSWORD).close()
    before = blobs(target)
    with pytest.raises(RepositoryExistsError, match="another repository"):
        sync(storage, target, SyncOptions(delete=True))
    assert blobs(target) == before


def test_something_else_is_never_written_to(
    repository: Repository, storage: MemoryStorage, target: MemoryStorage
) -> None:
    fill(repository, b"one")
    target.put(BlobID("p1"), b"of something else")
    with pytest.raises(RepositoryExistsError, match=r"no kopia\.repository"):
        sync(storage, target, SyncOptions(delete=True))
    assert list(blobs(target)) == ["p1"]


def test_a_first_copy_can_be_refused(repository: Repository, storage: MemoryStorage, target: MemoryStorage) -> None:
    assert repository.format.version == 3
    with pytest.raises(RepositoryNotFoundError, match="--must-exist"):
        sync(storage, target, SyncOptions(must_exist=True))
    with pytest.raises(UsageError, match="itself"):
        sync(storage, storage)


def test_a_copy_that_is_cut_off_lists_nothing_that_it_has_not(
    repository: Repository, storage: MemoryStorage, target: MemoryStorage
) -> None:
    ids = fill(repository, b"one")
    fill(repository, b"two", b"three")
    total = len(blobs(storage))
    for calls in range(1, total + 1):
        broken = MemoryStorage("broken")
        faulty = FaultyStorage(broken)
        faulty.fail("put", at=calls, times=-1)
        with pytest.raises(StorageUnavailableError):
            sync(storage, faulty)
        if FORMAT_BLOB_ID in blobs(broken):
            with connect(broken, PASSWORD) as copy:
                for entry in copy.contents.list():
                    assert copy.contents.read(entry)
        sync(storage, broken)
        assert blobs(broken) == blobs(storage)
    sync(storage, target)
    with connect(target, PASSWORD) as copy:
        assert copy.contents.get(ids[0]) == b"one"


def test_packs_come_before_the_index_and_go_after_it() -> None:
    source = [blob("xn0_1"), blob("kopia.maintenance"), blob("q1"), blob("p1")]
    first = {BlobID("xn0_1")}
    plan = plan_sync(source, [], SyncOptions(), listed_first=first)
    assert [each.blob_id for each in plan.copy] == ["p1", "q1", "kopia.maintenance", "xn0_1"]
    plan = plan_sync([], source, SyncOptions(delete=True), listed_first=set())
    assert [each.blob_id for each in plan.delete] == ["xn0_1", "kopia.maintenance", "q1", "p1"]


def test_an_index_blob_that_appeared_meanwhile_waits_for_the_next_time() -> None:
    plan = plan_sync([blob("xn0_1"), blob("xn0_2"), blob("p1")], [], SyncOptions(), listed_first={BlobID("xn0_1")})
    assert [each.blob_id for each in plan.copy] == ["p1", "xn0_1"]


def test_a_blob_is_copied_again_when_it_is_newer_or_of_another_length() -> None:
    source, target = [blob("p1", 5, at=9), blob("p2", 6), blob("p3", 7)], [blob("p1", 5), blob("p2", 5), blob("p3", 7)]
    plan = plan_sync(source, target, SyncOptions(), listed_first=set())
    assert [each.blob_id for each in plan.copy] == ["p1", "p2"]
    assert (plan.in_sync, plan.in_sync_bytes, plan.copy_bytes, plan.delete_bytes) == (1, 7, 11, 0)
    plan = plan_sync(source, target, SyncOptions(update=False), listed_first=set())
    assert [each.blob_id for each in plan.copy] == ["p2"]


def test_a_blob_that_vanishes_meanwhile_is_passed_over(
    repository: Repository, storage: MemoryStorage, target: MemoryStorage
) -> None:
    fill(repository, b"one")

    def delete_one(plan: SyncPlan) -> None:
        storage.delete(plan.copy[0].blob_id)

    assert sync(storage, target, planned=delete_one).vanished == 1
