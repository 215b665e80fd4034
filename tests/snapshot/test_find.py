"""Finding entries in all snapshots, and the history of one path."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from pykopia.api.repository import Repository
from pykopia.errors import UsageError
from pykopia.format.directory import Directory, DirectoryEntry, encode_directory
from pykopia.format.snapshot_manifest import UNSAVED
from pykopia.format.source import SourceInfo
from pykopia.ids import ObjectID
from pykopia.repository.objects import ObjectStore
from pykopia.snapshot.find import Search
from pykopia.snapshot.history import History
from pykopia.snapshot.selection import Patterns, Selection
from pykopia.snapshot.upload_options import SnapshotOptions
from tests.trees import changing_tree


def take(repository: Repository, source: Path, path: str = "") -> str:
    options = SnapshotOptions(source=SourceInfo(host="box", user_name="ann", path=path)) if path else None
    return str(repository.snapshots.create(source, options=options).manifest.id)


def found(search: Search) -> list[tuple[str, str, int]]:
    """Return path, object ID and number of snapshots of all that is found."""
    return [(each.path, str(each.entry.object_id), len(each.snapshots)) for each in search]


def everything(repository: Repository) -> Iterator[tuple[SourceInfo, str, DirectoryEntry, str]]:
    """Walk each snapshot by itself."""
    for snapshot in repository.snapshots.list():
        assert snapshot.root_entry is not None
        pending = [("", snapshot.root_entry)]
        while pending:
            path, folder = pending.pop()
            for entry in repository.objects.directory(folder.object_id).entries:
                below = f"{path}/{entry.name}" if path else entry.name
                yield snapshot.source, below, entry, str(snapshot.id)
                if entry.type == "d":
                    pending.append((below, entry))


@pytest.mark.parametrize("pattern", ["*", "*1*", "f*", "/*/*", "**/sub*/**", "!x", "d*/"])
def test_a_search_finds_what_a_walk_of_each_snapshot_finds(repository: Repository, source: Path, pattern: str) -> None:
    for step in range(4):
        changing_tree(source, step)
        take(repository, source)
        take(repository, source, "/elsewhere")
    wanted = Patterns([pattern])
    expected: dict[tuple[SourceInfo, str, DirectoryEntry], list[str]] = {}
    for origin, path, entry, snapshot in everything(repository):
        if wanted.match(f"/{path}", is_directory=entry.type == "d"):
            expected.setdefault((origin, path, entry), []).append(snapshot)
    search = repository.snapshots.find(pattern)
    results = list(search)
    assert search.errors == []
    assert {
        (each.source, each.path, each.entry): [str(one.id) for one in each.snapshots] for each in results
    } == expected
    assert len(results) == len(expected)
    assert [str(each.source) for each in results] == sorted(str(each.source) for each in results)


class Counted(ObjectStore):
    def __init__(self, repository: Repository) -> None:
        super().__init__(repository.contents)
        self.read_folders: list[str] = []

    def directory(self, object_id: str) -> Directory:
        self.read_folders.append(object_id)
        return super().directory(object_id)


def test_each_distinct_folder_is_read_once(repository: Repository, source: Path) -> None:
    for name in ("a/b/c", "a/d", "copy/a/b/c", "copy/a/d"):
        (source / name).mkdir(parents=True)
        (source / name / "file").write_text(name[-1])
        os.utime(source / name / "file", ns=(0, 0))
    for step in range(5):
        (source / "a" / f"step{step}").write_text("x")
        take(repository, source)
        take(repository, source, "/elsewhere")
    objects = Counted(repository)
    results = list(Search(objects, repository.snapshots.list(), ["step3"]))
    assert {each.source.path: len(each.snapshots) for each in results} == {"/elsewhere": 2, str(source): 2}
    assert len(results) == 2
    elsewhere = [each for each in objects.read_folders if objects.read_folders.count(each) > 1]
    # only folders that hold what was found are looked into again for the other source
    holding = {str(entry.object_id) for _, path, entry, _ in everything(repository) if path == "a"}
    roots = {str(each.root_object_id) for each in repository.snapshots.list()}
    assert set(elsewhere) <= holding | roots
    objects = Counted(repository)
    versions = History(objects, repository.snapshots.list(SourceInfo(path=str(source))), f"{source}/a/b/c/file")
    assert [(each.count, each.inside) for each in versions] == [(5, "a/b/c/file")]
    assert len(objects.read_folders) == len(set(objects.read_folders)) == 5 + 5 + 2


def test_names_paths_kinds_and_cases_are_told_apart(repository: Repository, source: Path) -> None:
    (source / "docs" / "report").mkdir(parents=True)
    (source / "docs" / "Report.TXT").write_text("x")
    (source / "report").symlink_to("nowhere")
    take(repository, source)

    def paths(*patterns: str, kind: str = "", ignore_case: bool = False) -> list[str]:
        return [each.path for each in repository.snapshots.find(*patterns, kind=kind, ignore_case=ignore_case)]

    assert paths("report") == ["docs/report", "report"]
    assert paths("/report") == ["report"]
    assert paths("report/") == ["docs/report"]
    assert paths("report", kind="s") == ["report"]
    assert paths("report", kind="f") == []
    assert paths("REPORT*", ignore_case=True) == ["docs/Report.TXT", "docs/report", "report"]
    assert paths(f"{source}/docs/*") == ["docs/Report.TXT", "docs/report"]
    assert paths("*.TXT", "report", "!/report") == ["docs/Report.TXT", "docs/report"]
    with pytest.raises(UsageError, match=r"pattern '\[a' can't be used"):
        repository.snapshots.find("[a")


def test_a_source_that_is_a_file_is_found(repository: Repository, source: Path) -> None:
    (source / "one.txt").write_text("x")
    snapshot = take(repository, source / "one.txt")
    (result,) = repository.snapshots.find("*.txt")
    assert (result.path, result.reference) == ("", snapshot)
    (version,) = repository.snapshots.history(SourceInfo(host="box", user_name="ann", path=f"{source}/one.txt"))
    assert (version.reference, version.inside) == (snapshot, "")


def test_very_deep_folders_are_no_trouble(repository: Repository, source: Path) -> None:
    (manifest,) = [repository.snapshots.create(source).manifest]
    entry = manifest.root_entry
    assert entry is not None
    assert entry.summary is not None
    with repository.writer() as writer:
        for _ in range(1500):
            inner = msgspec.structs.replace(entry, name="d")
            stored = writer.objects.write(encode_directory([inner], entry.summary), prefix="k")
            entry = msgspec.structs.replace(entry, object_id=stored)
        deep = replace(manifest, id=UNSAVED, root_entry=entry, source=SourceInfo(host="h", user_name="u", path="/deep"))
        writer.manifests.put(deep.labels(), deep.to_json())
    assert sum(1 for _ in repository.snapshots.find("d")) == 1500
    path = "/deep" + "/d" * 1500
    (version,) = repository.snapshots.history(SourceInfo(host="h", user_name="u", path=path))
    assert version.entry is not None


def test_a_history_tells_each_version_and_when_it_was_not_there(repository: Repository, source: Path) -> None:
    def write(text: str | None) -> str:
        file = source / "a" / "file"
        if text is None:
            file.unlink()
        else:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
            os.utime(file, ns=(len(text), len(text)))
        return take(repository, source)

    take(repository, source)
    ids = [write(text) for text in ("one", "one", "three", None, "one")]
    take(repository, source / "a")
    versions = list(repository.snapshots.history(SourceInfo(host="box", user_name="ann", path=f"{source}/a/file")))
    assert [(each.entry.size if each.entry else None, each.count) for each in versions] == [
        (3, 2),
        (5, 1),
        (None, 1),
        (3, 2),
    ]
    assert versions[0].reference == f"{ids[1]}/a/file"
    assert versions[3].inside == "file"
    folder = list(repository.snapshots.history(SourceInfo(host="box", user_name="ann", path=f"{source}/a")))
    assert [each.entry.type if each.entry else None for each in folder] == ["d", "d", "d", "d"]


def test_an_incomplete_snapshot_does_not_tell_that_something_is_gone(repository: Repository, source: Path) -> None:
    (source / "file").write_text("x")
    take(repository, source)
    result = repository.snapshots.create(source, cancel=lambda: True)
    assert result.manifest.incomplete
    (version,) = repository.snapshots.history(SourceInfo(host="box", user_name="ann", path=f"{source}/file"))
    assert version.entry is not None


def test_a_damaged_folder_is_told_and_the_others_are_searched(repository: Repository, source: Path) -> None:
    (source / "x1").write_text("")
    take(repository, source)
    (manifest,) = repository.snapshots.list()
    assert manifest.root_entry is not None
    root = msgspec.structs.replace(manifest.root_entry, object_id=ObjectID("k" + "0" * 32))
    with repository.writer() as writer:
        damaged = replace(manifest, id=UNSAVED, root_entry=root)
        writer.manifests.put(damaged.labels(), damaged.to_json())
    search = repository.snapshots.find("x*")
    assert [each.path for each in search] == ["x1"]
    assert "can't look into the root" in search.errors[0]
    versions = repository.snapshots.history(replace(manifest.source, path=f"{source}/x1"))
    assert [each.count for each in versions] == [1]
    assert "can't look into snapshot" in versions.errors[0]


def test_a_selection_takes_what_is_included_and_not_excluded() -> None:
    selection = Selection(["*.txt", "/keep/"], ["old*", "/keep/not"])
    assert not selection.everything
    assert selection.includes("a/b.txt", is_directory=False)
    assert not selection.includes("a/b.c", is_directory=False)
    assert selection.includes("keep", is_directory=True)
    assert selection.wants("a/b.txt", is_directory=False)
    assert selection.wants("keep/x/y", is_directory=False)
    assert not selection.wants("a/old.txt", is_directory=False)
    assert not selection.wants("keep/not/y", is_directory=False)
    assert not selection.wants("old/b.txt", is_directory=False)
    assert Selection().everything
