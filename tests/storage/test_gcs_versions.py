"""Old versions and locks in Google's storage, against an imitation that answers as documented: the emulator has neither.

Requests are those of the driver, over loopback. What the service does in earnest can't be seen here.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import pykopia
from pykopia.errors import BlobNotFoundError, InvalidRangeError, ReadOnlyStorageError, StorageError
from pykopia.ids import BlobID
from pykopia.storage.backends.gcs.options import GCSOptions
from pykopia.storage.backends.gcs.storage import GCSStorage
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_storage
from pykopia.testing.storage_tests import FORMAT, PACK, StorageTests
from tests.cli_runner import Runner
from tests.servers.gcs_versions import BUCKET, VersionedBucket, versioned_bucket
from tests.trees import assert_trees_equal, changing_tree

_DAY = timedelta(days=1)
_DAY_NS = 86_400 * 10**9
_LOCKED = PutOptions(retention_mode="GOVERNANCE", retention_period_ns=_DAY_NS)
_OPTIONS = GCSOptions(bucket=BUCKET, prefix="folder/")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[VersionedBucket]:
    with versioned_bucket() as service:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", service.url)
        yield service


@pytest.fixture
def storage(service: VersionedBucket) -> Iterator[GCSStorage]:
    with GCSStorage(_OPTIONS) as storage:
        yield storage


def view_at(moment: datetime) -> BlobStorage:
    return open_storage(ConnectionInfo.from_options(replace(_OPTIONS, point_in_time=moment.isoformat())))


class TestVersionedBucket(StorageTests):
    """That the imitation answers as a storage must, so that the tests below mean something."""

    supports_do_not_recreate = supports_set_mtime = supports_retention = True
    mtime_precision_ns = 1_000
    many_blobs = 20
    big_blob = 1 << 20

    @pytest.fixture(autouse=True)
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(GCSStorage, "page_size", 7)

    @pytest.fixture
    def storage(self, service: VersionedBucket) -> Iterator[BlobStorage]:
        with GCSStorage(GCSOptions(bucket=BUCKET)) as storage:
            yield storage


def test_a_lock_goes_with_the_put_and_is_made_longer(service: VersionedBucket, storage: GCSStorage) -> None:
    storage.put(PACK, b"locked", _LOCKED)
    [version] = service.objects[f"folder/{PACK}"]
    assert version.told["retention"]["mode"] == "Locked"
    assert service.is_retained(version)
    storage.extend_retention(PACK, "GOVERNANCE", 7 * _DAY_NS)
    until = datetime.fromisoformat(version.told["retention"]["retainUntilTime"])
    assert abs(until - service.now - 7 * _DAY) < timedelta(minutes=10)
    with pytest.raises(StorageError, match="retentionPolicyNotMet"):
        storage.extend_retention(PACK, "GOVERNANCE", _DAY_NS)
    with pytest.raises(BlobNotFoundError):
        storage.extend_retention(BlobID("p0"), "GOVERNANCE", _DAY_NS)
    storage.delete(PACK)
    assert [*storage.list()] == []
    assert service.objects[f"folder/{PACK}"] == [version]


def test_a_blob_is_seen_as_it_was_at_every_time(service: VersionedBucket, storage: GCSStorage) -> None:
    """Put, replaced, deleted, put again."""
    times = [service.now - _DAY]
    changes: tuple[Callable[[], object], ...] = (
        lambda: storage.put(PACK, b"one", PutOptions(set_mtime_ns=1)),  # a time that is told counts for nothing here
        lambda: storage.put(PACK, b"second"),
        lambda: storage.delete(PACK),
        lambda: storage.put(PACK, b"third one"),
    )
    for change in changes:
        change()
        times.append(service.now)
        service.now += _DAY
    seen = []
    for time in times:
        with view_at(time) as view:
            seen.append([view.get(blob.blob_id) for blob in view.list()])
            assert [blob.length for blob in view.list()] == [len(data) for data in seen[-1]]
            with pytest.raises(ReadOnlyStorageError):
                view.put(PACK, b"x")
    assert seen == [[], [b"one"], [b"second"], [], [b"third one"]]


def test_ranges_of_old_versions_are_read(service: VersionedBucket, storage: GCSStorage) -> None:
    storage.put(PACK, b"0123456789")
    then = service.now
    storage.put(PACK, b"")
    with view_at(then) as view:
        assert (view.get(PACK, 3, 4), view.get(PACK, 8), view.get(PACK, 10, 0)) == (b"3456", b"89", b"")
        with pytest.raises(InvalidRangeError):
            view.get(PACK, 8, 3)
        with pytest.raises(BlobNotFoundError):
            view.get(FORMAT)


def test_a_repository_is_restored_as_it_was_before_all_was_deleted(
    service: VersionedBucket, storage: GCSStorage, tmp_path: Path
) -> None:
    cli = Runner(tmp_path / "client")
    changing_tree(tmp_path / "source", 0)
    with pykopia.create(storage, cli.password) as repository:
        snapshot = repository.snapshots.create(tmp_path / "source").manifest
    then = service.now
    with GCSStorage(_OPTIONS) as intruder:
        for blob in intruder.list():
            intruder.delete(blob.blob_id)
        assert [*intruder.list()] == []
    flags = ("gcs", "--bucket", BUCKET, "--prefix=folder/", "--point-in-time", then.isoformat())
    cli.ok("repository", "connect", *flags)
    cli.ok("snapshot", "restore", str(snapshot.id), str(tmp_path / "restored"))
    assert_trees_equal(tmp_path / "source", tmp_path / "restored")
