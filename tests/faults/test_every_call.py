"""Whatever happens at any call of the storage, a repository opens afterwards, is whole, and takes snapshots.

Each program is run once for each of its calls and each fate of that call; the default run takes an even sample.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from pykopia.errors import PykopiaError
from pykopia.format.policy import Policy
from pykopia.format.source import SourceInfo
from pykopia.repository.index_recovery import RecoveryOptions, recover_index
from pykopia.repository.opening import create
from pykopia.repository.options import NewRepositoryOptions, ParameterChanges
from pykopia.snapshot.upload_options import SnapshotOptions
from pykopia.storage.base import BlobStorage
from pykopia.storage.memory import MemoryStorage
from pykopia.testing import SimulatedCrash

from .harness import (
    CLIENT,
    FATES,
    PASSWORD,
    UNIQUE_ID,
    Fate,
    Ground,
    Program,
    assert_sound,
    blob_ids,
    calls_to_fail,
    count_calls,
    opened,
    run_until,
)

SAMPLE = 7
"""Calls of each program and fate that the default run takes."""
NEW_PASSWORD = "battery staple"


def change(source: Path, step: int) -> None:
    (source / "folder").mkdir(exist_ok=True)
    (source / "same").write_bytes(b"always the same")
    (source / f"new-{step}").write_bytes(bytes([step]) * 5000)
    (source / "folder" / "changes").write_bytes(b"%d" % step * 900)
    (source / "folder" / "link").unlink(missing_ok=True)
    (source / "folder" / "link").symlink_to(f"to-{step}")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    change(folder, 0)
    return folder


def ground_of(source: Path, *, version: int = 3, snapshots: int = 2) -> Ground:
    storage = MemoryStorage()
    options = NewRepositoryOptions(unique_id=UNIQUE_ID, format_version=version)
    with create(storage, PASSWORD, options=options, client=CLIENT) as repository:
        repository.policies.set_defaults()
        keeps = set()
        for step in range(snapshots):
            change(source, step)
            keeps.add(str(repository.snapshots.create(source).manifest.id))
    change(source, snapshots)
    return Ground(storage, source, keeps)


def take_snapshot(ground: Ground) -> Program:
    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository:
            repository.snapshots.create(ground.source)

    return program


def take_checkpoints(ground: Ground) -> Program:
    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository:
            options = SnapshotOptions(checkpoint_interval_seconds=0, parallel=1)
            repository.snapshots.create(ground.source, options=options)

    return program


def delete_snapshot(ground: Ground) -> Program:
    gone = ground.keeps.pop()

    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository:
            repository.snapshots.delete(gone)

    return program


def change_password(ground: Ground) -> Program:
    ground.passwords = (PASSWORD, NEW_PASSWORD)

    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository:
            repository.change_password(NEW_PASSWORD)

    return program


def set_policy(ground: Ground) -> Program:
    policy = Policy.from_json(b'{"retention":{"keepLatest":90},"compression":{"compressorName":"zstd"}}')

    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository:
            repository.policies.set(SourceInfo(host="box", user_name="ann", path=str(ground.source)), policy)
            repository.policies.set(SourceInfo(host="box", user_name="ann", path=str(ground.source)), policy)

    return program


def compact_manifests(ground: Ground) -> Program:
    with opened(ground.storage) as repository:
        for number in range(18):
            with repository.writer() as writer:
                writer.manifests.put({"type": "test"}, b'{"number":%d}' % number)

    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository, repository.writer():
            pass
        with opened(storage) as repository:
            assert len(repository.manifests.find({"type": "test"})) == 18

    return program


def rebuild_index(_: Ground) -> Program:
    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository:
            recover_index(repository, RecoveryOptions(commit=True, delete_indexes=True))

    return program


def upgrade_parameters(_: Ground) -> Program:
    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository:
            repository.set_parameters(ParameterChanges(upgrade=True))

    return program


PROGRAMS: dict[str, tuple[Callable[[Ground], Program], int]] = {
    "snapshot": (take_snapshot, 3),
    "snapshot of format 1": (take_snapshot, 1),
    "checkpoints": (take_checkpoints, 3),
    "delete snapshot": (delete_snapshot, 3),
    "change password": (change_password, 3),
    "set policy": (set_policy, 3),
    "compact manifests": (compact_manifests, 3),
    "recover index": (rebuild_index, 3),
    "recover index of format 1": (rebuild_index, 1),
    "upgrade by parameters": (upgrade_parameters, 1),
}
"""What is tried, each with the format version that it is tried in."""

NOT_TORN = {"change password", "upgrade by parameters"}
"""These replace the one blob without which nothing can be opened: only an atomic put can do that (spec 03 §1)."""


def check_all(source: Path, name: str, fate: Fate, most: int | None) -> None:
    make, version = PROGRAMS[name]
    ground = ground_of(source, version=version)
    program = make(ground)
    for call in calls_to_fail(count_calls(ground, program), most):
        left = run_until(ground, program, call, fate)
        try:
            assert_sound(ground, left, torn=fate == "torn")
        except (AssertionError, PykopiaError) as error:
            error.add_note(f"{name}: {fate} at call {call}; left: {blob_ids(left)}")
            raise


CASES = [(name, fate) for name in PROGRAMS for fate in FATES if fate != "torn" or name not in NOT_TORN]


@pytest.mark.parametrize(("name", "fate"), CASES)
def test_a_repository_is_sound_after_a_fault(source: Path, name: str, fate: Fate) -> None:
    check_all(source, name, fate, SAMPLE)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fate"), CASES)
def test_a_repository_is_sound_after_a_fault_at_any_call(source: Path, name: str, fate: Fate) -> None:
    check_all(source, name, fate, None)


@pytest.mark.parametrize("fate", [fate for fate in FATES if fate != "torn"])
def test_a_creation_that_was_cut_off_is_done_again_or_was_finished(source: Path, fate: Fate) -> None:
    ground = Ground(MemoryStorage(), source)

    def program(storage: BlobStorage) -> None:
        options = NewRepositoryOptions(unique_id=UNIQUE_ID)
        create(storage, PASSWORD, options=options, client=CLIENT).close()

    for call in range(1, count_calls(ground, program) + 1):
        left = run_until(ground, program, call, fate)
        try:
            opened(left).close()
        except PykopiaError:
            program(left)
        assert_sound(ground, left)


def test_the_harness_notices_a_pack_that_is_missing(source: Path) -> None:
    ground = ground_of(source)
    ground.storage.delete(blob_ids(ground.storage, "p")[0])
    with pytest.raises(AssertionError):
        assert_sound(ground, ground.storage)


def test_the_harness_kills(source: Path) -> None:
    ground = ground_of(source)
    program = take_snapshot(ground)
    last = count_calls(ground, program)
    before, after = blob_ids(ground.storage), blob_ids(run_until(ground, program, last, "death after"))
    assert blob_ids(run_until(ground, program, 1, "death")) == before
    assert len(after) > len(before)
    assert issubclass(SimulatedCrash, BaseException)
