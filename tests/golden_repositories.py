"""The golden repositories of tests/golden: names, copies to work on, sources made again, restores compared.

Copies come from the fixture `golden_repository` (tests/conftest.py); a test may write to its copy.
"""

import functools
import importlib.util
import os
import shutil
import tarfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeAlias

from tests.golden_records import (
    FOLDER,
    GoldenBlob,
    GoldenContent,
    GoldenEntry,
    GoldenIndexBlob,
    GoldenIndexEntry,
    GoldenIndirectObject,
    GoldenManifest,
    GoldenRepository,
    GoldenSnapshot,
    GoldenStep,
    TreeAction,
    load,
)
from tests.trees import TreeEntry, scan

SECOND = 10**9
OLDEST_NS = -(2**31) * SECOND
"""The earliest time that every file system holds."""

Times: TypeAlias = Literal["stored", "kopia", "none"]
"""Which times a restored folder must have: those of the entries, those of kopia's own restore, or any."""

ALL_NAMES: tuple[str, ...] = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
GOOD_NAMES: tuple[str, ...] = tuple(name for name in ALL_NAMES if not name.startswith("damaged-"))
DAMAGED_NAMES: tuple[str, ...] = tuple(name for name in ALL_NAMES if name.startswith("damaged-"))


def unpack(name: str, folder: Path) -> Path:
    """Unpack a golden repository into `folder` and return the folder ``repo``; times are kept to the nanosecond."""
    with tarfile.open(FOLDER / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
        for member in reversed(archive.getmembers()):
            mtime_ns = int(Decimal(member.pax_headers.get("mtime", str(member.mtime))) * SECOND)
            os.utime(folder / member.name, ns=(mtime_ns, mtime_ns))
    return folder / "repo"


def copy_repository(repository: Path, target: Path) -> Path:
    """Copy an unpacked repository with its times and return `target`."""
    return Path(shutil.copytree(repository, target))


@functools.cache
def make_tree() -> ModuleType:
    """Return the module tests/golden/make_tree.py."""
    specification = importlib.util.spec_from_file_location("golden_make_tree", FOLDER / "make_tree.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def run_action(action: TreeAction, sources: Path) -> None:
    """Make the tree below `sources`, or change the one there; owners and devices only come as root."""
    make_tree().make(action.tree, sources / action.folder, action.seed, action.step)


def replay(golden: GoldenRepository, sources: Path) -> Iterator[GoldenStep]:
    """Yield every step, having made or changed the source trees below `sources` as the step says.

    At a step ``snapshot create $SRC/x …`` the folder x is as kopia saw it, if a tree action made it.
    """
    for step in golden.steps:
        if step.tree is not None:
            run_action(step.tree, sources)
        yield step


def created_by(golden: GoldenRepository, snapshot: GoldenSnapshot) -> int | None:
    """Return the place in `steps` of the command that made the snapshot, or None for copied and moved ones."""
    found = [place for place, step in enumerate(golden.steps) if _makes(golden, step, snapshot)]
    alike = [other for other in golden.snapshots if any(_makes(golden, golden.steps[at], other) for at in found)]
    return found[alike.index(snapshot)] if found else None


def _makes(golden: GoldenRepository, step: GoldenStep, snapshot: GoldenSnapshot) -> bool:
    if not (step.command or "").startswith("snapshot create $SRC/"):
        return False
    source = step.flag("override-source") or f"{golden.user}@{golden.host}:/tmp/golden-source/{_source_folder(step)}"
    starts = step.flag("start-time").removesuffix(" UTC").replace(" ", "T")
    return (source, step.flag("description")) == (snapshot.source, snapshot.description) and (
        snapshot.start_time.startswith(starts)
    )


def _source_folder(step: GoldenStep) -> str:
    """Return what of ``$SRC`` a command ``snapshot create`` takes."""
    return (step.command or "").removeprefix("snapshot create $SRC/").split(" ")[0]


def build_source(golden: GoldenRepository, snapshot: GoldenSnapshot, sources: Path) -> Path | None:
    """Make the source of a snapshot again below `sources`, and return its folder or file.

    Returns None where it cannot be made again: standard input, random files, copied history.
    """
    place = created_by(golden, snapshot)
    if place is None or golden.steps[place].flag("stdin-file"):
        return None
    folder = _source_folder(golden.steps[place])
    actions = [step.tree for step in golden.steps[:place] if step.tree and step.tree.folder == folder.split("/")[0]]
    for action in actions:
        run_action(action, sources)
    return sources / folder if actions else None


def restored_differences(
    restored: Path, snapshot: GoldenSnapshot, *, times: Times = "stored", owners: bool | None = None
) -> list[str]:
    """Return what differs between a restored folder (or file) and the recorded entries, one line for each difference.

    Entries that are recorded as unreadable may be missing, and the folders that lead to them need no attributes.

    Args:
        restored: Where the snapshot was restored to.
        snapshot: The record.
        times: ``stored`` for the times of the entries; ``kopia`` for what kopia's own restore makes of them.
        owners: Whether user and group count; by default only for root, who alone can restore them.
    """
    owners = os.geteuid() == 0 if owners is None else owners
    expected: dict[str, list[GoldenEntry]] = {}
    for entry in snapshot.entries:
        expected.setdefault(entry.path, []).append(entry)
    incomplete = {
        os.path.dirname(entry.path)[:length]
        for entry in snapshot.entries
        if entry.readable is False
        for length in _prefix_lengths(os.path.dirname(entry.path))
    }
    found = {os.fsdecode(path): entry for path, entry in scan(restored).items()} if os.path.lexists(restored) else {}
    lines = [f"{path!r}: should not be there" for path in found.keys() - expected.keys()]
    for path, choices in expected.items():
        if any(choice.readable is False for choice in choices):
            continue
        if path not in found:
            lines.append(f"{path!r}: is missing")
            continue
        attributes = ("" if path == "." else path) not in incomplete
        problems = [
            _content_differences(found[path], choice)
            or (_attribute_differences(found[path], choice, times=times, owners=owners) if attributes else [])
            for choice in choices
        ]
        lines += [f"{path!r}: {problem}" for problem in min(problems, key=len)]
    return sorted(lines)


def _prefix_lengths(folder: str) -> list[int]:
    """Return where the path of a folder can be cut to give the folders that lead to it, the root and itself too."""
    return [0, *(place for place, letter in enumerate(folder) if letter == "/"), len(folder)]


def _content_differences(have: TreeEntry, want: GoldenEntry) -> list[str]:
    kind = have.kind.replace("l", "s")
    if kind != want.kind:
        return [f"is of type {kind}, not {want.kind}"]
    if want.kind == "f" and (have.size, have.sha256) != (want.size, want.sha256):
        return [f"has {have.size} bytes with SHA-256 {have.sha256}, not {want.size} with {want.sha256}"]
    if want.kind == "s" and have.target != want.target:
        return [f"leads to {have.target!r}, not {want.target!r}"]
    return []


def _attribute_differences(have: TreeEntry, want: GoldenEntry, *, times: Times, owners: bool) -> list[str]:
    lines: list[str] = []
    if want.kind != "s" and have.mode != want.mode:
        lines.append(f"has mode {have.mode:05o}, not {want.mode:05o}")
    if owners and (have.uid, have.gid) != (want.uid, want.gid):
        lines.append(f"belongs to {have.uid}:{have.gid}, not {want.uid}:{want.gid}")
    wanted_ns = want.restored_mtime_ns if times == "kopia" else want.mtime_ns
    if times != "none" and have.mtime_ns not in {wanted_ns, max(wanted_ns, OLDEST_NS)}:
        lines.append(f"has time {have.mtime_ns}, not {wanted_ns}")
    return lines


def assert_restored(
    restored: Path, snapshot: GoldenSnapshot, *, times: Times = "stored", owners: bool | None = None
) -> None:
    """Fail with the differences between a restored folder and the recorded entries (see `restored_differences`)."""
    lines = restored_differences(restored, snapshot, times=times, owners=owners)
    if lines:
        more = f"\n… and {len(lines) - 20} more" if len(lines) > 20 else ""
        raise AssertionError(f"{restored} is not snapshot {snapshot.id}:\n" + "\n".join(lines[:20]) + more)


__all__ = [
    "ALL_NAMES",
    "DAMAGED_NAMES",
    "FOLDER",
    "GOOD_NAMES",
    "GoldenBlob",
    "GoldenContent",
    "GoldenEntry",
    "GoldenIndexBlob",
    "GoldenIndexEntry",
    "GoldenIndirectObject",
    "GoldenManifest",
    "GoldenRepository",
    "GoldenSnapshot",
    "GoldenStep",
    "Times",
    "TreeAction",
    "assert_restored",
    "build_source",
    "copy_repository",
    "created_by",
    "load",
    "make_tree",
    "replay",
    "restored_differences",
    "run_action",
    "unpack",
]
