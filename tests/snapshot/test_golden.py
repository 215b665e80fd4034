"""Repositories of real Kopia: everything recorded of them is read, restored and would be written again alike."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykopia import clock
from pykopia.errors import (
    DamagedFormatBlobError,
    DamagedIndexError,
    InvalidPasswordError,
    PykopiaError,
    RepositoryNotFoundError,
    RequiredFeatureError,
    UpgradeInProgressError,
)
from pykopia.format.repository_blob import POISON_INDEX_BLOB_ID
from pykopia.format.source import SourceInfo
from pykopia.repository.opening import connect
from pykopia.repository.options import ClientOptions
from pykopia.repository.repository import Repository
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.snapshot.upload_options import SnapshotOptions
from pykopia.snapshot.verify import VerifyOptions
from tests.golden_repositories import (
    DAMAGED_NAMES,
    GOOD_NAMES,
    GoldenRepository,
    GoldenSnapshot,
    assert_restored,
    build_source,
    load,
    restored_differences,
    unpack,
)

OPENED_BY_NONE: dict[str, type[PykopiaError]] = {
    "damaged-format-flip": InvalidPasswordError,
    "damaged-wrong-password": InvalidPasswordError,
    "damaged-format-garbage": DamagedFormatBlobError,
    "damaged-format-missing-v1": RepositoryNotFoundError,
    "damaged-required-feature": RequiredFeatureError,
    "damaged-upgrade-lock": UpgradeInProgressError,
}

Open = Callable[[str], Repository]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Unpack a golden repository and open it as the user who made it."""
    repositories: list[Repository] = []

    def open_one(name: str, **options: bool) -> Repository:
        golden = load(name)
        folder = unpack(name, tmp_path / name)
        client = ClientOptions(username=golden.user, hostname=golden.host, **options)  # type: ignore[arg-type]
        repositories.append(connect(folder, golden.password, client=client))
        return repositories[-1]

    yield open_one
    for repository in repositories:
        repository.close()


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_contents_indexes_and_manifests_are_those_recorded(name: str, opened: Open) -> None:
    golden, repository = load(name), opened(name)
    listed = [
        (
            entry.content_id, entry.original_length, entry.packed_length, entry.compression, entry.pack_blob,
            entry.pack_offset, entry.timestamp, entry.format_version, entry.deleted,
        )
        for entry in repository.contents.list(include_deleted=True)
    ]  # fmt: skip
    recorded = [
        (
            each.id, each.original_length, each.packed_length, each.compression, each.pack,
            each.offset, each.time, each.format_version, each.deleted,
        )
        for each in golden.contents
    ]  # fmt: skip
    assert sorted(listed) == sorted(recorded)
    blobs = {each.metadata.blob_id: not each.superseded for each in repository.contents.indexes.blobs()}
    assert blobs == {each.id: each.active for each in golden.index_blobs}
    entries = sorted(
        (str(blob_id), entry.content_id, entry.deleted, entry.pack_blob, entry.pack_offset, entry.packed_length)
        for blob_id in blobs
        if blob_id != POISON_INDEX_BLOB_ID
        for entry in repository.contents.indexes.read_blob(blob_id).entries()
    )
    assert entries == sorted(
        (each.index_blob, each.content_id, each.deleted, each.pack, each.offset, each.packed_length)
        for each in golden.index_entries
    )
    manifests = repository.manifests.entries()
    assert {each.id: dict(each.labels) for each in manifests.values()} == {
        each.id: dict(each.labels) for each in golden.manifests
    }
    for each in golden.manifests:
        assert json.loads(manifests[each.id].data) == each.data  # type: ignore[index]
        assert len(manifests[each.id].data) == each.length  # type: ignore[index]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_every_snapshot_is_restored_and_verified(name: str, opened: Open, tmp_path: Path) -> None:
    golden, repository = load(name), opened(name)
    listed = repository.snapshots.list()
    assert {each.id for each in listed} == {each.id for each in golden.snapshots}
    assert [each.start_time_ns for each in listed] == sorted(each.start_time_ns for each in listed)
    for snapshot in golden.snapshots:
        unfinished = any(entry.path.rsplit("/", 1)[-1].startswith(".checkpointed.") for entry in snapshot.entries)
        target = tmp_path / "restored" / snapshot.id
        options = RestoreOptions(ignore_errors=unfinished)
        result = repository.snapshots.restore(snapshot.id, target, options=options)
        if not unfinished:
            assert not result.errors
            assert_restored(target, snapshot)
    verified = repository.snapshots.verify(options=VerifyOptions(files_percent=100, max_errors=-1))
    assert verified.errors == ()
    errors: list[Exception | None] = []
    repository.contents.verify(
        repository.contents.list(include_deleted=True),
        read=lambda _: True,
        report=lambda _, error: errors.append(error),
    )
    assert not [error for error in errors if error is not None]


@pytest.mark.parametrize("name", [name for name in GOOD_NAMES if load(name).old_passwords])
def test_an_old_password_opens_nothing(name: str, tmp_path: Path) -> None:
    folder = unpack(name, tmp_path)
    for password in load(name).old_passwords:
        with pytest.raises(InvalidPasswordError):
            connect(folder, password)


def comparable(golden: GoldenRepository, snapshot: GoldenSnapshot) -> bool:
    """Say whether a snapshot of the same tree must get the same root."""
    if snapshot.incomplete or any("Z" in entry.object_id for entry in snapshot.entries):
        return False  # compressed as objects: IDs depend on the encoder (spec 04 §2.3)
    return not any(entry.duplicate_name for entry in snapshot.entries) and golden.name != "errors"


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_the_same_tree_gets_the_same_root(name: str, opened: Open, tmp_path: Path) -> None:
    golden, repository = load(name), opened(name)
    compared = 0
    for snapshot in golden.snapshots:
        if not comparable(golden, snapshot):
            continue
        source = build_source(golden, snapshot, tmp_path / "sources" / str(snapshot.index))
        if source is None:
            continue
        options = SnapshotOptions(
            source=SourceInfo(host=snapshot.host, user_name=snapshot.user, path=snapshot.path), force_hash_percent=100
        )
        before = {entry.content_id for entry in repository.contents.list("", "g")}
        root = repository.snapshots.create(source, options=options).manifest.root_entry
        assert root is not None
        # a snapshot that files were taken out of later has its old root in the copies that were made of it before
        roots = {each.root for each in golden.snapshots if each.start_time == snapshot.start_time}
        assert root.object_id in roots, snapshot.source
        assert {entry.content_id for entry in repository.contents.list("", "g")} == before
        compared += 1
    if not compared:
        pytest.skip("no snapshot in it can be made again with the same IDs")


@pytest.mark.parametrize("name", DAMAGED_NAMES)
def test_damage_ends_in_an_error_of_its_own(name: str, tmp_path: Path) -> None:
    golden = load(name)
    folder = unpack(name, tmp_path)
    client = ClientOptions(username=golden.user, hostname=golden.host)
    password = "not the password" if name == "damaged-wrong-password" else golden.password
    expected = OPENED_BY_NONE.get(name)
    if expected is not None:
        with pytest.raises(expected):
            connect(folder, password, client=client)
        return
    with connect(folder, password, client=client) as repository:
        if name == "damaged-index-truncated":
            with pytest.raises(DamagedIndexError, match="index recover"):
                repository.writer()
            return
        try:
            snapshots = repository.snapshots.list()
        except PykopiaError:
            assert name == "damaged-metadata-pack"
            return
        result = repository.snapshots.verify(options=VerifyOptions(files_percent=100, max_errors=-1))
        assert bool(result.errors) == (name not in {"damaged-ecc-correctable", "damaged-index-missing"})
        assert [each.id for each in snapshots] == [] or len(snapshots) == len(golden.snapshots)
        for snapshot in golden.snapshots if snapshots else ():
            target = tmp_path / "restored" / snapshot.id
            repository.snapshots.restore(snapshot.id, target, options=RestoreOptions(ignore_errors=True))
            assert not [line for line in restored_differences(target, snapshot) if "SHA-256" in line]


def test_a_golden_repository_is_not_changed_by_reading(opened: Open, tmp_path: Path) -> None:
    repository = opened("default")
    before = sorted((blob.blob_id, blob.timestamp_ns) for blob in repository.storage.list())
    assert repository.snapshots.verify(options=VerifyOptions(files_percent=100)).errors == ()
    assert sorted((blob.blob_id, blob.timestamp_ns) for blob in repository.storage.list()) == before
    assert clock.now() > 0
