"""Trees that lie: what verify finds well can be restored as it is, and every operation comes to an end."""

import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import pykopia
from pykopia.api.repository import Repository
from pykopia.errors import DamagedObjectError, PykopiaError
from pykopia.repository.writer import RepositoryWriter
from pykopia.snapshot import trail
from pykopia.snapshot.dividing import pieces_of
from pykopia.snapshot.fix import FixOptions, fix_invalid_files, remove_files
from pykopia.storage.backends.memory.storage import MemoryStorage
from tests.snapshot.hostile import chunked, entry, folder, forged, listing, snapshot_of, snapshot_with_root

CLIENT = pykopia.ClientOptions(username="u", hostname="h")
EVERYTHING = pykopia.VerifyOptions(files_percent=100, parallel=1)
SELF = "kdeadbeefdeadbeefdeadbeefdeadbeef"
"""A folder that is within itself."""
LIST_SELF = "xdeadbeefdeadbeefdeadbeefdeadbeef"
MISSING = "cd" * 16


@pytest.fixture(scope="module")
def repository() -> Iterator[Repository]:
    with pykopia.create(MemoryStorage(), "pw", client=CLIENT) as repository:
        with repository.writer() as writer:
            forged(writer, SELF, listing([entry("a", SELF, "d", 0), entry("b", SELF, "d", 0)]))
            forged(writer, LIST_SELF, b'{"stream":"kopia:indirect","entries":[{"l":5,"o":"I%s"}]}' % LIST_SELF.encode())
        yield repository


@dataclass
class Node:
    """An entry to be made: what it says of itself, and the object that it gets."""

    name: str
    kind: str
    lie: int = 0
    """Bytes that its entry says too much."""
    mode: str = "0755"
    content: bytes = b""
    stored: str = "plain"
    children: "list[Node]" = field(default_factory=list)


PLAIN, ODD = ["a", "b", "c", "d", "é", ".hidden", "x" * 255], ["..", ".", "", "a/b", "a\0", "x" * 256, "é" * 128]
names = st.sampled_from(PLAIN * 8 + ODD)
lies = st.sampled_from([0] * 16 + [-1, 1, 1 << 40, -(1 << 20)])
modes = st.sampled_from(["0755", "0755", "0600", "0", "0700"])
bodies = st.sampled_from([b"hello", b"", b"x" * 5000, b"other"]) | st.binary(max_size=40)
files = st.builds(
    Node, names, st.sampled_from(["f"] * 20 + ["x", ""]), lies, modes, bodies,
    st.sampled_from(["plain"] * 6 + ["chunked"] * 4 + ["missing", "gap", "short list", "own list", "folder", "self", "garbage"]),
)  # fmt: skip
links = st.builds(
    Node, names, st.just("s"), lies, modes, st.sampled_from([b"a", b"../up", b"/abs", b"", b"a\0b", b"y" * 5000])
)
folders = st.sampled_from(["plain"] * 12 + ["missing", "self", "file", "garbage"])
trees = st.lists(
    st.recursive(
        files | links,
        lambda inner: st.builds(
            Node, names, st.just("d"), st.just(0), modes, st.just(b""), folders, st.lists(inner, max_size=4)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


def stored(writer: RepositoryWriter, node: Node) -> dict[str, Any]:
    """Store what a node stands for; return its entry."""
    if node.stored in {"missing", "self"}:
        object_id = MISSING if node.stored == "missing" else SELF
    elif node.kind == "d":
        if node.stored == "plain":
            object_id = folder(writer, [stored(writer, child) for child in node.children])
        else:
            object_id = writer.objects.write(b"hello" if node.stored == "file" else b'{"stream":"', prefix="k")
    elif node.stored == "folder":
        object_id = folder(writer, [])
    elif node.stored == "garbage":
        object_id = "I" + writer.contents.write(node.content + b"{", prefix="x")
    elif node.stored in {"plain", "own list"} or not node.content:
        object_id = "I" + LIST_SELF if node.stored == "own list" else writer.objects.write(node.content)
    else:
        middle = len(node.content) // 2
        pieces = [(writer.contents.write(each), len(each)) for each in (node.content[:middle], node.content[middle:])]
        if node.stored == "gap":
            pieces[0] = pieces[0][0], pieces[0][1] + 1
        if node.stored == "short list":
            pieces.pop()
        object_id = chunked(writer, pieces)
    return entry(node.name, object_id, node.kind, len(node.content) + node.lie, node.mode)


def assert_restored(target: Path, nodes: list[Node]) -> None:
    assert sorted(os.listdir(target)) == sorted(node.name for node in nodes)
    for node in nodes:
        path = target / node.name
        if node.kind == "s":
            assert os.readlink(os.fsencode(path)) == node.content
            continue
        assert stat.S_IMODE(path.stat().st_mode) == int(node.mode, 8)
        if node.kind == "d":
            assert_restored(path, node.children)
        elif node.stored != "folder":
            assert path.read_bytes() == node.content


@settings(
    max_examples=max(40, settings().max_examples - 100),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(trees)
@example([Node("a", "d", children=[Node("b", "f", content=b"hello", stored="chunked")]), Node("c", "s", content=b"a")])
@example([Node("a", "d", stored="self")])
@example([Node("a", "s", content=b"a\0b")])
@example([Node("a", "f", content=b"a\0b"), Node("b", "s", content=b"a\0b")])
@example([Node("a", "f", content=b"hello", stored="own list")])
def test_what_verify_finds_well_is_restored_as_it_is(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory, nodes: list[Node]
) -> None:
    snapshot = snapshot_of(repository, lambda writer: [stored(writer, node) for node in nodes])
    found = repository.snapshots.verify([snapshot], options=EVERYTHING).problems
    here = tmp_path_factory.mktemp("hostile")
    target = here / "target"
    if found:
        # the rest is restored, and nothing outside of the target
        options = pykopia.RestoreOptions(ignore_errors=True, parallel=1)
        repository.snapshots.restore(snapshot, target, options=options)
        assert os.listdir(here) == ["target"]
        return
    refused = [each for each in repository.snapshots.plan_restore(snapshot, target) if each.kind == "refuse"]
    assert refused == []
    repository.snapshots.restore(snapshot, target)
    assert_restored(target, nodes)
    repository.snapshots.export(snapshot, io.BytesIO())


def test_the_property_sees_trees_that_are_well_and_trees_that_are_not(repository: Repository) -> None:
    well = Node("a", "d", children=[Node("b", "f", content=b"hello", stored="chunked")])
    for lying in ("missing", "gap", "short list", "own list", "garbage", "self"):
        nodes = [well, Node("c", "f", content=b"hello", stored=lying)]
        for count in (1, 2):
            snapshot = snapshot_of(repository, lambda writer, n=nodes[:count]: [stored(writer, each) for each in n])  # type: ignore[misc]
            assert bool(repository.snapshots.verify([snapshot]).problems) == (count == 2), lying


# ---------------------------------------------------------------------- folders within themselves


Operation = Callable[[Repository, str, Path], object]


def walk(repository: Repository, snapshot: str, _: Path) -> object:
    return list(repository.snapshots.tree(snapshot).walk())


OPERATIONS: dict[str, Operation] = {
    "restore": lambda repository, snapshot, target: repository.snapshots.restore(snapshot, target),
    "restore of chosen files": lambda repository, snapshot, target: repository.snapshots.restore(
        snapshot, target, options=pykopia.RestoreOptions(include=("*",))
    ),
    "export": lambda repository, snapshot, target: repository.snapshots.export(snapshot, io.BytesIO()),
    "dry run": lambda repository, snapshot, target: list(repository.snapshots.plan_restore(snapshot, target)),
    "walk": walk,
    "find": lambda repository, snapshot, _: _found(repository, snapshot),
    "migrate": lambda repository, snapshot, _: _migrated(repository),
    "diff": lambda repository, snapshot, _: list(repository.snapshots.diff(snapshot, _empty(repository))),
}


def _empty(repository: Repository) -> str:
    return snapshot_of(repository, lambda _: [])


def _found(repository: Repository, snapshot: str) -> None:
    search = repository.snapshots.find("nothing")
    assert list(search) == []
    raise search.problems[0].error


def _migrated(repository: Repository) -> None:
    with pykopia.create(MemoryStorage(), "pw", client=CLIENT) as destination:
        result = destination.snapshots.migrate(repository)
        raise DamagedObjectError("; ".join(str(each) for each in result.problems))


def forged_repository(chain: int = 1) -> tuple[Repository, str]:
    """Return a repository with a folder that is within itself, some levels down."""
    made = pykopia.create(MemoryStorage(), "pw", client=CLIENT)
    ids = [f"k{number:032x}" for number in range(chain)]
    with made.writer() as writer:
        file = entry("file", writer.objects.write(b"hello"))
        for number, content_id in enumerate(ids):
            below = ids[(number + 1) % chain]
            forged(
                writer, content_id, listing([file, entry("again", below, "d", 0), entry("once more", below, "d", 0)])
            )
        return made, snapshot_with_root(writer, ids[0])


@pytest.mark.parametrize("chain", [1, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_folder_within_itself_is_named(tmp_path: Path, name: str, chain: int) -> None:
    made, snapshot = forged_repository(chain)
    with made, pytest.raises(PykopiaError, match="within itself"):
        OPERATIONS[name](made, snapshot, tmp_path / "target")


@pytest.mark.parametrize("chain", [1, 3])
def test_verify_names_the_path_of_a_folder_within_itself(chain: int) -> None:
    made, snapshot = forged_repository(chain)
    with made:
        problems = made.snapshots.verify([snapshot]).problems
    once_more = ["once more"] * (chain - 1)
    assert {each.path for each in problems} == {"/".join([*once_more, name]) for name in ("again", "once more")}


def test_the_rest_of_a_tree_with_a_folder_within_itself_is_restored(tmp_path: Path) -> None:
    made, snapshot = forged_repository(3)
    with made:
        result = made.snapshots.restore(snapshot, tmp_path / "a", options=pykopia.RestoreOptions(ignore_errors=True))
    assert len(result.problems) == 8
    assert (tmp_path / "a" / "again" / "once more" / "file").read_bytes() == b"hello"


def test_fix_maintenance_and_division_come_to_an_end() -> None:
    made, snapshot = forged_repository(3)
    with made:
        root = made.snapshots.get(snapshot).root_entry
        assert root is not None
        assert len(pieces_of(made.objects, [root], 8, distinct=False)) < 50_000
        made.maintenance.run("full", force=True)
        fixed = remove_files(made, FixOptions(), names=["file"])
        assert fixed is not None
        assert fix_invalid_files(made, FixOptions()) is not None


def test_a_directory_that_is_a_list_of_chunks_and_within_itself_ends_the_collection() -> None:
    made = pykopia.create(MemoryStorage(), "pw", client=CLIENT)
    with made:
        with made.writer() as writer:
            content_id, list_id = "k" + "ab" * 16, "x" + "cd" * 16
            data = listing([entry("again", f"I{list_id}", "d", 0)])
            forged(writer, content_id, data)
            index = b'{"stream":"kopia:indirect","entries":[{"l":%d,"o":"%s"}]}' % (len(data), content_id.encode())
            forged(writer, list_id, index)
            snapshot = snapshot_with_root(writer, f"I{list_id}")
        made.maintenance.run("full", force=True)
        assert "within itself" in " ".join(made.snapshots.verify([snapshot]).errors)


# ---------------------------------------------------------------------- folders without number


def exploding(writer: RepositoryWriter, levels: int, width: int) -> str:
    below = folder(writer, [entry("file", writer.objects.write(b"hello"))])
    for _ in range(levels):
        below = folder(writer, [entry(f"{number}", below, "d", 0) for number in range(width)])
    return below


def test_a_tree_of_more_folders_than_a_disk_can_hold_is_named(repository: Repository, monkeypatch: pytest.MonkeyPatch,
                                                              tmp_path: Path) -> None:  # fmt: skip
    monkeypatch.setattr(trail, "SUSPICIOUS", 100)
    with repository.writer() as writer:
        snapshot = snapshot_with_root(writer, exploding(writer, 11, 10))
    errors = repository.snapshots.verify([snapshot]).errors
    assert [f"more than {1 << 32} folders" in each for each in errors] == [True]
    options = pykopia.RestoreOptions(ignore_errors=True)
    result = repository.snapshots.restore(snapshot, tmp_path / "target", options=options)
    assert result.counters.restored_directories < 300
    with pytest.raises(PykopiaError, match="it was forged"):
        walk(repository, snapshot, tmp_path)


def test_many_equal_folders_are_no_forgery(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(trail, "SUSPICIOUS", 10)
    with repository.writer() as writer:
        snapshot = snapshot_with_root(writer, exploding(writer, 3, 4))
    assert repository.snapshots.verify([snapshot]).problems == ()
    result = repository.snapshots.restore(snapshot, tmp_path / "target")
    assert result.counters.restored_directories == 1 + 4 + 16 + 64
