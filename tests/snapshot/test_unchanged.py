"""What is as it was: the native twin against the definition."""

import os
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.format.directory import FILE, SYMLINK, DirectoryEntry
from pykopia.format.gotime import EARLIEST_NS, LATEST_NS
from pykopia.ids import ObjectID
from pykopia.snapshot.previous_entries import python_unchanged, unchanged
from pykopia.snapshot.small_files import list_folder

NAMES = st.sampled_from(["a", "b", "c\udcff", "d"])
TIMES = st.sampled_from([EARLIEST_NS - 1, EARLIEST_NS, -1, 0, 1_700_000_000_000_000_001, LATEST_NS, LATEST_NS + 1])
NUMBERS = st.sampled_from([0, 1, (1 << 32) - 1])
SIZES = st.sampled_from([0, 1, 1 << 40])
MODES = st.sampled_from([0o644, 0o4755, 0o100644, 0o104755])

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


@given(listed=st.lists(st.tuples(NAMES, statuses), max_size=4), earlier=st.lists(entries, max_size=4))
def test_both_twins_find_the_same(listed: list[tuple[str, Any]], earlier: list[DirectoryEntry]) -> None:
    by_name = {entry.name: entry for entry in earlier}
    assert unchanged(listed, by_name, FILE) == python_unchanged(listed, by_name, FILE)


@pytest.mark.parametrize("field", ["mtime_ns", "size", "mode", "uid", "gid", "type"])
def test_a_file_of_which_anything_else_is_told_is_not_as_it_was(tmp_path: os.PathLike[str], field: str) -> None:
    with open(os.path.join(tmp_path, "file"), "wb") as file:
        file.write(b"text")
    listed = list_folder(os.fsencode(tmp_path))
    assert listed
    ((_, status),) = listed
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
    for twin in (unchanged, python_unchanged):
        assert twin(listed, {"file": entry}, FILE) == [entry]
        assert twin(listed, {"file": other}, FILE) == [None]
        assert twin(listed, {}, FILE) == [None]
