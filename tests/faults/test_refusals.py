"""Storages that are full, read-only, or refuse to delete: told by an error of their own, and nothing is lost."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykopia.api.opening import create
from pykopia.errors import PykopiaError, ReadOnlyStorageError, StorageAccessDeniedError, StorageFullError
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.readonly import ReadOnlyStorage
from pykopia.testing import FakeClock, FaultyStorage
from tests.maintenance.scene import data

from .harness import CLIENT, PASSWORD, Ground, assert_everything_whole, assert_sound, copy_of, opened
from .programs import ground_of

SIZE = 24 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "file").write_bytes(b"what is taken first")
    return folder


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a file system of its own, of 24 MiB."""
    folder = tmp_path / "volume"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() or mount is None:
        pytest.skip("only root can mount a small file system to fill")
    mounted = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system can't be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_of_and_a_snapshot_goes_through_once_there_is_room(volume: Path, source: Path) -> None:
    reserve = volume / "reserve"
    reserve.write_bytes(bytes(8 << 20))
    location = volume / "repository"
    with create(location, PASSWORD, client=CLIENT) as repository:
        first = repository.snapshots.create(source).manifest
        (source / "large").write_bytes(data(17 << 20))
        with pytest.raises(StorageFullError):
            repository.snapshots.create(source)
    ground = Ground(MemoryStorage(), source, {str(first.id)})
    with opened(FilesystemStorage(location)) as repository:
        assert_everything_whole(ground, repository)
        reserve.unlink()
        (source / "large").write_bytes(data(9 << 20))
        # what the failed snapshot left is no hindrance
        second = repository.snapshots.create(source)
        assert second.errors == ()
        assert_everything_whole(ground, repository)


def test_a_volume_that_is_mounted_read_only_can_be_read_and_verified(volume: Path, source: Path) -> None:
    location = volume / "repository"
    with create(location, PASSWORD, client=CLIENT) as repository:
        first = repository.snapshots.create(source).manifest
    subprocess.run(["mount", "-o", "remount,ro", str(volume)], check=True)
    with opened(FilesystemStorage(location)) as repository:
        assert_everything_whole(Ground(MemoryStorage(), source, {str(first.id)}), repository)
        (source / "more").write_bytes(b"more")
        with pytest.raises(PykopiaError):
            repository.snapshots.create(source)


def test_a_read_only_storage_is_never_written_to(source: Path, time: FakeClock) -> None:
    ground = ground_of(source, time)
    with opened(ReadOnlyStorage(copy_of(ground.storage))) as repository:
        assert_everything_whole(ground, repository)
        for write in (
            lambda: repository.snapshots.create(source),
            repository.policies.set_defaults,
            lambda: repository.maintenance.run("full", force=True),
        ):
            with pytest.raises(PermissionError):
                write()
    assert issubclass(ReadOnlyStorageError, PermissionError)


def denied() -> Exception:
    return StorageAccessDeniedError("this user may not delete blobs; ask for the permission")


def test_a_snapshot_needs_no_permission_to_delete(source: Path, time: FakeClock) -> None:
    """Keys that may only add protect backups against whoever takes over the client."""
    ground = ground_of(source, time)
    storage = FaultyStorage(ground.storage)
    storage.fail("delete", times=-1, error=denied)
    with opened(storage) as repository:
        taken = repository.snapshots.create(source)
        assert taken.errors == ()
        assert_everything_whole(ground, repository)
        with pytest.raises(StorageAccessDeniedError):
            repository.maintenance.run("full", safety="none")
        assert_everything_whole(ground, repository)
    assert_sound(ground, ground.storage)


def test_a_quota_that_is_reached_leaves_what_was_there(source: Path, time: FakeClock) -> None:
    ground = ground_of(source, time)
    storage = FaultyStorage(ground.storage)
    storage.fail("put", at=3, times=-1, error=lambda: StorageFullError("the quota of the bucket is reached; raise it"))
    with opened(storage) as repository, pytest.raises(StorageFullError, match="quota"):
        repository.snapshots.create(source)
    assert_sound(ground, ground.storage)


def test_a_creation_on_a_disk_that_fills_up_leaves_a_repository_that_opens() -> None:
    inner = MemoryStorage()
    storage = FaultyStorage(inner)
    storage.fail("put", at=2, error=lambda: StorageFullError("no space is left"))
    with pytest.raises(StorageFullError):
        create(storage, PASSWORD)
    # the format block was stored before the disk was full: nothing is missing, so this is a repository
    opened(inner).close()
