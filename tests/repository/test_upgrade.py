"""Upgrades of the format: who is kept out, who may go on, and what is put back."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import DamagedIndexError, UpgradeInProgressError, UsageError
from pykopia.format.blob_names import FORMAT_BLOB_ID
from pykopia.format.repository_blob import POISON_INDEX_BLOB_ID
from pykopia.repository.upgrade import Upgrade, UpgradeTimes, check_indexes, compare_indexes
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing import FakeClock
from tests.repository.conftest import CLIENT, PASSWORD, NewRepository

OWNER = replace(CLIENT, upgrade_owner_id="owner")


@pytest.fixture
def time() -> Iterator[FakeClock]:
    fake = FakeClock()
    with fake.installed():
        yield fake


def filled(new_repository: NewRepository, version: int) -> str:
    repository = new_repository(format_version=version)
    with repository.writer() as writer:
        gone = writer.contents.write(b"deleted")
        kept = writer.contents.write(b"kept")
    with repository.writer() as writer:
        writer.contents.delete(gone)
    repository.close()
    return kept


def upgraded(repository: Repository, time: FakeClock) -> list[int]:
    waits: list[int] = []
    upgrade = Upgrade(repository, pause=time.sleep)
    assert upgrade.place_lock(UpgradeTimes()) is not None
    upgrade.drain(waits.append)
    upgrade.migrate()
    check_indexes(repository)
    upgrade.commit()
    return waits


@pytest.mark.parametrize("version", [1, 2])
def test_a_repository_is_upgraded_to_the_newest_format(
    version: int, new_repository: NewRepository, storage: MemoryStorage, time: FakeClock
) -> None:
    kept = filled(new_repository, version)
    with connect(storage, PASSWORD, client=OWNER) as repository:
        waits = upgraded(repository, time)
        assert bool(waits) == (version == 1)  # an index in epochs needs no draining
        if version == 1:
            assert waits[0] == 35 * 60 * 1_000_000_000
    with connect(storage, PASSWORD, client=CLIENT) as repository:
        assert (repository.format.version, repository.format.upgrade_lock) == (3, None)
        assert repository.format.effective_index_version == 2
        assert repository.format.epoch_parameters.enabled
        assert repository.contents.get(kept) == b"kept"
        assert len(list(repository.contents.list(include_deleted=True))) == 2
        with repository.writer() as writer:
            more = writer.contents.write(b"more")
        assert repository.contents.get(more) == b"more"
    assert storage.get(POISON_INDEX_BLOB_ID)


def test_all_others_are_kept_out_from_the_lock_to_the_commit(
    new_repository: NewRepository, storage: MemoryStorage, time: FakeClock
) -> None:
    filled(new_repository, 1)
    with connect(storage, PASSWORD, client=CLIENT) as other, connect(storage, PASSWORD, client=OWNER) as repository:
        Upgrade(repository).place_lock(UpgradeTimes())
        with pytest.raises(UpgradeInProgressError, match="--upgrade-owner-id=owner"):
            connect(storage, PASSWORD, client=CLIENT)
        # one that is connected already sees it once it looks at the format again
        time.advance(minutes=16)
        with pytest.raises(UpgradeInProgressError), other.writer() as writer:
            writer.contents.write(b"late")
        with connect(storage, PASSWORD, client=replace(CLIENT, upgrade_owner_id="owner")) as again:
            assert again.format.upgrade_lock is not None


def test_another_owner_can_do_nothing_about_a_lock(
    new_repository: NewRepository, storage: MemoryStorage, time: FakeClock
) -> None:
    filled(new_repository, 1)
    with connect(storage, PASSWORD, client=replace(CLIENT, upgrade_owner_id="another")) as other:
        with connect(storage, PASSWORD, client=OWNER) as repository:
            Upgrade(repository).place_lock(UpgradeTimes())
        with pytest.raises(UpgradeInProgressError, match="owner"):
            Upgrade(other).place_lock(UpgradeTimes())
        for act in (Upgrade(other).commit, Upgrade(other).roll_back):
            with pytest.raises(UpgradeInProgressError, match="owner"):
                act()
    time.advance(hours=1)


def test_nothing_is_migrated_while_others_may_be_writing(
    new_repository: NewRepository, storage: MemoryStorage, time: FakeClock
) -> None:
    filled(new_repository, 1)
    with connect(storage, PASSWORD, client=OWNER) as repository:
        upgrade = Upgrade(repository)
        upgrade.place_lock(UpgradeTimes())
        time.advance(minutes=34)
        with pytest.raises(UsageError, match="other clients may still"):
            upgrade.migrate()
        time.advance(minutes=1)
        assert upgrade.migrate()
        assert not upgrade.migrate()


@pytest.mark.parametrize("migrated", [False, True])
def test_a_rollback_puts_the_old_format_back_byte_for_byte(
    migrated: bool, new_repository: NewRepository, storage: MemoryStorage, time: FakeClock
) -> None:
    kept = filled(new_repository, 1)
    before = {blob.blob_id: storage.get(blob.blob_id) for blob in storage.list()}
    with connect(storage, PASSWORD, client=OWNER) as repository:
        upgrade = Upgrade(repository, pause=time.sleep)
        upgrade.place_lock(UpgradeTimes())
        if migrated:
            upgrade.drain()
            upgrade.migrate()
        upgrade.roll_back()
    after = {blob.blob_id: storage.get(blob.blob_id) for blob in storage.list()}
    assert after.keys() == before.keys()
    assert after[FORMAT_BLOB_ID] == before[FORMAT_BLOB_ID]
    with connect(storage, PASSWORD, client=CLIENT) as repository, repository.writer() as writer:
        assert repository.contents.get(kept) == b"kept"
        writer.contents.write(b"more")
    with connect(storage, PASSWORD, client=OWNER) as repository:
        upgraded(repository, time)
        assert repository.contents.get(kept) == b"kept"


def test_the_newest_format_needs_no_upgrade(new_repository: NewRepository, storage: MemoryStorage) -> None:
    filled(new_repository, 3)
    with connect(storage, PASSWORD, client=OWNER) as repository:
        assert Upgrade(repository).place_lock(UpgradeTimes()) is None
        for act in (Upgrade(repository).commit, Upgrade(repository).roll_back):
            with pytest.raises(UsageError, match="no upgrade in progress"):
                act()
        assert not check_indexes(repository)


def test_an_upgrade_needs_an_owner_and_safe_times(new_repository: NewRepository, storage: MemoryStorage) -> None:
    filled(new_repository, 1)
    with connect(storage, PASSWORD, client=CLIENT) as repository, pytest.raises(UsageError, match="owner"):
        Upgrade(repository).place_lock(UpgradeTimes())
    with connect(storage, PASSWORD, client=OWNER) as repository:
        with pytest.raises(UsageError, match="15 minutes"):
            Upgrade(repository).place_lock(UpgradeTimes(io_drain_timeout_ns=1))
        assert repository.format.upgrade_lock is None


def test_a_difference_between_the_indexes_is_told(
    new_repository: NewRepository, storage: MemoryStorage, time: FakeClock
) -> None:
    kept = filled(new_repository, 1)
    with connect(storage, PASSWORD, client=OWNER) as repository:
        upgrade = Upgrade(repository, pause=time.sleep)
        upgrade.place_lock(UpgradeTimes())
        upgrade.drain()
        upgrade.migrate()
        assert compare_indexes(repository) == []
        with repository.writer() as writer:
            only_new = writer.contents.write(b"only in the new one")
            writer.contents.delete(repository.contents.entry(kept).content_id)
        told = compare_indexes(repository)
        assert told is not None
        assert len(told) == 2
        assert any(only_new in line and "new index only" in line for line in told)
        assert any(kept in line and "differs" in line for line in told)
        with pytest.raises(DamagedIndexError, match="rollback --force"):
            check_indexes(repository)
