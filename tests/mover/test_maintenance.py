"""Maintenance by the mover: whose it is, what runs, and what becomes of the space."""

import json
import os
import threading

import pytest
from pykopia_mover.maintenance import ABANDONED_NS, HOUR_NS, decide, owner_of
from pykopia_mover.run import Stop
from pykopia_mover.settings import Settings

import pykopia
from pykopia.ids import BlobID
from pykopia.maintenance.lease import Lease
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.testing import FakeClock
from tests.mover.harness import PASSWORD, Mover, tree

DAY_NS = 24 * HOUR_NS
US = "maintenance@volsync"


@pytest.mark.parametrize(
    ("owner", "on_purpose", "age_ns", "expected"),
    [
        (US, False, 0, "run"),
        (US, True, 90 * DAY_NS, "run"),
        ("", False, 0, "take-over"),
        ("ann@laptop", True, HOUR_NS, "take-over"),
        ("ann@laptop", False, HOUR_NS, "leave"),
        ("ann@laptop", False, ABANDONED_NS, "leave"),
        ("ann@laptop", False, ABANDONED_NS + 1, "take-over"),
    ],
)
def test_m_141_whose_maintenance_it_is(owner: str, on_purpose: bool, age_ns: int, expected: str) -> None:
    now = 1000 * DAY_NS
    found = decide(owner, US, on_purpose=on_purpose, last_ns=now - age_ns, full_interval_ns=DAY_NS, now_ns=now)
    assert found == expected


def test_m_141_a_long_interval_gives_an_owner_more_time() -> None:
    arguments = {"on_purpose": False, "last_ns": 0, "full_interval_ns": 7 * DAY_NS}
    assert decide("a@b", US, **arguments, now_ns=13 * DAY_NS) == "leave"  # type: ignore[arg-type]
    assert decide("a@b", US, **arguments, now_ns=15 * DAY_NS) == "take-over"  # type: ignore[arg-type]


def test_m_141_an_owner_of_its_own_name_takes_over_from_the_default_one() -> None:
    assert owner_of(Settings()) == ("maintenance", "volsync")
    assert owner_of(Settings(maintenance_username="x", maintenance_hostname="y")) == ("x", "y")
    assert decide(US, "x@y", on_purpose=False, last_ns=9, full_interval_ns=1, now_ns=9) == "take-over"


def test_rows_216_217_301_expired_data_is_freed_and_the_repository_stops_growing(mover: Mover, time: FakeClock) -> None:
    zeros = {f"KOPIA_RETAIN_{kind}": "0" for kind in ("HOURLY", "WEEKLY", "DAILY", "MONTHLY", "YEARLY")}
    sizes = []
    for _ in range(8):
        mover.write({"data": os.urandom(400_000)})
        mover.ok("backup", "maintenance", **zeros, KOPIA_RETAIN_LATEST="1")
        sizes.append(sum(map(len, tree(mover.repository_folder).values())))
        time.advance(days=1)
    assert max(sizes[5:]) <= max(sizes[2:5]) * 1.2
    assert sizes[-1] < 8 * 400_000 * 0.7
    mover.ok("restore")
    assert tree(mover.target) == tree(mover.data)


@pytest.fixture
def backed_up(mover: Mover) -> Mover:
    mover.write({"a": "b"})
    mover.ok("backup")
    return mover


def test_m_140_m_146_quick_then_full_and_full_not_again_so_soon(backed_up: Mover) -> None:
    first = backed_up.ok("maintenance")
    assert first.termination["maintenance"]["ran"] == ["quick", "full"]
    assert first.termination["maintenance"]["owner"] == US
    assert first.last.startswith("Kopia completed in ")
    assert "Maintenance completed" in first.last
    assert "INFO: MAINTENANCE_STATUS: SUCCESS" in first.lines
    assert any(line.startswith("INFO: MAINTENANCE_DURATION: ") for line in first.lines)
    second = backed_up.ok("maintenance")
    assert second.termination["maintenance"]["ran"] == ["quick"]
    assert "lastFull" in second.termination["maintenance"]
    assert backed_up.ok("maintenance", KOPIA_MAINTENANCE_FORCE="true").termination["maintenance"]["ran"] == [
        "quick", "full",
    ]  # fmt: skip


def test_m_140_a_full_cycle_runs_again_after_twelve_hours(mover: Mover, time: FakeClock) -> None:
    mover.write({"a": "b"})
    mover.ok("backup", "maintenance")
    time.advance(hours=11, minutes=55)
    assert mover.ok("maintenance").termination["maintenance"]["ran"] == ["quick"]
    time.advance(minutes=6)
    assert mover.ok("maintenance").termination["maintenance"]["ran"] == ["quick", "full"]


def test_m_141_m_144_another_owner_that_is_at_work_is_left_alone_unless_it_is_asked_for(backed_up: Mover) -> None:
    _own(backed_up, "ann@laptop")
    left = backed_up.ok("maintenance")
    assert left.termination["result"] == "skipped"
    assert "owned by ann@laptop" in left.last
    taken = backed_up.run((), {"DIRECTION": "maintenance"})
    assert taken.status == 0
    assert any("taken over from ann@laptop" in each for each in taken.termination["warnings"])
    assert _owner(backed_up) == US
    backed_up.ok("maintenance", KOPIA_OVERRIDE_MAINTENANCE_USERNAME="nightly")
    assert _owner(backed_up) == "nightly@volsync"


def _own(mover: Mover, owner: str) -> None:
    from pykopia.api.maintenance import MaintenanceChanges

    with mover.open() as repository:
        repository.maintenance.set(MaintenanceChanges(owner=owner, quick_enabled=False))


def _owner(mover: Mover) -> str:
    with mover.open() as repository:
        assert repository.maintenance.parameters().quick.enabled  # rule M-144
        return repository.maintenance.parameters().owner


def test_m_143_maintenance_needs_no_volume_no_temporary_folder_and_makes_no_repository(backed_up: Mover) -> None:
    nothing = {"DATA_DIR": "/does/not/exist", "KOPIA_CACHE_DIR": "/proc/no/cache"}
    (backed_up.folder / "tmp").rmdir()
    result = backed_up.ok("maintenance", **nothing)
    assert any("does without a cache" in each for each in result.termination["warnings"])
    missing = backed_up.fails("no-repository", "maintenance", KOPIA_REPOSITORY=f"filesystem://{backed_up.folder}/none")
    assert missing.status == 12
    assert not (backed_up.folder / "none").exists()


def test_m_142_while_another_is_at_work_maintenance_is_busy_and_works_when_that_has_ended(backed_up: Mover) -> None:
    with backed_up.open() as repository:
        lease = Lease(repository)
        result = backed_up.fails("busy", "maintenance")
        assert result.status == 21
        assert result.termination["retryable"] is True
        assert "The next run goes on when that one has ended" in result.last
        backed_up.ok("backup")
        lease.release()
    assert backed_up.ok("maintenance").termination["maintenance"]["ran"] == ["quick", "full"]


def test_m_142_of_two_at_once_one_runs(backed_up: Mover) -> None:
    results = {}
    barrier = threading.Barrier(2, timeout=30)

    def work(number: int) -> None:
        mover = backed_up.with_environment(TERMINATION_LOG=str(backed_up.folder / f"t{number}.json"))
        barrier.wait()
        results[number] = mover("maintenance", KOPIA_MAINTENANCE_FORCE="true")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {result.status for result in results.values()} <= {0, 21}
    assert 0 in {result.status for result in results.values()}
    with backed_up.open() as repository:
        assert repository.snapshots.verify().errors == ()


def test_m_142_a_schedule_that_cannot_be_read_begins_anew(backed_up: Mover) -> None:
    backed_up.ok("maintenance")
    (backed_up.repository_folder / "kopia.maintenance.f").write_bytes(b"garbage" * 9)
    result = backed_up.ok("maintenance")
    assert any("the schedule begins anew" in each for each in result.termination["warnings"])
    assert result.termination["maintenance"]["ran"] == ["quick", "full"]
    _own(backed_up, "ann@laptop")
    (backed_up.repository_folder / "kopia.maintenance.f").write_bytes(b"garbage" * 9)
    assert backed_up.fails("damaged", "maintenance").status == 14


def test_m_006_maintenance_that_is_told_to_stop_leaves_no_lease(backed_up: Mover) -> None:
    stop = Stop()
    stop.ask()
    result = backed_up.run(("maintenance",), {}, stop)
    assert result.status == 143
    assert backed_up.ok("maintenance").termination["maintenance"]["ran"] == ["quick", "full"]


def test_m_002_maintenance_follows_a_backup_only_if_that_went_well(mover: Mover) -> None:
    mover.write({"a": "b"})
    result = mover("backup", "maintenance", KOPIA_BEFORE_SNAPSHOT="exit 1")
    assert result.status == 17
    assert "=== Starting maintenance ===" not in result.lines
    both = mover.ok("backup", "maintenance")
    assert both.lines.index("=== Starting backup ===") < both.lines.index("=== Starting maintenance ===")
    assert json.loads((mover.folder / "termination.json").read_text())["op"] == "maintenance"


def test_rows_11_220_a_backup_while_maintenance_runs_is_not_blocked_and_stays_whole(backed_up: Mover) -> None:
    for number in range(5):
        backed_up.write({f"more-{number}": os.urandom(20_000)})
        backed_up.ok("backup")
    results: dict[str, int] = {}

    def work(operation: str) -> None:
        other = backed_up.with_environment(TERMINATION_LOG=str(backed_up.folder / f"{operation}.json"))
        results[operation] = other(operation, KOPIA_MAINTENANCE_FORCE="true").status

    backed_up.write({"new": os.urandom(300_000)})
    threads = [threading.Thread(target=work, args=(operation,)) for operation in ("maintenance", "backup")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {"maintenance": 0, "backup": 0}
    with backed_up.open() as repository:
        assert repository.snapshots.verify().errors == ()
    backed_up.ok("restore")
    assert tree(backed_up.target) == tree(backed_up.data)


@pytest.mark.parametrize("paths", [("shared", "shared"), ("app1-backups", "app2-backups")])
def test_row_221_several_sources_do_not_conflict_on_one_path_nor_on_paths_of_their_own(
    mover: Mover, paths: tuple[str, str]
) -> None:
    sources = [
        {"VOLSYNC_OWNER_NAME": name, "KOPIA_REPOSITORY": f"filesystem://{mover.folder}/{path}"}
        for name, path in zip(("one", "two"), paths, strict=True)
    ]
    for source in sources:
        mover.write({"who": source["VOLSYNC_OWNER_NAME"]})
        mover.ok("backup", "maintenance", **source, KOPIA_MAINTENANCE_FORCE="true")
    for source in sources:
        mover.ok("restore", **source)
        assert (mover.target / "who").read_text() == source["VOLSYNC_OWNER_NAME"]
    with pykopia.connect(str(mover.folder / paths[1]), PASSWORD) as repository:
        assert len(repository.snapshots.list()) == 3 - len({*paths})


def test_row_220_a_backup_in_the_midst_of_maintenance_goes_through(
    time: FakeClock, backed_up: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first blob is deleted, a whole backup and a whole restore run."""
    backed_up.ok("maintenance")
    time.advance(days=3)
    other = backed_up.with_environment(TERMINATION_LOG=str(backed_up.folder / "other.json"))
    real = FilesystemStorage.delete
    between: list[str] = []

    def delete(storage: FilesystemStorage, blob_id: BlobID) -> None:
        if not between:
            between.append(blob_id)
            backed_up.write({"new": os.urandom(300_000)})
            other.ok("backup")
            other.ok("restore")
        real(storage, blob_id)

    with monkeypatch.context() as patch:
        patch.setattr(FilesystemStorage, "delete", delete)
        backed_up.ok("maintenance")
    assert between
    with backed_up.open() as repository:
        assert repository.snapshots.verify().errors == ()
    backed_up.ok("restore")
    assert tree(backed_up.target) == tree(backed_up.data)


def test_row_216_maintenance_merges_index_blobs(mover: Mover, time: FakeClock) -> None:
    """An epoch ends with 20 index blobs of a day or more, and is merged when two later ones have begun."""
    mover.write({"a": "b"})
    mover.ok("backup")
    counts = []
    for epoch in range(4):
        with mover.open() as repository:
            for number in range(22):
                with repository.writer() as writer:
                    writer.contents.write(f"{epoch} {number}".encode())
        time.advance(days=2)
        mover.ok("maintenance")
        with mover.open() as repository:
            repository.snapshots.list()  # loads the indexes
            counts.append(repository.contents.indexes.active_count)
    assert max(counts) < 3 * 22
    mover.ok("restore")
    assert tree(mover.target) == tree(mover.data)
