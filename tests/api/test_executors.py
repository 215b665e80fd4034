"""Verification and restore in parts: by threads, by processes, by a cluster of which a worker is lost."""

import os
import pickle
import random
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import pytest

import pykopia
from pykopia.api.executors import FollowingBy, RestorePart, restore_part
from pykopia.errors import (
    CanceledError,
    MaintenanceBusyError,
    MaintenanceError,
    PykopiaError,
    RestoreError,
    StorageUnavailableError,
    UsageError,
)
from pykopia.format.directory import DirectoryEntry
from pykopia.maintenance.blobs import no_check
from pykopia.maintenance.live_contents import LiveContents
from pykopia.maintenance.marking import Marking, MarkPart, MarkRoot, PartMarks
from pykopia.snapshot.dividing import cost, pieces_of, shared_out
from tests.servers.s3 import S3Server, admin

PASSWORD = "a good password"
NEW = pykopia.NewRepositoryOptions(unique_id=b"the same, so keys are cached ...")
SOURCE = pykopia.SourceInfo(user_name="ann", host="box", path="/data")
EVERY = pykopia.VerifyOptions(files_percent=100)


def fill(repository: pykopia.Repository, folder: Path, *, snapshots: int = 3) -> None:
    """Take snapshots of a changing folder of some depth."""
    chance = random.Random(1)
    for number in range(snapshots):
        for place in ("a", "a/b", "c", "c/d/e", f"new{number}"):
            (folder / place).mkdir(parents=True, exist_ok=True)
            for each in range(4):
                (folder / place / f"file{each}").write_bytes(chance.randbytes(chance.randrange(1, 30_000)))
        (folder / "a" / "same").write_bytes(b"the same in all")
        if not (folder / "link").is_symlink():
            (folder / "link").symlink_to("a/same")
        os.chmod(folder / "c" / "d", 0o750)
        os.utime(folder / "c" / "d", ns=(0, 1_600_000_000_123_456_789))
        repository.snapshots.create(folder, options=pykopia.SnapshotOptions(source=SOURCE))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def repository(tmp_path: Path, folder: Path) -> Iterator[pykopia.Repository]:
    with pykopia.create(tmp_path / "repository", PASSWORD, options=NEW) as repository:
        fill(repository, folder)
        yield repository


def told(result: pykopia.VerifyResult) -> list[tuple[str, str, str]]:
    return sorted((each.label, each.path, str(each.error)) for each in result.problems)


# ---------------------------------------------------------------------- dividing


def test_parts_are_the_whole_and_about_equal(repository: pykopia.Repository) -> None:
    entry = repository.snapshots.resolve("latest")
    for parts in (1, 2, 3, 8, 100):
        pieces = pieces_of(repository.objects, [entry], parts, distinct=False)
        groups = shared_out(pieces, [""], parts)
        assert len(groups) <= parts
        assert all(groups)
        assert sorted(piece.path for group in groups for piece in group) == sorted(piece.path for piece in pieces)
        loads = [sum(piece.cost for piece in group) for group in groups]
        assert max(loads) <= max(cost(entry) / parts * 2, max(piece.cost for piece in pieces)) + 200_000
        files = set()
        for piece in pieces:
            if not piece.shallow and piece.entry.type == "d":
                tree = repository.snapshots.tree(piece.entry)
                files |= {
                    f"{piece.path}/{path}" for here, _, names in tree.walk() for path in (f"{here}/{n}" for n in names)
                }
            elif not piece.shallow:
                files.add(piece.path)
        assert len(files) == entry.summary.files + entry.summary.symlinks  # type: ignore[union-attr]


def test_versions_of_a_path_go_to_one_part(repository: pykopia.Repository) -> None:
    parts = repository.snapshots.plan_verify(parts=4)
    places: dict[str, set[int]] = {}
    for part in parts:
        for root in part.roots:
            places.setdefault(root.path, set()).add(part.number)
    assert all(len(numbers) == 1 for numbers in places.values())
    assert len(parts) == 4
    ids = [root.entry.object_id for part in parts for root in part.roots]
    assert len(set(ids)) == len(ids)


def test_a_folder_that_can_not_be_read_is_a_piece_of_its_own(repository: pykopia.Repository) -> None:
    lost = DirectoryEntry(name="x", type="d", size=0, object_id=pykopia.ObjectID("k" + "0" * 32))
    (piece,) = pieces_of(repository.objects, [lost], 8, distinct=True)
    assert (piece.entry, piece.shallow) == (lost, False)


def test_a_part_is_a_value_that_travels_as_text(repository: pykopia.Repository) -> None:
    for part in repository.snapshots.plan_verify(parts=3, options=EVERY):
        assert pykopia.VerifyPart.from_json(part.to_json()) == pickle.loads(pickle.dumps(part)) == part
        assert PASSWORD.encode() not in part.to_json()
        result = repository.snapshots.verify_part(pykopia.VerifyPart.from_json(part.to_json()))
        assert not result.problems
        assert pickle.loads(pickle.dumps(result)) == result
    with pytest.raises(UsageError, match="no part of a verification"):
        pykopia.VerifyPart.from_json("{}")
    with pytest.raises(UsageError, match="parts must be"):
        repository.snapshots.plan_verify(parts=0)


# ---------------------------------------------------------------------- verifying


@pytest.mark.parametrize("parts", [None, 1, 2, 7])
def test_a_verification_in_parts_gives_what_one_in_one_gives(repository: pykopia.Repository, parts: int | None) -> None:
    local = repository.snapshots.verify(options=EVERY)
    counters: list[pykopia.VerifyCounters] = []
    with ThreadPoolExecutor(2) as executor:
        result = repository.snapshots.verify(options=EVERY, executor=executor, parts=parts, progress=counters.append)
    assert result == local
    assert counters[-1] == result.counters


def test_damage_is_reported_once_and_under_the_same_names(repository: pykopia.Repository, tmp_path: Path) -> None:
    entry = repository.snapshots.resolve("latest/c/d/e/file1")
    pack = repository.contents.entry(entry.object_id).pack_blob
    repository.storage.delete(pykopia.BlobID(pack))
    local = repository.snapshots.verify(options=EVERY)
    assert local.problems
    with ThreadPoolExecutor(2) as executor:
        result = repository.snapshots.verify(options=EVERY, executor=executor, parts=5)
    assert told(result) == told(local)
    assert result.snapshots == local.snapshots == 3
    assert result.contradictions == local.contradictions
    with ThreadPoolExecutor(2) as executor:
        first = repository.snapshots.verify(options=pykopia.VerifyOptions(max_errors=1), executor=executor, parts=5)
    assert first.stopped_early


class Losing(Executor):
    """Loses the first parts, as an executor does whose worker is gone; carries the others out at once."""

    def __init__(self, losses: int, error: BaseException) -> None:
        self.losses, self.error = losses, error
        self.submitted = 0

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **options: Any) -> "Future[Any]":  # noqa: ANN401
        self.submitted += 1
        future: Future[Any] = Future()
        if self.submitted <= self.losses:
            future.set_exception(self.error)
            return future
        try:
            future.set_result(work(*arguments, **options))
        except BaseException as error:  # noqa: BLE001
            future.set_exception(error)
        return future


@pytest.mark.parametrize("error", [BrokenProcessPool("gone"), RuntimeError("gone"), StorageUnavailableError("busy")])
@pytest.mark.parametrize("losses", [1, 4, 1000])
def test_a_lost_part_is_done_again_and_here_in_the_end(
    repository: pykopia.Repository, losses: int, error: BaseException
) -> None:
    executor = Losing(losses, error)
    result = repository.snapshots.verify(options=EVERY, executor=executor, parts=4)
    assert result == repository.snapshots.verify(options=EVERY)
    assert executor.submitted == (4 + losses if losses < 1000 else 4 * 3)


def test_an_error_that_no_repetition_cures_is_raised(repository: pykopia.Repository) -> None:
    with pytest.raises(UsageError, match="nonsense"):
        repository.snapshots.verify(executor=Losing(1, UsageError("nonsense")), parts=4)


def test_a_verification_in_parts_can_be_canceled(repository: pykopia.Repository) -> None:
    with pytest.raises(CanceledError):
        repository.snapshots.verify(executor=Losing(0, OSError()), parts=4, cancel=lambda: True)


# ---------------------------------------------------------------------- verifying contents

READ = pykopia.ContentVerifyOptions(read_percent=100, include_deleted=True)


def failures(result: pykopia.ContentVerifyResult) -> list[tuple[str, str]]:
    return [(each.content_id, str(each.error)) for each in result.problems]


def test_each_content_belongs_to_one_part(repository: pykopia.Repository) -> None:
    entries = [*repository.contents.list(include_deleted=True)]
    odd = msgspec.structs.replace(entries[0], pack_blob=pykopia.BlobID("pX-odd"))
    for count in (1, 2, 3, 32, 100):
        parts = repository.plan_verify_contents(parts=count)
        found = [entry for part in parts for entry in part.chosen([*entries, odd])]
        assert sorted(map(str, found)) == sorted(map(str, [*entries, odd]))
        assert len(parts) == count
        shares = [len(part.packs) for part in parts]
        assert max(shares) <= 1.5 * min(shares)


def test_a_part_of_contents_is_a_value_that_travels_as_text(repository: pykopia.Repository) -> None:
    for part in repository.plan_verify_contents(parts=3, options=READ):
        assert pykopia.ContentVerifyPart.from_json(part.to_json()) == pickle.loads(pickle.dumps(part)) == part
        result = repository.verify_contents_part(part)
        assert pickle.loads(pickle.dumps(result)) == result
    with pytest.raises(UsageError, match="no part of a verification of contents"):
        pykopia.ContentVerifyPart.from_json("{}")
    for parts in (0, 5000):
        with pytest.raises(UsageError, match="parts must be"):
            repository.plan_verify_contents(parts=parts)
    with pytest.raises(UsageError, match="read_percent must be"):
        pykopia.ContentVerifyOptions(read_percent=101)


@pytest.mark.parametrize("parts", [None, 1, 5])
def test_contents_verified_in_parts_give_what_one_in_one_gives(
    repository: pykopia.Repository, parts: int | None
) -> None:
    local = repository.verify_contents(options=READ)
    assert local.verified == local.read == len([*repository.contents.list(include_deleted=True)])
    assert not local.errors
    so_far: list[pykopia.ContentVerifyResult] = []
    with ThreadPoolExecutor(2) as executor:
        result = repository.verify_contents(options=READ, executor=executor, parts=parts, progress=so_far.append)
    assert result == local == so_far[-1]
    assert repository.verify_contents().read == 0


@pytest.mark.parametrize("losses", [0, 2, 1000])
def test_damaged_contents_are_named_whoever_finds_them(repository: pykopia.Repository, losses: int) -> None:
    lost, cut, wrong, *_ = sorted({entry.pack_blob for entry in repository.contents.list()})
    repository.storage.delete(lost)
    end = max(entry.pack_offset + entry.packed_length for entry in repository.contents.list() if entry.pack_blob == cut)
    repository.storage.put(cut, repository.storage.get(cut)[: end - 1])
    data = bytearray(repository.storage.get(wrong))
    entry = next(entry for entry in repository.contents.list() if entry.pack_blob == wrong)
    data[entry.pack_offset + 3] ^= 1
    repository.storage.put(wrong, bytes(data))
    local = repository.verify_contents(options=READ)
    assert {each.pack_blob for each in local.problems} == {lost, cut, wrong}
    executor = Losing(losses, BrokenProcessPool("gone"))
    assert failures(repository.verify_contents(options=READ, executor=executor, parts=4)) == failures(local)
    assert str(local.problems[0]).startswith(f"content {local.problems[0].content_id}: ")


def test_a_verification_of_contents_can_be_canceled(repository: pykopia.Repository) -> None:
    for executor in (None, Losing(0, OSError())):
        with pytest.raises(CanceledError):
            repository.verify_contents(executor=executor, cancel=lambda: True)


# ---------------------------------------------------------------------- following snapshots for maintenance


def with_garbage(repository: pykopia.Repository, folder: Path) -> None:
    """Delete a snapshot, so that its own files are in no snapshot, and take one of a file that is in many pieces."""
    repository.snapshots.delete(repository.snapshots.list()[1].id)
    (folder / "big").write_bytes(random.Random(2).randbytes(9 << 20))
    repository.snapshots.create(folder, options=pykopia.SnapshotOptions(source=SOURCE))


def copy_of(repository: pykopia.Repository, place: Path) -> pykopia.Repository:
    """Open a copy of the repository, as it is now."""
    shutil.copytree(place.with_name("repository"), place)
    return pykopia.connect(place, PASSWORD)


def state_of(repository: pykopia.Repository) -> tuple[list[tuple[str, bool]], list[str]]:
    """Return all contents, with whether they are marked as deleted, and the names of all packs."""
    repository.refresh()
    entries = repository.contents.list(include_deleted=True)
    return [(each.content_id, each.deleted) for each in entries], sorted(
        each.blob_id for prefix in "pq" for each in repository.storage.list(prefix)
    )


def live(repository: pykopia.Repository) -> set[str]:
    """Return the contents that are not marked as deleted."""
    return {content_id for content_id, deleted in state_of(repository)[0] if not deleted}


def collected(result: pykopia.MaintenanceResult) -> object:
    return next(each.statistics for each in result.tasks if each.task == "snapshot-gc")


@pytest.mark.parametrize("parts", [None, 1, 7])
@pytest.mark.parametrize("losses", [0, 2, 1000])
def test_maintenance_by_workers_keeps_and_deletes_what_it_does_alone(
    repository: pykopia.Repository, folder: Path, tmp_path: Path, parts: int | None, losses: int
) -> None:
    with_garbage(repository, folder)
    executor = Losing(losses, BrokenProcessPool("gone"))
    with copy_of(repository, tmp_path / "alone") as alone:
        assert repository.maintenance.ledger(executor=executor, parts=parts) == alone.maintenance.ledger()
        before = live(alone)
        ours = repository.maintenance.run("full", safety="none", executor=executor, parts=parts)
        theirs = alone.maintenance.run("full", safety="none")
        assert collected(ours) == collected(theirs)
        assert live(repository) == live(alone) < before
    assert executor.submitted
    assert not repository.snapshots.verify(options=EVERY).problems


class Answering(Executor):
    """Gives the results that ``change`` makes of those of the parts."""

    def __init__(self, change: Callable[[PartMarks], object]) -> None:
        self._change = change

    def submit(self, fn: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:  # noqa: ANN401
        future: Future[Any] = Future()
        try:
            future.set_result(self._change(fn(*args, **more)))
        except Exception as error:  # noqa: BLE001 -- as an executor does
            future.set_exception(error)
        return future


def fail(_: PartMarks) -> object:
    raise MaintenanceError("this worker can't")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (fail, "this worker can't"),
        (lambda _: None, "not the result of its part"),
        (lambda marks: replace(marks, number=0), "not the result of its part"),
        (lambda marks: replace(marks, number=1000), "not the result of its part"),
        (lambda marks: replace(marks, marks=()), "not the result of its part"),
        (lambda marks: replace(marks, marks=((1, 17, b"\0" * 17),)), "is not in the repository's index"),
        # as contents of files, which leaves out what is in folders
        (
            lambda marks: replace(marks, marks=tuple((1, *group[1:]) for group in marks.marks)),
            "not the result of its part",
        ),
        (lambda marks: replace(marks, marks=tuple((*group[:2], group[2][:-1]) for group in marks.marks)), "cut off"),
    ],
)
def test_a_part_that_was_not_done_stops_maintenance_and_nothing_is_marked_or_deleted(
    repository: pykopia.Repository, folder: Path, change: Callable[[PartMarks], object], why: str
) -> None:
    with_garbage(repository, folder)
    before = state_of(repository)
    with pytest.raises(PykopiaError, match=why):
        repository.maintenance.run("full", safety="none", executor=Answering(change), parts=5)
    assert state_of(repository) == before


def test_parts_without_a_result_stop_maintenance(repository: pykopia.Repository) -> None:
    class Forgetting(FollowingBy):
        def results(self, parts: Sequence[MarkPart], check: Callable[[], None]) -> Iterator[PartMarks]:
            yield from super().results(parts[1:], check)

    marks = LiveContents(repository.contents.indexes.merged)
    marking = Marking(repository, marks, no_check)
    with pytest.raises(MaintenanceError, match="1 of 4 parts of following snapshots were not done"):
        marking.mark_snapshots_by(Forgetting(repository, Losing(0, OSError()), 4))
    marks.close()


def test_a_folder_that_a_worker_can_not_read_stops_maintenance_and_is_named(
    repository: pykopia.Repository, folder: Path, tmp_path: Path
) -> None:
    with_garbage(repository, folder)
    tree = repository.snapshots.tree("latest")
    entry = repository.contents.entry((tree / "c" / "d" / "e").entry.object_id)
    pack = bytearray(repository.storage.get(entry.pack_blob))
    pack[entry.pack_offset + 5] ^= 1
    repository.storage.put(entry.pack_blob, bytes(pack))
    with pykopia.connect(tmp_path / "repository", PASSWORD) as fresh:
        before = state_of(fresh)
        for executor in (None, Losing(0, OSError())):
            with pytest.raises(MaintenanceError, match=r"ann@box:/data@[0-9a-f]+/c/d/e can't be followed"):
                fresh.maintenance.run("full", safety="none", executor=executor, parts=6)
        assert state_of(fresh) == before


def test_a_snapshot_that_is_taken_while_workers_follow_the_others_keeps_what_it_needs(
    repository: pykopia.Repository, folder: Path, tmp_path: Path
) -> None:
    (folder / "once").write_bytes(b"in one snapshot" * 1000)
    only = repository.snapshots.create(folder, options=pykopia.SnapshotOptions(source=SOURCE)).manifest
    repository.snapshots.delete(only.id)

    def snapshot(marks: PartMarks) -> PartMarks:
        if marks.number == 0:
            with pykopia.connect(tmp_path / "repository", PASSWORD) as other:
                other.snapshots.create(folder, options=pykopia.SnapshotOptions(source=SOURCE))
        return marks

    repository.maintenance.run("full", safety="none", executor=Answering(snapshot), parts=3)
    assert not repository.snapshots.verify(options=EVERY).problems
    assert (repository.snapshots.tree("latest") / "once").read_bytes() == b"in one snapshot" * 1000


def test_a_lease_that_is_lost_stops_maintenance_while_workers_follow_snapshots(repository: pykopia.Repository) -> None:
    def lost() -> None:
        raise MaintenanceBusyError("another one took over")

    following = FollowingBy(repository, Losing(0, OSError()), 4)
    roots = [
        MarkRoot(snapshot=each.id, source="s", entry=each.root_entry)
        for each in repository.snapshots.list()
        if each.root_entry is not None
    ]
    with pytest.raises(MaintenanceBusyError, match="took over"):
        list(following.results(following.plan(roots), lost))


def test_a_file_with_the_bytes_of_a_folder_is_another_piece(repository: pykopia.Repository) -> None:
    root = repository.snapshots.resolve("latest")
    as_file = DirectoryEntry(name="x", type="f", size=1, object_id=root.object_id)
    pieces = pieces_of(repository.objects, [as_file, root, root], 1, distinct=True)
    assert [piece.entry for piece in pieces] == [as_file, root]


def test_numbers_of_parts_and_storages_that_no_worker_opens_are_refused(repository: pykopia.Repository) -> None:
    with pytest.raises(UsageError, match="parts must be"):
        repository.maintenance.run("full", executor=Losing(0, OSError()), parts=0)


# ---------------------------------------------------------------------- restoring


def tree_of(folder: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        what = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, what)
    return found


@pytest.mark.parametrize("losses", [0, 3, 1000])
def test_a_restore_in_parts_gives_the_same_tree(
    repository: pykopia.Repository, folder: Path, tmp_path: Path, losses: int
) -> None:
    executor = Losing(losses, BrokenProcessPool("gone"))
    result = repository.snapshots.restore("latest", tmp_path / "out", executor=executor, parts=5)
    assert tree_of(tmp_path / "out") == tree_of(folder)
    local = repository.snapshots.restore("latest", tmp_path / "local")
    for name in ("restored_files", "restored_bytes", "restored_symlinks", "restored_directories", "skipped_files"):
        assert getattr(result.counters, name) == getattr(local.counters, name), name


def test_a_restore_in_parts_deletes_what_is_extra_and_keeps_what_is_right(
    repository: pykopia.Repository, folder: Path, tmp_path: Path
) -> None:
    repository.snapshots.restore("latest", tmp_path / "out")
    (tmp_path / "out" / "extra").write_text("extra")
    (tmp_path / "out" / "a" / "file0").unlink()
    options = pykopia.RestoreOptions(delete_extra=True, skip_existing=True)
    with ThreadPoolExecutor(2) as executor:
        result = repository.snapshots.restore("latest", tmp_path / "out", options=options, executor=executor, parts=3)
    assert tree_of(tmp_path / "out") == tree_of(folder)
    assert result.counters.restored_files == 1


@pytest.mark.parametrize("option", [{"include": ("a",)}, {"overwrite_files": False}, {"shallow_depth": 1}])
def test_options_that_no_part_can_keep_are_refused(
    repository: pykopia.Repository, tmp_path: Path, option: dict[str, Any]
) -> None:
    options = pykopia.RestoreOptions(**option)
    with pytest.raises(UsageError, match=f"{next(iter(option))} can't be used with an executor"):
        repository.snapshots.restore("latest", tmp_path / "out", options=options, executor=Losing(0, OSError()))


# ---------------------------------------------------------------------- other processes and machines


@pytest.mark.slow
def test_processes_verify_and_one_that_is_killed_is_made_up_for(
    repository: pykopia.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = repository.snapshots.verify(options=EVERY)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        assert repository.snapshots.verify(options=EVERY, executor=executor, parts=4) == local
        for process in list(executor._processes.values()):
            os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
        assert repository.snapshots.verify(options=EVERY, executor=executor, parts=4) == local


@pytest.mark.slow
def test_processes_follow_snapshots_for_maintenance_and_one_that_is_killed_is_made_up_for(
    repository: pykopia.Repository, folder: Path
) -> None:
    with_garbage(repository, folder)
    local = repository.maintenance.ledger()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        assert repository.maintenance.ledger(executor=executor, parts=4) == local
        for process in list(executor._processes.values()):
            os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
        assert repository.maintenance.ledger(executor=executor, parts=4) == local
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        before = live(repository)
        repository.maintenance.run("full", safety="none", executor=executor, parts=4)
    assert live(repository) < before
    assert not repository.snapshots.verify(options=EVERY).problems


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_cluster_of_two_workers_verifies_over_s3_and_one_that_is_lost_is_made_up_for(
    seaweedfs: S3Server, folder: Path
) -> None:
    distributed = pytest.importorskip("distributed", reason="install tests/requirements.txt")
    admin(seaweedfs).call_s3("create_bucket", Bucket="cluster")
    where = pykopia.storage.S3Options(
        bucket="cluster",
        endpoint=seaweedfs.endpoint,
        do_not_use_tls=True,
        access_key_id=seaweedfs.access_key,
        secret_access_key=seaweedfs.secret_key,
    )
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0")
    with pykopia.create(where, PASSWORD, options=NEW) as repository, cluster, distributed.Client(cluster) as client:
        fill(repository, folder)
        local = repository.snapshots.verify(options=EVERY)
        executor = client.get_executor(pure=False)
        assert repository.snapshots.verify(options=EVERY, executor=executor, parts=6) == local
        done: list[pykopia.VerifyCounters] = []

        def lose_a_worker(counters: pykopia.VerifyCounters) -> None:
            done.append(counters)
            if len(done) == 1:
                os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

        result = repository.snapshots.verify(options=EVERY, executor=executor, parts=12, progress=lose_a_worker)
        assert result == local
        assert len(done) > 1
        contents = repository.verify_contents(options=READ)
        assert repository.verify_contents(options=READ, executor=executor, parts=6) == contents
        with_garbage(repository, folder)
        assert repository.maintenance.ledger(executor=executor, parts=6) == repository.maintenance.ledger()
        before = live(repository)
        repository.maintenance.run("full", safety="none", executor=executor, parts=6)
        assert live(repository) < before
        assert not repository.snapshots.verify(options=EVERY).problems


def test_a_restore_in_parts_follows_no_link_below_the_target(repository: pykopia.Repository, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "c").mkdir(parents=True)
    for link in ("a", "c/d"):
        (tmp_path / "out" / link).symlink_to(tmp_path / "elsewhere")
    options = pykopia.RestoreOptions(ignore_errors=True)
    with ThreadPoolExecutor(2) as executor:
        result = repository.snapshots.restore("latest", tmp_path / "out", options=options, executor=executor, parts=30)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert [problem.path for problem in result.problems] == ["a", "c/d"]
    with ThreadPoolExecutor(2) as executor, pytest.raises(RestoreError, match="can't restore"):
        repository.snapshots.restore("latest", tmp_path / "out" / "c" / "file0" / "x", executor=executor)


def test_a_part_follows_no_link_that_is_there_by_now(repository: pykopia.Repository, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")
    root = repository.snapshots.resolve("latest")
    options = pykopia.RestoreOptions(ignore_errors=True)
    part = RestorePart(target=tmp_path / "out", entries=(("/a/inner", root), ("/free", root)), options=options)
    assert restore_part(repository.connection, part).restored_files > 0
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "out" / "free").is_dir()
