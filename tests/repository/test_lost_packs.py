"""Packs that moved, were cut off or are lost: what readers find, what a snapshot takes over, what a list warns of."""

import os
from dataclasses import replace

import pytest

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import (
    BlobNotFoundError,
    DamagedPackError,
    StorageUnavailableError,
)
from pykopia.format.directory import DirectoryEntry
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.ids import BlobID, ContentID, ManifestID, ObjectID
from pykopia.repository import contents as contents_module
from pykopia.repository import stored_packs, view
from pykopia.repository.stored_packs import StoredObjects, StoredPacks
from pykopia.repository.view import contradictions_of_list, list_blobs, snapshot_facts_of, warn_of_missing_snapshots
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage, StorageWrapper
from pykopia.testing import CountingStorage, FaultyStorage
from tests.repository.conftest import CLIENT, PASSWORD


def write(repository: Repository, *texts: bytes, prefix: str = "") -> list[ContentID]:
    with repository.writer() as writer:
        return [writer.contents.write(text, prefix=prefix) for text in texts]


def pack_of(repository: Repository, content_id: ContentID) -> BlobID:
    return BlobID(repository.contents.entry(content_id).pack_blob)


class Far(StorageWrapper):
    """A storage whose requests are costly, and perhaps its listings slow."""

    def __init__(self, inner: BlobStorage, *, slow: bool = False) -> None:
        super().__init__(inner)
        self._slow = slow

    @property
    def is_local(self) -> bool:
        return False

    @property
    def has_slow_listings(self) -> bool:
        return self._slow


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_content_that_maintenance_moved_since_the_index_was_loaded_is_found(
    repository: Repository, storage: MemoryStorage
) -> None:
    [content_id] = write(repository, b"moved")
    with connect(storage, PASSWORD, client=CLIENT) as reader:
        entry = reader.contents.entry(content_id)
        with repository.writer() as writer:
            writer.contents.rewrite(content_id)
        storage.delete(BlobID(entry.pack_blob))
        assert reader.contents.read(entry, check=True) == b"moved"
        assert reader.contents.payload(entry) is not None


def test_a_content_whose_pack_is_lost_is_reported_with_its_pack(repository: Repository, storage: MemoryStorage) -> None:
    [content_id] = write(repository, b"lost")
    entry = repository.contents.entry(content_id)
    storage.delete(BlobID(entry.pack_blob))
    for read in (repository.contents.read, repository.contents.payload):
        with pytest.raises(BlobNotFoundError, match=entry.pack_blob):
            read(entry)


@pytest.mark.parametrize("prefix", ["", "k"])
def test_a_content_of_a_pack_that_was_cut_off_is_damaged(
    repository: Repository, storage: MemoryStorage, prefix: str
) -> None:
    first, second = write(repository, b"first " * 50, b"second " * 50, prefix=prefix)
    pack = pack_of(repository, second)
    storage.put(pack, storage.get(pack)[: repository.contents.entry(second).pack_offset + 3])
    with connect(Far(storage), PASSWORD, client=CLIENT) as reader:
        assert reader.contents.get(first) == b"first " * 50
        with pytest.raises(DamagedPackError, match=pack):
            reader.contents.get(second)
        assert reader.contents.get_many([first, second]) == {first: b"first " * 50}


def test_contents_that_are_asked_for_together_are_those_that_can_be_read(
    repository: Repository, storage: MemoryStorage
) -> None:
    there = write(repository, b"a", b"b", prefix="k")
    lost = write(repository, b"c", prefix="k")
    storage.delete(pack_of(repository, lost[0]))
    with connect(Far(storage), PASSWORD, client=CLIENT) as reader:
        found = reader.contents.get_many([*there, *lost, "k" + 32 * "0"])
        assert found == {there[0]: b"a", there[1]: b"b"}


def test_contents_are_opened_in_groups_of_limited_size(
    repository: Repository, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents_module, "OPENED_AT_ONCE", 2500)
    texts = [os.urandom(1000) for _ in range(7)]
    ids = write(repository, *texts, prefix="k")
    entries = sorted(map(repository.contents.entry, ids), key=lambda each: each.pack_offset)
    groups = list(contents_module._groups(entries))
    assert [len(group) for group in groups] == [2, 2, 2, 1]
    assert [entry for group in groups for entry in group] == entries
    with connect(Far(storage), PASSWORD, client=CLIENT) as reader:
        assert reader.contents.get_many(ids) == dict(zip(ids, texts, strict=True))


# --- listing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parallelism", "lists"), [(0, 2), (2, 2), (3, 32)])
def test_blobs_are_listed_by_their_first_or_their_second_letter(parallelism: int, lists: int) -> None:
    storage = MemoryStorage()
    names = [BlobID(f"{kind}{digit}1") for kind in "pqx" for digit in "09af"]
    for name in names:
        storage.put(name, b"")
    counting = CountingStorage(Far(storage))
    found = list_blobs(counting, "pq", parallelism)
    assert sorted(blob.blob_id for blob in found) == sorted(name for name in names if name[0] in "pq")
    assert len(counting.calls("list")) == lists


def test_a_list_of_snapshots_warns_where_a_pack_of_manifests_is_in_no_index(
    repository: Repository, storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    with repository.writer() as writer:
        writer.manifests.put({"type": "test"}, b"{}")
    index = [blob.blob_id for blob in storage.list("xn")]
    write(repository, b"more")
    with connect(storage, PASSWORD, client=CLIENT) as reader:
        assert contradictions_of_list(reader) == ()
        warn_of_missing_snapshots(reader)
        assert caplog.text == ""
    for blob_id in index:
        storage.delete(blob_id)
    with connect(storage, PASSWORD, client=CLIENT) as reader:
        assert contradictions_of_list(reader)
        warn_of_missing_snapshots(reader)
        assert "there may be a newer snapshot" in caplog.text


def test_a_list_of_snapshots_says_when_it_is_not_known_whether_it_is_complete(
    repository: Repository, storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    with repository.writer() as writer:
        writer.manifests.put({"type": "test"}, b"{}")
    index = [blob.blob_id for blob in storage.list("xn")]
    write(repository, b"one")
    faulty = FaultyStorage(storage)
    with connect(faulty, PASSWORD, client=CLIENT) as reader:
        assert reader.contents.indexes.merged.files
        faulty.fail("list", prefix="q", times=-1)
        assert contradictions_of_list(reader) == ()
        assert "it is not known whether the list is complete" in caplog.text
    for blob_id in index:
        storage.delete(blob_id)
    faulty.heal()
    with connect(faulty, PASSWORD, client=CLIENT) as reader:
        faulty.fail("list", prefix="p", times=-1)  # the other packs, once those of manifests show that one is missing
        warn_of_missing_snapshots(reader)
        assert "it is not known whether the list of snapshots is complete" in caplog.text


def test_many_packs_are_not_listed_where_listings_are_slow(
    repository: Repository, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repository, b"one")
    write(repository, b"two")
    monkeypatch.setattr(view, "MAX_WALKED_PACKS", 1)
    monkeypatch.setattr(stored_packs, "MAX_WALKED_PACKS", 1)
    for slow in (False, True):
        counting = CountingStorage(Far(storage, slow=slow))
        with connect(counting, PASSWORD, client=CLIENT) as reader:
            assert reader.contents.indexes.merged.files
            counting.clear()
            contradictions_of_list(reader)
            with StoredPacks(reader) as packs:
                assert packs.listed.missing == frozenset()
                assert (packs.listed.blobs is None) == slow
            assert bool(counting.calls("list", "q")) != slow


def test_facts_of_snapshots_name_the_roots_that_the_index_lacks() -> None:
    def snapshot(number: int, root: str | None) -> SnapshotManifest:
        manifest = SnapshotManifest(
            id=ManifestID(f"{number:032x}"),
            source=SourceInfo(host="box", user_name="ann", path="/data"),
            start_time_ns=number,
            end_time_ns=number,
            root_entry=DirectoryEntry("data", "d", 0o755, 0, 0, 0, 0, ObjectID(root or "k" + 32 * "0")),
        )
        return manifest if root else replace(manifest, root_entry=None)

    there, lost = "k" + 32 * "1", "k" + 32 * "2"
    snapshots = [snapshot(1, there), snapshot(4, lost), snapshot(3, "no ID"), snapshot(2, None)]
    facts = snapshot_facts_of(snapshots, lambda content_id: content_id == there, ["damaged"])
    assert facts.missing_roots == ("damaged", snapshots[1].id, snapshots[2].id)
    assert (facts.newest, facts.newest_start_ns) == (snapshots[1].id, 4)
    assert snapshot_facts_of([], lambda _: True).newest_start_ns is None


# --- taking over ------------------------------------------------------------------------------------------------------


def test_objects_in_lost_packs_are_not_taken_over(repository: Repository, storage: MemoryStorage) -> None:
    there, lost = write(repository, b"there")[0], write(repository, b"lost")[0]
    with repository.writer() as writer:
        pieces = [writer.objects.write_chunk(data) for data in (b"there", b"lost")]
        assert [str(piece) for piece in pieces] == [there, lost]
    storage.delete(pack_of(repository, lost))
    with connect(storage, PASSWORD, client=CLIENT) as other, other.writer() as writer, StoredPacks(other) as packs:
        objects = StoredObjects(other, writer.contents, packs)
        assert objects.lacking([there, lost, "no ID", "0" * 32, f"Ix{'0' * 32}"]) == [1, 2, 3, 4]
        assert packs.is_lost(pack_of(repository, lost))
        assert packs.is_lost(pack_of(repository, lost))
        assert not packs.is_lost(pack_of(repository, there))


def test_a_pack_that_a_listing_does_not_show_and_that_is_there_is_not_lost(
    repository: Repository, storage: MemoryStorage
) -> None:
    class Hiding(StorageWrapper):
        def list(self, prefix: str = "") -> object:  # type: ignore[override]
            return (blob for blob in super().list(prefix) if blob.blob_id != hidden)

    [content_id] = write(repository, b"there")
    hidden = pack_of(repository, content_id)
    with connect(Hiding(storage), PASSWORD, client=CLIENT) as other, StoredPacks(other) as packs:
        assert packs.listed.missing == {hidden}
        assert not packs.is_lost(hidden)


def test_packs_that_can_not_be_listed_count_as_there(
    repository: Repository, storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    [content_id] = write(repository, b"one")
    faulty = FaultyStorage(storage)
    with connect(faulty, PASSWORD, client=CLIENT) as other:
        assert other.contents.indexes.merged.files
        faulty.fail("list", times=-1, error=lambda: StorageUnavailableError("lists are off"))
        with StoredPacks(other) as packs:
            assert packs.listed.missing == frozenset()
            assert not packs.is_lost(pack_of(repository, content_id))
    assert "lost ones are not noticed: lists are off" in caplog.text


def test_an_object_whose_list_of_chunks_can_not_be_read_is_not_taken_over(
    repository: Repository, storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    [broken] = write(repository, b"no list of chunks", prefix="x")
    [lost] = write(repository, b"lost")
    storage.delete(pack_of(repository, lost))  # so that lists are looked into
    with connect(storage, PASSWORD, client=CLIENT) as other, other.writer() as writer, StoredPacks(other) as packs:
        assert StoredObjects(other, writer.contents, packs).lacking([f"I{broken}"]) == [0]
    assert f"object I{broken} can't be taken over" in caplog.text
