"""Folders that are listed before the walk comes to them."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from pykopia.format.ignore import IgnoreContext
from pykopia.format.policy import DEFAULT_POLICY
from pykopia.format.policy_tree import PolicyTree
from pykopia.snapshot import listing_ahead
from pykopia.snapshot.listing import Listing, list_folders
from pykopia.snapshot.listing_ahead import FOLDERS_AHEAD, FOLDERS_AT_ONCE, ListingAhead
from pykopia.snapshot.source_folder import Folder


def folder(path: Path) -> Folder:
    return Folder(str(path), "", path.name, path.lstat(), None, IgnoreContext.empty(), PolicyTree(DEFAULT_POLICY, None))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with 150 folders, some of which have folders in them; each has as many files as its number."""
    for number in range(150):
        made = tmp_path / f"{number}"
        made.mkdir()
        for file in range(number % 5):
            (made / f"file {file}").touch()
        if number % 20 == 0:
            for inner in range(30):
                (made / f"inner {inner}" / f"{number} {inner}").mkdir(parents=True)
    return tmp_path


class Asked:
    """Which folders were listed by which thread."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[bytes]]] = []

    def __call__(self, paths: list[bytes]) -> list[Listing | None]:
        self.calls.append((threading.current_thread().name, paths))
        return list_folders(paths)

    @property
    def ahead(self) -> list[list[bytes]]:
        return [paths for thread, paths in self.calls if thread.startswith("pykopia-list")]


class AtOnce:
    """A pool that carries out a task when it is submitted."""

    def __init__(self, threads: int, thread_name_prefix: str) -> None:
        pass

    def submit(self, work: Callable[[list[bytes]], object], argument: list[bytes]) -> Future[object]:
        done = Future[object]()
        done.set_result(work(argument))
        return done

    def shutdown(self, *, cancel_futures: bool) -> None:
        pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    recorder = Asked()
    monkeypatch.setattr(listing_ahead, "list_folders", recorder)
    return recorder


def walk(ahead: ListingAhead, root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder and the names in it, as an upload does."""
    stack = [folder(root)]
    while stack:
        here = stack.pop()
        listing = ahead.take(here, stack)
        assert listing is not None
        yield here.path, sorted(name for name, _ in listing)
        stack += [folder(Path(here.path, name)) for name, status in listing if status.st_mode & 0o170000 == 0o040000]


@pytest.mark.parametrize("enabled", [True, False])
def test_each_folder_is_listed_once(tree: Path, asked: Asked, enabled: bool) -> None:
    with ListingAhead(enabled=enabled) as ahead:
        found = dict(walk(ahead, tree))
    assert found == {path: sorted([*folders, *files]) for path, folders, files in os.walk(tree)}
    listed = [path for _, paths in asked.calls for path in paths]
    assert sorted(listed) == sorted(map(os.fsencode, found))
    assert bool(asked.ahead) == enabled


def test_only_the_next_folders_are_listed_ahead(tree: Path, asked: Asked) -> None:
    stack = [folder(tree / f"{number}") for number in range(150)]
    with ListingAhead(enabled=True) as ahead:
        ahead.take(folder(tree), stack)
        expected = {each.path for each in stack[-FOLDERS_AHEAD:]}
        while stack:
            ahead.take(stack.pop(), [])
    ahead_of = {os.fsdecode(path) for paths in asked.ahead for path in paths}
    assert ahead_of == expected
    assert {len(paths) for paths in asked.ahead} == {FOLDERS_AT_ONCE}


def test_nothing_is_listed_ahead_while_much_is(tree: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_ahead, "ENTRIES_AHEAD", 12)
    monkeypatch.setattr(listing_ahead, "ThreadPoolExecutor", AtOnce)
    stack = [folder(tree / f"{number}") for number in range(150)]
    with ListingAhead(enabled=True) as ahead:
        ahead.take(folder(tree), stack)
        assert len(asked.calls) == 2  # this folder, and eight with 19 entries
        ahead.take(stack.pop(), stack)  # of 4 entries
        ahead.take(stack.pop(), stack)  # of 3 entries
        assert len(asked.calls) == 2
        ahead.take(stack.pop(), stack)
        assert len(asked.calls) == 3


def test_what_can_not_be_listed_is_told_when_the_walk_comes_to_it(tree: Path) -> None:
    stack = [folder(tree / f"{number}") for number in range(1, 20)]
    shutil.rmtree(tree / "19")
    with ListingAhead(enabled=True) as ahead:
        ahead.take(folder(tree), stack)
        assert ahead.take(stack.pop(), stack) is None
        assert ahead.take(stack.pop(), stack) is not None
