"""What can't be created or changed is refused with its reason, and nothing was written."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pykopia.api.opening import connect, create
from pykopia.api.repository import Repository
from pykopia.errors import (
    DamagedFormatBlobError,
    InvalidPasswordError,
    RepositoryExistsError,
    RequiredFeatureError,
    UnsupportedOptionError,
    UsageError,
)
from pykopia.format.blob_names import BLOBCFG_ID, FORMAT_BLOB_ID
from pykopia.format.maintenance_schedule import NONCE_LENGTH, seal_with_key
from pykopia.format.repository_blob import BACKUP_BLOB_PREFIX, BlobConfiguration
from pykopia.ids import BlobID
from pykopia.repository import dropped
from pykopia.repository.creation_claim import CLAIM_PREFIX, claimed
from pykopia.repository.options import NewRepositoryOptions, ParameterChanges
from pykopia.repository.parameters import change_parameters
from pykopia.repository.sync import SyncCounters, SyncOptions, sync
from pykopia.repository.upgrade import Upgrade, UpgradeTimes, compare_indexes
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage, StorageWrapper
from pykopia.testing import FakeClock, FaultyStorage
from tests.repository.conftest import CLIENT, PASSWORD, NewRepository

DAY_NS = 24 * 3600 * 10**9


def contents(storage: MemoryStorage) -> dict[BlobID, bytes]:
    return {blob.blob_id: storage.get(blob.blob_id) for blob in storage.list()}


# --- creation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "options", "reason"),
    [
        ("", NewRepositoryOptions(), "without a password"),
        (PASSWORD, NewRepositoryOptions(ecc_overhead_percent=101), "0 to 100 percent, not 101"),
        (PASSWORD, NewRepositoryOptions(ecc_overhead_percent=-1), "0 to 100 percent, not -1"),
        (PASSWORD, NewRepositoryOptions(ecc_overhead_percent=2, format_version=1), "needs format version 2 or 3"),
        (PASSWORD, NewRepositoryOptions(ecc_overhead_percent=2, ecc="none such"), "none such"),
    ],
)
def test_a_repository_that_makes_no_sense_is_not_created(
    storage: MemoryStorage, password: str, options: NewRepositoryOptions, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        create(storage, password, options=options)
    assert contents(storage) == {}


def test_a_repository_whose_format_block_is_lost_is_not_taken_for_an_empty_place(
    repository: Repository, storage: MemoryStorage
) -> None:
    with repository.writer() as writer:
        writer.contents.write(b"the only copy")
    storage.delete(FORMAT_BLOB_ID)
    storage.put(BLOBCFG_ID, b"settings")
    before = contents(storage)
    with pytest.raises(DamagedFormatBlobError, match="seems to be lost"):
        create(storage, PASSWORD)
    assert contents(storage) == before


class JustMade(StorageWrapper):
    """Another client makes the repository while this one looks what is in the place."""

    def __init__(self, inner: BlobStorage, hidden: int) -> None:
        super().__init__(inner)
        self._hidden = hidden

    def _hide(self, blob_id: BlobID) -> bool:
        if blob_id != FORMAT_BLOB_ID or not self._hidden:
            return False
        self._hidden -= 1
        return True

    def metadata(self, blob_id: BlobID) -> object:  # type: ignore[override]
        return super().metadata(BlobID("none") if self._hide(blob_id) else blob_id)

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        return super().get(BlobID("none") if self._hide(blob_id) else blob_id, offset, length)


def test_a_repository_that_another_client_has_just_made_is_named_as_such(
    repository: Repository, storage: MemoryStorage
) -> None:
    storage.put(BLOBCFG_ID, b"settings")
    storage.put(BlobID("p1"), b"pack")
    with pytest.raises(RepositoryExistsError, match="has just been made"):
        create(JustMade(storage, 1), PASSWORD)


class Lagging(StorageWrapper):
    """Shows claims only at the second look."""

    looks = 0

    def list(self, prefix: str = "") -> object:  # type: ignore[override]
        if prefix == CLAIM_PREFIX:
            self.looks += 1
        return iter(()) if self.looks == 1 else super().list(prefix)


def test_a_claim_that_is_not_listed_yet_counts_for_nothing() -> None:
    storage, pauses = Lagging(MemoryStorage()), list[float]()
    with claimed(storage, sleep=pauses.append, chance=lambda: 0.0):
        assert pauses == [0.2]
    assert storage.looks == 2


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "changes", "reason"),
    [
        (3, ParameterChanges(), "nothing to change"),
        (3, ParameterChanges(max_pack_size=30 << 20), None),
        (3, ParameterChanges(index_version=1), "can't go down from 2 to 1"),
        (1, ParameterChanges(epoch_advance_on_count=30), "does not keep its index in epochs"),
        (3, ParameterChanges(max_pack_size=1), "pack"),
    ],
)
def test_parameters_that_make_no_sense_are_not_written(
    new_repository: NewRepository,
    storage: MemoryStorage,
    version: int,
    changes: ParameterChanges,
    reason: str | None,
) -> None:
    repository = new_repository(format_version=version)
    before = contents(storage)
    if reason is None:
        repository.set_parameters(changes)
        with pytest.raises(UsageError, match="nothing to change"):
            repository.set_parameters(changes)
        assert connect(storage, PASSWORD).format.max_pack_size == changes.max_pack_size
        return
    with pytest.raises(UsageError, match=reason):
        repository.set_parameters(changes)
    assert contents(storage) == before


def test_parameters_of_epochs_change_alone(repository: Repository) -> None:
    current = repository.format
    changed, retention = change_parameters(
        current, BlobConfiguration(), ParameterChanges(epoch_min_duration_ns=2 * DAY_NS, index_version=2)
    )
    assert changed.epoch_parameters == replace(current.epoch_parameters, min_duration_ns=2 * DAY_NS)
    assert replace(changed, epoch_parameters=current.epoch_parameters, index_version=current.index_version) == current
    assert retention == BlobConfiguration()


def test_object_lock_is_switched_off_by_its_name(new_repository: NewRepository) -> None:
    current = BlobConfiguration(retention_mode="GOVERNANCE", retention_period_ns=2 * DAY_NS)
    repository = new_repository()
    _, kept = change_parameters(repository.format, current, ParameterChanges(retention_period_ns=3 * DAY_NS))
    assert kept == replace(current, retention_period_ns=3 * DAY_NS)
    _, off = change_parameters(repository.format, current, ParameterChanges(retention_mode="none"))
    assert not off.retains


# --- passwords --------------------------------------------------------------------------------------------------------


def test_the_password_of_format_1_and_an_empty_one_are_refused(
    new_repository: NewRepository, storage: MemoryStorage
) -> None:
    new_repository().close()
    before = contents(storage)
    with connect(storage, PASSWORD) as repository, pytest.raises(UsageError, match="is empty"):
        repository.change_password("")
    assert contents(storage) == before
    old = MemoryStorage()
    with (
        create(old, PASSWORD, options=NewRepositoryOptions(format_version=1)) as repository,
        pytest.raises(UsageError, match="made in format version 1"),
    ):
        repository.change_password("another")
    connect(old, PASSWORD).close()


def test_a_session_that_is_open_goes_on_after_another_client_changed_the_password(
    repository: Repository, storage: MemoryStorage
) -> None:
    with connect(storage, PASSWORD, client=CLIENT) as other:
        repository.change_password("battery staple")
        with other.writer() as writer:
            written = writer.contents.write(b"of the open session")
        other.refresh()
        assert other.contents.get(written) == b"of the open session"
    with pytest.raises(InvalidPasswordError):
        connect(storage, PASSWORD)
    with connect(storage, "battery staple") as again:
        assert again.contents.get(written) == b"of the open session"


# --- upgrades ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def upgrading(new_repository: NewRepository, storage: MemoryStorage) -> Callable[[str], Repository]:
    """Return a function that opens a repository of format 1 as an owner of upgrades."""
    with new_repository(format_version=1) as repository, repository.writer() as writer:
        writer.contents.write(b"one")
    return lambda owner: connect(storage, PASSWORD, client=replace(CLIENT, upgrade_owner_id=owner))


def test_an_upgrade_without_its_copy_of_the_format_block_can_not_be_rolled_back(
    upgrading: Callable[[str], Repository], storage: MemoryStorage
) -> None:
    with FakeClock().installed(), upgrading("ann's") as repository:
        upgrade = Upgrade(repository)
        assert upgrade.place_lock(UpgradeTimes()) is not None
        backups = [blob.blob_id for blob in storage.list(BACKUP_BLOB_PREFIX)]
        assert len(backups) == 1
        raw = storage.get(backups[0])
        storage.delete(backups[0])
        locked = contents(storage)
        with pytest.raises(UsageError, match=r"no copy .* goes on with the upgrade"):
            upgrade.roll_back()
        assert contents(storage) == locked
        # a copy of an earlier attempt does as well
        storage.put(BlobID(f"{BACKUP_BLOB_PREFIX}earlier"), raw)
        upgrade.roll_back()
        assert storage.get(FORMAT_BLOB_ID) == raw
        assert [blob.blob_id for blob in storage.list(BACKUP_BLOB_PREFIX)] == []
    with connect(storage, PASSWORD) as repository:
        assert repository.format.version == 1


def test_an_upgrade_that_its_owner_begins_again_keeps_the_times_that_others_were_told(
    upgrading: Callable[[str], Repository], storage: MemoryStorage
) -> None:
    time = FakeClock()
    with time.installed(), upgrading("ann's") as repository:
        upgrade = Upgrade(repository)
        first = upgrade.place_lock(UpgradeTimes())
        time.advance(minutes=1)
        second = upgrade.place_lock(replace(UpgradeTimes(), io_drain_timeout_ns=DAY_NS))
        assert first is not None
        assert second == first  # the others were told the times of the first one
        assert len(list(storage.list(BACKUP_BLOB_PREFIX))) == 1


def test_a_content_that_only_the_old_index_has_is_told(
    upgrading: Callable[[str], Repository], storage: MemoryStorage
) -> None:
    time = FakeClock()
    with time.installed(), upgrading("ann's") as repository:
        upgrade = Upgrade(repository, pause=time.sleep)
        upgrade.place_lock(UpgradeTimes())
        upgrade.drain()
        upgrade.migrate()
        assert compare_indexes(repository) == []
        for blob in list(storage.list("x")):
            storage.delete(blob.blob_id)
        repository.contents.indexes.forget_epoch_state()
        [line] = compare_indexes(repository) or []
        assert line.endswith("is missing from the new index")


# --- copies -----------------------------------------------------------------------------------------------------------


def test_a_copy_to_a_storage_that_keeps_no_times_is_made_without_them(
    repository: Repository, storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    with repository.writer() as writer:
        writer.contents.write(b"one")
    target = MemoryStorage("copy")
    refusing = FaultyStorage(target)
    refusing.fail("put", at=2, error=lambda: UnsupportedOptionError("no times here"))
    seen: list[SyncCounters] = []
    done = sync(storage, refusing, SyncOptions(times=True, parallel=1), progress=seen.append)
    assert contents(target) == contents(storage)
    assert seen[-1] == done
    assert "does not support preserving modification times" in caplog.text


# --- features ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warn", [True, False])
def test_a_feature_that_is_missing_here_is_warned_of_or_keeps_out(
    repository: Repository, storage: MemoryStorage, caplog: pytest.LogCaptureFixture, warn: bool
) -> None:
    repository.set_parameters(ParameterChanges(add_required_features=("telepathy",), warn_on_missing_features=warn))
    if warn:
        with connect(storage, PASSWORD) as other:
            assert [each.feature for each in other.format.required_features] == ["telepathy"]
        assert "requires the feature 'telepathy'" in caplog.text
    else:
        with pytest.raises(RequiredFeatureError, match="telepathy"):
            connect(storage, PASSWORD)
    repository.set_parameters(ParameterChanges(remove_required_features=("telepathy",)))
    caplog.clear()
    connect(storage, PASSWORD).close()
    assert caplog.text == ""


def test_what_was_dropped_is_unknown_where_its_record_is_no_record(
    new_repository: NewRepository, storage: MemoryStorage
) -> None:
    repository = new_repository(format_version=1)
    for plain, found in ((b"[5]", {}), (b"no JSON", {}), (b'{"p1": 5, "p2": "x"}', {"p1": 5})):
        storage.put(
            dropped.BLOB_ID, seal_with_key(plain, repository.maintenance_key, bytes(NONCE_LENGTH), dropped.CONTEXT)
        )
        assert dropped.read_dropped(repository) == found
    storage.put(dropped.BLOB_ID, b"torn")
    assert dropped.read_dropped(repository) == {}
