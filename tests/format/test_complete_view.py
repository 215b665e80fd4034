"""The proof before anything is destroyed, as a pure decision."""

import pytest

from pykopia.errors import UsageError
from pykopia.format.blob import BlobMetadata
from pykopia.format.complete_view import (
    FUTURE_TOLERANCE_NS,
    CompleteView,
    Kind,
    PackFacts,
    PackProof,
    SnapshotFacts,
    ViewFacts,
    examine,
)
from pykopia.format.epoch import EpochState
from pykopia.ids import BlobID

NOW = 1_767_225_600_000_000_000
SESSION = "s0001020304050607147"
PACK = BlobID(f"p{'0' * 32}-{SESSION}")
MARKER = BlobID(f"s{'1' * 32}-{SESSION}")


def blob(name: str) -> BlobMetadata:
    return BlobMetadata(blob_id=BlobID(name), length=100, timestamp_ns=NOW)


def facts_of(proof: PackProof | None, *others: str, dropped: int = 0) -> ViewFacts:
    return ViewFacts(
        packs=PackFacts(
            listed=tuple(map(blob, (PACK, *others))),
            named=frozenset(),
            proofs={} if proof is None else {PACK: proof},
            dropped={PACK: dropped},
        )
    )


def kinds(facts: ViewFacts) -> list[Kind]:
    found = examine(facts)
    return [] if isinstance(found, CompleteView) else [each.kind for each in found]


def test_a_view_is_made_by_examining_alone() -> None:
    assert isinstance(examine(ViewFacts()), CompleteView)
    with pytest.raises(UsageError, match="never by hand"):
        CompleteView(ViewFacts(), object())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["xe3", "xn3_a", "xs1_b", "xr0_0_c"], []),
        (["xn3_a"], [Kind.LATER_EPOCH]),
        (["xe2", "xn3_a"], [Kind.LATER_EPOCH]),
        (["xr0_6_a"], [Kind.PASSED_EPOCH]),
        (["xe6", "xr0_6_a"], [Kind.PASSED_EPOCH]),
        (["xe7", "xr0_6_a"], []),
        (["xe2", "xs4_a"], [Kind.PASSED_EPOCH]),
        (["xe2", "xs4_a", "xn5_b"], [Kind.LATER_EPOCH, Kind.PASSED_EPOCH]),
    ],
)
def test_index_blobs_of_epochs_that_no_marker_has_begun_are_a_contradiction(
    names: list[str], expected: list[Kind]
) -> None:
    assert kinds(ViewFacts(epochs=EpochState.from_blobs(map(blob, names)))) == expected


@pytest.mark.parametrize(
    ("names", "current"),
    [(["xe3"], 3), (["xr0_6_a"], 7), (["xe9", "xr0_6_a"], 9), (["xn3_a"], 3), (["xs4_a"], 6), (["xe5", "xs4_a"], 5)],
)
def test_the_current_epoch_is_behind_every_range_and_single(names: list[str], current: int) -> None:
    assert EpochState.from_blobs(map(blob, names)).current_epoch == current


def test_packs_without_any_index_are_a_contradiction() -> None:
    (found,) = examine(ViewFacts(has_index=False, a_pack=PACK))  # type: ignore[misc]
    assert (found.kind, found.names) == (Kind.NO_INDEX, (PACK,))
    assert "index recover --commit" in str(found)


def test_unknown_contents_of_a_session_that_ended_prove_that_the_index_is_lost() -> None:
    (found,) = examine(facts_of(PackProof(unknown=3)))  # type: ignore[misc]
    assert (found.kind, found.names, found.since_ns) == (Kind.UNLISTED_PACKS, (PACK,), NOW)
    assert "3 contents" in str(found)
    assert "2026-01-01T00:00:00Z" in str(found)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (facts_of(PackProof()), ""),
        (facts_of(PackProof(unknown=3), MARKER), ""),
        (facts_of(PackProof(unknown=3), dropped=3), ""),
        (facts_of(PackProof(unknown=3, manifests=1), MARKER), "may have come to its end"),
        (facts_of(PackProof(last_copies=1)), "other pack is not there"),
        (facts_of(PackProof(last_copies=1), dropped=3), "other pack is not there"),
        (facts_of(PackProof(dropped=1)), "may have dropped"),
        (facts_of(PackProof(error="cut off")), "cut off"),
        (facts_of(None), "not looked into"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pack_is_garbage_only_when_that_is_proven(facts: ViewFacts, reason: str) -> None:
    view = examine(facts)
    assert isinstance(view, CompleteView)
    assert reason in view.unproven().get(PACK, "")
    assert (PACK in view.unproven()) is bool(reason)


def test_snapshots_of_the_future_and_without_their_roots_are_contradictions() -> None:
    ahead = SnapshotFacts(newest="abc", newest_start_ns=NOW + FUTURE_TOLERANCE_NS + 1)
    assert kinds(ViewFacts(snapshots=ahead, now_ns=NOW)) == [Kind.FUTURE_SNAPSHOTS]
    assert kinds(ViewFacts(snapshots=ahead, now_ns=NOW + 1)) == []
    assert kinds(ViewFacts(snapshots=SnapshotFacts(missing_roots=("abc",)))) == [Kind.MISSING_CONTENTS]
    assert kinds(ViewFacts(missing_packs=(PACK,))) == [Kind.MISSING_PACKS]
    assert kinds(ViewFacts(uncollected="it was cut off")) == [Kind.NO_COLLECTION]


@pytest.mark.parametrize("sign", [1, -1])
def test_clocks_that_differ_by_more_than_minutes_are_a_contradiction(sign: int) -> None:
    assert kinds(ViewFacts(clocks_ns=(NOW + sign * FUTURE_TOLERANCE_NS, NOW))) == []
    assert kinds(ViewFacts(clocks_ns=(NOW + sign * (FUTURE_TOLERANCE_NS + 1), NOW))) == [Kind.CLOCKS_DIFFER]
