"""The golden repositories: what was recorded, unpacked, made again and restored by kopia fits together."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.golden_repositories import (
    ALL_NAMES,
    DAMAGED_NAMES,
    GOOD_NAMES,
    GoldenEntry,
    GoldenSnapshot,
    GoldenStep,
    TreeAction,
    assert_restored,
    build_source,
    created_by,
    load,
    replay,
    restored_differences,
)
from tests.trees import scan

COPIED_OR_MOVED = {("misc-manifests", 0), ("misc-manifests", 2), ("misc-manifests", 4)}
NOT_REBUILT = {("deleted-contents", 1), ("incomplete", 1), ("incomplete", 2), ("incomplete", 3), *COPIED_OR_MOVED}
"""Standard input, random files, history under another source: no source tree stands for them."""

LESS_THAN_THE_SOURCE = {
    ("incomplete", 0): "a checkpoint that was cut off",
    ("misc-manifests", 1): "files were taken out afterwards",
    ("misc-manifests", 3): "files were taken out afterwards",
    **{("errors", index): "read by an ordinary user, who may not read all" for index in range(4)},
}

LARGE = {"splitters", "default-chunked", "two-level"}


def test_there_are_good_and_damaged_ones() -> None:
    assert len(GOOD_NAMES) == 22
    assert len(DAMAGED_NAMES) == 14
    assert sorted(ALL_NAMES) == sorted(GOOD_NAMES + DAMAGED_NAMES)


@pytest.mark.parametrize("name", ALL_NAMES)
def test_every_record_is_read_whole(name: str) -> None:
    golden = load(name)
    assert golden.name == name
    assert golden.damaged == (name in DAMAGED_NAMES)
    assert [snapshot.index for snapshot in golden.snapshots] == list(range(len(golden.snapshots)))
    assert len(golden.contents) == golden.raw["content_count"]
    for snapshot in golden.snapshots:
        assert snapshot.entries[0].path == "."
        assert snapshot.entries[0].object_id == snapshot.root
        for entry in snapshot.entries:
            assert (entry.sha256 is not None) == (entry.kind == "f")
            assert (entry.target is not None) == (entry.kind == "s")


@pytest.mark.parametrize("name", ALL_NAMES)
def test_an_unpacked_repository_is_the_recorded_one_to_the_nanosecond(
    pristine_golden_repository: Callable[[str], Path], name: str
) -> None:
    repository = pristine_golden_repository(name)
    golden = load(name)
    assert {blob.file for blob in golden.blobs} == {
        str(path.relative_to(repository)) for path in repository.rglob("*.f")
    }
    for blob in golden.blobs:
        path = repository / blob.file
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (blob.length, blob.mtime_ns)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == blob.sha256


def test_a_copy_keeps_times_and_leaves_the_pristine_one_alone(
    pristine_golden_repository: Callable[[str], Path], golden_repository: Callable[[str], Path]
) -> None:
    pristine, copy = pristine_golden_repository("default"), golden_repository("default")
    assert scan(pristine) == scan(copy)
    assert golden_repository("default") == copy
    (copy / "kopia.repository.f").unlink()
    assert (pristine / "kopia.repository.f").exists()


def test_an_action_names_a_tree_or_none() -> None:
    assert TreeAction.parse("tree basic, seed 12, step 3 in $SRC/b") == TreeAction(
        tree="basic", seed=12, step=3, folder="b"
    )
    assert TreeAction.parse("six files of 700 KiB in $SRC/big") is None


def test_every_snapshot_but_the_copied_ones_was_made_by_one_step() -> None:
    for name in ALL_NAMES:
        golden = load(name)
        places = [created_by(golden, snapshot) for snapshot in golden.snapshots]
        missing = {(name, index) for index, place in enumerate(places) if place is None}
        assert missing == {pair for pair in COPIED_OR_MOVED if pair[0] == name}
        made = [place for place in places if place is not None]
        assert len(made) == len(set(made))


SNAPSHOTS = [
    (name, snapshot.index)
    for name in GOOD_NAMES
    if name not in LARGE
    for snapshot in load(name).snapshots
    if (name, snapshot.index) not in LESS_THAN_THE_SOURCE
]


@pytest.mark.skipif(os.geteuid() != 0, reason="the sources have files of other owners")
@pytest.mark.parametrize(("name", "index"), SNAPSHOTS)
def test_a_source_made_again_is_what_the_snapshot_recorded(tmp_path: Path, name: str, index: int) -> None:
    golden = load(name)
    snapshot = golden.snapshots[index]
    source = build_source(golden, snapshot, tmp_path)
    assert (source is None) == ((name, index) in NOT_REBUILT)
    if source is None:
        return
    surplus = {f"{path!r}: should not be there" for path in snapshot.not_in_snapshot}
    if name == "names":  # stored with another name than it has
        surplus = {r"'notutf8/latin1-caf\udce9': should not be there", "'notutf8/latin1-caf\ufffd': is missing"}
    assert set(restored_differences(source, snapshot)) == surplus


def test_a_replay_gives_every_step_with_its_trees(tmp_path: Path) -> None:
    golden = load("default")
    seen: list[GoldenStep] = []
    for step in replay(golden, tmp_path):
        seen.append(step)
        if (step.command or "").startswith("snapshot create $SRC/home"):
            index = len([each for each in seen if "create $SRC/home" in (each.command or "")]) - 1
            assert restored_differences(tmp_path / "home", golden.snapshots[index], owners=False) == []
    assert tuple(seen) == golden.steps
    assert [step.flag("description") for step in seen if step.flag("description")][1] == 'second <&> "quoted" ünïcode'


@pytest.fixture
def restored(tmp_path: Path) -> tuple[Path, GoldenSnapshot]:
    """Return a folder as a true restore leaves it, and the snapshot; owners are those of whoever tests."""
    golden = load("default")
    source = build_source(golden, golden.snapshots[0], tmp_path)
    assert source is not None
    return source, golden.snapshots[0]


def rewrite(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))


def turn_into_a_folder(root: Path) -> None:
    (root / "current").unlink()
    (root / "current").mkdir()


def lead_elsewhere(root: Path) -> None:
    (root / "current").unlink()
    (root / "current").symlink_to("x")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "content": (lambda root: rewrite(root / "config.ini"), "'config.ini': has 8 bytes with SHA-256"),
    "mode": (lambda root: (root / "config.ini").chmod(0o644), "'config.ini': has mode 00644, not 00600"),
    "time": (lambda root: os.utime(root / "db", ns=(1, 1)), "'db': has time 1,"),
    "missing": (lambda root: (root / "swap").unlink(), "'swap': is missing"),
    "surplus": (lambda root: (root / "new").mkdir(), "'new': should not be there"),
    "type": (turn_into_a_folder, "'current': is of type d, not s"),
    "target": (
        lead_elsewhere,
        "'current': leads to b'x'",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_kind_of_difference_is_found(restored: tuple[Path, GoldenSnapshot], damage: str) -> None:
    folder, snapshot = restored
    assert_restored(folder, snapshot, owners=False)
    spoil, line = DAMAGES[damage]
    spoil(folder)
    assert any(text.startswith(line) for text in restored_differences(folder, snapshot, owners=False))
    with pytest.raises(AssertionError, match="is not snapshot"):
        assert_restored(folder, snapshot, owners=False)


def change_entries(snapshot: GoldenSnapshot, change: Callable[[GoldenEntry], GoldenEntry]) -> GoldenSnapshot:
    return replace(snapshot, entries=tuple(change(entry) for entry in snapshot.entries))


def test_an_unreadable_entry_may_be_missing_and_its_folders_need_no_attributes(
    restored: tuple[Path, GoldenSnapshot],
) -> None:
    folder, snapshot = restored
    spoilt = change_entries(snapshot, lambda entry: replace(entry, readable=entry.path != "stable/file-01.txt"))
    (folder / "stable/file-01.txt").unlink()
    for path in (".", "stable"):
        os.utime(folder / path, ns=(5, 5))
    assert_restored(folder, spoilt, owners=False)
    assert restored_differences(folder, snapshot, owners=False)
    os.utime(folder / "db", ns=(5, 5))
    assert restored_differences(folder, spoilt, owners=False)


def test_of_two_entries_with_one_name_either_may_be_there(restored: tuple[Path, GoldenSnapshot]) -> None:
    folder, snapshot = restored
    entry = next(entry for entry in snapshot.entries if entry.path == "config.ini")
    twin = replace(entry, sha256=hashlib.sha256(b"other").hexdigest(), size=5, duplicate_name=True)
    both = replace(snapshot, entries=(*snapshot.entries, twin))
    assert_restored(folder, both, owners=False)
    rewrite(folder / "config.ini")
    assert restored_differences(folder, both, owners=False)


def test_times_can_be_those_of_kopias_restore(restored: tuple[Path, GoldenSnapshot]) -> None:
    folder, snapshot = restored
    assert restored_differences(folder, snapshot, times="kopia", owners=False)
    for entry in snapshot.entries:
        os.utime(folder / entry.path, ns=(entry.restored_mtime_ns,) * 2, follow_symlinks=False)
    assert_restored(folder, snapshot, times="kopia", owners=False)
    assert restored_differences(folder, snapshot, owners=False)
    assert_restored(folder, snapshot, times="none", owners=False)


def test_a_restore_that_is_not_there_misses_everything(tmp_path: Path) -> None:
    snapshot = load("default").snapshots[0]
    assert len(restored_differences(tmp_path / "nothing", snapshot)) == len(snapshot.entries)
