"""Password and parameters are changed so that what was cut off can be finished, and nothing of others is undone."""

import pytest

from pykopia.api.opening import connect, create
from pykopia.errors import BlobNotFoundError, DamagedFormatBlobError, WriteConflictError
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import BLOBCFG_ID, FORMAT_BLOB_ID
from pykopia.ids import BlobID, Buffer
from pykopia.index.upgrading import copy_to_first_epoch
from pykopia.repository.options import NewRepositoryOptions, ParameterChanges
from pykopia.repository.view import Look, complete_view
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, PutOptions, StorageWrapper
from pykopia.testing import FaultyStorage, SimulatedCrash
from tests.repository.conftest import PASSWORD, UNIQUE_ID, NewRepository

NEW = "battery staple"
DAY_NS = 86_400_000_000_000


class VersionedStorage(StorageWrapper):
    """Takes a new version of a locked blob, as buckets with object lock do."""

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        del options
        return self.inner.put(blob_id, data)


def test_a_password_change_under_object_lock_that_was_cut_off_is_finished_by_the_same_change() -> None:
    locked = VersionedStorage(MemoryStorage())
    options = NewRepositoryOptions(unique_id=UNIQUE_ID, retention_mode="GOVERNANCE", retention_period_ns=DAY_NS)
    with create(locked, PASSWORD, options=options) as repository, repository.writer() as writer:
        kept = writer.contents.write(b"kept")
    faulty = FaultyStorage(locked)
    faulty.kill("put", prefix=FORMAT_BLOB_ID)
    with connect(faulty, PASSWORD) as repository, pytest.raises(SimulatedCrash):
        repository.change_password(NEW)
    with connect(locked, PASSWORD) as repository:
        assert repository.contents.get(kept) == b"kept"
        with pytest.raises(DamagedFormatBlobError, match="change-password"):
            repository.writer()
        with pytest.raises(DamagedFormatBlobError):
            repository.change_password("neither of both")
        repository.change_password(NEW)
    with connect(locked, NEW) as repository, repository.writer() as writer:
        assert repository.blob_configuration.retention_mode == "GOVERNANCE"
        writer.contents.write(b"more")


def test_a_password_change_does_not_undo_parameters_that_another_client_changed(
    new_repository: NewRepository, storage: MemoryStorage
) -> None:
    first = new_repository()
    with connect(storage, PASSWORD) as second:
        second.set_parameters(ParameterChanges(max_pack_size=30 << 20))
    first.change_password(NEW)
    with connect(storage, NEW) as opened:
        assert opened.format.max_pack_size == 30 << 20


def test_parameters_are_not_written_under_a_password_that_was_changed(
    new_repository: NewRepository, storage: MemoryStorage
) -> None:
    first = new_repository()
    with connect(storage, PASSWORD) as second:
        second.change_password(NEW)
    with pytest.raises(WriteConflictError, match="connect again"):
        first.set_parameters(ParameterChanges(max_pack_size=30 << 20))
    connect(storage, NEW).close()


def test_an_upgrade_does_not_bring_back_what_one_that_was_cut_off_left(
    new_repository: NewRepository, storage: MemoryStorage
) -> None:
    """Contents that are gone by now would count as being there, and would not be written again."""
    repository = new_repository(format_version=1)
    with repository.writer() as writer:
        gone = writer.contents.write(b"gone soon")
    copy_to_first_epoch(repository.contents.indexes, complete_view(repository, "upgrade", packs=Look()))
    for blob_id in [blob.blob_id for prefix in ("n", "p") for blob in storage.list(prefix)]:
        storage.delete(blob_id)  # as maintenance does in time
    with connect(storage, PASSWORD) as later:
        later.set_parameters(ParameterChanges(upgrade=True))
        assert not later.contents.exists(gone)
        with later.writer() as writer:
            writer.contents.write(b"gone soon")
        assert later.contents.get(gone) == b"gone soon"


def test_another_client_that_upgraded_is_seen_before_anything_is_changed(
    new_repository: NewRepository, storage: MemoryStorage
) -> None:
    first = new_repository(format_version=1)
    with connect(storage, PASSWORD) as second:
        second.set_parameters(ParameterChanges(upgrade=True))
        with second.writer() as writer:
            kept = writer.contents.write(b"kept")
    first.set_parameters(ParameterChanges(max_pack_size=30 << 20))
    assert first.format.version == 2
    assert first.contents.get(kept) == b"kept"


def test_without_object_lock_the_configuration_is_away_while_the_password_changes(
    new_repository: NewRepository, storage: MemoryStorage
) -> None:
    new_repository()
    faulty = FaultyStorage(storage)
    faulty.kill("put", prefix=BLOBCFG_ID)
    with connect(faulty, PASSWORD) as repository, pytest.raises(SimulatedCrash):
        repository.change_password(NEW)
    with pytest.raises(BlobNotFoundError):
        storage.get(BlobID(BLOBCFG_ID))
    with connect(storage, NEW) as repository, repository.writer() as writer:
        writer.contents.write(b"more")
