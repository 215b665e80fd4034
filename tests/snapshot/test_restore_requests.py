"""A restore from a storage behind a network asks for each byte of a pack at most once, and seldom."""

import random
from collections import defaultdict
from pathlib import Path

import pytest

import pykopia
from pykopia.errors import RestoreError
from pykopia.ids import BlobID
from pykopia.repository.options import NewRepositoryOptions
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing.counting import CountingStorage
from tests.trees import assert_trees_equal

FOLDERS, FILES, SIZE = 40, 75, 4096


def small_files(root: Path) -> None:
    source = random.Random("small files")
    twin = source.randbytes(SIZE)
    for folder in range(FOLDERS):
        (root / f"{folder:03}").mkdir(parents=True)
        for number in range(FILES):
            (root / f"{folder:03}" / f"{number:03}").write_bytes(twin if number == 7 else source.randbytes(SIZE))


def fetched_twice(storage: CountingStorage) -> int:
    """Return how many bytes of packs were asked for more than once."""
    twice = 0
    by_blob = defaultdict(list)
    for call in storage.calls("get", "p"):
        by_blob[call.blob_id].append((call.offset, call.offset + call.length))
    for ranges in by_blob.values():
        end = 0
        for start, stop in sorted(ranges):
            twice += max(0, min(end, stop) - start)
            end = max(end, stop)
    return twice


def test_each_byte_of_a_pack_is_asked_for_at_most_once(tmp_path: Path) -> None:
    small_files(tmp_path / "source")
    storage = CountingStorage(MemoryStorage())
    with pykopia.create(storage, "password", options=NewRepositoryOptions()) as repository:
        for folder in range(4):  # so that the packs hold a mixture, and there are several
            repository.snapshots.create(tmp_path / "source" / f"{folder:03}")
        repository.snapshots.create(tmp_path / "source")
    with pykopia.connect(storage, "password") as repository:
        [snapshot] = [each for each in repository.snapshots.list() if str(each.source.path).endswith("source")]
        storage.clear()
        repository.snapshots.restore(snapshot.id, tmp_path / "restored", options=RestoreOptions(parallel=8))
    assert_trees_equal(tmp_path / "source", tmp_path / "restored")
    packs = {call.blob_id for call in storage.calls("get", "p")}
    assert len(packs) >= 5
    assert fetched_twice(storage) == 0
    stored = sum(storage.inner.metadata(BlobID(pack)).length for pack in packs)
    assert sum(call.length for call in storage.calls("get", "p")) <= stored
    assert storage.count("get", "p") <= FOLDERS + 4 * len(packs)


def test_a_single_small_file_brings_nothing_else_along(tmp_path: Path) -> None:
    small_files(tmp_path / "source")
    storage = CountingStorage(MemoryStorage())
    with pykopia.create(storage, "password", options=NewRepositoryOptions()) as repository:
        repository.snapshots.create(tmp_path / "source")
    with pykopia.connect(storage, "password") as repository:
        [snapshot] = repository.snapshots.list()
        storage.clear()
        repository.snapshots.restore(f"{snapshot.id}/005/003", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == (tmp_path / "source" / "005" / "003").read_bytes()
    assert sum(call.length for call in storage.calls("get", "p")) < 2 * SIZE


def test_a_large_file_is_fetched_by_few_requests_each_byte_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    noise = random.Random("large file")
    zeros = bytes(24 << 20)
    (source / "large").write_bytes(noise.randbytes(50 << 20) + zeros + noise.randbytes(10 << 20) + zeros)
    storage = CountingStorage(MemoryStorage())
    with pykopia.create(storage, "password", options=NewRepositoryOptions()) as repository:
        repository.snapshots.create(source)
    with pykopia.connect(storage, "password") as repository:
        [snapshot] = repository.snapshots.list()
        storage.clear()
        repository.snapshots.restore(snapshot.id, tmp_path / "restored")
    assert (tmp_path / "restored" / "large").read_bytes() == (source / "large").read_bytes()
    packs = {call.blob_id for call in storage.calls("get", "p")}
    assert storage.count("get", "p") < 10 + 2 * len(packs)
    assert sum(call.length for call in storage.calls("get", "p")) < 100 << 20


def test_what_is_wrong_with_a_large_file_is_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "large").write_bytes(random.Random("damage").randbytes(45 << 20))
    storage = MemoryStorage()
    with pykopia.create(storage, "password", options=NewRepositoryOptions()) as repository:
        repository.snapshots.create(source)
    packs = [blob.blob_id for blob in storage.list("p")]
    lost = max(packs, key=lambda pack: storage.metadata(pack).length)
    stored = storage.get(lost)
    for damaged, told in ((None, lost), (stored[: len(stored) // 2], "cut off"), (bytes(len(stored)), "damaged")):
        storage.delete(lost)
        if damaged is not None:
            storage.put(lost, damaged)
        with pykopia.connect(storage, "password") as repository:
            [snapshot] = repository.snapshots.list()
            with pytest.raises(RestoreError, match=f"large.*{told}"):
                repository.snapshots.restore(snapshot.id, tmp_path / f"restored {told}")
        assert not (tmp_path / f"restored {told}" / "large").exists()


def stored_small_files(root: Path, storage: CountingStorage) -> None:
    """Store the small files so that their contents lie mixed in several packs."""
    small_files(root)
    with pykopia.create(storage, "password", options=NewRepositoryOptions()) as repository:
        for folder in range(4):
            repository.snapshots.create(root / f"{folder:03}")
        repository.snapshots.create(root)


def test_files_that_are_replaced_or_missing_are_fetched_together_too(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    storage = CountingStorage(MemoryStorage())
    stored_small_files(source, storage)
    for folder in range(FOLDERS):
        (target / f"{folder:03}").mkdir(parents=True)
        for number in range(0, FILES, 2):
            (target / f"{folder:03}" / f"{number:03}").write_bytes(b"old")
    with pykopia.connect(storage, "password") as repository:
        [snapshot] = [each for each in repository.snapshots.list() if str(each.source.path).endswith("source")]
        storage.clear()
        repository.snapshots.restore(snapshot.id, target)
    assert_trees_equal(source, target)
    assert fetched_twice(storage) == 0
    assert storage.count("get", "p") <= FOLDERS + 4 * len({call.blob_id for call in storage.calls("get", "p")})


@pytest.mark.parametrize("options", [RestoreOptions(skip_existing=True), RestoreOptions(only_differences=True)])
def test_files_that_stay_are_not_fetched(tmp_path: Path, options: RestoreOptions) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    storage = CountingStorage(MemoryStorage())
    stored_small_files(source, storage)
    with pykopia.connect(storage, "password") as repository:
        [snapshot] = [each for each in repository.snapshots.list() if str(each.source.path).endswith("source")]
        repository.snapshots.restore(snapshot.id, target)
        for folder in range(0, FOLDERS, 4):
            (target / f"{folder:03}" / "005").unlink()
            (target / f"{folder:03}" / "006").write_bytes(b"old")
    with pykopia.connect(storage, "password") as repository:
        storage.clear()
        repository.snapshots.restore(snapshot.id, target, options=options)
    assert_trees_equal(source, target)
    assert sum(call.length for call in storage.calls("get", "p")) < 30 * 2 * SIZE * (FOLDERS // 4)


@pytest.mark.parametrize("name", ["restored.tar", "restored.zip"])
def test_an_archive_fetches_what_lies_together(tmp_path: Path, name: str) -> None:
    storage = CountingStorage(MemoryStorage())
    stored_small_files(tmp_path / "source", storage)
    with pykopia.connect(storage, "password") as repository:
        [snapshot] = [each for each in repository.snapshots.list() if str(each.source.path).endswith("source")]
        storage.clear()
        repository.snapshots.restore(snapshot.id, tmp_path / name)
    assert (tmp_path / name).stat().st_size > FOLDERS * FILES * SIZE
    assert fetched_twice(storage) == 0
    assert storage.count("get", "p") <= FOLDERS + 4 * len({call.blob_id for call in storage.calls("get", "p")})
