"""Merging of index files against the vectors of real Kopia, and against a plain definition."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import UnsupportedFormatError, UsageError
from pykopia.format.content_id import id_of, key_of
from pykopia.format.index import IndexEntry, IndexFile, build_index, shard_entries
from pykopia.format.index_merge import MergedIndex, PythonMergedTable, merge_index_files, wins
from tests.format.index_support import entries, entry_of, load, using

CASES = load("index_merge.json")
DEFINED = [case for case in CASES["cases"] if "NOT defined" not in case["name"]]

file_contents = st.lists(entries(2), max_size=8, min_size=1, unique_by=lambda e: e.content_id)
"""What one file holds."""


@pytest.fixture(autouse=True, scope="module", params=["native", "python"])
def twin(request: pytest.FixtureRequest) -> Iterator[None]:
    with using(request.param):
        yield


def with_ids(case: list[dict[str, Any]]) -> list[IndexEntry]:
    return [entry_of(e) for e in case]


def files_of(groups: list[list[IndexEntry]], version: int = 2) -> list[IndexFile]:
    return [IndexFile(build_index(group, version=version)) for group in groups]


@pytest.mark.parametrize("case", DEFINED, ids=lambda case: case["name"])
@pytest.mark.parametrize("version", [1, 2])
def test_merging_agrees_with_kopia(case: dict[str, Any], version: int) -> None:
    files = files_of([with_ids(group) for group in case["indexes"]], version)
    expected = [list(IndexFile(build_index(with_ids(case[part]), version=version)).entries()) for part in PARTS]
    for ordered in (files, files[::-1]):
        merged = MergedIndex(ordered)
        assert list(merged.entries(include_deleted=True)) == expected[0]
        assert merged.find_many(key_of(e.content_id) for e in expected[0]) == expected[0]
        (compacted,) = merge_index_files(ordered, version=version)
        assert [list(IndexFile(compacted).entries())] * 2 == expected[1:]


PARTS = ["merged", "builderResult", "oneUseBuilderResult"]


@pytest.mark.parametrize("case", CASES["watermarkRule"], ids=str)
def test_the_watermark_hides_deleted_entries_up_to_its_time(case: dict[str, Any]) -> None:
    fields = {"contentID": "00", "packFile": "p1", "time": case["time"], "deleted": case["deleted"]}
    merged = MergedIndex(files_of([[entry_of(fields)]]), watermark=case["watermark"])
    assert merged.contains(b"\0\0") is not case["ignored"]
    assert bool(list(merged.entries(include_deleted=True))) is not case["ignored"]
    assert merged.winner(b"\0\0") == entry_of(fields)


def test_a_hidden_deletion_does_not_bring_an_older_live_entry_back() -> None:
    live = entry_of({"contentID": "00", "packFile": "p1", "time": 100, "deleted": False})
    deleted = entry_of({"contentID": "00", "packFile": "p1", "time": 200, "deleted": True})
    merged = MergedIndex(files_of([[live], [deleted]]), watermark=200)
    assert merged.find(b"\0\0") is None
    assert list(merged.entries()) == []
    (compacted,) = merge_index_files(merged.files, version=2)
    assert list(IndexFile(compacted).entries()) == [deleted]


def definition(groups: list[list[IndexEntry]]) -> list[IndexEntry]:
    """Merge by a dict: what the merging code must equal."""
    best: dict[str, IndexEntry] = {}
    for group in groups:
        for entry in group:
            if entry.content_id not in best or wins(entry, best[entry.content_id]):
                best[entry.content_id] = entry
    return [best[content_id] for content_id in sorted(best)]


def no_ties(groups: list[list[IndexEntry]]) -> list[list[IndexEntry]]:
    """Leave out entries that equal an earlier one in all that the rule looks at: those have no right answer."""
    seen = set()
    result = []
    for group in groups:
        kept = []
        for e in group:
            rank = (e.content_id, e.timestamp, e.deleted, e.pack_blob)
            if rank not in seen:
                seen.add(rank)
                kept.append(e)
        if kept:
            result.append(kept)
    return result


@given(st.lists(file_contents, max_size=5).map(no_ties), st.none() | st.integers(100, 103), st.integers(1, 40))
def test_look_up_iteration_and_compaction_agree(
    groups: list[list[IndexEntry]], watermark: int | None, max_entries: int
) -> None:
    expected = definition(groups)
    merged = MergedIndex(files_of(groups), watermark=watermark)
    visible = [e for e in expected if watermark is None or not e.deleted or e.timestamp > watermark]
    assert list(merged.entries(include_deleted=True)) == visible
    assert list(merged.entries()) == [e for e in expected if not e.deleted]
    assert list(merged.entries("k", "k{")) == [e for e in expected if not e.deleted and e.content_id[0] == "k"]
    keys = [key_of(e.content_id) for e in expected]
    assert [merged.winner(key) for key in keys] == expected
    assert [e for e in merged.find_many(keys) if e] == visible
    assert [merged.contains(key) for key in keys] == [e in visible for e in expected]
    assert [merged.is_live(key) for key in keys] == [not e.deleted for e in expected]
    texts = [id_of(key) for key in keys]
    one = texts[0] if texts else "00" * 16
    odd = ["", "g", "0", f"I{one}", f"Z{one}", f"{one}g", "é" * 32, "0" * 200]
    missing = [number for number, e in enumerate(expected) if e.deleted]
    assert merged.without_live([*texts, *odd]) == [*missing, *range(len(texts), len(texts) + len(odd))]
    assert PythonMergedTable(merged.files, merged.watermark).without_live([*texts, *odd]) == merged.without_live(
        [*texts, *odd]
    )
    assert merged.find(b"\0" * 17) is None or b"\0" * 17 in keys
    assert merged.approximate_count == sum(map(len, groups))
    compacted = merge_index_files(merged.files, version=2, max_entries=max_entries)
    assert compacted == [build_index(s, version=2) for s in shard_entries(expected, max_entries=max_entries)]


@given(st.lists(file_contents, max_size=5).map(no_ties), st.data())
def test_dropping_happens_after_the_merge(groups: list[list[IndexEntry]], data: st.DataObject) -> None:
    expected = definition(groups)
    drop = [key_of(e.content_id) for e in expected if data.draw(st.booleans())]
    before = data.draw(st.none() | st.integers(100, 104))
    kept = [
        e
        for e in expected
        if key_of(e.content_id) not in drop and not (before is not None and e.deleted and e.timestamp < before)
    ]
    compacted = merge_index_files(files_of(groups), version=2, drop=drop, drop_deleted_before=before)
    assert [e for data in compacted for e in IndexFile(data).entries()] == kept


def test_files_of_both_versions_merge_into_one() -> None:
    case = load("index_v1.json")[0]
    old = with_ids(case["entries"])
    new = with_ids(load("index_v2.json")[0]["entries"])
    files = files_of([old], 1) + files_of([new], 2)
    (compacted,) = merge_index_files(files, version=2)
    assert list(IndexFile(compacted).entries()) == definition([old, new])


def test_an_unknown_version_is_refused() -> None:
    files = files_of([with_ids(load("index_v1.json")[0]["entries"])], 1)
    with pytest.raises(UnsupportedFormatError):
        merge_index_files(files, version=3)


def test_an_impossible_limit_is_refused() -> None:
    with pytest.raises(UsageError):
        merge_index_files([], version=2, max_entries=0)


def test_nothing_merges_into_no_file() -> None:
    assert merge_index_files([], version=2) == []
    assert merge_index_files(files_of([[]], 1), version=1) == []
    assert list(MergedIndex([]).entries()) == []
    assert repr(MergedIndex([])) == "<MergedIndex of 0 files, watermark None>"
