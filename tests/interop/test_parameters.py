"""Connection files, tokens, passwords and parameters: what pykopia or a real kopia sets, the other one goes by."""

import json
from pathlib import Path

import pytest

from pykopia.api.opening import connect, create, open_connected
from pykopia.errors import InvalidPasswordError, UsageError
from pykopia.format.token import ConnectionToken
from pykopia.repository.connection_file import disconnect, keep_password
from pykopia.repository.options import NewRepositoryOptions, ParameterChanges
from pykopia.storage.connection import ConnectionInfo
from tests.trees import MIB, changing_tree, small_tree

from .kopia_cli import KopiaCLI, KopiaFailedError
from .repositories import (
    UNCACHED_LISTINGS,
    assert_restored_by_kopia,
    assert_restored_by_pykopia,
    client_of,
    kopia_snapshot_ids,
    open_shared,
    snapshot_ids,
    verify_all,
)

NEW_PASSWORD = "another password, \u00fcnicode too"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    small_tree(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def location(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def test_kopia_works_with_the_connection_file_and_cache_of_pykopia(
    kopia: KopiaCLI, location: Path, source: Path, tmp_path: Path
) -> None:
    client = client_of(kopia)
    config = kopia.config_file
    with create(location, kopia.password, config=config, client=client, cache_root=kopia.cache_directory) as repository:
        repository.policies.set_defaults()
        first = repository.snapshots.create(source).manifest
        keep_password(config, kopia.password)
    without_password = kopia.client("kopia-client", password="")
    assert without_password.repository_status()["clientOptions"]["username"] == kopia.username
    without_password.restore(str(first.id), tmp_path / "restored")
    assert_restored_by_kopia(source, tmp_path / "restored")
    second = without_password.snapshot_create(source)
    with open_connected(config) as repository:
        assert snapshot_ids(repository) == {first.id, second["id"]}
        verify_all(repository)
    without_password.verify_all()
    disconnect(config)
    assert without_password.run("snapshot", "list", check=False).returncode != 0


def test_pykopia_works_with_the_connection_file_and_cache_of_kopia(
    kopia: KopiaCLI, location: Path, source: Path, tmp_path: Path
) -> None:
    kopia.create_repository(location, description="by kopia", persist_credentials=True)
    first = kopia.snapshot_create(source)
    with open_connected(kopia.config_file) as repository:
        assert (repository.username, repository.hostname) == (kopia.username, kopia.hostname)
        assert repository.client.description == "by kopia"
        repository.snapshots.restore(first["id"], tmp_path / "restored")
        assert_restored_by_pykopia(source, tmp_path / "restored")
        second = repository.snapshots.create(source).manifest
        assert second.root_object_id == first["rootEntry"]["obj"]
        verify_all(repository)
    kopia.verify_all()
    assert kopia_snapshot_ids(kopia) == {first["id"], second.id}
    kopia.run("cache", "info")
    kopia.disconnect()
    assert not kopia.config_file.exists()


def test_a_token_of_either_connects_the_other(kopia: KopiaCLI, location: Path, source: Path) -> None:
    kopia.create_repository(location)
    snapshot = kopia.snapshot_create(source)
    printed = kopia.run("repository", "status", "--reconnect-token", "--reconnect-token-with-password").stdout
    theirs = next(line.split()[-1] for line in printed.splitlines() if line.startswith("$ kopia "))
    token = ConnectionToken.decode(theirs)
    with connect(ConnectionInfo.from_json(dict(token.storage)), token.password) as repository:
        assert snapshot_ids(repository) == {snapshot["id"]}
        info = repository.storage.connection_info().to_json()
    ours = ConnectionToken(storage=info, password=kopia.password).encode()
    other = kopia.client("by-token", password="")
    other.folder.mkdir()
    other.run("repository", "connect", "from-config", token=ours)
    assert kopia_snapshot_ids(other) == {snapshot["id"]}


@pytest.mark.parametrize("version", [2, 3])
def test_a_password_that_pykopia_changed_is_the_one_for_kopia(
    kopia: KopiaCLI, location: Path, source: Path, version: int
) -> None:
    kopia.create_repository(location, format_version=version)
    snapshot = kopia.snapshot_create(source)
    with open_shared(kopia, location) as repository:
        repository.change_password(NEW_PASSWORD)
        repository.snapshots.create(source)
    with pytest.raises(KopiaFailedError, match="invalid repository password"):
        kopia.client("old-password").connect(location)
    other = kopia.client("new-password", password=NEW_PASSWORD)
    other.connect(location)
    assert snapshot["id"] in kopia_snapshot_ids(other)
    assert len(kopia_snapshot_ids(other)) == 2
    other.verify_all()


@pytest.mark.parametrize("version", [2, 3])
def test_a_password_that_kopia_changed_is_the_one_for_pykopia(
    kopia: KopiaCLI, location: Path, source: Path, version: int
) -> None:
    options = NewRepositoryOptions(format_version=version)
    with create(location, kopia.password, options=options, client=client_of(kopia)) as repository:
        snapshot = repository.snapshots.create(source).manifest
    kopia.connect(location)
    kopia.run("repository", "change-password", new_password=NEW_PASSWORD)
    with pytest.raises(InvalidPasswordError):
        open_shared(kopia, location)
    with open_shared(kopia, location, password=NEW_PASSWORD) as repository:
        assert snapshot_ids(repository) == {snapshot.id}
        verify_all(repository)


def test_neither_changes_the_password_of_version_1(kopia: KopiaCLI, location: Path) -> None:
    kopia.create_repository(location, format_version=1)
    before = (location / "kopia.repository.f").read_bytes()
    assert kopia.run("repository", "change-password", new_password=NEW_PASSWORD, check=False).returncode != 0
    with open_shared(kopia, location) as repository, pytest.raises(UsageError):
        repository.change_password(NEW_PASSWORD)
    assert (location / "kopia.repository.f").read_bytes() == before


def test_parameters_that_either_sets_hold_for_the_other(kopia: KopiaCLI, location: Path, source: Path) -> None:
    kopia.create_repository(location)
    kopia.run("repository", "set-parameters", max_pack_size_mb=33, epoch_min_duration="36h")
    with open_shared(kopia, location) as repository:
        assert repository.format.max_pack_size == 33 * MIB
        assert repository.format.epoch_parameters.min_duration_ns == 36 * 3600 * 10**9
        changes = ParameterChanges(
            max_pack_size=44 * MIB, epoch_advance_on_count=15, epoch_refresh_frequency_ns=600 * 10**9
        )
        repository.set_parameters(changes)
        repository.snapshots.create(source)
    other = kopia.client("other")
    other.connect(location)
    status = json.dumps(other.repository_status())
    content = json.loads(status)["contentFormat"]
    assert content["maxPackSize"] == 44 * MIB
    epochs = content["epochParameters"]
    assert (epochs["EpochAdvanceOnCountThreshold"], epochs["EpochRefreshFrequency"]) == (15, 600 * 10**9)
    assert epochs["MinEpochDuration"] == 36 * 3600 * 10**9
    other.verify_all()


@pytest.mark.parametrize("upgraded_by", ["pykopia", "kopia"])
def test_a_repository_that_either_upgrades_keeps_all_that_both_wrote(
    kopia: KopiaCLI, location: Path, tmp_path: Path, upgraded_by: str
) -> None:
    source = tmp_path / "changing"
    changing_tree(source, 0)
    kopia.create_repository(location, format_version=1, **UNCACHED_LISTINGS)
    made = {kopia.snapshot_create(source)["id"]}
    with open_shared(kopia, location) as repository:
        changing_tree(source, 1)
        made.add(str(repository.snapshots.create(source).manifest.id))
        repository.snapshots.delete(gone := str(repository.snapshots.create(source).manifest.id))
        if upgraded_by == "pykopia":
            repository.set_parameters(ParameterChanges(upgrade=True))
            assert snapshot_ids(repository) == made
            changing_tree(source, 2)
            made.add(str(repository.snapshots.create(source).manifest.id))
    if upgraded_by == "kopia":
        kopia.run("repository", "set-parameters", upgrade=True)

    other = kopia.client("other")
    other.connect(location)
    assert other.repository_status()["contentFormat"]["version"] == 2
    assert kopia_snapshot_ids(other) == made
    changing_tree(source, 3)
    made.add(other.snapshot_create(source)["id"])
    other.verify_all()
    with open_shared(kopia, location) as repository:
        assert repository.format.version == 2
        assert snapshot_ids(repository) == made
        assert gone not in made
        verify_all(repository)
