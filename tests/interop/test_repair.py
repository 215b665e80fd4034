"""What one program repairs, upgrades, fixes or copies, the other opens, verifies and writes to."""

from dataclasses import replace
from pathlib import Path

import pytest

from pykopia.api.opening import connect, create
from pykopia.api.repository import Repository
from pykopia.format.blob_names import FORMAT_BLOB_ID
from pykopia.ids import BlobID
from pykopia.repository.format_recovery import recover_format_blob
from pykopia.repository.index_recovery import RecoveryOptions, recover_index
from pykopia.repository.options import NewRepositoryOptions
from pykopia.repository.sync import SyncOptions, sync
from pykopia.repository.upgrade import Upgrade, UpgradeTimes, check_indexes
from pykopia.snapshot.fix import FixOptions, fix_invalid_files, remove_files
from pykopia.snapshot.verify import VerifyOptions
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from tests.trees import changing_tree, many_files

from .kopia_cli import Flag, KopiaCLI
from .repositories import UNCACHED_LISTINGS, client_of, kopia_snapshot_ids, open_shared, snapshot_ids, verify_all

FLAT: dict[str, Flag] = {"flat": True}
ENABLED = {"KOPIA_UPGRADE_LOCK_ENABLED": "1"}
QUICK = UpgradeTimes(io_drain_timeout_ns=1, status_poll_interval_ns=1, max_clock_drift_ns=1, unsafe=True)
QUICK_FLAGS = (
    "--upgrade-owner-id=owner",
    "--io-drain-timeout=1ms",
    "--allow-unsafe-upgrade",
    "--status-poll-interval=1ms",
    "--max-permitted-clock-drift=1ms",
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    changing_tree(tmp_path / "source" / "changing", 0)
    many_files(tmp_path / "source" / "many", count=30)
    return tmp_path / "source"


@pytest.fixture
def location(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def made_by_kopia(kopia: KopiaCLI, location: Path, source: Path, version: int = 3) -> set[str]:
    kopia.create_repository(location, format_version=version, **FLAT, **UNCACHED_LISTINGS)
    return take_two(lambda: kopia.snapshot_create(source)["id"], source)


def made_by_pykopia(kopia: KopiaCLI, location: Path, source: Path, version: int = 3) -> set[str]:
    options = NewRepositoryOptions(format_version=version)
    with create(location, kopia.password, options=options, client=client_of(kopia)) as repository:
        repository.policies.set_defaults()
        return take_two(lambda: str(repository.snapshots.create(source).manifest.id), source)


def take_two(take: object, source: Path) -> set[str]:
    assert callable(take)
    first = take()
    changing_tree(source / "changing", 1)
    return {first, take()}


def owned(kopia: KopiaCLI, location: Path) -> Repository:
    return connect(location, kopia.password, client=replace(client_of(kopia), upgrade_owner_id="owner"))


def both_go_on(kopia: KopiaCLI, location: Path, source: Path, expected: set[str] | None) -> None:
    """Let each program see, verify and write, and the other one see that."""
    kopia.connect(location, **UNCACHED_LISTINGS)
    if expected is not None:
        assert kopia_snapshot_ids(kopia) == expected
    kopia.verify_all()
    taken = kopia.snapshot_create(source)
    with open_shared(kopia, location) as repository:
        verify_all(repository)
        assert taken["id"] in snapshot_ids(repository)
        last = repository.snapshots.create(source).manifest.id
    kopia.run("cache", "clear")
    assert last in kopia_snapshot_ids(kopia)
    kopia.maintenance_run(safety="none")
    kopia.verify_all()
    with open_shared(kopia, location) as repository:
        verify_all(repository)


def index_files(location: Path) -> list[Path]:
    storage = FilesystemStorage(location)
    names = {blob.blob_id for prefix in ("n", "xn") for blob in storage.list(prefix)}
    return [path for path in location.rglob("*.f") if any(name.endswith(path.stem) for name in names)]


@pytest.mark.parametrize("version", [1, 3])
def test_kopia_goes_on_after_pykopia_recovered_a_torn_index(
    kopia: KopiaCLI, location: Path, source: Path, version: int
) -> None:
    taken = made_by_kopia(kopia, location, source, version)
    for path in index_files(location)[:2]:
        path.write_bytes(path.read_bytes()[:60])
    kopia.run("cache", "clear", check=False)
    assert kopia.run("snapshot", "list", check=False).returncode
    with open_shared(kopia, location) as repository:
        assert repository.contents.indexes.damaged
        result = recover_index(repository, RecoveryOptions(commit=True, parallel=4))
        assert len(result.moved_aside) == 2
    both_go_on(kopia, location, source, taken)


@pytest.mark.parametrize("version", [1, 3])
def test_pykopia_goes_on_after_kopia_recovered_the_index_from_packs_of_pykopia(
    kopia: KopiaCLI, location: Path, source: Path, version: int
) -> None:
    taken = made_by_pykopia(kopia, location, source, version)
    for path in index_files(location):
        path.unlink()
    kopia.connect(location, **UNCACHED_LISTINGS)
    kopia.run("index", "recover", commit=True)
    with open_shared(kopia, location) as repository:
        verify_all(repository)
        assert snapshot_ids(repository) == taken
    both_go_on(kopia, location, source, taken)


def test_the_lost_format_block_of_either_is_found_by_the_other(kopia: KopiaCLI, tmp_path: Path, source: Path) -> None:
    for name, make in (("by-kopia", made_by_kopia), ("by-pykopia", made_by_pykopia)):
        location = tmp_path / name
        client = kopia.client(f"client-{name}")
        taken = make(client, location, source, 1)
        storage = FilesystemStorage(location)
        lost = storage.get(FORMAT_BLOB_ID)
        storage.delete(FORMAT_BLOB_ID)
        if make is made_by_kopia:
            recover_format_blob(storage)
        else:
            client.folder.mkdir(exist_ok=True)
            client.run("repository", "repair", "filesystem", path=location)
        assert storage.get(FORMAT_BLOB_ID) == lost
        both_go_on(client, location, source, taken)


@pytest.mark.parametrize("version", [1, 2])
def test_kopia_goes_on_after_an_upgrade_by_pykopia(kopia: KopiaCLI, location: Path, source: Path, version: int) -> None:
    taken = made_by_kopia(kopia, location, source, version)
    with owned(kopia, location) as repository:
        upgrade = Upgrade(repository)
        assert upgrade.place_lock(QUICK) is not None
        kopia.run("cache", "clear", check=False)
        assert kopia.run("repository", "status", check=False, upgrade_no_block=True).returncode
        upgrade.drain()
        upgrade.migrate()
        check_indexes(repository)
        upgrade.commit()
    # the first client believes its copy of the locked format for 15 minutes, and waits
    fresh = kopia.client("after-the-upgrade")
    both_go_on(fresh, location, source, taken)
    assert fresh.repository_status()["contentFormat"]["version"] == 3


@pytest.mark.parametrize("version", [1, 2])
def test_pykopia_goes_on_after_an_upgrade_by_kopia(kopia: KopiaCLI, location: Path, source: Path, version: int) -> None:
    taken = made_by_pykopia(kopia, location, source, version)
    kopia = replace(kopia, extra_environment=ENABLED)
    kopia.connect(location, **UNCACHED_LISTINGS)
    kopia.run("repository", "upgrade", "begin", *QUICK_FLAGS)
    with open_shared(kopia, location) as repository:
        assert repository.format.version == 3
        verify_all(repository)
    both_go_on(kopia, location, source, taken)


def test_pykopia_rolls_back_what_kopia_began(kopia: KopiaCLI, location: Path, source: Path) -> None:
    taken = made_by_kopia(kopia, location, source, 1)
    kopia = replace(kopia, extra_environment=ENABLED)
    kopia.run("repository", "upgrade", "begin", "--commit-mode=never", *QUICK_FLAGS)
    with owned(kopia, location) as repository:
        assert repository.format.upgrade_lock is not None
        Upgrade(repository).roll_back()
        assert repository.format.version == 1
    # the first client believes its copy of the locked format for 15 minutes, and waits
    both_go_on(kopia.client("after-the-upgrade"), location, source, taken)


def lose_a_pack(location: Path, kind: str) -> None:
    storage = FilesystemStorage(location)
    smallest = min(storage.list(kind), key=lambda blob: blob.length)
    storage.delete(BlobID(smallest.blob_id))


def test_kopia_verifies_what_pykopia_fixed(kopia: KopiaCLI, location: Path, source: Path) -> None:
    made_by_kopia(kopia, location, source)
    lose_a_pack(location, "p")
    assert kopia.run("snapshot", "verify", check=False).returncode
    with open_shared(kopia, location) as repository:
        fixed = fix_invalid_files(repository, FixOptions(commit=True))
        assert any(each.changed for each in fixed)
        expected = {str(each.after.id) for each in fixed}
        remove_files(repository, FixOptions(commit=True), names=["no such file"])
    assert kopia_snapshot_ids(kopia) == expected
    kopia.run("snapshot", "verify", verify_files_percent=100)
    # a folder of other contents: those that are lost still count as stored, for either program
    many_files(source.parent / "other", count=7)
    kopia.snapshot_create(source.parent / "other")
    kopia.run("snapshot", "verify", verify_files_percent=100)


def test_pykopia_verifies_what_kopia_fixed(kopia: KopiaCLI, location: Path, source: Path) -> None:
    made_by_pykopia(kopia, location, source)
    lose_a_pack(location, "p")
    kopia.connect(location)
    kopia.run("snapshot", "fix", "invalid-files", commit=True)
    with open_shared(kopia, location) as repository:
        result = repository.snapshots.verify(options=VerifyOptions(files_percent=100, max_errors=-1))
        assert result.errors == ()
        # nothing is left to fix
        assert not any(each.changed for each in fix_invalid_files(repository, FixOptions(commit=True)))


def test_a_copy_by_either_is_a_repository_for_the_other(
    kopia: KopiaCLI, location: Path, source: Path, tmp_path: Path
) -> None:
    taken = made_by_kopia(kopia, location, source)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    sync(FilesystemStorage(location), FilesystemStorage(ours, create=True), SyncOptions(times=True, parallel=2))
    theirs.mkdir()
    kopia.run("repository", "sync-to", "filesystem", path=theirs)
    with open_shared(kopia, theirs) as repository:
        verify_all(repository)
        assert snapshot_ids(repository) == taken
    both_go_on(kopia.client("of-the-copy"), ours, source, taken)
    # and each brings the other's copy up to date
    kopia.snapshot_create(source)
    sync(FilesystemStorage(location), FilesystemStorage(theirs), SyncOptions(delete=True, must_exist=True))
    with open_shared(kopia, theirs) as repository:
        verify_all(repository)
        assert snapshot_ids(repository) == kopia_snapshot_ids(kopia)


def test_kopia_opens_with_the_password_that_pykopia_set(kopia: KopiaCLI, location: Path, source: Path) -> None:
    taken = made_by_kopia(kopia, location, source)
    with open_shared(kopia, location) as repository:
        repository.change_password("another one")
    both_go_on(kopia.client("new", password="another one"), location, source, taken)
