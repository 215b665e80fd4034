"""Several processes write one repository and delete from it at once: nothing that was told to be saved is lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from pykopia.api.opening import create
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.backends.memory.storage import MemoryStorage

from .harness import CLIENT, PASSWORD, Ground, assert_everything_whole, opened

PROJECT = Path(__file__).parents[2]


def start(what: str, rounds: int, location: Path, folder: Path) -> "subprocess.Popen[str]":
    arguments = [what, str(rounds), str(location), str(folder), PASSWORD]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.program_at_work", *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def work_at_once(tmp_path: Path, rounds: int) -> None:
    location, folders = tmp_path / "repository", [tmp_path / name for name in ("first", "second", "deleted")]
    for folder in folders:
        folder.mkdir()
        (folder / "same").write_bytes(b"the same in all")
    with create(location, PASSWORD, client=CLIENT) as repository:
        repository.policies.set_defaults()
        old = []
        for number in range(4):
            (folders[2] / "changes").write_bytes(b"%d" % number)
            old.append(str(repository.snapshots.create(folders[2]).manifest.id))
    running = [start("write", rounds, location, folder) for folder in folders[:2]]
    running.append(start("delete", rounds, location, folders[2]))
    told = []
    for process in running:
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        told.append(set(output.split()))
    with opened(FilesystemStorage(location)) as repository:
        listed = {str(each.id) for each in repository.snapshots.list()}
        assert told[2] == set(old[:-1])
        assert listed == told[0] | told[1] | {old[-1]}
        assert_everything_whole(Ground(MemoryStorage(), folders[0], listed), repository)
        repository.maintenance.run("full", safety="none")
        assert_everything_whole(Ground(MemoryStorage(), folders[0], listed), repository)


def test_two_writers_and_one_that_deletes_work_at_once(tmp_path: Path) -> None:
    work_at_once(tmp_path, rounds=3)


@pytest.mark.slow
def test_two_writers_and_one_that_deletes_work_at_once_for_long(tmp_path: Path) -> None:
    work_at_once(tmp_path, rounds=9)
