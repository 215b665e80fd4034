"""Old versions and locks in Azure, against an imitation that answers as documented: Azurite has neither.

Requests are those of the SDK, over loopback. What the service does in earnest can't be seen here.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import pykopia
from pykopia.errors import BlobNotFoundError, InvalidRangeError, ReadOnlyStorageError, StorageError
from pykopia.ids import BlobID
from pykopia.storage.backends.azureblob.storage import AzureStorage
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_storage
from pykopia.testing.storage_tests import FORMAT, PACK, StorageTests
from tests.cli_runner import Runner
from tests.servers.azure_versions import VersionedContainer, versioned_container
from tests.trees import assert_trees_equal, changing_tree

_DAY = timedelta(days=1)
_DAY_NS = 86_400 * 10**9
_LOCKED = PutOptions(retention_mode="GOVERNANCE", retention_period_ns=_DAY_NS)


@pytest.fixture
def service() -> Iterator[VersionedContainer]:
    with versioned_container() as service:
        yield service


@pytest.fixture
def storage(service: VersionedContainer) -> Iterator[AzureStorage]:
    with AzureStorage(replace(service.options, prefix="folder/")) as storage:
        yield storage


def versions_of(service: VersionedContainer, blob_id: str = PACK) -> list[bytes]:
    return [version.content for version in service.blobs[f"folder/{blob_id}"].versions]


class TestVersionedContainer(StorageTests):
    """That the imitation answers as a storage must, so that the tests below mean something."""

    supports_do_not_recreate = supports_set_mtime = supports_retention = True
    mtime_precision_ns = 1_000
    many_blobs = 20
    big_blob = 1 << 20

    @pytest.fixture(autouse=True)
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(AzureStorage, "page_size", 7)

    @pytest.fixture
    def storage(self, service: VersionedContainer) -> Iterator[BlobStorage]:
        with AzureStorage(service.options) as storage:
            yield storage


def test_a_locked_blob_is_deleted_and_its_version_kept(service: VersionedContainer, storage: AzureStorage) -> None:
    storage.put(PACK, b"locked", _LOCKED)
    [version] = service.blobs[f"folder/{PACK}"].versions
    assert version.mode == "Locked"
    service.requests.clear()
    storage.delete(PACK)
    assert service.requests == [
        "DELETE blob", "PUT blob", "DELETE immutabilityPolicies", "DELETE blob", "DELETE version"
    ]  # fmt: skip
    assert [*storage.list()] == []
    with pytest.raises(BlobNotFoundError):
        storage.get(PACK)
    assert versions_of(service) == [b"locked"]
    assert service.is_locked(version)
    storage.delete(PACK)  # as often as one likes


def test_a_delete_that_ended_in_the_middle_goes_on(service: VersionedContainer, storage: AzureStorage) -> None:
    storage.put(PACK, b"locked", _LOCKED)
    blob = service.blobs[f"folder/{PACK}"]
    storage._wait(  # what another has done before it was killed
        storage._blob(storage._path_of(PACK)).upload_blob(b"", overwrite=True)
    )
    assert blob.current is not None
    blob.current.locked_until, blob.current.mode = service.now + _DAY, "Unlocked"
    storage.delete(PACK)
    assert [*storage.list()] == []
    assert b"locked" in versions_of(service)


def test_a_lock_without_versions_holds_and_the_refusal_is_told(
    service: VersionedContainer, storage: AzureStorage
) -> None:
    service.versioned = False
    storage.put(PACK, b"locked", _LOCKED)
    with pytest.raises(StorageError, match="BlobImmutableDueToPolicy"):
        storage.delete(PACK)
    assert storage.get(PACK) == b"locked"


def test_a_lock_is_made_longer(service: VersionedContainer, storage: AzureStorage) -> None:
    storage.put(PACK, b"locked", _LOCKED)
    storage.extend_retention(PACK, "GOVERNANCE", 7 * _DAY_NS)
    [version] = service.blobs[f"folder/{PACK}"].versions
    assert version.locked_until is not None
    assert abs(version.locked_until - service.now - 7 * _DAY) < timedelta(minutes=10)
    with pytest.raises(StorageError, match="CannotBeReduced"):
        storage.extend_retention(PACK, "GOVERNANCE", _DAY_NS)
    with pytest.raises(BlobNotFoundError):
        storage.extend_retention(BlobID("p0"), "GOVERNANCE", _DAY_NS)


def test_a_blob_is_seen_as_it_was_at_every_time(service: VersionedContainer, storage: AzureStorage) -> None:
    """Put, replaced within the same second, put again after a deletion; another that was deleted under a lock.

    Of a deletion the service tells nothing more once the name is used again.
    """
    start = service.now
    times = [start - _DAY]

    def done() -> None:
        times.append(service.now)

    storage.put(
        PACK, b"one", PutOptions(set_mtime_ns=1)
    )  # that time is told by whoever writes, and counts for nothing here
    done()
    storage.put(PACK, b"second")
    done()
    service.now += _DAY
    storage.delete(PACK)
    done()
    service.now += _DAY
    storage.put(PACK, b"third one")
    done()
    storage.put(FORMAT, b"format", _LOCKED)
    done()
    storage.delete(FORMAT)
    done()
    seen = []
    for time in times:
        info = ConnectionInfo.from_options(replace(storage.options, point_in_time=time.isoformat()))
        with open_storage(info) as view:
            seen.append({blob.blob_id: view.get(blob.blob_id) for blob in view.list()})
            assert all(view.metadata(blob_id).length == len(data) for blob_id, data in seen[-1].items())
            with pytest.raises(ReadOnlyStorageError):
                view.put(PACK, b"x")
    third = {PACK: b"third one"}
    assert seen == [
        {},
        {PACK: b"one"},
        {PACK: b"second"},
        {PACK: b"second"},
        third,
        {**third, FORMAT: b"format"},
        third,
    ]
    assert times[1].replace(microsecond=0) == times[2].replace(microsecond=0)


def test_ranges_of_old_versions_are_read(service: VersionedContainer, storage: AzureStorage) -> None:
    storage.put(PACK, b"0123456789")
    then = service.now
    storage.put(PACK, b"")
    info = ConnectionInfo.from_options(replace(storage.options, point_in_time=then.isoformat()))
    with open_storage(info) as view:
        assert (view.get(PACK, 3, 4), view.get(PACK, 8), view.get(PACK, 10, 0)) == (b"3456", b"89", b"")
        with pytest.raises(InvalidRangeError):
            view.get(PACK, 8, 3)
        with pytest.raises(BlobNotFoundError):
            view.get(FORMAT)


def test_a_container_without_versions_can_not_be_seen_as_it_was(
    service: VersionedContainer, storage: AzureStorage
) -> None:
    service.versioned = False
    storage.put(FORMAT, b"x")
    info = ConnectionInfo.from_options(replace(storage.options, point_in_time="2026-01-01T00:00:00Z"))
    with pytest.raises(StorageError, match="keeps no versions"):
        open_storage(info)


def test_what_was_there_before_versions_were_kept_is_seen_since_its_last_change(
    service: VersionedContainer, storage: AzureStorage
) -> None:
    storage.put(PACK, b"old")
    service.blobs[f"folder/{PACK}"].versions[0].id = ""
    storage.put(FORMAT, b"new")
    for moment, expected in ((service.now - _DAY, {}), (service.now, {PACK: b"old", FORMAT: b"new"})):
        info = ConnectionInfo.from_options(replace(storage.options, point_in_time=moment.isoformat()))
        with open_storage(info) as view:
            assert {blob.blob_id: view.get(blob.blob_id) for blob in view.list()} == expected


def test_a_repository_is_restored_as_it_was_before_all_was_deleted(
    service: VersionedContainer, storage: AzureStorage, tmp_path: Path
) -> None:
    """Locked blobs, deleted by an intruder with the key: the command line still restores them."""
    cli = Runner(tmp_path / "client")
    changing_tree(tmp_path / "source", 0)
    with pykopia.create(storage, cli.password) as repository:
        snapshot = repository.snapshots.create(tmp_path / "source").manifest
    then = service.now
    service.now += timedelta(minutes=1)
    with AzureStorage(storage.options) as intruder:
        for blob in intruder.list():
            intruder.delete(blob.blob_id)
        assert [*intruder.list()] == []
    info = ConnectionInfo.from_options(replace(storage.options, point_in_time=then.isoformat()))
    file = tmp_path / "connection.json"
    file.write_text(json.dumps({"storage": info.to_json()}))
    cli.ok("repository", "connect", "from-config", "--file", str(file))
    cli.ok("snapshot", "restore", str(snapshot.id), str(tmp_path / "restored"))
    assert_trees_equal(tmp_path / "source", tmp_path / "restored")
