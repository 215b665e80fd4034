"""What could not be done is told by all operations in one form."""

import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from pykopia import Problem, RestoreOptions, SnapshotManifest, VerifyOptions
from pykopia.api.opening import create
from pykopia.api.repository import Repository
from pykopia.errors import PykopiaError
from pykopia.format.snapshot_manifest import UNSAVED
from pykopia.ids import BlobID, ContentID, ObjectID
from pykopia.snapshot.upload_options import SnapshotOptions
from pykopia.storage.backends.memory.storage import MemoryStorage


@pytest.fixture
def lost(repository: Repository, storage: MemoryStorage, source: Path) -> SnapshotManifest:
    """A snapshot of which one file can't be read any more."""
    (source / "folder").mkdir()
    (source / "folder" / "good").write_bytes(b"good")
    repository.snapshots.create(source)
    (source / "folder" / "bad").write_bytes(os.urandom(50_000))
    taken = repository.snapshots.create(source).manifest
    object_id = repository.snapshots.resolve(f"{taken.id}/folder/bad").object_id
    storage.delete(BlobID(repository.contents.entry(ContentID(object_id)).pack_blob))
    return taken


def checked(problem: Problem) -> Problem:
    assert isinstance(problem, Problem)
    assert isinstance(problem.error, PykopiaError | OSError)
    assert problem.message
    assert problem.message in str(problem)
    assert not problem.path.startswith(("/", "./"))
    return problem


def test_a_restore_names_path_object_and_error(repository: Repository, lost: SnapshotManifest, tmp_path: Path) -> None:
    result = repository.snapshots.restore(lost, tmp_path / "out", options=RestoreOptions(ignore_errors=True))
    [problem] = map(checked, result.problems)
    assert problem.path == "folder/bad"
    assert problem.object_id == repository.snapshots.resolve(f"{lost.id}/folder/bad").object_id
    assert result.errors == (str(problem),)
    assert not result.stopped_early
    assert (tmp_path / "out/folder/good").read_bytes() == b"good"


@pytest.mark.parametrize("percent", [0, 100])
def test_a_verification_names_path_object_and_error(
    repository: Repository, lost: SnapshotManifest, percent: int
) -> None:
    result = repository.snapshots.verify([lost], options=VerifyOptions(files_percent=percent))
    [problem] = map(checked, result.problems)
    assert problem.path == "folder/bad"
    assert problem.object_id == repository.snapshots.resolve(f"{lost.id}/folder/bad").object_id
    assert f"({lost.root_object_id})/folder/bad: " in str(problem)


def test_a_migration_names_the_snapshot(repository: Repository, lost: SnapshotManifest) -> None:
    with create(MemoryStorage(), "another password") as other:
        result = other.snapshots.migrate(repository)
    [problem] = map(checked, result.problems)
    assert problem.object_id == lost.id
    assert result.errors == (str(problem),)


def test_a_snapshot_names_the_entries_that_it_lacks(repository: Repository, source: Path) -> None:
    (source / "folder").mkdir()
    os.mkfifo(source / "folder" / "pipe")
    (source / "a").write_text("a")
    result = repository.snapshots.create(source)
    assert not result.stopped_early
    assert result.errors == tuple(map(str, result.problems))
    for problem in result.problems:
        assert checked(problem).path == "folder/pipe"


def test_a_snapshot_that_stopped_early_says_so(repository: Repository, source: Path) -> None:
    for number in range(3):
        (source / f"{number}").write_bytes(os.urandom(200_000))
    options = SnapshotOptions(upload_limit_bytes=1)
    assert repository.snapshots.create(source, options=options).stopped_early


def test_a_search_and_a_history_name_the_folder_and_the_snapshot_that_they_lack(
    repository: Repository, source: Path
) -> None:
    (source / "x").write_text("x")
    taken = repository.snapshots.create(source).manifest
    assert taken.root_entry is not None
    gone = ObjectID("k" + "0" * 32)
    with repository.writer() as writer:
        damaged = replace(taken, id=UNSAVED, root_entry=msgspec.structs.replace(taken.root_entry, object_id=gone))
        damaged_id = writer.manifests.put(damaged.labels(), damaged.to_json())
    search, history = repository.snapshots.find("x"), repository.snapshots.history(source / "x")
    assert len(list(search)) == len(list(history)) == 1
    [folder], [snapshot] = map(checked, search.problems), map(checked, history.problems)
    assert (folder.path, folder.object_id) == ("", gone)
    assert (snapshot.path, snapshot.object_id) == ("x", damaged_id)
    assert (search.errors, history.errors) == ([str(folder)], [str(snapshot)])
