"""Both layouts of an index keep one contract: what is put counts, at once and for every reader."""

from functools import lru_cache
from pathlib import Path

import pytest

import pykopia
from pykopia.errors import BlobNotFoundError, DamagedIndexError, NotVisibleError, WriteConflictError
from pykopia.format import epoch
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import EPOCH_PREFIX, INDEX_PREFIX
from pykopia.format.index import IndexEntry, build_index
from pykopia.format.index_build import build_indexes
from pykopia.format.repository_format import RepositoryFormat
from pykopia.format.whole_blob import Sealer
from pykopia.ids import BlobID, Buffer, ContentID
from pykopia.index.epoch_layout import EpochLayout
from pykopia.index.legacy_layout import LegacyLayout
from pykopia.index.local_files import LocalIndexFiles
from pykopia.index.store import IndexStore
from pykopia.repository.options import NewRepositoryOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOptions, StorageWrapper
from pykopia.testing.clock import FakeClock
from pykopia.testing.eventual import EventuallyConsistentStorage

SESSION = "s0123456789abcdef125"
PREFIXES = {1: INDEX_PREFIX, 3: "xn0_"}


@pytest.fixture(params=[1, 3], ids=["legacy", "epochs"])
def version(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@lru_cache
def keys(version: int) -> tuple[Sealer, RepositoryFormat]:
    options = NewRepositoryOptions(format_version=version)
    with pykopia.create(MemoryStorage(), "a good password", options=options, defaults=False) as repository:
        return repository.sealer.sealer, repository.format


def new(storage: BlobStorage, version: int) -> IndexStore:
    """Return the index of a repository in a storage, without a cache folder."""
    return IndexStore(storage, *keys(version), None, pause=lambda _: None)


def entry(number: int) -> IndexEntry:
    return IndexEntry(
        content_id=ContentID(f"{number:032x}"),
        pack_blob=BlobID("p00000000000000000000000000000000-s1"),
        timestamp=1_700_000_000 + number,
        pack_offset=32 + number,
        packed_length=10,
        original_length=10,
        compression=0,
        deleted=False,
        format_version=2,
        encryption_key_id=0,
    )


def test_the_format_decides_the_layout(version: int) -> None:
    layout = new(MemoryStorage(), version).layout
    assert isinstance(layout, LegacyLayout if version == 1 else EpochLayout)
    assert layout.drops_entries is (version == 1)
    assert layout.state is None


def test_what_is_written_counts_for_the_writer_and_for_every_other_reader(version: int) -> None:
    storage = MemoryStorage()
    indexes = new(storage, version)
    assert indexes.merged.find(b"\0" + bytes(16)) is None
    written = indexes.write(build_indexes([entry(0), entry(1)], version=indexes.version), SESSION)
    assert all(blob_id.startswith(PREFIXES[version]) for blob_id in written)
    assert set(indexes.layout.active()) == set(written) == {blob.metadata.blob_id for blob in indexes.blobs()}
    for reader in (indexes, new(storage, version)):
        assert [each.content_id for each in reader.merged.entries()] == [entry(0).content_id, entry(1).content_id]
        assert reader.active_count == len(written)


def test_a_listing_that_lags_behind_does_not_hide_what_was_just_written(version: int) -> None:
    clock = FakeClock()
    storage = EventuallyConsistentStorage(MemoryStorage(clock=clock), clock, delay=30)
    indexes = new(storage, version)
    written = indexes.layout.put([indexes_data(indexes)], SESSION)
    assert not [blob for blob in storage.list() if blob.blob_id in written]
    clock.advance(30)
    assert set(indexes.layout.active()) == set(written)


def indexes_data(indexes: IndexStore) -> bytes:
    return build_index([entry(0)], version=indexes.version)


class Losing(StorageWrapper):
    """Takes index blobs and keeps none."""

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        return None


def test_an_index_blob_that_no_reader_would_find_is_an_error(version: int) -> None:
    indexes = new(Losing(MemoryStorage()), version)
    with pytest.raises(NotVisibleError, match="was written to"):
        indexes.layout.put([indexes_data(indexes)], SESSION)


def test_a_damaged_index_blob_is_named_and_the_rest_is_read(version: int) -> None:
    storage = MemoryStorage()
    indexes = new(storage, version)
    (whole,) = indexes.write(build_indexes([entry(0)], version=indexes.version), SESSION)
    (broken,) = indexes.write(build_indexes([entry(1)], version=indexes.version), SESSION)
    storage.put(broken, storage.get(broken)[:-1])
    indexes.close()
    assert list(indexes.damaged) == [broken]
    assert [each.content_id for each in indexes.merged.entries()] == [entry(0).content_id]
    with pytest.raises(DamagedIndexError, match=broken):
        indexes.check_complete("write")
    with pytest.raises(DamagedIndexError):
        indexes.stored.open(broken)
    indexes.stored.open(whole).close()
    with pytest.raises(BlobNotFoundError):
        indexes.stored.open(BlobID("n0"))


class Advancing(StorageWrapper):
    """Begins two epochs while an index blob is stored."""

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        if blob_id.startswith("xn"):
            for number in (1, 2):
                self.inner.put(epoch.marker_blob_id(number), epoch.MARKER_CONTENT)
        return super().put(blob_id, data, options)


def test_an_index_blob_of_an_epoch_that_ended_meanwhile_is_taken_back() -> None:
    storage = MemoryStorage()
    indexes = new(Advancing(storage), 3)
    with pytest.raises(WriteConflictError, match="epoch 0, but the repository is at epoch 2"):
        indexes.write(build_indexes([entry(0)], version=indexes.version), SESSION)
    assert [blob.blob_id for blob in storage.list("xn")] == []


def test_without_epochs_nothing_of_epochs_is_listed_or_believed() -> None:
    storage = MemoryStorage()
    indexes = new(storage, 1)
    storage.put(epoch.marker_blob_id(5), epoch.MARKER_CONTENT)
    assert indexes.write_epoch == 0
    assert indexes.epoch_state() == epoch.EpochState()
    assert indexes.known_state is None
    assert indexes.blobs() == []
    assert [blob.blob_id for blob in storage.list(EPOCH_PREFIX)] == ["xe5"]


def test_local_files_are_found_again_and_others_are_swept(tmp_path: Path, version: int) -> None:
    files = LocalIndexFiles(tmp_path)
    data = indexes_data(new(MemoryStorage(), version))
    kept = files.keep("first", data)
    files.keep("second", data).close()
    assert kept.name == "first"
    again = files.find("first")
    assert again is not None
    assert len(again) == 1
    (tmp_path / "empty.idx").write_bytes(b"")
    assert files.find("empty") is None
    assert files.find("third") is None
    files.sweep({"first"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.idx"]
    assert LocalIndexFiles(None).find("first") is None
    for file in (kept, again):
        file.close()


def test_the_merged_copy_that_covers_the_most_and_nothing_else_is_taken(tmp_path: Path, version: int) -> None:
    files = LocalIndexFiles(tmp_path)
    data = indexes_data(new(MemoryStorage(), version))
    blobs = [BlobID(f"n{number}") for number in range(4)]
    opened = [files.keep(blob, data) for blob in blobs]
    files.merge(opened[:2], frozenset(blobs[:2]), version=1)
    (name,) = files.merge(opened[:3], frozenset(blobs[:3]), version=1)
    (tmp_path / "merged-broken.json").write_text("[")
    assert files.merged_copy(frozenset(blobs)) == (name, frozenset(blobs[:3]))
    assert files.merged_copy(frozenset(blobs[1:])) is None
    for file in opened:
        file.close()
