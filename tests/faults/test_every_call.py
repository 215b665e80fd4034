"""Whatever happens at any call of the storage, a repository opens afterwards, is whole, and takes snapshots.

Each program is run once for each of its calls and each fate of that call; the default run takes an even sample.
"""

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pykopia import clock
from pykopia.api.opening import connect, create
from pykopia.api.repository import Repository
from pykopia.errors import PykopiaError
from pykopia.format.policy import Policy
from pykopia.format.source import SourceInfo
from pykopia.maintenance import epochs
from pykopia.repository.index_recovery import RecoveryOptions, recover_index
from pykopia.repository.options import NewRepositoryOptions, ParameterChanges
from pykopia.repository.upgrade import Upgrade, UpgradeTimes, check_indexes
from pykopia.repository.view import complete_view
from pykopia.snapshot.fix import FixOptions, remove_files
from pykopia.snapshot.upload_options import SnapshotOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage
from pykopia.testing import CountingStorage, FakeClock, SimulatedCrash

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
    copy_of,
    count_calls,
    opened,
    run_until,
)

SAMPLE = 5
"""Calls of each program and fate that the default run takes."""
NEW_PASSWORD = "battery staple"
MINUTE_NS = 60_000_000_000
SHORT_EPOCHS = ParameterChanges(
    epoch_min_duration_ns=12 * MINUTE_NS,
    epoch_refresh_frequency_ns=4 * MINUTE_NS,
    epoch_cleanup_safety_margin_ns=12 * MINUTE_NS,
    epoch_advance_on_count=10,
    epoch_checkpoint_frequency=2,
)


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
    written = 0
    with opened(ground.storage) as repository:
        while repository.manifests.compaction() is None:
            with repository.writer() as writer:
                writer.manifests.put({"type": "test"}, b"{}")
            written += 1

    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository, repository.writer():
            pass
        with opened(storage) as repository:
            assert len(repository.manifests.find({"type": "test"})) == written
            assert repository.manifests.compaction() is None

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


def upgrade_format(ground: Ground) -> Program:
    """Afterwards the owner goes on, as often as it takes, or rolls back."""
    ground.clock = time = FakeClock(clock.now())
    rolls_back = itertools.cycle((True, False))

    def owned(storage: BlobStorage) -> Repository:
        owner = replace(CLIENT, upgrade_owner_id="ann's upgrade")
        return connect(storage, PASSWORD, client=owner)

    def program(storage: BlobStorage) -> None:
        with owned(storage) as repository:
            upgrade = Upgrade(repository, pause=time.sleep)
            if upgrade.place_lock(UpgradeTimes()) is not None:
                upgrade.drain()
                upgrade.migrate()
                check_indexes(repository)
                upgrade.commit()

    def finish(storage: BlobStorage) -> None:
        with owned(storage) as repository:
            locked = repository.format.upgrade_lock is not None
            if locked and next(rolls_back):
                Upgrade(repository).roll_back()
                assert repository.format.version < 3
                return
        program(storage)

    ground.finish = finish
    return program


def maintain(ground: Ground) -> Program:
    """Delete a snapshot before, so that there is garbage; wait for nothing, so that all tasks do something."""
    ground.clock = time = FakeClock(clock.now())
    with time.installed(), opened(ground.storage) as repository:
        time.advance(minutes=5)
        oldest = repository.snapshots.list()[0].id
        repository.snapshots.delete(oldest)
        ground.keeps.remove(oldest)
        time.advance(minutes=5)

    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository:
            repository.maintenance.run("full", safety="none", monotonic=lambda: 0.0)

    return program


def maintain_with_epochs(ground: Ground) -> Program:
    """Leave everything for the program to do that maintenance does: drop, delete, compact, advance, clean up."""
    time = FakeClock(clock.now())
    with time.installed(), opened(ground.storage) as repository:
        repository.set_parameters(SHORT_EPOCHS)
        time.advance(hours=30)
        repository.snapshots.delete(ground.keeps.pop())
        repository.maintenance.run("full", monotonic=lambda: 0.0)
        for number in range(12 * 6):
            with repository.writer() as writer:
                writer.contents.write(b"content %d" % number)
            time.advance(minutes=2)
            if number % 12 == 11:
                epochs.advance_epoch(repository)
        epochs.compact_single_epoch(repository, complete_view(repository, "compact"))
        time.advance(hours=30)
        with repository.writer() as writer:
            writer.manifests.put({"type": "test"}, b"{}")
    ground.clock = time

    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository:
            repository.maintenance.run("full", monotonic=lambda: 0.0)

    return program


def fix_snapshots(ground: Ground) -> Program:
    ground.keeps.clear()  # they get other IDs

    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository:
            remove_files(repository, FixOptions(commit=True), names=["changes"])

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
    "upgrade from format 1": (upgrade_format, 1),
    "upgrade from format 2": (upgrade_format, 2),
    "maintenance": (maintain, 3),
    "maintenance of format 1": (maintain, 1),
    "maintenance with epochs": (maintain_with_epochs, 3),
    "fix snapshots": (fix_snapshots, 3),
}
"""What is tried, each with the format version that it is tried in."""

NOT_TORN = {"change password", "upgrade by parameters", "upgrade from format 1", "upgrade from format 2"}
"""These replace the one blob without which nothing can be opened: only an atomic put can do that (format 03 §1)."""


def check_all(source: Path, name: str, fate: Fate, most: int | None) -> None:
    make, version = PROGRAMS[name]
    ground = ground_of(source, version=version)
    program = make(ground)
    with ground.clock.installed() if ground.clock else contextlib.nullcontext():
        check_each(ground, program, name, fate, most)


def check_each(ground: Ground, program: Program, name: str, fate: Fate, most: int | None) -> None:
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


@pytest.mark.parametrize(
    ("name", "puts", "deletes"),
    [
        ("compact manifests", {"q", "xn"}, {"s"}),
        ("maintenance", {"xn", "xw", "q"}, {"q"}),
        ("maintenance of format 1", {"n", "m", "l", "q"}, {"n", "m", "p", "q"}),
        ("maintenance with epochs", {"xn", "xs", "xr", "xw"}, {"xn", "xe", "q"}),
    ],
)
def test_the_programs_do_what_they_are_there_for(source: Path, name: str, puts: set[str], deletes: set[str]) -> None:
    make, version = PROGRAMS[name]
    ground = ground_of(source, version=version)
    program = make(ground)
    counting = CountingStorage(copy_of(ground.storage))
    with ground.clock.installed() if ground.clock else contextlib.nullcontext():
        program(counting)
    for method, kinds in (("put", puts), ("delete", deletes)):
        done = {call.blob_id for call in counting.calls(method)}  # type: ignore[arg-type]
        assert {kind for kind in kinds if any(name.startswith(kind) for name in done)} == kinds


def test_the_harness_kills(source: Path) -> None:
    ground = ground_of(source)
    program = take_snapshot(ground)
    last = count_calls(ground, program)
    before, after = blob_ids(ground.storage), blob_ids(run_until(ground, program, last, "death after"))
    assert blob_ids(run_until(ground, program, 1, "death")) == before
    assert len(after) > len(before)
    assert issubclass(SimulatedCrash, BaseException)
