"""Restoring parts, telling what a restore would change, and writing only what differs."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pykopia.api.repository import Repository
from pykopia.errors import CanceledError, UsageError
from pykopia.repository.objects import Chunk, ObjectStore
from pykopia.snapshot.restore_options import RestoreOptions
from tests.trees import assert_trees_equal, changing_tree, everything, stored_path


def tree(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def states(root: Path) -> dict[str, tuple[int, ...]]:
    """Return what tells a file that was written from one that was not."""
    found = {path: os.lstat(root / path) for path in files(root)}
    return {path: (each.st_ino, each.st_mode, each.st_size, each.st_mtime_ns) for path, each in found.items()}


def folders(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()}


def changes(repository: Repository, snapshot: str, target: Path, options: RestoreOptions) -> list[tuple[str, str]]:
    plan = repository.snapshots.plan_restore(snapshot, target, options=options)
    return [(change.kind, change.path) for change in plan]


# --- parts ---

ALL = ("a/x.txt", "a/b/y.txt", "a/b/z.bin", "c/old/x.txt", "c/w.bin", "top.txt")


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.txt"], [], {"a/x.txt", "a/b/y.txt", "c/old/x.txt", "top.txt"}),
        (["*.txt"], ["old/"], {"a/x.txt", "a/b/y.txt", "top.txt"}),
        (["/a/"], ["*.bin"], {"a/x.txt", "a/b/y.txt"}),
        (["/a/b", "w.*"], [], {"a/b/y.txt", "a/b/z.bin", "c/w.bin"}),
        ([], ["*.txt", "/a"], {"c/w.bin"}),
        (["nothing"], [], set()),
        (["*", "!*.txt"], [], set(ALL) - {"top.txt"}),
    ],
)
def test_only_what_is_chosen_is_restored(
    repository: Repository, source: Path, tmp_path: Path, include: list[str], exclude: list[str], expected: set[str]
) -> None:
    tree(source, *ALL)
    (source / "empty").mkdir()
    snapshot = str(repository.snapshots.create(source).manifest.id)
    options = RestoreOptions(include=tuple(include), exclude=tuple(exclude))
    told = {path for _, path in changes(repository, snapshot, tmp_path / "target", options)}
    repository.snapshots.restore(snapshot, tmp_path / "target", options=options)
    assert files(tmp_path / "target") == expected
    assert told == expected | folders(tmp_path / "target") | {""}
    if include and "*" not in include:
        needed = {str(parent) for path in expected for parent in Path(path).parents} - {"."}
        assert folders(tmp_path / "target") == needed
    repository.snapshots.restore(snapshot, tmp_path / "part.tar", options=options)
    shutil.unpack_archive(tmp_path / "part.tar", tmp_path / "unpacked", filter="data")
    assert files(tmp_path / "unpacked") == expected


def test_what_is_not_chosen_is_not_deleted_either(repository: Repository, source: Path, tmp_path: Path) -> None:
    tree(source, *ALL)
    snapshot = str(repository.snapshots.create(source).manifest.id)
    target = tmp_path / "target"
    tree(target, "a/mine.txt", "a/mine.bin", "a/b/skip/mine.txt", "other/mine.txt", "other/mine.bin")
    options = RestoreOptions(include=("*.txt",), exclude=("skip",), delete_extra=True)
    told = changes(repository, snapshot, target, options)
    assert [path for kind, path in told if kind == "delete"] == ["a/mine.txt"]
    repository.snapshots.restore(snapshot, target, options=options)
    mine = {path for path in files(target) if "mine" in path}
    assert mine == {"a/mine.bin", "a/b/skip/mine.txt", "other/mine.txt", "other/mine.bin"}


def test_a_pattern_that_can_not_be_read_is_refused(repository: Repository, source: Path, tmp_path: Path) -> None:
    snapshot = str(repository.snapshots.create(source).manifest.id)
    with pytest.raises(UsageError, match=r"the pattern '\[x' can't be used"):
        repository.snapshots.restore(snapshot, tmp_path / "target", options=RestoreOptions(exclude=("[x",)))
    assert not (tmp_path / "target").exists()


# --- what would change ---


def test_a_restored_folder_needs_no_change(repository: Repository, source: Path, tmp_path: Path) -> None:
    everything(source)
    snapshot = str(repository.snapshots.create(source).manifest.id)
    target = tmp_path / "target"
    assert {kind for kind, _ in changes(repository, snapshot, target, RestoreOptions())} == {"create"}
    repository.snapshots.restore(snapshot, target)
    plan = repository.snapshots.plan_restore(snapshot, target, options=RestoreOptions(delete_extra=True))
    assert list(plan) == []
    assert plan.unchanged > 20
    with pytest.raises(UsageError, match="is an archive"):
        repository.snapshots.plan_restore(snapshot, tmp_path / "x.tar")
    with pytest.raises(CanceledError):
        list(repository.snapshots.plan_restore(snapshot, target, cancel=lambda: True))


@pytest.mark.parametrize("delete", [False, True])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_what_is_told_is_what_a_restore_does(
    repository: Repository, source: Path, tmp_path: Path, step: int, delete: bool
) -> None:
    target = tmp_path / "target"
    changing_tree(source, 0)
    snapshot = str(repository.snapshots.create(source).manifest.id)
    changing_tree(target, 0)
    changing_tree(target, step)
    options = RestoreOptions(delete_extra=delete)
    before = states(target)
    told = changes(repository, snapshot, target, options)
    assert states(target) == before  # nothing was touched
    if not delete:
        assert not any(kind == "delete" for kind, _ in told)
    if any(kind == "refuse" for kind, _ in told):
        assert not delete
        return
    repository.snapshots.restore(snapshot, target, options=options)
    assert changes(repository, snapshot, target, options) == []
    if delete:
        assert_trees_equal(source, target, paths=stored_path)
        assert before.keys() - files(target) <= {path for kind, path in told if kind == "delete"} | {
            path for path in before if any(path.startswith(f"{gone}/") for kind, gone in told if kind == "delete")
        }


def test_each_kind_of_change_is_told(repository: Repository, source: Path, tmp_path: Path) -> None:
    tree(source, "same", "size", "contents", "mode", "time", "new", "file")
    (source / "link").symlink_to("there")
    (source / "folder").mkdir()
    snapshot = str(repository.snapshots.create(source).manifest.id)
    target = tmp_path / "target"
    repository.snapshots.restore(snapshot, target)
    (target / "size").write_text("longer than it was")
    status = (target / "contents").stat()
    (target / "contents").write_text("CONTENTS")
    os.utime(target / "contents", ns=(status.st_mtime_ns, status.st_mtime_ns))
    (target / "mode").chmod(0o600)
    os.utime(target / "time", ns=(1, 1))
    (target / "new").unlink()
    (target / "file").unlink()
    (target / "file").mkdir()
    (target / "link").unlink()
    (target / "link").symlink_to("elsewhere")
    (target / "folder").rmdir()
    (target / "folder").symlink_to(tmp_path)
    (target / "extra").write_text("")
    os.utime(target, ns=(source.stat().st_mtime_ns, source.stat().st_mtime_ns))
    told = {path: kind for kind, path in changes(repository, snapshot, target, RestoreOptions())}
    assert told == {
        "size": "replace",
        "contents": "replace",
        "mode": "attributes",
        "time": "attributes",
        "new": "create",
        "file": "refuse",
        "link": "replace",
        "folder": "refuse",
    }
    deleting = changes(repository, snapshot, target, RestoreOptions(delete_extra=True))
    assert [path for kind, path in deleting if kind == "delete"] == ["extra", "file", "folder"]
    assert ("create", "file") in deleting
    assert ("create", "folder") in deleting
    strict = RestoreOptions(overwrite_files=False, overwrite_symlinks=False, skip_times=True, skip_permissions=True)
    told = {path: kind for kind, path in changes(repository, snapshot, target, strict)}
    assert (told["same"], told["mode"], told["link"]) == ("refuse", "refuse", "refuse")
    assert changes(repository, snapshot, target, RestoreOptions(overwrite_directories=False)) == [("refuse", "")]
    skipping = changes(repository, snapshot, target, RestoreOptions(skip_existing=True))
    assert ("replace", "contents") not in skipping
    (target / "size").write_text("size")
    assert changes(repository, f"{snapshot}/same", target / "same", RestoreOptions()) == []
    assert changes(repository, f"{snapshot}/same", target / "none", RestoreOptions()) == [("create", "")]
    assert changes(repository, snapshot, target / "same", RestoreOptions()) == [("refuse", "")]


# --- only what differs ---


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count chunks that are read from the repository; the function returns and forgets the number."""
    count = 0
    original = ObjectStore._checked

    def checked(self: ObjectStore, chunk: Chunk, data: bytes) -> bytes:
        nonlocal count
        count += 1
        return original(self, chunk, data)

    def counted() -> int:
        nonlocal count
        before, count = count, 0
        return before

    monkeypatch.setattr(ObjectStore, "_checked", checked)
    return counted


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
def test_only_pieces_that_differ_are_read(
    repository: Repository, source: Path, tmp_path: Path, reads: Callable[[], int], atomic: bool, sparse: bool
) -> None:
    data = os.urandom(1 << 20) + bytes(500_000) + os.urandom(1 << 20)
    (source / "large").write_bytes(data)
    (source / "small").write_text("small")
    (source / "link").symlink_to("there")
    snapshot = str(repository.snapshots.create(source).manifest.id)
    target = tmp_path / "target"
    options = RestoreOptions(only_differences=True, atomic_files=atomic, write_sparse=sparse)
    repository.snapshots.restore(snapshot, target, options=options)
    whole = reads()
    before = states(target)
    result = repository.snapshots.restore(snapshot, target, options=options)
    assert result.counters.restored_files == 0
    assert reads() < 8  # folder, link, lists of chunks
    assert states(target) == before  # the same files, not others with their bytes

    for damaged in (
        data[:1_200_000] + b"no zeros" + data[1_200_008:],
        data[:1_000_000],
        data + b"behind the end",
    ):
        (target / "large").write_bytes(damaged)
        (target / "small").chmod(0o600)
        result = repository.snapshots.restore(snapshot, target, options=options)
        assert (target / "large").read_bytes() == data
        assert result.counters.restored_files == 1
        assert reads() < whole
    assert_trees_equal(source, target, paths=stored_path)


def test_all_is_right_after_a_restore_of_differences(repository: Repository, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    for step in range(4):
        changing_tree(source, step)
        snapshot = str(repository.snapshots.create(source).manifest.id)
        repository.snapshots.restore(snapshot, target, options=RestoreOptions(only_differences=True, delete_extra=True))
        assert_trees_equal(source, target, paths=stored_path)


def test_a_file_that_may_not_be_read_is_written_in_full(repository: Repository, source: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (source / "file").write_text("right")
    snapshot = str(repository.snapshots.create(source).manifest.id)
    target = tmp_path / "target"
    tree(target, "file")
    (target / "file").chmod(0)
    repository.snapshots.restore(snapshot, target, options=RestoreOptions(only_differences=True))
    assert (target / "file").read_text() == "right"
