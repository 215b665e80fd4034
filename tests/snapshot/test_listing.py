"""What is in a folder, and what of it is as it was: the native twins against the definitions."""

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.format.directory import FILE, SYMLINK, DirectoryEntry
from pykopia.format.gotime import EARLIEST_NS, LATEST_NS
from pykopia.ids import ObjectID
from pykopia.snapshot.listing import (
    Listing,
    PythonListing,
    Sifted,
    list_folders,
    python_list_folders,
    python_sift,
    sift,
)
from tests.trees import everything, raw_names

FIELDS = ("st_mode", "st_size", "st_mtime_ns", "st_uid", "st_gid", "st_dev")
LISTERS = [list_folders, python_list_folders]

NAMES = st.sampled_from(["a", "b", "c\udcff", "d", "e.kopia-entry"])
TIMES = st.sampled_from([EARLIEST_NS - 1, EARLIEST_NS, -1, 0, 1_700_000_000_000_000_001, LATEST_NS, LATEST_NS + 1])
NUMBERS = st.sampled_from([0, 1, (1 << 32) - 1])
SIZES = st.sampled_from([0, 1, 1 << 40])
KINDS = st.sampled_from([stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFSOCK])
MODES = st.builds(lambda kind, mode: kind | mode, KINDS, st.sampled_from([0o644, 0o4755]))

entries = st.builds(
    DirectoryEntry,
    name=NAMES,
    type=st.sampled_from([FILE, SYMLINK]),
    mode=st.sampled_from([0o644, 0o4755]),
    size=st.one_of(SIZES, st.just(1 << 70)),
    mtime_ns=TIMES,
    uid=NUMBERS,
    gid=NUMBERS,
)
statuses = st.builds(SimpleNamespace, st_mode=MODES, st_size=SIZES, st_mtime_ns=TIMES, st_uid=NUMBERS, st_gid=NUMBERS)


def by_name(values: Sequence[DirectoryEntry]) -> dict[str, DirectoryEntry]:
    return {entry.name: entry for entry in values}


def listed(folder: Path) -> Listing:
    (found,) = list_folders([os.fsencode(folder)])
    assert found is not None
    return found


def test_both_twins_list_the_same(tmp_path: Path) -> None:
    everything(tmp_path)
    raw_names(tmp_path)
    os.utime(tmp_path, ns=(5, -1_500_000_001))
    folders = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir() and not path.is_symlink())]
    paths = [os.fsencode(folder) for folder in folders]
    for found, defined in zip(list_folders(paths), python_list_folders(paths), strict=True):
        assert found is not None
        assert defined is not None
        assert {name: [getattr(status, field) for field in FIELDS] for name, status in found} == {
            name: [getattr(status, field) for field in FIELDS] for name, status in defined
        }
        assert len(found) == len(defined)
        assert all(name in found and name in defined for name, _ in found)
        assert "absent" not in found
        assert "absent" not in defined


def test_times_before_1970_are_those_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"")
    os.utime(tmp_path / "old", ns=(0, -1_500_000_001))
    ((name, status),) = listed(tmp_path)
    assert (name, status.st_mtime_ns) == ("old", os.lstat(tmp_path / "old").st_mtime_ns)


def test_many_names_of_all_lengths_are_listed(tmp_path: Path) -> None:
    names = {"n" * length for length in range(1, 256)} | {f"{number}" for number in range(500)}
    for name in names:
        (tmp_path / name).touch()
    assert {name for name, _ in listed(tmp_path)} == names


@pytest.mark.parametrize("lister", LISTERS)
def test_what_is_no_folder_is_not_listed(tmp_path: Path, lister: Callable[[list[bytes]], list[Listing | None]]) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    file, absent, folder = lister([os.fsencode(tmp_path / name) for name in ("file", "absent", "folder")])
    assert file is None
    assert absent is None
    assert folder is not None
    assert len(folder) == 0


@given(
    listed=st.lists(st.tuples(NAMES, statuses), max_size=5), earlier=st.lists(st.lists(entries, max_size=4), max_size=3)
)
def test_both_twins_find_the_same(listed: list[tuple[str, Any]], earlier: list[list[DirectoryEntry]]) -> None:
    snapshots = [by_name(each) for each in earlier]
    assert sift(listed, snapshots) == python_sift(listed, snapshots)
    assert sift(PythonListing(listed), snapshots) == python_sift(PythonListing(listed), snapshots)


def test_what_was_listed_natively_is_sorted_out_as_its_list_is(tmp_path: Path) -> None:
    everything(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    listing = listed(tmp_path)
    found = [(name, status) for name, status in listing]
    names = [[name for name, _ in place] for place in python_sift(found, [])[:4]]
    assert [[name for name, _ in place] for place in sift(listing, [])[:4]] == names
    assert [[name for name, _ in place] for place in sift(found, [])[:4]] == names
    assert all(names)


@pytest.mark.parametrize("field", ["mtime_ns", "size", "mode", "uid", "gid", "type"])
@pytest.mark.parametrize("twin", [sift, python_sift])
def test_a_file_of_which_anything_else_is_told_is_not_as_it_was(
    tmp_path: Path, twin: Callable[..., Sifted], field: str
) -> None:
    (tmp_path / "file").write_bytes(b"text")
    listing = listed(tmp_path)
    ((_, status),) = listing
    entry = DirectoryEntry(
        name="file",
        type=FILE,
        mode=status.st_mode & 0o7777,
        size=4,
        mtime_ns=status.st_mtime_ns,
        uid=status.st_uid,
        gid=status.st_gid,
        object_id=ObjectID("00"),
    )
    values = {name: getattr(entry, name) for name in entry.__struct_fields__}
    other = DirectoryEntry(**{**values, field: SYMLINK if field == "type" else values[field] + 1})

    def outcome(*earlier: DirectoryEntry) -> tuple[list[str], Sequence[object]]:
        _, files, _, _, taken = twin(listing, [{"file": each} for each in earlier])
        return [name for name, _ in files], taken

    assert outcome(entry) == ([], [entry])
    assert outcome(other, entry) == ([], [entry])
    assert outcome(other) == (["file"], [])
    assert outcome() == (["file"], [])
