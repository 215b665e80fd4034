"""Sources of the golden repositories made again: a snapshot of the same tree gets the object IDs that real Kopia gave.

What lies below cannot be compared:

* Whole objects that format 1 compresses (IDs with ``Z``): their bytes, and so their IDs, depend on the encoder. From
  format 2 on IDs are those of the bytes before compression, and every compressor gives the same.
* Snapshots that were stopped half-way, and the root of a stream: chance and the clock are in them.
* Unreadable files: root reads everything.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

import pytest

from pykopia.api.repository import Repository
from pykopia.format.directory import DirectoryEntry
from pykopia.format.source import SourceInfo
from pykopia.snapshot.upload_options import SnapshotOptions, SnapshotResult
from pykopia.snapshot.verify import VerifyOptions
from tests.golden_repositories import (
    GOOD_NAMES,
    GoldenRepository,
    GoldenSnapshot,
    assert_restored,
    build_source,
    load,
)

Open = Callable[[str], Repository]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the sources have files of other owners")

UNREADABLE_AS_USER = "the source has files that its user could not read, and root reads them"
COPIES_OF_THE_SOURCE = {1: 2, 3: 4}
"""Snapshots of misc-manifests that files were taken out of afterwards, and the copies that were made before that."""
COMPARED = [name for name in GOOD_NAMES if name != "misc-manifests"]


def take(
    repository: Repository, snapshot: GoldenSnapshot, source: Path, *, parallel: int | None = None
) -> SnapshotResult:
    """Take a snapshot as the recorded source, every file read."""
    info = SourceInfo(host=snapshot.host, user_name=snapshot.user, path=snapshot.path)
    options = SnapshotOptions(source=info, force_hash_percent=100, parallel=parallel)
    return repository.snapshots.create(source, options=options)


def objects(repository: Repository, root: DirectoryEntry, path: str = ".") -> Iterator[tuple[str, str]]:
    """Yield path and object ID of an entry and of all below it."""
    yield path, root.object_id
    if root.type == "d":
        for entry in repository.objects.directory(root.object_id).entries:
            yield from objects(repository, entry, entry.name if path == "." else f"{path}/{entry.name}")


def rebuilt(golden: GoldenRepository, folder: Path) -> Iterator[tuple[GoldenSnapshot, Path]]:
    """Yield every finished snapshot with its source, made again."""
    for snapshot in golden.snapshots:
        if snapshot.incomplete:
            continue
        source = build_source(golden, snapshot, folder / str(snapshot.index))
        if source is not None:
            yield snapshot, source


def encoded(golden: GoldenRepository, snapshot: GoldenSnapshot) -> set[str]:
    """Return the paths whose object IDs depend on an encoder: compressed files, and the folders that lead to them."""
    chunked = {each.object: each.chunks for each in golden.indirect_objects}
    files = {
        entry.path
        for entry in snapshot.entries
        if "Z" in entry.object_id or any("Z" in chunk for _, _, chunk in chunked.get(entry.object_id, ()))
    }
    return files | {str(folder) for path in files for folder in PurePosixPath(path).parents}


@pytest.mark.parametrize("name", COMPARED)
def test_the_same_tree_gets_the_same_objects(name: str, writable: Open, tmp_path: Path) -> None:
    if name == "errors":
        pytest.skip(UNREADABLE_AS_USER)
    golden, repository = load(name), writable(name)
    before = {entry.content_id for entry in repository.contents.list()}
    excused: set[str] = set()
    compared = 0
    for snapshot, source in rebuilt(golden, tmp_path / "sources"):
        root = take(repository, snapshot, source).manifest.root_entry
        assert root is not None
        found = dict(objects(repository, root))
        recorded = {entry.path: entry.object_id for entry in snapshot.entries}
        assert found.keys() == recorded.keys()
        excuse = encoded(golden, snapshot)
        assert {path for path in recorded if found[path] != recorded[path]} <= excuse, snapshot.source
        if repository.format.compresses_contents:
            assert not any("Z" in object_id for object_id in found.values())
        else:
            assert {path for path in found if "Z" in found[path]} == {path for path in found if "Z" in recorded[path]}
        excused |= excuse
        compared += len(recorded.keys() - excuse)
    assert compared
    added = {str(entry.content_id) for entry in repository.contents.list()} - before
    assert excused or {content_id[0] for content_id in added} == {"m"}, "only manifests are new"
    assert repository.snapshots.verify(options=VerifyOptions(files_percent=100, max_errors=-1)).errors == ()


@pytest.mark.parametrize("name", ["default", "default-chunked", "names", "policies", "v1-legacy"])
def test_one_thread_or_many_give_the_same_root(name: str, writable: Open, tmp_path: Path) -> None:
    golden, repository = load(name), writable(name)
    snapshot, source = next(rebuilt(golden, tmp_path / "sources"))
    roots = {take(repository, snapshot, source, parallel=each).manifest.root_object_id for each in (1, 2, 8)}
    assert len(roots) == 1


@pytest.mark.parametrize("name", ["default", "modes", "names", "compressors", "v1-compressors", "v1-legacy"])
def test_a_new_snapshot_beside_those_of_kopia_is_restored(name: str, writable: Open, tmp_path: Path) -> None:
    golden, repository = load(name), writable(name)
    snapshot, source = next(rebuilt(golden, tmp_path / "sources"))
    taken = take(repository, snapshot, source).manifest
    repository.snapshots.restore(taken.id, tmp_path / "restored")
    assert_restored(tmp_path / "restored", snapshot)


def test_a_snapshot_without_the_files_that_were_removed_later_is_the_copy_made_before(
    writable: Open, tmp_path: Path
) -> None:
    golden, repository = load("misc-manifests"), writable("misc-manifests")
    build = partial(build_source, golden, sources=tmp_path / "sources")
    for index, copy in COPIES_OF_THE_SOURCE.items():
        snapshot = golden.snapshots[index]
        source = build(snapshot)
        assert source is not None
        assert take(repository, snapshot, source).manifest.root_object_id == golden.snapshots[copy].root


@pytest.mark.parametrize("name", ["default", "v2-epochs", "v1-legacy"])
def test_unchanged_files_are_taken_from_the_snapshots_of_kopia(name: str, writable: Open, tmp_path: Path) -> None:
    golden, repository = load(name), writable(name)
    snapshot = [each for each in golden.snapshots if each.source == golden.snapshots[0].source][-1]
    source = build_source(golden, snapshot, tmp_path / "sources")
    assert source is not None
    info = SourceInfo(host=snapshot.host, user_name=snapshot.user, path=snapshot.path)
    result = repository.snapshots.create(source, options=SnapshotOptions(source=info))
    assert result.counters.hashed_files == 0
    assert result.counters.cached_files == sum(entry.kind != "d" for entry in snapshot.entries)
    assert result.manifest.root_object_id == snapshot.root
