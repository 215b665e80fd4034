"""Loading an index while others compact it, local copies of it, and lost markers."""

import secrets
from pathlib import Path

import pytest

from pykopia.errors import BlobNotFoundError, ClosedError, ContradictedViewError, DamagedIndexError
from pykopia.format import epoch
from pykopia.format.index_build import build_indexes
from pykopia.format.index_merge import merge_index_files
from pykopia.ids import BlobID, ContentID
from pykopia.index import local_files
from pykopia.index.epoch_layout import EpochLayout
from pykopia.index.local_files import LocalIndexFiles
from pykopia.index.lost_marker import MAX_SKIPPED_EPOCHS
from pykopia.index.store import FIRST_PAUSE, LOAD_ATTEMPTS, MERGE_FROM, IndexStore
from pykopia.private_file import write_private
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage, StorageWrapper
from pykopia.testing import FakeClock
from tests.index.test_layouts import SESSION, entry, keys, new


def ids(indexes: IndexStore) -> list[ContentID]:
    return [each.content_id for each in indexes.merged.entries()]


def write(indexes: IndexStore, *numbers: int) -> BlobID:
    (written,) = indexes.write(build_indexes([entry(number) for number in numbers], version=indexes.version), SESSION)
    return written


def write_to(indexes: IndexStore, number: int, prefix: str, *numbers: int) -> BlobID:
    """Store an index blob in an epoch, as a client does that believes it to be the current one."""
    (plain,) = build_indexes([entry(each) for each in numbers], version=indexes.version)
    suffix = epoch.index_blob_suffix(epoch.new_set_id(secrets.token_bytes(8)), 1)
    return indexes.stored.put(prefix or epoch.index_blob_prefix(number), plain, suffix)


# --- loading ----------------------------------------------------------------------------------------------------------


class Vanishing(StorageWrapper):
    """Lists index blobs that are gone when they are read, so many times."""

    def __init__(self, inner: BlobStorage, times: int) -> None:
        super().__init__(inner)
        self.times, self.flushed = times, 0

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        if self.times and blob_id.startswith("x"):
            self.times -= 1
            raise BlobNotFoundError(blob_id, self.display_name)
        return super().get(blob_id, offset, length)

    def flush_caches(self) -> None:
        self.flushed += 1
        super().flush_caches()


def test_an_index_blob_that_is_compacted_away_while_it_is_read_has_the_list_read_again() -> None:
    inner, pauses = MemoryStorage(), list[float]()
    write(new(inner, 3), 0)
    storage = Vanishing(inner, times=3)
    indexes = IndexStore(storage, *keys(3), None, pause=pauses.append)
    assert ids(indexes) == [entry(0).content_id]
    assert pauses == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert storage.flushed == 3


def test_an_index_blob_that_is_listed_for_ever_and_is_not_there_is_an_error() -> None:
    inner, pauses = MemoryStorage(), list[float]()
    written = write(new(inner, 3), 0)
    indexes = IndexStore(Vanishing(inner, times=-1), *keys(3), None, pause=pauses.append)
    with pytest.raises(BlobNotFoundError, match=written):
        indexes.load()
    assert len(pauses) == LOAD_ATTEMPTS - 1


def test_packs_without_any_index_blob_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    storage = MemoryStorage()
    new(storage, 3).load()
    assert caplog.text == ""
    storage.put(BlobID("p1"), b"pack")
    indexes = new(storage, 3)
    indexes.load()
    indexes.load()
    assert caplog.text.count("has packs and no index blob") == 1


def test_a_closed_index_answers_nothing() -> None:
    indexes = new(MemoryStorage(), 3)
    write(indexes, 0)
    indexes.end()
    with pytest.raises(ClosedError):
        indexes.load()


@pytest.mark.parametrize("version", [1, 3])
def test_many_index_blobs_are_merged_into_one_local_file_that_others_use(version: int, tmp_path: Path) -> None:
    storage = MemoryStorage()
    writer = new(storage, version)
    for number in range(MERGE_FROM + 1):
        write(writer, number)
    expected = [entry(number).content_id for number in range(MERGE_FROM + 1)]
    assert ids(IndexStore(storage, *keys(version), tmp_path)) == expected
    assert len(list(tmp_path.glob("*.idx"))) == 1
    reads = Vanishing(storage, times=-1)  # what is here is not fetched
    assert ids(IndexStore(reads, *keys(version), tmp_path, pause=lambda _: None)) == expected
    for damaged in (b"", b"no index"):
        (copy,) = tmp_path.glob("*.idx")
        copy.write_bytes(damaged)
        assert ids(IndexStore(storage, *keys(version), tmp_path)) == expected


def test_a_list_of_a_merged_copy_that_can_not_be_read_is_passed_over(tmp_path: Path) -> None:
    local = LocalIndexFiles(tmp_path)
    (tmp_path / "merged-1.json").write_bytes(b"not JSON")
    (tmp_path / "merged-2.json").write_bytes(b'["xn0_1"]')
    (tmp_path / "merged-3.json").write_bytes(b'["xn0_1", "xn0_2"]')
    (tmp_path / "merged-4.json").write_bytes(b'["xn0_1", "xn0_3", "xn0_4"]')
    wanted = frozenset(map(BlobID, ("xn0_1", "xn0_2", "xn0_3")))
    assert local.merged_copy(wanted) == ("merged-3", frozenset({"xn0_1", "xn0_2"}))
    assert local.merged_copy(frozenset()) is None


def test_an_index_too_large_for_one_file_stays_in_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    writer = new(storage, 1)
    for number in range(MERGE_FROM + 1):
        write(writer, number)
    monkeypatch.setattr(
        local_files, "merge_index_files", lambda files, version: merge_index_files(files, version=version) * 2
    )
    indexes = IndexStore(storage, *keys(1), tmp_path)
    assert ids(indexes) == [entry(number).content_id for number in range(MERGE_FROM + 1)]
    assert len(list(tmp_path.glob("*.idx"))) == MERGE_FROM + 1
    assert list(tmp_path.glob("merged-*")) == []


def test_a_folder_that_can_not_be_written_to_is_warned_of_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "a file"
    folder.touch()
    storage = MemoryStorage()
    writer = new(storage, 3)
    write(writer, 0)
    write(writer, 1)
    assert ids(IndexStore(storage, *keys(3), folder)) == [entry(0).content_id, entry(1).content_id]
    assert "index files are kept in memory" in caplog.text
    assert folder.read_bytes() == b""


def test_a_folder_that_another_process_tidies_up_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def write_and_lose(path: Path, data: bytes) -> None:
        write_private(path, data)
        path.unlink()

    monkeypatch.setattr(local_files, "write_private", write_and_lose)
    storage = MemoryStorage()
    write(new(storage, 3), 0)
    assert ids(IndexStore(storage, *keys(3), tmp_path)) == [entry(0).content_id]
    assert caplog.text == ""


def test_an_index_blob_that_decrypts_to_no_index_is_named() -> None:
    storage = MemoryStorage()
    indexes = new(storage, 3)
    good = write(indexes, 0)
    bad = indexes.stored.put("xn0_", b"\2no index", "s0123456789abcdef0123456789abcdef-c1")
    reader = new(storage, 3)
    assert list(reader.damaged) == [bad]
    assert ids(reader) == [entry(0).content_id]
    assert good in reader.layout.active()
    with pytest.raises(DamagedIndexError, match=f"can't write.*{bad} first"):
        reader.check_complete("write")


# --- markers ----------------------------------------------------------------------------------------------------------


def without_marker(storage: MemoryStorage, *, current: int) -> IndexStore:
    """Return an index whose epoch ``current`` has an index blob and no marker: it was lost."""
    indexes = new(storage, 3)
    write(indexes, 0)
    for number in range(1, current):
        storage.put(epoch.marker_blob_id(number), epoch.MARKER_CONTENT)
    write_to(indexes, current, "", 1)
    return new(storage, 3)


def test_a_lost_marker_is_written_again_before_anything_else(caplog: pytest.LogCaptureFixture) -> None:
    storage = MemoryStorage()
    indexes = without_marker(storage, current=2)
    written = write(indexes, 2)
    assert written.startswith("xn2_")
    assert storage.get(epoch.marker_blob_id(2)) == epoch.MARKER_CONTENT
    assert ids(new(storage, 3)) == [entry(number).content_id for number in range(3)]
    assert "the marker of epoch 2 is missing" in caplog.text


def test_what_the_marker_would_hide_is_written_again_as_far_as_it_can_be_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = MemoryStorage()
    indexes = without_marker(storage, current=3)
    # epoch 0 is compacted; a client that believes in it writes to it afterwards
    write_to(indexes, 0, epoch.single_prefix(0), 0)
    write_to(indexes, 0, "", 5)
    broken = write_to(indexes, 0, "", 6)
    storage.put(broken, storage.get(broken)[:-1])
    indexes = new(storage, 3)
    written = write(indexes, 2)
    assert written.startswith("xn3_")
    assert entry(5).content_id in ids(new(storage, 3))
    assert f"index blob {broken} is left out" in caplog.text


def test_a_marker_too_far_away_for_kopia_is_not_written() -> None:
    storage = MemoryStorage()
    indexes = new(storage, 3)
    write(indexes, 0)
    far = MAX_SKIPPED_EPOCHS + 2
    write_to(indexes, far, "", 1)
    indexes = new(storage, 3)
    with pytest.raises(ContradictedViewError):
        write(indexes, 2)
    assert [blob.blob_id for blob in storage.list("xe")] == []


class Advancing(StorageWrapper):
    """An hour passes and another client begins a new epoch after the first index blob was put."""

    def __init__(self, inner: MemoryStorage, time: FakeClock) -> None:
        super().__init__(inner)
        self._time, self._begun = time, False

    def put(self, blob_id: BlobID, data: object, *more: object, **options: object) -> object:  # type: ignore[override]
        stored = super().put(blob_id, data, *more, **options)  # type: ignore[arg-type]
        if not self._begun:
            self._begun = True
            self._time.advance(hours=1)
            super().put(epoch.marker_blob_id(1), epoch.MARKER_CONTENT)
        return stored


def test_index_blobs_of_one_set_are_written_again_when_an_epoch_begins_in_between() -> None:
    time = FakeClock()
    with time.installed():
        inner = MemoryStorage()
        indexes = new(Advancing(inner, time), 3)
        plain = [build_indexes([entry(number)], version=indexes.version)[0] for number in range(3)]
        written = indexes.layout.put(plain, SESSION)
    assert isinstance(indexes.layout, EpochLayout)
    assert {blob_id.partition("_")[0] for blob_id in written} == {"xn1"}
    assert [blob.blob_id for blob in inner.list("xn0_")] == []
    assert ids(new(inner, 3)) == [entry(number).content_id for number in range(3)]
