"""Verification that reads all content: several runs are hashed at once, and each error is told of what it concerns."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import BlobNotFoundError, CanceledError, StorageUnavailableError
from pykopia.format.gotime import format_time
from pykopia.format.index import IndexEntry
from pykopia.ids import BlobID
from pykopia.repository import runs
from pykopia.snapshot import verify
from pykopia.snapshot.verify import VerifyOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from tests.snapshot.conftest import CLIENT, PASSWORD

LARGE_FILES = 4
MAX_RUN = 256 << 10
FETCHED_RUNS = 3
TEXT = b"text that repeats, over and over, in every large file; "


@pytest.fixture
def contents(repository: Repository, source: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[IndexEntry]]:
    """Take a snapshot; return by file name where the chunks are, many more runs than are in memory at one time."""
    monkeypatch.setattr(verify, "FETCHED_RUNS", FETCHED_RUNS)
    monkeypatch.setattr(runs, "MAX_RUN", MAX_RUN)
    choose = random.Random(1)
    for number in range(LARGE_FILES):
        data = [choose.randbytes(1 << 20), TEXT * 6_000, choose.randbytes(1 << 20)]
        (source / f"large {number}").write_bytes(b"".join(data))
    for number in range(30):
        (source / f"small {number}").write_bytes(choose.randbytes(1000) * (1 + number % 2))
    snapshot = repository.snapshots.create(source).manifest
    assert snapshot.root_entry is not None
    entries = repository.objects.directory(snapshot.root_entry.object_id).entries
    return {
        entry.name: [
            repository.contents.entry(chunk.content_id) for chunk in repository.objects.chunks(entry.object_id)
        ]
        for entry in entries
    }


def alter(storage: MemoryStorage, entry: IndexEntry) -> None:
    pack = bytearray(storage.get(entry.pack_blob))
    pack[entry.pack_offset + entry.packed_length // 2] ^= 1
    storage.put(BlobID(entry.pack_blob), bytes(pack))


each_parallel = pytest.mark.parametrize("parallel", [1, 2, 8])


@each_parallel
def test_all_content_is_read_and_each_byte_once(
    repository: Repository, contents: dict[str, list[IndexEntry]], parallel: int
) -> None:
    options = VerifyOptions(files_percent=100, parallel=parallel)
    result = repository.snapshots.verify(options=options)
    assert result.errors == ()
    different = {entry.content_id: entry.original_length for chunks in contents.values() for entry in chunks}
    assert result.counters.read_bytes == sum(different.values())
    assert sum(entry.packed_length for chunks in contents.values() for entry in chunks) > 10 * FETCHED_RUNS * MAX_RUN


@each_parallel
def test_each_damaged_content_is_told_by_its_path_and_no_other(
    repository: Repository, storage: MemoryStorage, contents: dict[str, list[IndexEntry]], parallel: int
) -> None:
    altered = {"large 0", "large 2", "small 7", "small 20"}
    for name in altered:
        alter(storage, contents[name][-1])
    result = repository.snapshots.verify(options=VerifyOptions(files_percent=100, max_errors=-1, parallel=parallel))
    assert len(result.errors) == len(altered)
    for name in altered:
        (error,) = [each for each in result.errors if f"/{name}: " in each]
        assert f"content {contents[name][-1].content_id} is damaged" in error
        assert "authentication failed" in error


@each_parallel
def test_contents_are_read_one_by_one_when_a_run_cannot_be_fetched(
    repository: Repository,
    storage: MemoryStorage,
    contents: dict[str, list[IndexEntry]],
    monkeypatch: pytest.MonkeyPatch,
    parallel: int,
) -> None:
    def fail(*_: object) -> None:
        raise StorageUnavailableError("not now")

    alter(storage, contents["large 1"][-1])
    monkeypatch.setattr(MemoryStorage, "get_into", fail)
    result = repository.snapshots.verify(options=VerifyOptions(files_percent=100, max_errors=-1, parallel=parallel))
    (error,) = result.errors
    assert "/large 1: content" in error


@each_parallel
def test_it_stops_after_the_first_error_though_others_wait(
    repository: Repository, storage: MemoryStorage, contents: dict[str, list[IndexEntry]], parallel: int
) -> None:
    for chunks in contents.values():
        alter(storage, chunks[0])
    result = repository.snapshots.verify(options=VerifyOptions(files_percent=100, max_errors=0, parallel=parallel))
    assert 1 <= len(result.errors) < len(contents) / 2  # some may be found before the first one is known


@each_parallel
@pytest.mark.usefixtures("contents")
def test_it_can_be_canceled_while_content_is_read(repository: Repository, parallel: int) -> None:
    def cancel_later() -> Callable[[], bool]:
        asked = 0

        def canceled() -> bool:
            nonlocal asked
            asked += 1
            return asked > 5

        return canceled

    with pytest.raises(CanceledError):
        repository.snapshots.verify(options=VerifyOptions(files_percent=100, parallel=parallel), cancel=cancel_later())


def test_a_failure_is_named_as_the_list_names_its_snapshot(
    repository: Repository, storage: MemoryStorage, source: Path
) -> None:
    for number in range(5):
        (source / f"file {number}").write_bytes(random.Random(number).randbytes(1000))
    snapshot = repository.snapshots.create(source).manifest
    root = snapshot.root_entry
    assert root is not None
    for blob in list(storage.list("p")):
        storage.delete(blob.blob_id)
    result = repository.snapshots.verify()
    assert len(result.errors) == 5
    assert not result.stopped_early
    assert result.snapshots == 1
    (third,) = (each for each in result.problems if each.path == "file 3")
    assert str(third).startswith(f"{snapshot.source} {format_time(snapshot.start_time_ns)} ({root.object_id})/file 3: ")
    assert isinstance(third.error, BlobNotFoundError)
    assert not any("snapshot verify" in text for text in result.errors)
    (cure,) = result.cures()
    assert "snapshot fix invalid-files --invalid-file-handling=keep" in cure


@pytest.mark.parametrize(("most", "found"), [(0, 1), (1, 1), (3, 3)])
def test_it_is_told_when_a_verification_stopped_early(
    repository: Repository, storage: MemoryStorage, source: Path, most: int, found: int
) -> None:
    for number in range(5):
        (source / f"file {number}").write_bytes(random.Random(number).randbytes(1000))
    repository.snapshots.create(source)
    for blob in list(storage.list("p")):
        storage.delete(blob.blob_id)
    result = repository.snapshots.verify(options=VerifyOptions(max_errors=most))
    assert result.stopped_early
    assert len(result.problems) == found


def test_expected_totals_are_those_of_the_snapshots(repository: Repository, source: Path) -> None:
    (source / "folder").mkdir()
    (source / "folder" / "file").write_bytes(b"x" * 1000)
    (source / "other").write_bytes(b"y" * 24)
    repository.snapshots.create(source)
    counters = repository.snapshots.verify().counters
    assert (counters.expected_files, counters.expected_objects, counters.expected_bytes) == (2, 4, 1024)


def test_nothing_to_verify_is_told(repository: Repository) -> None:
    result = repository.snapshots.verify()
    assert result.snapshots == 0
    assert not result.problems


def test_lost_manifests_are_a_damaged_view_and_the_other_snapshots_are_verified(
    repository: Repository, storage: MemoryStorage, source: Path
) -> None:
    (source / "file").write_text("one")
    repository.snapshots.create(source)
    before = {entry.content_id for entry in repository.contents.list("m", "m{")}
    (source / "file").write_text("two")
    repository.snapshots.create(source)
    (newest,) = {entry.content_id for entry in repository.contents.list("m", "m{")} - before
    storage.delete(repository.contents.entry(newest).pack_blob)
    with connect(storage, PASSWORD, client=CLIENT) as opened:
        result = opened.snapshots.verify()
    assert result.snapshots == 1
    assert result.damaged_view
    assert newest in result.errors[0]
