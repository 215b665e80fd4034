"""Operations that are run with a fault at each of their calls of the storage."""

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pykopia.api.opening import connect, create
from pykopia.api.repository import Repository
from pykopia.format.policy import Policy
from pykopia.format.source import SourceInfo
from pykopia.maintenance import epochs
from pykopia.repository.index_recovery import RecoveryOptions, recover_index
from pykopia.repository.options import NewRepositoryOptions, ParameterChanges
from pykopia.repository.sync import SyncOptions, sync
from pykopia.repository.upgrade import Upgrade, UpgradeTimes, check_indexes
from pykopia.repository.view import complete_view
from pykopia.snapshot.fix import FixOptions, remove_files
from pykopia.snapshot.small_files import TEMPORARY_NAME
from pykopia.snapshot.upload_options import SnapshotOptions
from pykopia.snapshot.verify import VerifyOptions, VerifyResult
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage
from pykopia.testing import FakeClock
from tests.trees import assert_trees_equal

from .harness import (
    CLIENT,
    PASSWORD,
    UNIQUE_ID,
    Ground,
    Program,
    assert_everything_whole,
    blob_ids,
    copy_of,
    opened,
    reopened,
)

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


def make_source(folder: Path) -> Path:
    folder.mkdir()
    change(folder, 0)
    return folder


def ground_of(source: Path, time: FakeClock, *, version: int = 3, snapshots: int = 2) -> Ground:
    """Return a repository with snapshots, made by the time of a clock that the caller has installed."""
    storage = MemoryStorage()
    options = NewRepositoryOptions(unique_id=UNIQUE_ID, format_version=version)
    with create(storage, PASSWORD, options=options, client=CLIENT) as repository:
        repository.policies.set_defaults()
        keeps = set()
        for step in range(snapshots):
            change(source, step)
            keeps.add(str(repository.snapshots.create(source).manifest.id))
    change(source, snapshots)
    return Ground(storage, source, keeps, clock=time)


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
    time = ground.clock
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
    time = ground.clock
    with opened(ground.storage) as repository:
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
    time = ground.clock
    with opened(ground.storage) as repository:
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


def expire(ground: Ground) -> Program:
    """Keep the two newest snapshots: the newest one stays, whatever happens, also after one more was taken."""
    with opened(ground.storage) as repository:
        repository.snapshots.create(ground.source)
        policy = Policy.from_json(
            b'{"retention":{"keepLatest":2,"keepHourly":0,"keepDaily":0,"keepWeekly":0,"keepMonthly":0}}'
        )
        repository.policies.set(SourceInfo(host="box", user_name="ann", path=str(ground.source)), policy)
    with opened(ground.storage) as repository:
        ground.keeps = {str(repository.snapshots.list()[-1].id)}

    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository:
            repository.snapshots.expire(delete=True)

    return program


def pin_snapshot(ground: Ground) -> Program:
    """A pinned snapshot gets another ID: the old one or the new one is there."""
    with opened(ground.storage) as repository:
        first = repository.snapshots.list()[0]
    ground.keeps.remove(str(first.id))

    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository:
            repository.snapshots.pin(first.id, add=["keep"])

    def check(left: MemoryStorage, _: bool) -> None:
        with opened(left) as repository:
            assert first.start_time_ns in [each.start_time_ns for each in repository.snapshots.list()]

    ground.check = check
    return program


def restore(ground: Ground) -> Program:
    """What has its name in the target is whole; the next restore over it makes all of it."""
    first = ground.source.with_name("first")
    shutil.copytree(ground.source, first, symlinks=True)
    with opened(ground.storage) as repository:
        newest = repository.snapshots.create(first).manifest.id
    ground.keeps.add(str(newest))
    ground.unchanged = True
    numbers = itertools.count()
    targets: list[Path] = []

    def program(storage: BlobStorage) -> None:
        targets.append(ground.source.with_name(f"target-{next(numbers)}"))
        with opened(storage) as repository:
            repository.snapshots.restore(newest, targets[-1])

    def check(left: MemoryStorage, finished: bool) -> None:
        target = targets[-1]
        for path in target.rglob("*") if target.exists() else ():
            if TEMPORARY_NAME.fullmatch(path.name) is None and path.is_file() and not path.is_symlink():
                assert path.read_bytes() == (first / path.relative_to(target)).read_bytes()
        if finished:
            assert_trees_equal(first, target)
        with opened(left) as repository:
            repository.snapshots.restore(newest, target)
        assert_trees_equal(first, target)
        shutil.rmtree(target)

    ground.check = check
    return program


def verify(ground: Ground) -> Program:
    """Nothing is changed, and errors are errors: what ends well has found nothing wrong."""
    ground.unchanged = True
    results: list[VerifyResult] = []

    def program(storage: BlobStorage) -> None:
        results.clear()
        with opened(storage) as repository:
            results.append(repository.snapshots.verify(options=VerifyOptions(files_percent=100, parallel=2)))

    return program


def sync_to_copy(ground: Ground) -> Program:
    """The copy is a whole repository at any time."""
    origin = ground.storage
    ground.storage = copy_of(origin)
    origin.name = "origin"
    with opened(origin) as repository:
        repository.snapshots.create(ground.source)

    def program(storage: BlobStorage) -> None:
        sync(origin, storage, SyncOptions(parallel=2))

    return program


def sync_from_origin(ground: Ground) -> Program:
    """The origin is only read; the copy becomes whole by the next run."""
    ground.unchanged = True
    copies: list[MemoryStorage] = []

    def program(storage: BlobStorage) -> None:
        copies.append(MemoryStorage("copy"))
        sync(storage, copies[-1], SyncOptions(parallel=2))

    def check(left: MemoryStorage, _: bool) -> None:
        sync(left, copies[-1], SyncOptions(delete=True))
        assert blob_ids(copies[-1]) == blob_ids(left)
        with reopened(ground, copies[-1]) as repository:
            assert_everything_whole(ground, repository)

    ground.check = check
    return program


def migrate_to(ground: Ground) -> Program:
    """Copy the snapshots of another repository into this one."""
    other = ground_of(ground.source, ground.clock, snapshots=2)

    def program(storage: BlobStorage) -> None:
        with opened(other.storage) as origin, opened(storage) as destination:
            destination.snapshots.migrate(origin, parallel=2)

    def check(left: MemoryStorage, _: bool) -> None:
        program(left)
        with opened(left) as repository:
            assert len(repository.snapshots.list()) >= 4

    ground.check = check
    return program


def migrate_from(ground: Ground) -> Program:
    """Copy the snapshots of this repository into another one, which never has half of one."""
    ground.unchanged = True
    others: list[MemoryStorage] = []

    def program(storage: BlobStorage) -> None:
        others.append(MemoryStorage())
        with create(
            others[-1], PASSWORD, options=NewRepositoryOptions(unique_id=UNIQUE_ID), client=CLIENT
        ) as destination:
            destination.policies.set_defaults()
            with opened(storage) as origin:
                destination.snapshots.migrate(origin, parallel=2)

    def check(left: MemoryStorage, _: bool) -> None:
        with opened(left) as origin, opened(others[-1]) as destination:
            assert_everything_whole(Ground(others[-1], ground.source), destination)
            destination.snapshots.migrate(origin)
            assert len(destination.snapshots.list()) == len(origin.snapshots.list())

    ground.check = check
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
    "expire snapshots": (expire, 3),
    "pin snapshot": (pin_snapshot, 3),
    "restore": (restore, 3),
    "verify": (verify, 3),
    "sync to a copy": (sync_to_copy, 3),
    "sync from the origin": (sync_from_origin, 3),
    "migrate to": (migrate_to, 3),
    "migrate from": (migrate_from, 3),
}
"""What is tried, each with the format version that it is tried in."""

NOT_TORN = {"change password", "upgrade by parameters", "upgrade from format 1", "upgrade from format 2"}
"""These replace the one blob without which nothing can be opened: only an atomic put can do that (format 03 §1)."""
