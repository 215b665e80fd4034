"""A snapshot as a tree of paths."""

import importlib.resources.abc
import io
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia import SnapshotPath
from pykopia.api.repository import Repository
from pykopia.errors import PathNotInSnapshotError, UsageError
from pykopia.format.directory import Directory, DirectoryEntry


@pytest.fixture
def tree(repository: Repository, source: Path) -> SnapshotPath:
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "b" / "deep.csv").write_text("x,y\r\n1,2\n", newline="")
    (source / "a" / "z").write_bytes(b"\xff")
    (source / "link").symlink_to("a/z")
    (source / "text").write_text("grüße\nzwei\n", encoding="utf-8")
    os.chmod(source / "text", 0o640)
    os.utime(source / "text", ns=(0, 1_700_000_000_123_456_789))
    return repository.snapshots.tree(repository.snapshots.create(source).manifest)


def test_a_tree_is_a_traversable(tree: SnapshotPath) -> None:
    assert isinstance(tree, importlib.resources.abc.Traversable)


def test_paths_are_joined_as_by_pathlib(tree: SnapshotPath) -> None:
    path = tree / "a" / "b/./deep.csv"
    assert (path.name, path.suffix, path.path, path.parts) == (
        "deep.csv",
        ".csv",
        "a/b/deep.csv",
        ("a", "b", "deep.csv"),
    )
    assert path == tree.joinpath("a", Path("b"), "deep.csv") == tree / "a/x/../b/deep.csv"
    assert len({path, tree.joinpath("a/b/deep.csv"), path.parent, path.parent / "deep.csv"}) == 2
    assert path.parent.parent.parent == tree == tree.parent == tree / "../.."
    assert str(tree) == "."


def test_a_path_that_is_absolute_or_no_text_is_refused(tree: SnapshotPath) -> None:
    with pytest.raises(UsageError, match="relative"):
        tree / "/a"
    with pytest.raises(UsageError, match="text"):
        tree / 3  # type: ignore[operator]


def test_folders_and_files_are_read(tree: SnapshotPath) -> None:
    assert [path.name for path in tree.iterdir()] == ["a", "link", "text"]
    assert [path.is_dir() for path in tree.iterdir()] == [True, False, False]
    assert [path.is_file() for path in tree.iterdir()] == [False, False, True]
    assert [path.is_symlink() for path in tree.iterdir()] == [False, True, False]
    assert (tree / "text").read_text() == "grüße\nzwei\n"
    assert (tree / "text").read_bytes() == "grüße\nzwei\n".encode()
    assert (tree / "a" / "z").read_text(errors="replace") == "\ufffd"
    assert (tree / "link").readlink() == "a/z"
    with (tree / "a/b/deep.csv").open(newline="") as text:
        assert list(text) == ["x,y\r\n", "1,2\n"]
    with (tree / "text").open("rb") as file:
        assert file.seekable()
        file.seek(-5, io.SEEK_END)
        assert file.read() == b"zwei\n"


def test_walking_gives_what_pathlib_gives(tree: SnapshotPath, source: Path) -> None:
    expected = [
        (os.path.relpath(folder, source), sorted(folders), sorted([*files]))
        for folder, folders, files in os.walk(source)
    ]
    assert [(str(path), folders, files) for path, folders, files in tree.walk()] == expected
    seen = []
    for path, folders, _ in tree.walk():
        seen.append(str(path))
        folders.clear()
    assert seen == ["."]


def test_status_is_that_of_lstat(tree: SnapshotPath, source: Path) -> None:
    found, real = (tree / "text").stat(), os.lstat(source / "text")
    assert found.st_mode == real.st_mode
    assert (found.st_size, found.st_mtime_ns, found.st_uid) == (real.st_size, real.st_mtime_ns, real.st_uid)
    assert stat.S_ISLNK((tree / "link").stat().st_mode)
    assert stat.S_ISDIR(tree.stat().st_mode)
    assert tree.stat().st_size == 9 + 1 + len("grüße\nzwei\n".encode())
    expected = datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert (tree / "text").entry.mtime == expected


@pytest.mark.parametrize("path", ["no", "a/no", "text/below", "link/below", "no/no/no"])
def test_a_path_that_is_not_there_is_lazy_and_then_missing(tree: SnapshotPath, path: str) -> None:
    missing = tree / path
    assert not missing.exists()
    assert not missing.is_dir()
    assert not missing.is_file()
    assert not missing.is_symlink()
    for call in (missing.stat, missing.read_bytes, missing.open, missing.readlink, lambda: list(missing.iterdir())):
        with pytest.raises(FileNotFoundError) as raised:
            call()
        assert isinstance(raised.value, PathNotInSnapshotError)
        assert path.split("/", maxsplit=1)[0] in str(raised.value)


def test_what_a_path_is_not_is_refused(tree: SnapshotPath) -> None:
    with pytest.raises(IsADirectoryError):
        (tree / "a").read_bytes()
    with pytest.raises(NotADirectoryError):
        list((tree / "text").iterdir())
    with pytest.raises(OSError, match="Invalid argument"):
        (tree / "text").readlink()
    with pytest.raises(UsageError, match="symbolic link"):
        (tree / "link").read_bytes()
    with pytest.raises(UsageError, match="mode must be one of"):
        (tree / "text").open("w")  # type: ignore[call-overload]


def test_a_file_alone_is_a_tree(repository: Repository, source: Path) -> None:
    (source / "only").write_bytes(b"bytes")
    path = repository.snapshots.tree(repository.snapshots.create(source / "only").manifest.id)
    assert path.is_file()
    assert path.name == "only"
    assert path.read_bytes() == b"bytes"


def test_each_folder_is_read_once(repository: Repository, tree: SnapshotPath) -> None:
    asked: list[str] = []
    read = repository.objects.directory

    class Counting:
        open, read = repository.objects.open, repository.objects.read

        @staticmethod
        def directory(object_id: str) -> Directory:
            asked.append(object_id)
            return read(object_id)

    again = SnapshotPath(Counting(), tree.entry)  # type: ignore[arg-type]
    for _ in range(3):
        assert (again / "a" / "b" / "deep.csv").is_file()
        assert len(list(again.walk())) == 3
    assert len(asked) == len(set(asked)) == 3


def test_a_folder_with_names_that_lead_up_is_walked_to_its_end(repository: Repository) -> None:
    with repository.writer() as writer:
        inner = Directory((DirectoryEntry(name="f", type="f", object_id=writer.objects.write(b"x")),))
        inner_id = writer.objects.write(inner.to_bytes(), prefix="k")
        text = inner.to_bytes().replace(b'"name":"f","type":"f"', b'"name":"..","type":"d"')
        text = text.replace(inner.entries[0].object_id.encode(), inner_id.encode())
        root = DirectoryEntry(name="", type="d", object_id=writer.objects.write(text, prefix="k"))
    tree = repository.snapshots.tree(root)
    assert [(folders, files) for _, folders, files in tree.walk()] == [([".."], []), ([], ["f"])]


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "text", "link", "x"]), max_size=6))
def test_joining_at_once_or_one_by_one_is_the_same(names: list[str]) -> None:
    root = SnapshotPath(None, DirectoryEntry(name="r", type="d"))  # type: ignore[arg-type]
    one_by_one = root
    for name in names:
        one_by_one = one_by_one / name
    if not "/".join(names).startswith("/"):
        assert root / "/".join(names) == one_by_one == root.joinpath(*names)


def test_snapshots_give_times_with_a_zone(repository: Repository, source: Path) -> None:
    made = repository.snapshots.create(source).manifest
    assert made.start_time is not None
    assert made.end_time is not None
    assert timedelta(0) <= made.end_time - made.start_time
    assert made.start_time.tzinfo is UTC
