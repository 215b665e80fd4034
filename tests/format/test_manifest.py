"""Manifest contents against the vectors of real Kopia, and as properties."""

import contextlib
import gzip
import hashlib
import itertools
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedManifestError, UsageError
from pykopia.format.gojson import ZERO_TIME_NS, dumps, format_time, parse_time
from pykopia.format.manifest import (
    ManifestEntry,
    decode_content,
    encode_content,
    find,
    latest,
    latest_by_label,
    merge,
    plan_compaction,
    plan_replacement,
    tombstone,
)
from pykopia.ids import ContentID, ManifestID

VECTOR_FILES = Path(__file__).parents[1] / "vectors"
VECTORS: dict[str, Any] = json.loads((VECTOR_FILES / "manifests.json").read_text())
REAL: dict[str, Any] = json.loads((VECTOR_FILES / "real_snapshot_dump.json").read_text())

NOW = 1_700_000_000_000_000_000

manifest_ids = st.binary(min_size=16, max_size=16).map(lambda random: ManifestID(random.hex()))
labels = st.dictionaries(st.text(), st.text(), max_size=3).map(lambda extra: {**extra, "type": "t"})
data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(dumps)
int64 = st.integers(-(1 << 63), (1 << 63) - 1)
live_entries = st.builds(ManifestEntry, id=manifest_ids, labels=labels, modified_ns=int64, data=data)
tombstones = st.builds(ManifestEntry, id=manifest_ids, modified_ns=int64, deleted=st.just(value=True))
entry_lists = st.lists(live_entries | tombstones, min_size=1, max_size=5)


def entry(name: str, modified_ns: int = NOW, **labels: str) -> ManifestEntry:
    return ManifestEntry(id=ManifestID(name), labels={"type": "t", **labels}, modified_ns=modified_ns)


def content(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


# --- what Kopia wrote


@pytest.mark.parametrize(
    "case", [case for case in VECTORS["encode"] if "payload_json" in case], ids=lambda case: case["payload_json"]
)
def test_a_content_is_what_kopia_writes(case: dict[str, Any]) -> None:
    written = ManifestEntry(
        id=case["id"],
        labels=dict(reversed(case["labels"].items())),
        modified_ns=parse_time(case["time"]),
        data=case["payload_json"].encode(),
    )
    encoded = encode_content([written])
    assert gzip.decompress(encoded).decode() == case["content_json"]
    assert decode_content(encoded) == [written]
    assert written.type == case["labels"]["type"]


@pytest.mark.parametrize(
    "case", [case for case in VECTORS["encode"] if "contents" in case], ids=lambda case: case["what"]
)
def test_tombstones_are_what_kopia_writes(case: dict[str, Any]) -> None:
    decoded = [decode_content(content(text)) for text in case["contents"]]
    last = decoded[-1][0]
    assert last.deleted
    assert tombstone(entry(case["id"], 0), now_ns=last.modified_ns) == ManifestEntry(
        id=case["id"], modified_ns=last.modified_ns, deleted=True
    )
    for text, entries in zip(case["contents"], decoded, strict=True):
        assert gzip.decompress(encode_content(entries)).decode() == text
    assert case["id"] not in merge(decoded)


def test_a_manifest_without_a_type_is_refused_as_kopia_refuses_it() -> None:
    (case,) = [case for case in VECTORS["encode"] if case.get("what") == "put without a type label"]
    assert not case["ok"]
    for wrong in ({}, {"type": ""}, {"Type": "t"}):
        with pytest.raises(UsageError, match="'a1' can't be written: it has no label 'type'"):
            encode_content([ManifestEntry(id=ManifestID("a1"), labels=wrong, modified_ns=NOW)])


# --- what Kopia read


@pytest.mark.parametrize("case", VECTORS["merge"], ids=lambda case: case["name"])
def test_contents_are_merged_and_searched_as_kopia_does(case: dict[str, Any]) -> None:
    for order in itertools.permutations(case["contents"]):
        for query in case["find"]:
            if not query["ok"]:
                with pytest.raises(DamagedManifestError):
                    merge(decode_content(content(text)) for text in order)
                continue
            manifests = merge(decode_content(content(text)) for text in order)
            found = [
                {
                    "id": found.id,
                    "labels": found.labels,
                    "length": len(found.data),
                    "mtime": format_time(found.modified_ns),
                    "data": found.data.decode(),
                }
                for found in find(manifests.values(), query["labels"])
            ]
            assert found == (query["result"] or [])


@pytest.mark.parametrize("case", VECTORS["decode_tolerance"], ids=lambda case: case["name"])
def test_what_stops_kopia_is_damage(case: dict[str, Any]) -> None:
    stored = content(case["content_json"])
    if not case["ok"]:
        with pytest.raises(DamagedManifestError, match="a manifest content can't be read"):
            decode_content(stored)
        return
    assert len(merge([decode_content(stored)])) == case["count"]


@pytest.mark.parametrize("case", VECTORS["pick_latest"], ids=lambda case: ",".join(e["id"] for e in case["in_order"]))
def test_the_latest_is_what_kopia_picks_of_a_search(case: dict[str, Any]) -> None:
    candidates = [
        ManifestEntry(id=given["id"], labels=given["labels"], modified_ns=parse_time(given["mtime"]))
        for given in case["in_order"]
    ]
    in_order = find(candidates, {})
    picked = latest(candidates)
    grouped = latest_by_label(candidates, "username")
    assert picked == (in_order[-1] if in_order else None)
    assert latest(grouped) == picked
    times = [candidate.modified_ns for candidate in candidates]
    if times == sorted(times):  # Kopia's rule is right for what a search returns, and order dependent otherwise
        assert (picked.id if picked else "") == case["pick_latest"]
        assert [kept.id for kept in grouped] == (case["dedupe_by_username"] or [])


def test_the_manifests_of_a_real_repository_are_what_kopia_lists() -> None:
    contents = {
        name: decode_content(content(json.dumps(text, ensure_ascii=False)))
        for name, text in REAL["manifest_contents"].items()
    }
    listed = [
        {
            "id": found.id,
            "length": len(dumps(json.loads(found.data))),
            "labels": found.labels,
            "mtime": format_time(found.modified_ns),
        }
        for found in find(merge(contents.values()).values(), {})
    ]
    assert listed == REAL["manifest_list"]


# --- round trips and damage


@given(entry_lists)
def test_entries_survive_being_written_and_read(entries: list[ManifestEntry]) -> None:
    encoded = encode_content(entries)
    assert decode_content(encoded) == decode_content(memoryview(encoded)) == entries
    assert decode_content(encoded, tolerant=True) == entries
    assert encoded == encode_content(entries)
    text = json.loads(gzip.decompress(encoded))
    assert set(text) == {"entries"}
    assert len(text["entries"]) == len(entries)


def test_labels_that_are_not_utf8_are_found_again() -> None:
    path = "/x\udcff"
    stored = decode_content(encode_content([entry("a1", path=path)]))
    assert stored[0].labels["path"] == "/x\ufffd"
    assert find(stored, {"path": path}) == stored


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (ManifestEntry(id=ManifestID(""), labels={"type": "t"}, modified_ns=NOW), "it has no ID"),
        (ManifestEntry(id=ManifestID("a"), labels={"type": 1}, modified_ns=NOW), "is not text"),  # type: ignore[dict-item]
        (ManifestEntry(id=ManifestID("a"), labels={None: "t"}, modified_ns=NOW), "is not text"),  # type: ignore[dict-item]
        (entry("a", 1 << 63), "does not fit into 64 bits"),
        (entry("a", ZERO_TIME_NS), "does not fit into 64 bits"),
        (ManifestEntry(id=ManifestID("a"), labels={"type": "t"}, modified_ns=NOW, data=b"{"), "not JSON"),
        (ManifestEntry(id=ManifestID("a"), labels={"type": "t"}, modified_ns=NOW, data=b'1}],"x":[{"y":1'), "not JSON"),
    ],
)
def test_entries_that_would_break_the_repository_are_never_written(wrong: ManifestEntry, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        encode_content([entry("ok"), wrong])


def test_an_empty_content_is_never_written() -> None:
    with pytest.raises(UsageError, match="there is no entry"):
        encode_content([])


def test_odd_entries_that_were_read_are_kept_when_contents_are_put_together() -> None:
    text = (
        '{"entries":[{"id":"a1"},{"id":"a2","labels":{"k":"v"},"modified":"0001-01-01T00:00:00Z","data":{ "v" :  1 }}]}'
    )
    entries = decode_content(content(text))
    assert [(read.modified_ns, read.type, read.data) for read in entries] == [
        (ZERO_TIME_NS, "", b""),
        (ZERO_TIME_NS, "", b'{ "v" :  1 }'),
    ]
    assert gzip.decompress(encode_content(entries, rewriting=True)).decode() == (
        '{"entries":[{"id":"a1","labels":null,"modified":"0001-01-01T00:00:00Z","data":null},'
        '{"id":"a2","labels":{"k":"v"},"modified":"0001-01-01T00:00:00Z","data":{"v":1}}]}\n'
    )


def test_raw_data_keeps_its_bytes_whatever_road_it_is_read_by() -> None:
    raw = b'{"n":1.50,"\xff":"\\u003c","entries":"entries"}'
    text = b'{"%s":[{"id":"a1","labels":{"type":"t"},"modified":"2024-01-01T00:00:00Z","data":%s}]}'
    for key in (b"entries", b"ENTRIES"):
        assert decode_content(gzip.compress(text % (key, raw)))[0].data == raw


def test_what_can_be_saved_of_a_damaged_content_is_read_on_request() -> None:
    text = '{"version":1,"entries":[{"id":"a1"},{"id":"a2","modified":"no"},null,{"id":"a3"}],"entries":[{"id":"a4"}]}'
    with pytest.raises(DamagedManifestError):
        decode_content(content(text))
    assert [read.id for read in decode_content(content(text), tolerant=True)] == ["a1", "a3", "a4"]


@pytest.mark.parametrize(
    "text",
    [
        '{"entries":[null]}',
        '{"entries":[{"id":1}]}',
        '{"entries":[{"deleted":"yes"}]}',
        '{"x":"entries","entries":[]}',
        '{"entries":[],"entries":[]}',
        '{"entries":[]',
        '{"entries":[{"id":"a1","labels":[]}]}',
    ],
)
def test_contents_of_other_shapes_are_damage(text: str) -> None:
    with pytest.raises(DamagedManifestError):
        decode_content(content(text))


@given(entry_lists, st.data())
def test_damaged_contents_raise_damage_or_are_read(entries: list[ManifestEntry], draw: st.DataObject) -> None:
    text = bytearray(gzip.decompress(encode_content(entries)))
    text[draw.draw(st.integers(0, len(text) - 1))] ^= draw.draw(st.integers(1, 255))
    encoded = bytearray(encode_content(entries))
    encoded[draw.draw(st.integers(0, len(encoded) - 1))] ^= draw.draw(st.integers(1, 255))
    for damaged in (gzip.compress(text), encoded, encoded[: draw.draw(st.integers(0, len(encoded) - 1))]):
        for tolerant in (False, True):
            with contextlib.suppress(DamagedManifestError):
                decode_content(damaged, tolerant=tolerant)


@given(st.binary())
def test_garbage_is_damage(garbage: bytes) -> None:
    for stored in (garbage, gzip.compress(garbage)):
        with pytest.raises(DamagedManifestError):
            decode_content(stored)


# --- decisions


@given(st.lists(entry_lists, max_size=3))
def test_the_order_of_contents_does_not_change_what_they_hold(contents: list[list[ManifestEntry]]) -> None:
    assert merge(contents) == merge(list(reversed(entries)) for entries in reversed(contents))


def test_a_tombstone_of_the_same_instant_counts() -> None:
    gone = ManifestEntry(id=ManifestID("a1"), modified_ns=NOW, deleted=True)
    assert merge([[entry("a1")], [gone]]) == merge([[gone, entry("a1")]]) == {}


def test_a_tombstone_works_even_when_the_entry_comes_from_the_future() -> None:
    ahead = entry("a1", NOW + 3_600_000_000_000)
    gone = tombstone(ahead, now_ns=NOW)
    assert gone.modified_ns == ahead.modified_ns + 1
    assert merge([[ahead], [gone]]) == {}
    assert tombstone(entry("a1", 5), now_ns=NOW).modified_ns == NOW


def test_a_replacement_is_later_than_all_it_replaces() -> None:
    entries = [entry("a1", 5, k="v"), entry("a2", NOW + 10, k="v"), entry("a3", 7)]
    plan = plan_replacement(entries, {"type": "t", "k": "v"}, now_ns=NOW)
    assert [(gone.id, gone.modified_ns, gone.deleted) for gone in plan.tombstones] == [
        ("a1", NOW, True),
        ("a2", NOW + 11, True),
    ]
    assert plan.modified_ns == NOW + 11
    assert list(merge([entries, plan.tombstones])) == ["a3"]
    assert plan_replacement([], {"type": "t"}, now_ns=NOW).modified_ns == NOW


@pytest.mark.parametrize(
    "case",
    [case for case in VECTORS["compaction"] if "contents_before" in case and not case["read_only"]],
    ids=lambda case: str(case["contents_before"]),
)
def test_contents_are_compacted_when_kopia_compacts_them(case: dict[str, Any]) -> None:
    count = case["contents_before"]
    contents = {ContentID(f"m{number:02}"): [entry(f"e{number}")] for number in range(count)}
    if count > 1:
        contents[ContentID("m01")] = [tombstone(entry("e0"), now_ns=NOW)]
    assert len(merge(contents.values())) == case["visible"]
    plan = plan_compaction(contents)
    if not case["events"]:
        assert plan is None
        return
    assert plan is not None
    assert len(plan.entries) == case["compacted_entries"]
    assert sum(kept.deleted for kept in plan.entries) == case["compacted_tombstones"]
    assert f"delete x{len(plan.delete)}" in case["events"]
    assert merge([decode_content(encode_content(plan.entries, rewriting=True))]) == merge(contents.values())


def test_nothing_is_compacted_where_a_repository_is_only_read() -> None:
    """The caller decides that: Kopia's vectors of read-only clients show that nothing changes."""
    for case in VECTORS["compaction"]:
        if case.get("read_only"):
            assert case["contents_after_load"] == case["contents_before"]


def test_an_explicit_compaction_leaves_none_or_one_content_alone() -> None:
    assert VECTORS["compaction"][-1]["contents"] == 0
    assert plan_compaction({}, threshold=0) is None
    assert plan_compaction({ContentID("m01"): [entry("a")]}, threshold=2) is None
    gone = {ContentID("m01"): [entry("a")], ContentID("m02"): [tombstone(entry("a"), now_ns=NOW)]}
    plan = plan_compaction(gone, threshold=2)
    assert plan is not None
    assert (plan.entries, plan.delete) == ((), ("m01", "m02"))


def test_a_content_that_expands_without_end_is_refused_after_a_bounded_amount() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(b'{"entries":[]') + b"".join(packer.compress(b" " * (1 << 20)) for _ in range(80))
    packed += packer.compress(b"}") + packer.flush()
    with pytest.raises(DamagedManifestError, match="more than"):
        decode_content(packed)


def test_a_content_of_many_alike_manifests_is_within_the_limit() -> None:
    entries = [
        ManifestEntry(
            id=ManifestID(hashlib.md5(b"%d" % n).hexdigest()),
            labels={"type": "snapshot"},
            modified_ns=n,
            data=b'{"a":"%s"}' % (b"x" * 1200),
        )
        for n in range(40_000)
    ]
    assert len(decode_content(encode_content(entries))) == len(entries)


def test_deeply_nested_data_stays_readable_and_is_kept_when_contents_are_put_together() -> None:
    deep = b'{"a":' * 600 + b"1" + b"}" * 600
    text = b'{"entries":[{"id":"ab","labels":{"type":"policy"},"modified":"2024-01-01T00:00:00Z","data":%s}]}' % deep
    for data in (text, text.replace(b'"labels"', b'"Labels"'), text.replace(b'"data":{', b'"data":{"entries":1,', 1)):
        entries = decode_content(gzip.compress(data))
        assert entries[0].data.endswith(deep[5:])
    assert decode_content(encode_content(entries, rewriting=True)) == entries
