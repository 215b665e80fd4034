"""From what a user types to an entry: IDs, their beginnings, ``latest``, and what is none of it."""

from itertools import pairwise
from pathlib import Path

import pytest

from pykopia.api.repository import Repository
from pykopia.errors import SnapshotNotFoundError
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.snapshot.upload_options import SnapshotOptions


def take(repository: Repository, source: Path, text: str, owner: str = "") -> SnapshotManifest:
    (source / "file").write_text(text)
    whose = SourceInfo(host="box", user_name=owner, path=str(source)) if owner else None
    return repository.snapshots.create(source, options=SnapshotOptions(source=whose)).manifest


@pytest.mark.parametrize("reference", ["abcd", "0" * 32, "k" + "0" * 32, "Ix" + "0" * 32, "", "k", "not hex", "f"])
def test_what_no_snapshot_or_object_is_called_is_not_found(
    repository: Repository, source: Path, reference: str
) -> None:
    take(repository, source, "text")
    with pytest.raises(SnapshotNotFoundError) as caught:
        repository.snapshots.resolve(reference)
    assert "index recover" not in str(caught.value)


def test_snapshots_folders_and_files_are_found_by_their_ids(repository: Repository, source: Path) -> None:
    snapshot = take(repository, source, "text")
    root = snapshot.root_entry
    assert root is not None
    (file,) = repository.objects.directory(root.object_id).entries
    assert repository.snapshots.resolve(snapshot.id) == repository.snapshots.resolve(root.object_id) == root
    assert repository.snapshots.resolve(f"{root.object_id}/file") == file
    assert repository.snapshots.resolve(file.object_id).type == "f"


def test_a_unique_beginning_is_enough(repository: Repository, source: Path) -> None:
    first, second = take(repository, source, "one"), take(repository, source, "two")
    for snapshot in (first, second):
        root = snapshot.root_entry
        assert root is not None
        for full in (snapshot.id, root.object_id):
            assert repository.snapshots.resolve(full[:8]) == root
            assert repository.snapshots.resolve(f"{full[:8]}/file").name == "file"
        with pytest.raises(SnapshotNotFoundError):
            repository.snapshots.resolve(snapshot.id[:3])


def test_an_unclear_beginning_is_refused(repository: Repository, source: Path) -> None:
    for number in range(20):  # of 21 roots two begin with the same letter after the k, in 16
        take(repository, source, f"{number}", owner=f"user {number}")
    roots = sorted({str(each.root_entry.object_id) for each in repository.snapshots.list() if each.root_entry})
    unclear = next(a[:2] for a, b in pairwise(roots) if a[:2] == b[:2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pykopia.snapshot.resolve.SHORTEST_BEGINNING", 2)
        with pytest.raises(SnapshotNotFoundError, match="give more of the ID"):
            repository.snapshots.resolve(unclear)


def test_latest_is_the_newest_complete_snapshot_of_the_only_source(repository: Repository, source: Path) -> None:
    with pytest.raises(SnapshotNotFoundError, match="no complete snapshot"):
        repository.snapshots.resolve("latest")
    take(repository, source, "one")
    newest = take(repository, source, "two")
    assert repository.snapshots.resolve("latest") == newest.root_entry
    assert repository.snapshots.resolve("latest/file").size == 3
    take(repository, source, "three", owner="bob")
    with pytest.raises(SnapshotNotFoundError, match=r"2 sources.*ann@box.*bob@box"):
        repository.snapshots.resolve("latest")
