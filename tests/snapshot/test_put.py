"""Snapshots made of objects that are stored already."""

import json
from pathlib import Path

import pytest

from pykopia.api.repository import Repository
from pykopia.errors import ContentNotFoundError, UsageError
from pykopia.format.source import SourceInfo
from pykopia.snapshot.put import Tree
from pykopia.testing import FakeClock

SOURCE = SourceInfo(user_name="app", host="server", path="/models")


def stored(repository: Repository, *data: bytes) -> list[str]:
    with repository.writer() as writer:
        return [writer.objects.write(each) for each in data]


def test_the_objects_are_kept_by_full_maintenance_and_can_be_restored(tmp_path: Path) -> None:
    import pykopia

    clock = FakeClock()
    with clock.installed(), pykopia.create("memory://put", "pw") as repository:
        small, large, lost = stored(repository, b"small", b"large" * (2 << 20), b"nobody keeps this")
        with repository.writer() as writer:
            writer.manifests.put({"type": "note"}, json.dumps({"object": lost}).encode())
        snapshot = repository.snapshots.put(
            SOURCE, {"v1": {"small": small, "large": large}, "empty": {}}, description="d", tags={"a": "b"}, pins=["p"]
        )
        for _ in range(5):
            clock.advance(hours=25)
            repository.maintenance.run("full", monotonic=lambda: clock() / 1e9)
        assert repository.objects.read(small) == b"small"
        with pytest.raises(ContentNotFoundError):
            repository.objects.read(lost)
        assert repository.snapshots.verify().errors == ()
        [listed] = repository.snapshots.list(SOURCE)
        assert listed == snapshot
        assert (listed.description, dict(listed.tags), listed.pins) == ("d", {"tag:a": "b"}, ("p",))
        assert listed.root_entry is not None
        assert listed.root_entry.name == "models"
        assert listed.root_entry.summary is not None
        assert (listed.root_entry.summary.files, listed.root_entry.summary.dirs) == (2, 3)
        repository.snapshots.restore(snapshot.id, tmp_path / "out")
        assert (tmp_path / "out" / "v1" / "large").read_bytes() == b"large" * (2 << 20)
        assert (tmp_path / "out" / "empty").is_dir()


def test_objects_and_snapshot_become_visible_together_in_one_session(repository: Repository) -> None:
    with repository.writer() as writer:
        large = writer.objects.write(b"large" * (1 << 20))
        snapshot = repository.snapshots.put(SOURCE, {"large": large}, writer=writer)
        assert repository.snapshots.list(SOURCE) == []
    assert repository.snapshots.list(SOURCE) == [snapshot]
    assert repository.snapshots.resolve(f"{snapshot.id}/large").size == 5 << 20


def test_nothing_is_saved_when_an_object_is_not_there(repository: Repository) -> None:
    with pytest.raises(ContentNotFoundError):
        repository.snapshots.put(SOURCE, {"file": "0" * 32})
    assert repository.snapshots.list() == []


@pytest.mark.parametrize(
    "tree",
    [
        {"": "0" * 32},
        {"a/b": "0" * 32},
        {"..": {}},
        {"a": "k" + "0" * 32},
        {"a": "no hex"},
        {"a": None},
        {b"a": {}},
        "0" * 32,
    ],
)
def test_a_tree_that_can_not_be_that_of_a_snapshot_is_refused(repository: Repository, tree: Tree) -> None:
    with pytest.raises(UsageError):
        repository.snapshots.put(SOURCE, tree)
    assert repository.snapshots.list() == []


def test_a_source_needs_all_its_parts(repository: Repository) -> None:
    [small] = stored(repository, b"small")
    with pytest.raises(UsageError, match="has no host"):
        repository.snapshots.put(SourceInfo(user_name="app", path="/x"), {"a": small})
