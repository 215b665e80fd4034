"""Listing the contents of packs anew, in a repository in memory."""

import pytest

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import (
    BlobNotFoundError,
    DamagedDataError,
    DamagedIndexError,
    DamagedPackError,
    ReadOnlyRepositoryError,
)
from pykopia.format.epoch import MARKER_CONTENT, marker_blob_id
from pykopia.ids import BlobID
from pykopia.maintenance.epochs import compact_single_epoch
from pykopia.repository.index_recovery import ASIDE_PREFIX, RecoveryOptions, RecoveryResult, recover_index
from pykopia.repository.options import ClientOptions
from pykopia.repository.view import complete_view
from pykopia.storage.backends.memory.storage import MemoryStorage
from tests.repository.conftest import CLIENT, PASSWORD, NewRepository

COMMIT = RecoveryOptions(commit=True)


def write(repository: Repository, *texts: bytes) -> list[str]:
    with repository.writer() as writer:
        return [writer.contents.write(text) for text in texts]


def blobs(storage: MemoryStorage, *prefixes: str) -> list[BlobID]:
    return [blob.blob_id for prefix in prefixes for blob in storage.list(prefix)]


def again(storage: MemoryStorage, *, read_only: bool = False) -> Repository:
    client = ClientOptions(username=CLIENT.username, hostname=CLIENT.hostname, read_only=read_only)
    return connect(storage, PASSWORD, client=client)


def tear(storage: MemoryStorage, blob_id: BlobID, length: int = 40) -> bytes:
    whole = storage.get(blob_id)
    storage.put(blob_id, whole[:length])
    return whole


@pytest.mark.parametrize("version", [1, 2, 3])
def test_contents_of_a_lost_index_are_found_again(
    version: int, new_repository: NewRepository, storage: MemoryStorage
) -> None:
    ids = write(new_repository(format_version=version), b"one", b"two")
    for blob_id in blobs(storage, "n", "xn"):
        storage.delete(blob_id)
    repository = again(storage)
    assert list(repository.contents.list()) == []
    result = recover_index(repository, COMMIT)
    assert (result.packs, result.contents, result.errors) == (1, 2, ())
    assert repository.contents.get_many(ids) == dict(zip(ids, (b"one", b"two"), strict=True))


@pytest.mark.parametrize("length", [0, 1, 15, 40])
def test_a_torn_index_blob_is_moved_aside_and_nothing_of_it_is_lost(
    length: int, repository: Repository, storage: MemoryStorage
) -> None:
    kept = write(repository, b"kept")
    [first] = blobs(storage, "xn")
    lost = write(repository, b"lost")
    [torn] = set(blobs(storage, "xn")) - {first}
    tear(storage, torn, length)
    other = again(storage)
    assert other.contents.get(kept[0]) == b"kept"
    result = recover_index(other, COMMIT)
    assert result.moved_aside == (torn,)
    assert torn not in blobs(storage, "xn")
    assert len(storage.get(BlobID(ASIDE_PREFIX + torn))) == length
    assert other.contents.get(lost[0]) == b"lost"
    assert write(again(storage), b"more")


@pytest.mark.parametrize("sources_are_there", [True, False])
def test_a_torn_compaction_gives_way_to_what_it_was_made_of(
    repository: Repository, storage: MemoryStorage, *, sources_are_there: bool
) -> None:
    early = write(repository, b"one") + write(repository, b"two")
    for number in range(1, 4):
        storage.put(marker_blob_id(number), MARKER_CONTENT)
    repository.refresh()
    late = write(repository, b"late")
    sources = blobs(storage, "xn0")
    compact_single_epoch(repository, complete_view(repository, "compact"))
    [compacted] = blobs(storage, "xs0")
    tear(storage, compacted)
    if not sources_are_there:
        for blob_id in sources:
            storage.delete(blob_id)
    other = again(storage)
    assert list(other.contents.indexes.damaged) == [compacted]
    assert other.contents.exists(late[0])
    assert [other.contents.exists(each) for each in early] == [sources_are_there] * 2
    with pytest.raises(DamagedIndexError, match=compacted):
        write(other, b"more")
    assert recover_index(other, COMMIT).moved_aside == (compacted,)
    assert other.contents.get_many(early) == dict(zip(early, (b"one", b"two"), strict=True))
    assert write(again(storage), b"more")


def test_nothing_is_written_without_commit(repository: Repository, storage: MemoryStorage) -> None:
    write(repository, b"one")
    tear(storage, blobs(storage, "xn")[0])
    before = {blob_id: storage.get(blob_id) for blob_id in blobs(storage, "")}
    result = recover_index(again(storage), RecoveryOptions(delete_indexes=True))
    assert (result.contents, len(result.moved_aside)) == (1, 1)
    assert {blob_id: storage.get(blob_id) for blob_id in blobs(storage, "")} == before


def test_a_pack_that_cannot_be_read_stops_it_before_anything_is_moved(
    repository: Repository, storage: MemoryStorage
) -> None:
    write(repository, b"one")
    write(repository, b"two")
    torn, pack = blobs(storage, "xn")[0], blobs(storage, "p")[0]
    tear(storage, torn)
    tear(storage, pack, 100)
    other = again(storage)
    with pytest.raises(DamagedPackError, match=pack):
        recover_index(other, COMMIT)
    assert torn in blobs(storage, "xn")
    result = recover_index(other, RecoveryOptions(commit=True, ignore_errors=True))
    assert [blob_id for blob_id, _ in result.errors] == [pack]
    assert (result.contents, result.moved_aside) == (1, (torn,))


@pytest.mark.parametrize("version", [1, 3])
def test_index_blobs_stay_when_no_pack_at_all_can_be_read(
    version: int, new_repository: NewRepository, storage: MemoryStorage
) -> None:
    """A client with the keys of a repository that was here before finds everything damaged."""
    with new_repository(format_version=version) as before:
        write(before, b"one", b"two")
        for blob in list(storage.list()):
            storage.delete(blob.blob_id)
        with new_repository(format_version=version) as repository:
            write(repository, b"three", b"four")
        there = {blob.blob_id: storage.get(blob.blob_id) for blob in storage.list()}
        before.refresh()
        options = RecoveryOptions(commit=True, ignore_errors=True, delete_indexes=True)
        with pytest.raises(DamagedDataError, match="another repository"):
            recover_index(before, options)
        assert {blob.blob_id: storage.get(blob.blob_id) for blob in storage.list()} == there


def test_some_packs_only_move_nothing_aside(repository: Repository, storage: MemoryStorage) -> None:
    write(repository, b"one")
    tear(storage, blobs(storage, "xn")[0])
    [pack] = blobs(storage, "p")
    for chosen in (RecoveryOptions(commit=True, blob_ids=(pack,)), RecoveryOptions(commit=True, prefixes=(pack[:9],))):
        result = recover_index(again(storage), chosen)
        assert (result.packs, result.moved_aside) == (1, ())
    with pytest.raises(BlobNotFoundError):
        recover_index(again(storage), RecoveryOptions(blob_ids=(BlobID("p00"),)))


def test_old_indexes_of_format_1_are_deleted_once_the_new_one_is_there(
    new_repository: NewRepository, storage: MemoryStorage
) -> None:
    ids = write(new_repository(format_version=1), b"one")
    old = blobs(storage, "n")
    result = recover_index(again(storage), RecoveryOptions(commit=True, delete_indexes=True))
    assert list(result.deleted) == old
    assert not set(old) & set(blobs(storage, "n"))
    assert again(storage).contents.get(ids[0]) == b"one"


def test_an_entry_that_was_deleted_later_stays_deleted(repository: Repository, storage: MemoryStorage) -> None:
    [content_id] = write(repository, b"gone")
    with repository.writer() as writer:
        writer.contents.delete(repository.contents.entry(content_id).content_id)
    recover_index(again(storage), COMMIT)
    assert again(storage).contents.entry(content_id).deleted


def test_entries_of_packs_that_are_gone_are_left_out(repository: Repository, storage: MemoryStorage) -> None:
    """Such an entry would make a writer believe that the content is there."""
    [content_id] = write(repository, b"gone")
    with repository.writer() as writer:
        writer.contents.delete(repository.contents.entry(content_id).content_id)
        writer.contents.write(b"another")  # the pack of this one lists the deletion as well
    [pack] = [blob for blob in blobs(storage, "p") if blob == repository.contents.entry(content_id).pack_blob]
    storage.delete(pack)
    for blob_id in blobs(storage, "xn"):
        storage.delete(blob_id)
    other = again(storage)
    recover_index(other, COMMIT)
    assert [entry.content_id for entry in other.contents.list()] != [content_id]
    assert write(other, b"gone") == [content_id]
    assert other.contents.get(content_id) == b"gone"


def test_an_index_blob_that_was_only_shown_too_early_is_no_damage(
    repository: Repository, storage: MemoryStorage
) -> None:
    write(repository, b"one")
    [late] = blobs(storage, "xn")
    whole = tear(storage, late)
    other = again(storage)
    assert list(other.contents.indexes.damaged) == [late]
    storage.put(late, whole)
    assert write(other, b"two")
    assert not other.contents.indexes.damaged


def test_an_index_blob_that_was_put_back_meanwhile_is_not_moved(repository: Repository, storage: MemoryStorage) -> None:
    write(repository, b"one")
    [torn] = blobs(storage, "xn")
    whole = tear(storage, torn)
    other = again(storage)
    assert other.contents.indexes.damaged
    storage.put(torn, whole)
    assert recover_index(other, COMMIT).moved_aside == ()
    assert storage.get(torn) == whole


def test_a_damaged_index_refuses_writers_and_names_the_blob(repository: Repository, storage: MemoryStorage) -> None:
    write(repository, b"one")
    [torn] = blobs(storage, "xn")
    tear(storage, torn)
    with pytest.raises(DamagedIndexError, match=f"can't write to the repository.*{torn}.*index recover"):
        again(storage).writer()


def test_a_read_only_client_recovers_nothing(repository: Repository, storage: MemoryStorage) -> None:
    write(repository, b"one")
    other = again(storage, read_only=True)
    assert isinstance(recover_index(other), RecoveryResult)
    with pytest.raises(ReadOnlyRepositoryError):
        recover_index(other, COMMIT)


def test_entries_are_written_in_parts_and_progress_is_told(
    repository: Repository, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykopia.repository.index_recovery.WRITE_AT_ONCE", 3)
    ids = [each for number in range(4) for each in write(repository, b"a%d" % number, b"b%d" % number)]
    for blob_id in blobs(storage, "xn"):
        storage.delete(blob_id)
    other = again(storage)
    seen: list[tuple[int, int]] = []
    recover_index(other, COMMIT, lambda packs, contents: seen.append((packs, contents)))
    assert seen == [(number, 2 * number) for number in range(1, 5)]
    assert len(blobs(storage, "xn")) == 2
    assert set(again(storage).contents.get_many(ids)) == set(ids)


def test_an_index_blob_that_is_gone_meanwhile_is_not_moved(repository: Repository, storage: MemoryStorage) -> None:
    write(repository, b"one")
    [torn] = blobs(storage, "xn")
    tear(storage, torn)
    other = again(storage)
    assert other.contents.indexes.damaged
    storage.delete(torn)
    assert recover_index(other, COMMIT).moved_aside == ()
    assert torn not in blobs(storage, "")
