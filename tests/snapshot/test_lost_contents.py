"""A snapshot hands no loss on: what the repository has lost and the source still has is stored again."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykopia.api.opening import connect, create
from pykopia.api.repository import Repository
from pykopia.errors import ContradictedViewError
from pykopia.format.blob import BlobMetadata
from pykopia.format.policy import Policy, RetentionPolicy
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.ids import BlobID
from pykopia.snapshot.upload_options import SnapshotOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing.clock import FakeClock
from tests.snapshot.conftest import CLIENT, PASSWORD
from tests.trees import assert_trees_equal

HOUR_NS = 3600 * 10**9


@pytest.fixture
def time() -> Iterator[FakeClock]:
    fake = FakeClock(step_ns=1_000_000)
    with fake.installed():
        yield fake


def fill(source: Path) -> None:
    (source / "folder").mkdir()
    (source / "small").write_bytes(b"small")
    (source / "folder" / "large").write_bytes(os.urandom(600_000))
    (source / "folder" / "link").symlink_to("large")


def lose(storage: MemoryStorage, names: set[BlobID]) -> None:
    for name in names:
        storage.delete(name)


def names_of(storage: MemoryStorage, *prefixes: str) -> set[BlobID]:
    return {blob.blob_id for prefix in prefixes for blob in storage.list(prefix)}


def again(storage: MemoryStorage) -> Repository:
    return connect(storage, PASSWORD, client=CLIENT)


@pytest.mark.parametrize("force_hash", [0, 100])
def test_lost_packs_are_stored_again_from_the_source(
    repository: Repository, storage: MemoryStorage, source: Path, tmp_path: Path, force_hash: int
) -> None:
    fill(source)
    first = repository.snapshots.create(source).manifest
    lose(storage, names_of(storage, "p"))
    with again(storage) as other:
        second = other.snapshots.create(source, options=SnapshotOptions(force_hash_percent=force_hash)).manifest
    with again(storage) as reader:
        for number, each in enumerate((first, second)):  # the earlier snapshot is healed as well
            reader.snapshots.restore(each.id, tmp_path / str(number))
            assert_trees_equal(source, tmp_path / str(number))
        assert reader.snapshots.verify().errors == ()


def test_what_the_index_has_lost_is_not_taken_over(
    repository: Repository, storage: MemoryStorage, source: Path, tmp_path: Path
) -> None:
    fill(source)
    repository.snapshots.create(source)
    lost = names_of(storage, "xn")
    (source / "new").write_bytes(b"new")
    repository.snapshots.create(source)
    lose(storage, lost)
    with again(storage) as other:
        (source / "newest").write_bytes(b"newest")
        taken = other.snapshots.create(source)
        assert taken.counters.cached_files == 1  # the file that came with the second snapshot
    with again(storage) as reader:
        reader.snapshots.restore(taken.manifest.id, tmp_path / "out")
        assert_trees_equal(source, tmp_path / "out")


@pytest.mark.parametrize("latest", [10, 1])
def test_an_unchanged_folder_costs_one_listing_and_no_file_is_read(
    latest: int, repository: Repository, storage: MemoryStorage, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(source)
    set_latest(repository, latest)
    repository.snapshots.create(source)
    with again(storage) as other:
        listed: list[str] = []
        real = MemoryStorage.list

        def counted(self: MemoryStorage, prefix: str = "") -> Iterator[BlobMetadata]:
            listed.append(prefix)
            return real(self, prefix)

        monkeypatch.setattr(MemoryStorage, "list", counted)
        taken = other.snapshots.create(source)
        assert (taken.counters.hashed_files, taken.counters.cached_files) == (0, 3)
        assert listed.count("") == 1
        assert not [prefix for prefix in listed if prefix and prefix not in ("x", "s")]
        assert len(other.snapshots.list()) == min(latest, 2)


# --- retention -------------------------------------------------------------------------------------------------------


def set_latest(repository: Repository, count: int) -> None:
    retention = RetentionPolicy(
        keep_latest=count, keep_hourly=0, keep_daily=0, keep_weekly=0, keep_monthly=0, keep_annual=0
    )
    repository.policies.set(SourceInfo(), Policy(retention=retention))


def starts(repository: Repository) -> list[int]:
    return [each.start_time_ns for each in repository.snapshots.list()]


def at(start_ns: int) -> SnapshotOptions:
    return SnapshotOptions(start_time_ns=start_ns)


def test_nothing_expires_while_a_snapshot_lies_ahead_of_the_clock(
    time: FakeClock, repository: Repository, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_latest(repository, 1)
    now = time.now_ns
    times = [now - 2 * HOUR_NS, now + 24 * HOUR_NS, now - HOUR_NS]
    for number, start in enumerate(times):
        (source / "file").write_bytes(b"%d" % number)
        repository.snapshots.create(source, options=at(start))
    assert starts(repository) == sorted(times)
    assert "still to come" in caplog.text
    assert "snapshot delete" in caplog.text
    ahead = repository.snapshots.list()[-1]
    repository.snapshots.delete(ahead.id)
    repository.snapshots.expire(delete=True)
    assert starts(repository) == [now - HOUR_NS]


@pytest.mark.parametrize("hours", [2_000 * 24, -24])
def test_nothing_expires_by_a_clock_that_the_storage_contradicts(
    source: Path, caplog: pytest.LogCaptureFixture, hours: int
) -> None:
    right, wrong = FakeClock(), FakeClock()
    wrong.advance(hours=max(hours, 0))
    right.advance(hours=max(-hours, 0))
    storage = MemoryStorage(clock=right)
    with wrong.installed(), create(storage, PASSWORD, client=CLIENT) as repository:
        set_latest(repository, 1)
        for number in range(3):
            wrong.advance(seconds=1)
            (source / "file").write_bytes(b"%d" % (number // 2))
            repository.snapshots.create(source)
        assert len(repository.snapshots.list()) == 3
        assert "the storage says" in caplog.text
        with pytest.raises(ContradictedViewError, match="the storage says"):
            repository.snapshots.expire(delete=True)
        assert len(repository.snapshots.list()) == 3
        assert names_of(storage, "s") == set()  # no marker of a session is left


def test_nothing_expires_by_a_policy_that_took_the_place_of_a_lost_one(
    repository: Repository, storage: MemoryStorage, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_latest(repository, 1)
    before = names_of(storage, "xn")
    repository.policies.set(SourceInfo(), Policy(retention=RetentionPolicy(keep_latest=10)))
    lost = names_of(storage, "xn") - before
    with again(storage) as other:
        other.snapshots.create(source)
    lose(storage, lost)
    with again(storage) as other:
        other.snapshots.create(source)
        assert len(other.snapshots.list()) == 2
        with pytest.raises(ContradictedViewError):
            other.snapshots.expire(delete=True)
    assert "no index blob lists" in caplog.text


def test_nothing_expires_while_packs_are_missing(
    repository: Repository, storage: MemoryStorage, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_latest(repository, 1)
    (source / "file").write_bytes(b"of old")
    repository.snapshots.create(source)
    lost = names_of(storage, "p")
    (source / "file").write_bytes(b"and this is new")
    lose(storage, lost)
    with again(storage) as other:
        other.snapshots.create(source)
        assert len(other.snapshots.list()) == 2
        with pytest.raises(ContradictedViewError, match="not there"):
            other.snapshots.expire(delete=True)
    assert "not there" in caplog.text


def test_a_snapshot_is_not_expired_by_the_run_that_took_it(
    time: FakeClock, repository: Repository, source: Path
) -> None:
    set_latest(repository, 1)
    now = time.now_ns
    repository.snapshots.create(source)
    old = repository.snapshots.create(source, options=at(now - 48 * HOUR_NS)).manifest
    assert old.id in {each.id for each in repository.snapshots.list()}


def test_attempts_with_errors_push_no_good_snapshot_out(
    repository: Repository, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_latest(repository, 2)
    (source / "file").write_bytes(b"good")
    good = repository.snapshots.create(source).manifest
    monkeypatch.setattr(SnapshotManifest, "has_errors", property(lambda each: each.start_time_ns > good.start_time_ns))
    for _ in range(4):
        repository.snapshots.create(source)
    kept = [each.id for each in repository.snapshots.list()]
    assert good.id in kept
    assert len(kept) == 3  # and the two that Kopia keeps
