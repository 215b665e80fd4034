"""Restoring to a filesystem of fsspec: the same entries as to a folder, and an error of the library for all that can't be."""

import os
from pathlib import Path
from typing import Any

import pytest

from pykopia import DirectoryEntry, Repository, RestoreOptions
from pykopia.errors import DuplicateNameError, PykopiaError, RestoreError, TargetExistsError, UsageError
from pykopia.ids import ObjectID
from tests.snapshot import hostile

FILES = ("top", "a/file", "a/b/deep", "cache/x", "cache/deep/y")


@pytest.fixture
def snapshot(repository: Repository, source: Path) -> str:
    for path in FILES:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(path)
    (source / "empty").mkdir()
    (source / "link").symlink_to("top")
    return str(repository.snapshots.create(source).manifest.id)


def listed(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.is_symlink()
    }


@pytest.mark.parametrize(
    "patterns",
    [
        {},
        {"exclude": ["cache/"]},
        {"include": ["/a/b/deep"]},
        {"include": ["a/"], "exclude": ["b/"]},
        {"exclude": ["*"]},
    ],
    ids=str,
)
def test_the_same_folders_and_files_are_made_as_on_this_machine(
    repository: Repository, snapshot: str, tmp_path: Path, patterns: dict[str, Any]
) -> None:
    options = RestoreOptions(**patterns)
    here = repository.snapshots.restore(snapshot, tmp_path / "here", options=options)
    there = repository.snapshots.restore(snapshot, f"file://{tmp_path}/there", options=options)
    assert listed(tmp_path / "here") == listed(tmp_path / "there")
    for name in ("restored_files", "restored_bytes", "restored_directories"):
        assert getattr(here.counters, name) == getattr(there.counters, name)


def in_the_way(target: Path, what: str) -> None:
    target.mkdir()
    if what == "the target is a file":
        target.rmdir()
        target.write_text("mine")
    elif what == "a folder is a file":
        (target / "a").write_text("mine")
    elif what == "a file is a folder":
        (target / "top").mkdir()


@pytest.mark.parametrize("what", ["the target is a file", "a folder is a file", "a file is a folder"])
def test_what_is_in_the_way_is_an_error_of_its_entry(
    repository: Repository, snapshot: str, tmp_path: Path, what: str
) -> None:
    in_the_way(tmp_path / "there", what)
    url = f"file://{tmp_path}/there"
    with pytest.raises(RestoreError, match="can't restore"):
        repository.snapshots.restore(snapshot, url)
    result = repository.snapshots.restore(snapshot, url, options=RestoreOptions(ignore_errors=True))
    (problem,) = result.problems
    assert problem.path == {"the target is a file": "", "a folder is a file": "a", "a file is a folder": "top"}[what]
    assert result.counters.ignored_errors == 1


def test_a_folder_that_is_not_empty_is_left_alone_if_asked(
    repository: Repository, snapshot: str, tmp_path: Path
) -> None:
    options = RestoreOptions(overwrite_directories=False)
    for made in (False, True):
        if made:
            (tmp_path / "True").mkdir()
        repository.snapshots.restore(snapshot, f"file://{tmp_path}/{made}", options=options)
        before = listed(tmp_path / str(made))
        assert set(FILES) <= before.keys()
        with pytest.raises(TargetExistsError, match="exists and is not empty"):
            repository.snapshots.restore(snapshot, f"file://{tmp_path}/{made}", options=options)


def test_no_archive_is_made_and_no_folder_of_its_name(repository: Repository, snapshot: str, tmp_path: Path) -> None:
    for url, options in (
        (f"file://{tmp_path}/there.tar", RestoreOptions()),
        (f"file://{tmp_path}/there.tar.gz", RestoreOptions()),
        (f"file://{tmp_path}/there", RestoreOptions(mode="zip")),
    ):
        with pytest.raises(UsageError, match="no archive is made at a URL"):
            repository.snapshots.restore(snapshot, url, options=options)
    assert list(tmp_path.glob("there*")) == []
    repository.snapshots.restore(snapshot, f"file://{tmp_path}/there.tar", options=RestoreOptions(mode="local"))
    repository.snapshots.restore(f"{snapshot}/top", f"file://{tmp_path}/single/of.tar")
    assert (tmp_path / "there.tar" / "top").read_text() == (tmp_path / "single" / "of.tar").read_text() == "top"


def test_a_single_link_is_refused_and_not_written_as_a_file(
    repository: Repository, snapshot: str, tmp_path: Path
) -> None:
    with pytest.raises(RestoreError, match="link: it is a symbolic link"):
        repository.snapshots.restore(f"{snapshot}/link", f"file://{tmp_path}/there")
    assert not (tmp_path / "there").exists()


def odd_folder(repository: Repository) -> DirectoryEntry:
    with repository.writer() as writer:
        one, other = writer.objects.write(b"one"), writer.objects.write(b"other")
        entries = [
            hostile.entry("twice", one, size=3),
            hostile.entry("twice", other, size=5),
            hostile.entry("..", one, size=3),
            hostile.entry("lost folder", "k" + "00" * 16, kind="d"),
            hostile.entry("lost file", "00" * 16),
            hostile.entry("short", other, size=3),
            hostile.entry("long", one, size=9 << 20),
        ]
        return DirectoryEntry(name="root", type="d", object_id=ObjectID(hostile.folder(writer, entries)))


def test_a_damaged_snapshot_has_the_same_problems_as_on_this_machine(repository: Repository, tmp_path: Path) -> None:
    root = odd_folder(repository)
    options = RestoreOptions(ignore_errors=True)
    here = repository.snapshots.restore(root, tmp_path / "here", options=options)
    there = repository.snapshots.restore(root, f"file://{tmp_path}/there", options=options)
    assert sorted(each.path for each in here.problems) == sorted(each.path for each in there.problems)
    assert len(there.problems) == 6
    assert {name for name, data in listed(tmp_path / "there").items() if data is not None} == {
        "twice",
        "twice.duplicate-2",
    }
    with pytest.raises(PykopiaError):
        repository.snapshots.restore(root, f"file://{tmp_path}/strict")


def test_two_entries_of_one_name_are_an_error_in_the_end(repository: Repository, tmp_path: Path) -> None:
    with repository.writer() as writer:
        entries = [hostile.entry("twice", writer.objects.write(data), size=len(data)) for data in (b"one", b"other")]
        root = DirectoryEntry(name="root", type="d", object_id=ObjectID(hostile.folder(writer, entries)))
    with pytest.raises(DuplicateNameError):
        repository.snapshots.restore(root, f"file://{tmp_path}/there")
    assert listed(tmp_path / "there") == {"twice": b"one", "twice.duplicate-2": b"other"}


@pytest.mark.parametrize("url", [False, True])
@pytest.mark.parametrize("pattern", ["wanted", "/lost folder/wanted"])
def test_a_lost_folder_that_may_hold_what_is_included_is_reported(
    repository: Repository, tmp_path: Path, url: bool, pattern: str
) -> None:
    target = f"file://{tmp_path}/there" if url else tmp_path / "there"
    with repository.writer() as writer:
        entries = [hostile.entry("wanted", writer.objects.write(b"found"))]
        entries += [hostile.entry("lost folder", "k" + "00" * 16, kind="d")]
        root = DirectoryEntry(name="root", type="d", object_id=ObjectID(hostile.folder(writer, entries)))
    options = RestoreOptions(include=(pattern,), ignore_errors=True)
    (problem,) = repository.snapshots.restore(root, target, options=options).problems
    assert problem.path == "lost folder"
    assert os.path.exists(tmp_path / "there" / "wanted") == (pattern == "wanted")
