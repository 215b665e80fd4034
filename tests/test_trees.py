"""The trees of the tests: the same everywhere, and compared so that nothing is overlooked."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trees import (
    RAW_NAMES,
    TREES,
    TreeBuilder,
    assert_trees_equal,
    changing_tree,
    scan,
    small_tree,
    stored_path,
    tree_differences,
)


@pytest.mark.parametrize("name", [name for name in TREES if name not in {"everything", "big_files"}])
def test_a_tree_is_built_the_same_twice(tmp_path: Path, name: str) -> None:
    TREES[name](tmp_path / "a")
    TREES[name](tmp_path / "b")
    assert_trees_equal(tmp_path / "a", tmp_path / "b")
    assert len(scan(tmp_path / "a")) > 5


def test_the_tree_of_everything_has_all_the_others(tmp_path: Path) -> None:
    TREES["everything"](tmp_path / "all")
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(set(TREES) - {"everything"})


def test_a_series_of_steps_is_built_the_same_twice_and_every_step_differs(tmp_path: Path) -> None:
    for step in range(5):
        changing_tree(tmp_path / "a", step)
        changing_tree(tmp_path / "b", step)
        assert_trees_equal(tmp_path / "a", tmp_path / "b")
        if step:
            assert tree_differences(tmp_path / "before", tmp_path / "a")
            shutil.rmtree(tmp_path / "before")
        shutil.copytree(tmp_path / "a", tmp_path / "before", symlinks=True)


def test_a_copy_that_keeps_everything_is_equal(tmp_path: Path) -> None:
    TREES["modes"](tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b", symlinks=True)
    assert_trees_equal(tmp_path / "a", tmp_path / "b")


def replace_a_byte(root: Path) -> None:
    status = (root / "docs/notes/a.txt").stat()
    (root / "docs/notes/a.txt").write_bytes(b"b")
    os.utime(root / "docs/notes/a.txt", ns=(status.st_mtime_ns, status.st_mtime_ns))


def move_a_link(root: Path) -> None:
    with TreeBuilder(root) as tree:
        tree.link("latest", "docs/chapter-3.txt")


def turn_a_file_into_a_folder(root: Path) -> None:
    with TreeBuilder(root) as tree:
        tree.remove("same-1.bin")
        tree.directory("same-1.bin")


def move_a_time(root: Path, path: str, by_ns: int) -> None:
    old = (root / path).lstat().st_mtime_ns + by_ns
    os.utime(root / path, ns=(old, old), follow_symlinks=False)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "content": (replace_a_byte, "'docs/notes/a.txt': content"),
    "target": (move_a_link, "'latest': target"),
    "type": (turn_a_file_into_a_folder, "'same-1.bin': is of type d, not f"),
    "mode": (lambda root: (root / "bin/run.sh").chmod(0o4755), "'bin/run.sh': mode is 04755, not 00755"),
    "time": (lambda root: move_a_time(root, "README.txt", 1), "'README.txt': time"),
    "folder time": (lambda root: move_a_time(root, "docs", -1), "'docs': time"),
    "root time": (lambda root: move_a_time(root, ".", -1), "'.': time"),
    "link time": (lambda root: move_a_time(root, "latest", 1000), "'latest': time"),
    "missing": (lambda root: (root / "same-2.bin").unlink(), "'same-2.bin': is missing"),
    "surplus": (lambda root: (root / "docs/new").mkdir(), "'docs/new': should not be there"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_kind_of_difference_is_found(tmp_path: Path, name: str) -> None:
    small_tree(tmp_path / "a")
    small_tree(tmp_path / "b")
    change, line = CHANGES[name]
    change(tmp_path / "b")
    found = tree_differences(tmp_path / "a", tmp_path / "b")
    assert any(text.startswith(line) for text in found), found
    with pytest.raises(AssertionError, match="differs from"):
        assert_trees_equal(tmp_path / "a", tmp_path / "b")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_an_owner_counts_for_root_and_can_be_left_out(tmp_path: Path) -> None:
    small_tree(tmp_path / "a")
    small_tree(tmp_path / "b")
    os.chown(tmp_path / "b/README.txt", 1234, 5678)
    assert len(tree_differences(tmp_path / "a", tmp_path / "b")) == 1
    assert_trees_equal(tmp_path / "a", tmp_path / "b", owners=False)


def test_times_and_modes_can_be_left_out_one_by_one(tmp_path: Path) -> None:
    small_tree(tmp_path / "a")
    small_tree(tmp_path / "b")
    move_a_time(tmp_path / "b", "docs", 5)
    assert_trees_equal(tmp_path / "a", tmp_path / "b", directory_times=False)
    move_a_time(tmp_path / "b", "latest", 5000)
    assert_trees_equal(tmp_path / "a", tmp_path / "b", directory_times=False, link_times=False)
    move_a_time(tmp_path / "b", "README.txt", 5)
    assert_trees_equal(tmp_path / "a", tmp_path / "b", times=False)
    (tmp_path / "b/README.txt").chmod(0o600)
    assert_trees_equal(tmp_path / "a", tmp_path / "b", times=False, permissions=False)


def test_stored_paths_replace_each_bad_byte_alone() -> None:
    assert stored_path(b"caf\xe9/\xff\xfe") == "caf\ufffd/\ufffd\ufffd".encode()
    assert stored_path(b"\xed\xb0\x80") == ("\ufffd" * 3).encode()
    assert stored_path("größe/😀".encode()) == "größe/😀".encode()
    assert len({stored_path(name) for name in RAW_NAMES}) == len(RAW_NAMES)
