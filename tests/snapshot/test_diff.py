"""Comparing folders: the roots themselves, kinds of entries, and Kopia's counts."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pykopia.api.repository import Repository
from pykopia.errors import UsageError
from pykopia.snapshot.diff import Comparison, EntryStatistics
from pykopia.snapshot.upload_options import SnapshotOptions

LONG_AGO = 1_000_000_000


def compared(repository: Repository, source: Path, change: Callable[[], object], inside: str = "") -> Comparison:
    """Take a snapshot before and after a change; return the comparison, gone through."""
    set_times(source)
    before = repository.snapshots.create(source).manifest.id
    change()
    after = repository.snapshots.create(source, options=SnapshotOptions(force_hash_percent=100)).manifest.id
    resolve = repository.snapshots.resolve
    return repository.snapshots.diff(resolve(f"{before}{inside}"), resolve(f"{after}{inside}"))


def set_times(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (LONG_AGO, LONG_AGO))


def told(comparison: Comparison) -> set[tuple[str, str]]:
    return {(each.path, each.kind) for each in comparison}


@pytest.mark.parametrize("inside", ["", "/folder"])
@pytest.mark.parametrize(
    ("kind", "change", "count"),
    [
        ("modes", lambda path: path.chmod(0o700), "same_content_different_mode"),
        ("times", lambda path: os.utime(path, (1, 1)), "same_content_different_time"),
    ],
)
def test_a_change_of_the_compared_folder_itself_is_told(
    repository: Repository, source: Path, inside: str, kind: str, change: Callable[[Path], None], count: str
) -> None:
    (source / "folder").mkdir()
    (source / "folder" / "file").write_text("text")
    comparison = compared(repository, source, lambda: change(source / inside.strip("/")), inside)
    assert told(comparison) == {(".", kind)}
    assert comparison.statistics.files == EntryStatistics()
    directories = comparison.statistics.directories
    assert (directories.same_content_different_metadata, getattr(directories, count)) == (1, 1)


def test_a_file_that_became_a_folder_is_a_change_of_kind(repository: Repository, source: Path) -> None:
    (source / "a").write_text("text")

    def change() -> None:
        (source / "a").unlink()
        (source / "a").mkdir()
        (source / "a" / "below").write_text("not told")
        set_times(source)

    comparison = compared(repository, source, change)
    assert told(comparison) == {("./a", "modes"), ("./a", "sizes"), ("./a", "changed")}
    assert comparison.statistics.files.modified == 1
    assert comparison.statistics.files.added == comparison.statistics.directories.removed == 0


def test_what_lies_in_a_new_folder_is_added_and_in_one_that_is_gone_removed(
    repository: Repository, source: Path
) -> None:
    (source / "old" / "deep").mkdir(parents=True)
    (source / "old" / "deep" / "file").write_text("text")

    def change() -> None:
        shutil.copytree(source / "old", source / "new")
        shutil.rmtree(source / "old")

    comparison = compared(repository, source, change)
    assert {each for each in told(comparison) if each[0] != "."} == {
        ("./old", "removed"),
        ("./old/deep", "removed"),
        ("./old/deep/file", "removed"),
        ("./new", "added"),
        ("./new/deep", "added"),
        ("./new/deep/file", "added"),
    }
    statistics = comparison.statistics
    assert (statistics.files.added, statistics.files.removed) == (1, 1)
    assert (statistics.directories.added, statistics.directories.removed) == (2, 2)


def test_a_link_that_leads_elsewhere_is_told_even_if_nothing_else_changed(repository: Repository, source: Path) -> None:
    (source / "link").symlink_to("aaa")
    os.utime(source / "link", (LONG_AGO, LONG_AGO), follow_symlinks=False)

    def change() -> None:
        (source / "link").unlink()
        (source / "link").symlink_to("bbb")
        os.utime(source / "link", (LONG_AGO, LONG_AGO), follow_symlinks=False)

    (source / "aaa").touch()
    (source / "bbb").touch()
    assert ("./link", "changed") in told(compared(repository, source, change))


def test_files_can_not_be_compared(repository: Repository, source: Path) -> None:
    (source / "a").write_text("text")
    snapshot = repository.snapshots.create(source).manifest.id
    file = repository.snapshots.resolve(f"{snapshot}/a")
    with pytest.raises(UsageError, match="only folders"):
        repository.snapshots.diff(file, file)
