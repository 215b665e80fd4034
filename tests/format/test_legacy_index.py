"""The index manager of format version 1 against the life cycle of a repository of real Kopia."""

from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedIndexError
from pykopia.format.blob import BlobMetadata
from pykopia.format.encryption import Encryptor
from pykopia.format.gojson import ZERO_TIME_NS, dumps, parse_time
from pykopia.format.hashing import hash_function
from pykopia.format.index import IndexFile
from pykopia.format.index_merge import merge_index_files
from pykopia.format.legacy_index import (
    MAX_SMALL_BLOBS,
    CleanupLog,
    CompactionLog,
    active_blobs,
    choose_compaction,
    plan_cleanup,
    plan_log_cleanup,
)
from pykopia.format.whole_blob import Sealer
from pykopia.ids import BlobID
from tests.format.index_support import load

VECTORS = load("index_v0.json")
STEPS: list[dict[str, Any]] = VECTORS["lifecycle"]
LAST_DROPS = "drop deleted entries"


def a_blob(blob_id: str, length: int = 100, timestamp_ns: int = 0) -> BlobMetadata:
    return BlobMetadata(blob_id=BlobID(blob_id), length=length, timestamp_ns=timestamp_ns)


@lru_cache
def opened() -> dict[str, bytes]:
    """Return what every blob of the life cycle holds."""
    form = VECTORS["format"]
    sealer = Sealer(
        hash_function(form["hash"], bytes.fromhex(form["hmacSecretHex"])),
        Encryptor(form["encryption"], bytes.fromhex(form["masterKeyHex"])),
    )
    return {
        blob_id: sealer.open(blob_id, bytes.fromhex(stored))
        for step in STEPS
        for blob_id, stored in step["newBlobsHex"].items()
    }


def present(step: dict[str, Any], prefix: str) -> list[BlobMetadata]:
    return [
        a_blob(b["id"], b["length"], parse_time(b["timestamp"]))
        for b in step["blobsAfter"]
        if b["id"].startswith(prefix)
    ]


def names(blobs: list[BlobMetadata]) -> list[BlobID]:
    return [b.blob_id for b in blobs]


def logs_of(blobs: list[BlobMetadata]) -> dict[BlobMetadata, CompactionLog]:
    return {b: CompactionLog.from_json(opened()[b.blob_id]) for b in blobs}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["name"])
def test_the_active_set_is_kopias_at_every_step(step: dict[str, Any]) -> None:
    active = active_blobs(names(present(step, "n")), logs_of(present(step, "m")).values())
    assert sorted(active) == sorted(step["activeIndexBlobs"])


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["name"])
def test_logs_are_written_as_kopia_writes_them(step: dict[str, Any]) -> None:
    for blob_id, text in step["decryptedJSON"].items():
        kind = CompactionLog if blob_id[0] == "m" else CleanupLog
        assert opened()[blob_id].decode() == text
        assert kind.from_json(text.encode()).to_json() == text.encode()


@pytest.mark.parametrize(("before", "after"), list(pairwise(STEPS)), ids=lambda step: step["name"])
def test_a_compaction_with_all_that_follows_is_kopias(before: dict[str, Any], after: dict[str, Any]) -> None:
    new = set(after["newBlobsHex"])
    earlier = {b.blob_id: b for b in present(before, "") + present(after, "")}
    (new_log,) = [b for b in present(after, "m") if b.blob_id in new]
    log = CompactionLog.from_json(opened()[new_log.blob_id])
    drops = after["name"].startswith(LAST_DROPS)

    # what is compacted: everything active before the outputs were there
    outputs = {b.blob_id for b in log.outputs}
    candidates = [b for b in earlier.values() if b.blob_id.startswith("n") and b.blob_id not in outputs]
    old_logs = logs_of(present(before, "m"))
    active = active_blobs(names(candidates), old_logs.values())
    chosen = choose_compaction(
        [earlier[name] for name in active],
        max_pack_size=VECTORS["format"]["maxPackSize"],
        max_small_blobs=1 if drops else MAX_SMALL_BLOBS,
        all_indexes=drops,
    )
    assert set(names(chosen)) == {b.blob_id for b in log.inputs}

    # the result
    files = [IndexFile(opened()[b.blob_id]) for b in log.inputs]
    merged = merge_index_files(
        files,
        version=VECTORS["format"]["indexVersion"],
        drop_deleted_before=parse_time(after["now"]) // 10**9 if drops else None,
    )
    assert merged == [opened()[b.blob_id][:-32] for b in log.outputs]

    # the cleanup
    n_blobs = names([b for b in earlier.values() if b.blob_id.startswith("n")])
    cleanup = plan_cleanup(n_blobs, {**old_logs, new_log: log}, compacted_ns=new_log.timestamp_ns)
    still_there = set(names(present(after, "n")))
    assert {name for name in n_blobs if name not in still_there} == set(cleanup.inputs) & set(n_blobs)
    new_cleanup_logs = [b for b in present(after, "l") if b.blob_id in new]
    expected = [CleanupLog.from_json(opened()[b.blob_id]) for b in new_cleanup_logs]
    assert ([cleanup.log] if cleanup.log else []) == expected

    listed = list({b.blob_id: b for b in present(before, "l") + new_cleanup_logs}.values())
    log_cleanup = plan_log_cleanup(listed, {b.blob_id: CleanupLog.from_json(opened()[b.blob_id]) for b in listed})
    gone = {b["id"] for b in before["blobsAfter"]} - {b["id"] for b in after["blobsAfter"]}
    assert {name for name in gone if name.startswith("m")} == set(log_cleanup.compaction_logs)
    assert {name for name in gone if name.startswith("l")} == set(log_cleanup.cleanup_logs)


@pytest.mark.parametrize("case", VECTORS["blobsToCompact"], ids=lambda case: case["name"])
def test_the_choice_of_blobs_is_kopias(case: dict[str, Any]) -> None:
    blobs = [a_blob(f"n{i}", length) for i, length in enumerate(case["lengths"])]
    chosen = choose_compaction(
        blobs,
        max_pack_size=case["maxPackSize"],
        max_small_blobs=case["maxSmallBlobs"],
        all_indexes=case["allIndexes"],
    )
    assert [blobs.index(b) for b in chosen] == (case["pickedPositions"] or [])


@pytest.mark.parametrize("case", load("index_v0_active.json"), ids=lambda case: case["name"])
def test_compaction_logs_take_their_inputs_away(case: dict[str, Any]) -> None:
    logs = [CompactionLog.from_json(dumps(log)) for log in case["mBlobs"] or []]
    assert active_blobs(case["nBlobs"], logs) == case["active"]
    assert [dumps(log) for log in case["mBlobs"] or []] == [log.to_json() for log in logs]


def test_safety_none_deletes_at_once() -> None:
    log = CompactionLog(inputs=(a_blob("n1"),), outputs=(a_blob("n2"),))
    cleanup = plan_cleanup([BlobID("n2")], {a_blob("m1", timestamp_ns=5): log}, compacted_ns=5, settle_time_ns=0)
    assert cleanup.inputs == ("n1",)
    assert cleanup.log == CleanupLog(logs=(BlobID("m1"),), scheduled_ns=5)
    listed = [a_blob("l1", timestamp_ns=5)]
    logs = plan_log_cleanup(listed, {BlobID("l1"): cleanup.log}, settle_time_ns=0)
    assert (logs.compaction_logs, logs.cleanup_logs) == (("m1",), ("l1",))


def test_inputs_stay_when_their_outputs_are_lost() -> None:
    lost = CompactionLog(inputs=(a_blob("n1"),), outputs=(a_blob("n2"),))
    compacted = CompactionLog(inputs=(a_blob("n3"),), outputs=(a_blob("n4"),))
    logs = {a_blob("m1"): lost, a_blob("m2"): compacted}
    cleanup = plan_cleanup([BlobID("n1"), BlobID("n4")], logs, compacted_ns=9, settle_time_ns=0)
    assert cleanup.inputs == ("n3",)
    assert cleanup.log is not None
    assert cleanup.log.logs == ("m2",)


def test_inputs_of_older_compactions_are_deleted_first() -> None:
    older = CompactionLog(inputs=(a_blob("n1"),), outputs=(a_blob("n2"),))
    newer = CompactionLog(inputs=(a_blob("n2"),), outputs=(a_blob("n3"),))
    logs = {a_blob("m1", timestamp_ns=2): newer, a_blob("m2", timestamp_ns=1): older}
    cleanup = plan_cleanup([BlobID("n3")], logs, compacted_ns=9, settle_time_ns=0)
    assert cleanup.inputs == ("n1", "n2")


def test_nothing_is_due_without_logs() -> None:
    assert plan_cleanup([], {}, compacted_ns=0).log is None
    assert plan_log_cleanup([], {}).cleanup_logs == ()


def test_missing_members_are_zero() -> None:
    assert CompactionLog.from_json(b"{}") == CompactionLog(inputs=(), outputs=())
    assert CleanupLog.from_json(b'{"blobIDs":null}') == CleanupLog(logs=(), scheduled_ns=ZERO_TIME_NS)


WRONG = ["", "null", "[]", "7", '{"inputMetadata":{}}', '{"inputMetadata":[7]}', '{"inputMetadata":[{}]}']
WRONG += ['{"inputMetadata":[{"id":"n1","length":"x"}]}', '{"inputMetadata":[{"id":"n1","timestamp":"x"}]}']
WRONG += ['{"inputMetadata":[{"id":"n1","timestamp":7}]}', '{"blobIDs":[7]}', '{"blobIDs":"m"}', "{", "\xff"]
WRONG += ['{"cleanupScheduleTime":5}']


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_log_is_refused(text: str) -> None:
    kind = CompactionLog if "Metadata" in text else CleanupLog
    with pytest.raises(DamagedIndexError):
        kind.from_json(text.encode("latin-1"))


@given(st.data())
def test_damaged_logs_are_refused_or_read(data: st.DataObject) -> None:
    text = bytearray(data.draw(st.sampled_from([v for k, v in opened().items() if k[0] in "ml"])))
    for _ in range(3):
        text[data.draw(st.integers(0, len(text) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for kind in (CompactionLog, CleanupLog):
        with suppress(DamagedIndexError):
            kind.from_json(bytes(text[: data.draw(st.integers(0, len(text)))]))
