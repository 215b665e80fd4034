"""One decision for the dry run and the restore: what is told is what is done, for all that can meet."""

import itertools
import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pykopia.api.repository import Repository
from pykopia.errors import ContentNotFoundError, RestoreError, UsageError
from pykopia.format.directory import Directory, DirectoryEntry
from pykopia.ids import ObjectID
from pykopia.snapshot.placeholder import PLACEHOLDER_SUFFIX
from pykopia.snapshot.restore_decision import (
    Decision,
    Existing,
    Keep,
    Make,
    Placeholder,
    Refuse,
    Replace,
    SetAttributes,
    alike,
    apart,
    collide,
    decide,
    duplicate_name,
)
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.snapshot.upload_options import SnapshotOptions

TIME_NS = 1_600_000_000 * 10**9
KINDS = ("f", "d", "s")
THERE = (
    "nothing", "same file", "same size", "other size", "other time", "empty folder", "full folder", "same link", "other link",
    "pipe", "placeholder",
)  # fmt: skip
SWITCHES = (
    "overwrite_files", "overwrite_symlinks", "skip_existing", "only_differences", "delete_extra", "atomic_files",
)  # fmt: skip

State = tuple[object, ...]


def source_entry(path: Path, kind: str) -> None:
    if kind == "f":
        path.write_bytes(b"right")
    elif kind == "d":
        path.mkdir()
        (path / "inside").write_bytes(b"inside")
    else:
        path.symlink_to("right")


def put(path: Path, there: str) -> None:
    """Put something where an entry is restored to."""
    match there:
        case "same file" | "other time":
            path.write_bytes(b"right")
        case "same size":
            path.write_bytes(b"wrong")
        case "other size":
            path.write_bytes(b"a longer one")
        case "empty folder":
            path.mkdir()
        case "full folder":
            path.mkdir()
            (path / "mine").write_bytes(b"mine")
        case "same link":
            path.symlink_to("right")
        case "other link":
            path.symlink_to("wrong")
        case "pipe":
            os.mkfifo(path)
        case "placeholder":
            path.with_name(path.name + PLACEHOLDER_SUFFIX).write_bytes(b"{}")
    if path.is_file() and not path.is_symlink():
        moved = 10 * 10**9 if there == "other time" else 0
        os.utime(path, ns=(TIME_NS + moved, TIME_NS + moved))


def contents(path: Path) -> State | None:
    """Return what is there, but for attributes and for what is in a folder."""
    if not os.path.lexists(path):
        return None
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return ("s", os.readlink(path))
    if stat.S_ISDIR(mode):
        return ("d",)
    return ("f", path.read_bytes()) if stat.S_ISREG(mode) else ("other",)


def attributes(path: Path) -> State:
    status = path.lstat()
    mode = None if stat.S_ISLNK(status.st_mode) else stat.S_IMODE(status.st_mode)
    return (mode, status.st_mtime_ns)


@pytest.fixture
def snapshot(repository: Repository, source: Path) -> str:
    """A snapshot with an entry of each kind for each thing that may be in its place."""
    for kind, there in itertools.product(KINDS, THERE):
        folder = source / f"{kind} {there}"
        folder.mkdir()
        source_entry(folder / "x", kind)
        os.utime(folder / "x", ns=(TIME_NS, TIME_NS), follow_symlinks=False)
    return str(repository.snapshots.create(source).manifest.id)


def lay_out(target: Path) -> None:
    for kind, there in itertools.product(KINDS, THERE):
        folder = target / f"{kind} {there}"
        folder.mkdir(parents=True)
        put(folder / "x", there)


ALL = tuple(itertools.product((True, False), repeat=len(SWITCHES)))
SOME = ((True,) * len(SWITCHES), *(tuple(at != off for at in range(len(SWITCHES))) for off in range(len(SWITCHES))))
"""All switches on, and each of them off by itself."""


@pytest.mark.parametrize("shallow", [None, 1])
def test_a_dry_run_tells_what_the_restore_does(
    repository: Repository, source: Path, tmp_path: Path, snapshot: str, shallow: int | None
) -> None:
    compare_plan_and_act(repository, source, tmp_path, snapshot, shallow, SOME)


@pytest.mark.slow
@pytest.mark.parametrize("shallow", [None, 1])
def test_a_dry_run_tells_what_the_restore_does_with_all_options(
    repository: Repository, source: Path, tmp_path: Path, snapshot: str, shallow: int | None
) -> None:
    compare_plan_and_act(repository, source, tmp_path, snapshot, shallow, ALL)


def compare_plan_and_act(
    repository: Repository,
    source: Path,
    tmp_path: Path,
    snapshot: str,
    shallow: int | None,
    combinations: Sequence[tuple[bool, ...]],
) -> None:
    """Restore over everything that can be there, and compare what was told with what has become of it."""
    root = repository.snapshots.resolve(snapshot)
    seen: set[str] = set()
    for number, values in enumerate(combinations):
        switches: dict[str, Any] = dict(zip(SWITCHES, values, strict=True))
        options = RestoreOptions(ignore_errors=True, shallow_depth=shallow, parallel=1)
        options = replace(options, **switches)
        target = tmp_path / f"target-{number}"
        lay_out(target)
        told = list(repository.snapshots.plan_restore(root, target, options=options))
        by_path = {(change.path, change.kind) for change in told}
        before = {path: contents(target / path) for path in all_paths()}
        states = {path: attributes(target / path) for path in all_paths() if before[path] is not None}
        result = repository.snapshots.restore(root, target, options=options)
        failed = {line.split(f"{target}/")[1].split(":")[0] for line in result.errors}
        context = f"{switches} {shallow}"
        assert failed == {path for path, kind in by_path if kind == "refuse"}, context
        for path in all_paths():
            kinds = {kind for changed, kind in by_path if changed == path}
            after, stored = contents(target / path), contents(source / path)
            where = f"{path}: {kinds} with {context}"
            if kinds & {"create", "replace"}:
                assert (before[path] is None) == (kinds == {"create"}) or "delete" in kinds, where
                assert (after == stored and before[path] != after) or path.endswith(PLACEHOLDER_SUFFIX), where
            elif kinds == {"delete"}:
                assert before[path] is not None, where
                assert after is None, where
            else:
                assert kinds <= {"attributes", "refuse"}, where
                assert after == before[path], where
            if kinds & {"create", "replace", "attributes"} and not path.endswith(PLACEHOLDER_SUFFIX):
                assert attributes(target / path) == attributes(source / path), where
            if kinds == {"attributes"}:
                assert states[path] != attributes(source / path), where
        again = [
            change
            for change in repository.snapshots.plan_restore(root, target, options=options)
            if change.kind != "refuse" and not change.path.endswith(PLACEHOLDER_SUFFIX)
        ]
        assert again == [], context
        seen |= {change.kind for change in told}
    assert seen == {"create", "replace", "attributes", "delete", "refuse"}


def all_paths() -> list[str]:
    folders = [f"{kind} {there}" for kind, there in itertools.product(KINDS, THERE)]
    return [f"{folder}/{name}" for folder in folders for name in ("x", "x" + PLACEHOLDER_SUFFIX)]


@pytest.mark.parametrize("there", ["other size", "full folder"])
def test_a_restore_stops_where_the_dry_run_refuses(
    repository: Repository, source: Path, tmp_path: Path, there: str
) -> None:
    source_entry(source / "x", "f")
    snapshot = str(repository.snapshots.create(source).manifest.id)
    target = tmp_path / "target"
    target.mkdir()
    put(target / "x", there)
    for options in (RestoreOptions(overwrite_files=False), RestoreOptions(overwrite_directories=False)):
        told = list(repository.snapshots.plan_restore(snapshot, target, options=options))
        assert [change.kind for change in told if change.kind == "refuse"] == ["refuse"]
        with pytest.raises(RestoreError, match="can't restore"):
            repository.snapshots.restore(snapshot, target, options=options)


# --- the decision itself ---

FILE = DirectoryEntry(name="x", type="f", size=5, mtime_ns=TIME_NS)
LINK = DirectoryEntry(name="x", type="s")
FOLDER = DirectoryEntry(name="x", type="d")
DEFAULT = RestoreOptions()


def never() -> bool:
    raise AssertionError("the contents do not matter here")


def test_contents_are_compared_only_where_they_matter() -> None:
    same = Existing("f", 5, TIME_NS)
    assert decide(FILE, None, DEFAULT, never) == Make()
    assert decide(FILE, same, DEFAULT, never) == Replace()
    assert decide(FILE, same, replace(DEFAULT, atomic_files=False), never) == Replace(in_place=True)
    assert decide(FILE, same, replace(DEFAULT, skip_existing=True, only_differences=True), never) == Keep()
    differences = replace(DEFAULT, only_differences=True, overwrite_files=False, overwrite_symlinks=False)
    assert decide(FILE, same, differences, lambda: True) == SetAttributes()
    assert isinstance(decide(FILE, same, differences, lambda: False), Refuse)
    linked = replace(same, links=2)
    assert decide(FILE, linked, differences, lambda: True) == SetAttributes()
    assert decide(FILE, linked, replace(differences, overwrite_files=True), lambda: True) == Replace()
    assert decide(FILE, linked, replace(DEFAULT, atomic_files=False), never) == Replace()
    assert decide(LINK, Existing("s"), differences, lambda: True) == SetAttributes()
    assert decide(FOLDER, Existing("d"), differences, never) == SetAttributes()


@pytest.mark.parametrize(
    ("entry", "existing", "forbidden", "allowed", "reason"),
    [
        (FILE, Existing("f"), "overwrite_files", Replace(), "it exists and files may not be overwritten"),
        (FILE, Existing(""), "overwrite_files", Replace(), "it exists and files may not be overwritten"),
        (FILE, Existing("s"), "overwrite_symlinks", Replace(), "a symbolic link is there"),
        (LINK, Existing("s"), "overwrite_symlinks", Replace(), "the symbolic link exists"),
        (FOLDER, Existing("d", empty=False), "overwrite_directories", SetAttributes(), "is not empty"),
        (FILE, Existing("d"), "", None, "a folder is there"),
        (LINK, Existing("f"), "", None, "something else is there: a file"),
        (LINK, Existing("d"), "", None, "something else is there: a folder"),
        (FOLDER, Existing("f"), "", None, "a file is there"),
        (FOLDER, Existing("s"), "", None, "a symbolic link is there"),
    ],
)
def test_what_is_there_is_replaced_only_where_that_is_allowed(
    entry: DirectoryEntry, existing: Existing, forbidden: str, allowed: Decision | None, reason: str
) -> None:
    if allowed is not None:
        assert decide(entry, existing, DEFAULT, never) == allowed
    options = replace(DEFAULT, **{forbidden: False}) if forbidden else DEFAULT  # type: ignore[arg-type]
    refused = decide(entry, existing, options, never)
    assert isinstance(refused, Refuse)
    assert reason in refused.reason
    assert not refused.unsafe


def test_an_empty_folder_is_filled_also_where_folders_may_not_be_overwritten() -> None:
    options = replace(DEFAULT, overwrite_directories=False)
    assert decide(FOLDER, Existing("d", empty=True), options, never) == SetAttributes()


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("only_differences", [True, False])
@pytest.mark.parametrize("extended", [True, False])
def test_a_file_with_several_names_is_not_changed_under_the_others(
    repository: Repository, tmp_path: Path, atomic: bool, only_differences: bool, extended: bool
) -> None:
    """The target has one file where the snapshot has several, and a name of it is outside of the target."""
    source, target, outside = tmp_path / "source", tmp_path / "target", tmp_path / "outside"
    source.mkdir()
    for name, data in ("a", b"first"), ("b", b"other"), ("private", b"equal"), ("public", b"equal"):
        (source / name).write_bytes(data)
        (source / name).chmod(0o600 if name == "private" else 0o644)
    os.link(source / "a", source / "linked")
    taken = repository.snapshots.create(source, options=SnapshotOptions(extended_attributes=True)).manifest.id
    target.mkdir()
    outside.write_bytes(b"equal")
    outside.chmod(0o640)
    for name in ("a", "b", "private", "public", "linked"):
        os.link(outside, target / name)
    options = replace(DEFAULT, atomic_files=atomic, only_differences=only_differences, extended_attributes=extended)
    repository.snapshots.restore(taken, target, options=options)

    def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
        return {path.name: (path.read_bytes(), path.stat().st_mode) for path in folder.iterdir()}

    assert tree(target) == tree(source)
    assert outside.read_bytes() == b"equal"
    assert outside.stat().st_mode & 0o777 == 0o640
    assert outside.stat().st_nlink == 1


@pytest.mark.parametrize("moved", [-2_000_000_001, -2_000_000_000, 0, 2_000_000_000, 2_000_000_001])
def test_two_seconds_are_the_same_time(moved: int) -> None:
    options = replace(DEFAULT, skip_existing=True)
    kept = decide(FILE, Existing("f", 5, TIME_NS + moved), options, never) == Keep()
    assert kept == (abs(moved) <= 2_000_000_000)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "nul\0", "n" * 256, "é" * 128, "\ud800"])
@pytest.mark.parametrize("kind", ["f", "s", "d"])
def test_a_name_that_no_folder_can_have_is_refused(name: str, kind: str) -> None:
    decision = decide(DirectoryEntry(name=name, type=kind), None, DEFAULT, never)
    assert isinstance(decision, Refuse)
    assert decision.unsafe == (len(name) < 5 and name != "\ud800")


def test_names_that_just_fit_are_made() -> None:
    for name in ("n" * 255, "é" * 127, "\udcff" * 255, "..."):
        assert decide(DirectoryEntry(name=name, type="f"), None, DEFAULT, never) == Make()
    assert isinstance(decide(DirectoryEntry(name="x", type="z"), None, DEFAULT, never), Refuse)


def test_placeholders_are_for_what_is_large_enough_and_not_there() -> None:
    options = replace(DEFAULT, shallow_min_size=6)
    assert decide(FILE, None, options, never, shallow=True) == Make()
    assert decide(FOLDER, None, options, never, shallow=True) == Placeholder()
    assert decide(LINK, None, options, never, shallow=True) == Make()
    assert decide(FILE, None, DEFAULT, never, shallow=True) == Placeholder()
    assert isinstance(decide(FILE, Existing("f", 5), DEFAULT, never, shallow=True), Refuse)
    long = DirectoryEntry(name="n" * 250, type="d")
    assert decide(long, None, DEFAULT, never, shallow=True) == Make()


def test_entries_of_one_name_are_told_apart() -> None:
    entries = [
        DirectoryEntry(name=name, type="f") for name in ("a", "b", "a", "a", "a.duplicate-2", "n" * 255, "n" * 255)
    ]
    assert collide(entries, str)
    names = [(renamed or entry).name for entry, renamed in apart(entries, str)]
    assert names[:5] == ["a", "b", "a.duplicate-3", "a.duplicate-4", "a.duplicate-2"]
    assert len(set(names)) == len(names)
    assert len(duplicate_name("é" * 127, 2).encode()) <= 255
    cases = [DirectoryEntry(name=name, type="f") for name in ("Readme", "README", "straße", "STRASSE")]
    assert not collide(cases, str)
    assert [(renamed or entry).name for entry, renamed in apart(cases, alike)] == [
        "Readme", "README.duplicate-2", "straße", "STRASSE.duplicate-2",
    ]  # fmt: skip


# --- the target itself ---


def occupy(path: Path, what: str) -> None:
    """Put something where a restore is to go, or where a folder above it would be."""
    if what == "link to a folder":
        path.with_name("real").mkdir()
        path.symlink_to("real")
    elif what == "link to a file":
        path.with_name("real").write_bytes(b"mine")
        path.symlink_to("real")
    elif what == "dangling link":
        path.symlink_to("nowhere")
    elif what == "loop":
        path.symlink_to(path.name)
    elif what == "placeholder beside":
        path.with_name(path.name + PLACEHOLDER_SUFFIX).write_bytes(b"{}")
    else:
        put(path, what)


def everything(folder: Path) -> dict[str, State | None]:
    return {path.relative_to(folder).as_posix(): contents(path) for path in folder.rglob("*")}


TARGETS = (
    "nothing", "other size", "same file", "empty folder", "full folder", "pipe", "link to a folder", "link to a file",
    "dangling link", "loop", "placeholder beside",
)  # fmt: skip


@pytest.mark.parametrize("what", TARGETS)
def test_a_dry_run_tells_what_becomes_of_each_target(
    repository: Repository, source: Path, tmp_path: Path, what: str
) -> None:
    (source / "file").write_bytes(b"right")
    (source / "link").symlink_to("right")
    os.utime(source / "file", ns=(TIME_NS, TIME_NS))
    snapshot = repository.snapshots.create(source).manifest.id
    cases = itertools.product(["", "/file", "/link"], ["", "new", "new/er", "n" * 256], [True, False])
    for number, (inside, below, overwrite) in enumerate(cases):
        if (inside, what, below) == ("/file", "pipe", ""):
            continue  # it would wait for a reader
        place = tmp_path / f"place-{number}"
        place.mkdir()
        occupy(place / "target", what)
        options = RestoreOptions(
            overwrite_files=overwrite, overwrite_directories=overwrite, overwrite_symlinks=overwrite
        )
        compare_target(repository, f"{snapshot}{inside}", place, place / "target" / below, options)


def compare_target(repository: Repository, reference: str, place: Path, target: Path, options: RestoreOptions) -> None:
    """Restore to one target, and compare what has changed in ``place`` with what was told."""
    before = everything(place)
    plan = list(repository.snapshots.plan_restore(reference, target, options=options))
    told = {(change.kind, change.path) for change in plan if change.kind != "attributes"}
    assert everything(place) == before
    refused = ""
    try:
        repository.snapshots.restore(reference, target, options=options)
    except RestoreError as error:
        refused = str(error)
    after = everything(place)
    changed = {located(place / name) for name in before | after if before.get(name) != after.get(name)}
    if refused:
        assert told == {("refuse", "")}, refused
        assert changed == set()
    else:
        made_above = {located(each) for each in target.parents}
        assert changed - made_above == {located(target / path) for _, path in told}, told


def located(path: Path) -> Path:
    """Return a path without links above its last part."""
    return Path(os.path.realpath(path.parent), path.name)


def test_the_contents_of_a_file_go_to_the_pipe_that_is_the_target(
    repository: Repository, source: Path, tmp_path: Path
) -> None:
    (source / "file").write_bytes(b"right")
    reference = f"{repository.snapshots.create(source).manifest.id}/file"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        (told,) = repository.snapshots.plan_restore(reference, tmp_path / "pipe")
        repository.snapshots.restore(reference, tmp_path / "pipe")
        assert os.read(reader, 100) == b"right"
    finally:
        os.close(reader)
    assert (told.kind, told.reason) == ("replace", "its contents are written to the pipe or device that is there")


def test_a_dry_run_of_a_url_is_refused(repository: Repository, source: Path) -> None:
    snapshot = repository.snapshots.create(source).manifest
    with pytest.raises(UsageError, match="memory://there is a URL"):
        repository.snapshots.plan_restore(snapshot, "memory://there")


def test_a_dry_run_keeps_the_placeholder_of_a_folder_that_is_not_restored_in_full(
    repository: Repository, source: Path, tmp_path: Path
) -> None:
    for folder in ("whole", "part"):
        (source / folder / "inner").mkdir(parents=True)
        source_entry(source / folder / "inner" / "x", "f")
        (tmp_path / "target" / folder / "inner").mkdir(parents=True)
        for name in (folder, f"{folder}/inner"):
            (tmp_path / "target" / (name + PLACEHOLDER_SUFFIX)).write_bytes(b"{}")
    (tmp_path / f"target{PLACEHOLDER_SUFFIX}").write_bytes(b"{}")
    (tmp_path / "target" / "part" / "inner" / "x").mkdir()
    snapshot = repository.snapshots.create(source).manifest
    options = RestoreOptions(ignore_errors=True)
    told = {
        change.path
        for change in repository.snapshots.plan_restore(snapshot, tmp_path / "target", options=options)
        if change.kind == "delete"
    }
    assert told == {f"whole{PLACEHOLDER_SUFFIX}", f"whole/inner{PLACEHOLDER_SUFFIX}"}
    repository.snapshots.restore(snapshot, tmp_path / "target", options=options)
    assert {each.name for each in tmp_path.rglob("*" + PLACEHOLDER_SUFFIX)} == {
        f"part{PLACEHOLDER_SUFFIX}", f"inner{PLACEHOLDER_SUFFIX}", f"target{PLACEHOLDER_SUFFIX}"
    }  # fmt: skip
    assert not (tmp_path / "target" / f"whole{PLACEHOLDER_SUFFIX}").exists()


def test_a_dry_run_goes_on_after_a_damaged_folder_as_the_restore_does(repository: Repository, tmp_path: Path) -> None:
    lost = DirectoryEntry(name="lost", type="d", mode=0o700, object_id=ObjectID("k" + "00" * 16))
    with repository.writer() as writer:
        root_id = writer.objects.write(
            Directory((lost, replace_entry(FILE, writer.objects.write(b"right")))).to_bytes(), prefix="k"
        )
    root = DirectoryEntry(name="root", type="d", mode=0o700, object_id=root_id)
    options = RestoreOptions(ignore_errors=True)
    told = list(repository.snapshots.plan_restore(root, tmp_path / "target", options=options))
    assert [(each.kind, each.path) for each in told] == [
        ("create", ""), ("create", "lost"), ("create", "x"), ("refuse", "lost"),
    ]  # fmt: skip
    (problem,) = repository.snapshots.restore(root, tmp_path / "target", options=options).problems
    assert (problem.path, problem.message) == ("lost", told[-1].reason)
    with pytest.raises(ContentNotFoundError):
        list(repository.snapshots.plan_restore(root, tmp_path / "target"))


def replace_entry(entry: DirectoryEntry, object_id: ObjectID) -> DirectoryEntry:
    return DirectoryEntry(
        name=entry.name, type=entry.type, size=entry.size, mtime_ns=entry.mtime_ns, mode=0o600, object_id=object_id
    )


def test_a_folder_with_the_name_of_a_leftover_is_left_alone(
    repository: Repository, source: Path, tmp_path: Path
) -> None:
    source_entry(source / "x", "f")
    folder = tmp_path / "target" / ".pykopia-0123456789abcdef"
    folder.mkdir(parents=True)
    os.mkfifo(tmp_path / "target" / ".pykopia-0123456789abcde0")
    (tmp_path / "target" / ".pykopia-0123456789abcde1").write_bytes(b"cut off")
    snapshot = repository.snapshots.create(source).manifest
    told = [(each.kind, each.path) for each in repository.snapshots.plan_restore(snapshot, tmp_path / "target")]
    repository.snapshots.restore(snapshot, tmp_path / "target")
    assert [path for kind, path in told if kind == "delete"] == [".pykopia-0123456789abcde1"]
    assert {each.name for each in (tmp_path / "target").iterdir()} == {folder.name, ".pykopia-0123456789abcde0", "x"}
