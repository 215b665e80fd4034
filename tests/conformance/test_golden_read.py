"""Repositories of real Kopia: all that was recorded of them is found, restored and verified."""

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import InvalidPasswordError
from pykopia.format.directory import DirectoryEntry
from pykopia.format.index import IndexEntry
from pykopia.format.object_id import parse_object_id
from pykopia.format.repository_blob import POISON_INDEX_BLOB_ID
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.snapshot.verify import VerifyOptions
from tests.golden_repositories import GOOD_NAMES, GoldenEntry, assert_restored, load
from tests.trees import scan

Open = Callable[[str], Repository]

every_golden_repository = pytest.mark.parametrize("name", GOOD_NAMES)


@every_golden_repository
def test_it_is_the_repository_that_it_says(name: str, opened: Open) -> None:
    golden, repository = load(name), opened(name)
    assert repository.unique_id.hex() == golden.repository["unique_id"]
    content_format = golden.repository["content_format"]
    assert repository.format.hash == content_format["hash"]
    assert repository.format.encryption == content_format["encryption"]
    assert repository.format.version == content_format["version"]
    assert repository.format.splitter == golden.repository["object_format"]["splitter"]


@every_golden_repository
def test_every_content_is_listed_as_recorded_the_deleted_ones_too(name: str, opened: Open) -> None:
    listed = opened(name).contents.list(include_deleted=True)
    assert [
        (
            entry.content_id, entry.original_length, entry.packed_length, entry.compression, entry.pack_blob,
            entry.pack_offset, entry.timestamp, entry.format_version, entry.deleted,
        )
        for entry in listed
    ] == [
        (
            content.id, content.original_length, content.packed_length, content.compression, content.pack,
            content.offset, content.time, content.format_version, content.deleted,
        )
        for content in load(name).contents
    ]  # fmt: skip


@every_golden_repository
def test_deleted_contents_are_only_listed_when_asked_for(name: str, opened: Open) -> None:
    listed = [entry.content_id for entry in opened(name).contents.list()]
    assert listed == [content.id for content in load(name).contents if not content.deleted]


@every_golden_repository
def test_index_blobs_are_in_use_or_superseded_as_recorded(name: str, opened: Open) -> None:
    found = [
        (str(blob.metadata.blob_id), blob.metadata.length, not blob.superseded)
        for blob in opened(name).contents.indexes.blobs()
    ]
    assert sorted(found) == sorted((blob.id, blob.length, blob.active) for blob in load(name).index_blobs)


@every_golden_repository
def test_every_index_blob_has_the_recorded_entries(name: str, opened: Open) -> None:
    indexes = opened(name).contents.indexes
    found = [
        (
            str(blob.metadata.blob_id), entry.content_id, entry.deleted, entry.timestamp,
            entry.pack_blob, entry.pack_offset, entry.packed_length,
        )
        for blob in indexes.blobs()
        if blob.metadata.blob_id != POISON_INDEX_BLOB_ID
        for entry in indexes.stored.open(blob.metadata.blob_id).entries()
    ]  # fmt: skip
    recorded = [
        (
            entry.index_blob, entry.content_id, entry.deleted, _seconds(entry.time),
            entry.pack, entry.offset, entry.packed_length,
        )
        for entry in load(name).index_entries
    ]  # fmt: skip
    assert sorted(found) == sorted(recorded)


def _seconds(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp())


@every_golden_repository
def test_every_manifest_is_found_as_recorded(name: str, opened: Open) -> None:
    entries = opened(name).manifests.entries()
    assert {
        str(entry.id): (dict(entry.labels), len(entry.data), json.loads(entry.data)) for entry in entries.values()
    } == {manifest.id: (dict(manifest.labels), manifest.length, manifest.data) for manifest in load(name).manifests}


@every_golden_repository
def test_snapshots_are_listed_by_start_time_and_would_be_written_byte_for_byte_alike(name: str, opened: Open) -> None:
    golden, repository = load(name), opened(name)
    listed = repository.snapshots.list()
    assert [snapshot.start_time_ns for snapshot in listed] == sorted(snapshot.start_time_ns for snapshot in listed)
    assert repository.snapshots.list_unreadable() == {}
    recorded = {snapshot.id: snapshot for snapshot in golden.snapshots}
    assert {snapshot.id for snapshot in listed} == recorded.keys()
    for snapshot in listed:
        expected = recorded[snapshot.id]
        assert str(snapshot.source) == expected.source
        assert (snapshot.description, snapshot.incomplete) == (expected.description, expected.incomplete)
        assert snapshot.pins == expected.pins
        assert snapshot.root_object_id == expected.root
        stored = repository.manifests.get(snapshot.id).data
        assert SnapshotManifest.from_json(stored).to_json() == stored


@every_golden_repository
def test_every_listing_has_the_recorded_entries_in_their_order(name: str, opened: Open) -> None:
    golden, repository = load(name), opened(name)
    for snapshot in golden.snapshots:
        root = repository.snapshots.get(snapshot.id).root_entry
        assert root is not None
        found = [(".", root), *_below(repository, root, "")]
        assert [_stored(path, entry) for path, entry in found] == [_recorded(entry) for entry in snapshot.entries]


def _below(repository: Repository, folder: DirectoryEntry, path: str) -> Iterator[tuple[str, DirectoryEntry]]:
    """Yield what is in a folder with its paths, each folder before what it holds."""
    if folder.type != "d":
        return
    for entry in repository.objects.directory(folder.object_id).entries:
        yield path + entry.name, entry
        yield from _below(repository, entry, f"{path}{entry.name}/")


def _stored(path: str, entry: DirectoryEntry) -> tuple[object, ...]:
    return path, entry.type, entry.size, entry.mode, entry.mtime_ns, entry.uid, entry.gid, entry.object_id


def _recorded(entry: GoldenEntry) -> tuple[object, ...]:
    return entry.path, entry.kind, entry.size, entry.mode, entry.mtime_ns, entry.uid, entry.gid, entry.object_id


@pytest.mark.parametrize("name", [name for name in GOOD_NAMES if load(name).indirect_objects])
def test_objects_of_many_chunks_have_the_recorded_chunks(name: str, opened: Open) -> None:
    objects = opened(name).objects
    for recorded in load(name).indirect_objects:
        index = parse_object_id(recorded.object).index_object
        assert index is not None
        stored = objects.read(index.to_string())
        assert (len(stored), hashlib.sha256(stored).hexdigest()) == (recorded.index_length, recorded.index_sha256)
        chunks = [
            (chunk.start, chunk.length, f"{'Z' if chunk.compressed else ''}{chunk.content_id}")
            for chunk in objects.chunks(recorded.object)
        ]
        assert len(chunks) == recorded.count
        half = len(recorded.chunks) // 2
        shown = chunks if recorded.complete else [*chunks[:half], *chunks[-half:]]
        assert tuple(shown) == recorded.chunks
        assert objects.length(recorded.object) == recorded.length


@every_golden_repository
def test_every_snapshot_is_restored_bit_by_bit(name: str, opened: Open, tmp_path: Path) -> None:
    repository = opened(name)
    for snapshot in load(name).snapshots:
        target = tmp_path / snapshot.id
        result = repository.snapshots.restore(snapshot.id, target, options=RestoreOptions(write_sparse=True))
        assert result.errors == ()
        assert_restored(target, snapshot)


@every_golden_repository
def test_nothing_is_found_wrong_with_a_snapshot(name: str, opened: Open) -> None:
    result = opened(name).snapshots.verify(options=VerifyOptions(files_percent=100, max_errors=-1))
    assert result.errors == ()
    assert result.counters.processed_objects == len(_objects(name))
    assert result.counters.read_files == len(_objects(name, kinds="fs"))


def _objects(name: str, *, kinds: str = "fds") -> set[str]:
    """Return the different objects of all snapshots."""
    return {entry.object_id for each in load(name).snapshots for entry in each.entries if entry.kind in kinds}


@every_golden_repository
def test_nothing_is_found_wrong_with_a_content(name: str, opened: Open) -> None:
    contents = opened(name).contents
    reports: list[tuple[IndexEntry, Exception | None]] = []
    contents.verify(
        contents.list(include_deleted=True),
        read=lambda entry: True,
        report=lambda entry, error: reports.append((entry, error)),
    )
    assert [(entry.content_id, error) for entry, error in reports if error is not None] == []
    assert len(reports) == len(load(name).contents)


@pytest.mark.parametrize("name", [name for name in GOOD_NAMES if load(name).old_passwords])
def test_an_old_password_opens_nothing(name: str, pristine_golden_repository: Callable[[str], Path]) -> None:
    for password in load(name).old_passwords:
        with pytest.raises(InvalidPasswordError):
            connect(pristine_golden_repository(name), password)


@every_golden_repository
def test_reading_changes_nothing(name: str, opened: Open, golden_repository: Callable[[str], Path]) -> None:
    golden = load(name)
    folder = golden_repository(name)
    before = scan(folder)
    with connect(folder, golden.password) as repository:
        repository.snapshots.list()
        repository.snapshots.verify(options=VerifyOptions(files_percent=100, max_errors=-1))
    assert scan(folder) == before
