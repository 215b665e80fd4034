"""Copying snapshots from one repository to another, of another format, with another splitter and another password."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pykopia.api.opening import connect, create
from pykopia.api.repository import Repository
from pykopia.errors import CanceledError
from pykopia.format.complete_view import Kind
from pykopia.format.policy import Policy
from pykopia.format.source import SourceInfo
from pykopia.repository.options import NewRepositoryOptions
from pykopia.snapshot.upload_options import SnapshotOptions
from pykopia.snapshot.verify import VerifyOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from tests.snapshot.conftest import CLIENT, PASSWORD
from tests.trees import assert_trees_equal, changing_tree, everything, stored_path


@pytest.fixture
def other() -> Iterator[Repository]:
    """The repository to copy to; the fixture `repository` is the one to copy from."""
    options = NewRepositoryOptions(format_version=2, hash="HMAC-SHA256", splitter="FIXED-1M")
    with create(MemoryStorage(), "another password", options=options, client=CLIENT) as other:
        yield other


def target_of(repository: Repository, source: Path) -> SourceInfo:
    return SourceInfo(host=repository.hostname, user_name=repository.username, path=str(source))


def test_snapshots_are_copied_with_all_that_is_said_of_them(
    repository: Repository, other: Repository, source: Path, tmp_path: Path
) -> None:
    everything(source)
    options = SnapshotOptions(description="words", tags={"env": "prod"}, pins=("keep",))
    taken = repository.snapshots.create(source, options=options).manifest
    result = other.snapshots.migrate(repository)
    [copied] = result.migrated
    assert (result.present, result.errors) == ((), ())
    assert [
        replace(each, id=copied.id, root_entry=copied.root_entry) for each in (taken, other.snapshots.list()[0])
    ] == [
        copied,
        copied,
    ]
    assert copied.root_object_id != taken.root_object_id, "another secret gives other IDs"
    assert other.snapshots.verify(options=VerifyOptions(files_percent=100)).errors == ()
    other.snapshots.restore(copied.id, tmp_path / "restored")
    assert_trees_equal(source, tmp_path / "restored", paths=stored_path)


def test_what_is_there_is_not_copied_again_and_what_is_shared_only_once(
    repository: Repository, other: Repository, source: Path
) -> None:
    changing_tree(source, 0)
    repository.snapshots.create(source)
    assert len(other.snapshots.migrate(repository).migrated) == 1
    before = len(list(other.contents.list()))
    changing_tree(source, 1)
    repository.snapshots.create(source)
    repository.snapshots.create(source)
    result = other.snapshots.migrate(repository)
    assert (len(result.migrated), len(result.present)) == (2, 1)
    everything_new = NewRepositoryOptions(format_version=2, hash="HMAC-SHA256", splitter="FIXED-1M")
    with create(MemoryStorage(), "x", options=everything_new, client=CLIENT) as fresh:
        fresh.snapshots.migrate(repository)
        at_once = [entry for entry in fresh.contents.list() if not entry.content_id.startswith("m")]
    in_steps = [entry for entry in other.contents.list() if not entry.content_id.startswith("m")]
    assert before < len(in_steps) == len(at_once)
    assert other.snapshots.migrate(repository).migrated == ()


def test_only_the_latest_of_each_source_is_copied_when_asked_for(
    repository: Repository, other: Repository, source: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    for step in range(2):
        for each in (source, second):
            changing_tree(each, step)
            last = repository.snapshots.create(each).manifest
    result = other.snapshots.migrate(repository, latest_only=True)
    assert {each.source.path for each in result.migrated} == {str(source), str(second)}
    assert last.start_time_ns in {each.start_time_ns for each in result.migrated}
    assert other.snapshots.migrate(repository, [target_of(repository, source)]).migrated != ()
    assert {each.source.path for each in other.snapshots.list()} == {str(source), str(second)}


def test_incomplete_snapshots_stay_where_they_are(repository: Repository, other: Repository, source: Path) -> None:
    changing_tree(source, 0)
    repository.snapshots.create(source, cancel=lambda: True)
    assert [each.incomplete for each in repository.snapshots.list()] == ["canceled"]
    assert other.snapshots.migrate(repository).migrated == ()


@pytest.mark.parametrize(("overwrite", "kept"), [(False, 5), (True, 7)])
def test_policies_come_along_and_replace_those_here_only_when_asked_for(
    repository: Repository, other: Repository, source: Path, *, overwrite: bool, kept: int
) -> None:
    changing_tree(source, 0)
    repository.snapshots.create(source)
    target = target_of(repository, source)
    repository.policies.set(target, Policy.from_json(b'{"retention":{"keepLatest":7}}'))
    other.snapshots.migrate(repository, [target], policies=False)
    assert other.policies.defined(target) is None
    other.snapshots.migrate(repository, [target])
    defined = other.policies.defined(target)
    assert defined is not None
    assert defined.policy.retention.keep_latest == 7
    other.policies.set(target, Policy.from_json(b'{"retention":{"keepLatest":5}}'))
    other.snapshots.migrate(repository, [target], overwrite_policies=overwrite)
    defined = other.policies.defined(target)
    assert defined is not None
    assert defined.policy.retention.keep_latest == kept


def test_rules_that_hold_here_leave_files_out_when_asked_for(
    repository: Repository, other: Repository, source: Path
) -> None:
    (source / "keep").write_bytes(b"1")
    (source / "drop.tmp").write_bytes(b"2")
    repository.snapshots.create(source)
    other.policies.set(target_of(repository, source), Policy.from_json(b'{"files":{"ignore":["*.tmp"]}}'))
    [copied] = other.snapshots.migrate(repository, apply_ignore_rules=True).migrated
    root = copied.root_entry
    assert root is not None
    assert [entry.name for entry in other.objects.directory(root.object_id).entries] == ["keep"]
    assert root.summary is not None
    assert root.summary.files == 1


def test_what_can_not_be_read_there_is_told_and_the_rest_copied(
    repository: Repository, other: Repository, source: Path, storage: MemoryStorage
) -> None:
    (source / "lost").write_bytes(b"lost data")
    bad = repository.snapshots.create(source).manifest
    for blob in list(storage.list("p")):
        storage.delete(blob.blob_id)
    (source / "lost").unlink()
    (source / "good").write_bytes(b"good data")
    good = repository.snapshots.create(source).manifest
    result = other.snapshots.migrate(repository)
    assert [each.start_time_ns for each in result.migrated] == [good.start_time_ns]
    [problem] = result.errors
    assert bad.id in problem
    assert other.snapshots.verify(options=VerifyOptions(files_percent=100)).errors == ()


def test_damage_that_may_hide_snapshots_there_is_told(repository: Repository, other: Repository, source: Path) -> None:
    (source / "file").write_text("one")
    repository.snapshots.create(source)
    before = {blob.blob_id for blob in repository.storage.list("xn")}
    (source / "file").write_text("two")
    repository.snapshots.create(source)
    [newest] = {blob.blob_id for blob in repository.storage.list("xn")} - before
    repository.storage.put(newest, b"torn")
    with connect(repository.storage, PASSWORD, client=CLIENT) as origin:
        result = other.snapshots.migrate(origin)
    assert len(result.migrated) == 1
    assert result.errors == ()
    [damage] = result.damaged
    assert newest in str(damage)


def test_a_migration_can_be_canceled_and_goes_on_later(repository: Repository, other: Repository, source: Path) -> None:
    everything(source)
    repository.snapshots.create(source)
    with pytest.raises(CanceledError):
        other.snapshots.migrate(repository, cancel=lambda: True)
    assert other.snapshots.list() == []
    assert len(other.snapshots.migrate(repository).migrated) == 1


def test_lost_index_blobs_there_are_reported(repository: Repository, other: Repository, source: Path) -> None:
    (source / "file").write_text("one")
    repository.snapshots.create(source)
    before = {blob.blob_id for blob in repository.storage.list("xn")}
    (source / "file").write_text("two")
    repository.snapshots.create(source)
    for newest in {blob.blob_id for blob in repository.storage.list("xn")} - before:
        repository.storage.delete(newest)
    with connect(repository.storage, PASSWORD, client=CLIENT) as origin:
        result = other.snapshots.migrate(origin)
    assert (len(result.migrated), result.errors, result.damaged) == (1, (), ())
    assert [each.kind for each in result.contradictions] == [Kind.UNLISTED_PACKS]
