"""Bringing back ``kopia.repository`` from packs."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pykopia.api.opening import connect, create
from pykopia.errors import DamagedFormatBlobError, RepositoryExistsError, RepositoryNotFoundError
from pykopia.format.blob_names import FORMAT_BLOB_ID
from pykopia.format.replica import embed_replica
from pykopia.ids import BlobID
from pykopia.repository import format_blobs
from pykopia.repository.format_recovery import recover_format_blob
from pykopia.repository.options import NewRepositoryOptions, ParameterChanges
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import PutOptions, StorageWrapper
from tests.golden_repositories import load
from tests.repository.conftest import PASSWORD, NewRepository


def fill(new_repository: NewRepository, version: int) -> None:
    with new_repository(format_version=version).writer() as writer:
        writer.contents.write(b"one")


def test_a_lost_format_blob_comes_back_from_a_pack(new_repository: NewRepository, storage: MemoryStorage) -> None:
    fill(new_repository, 1)
    lost = storage.get(FORMAT_BLOB_ID)
    storage.delete(FORMAT_BLOB_ID)
    with pytest.raises(RepositoryNotFoundError, match="repository repair"):
        connect(storage, PASSWORD)
    found = recover_format_blob(storage, dry_run=True)
    assert found.raw == lost
    assert all(blob.blob_id != FORMAT_BLOB_ID for blob in storage.list())
    recover_format_blob(storage)
    assert storage.get(FORMAT_BLOB_ID) == lost
    assert len(list(connect(storage, PASSWORD).contents.list())) == 1


def test_a_damaged_one_is_replaced_when_that_is_asked_for_and_kept_aside(
    new_repository: NewRepository, storage: MemoryStorage
) -> None:
    fill(new_repository, 1)
    whole = storage.get(FORMAT_BLOB_ID)
    storage.put(FORMAT_BLOB_ID, whole[:100])
    with pytest.raises(RepositoryExistsError, match="--recover-format=yes"):
        recover_format_blob(storage)
    assert recover_format_blob(storage, replace=True).replaced
    assert storage.get(FORMAT_BLOB_ID) == whole
    assert storage.get(BlobID(f"damaged-{FORMAT_BLOB_ID}")) == whole[:100]


def test_the_copy_of_the_newest_pack_is_taken(tmp_path: Path) -> None:
    """An older one could tell of an index that is not in use any more."""
    storage = FilesystemStorage(tmp_path)
    with create(storage, PASSWORD, options=NewRepositoryOptions(format_version=1)) as repository:
        with repository.writer() as writer:
            writer.contents.write(b"one")
        old = list(tmp_path.rglob("*.f"))
        repository.set_parameters(ParameterChanges(upgrade=True))
        with repository.writer() as writer:
            writer.contents.write(b"two")
        newest = storage.get(FORMAT_BLOB_ID)
        for path in old:
            if path.exists():
                os.utime(path, ns=(10**18, 10**18))
        storage.delete(FORMAT_BLOB_ID)
        assert recover_format_blob(storage).raw == newest
        assert connect(storage, PASSWORD).format.version == 2


def test_newer_formats_have_no_copies(new_repository: NewRepository, storage: MemoryStorage) -> None:
    fill(new_repository, 3)
    storage.delete(FORMAT_BLOB_ID)
    with pytest.raises(DamagedFormatBlobError, match="only those of repositories made in format version 1"):
        recover_format_blob(storage)


def test_a_golden_repository_without_its_format_blob_is_opened_again(
    golden_repository: Callable[[str], Path],
) -> None:
    golden = load("damaged-format-missing-v1")
    storage = FilesystemStorage(golden_repository("damaged-format-missing-v1"))
    recover_format_blob(storage)
    with connect(storage, golden.password) as repository:
        assert [each.id for each in repository.snapshots.list()] == [each.id for each in golden.snapshots]


class Remote(StorageWrapper):
    """A storage that is not on this machine, so that copies of its format blobs are believed."""

    @property
    def is_local(self) -> bool:
        return False


@pytest.mark.parametrize("other_password", [PASSWORD, "another one"])
def test_a_cached_copy_that_can_not_be_opened_is_read_anew(tmp_path: Path, other_password: str) -> None:
    """The blob was repaired, or another repository took the place of the one that was copied."""
    storage, other = MemoryStorage(), MemoryStorage()
    create(storage, PASSWORD).close()
    create(other, other_password).close()
    copies = tmp_path / "copies"
    copies.mkdir()
    whole = storage.get(FORMAT_BLOB_ID)
    storage.put(FORMAT_BLOB_ID, whole[:100])
    with pytest.raises(DamagedFormatBlobError):
        format_blobs.read(Remote(storage), PASSWORD, cache=copies)
    storage.put(FORMAT_BLOB_ID, whole)
    assert format_blobs.read(Remote(storage), PASSWORD, cache=copies).raw == whole
    if other_password != PASSWORD:
        assert format_blobs.read(Remote(other), other_password, cache=copies).raw == other.get(FORMAT_BLOB_ID)
    else:  # nothing to be believed where reading the blob itself costs as much
        assert format_blobs.read(other, PASSWORD, cache=copies).raw == other.get(FORMAT_BLOB_ID)


def test_a_pack_that_can_not_be_read_is_passed_over_for_an_older_one(
    new_repository: NewRepository, storage: MemoryStorage
) -> None:
    fill(new_repository, 1)
    whole = storage.get(FORMAT_BLOB_ID)
    storage.delete(FORMAT_BLOB_ID)
    [old] = storage.list("p")
    later = PutOptions(set_mtime_ns=old.timestamp_ns + 10**12)
    newer = [BlobID("p" + "0" * 32), BlobID("p" + "1" * 32), BlobID("p" + "2" * 32)]
    storage.put(newer[0], b"", later)  # torn
    storage.put(newer[1], os.urandom(200_000), later)  # of a later format, without copies
    storage.put(newer[2], storage.get(old.blob_id)[:100], later)
    seen: list[BlobID] = []
    found = recover_format_blob(storage, progress=seen.append)
    assert sorted(seen[:3]) == newer
    assert (found.raw, found.pack) == (whole, seen[-1])
    assert storage.get(FORMAT_BLOB_ID) == whole


def test_a_copy_at_the_end_of_a_long_pack_is_found(new_repository: NewRepository, storage: MemoryStorage) -> None:
    fill(new_repository, 1)
    whole = storage.get(FORMAT_BLOB_ID)
    storage.delete(FORMAT_BLOB_ID)
    for pack in list(storage.list("p")):
        storage.put(pack.blob_id, os.urandom(200_000) + embed_replica(whole))
    assert recover_format_blob(storage).raw == whole
