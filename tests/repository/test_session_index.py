"""The entries of a write session: whatever was settled in whichever order, the newest of each content counts."""

import os
import threading
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.format.content_id import key_of
from pykopia.format.index import IndexEntry, IndexFile, build_index
from pykopia.format.index_build import build_indexes
from pykopia.format.index_merge import MergedIndex, merge_index_files
from pykopia.ids import BlobID, ContentID
from pykopia.repository import session_index
from pykopia.repository.session_index import SessionIndex
from tests.format.index_support import using


def add(index: SessionIndex, pack: list[IndexEntry]) -> None:
    for each in pack:
        index.add(key_of(each.content_id), each)


def settle(index: SessionIndex, pack: list[IndexEntry]) -> None:
    index.settle(build_index(pack, version=2), {key_of(each.content_id): each for each in pack})


CONTENTS = [ContentID(f"{prefix}{number:032x}") for prefix in ("", "k") for number in range(4)]


def entry(content_id: ContentID, second: int, pack: str, *, deleted: bool = False) -> IndexEntry:
    return IndexEntry(
        content_id=content_id,
        pack_blob=BlobID(pack),
        timestamp=second,
        original_length=72,
        packed_length=100,
        pack_offset=second,
        compression=0,
        deleted=deleted,
        format_version=1,
        encryption_key_id=0,
    )


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("twin", ["native", "python"])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "settle", "mark"]), st.integers(0, len(CONTENTS) - 1), st.booleans())
    )
)
def test_the_newest_entry_of_each_content_counts(twin: str, version: int, steps: list[tuple[str, int, bool]]) -> None:
    """``settle`` stores one of the packs that are open; ``mark`` goes into no pack."""
    with using(twin):
        index = SessionIndex(version, threading.Lock())
        newest: dict[ContentID, IndexEntry] = {}
        packs: list[dict[bytes, IndexEntry]] = [{}]
        for second, (step, what, flag) in enumerate(steps, 1000):
            if step == "settle":
                pack = packs.pop(what % len(packs))
                packs = packs or [{}]
                if pack:
                    index.settle(build_index(pack.values(), version=version, random_tail=os.urandom(32)), pack)
                continue
            added = entry(CONTENTS[what], second, f"p{second:032x}", deleted=flag)
            newest[added.content_id] = added
            index.add(key_of(added.content_id), added)
            if step == "add":
                if flag:
                    packs.append({})
                packs[-1][key_of(added.content_id)] = added
            for each in CONTENTS:
                assert index.get(key_of(each)) == newest.get(each)
        assert bool(index) is bool(newest)
        expected = MergedIndex([IndexFile(each) for each in build_indexes(list(newest.values()), version=version)])
        found = MergedIndex([IndexFile(each) for each in index.index_files()])
        assert list(found.entries(include_deleted=True)) == list(expected.entries(include_deleted=True))
        assert len(found.files) <= 1


def test_many_packs_are_few_files_and_no_objects() -> None:
    index = SessionIndex(2, threading.Lock())
    for number in range(300):
        pack = [entry(ContentID(f"{number * 20 + each:032x}"), 1000, f"p{number:032x}") for each in range(20)]
        add(index, pack)
        settle(index, pack)
    assert len(index.settled.files) < 10
    assert not index._recent
    (file,) = index.index_files()
    assert len(IndexFile(file)) == 6000


def test_what_does_not_fit_one_file_stays_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_index, "merge_index_files", partial(merge_index_files, max_entries=3))
    index = SessionIndex(2, threading.Lock())
    for number in range(4):
        pack = [entry(ContentID(f"{number * 2 + each:032x}"), 1000, f"p{number}") for each in range(2)]
        add(index, pack)
        settle(index, pack)
    assert sum(len(IndexFile(each)) for each in index.index_files()) == 8
    assert all(index.get(key_of(ContentID(f"{number:032x}"))) for number in range(8))


def test_every_content_is_found_while_packs_are_settled() -> None:
    index = SessionIndex(2, threading.Lock())
    packs = [
        [entry(ContentID(f"{number * 50 + each:032x}"), 1000, f"p{number}") for each in range(50)]
        for number in range(40)
    ]
    keys = [key_of(each.content_id) for pack in packs for each in pack]
    for pack in packs:
        add(index, pack)

    def settle_all(some: list[list[IndexEntry]]) -> None:
        for pack in some:
            settle(index, pack)

    settlers = [threading.Thread(target=settle_all, args=(packs[half::2],)) for half in (0, 1)]
    for settler in settlers:
        settler.start()
    while any(settler.is_alive() for settler in settlers):
        assert all(index.get(key) is not None for key in keys)
    for settler in settlers:
        settler.join()
    assert all(index.get(key) is not None for key in keys)
    assert not index._recent
