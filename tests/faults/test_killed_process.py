"""Real processes, killed in the middle: the repository stays whole, and what was restored so far is right."""

import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pykopia.api.opening import create
from pykopia.api.repository import Repository
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.snapshot.small_files import TEMPORARY_NAME
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from tests.trees import assert_trees_equal, changing_tree, many_files, noise

from .harness import CLIENT, PASSWORD, Ground, assert_everything_whole, opened

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    changing_tree(tmp_path / "source" / "changing", 0)
    many_files(tmp_path / "source" / "many", count=30)
    return tmp_path / "source"


@pytest.fixture
def location(tmp_path: Path, source: Path) -> Path:
    location = tmp_path / "repository"
    with create(location, PASSWORD, client=CLIENT) as repository:
        repository.policies.set_defaults()
        repository.snapshots.create(source)
        changing_tree(source / "changing", 1)
        repository.snapshots.create(source)
    changing_tree(source / "changing", 2)
    return location


def killed(what: str, call: int, location: Path, folder: Path) -> bool:
    """Run the program; return whether it was killed, False when it came to its end before."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.killed_program", what, str(call), str(location), str(folder), PASSWORD],
        cwd=PROJECT,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode in {0, -signal.SIGKILL, -signal.SIGXFSZ}, ended.stderr.decode()
    return ended.returncode != 0


@contextmanager
def checked(location: Path, source: Path, keeps: set[str]) -> Iterator[Repository]:
    """Open the repository and make sure that it is whole, before and after the block."""
    ground = Ground(storage=None, source=source, keeps=keeps)  # type: ignore[arg-type]
    with opened(FilesystemStorage(location)) as repository:
        assert_everything_whole(ground, repository)
        yield repository
        repository.refresh()
        assert_everything_whole(ground, repository)


def ids(location: Path) -> set[str]:
    with opened(FilesystemStorage(location)) as repository:
        return {str(each.id) for each in repository.snapshots.list()}


def kill_snapshots(location: Path, source: Path, calls: range) -> None:
    keeps = ids(location)
    for call in calls:
        if not killed("snapshot", call, location, source):
            break
        with checked(location, source, keeps):
            pass
    with checked(location, source, keeps) as repository:
        repository.snapshots.create(source)


def kill_maintenance(location: Path, source: Path, calls: range) -> None:
    with opened(FilesystemStorage(location)) as repository:
        first, second = repository.snapshots.list()
        repository.snapshots.delete(first.id)
    for call in calls:
        if not killed("maintain", call, location, source):
            break
        with checked(location, source, {str(second.id)}) as repository:
            for lease in list(repository.storage.list("_pykopia")):
                repository.storage.delete(lease.blob_id)  # it would end by itself in ten minutes
    with checked(location, source, {str(second.id)}) as repository:
        repository.maintenance.run("full", safety="none", force=True)
        repository.snapshots.create(source)


def kill_restores(location: Path, source: Path, calls: Iterable[int], tmp_path: Path, what: str = "restore") -> None:
    """Kill restores; every file that is there under its name is whole, and the next restore makes all as it was."""
    unfinished = 0
    with opened(FilesystemStorage(location)) as repository:
        newest = repository.snapshots.create(source).manifest.id
        for number, call in enumerate(calls):
            target = tmp_path / f"restored-{call}"
            if not killed(what, call, location, target):
                assert number, "the fault was never reached"
                break
            for path in target.rglob("*"):
                if TEMPORARY_NAME.fullmatch(path.name):
                    unfinished += 1
                elif path.is_file() and not path.is_symlink():
                    original = source / path.relative_to(target)
                    assert path.read_bytes() == original.read_bytes()
                    assert path.stat().st_mtime_ns == original.stat().st_mtime_ns
            repository.snapshots.restore(newest, target, options=RestoreOptions())
            assert_trees_equal(source, target)
    assert unfinished, "no kill hit a file that was being made"


def test_a_snapshot_that_is_killed_leaves_a_whole_repository(location: Path, source: Path) -> None:
    kill_snapshots(location, source, range(1, 6, 2))


def test_maintenance_that_is_killed_leaves_a_whole_repository(location: Path, source: Path) -> None:
    kill_maintenance(location, source, range(3, 15, 5))


def test_a_restore_that_is_killed_is_done_again_over_what_is_there(
    location: Path, source: Path, tmp_path: Path
) -> None:
    kill_restores(location, source, (2, 31, 60), tmp_path)


def test_a_restore_that_is_killed_in_native_code_leaves_no_half_made_file(
    location: Path, source: Path, tmp_path: Path
) -> None:
    (source / "late").mkdir()
    (source / "late" / "small").write_bytes(noise(90_000, "small"))
    kill_restores(location, source, (80_000,), tmp_path, "restore-size")
    (source / "late" / "large").write_bytes(noise(9_000_000, "large"))
    kill_restores(location, source, (8_500_000,), tmp_path, "restore-size")


@pytest.mark.slow
def test_snapshots_that_are_killed_at_every_change_leave_a_whole_repository(location: Path, source: Path) -> None:
    kill_snapshots(location, source, range(1, 100))


@pytest.mark.slow
def test_maintenance_that_is_killed_at_every_change_leaves_a_whole_repository(location: Path, source: Path) -> None:
    kill_maintenance(location, source, range(1, 100))


@pytest.mark.slow
def test_restores_that_are_killed_at_every_file_are_done_again(location: Path, source: Path, tmp_path: Path) -> None:
    kill_restores(location, source, range(1, 400, 3), tmp_path)
