"""The proof that must be there before anything is destroyed: storage, index and snapshots fit together.

``examine`` compares what is on storage with what the index names and what snapshots need. It returns a ``CompleteView``,
which every function that deletes, hides or moves something takes as an argument, or the ``Contradictions`` that it found.
Everything here is a pure function; ``repository.view`` collects the facts.

A pack that no index entry names is garbage only if that is proven: each content that its own local index lists is either
known to the index in another pack that is there, or known as deleted and dropped. A writer deletes its session marker only
after its index is stored, so a pack with unknown contents and without a marker proves that index blobs are lost.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pykopia.dataclass import dataclass
from pykopia.errors import UsageError
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import RANGE_PREFIX, SESSION_PREFIX, is_pack
from pykopia.format.epoch import EpochState, epoch_of, range_of
from pykopia.format.gotime import format_time
from pykopia.format.session import session_of_blob
from pykopia.ids import BlobID

FUTURE_TOLERANCE_NS: Final = 300_000_000_000
"""Nanoseconds by which the start of a snapshot may lie ahead of the clock."""

_NAMED_AT_MOST: Final = 3
_TOKEN: Final = object()

RECOVER: Final = (
    "put the missing index blobs back from a copy of the repository, or run `index recover --commit`, which lists the "
    "contents of all packs anew"
)

REPLACE: Final = (
    "put them back from a copy of the repository; if there is none, take a new snapshot, which stores again what the source "
    "still has, and run `snapshot fix remove-files` or `snapshot delete` for what stays damaged (`snapshot verify` names it)"
)


class Kind(StrEnum):
    """Kinds of contradictions."""

    LATER_EPOCH = "index-blobs-of-a-later-epoch"
    PASSED_EPOCH = "compaction-reaches-the-current-epoch"
    NO_INDEX = "packs-without-an-index"
    UNLISTED_PACKS = "packs-that-no-index-lists"
    MISSING_PACKS = "packs-that-are-not-there"
    MISSING_CONTENTS = "snapshots-without-their-contents"
    FUTURE_SNAPSHOTS = "snapshots-of-the-future"
    CLOCKS_DIFFER = "clocks-that-differ"
    NO_COLLECTION = "no-garbage-collection"


@dataclass(frozen=True, kw_only=True, slots=True)
class Contradiction:
    """One way in which storage, index and snapshots do not fit together."""

    kind: Kind
    names: tuple[str, ...]
    """Names of blobs, or IDs of snapshots."""
    what: str
    """A sentence without a full stop."""
    cure: str
    """The remedy, as a sentence without a full stop."""
    since_ns: int | None = None
    """Time of the oldest thing concerned, nanoseconds since 1970; None where it is not known."""

    @property
    def count(self) -> int:
        """Number of things concerned."""
        return len(self.names)

    def __str__(self) -> str:
        since = "" if self.since_ns is None else f" (the oldest from {format_time(self.since_ns)})"
        return f"{self.what}{since}; to repair: {self.cure}"


Contradictions = tuple[Contradiction, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackProof:
    """Contents that the index in a pack lists, for a pack that no live index entry names."""

    unknown: int = 0
    """Contents that the index does not know at all."""
    dropped: int = 0
    """Unknown contents that are older than a recorded drop of deleted contents from the index (format version 1)."""
    last_copies: int = 0
    """Contents that the index places in another pack, which is not there."""
    manifests: int = 0
    """Unknown or dropped contents that hold manifests: their writer had come to its end."""
    error: str = ""
    """Why the local index can't be read; empty when it was read."""

    def without_recorded(self, count: int) -> "PackProof":
        """Return the proof once so many contents are known to have been dropped: no unknown ones if that explains all."""
        return replace(self, unknown=0, dropped=0) if self.unknown + self.dropped <= count else self


@dataclass(frozen=True, kw_only=True, slots=True)
class PackFacts:
    """Packs of a listing that was made before the index was read, compared with the index."""

    listed: tuple[BlobMetadata, ...]
    """Packs and session markers."""
    named: Collection[str]
    """Packs that an entry of the index names, deleted ones too, as far as no deletion watermark hides them."""
    proofs: Mapping[BlobID, PackProof]
    """For packs that are not in ``named``: what they hold. Those of sessions with a marker may be left out."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Contents by pack that maintenance has recorded as dropped from the index (format version 1)."""
    unreadable_is_garbage: bool = False
    """A user has asked to delete also unnamed packs whose content is not known."""
    missing: tuple[str, ...] = ()
    """Packs that live entries name and that are not there, where that was looked for."""

    @property
    def sessions(self) -> frozenset[str]:
        """Sessions that have a marker: they are running, or were killed."""
        return frozenset(
            session
            for blob in self.listed
            if blob.blob_id.startswith(SESSION_PREFIX) and (session := session_of_blob(blob.blob_id)) is not None
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotFacts:
    """The facts of snapshot manifests on which a deletion depends."""

    missing_roots: tuple[str, ...] = ()
    """Snapshots whose root object the index does not have, or whose manifest can't be read."""
    newest: str = ""
    """Name of the snapshot with the latest start."""
    newest_start_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewFacts:
    """The facts that ``examine`` compares; None for those that were not read."""

    epochs: EpochState | None = None
    """None in a repository without epochs."""
    has_index: bool = True
    """Whether any index blob is in use."""
    a_pack: str = ""
    """Name of any pack, looked for where there is no index."""
    packs: PackFacts | None = None
    snapshots: SnapshotFacts = field(default_factory=SnapshotFacts)
    missing_packs: tuple[str, ...] = ()
    """Packs that a snapshot needs and that are not there."""
    uncollected: str = ""
    """Why no garbage collection came to its end before something that must follow one; empty when one did."""
    now_ns: int = 0
    clocks_ns: tuple[int, int] | None = None
    """One moment by the clocks of the storage and of this machine, nanoseconds since 1970; None if it was not looked up."""


class CompleteView:
    """The proof that nothing contradicts what is going to be destroyed. Only ``examine`` makes one."""

    __slots__ = ("_facts",)

    def __init__(self, facts: ViewFacts, token: object) -> None:
        if token is not _TOKEN:
            raise UsageError("a complete view is made by examining a repository, never by hand")
        self._facts = facts

    @property
    def listed(self) -> tuple[BlobMetadata, ...]:
        """Packs and session markers; nothing when packs were not looked at, so that none can be deleted."""
        return () if self._facts.packs is None else self._facts.packs.listed

    @property
    def pack_names(self) -> frozenset[str]:
        """Names of all packs that are listed."""
        return frozenset(blob.blob_id for blob in self.listed if is_pack(blob.blob_id))

    @property
    def named(self) -> Collection[str]:
        """Packs that the index names."""
        return () if self._facts.packs is None else self._facts.packs.named

    @property
    def sessions(self) -> frozenset[str]:
        """Sessions that had a marker when the packs were listed."""
        return frozenset() if self._facts.packs is None else self._facts.packs.sessions

    def unproven(self) -> Mapping[BlobID, str]:
        """Return the packs that no index entry names and that are not proven to be garbage, with the reason."""
        return MappingProxyType({} if self._facts.packs is None else _unproven(self._facts.packs))

    def __repr__(self) -> str:
        return f"<CompleteView of {len(self.listed)} blobs>"


def examine(facts: ViewFacts) -> CompleteView | Contradictions:
    """Compare what is on storage with the index and the snapshots.

    Returns:
        The proof that they fit together, or everything in which they do not.
    """
    found = [
        *examine_epochs(facts.epochs),
        *_without_index(facts),
        *_unlisted_packs(facts.packs),
        *_missing(facts),
        *_future(facts),
        *_clocks(facts),
        *_uncollected(facts),
    ]
    return tuple(found) if found else CompleteView(facts, _TOKEN)


def examine_epochs(state: EpochState | None) -> Contradictions:
    """Return in what the names of index blobs and epoch markers contradict each other."""
    if state is None or not state.lacks_markers:
        return ()
    later = [blob for epoch, blobs in state.uncompacted.items() if epoch > state.write_epoch for blob in blobs]
    flushed = {blob.blob_id for blobs in state.uncompacted.values() for blob in blobs}
    compacted = [blob for blob in state.listed if blob.blob_id not in flushed and _reach(blob) >= state.write_epoch]
    cure = (
        "any command that writes, such as `snapshot create`, writes the marker again; then run `index recover` to see "
        "whether index blobs are missing too"
    )
    kinds = (
        (
            Kind.LATER_EPOCH,
            later,
            "index blobs of epochs up to {} are there, and by the markers the current epoch is {}",
        ),
        (
            Kind.PASSED_EPOCH,
            compacted,
            "compacted index blobs need an epoch {}, and by the markers the current one is {}",
        ),
    )
    return tuple(
        Contradiction(
            kind=kind,
            names=tuple(blob.blob_id for blob in blobs),
            what=f"{text.format(state.current_epoch, state.write_epoch)}: markers (xe) are lost ({_some(blobs)})",
            cure=cure,
            since_ns=_oldest(blobs),
        )
        for kind, blobs, text in kinds
        if blobs
    )


def _reach(blob: BlobMetadata) -> int:
    bounds = range_of(blob.blob_id)
    if bounds is not None and blob.blob_id.startswith(RANGE_PREFIX):
        return bounds[1]
    epoch = epoch_of(blob.blob_id)
    return -1 if epoch is None else epoch


def _without_index(facts: ViewFacts) -> Iterable[Contradiction]:
    if not facts.has_index and facts.a_pack and facts.packs is None:
        yield Contradiction(
            kind=Kind.NO_INDEX,
            names=(facts.a_pack,),
            what=f"there are packs, such as {facts.a_pack}, and no index blob at all",
            cure=RECOVER,
        )


def _unlisted_packs(packs: PackFacts | None) -> Iterable[Contradiction]:
    if packs is None:
        return
    sessions = packs.sessions
    lost = [
        blob
        for blob in packs.listed
        if (proof := packs.proofs.get(blob.blob_id)) is not None
        and proof.without_recorded(packs.dropped.get(blob.blob_id, 0)).unknown
        and session_of_blob(blob.blob_id) not in sessions
    ]
    if lost:
        contents = sum(packs.proofs[blob.blob_id].unknown for blob in lost)
        yield Contradiction(
            kind=Kind.UNLISTED_PACKS,
            names=tuple(blob.blob_id for blob in lost),
            what=(
                f"there {_are(lost)} {_counted(lost, 'pack')} ({_some(lost)}) with {contents} contents that no index blob "
                "lists, although the sessions that wrote them came to their end: index blobs are lost"
            ),
            cure=RECOVER,
            since_ns=_oldest(lost),
        )


def _unproven(packs: PackFacts) -> dict[BlobID, str]:
    """Return why packs without a live entry must stay; nothing for those that are garbage."""
    sessions = packs.sessions
    ended = {
        session_of_blob(blob_id)
        for blob_id, proof in packs.proofs.items()
        if (proof.unknown or proof.dropped) and proof.manifests
    } & sessions
    found: dict[BlobID, str] = {}
    for blob in packs.listed:
        blob_id = blob.blob_id
        if blob_id in packs.named or not is_pack(blob_id):
            continue
        session, proof = session_of_blob(blob_id), packs.proofs.get(blob_id)
        if proof is not None:
            proof = proof.without_recorded(packs.dropped.get(blob_id, 0))
            if packs.unreadable_is_garbage:
                proof = replace(proof, error="")
        reason = _reason_to_stay(proof, killed=session in sessions)
        if session in ended:
            reason = "its session was killed when it stored its index, and may have come to its end"
        if reason:
            found[blob_id] = reason
    return found


def _reason_to_stay(proof: PackProof | None, *, killed: bool) -> str:
    if proof is None:
        return "it was not looked into"
    if proof.error:
        return f"what it holds can't be read: {proof.error}"
    if proof.last_copies:
        return "it holds contents whose other pack is not there"
    if proof.dropped and not killed:
        return "an earlier maintenance may have dropped its contents from the index, which nothing proves any more"
    if proof.unknown and not killed:
        return "no index lists its contents, and its writer came to its end"
    return ""


def _missing(facts: ViewFacts) -> Iterable[Contradiction]:
    indexed = () if facts.packs is None else facts.packs.missing
    for who, packs in (("snapshots need", facts.missing_packs), ("the index has contents in", indexed)):
        if packs:
            yield Contradiction(
                kind=Kind.MISSING_PACKS,
                names=packs,
                what=f"{who} {_counted(packs, 'pack')} ({_first(packs)}) that {_are(packs)} not there",
                cure=REPLACE,
            )
    roots = facts.snapshots.missing_roots
    if roots:
        yield Contradiction(
            kind=Kind.MISSING_CONTENTS,
            names=roots,
            what=f"the index does not have the roots of {_counted(roots, 'snapshot')} ({_first(roots)})",
            cure=f"{RECOVER}; if that does not bring them back, delete the snapshots by `snapshot delete`",
        )


def _future(facts: ViewFacts) -> Iterable[Contradiction]:
    start = facts.snapshots.newest_start_ns
    if start is not None and start > facts.now_ns + FUTURE_TOLERANCE_NS:
        yield Contradiction(
            kind=Kind.FUTURE_SNAPSHOTS,
            names=(facts.snapshots.newest,),
            what=(
                f"snapshot {facts.snapshots.newest} starts at {format_time(start)}, and it is {format_time(facts.now_ns)} "
                "here: periods are counted back from the newest snapshot, so nothing expires until then"
            ),
            cure=(
                "set the clock of this machine, or, if that of the other machine was wrong, delete the snapshot by "
                f"`snapshot delete {facts.snapshots.newest} --delete`"
            ),
            since_ns=None,
        )


def _clocks(facts: ViewFacts) -> Iterable[Contradiction]:
    if facts.clocks_ns is not None and abs(facts.clocks_ns[0] - facts.clocks_ns[1]) > FUTURE_TOLERANCE_NS:
        storage, local = map(format_time, facts.clocks_ns)
        yield Contradiction(
            kind=Kind.CLOCKS_DIFFER,
            names=(),
            what=(
                f"the storage says that it is {storage}, this machine {local}: snapshots that this machine takes may be dated "
                "wrong, and periods are counted back from the newest snapshot"
            ),
            cure="set the clock that is wrong; if it is that of this machine, also delete the snapshots that it dated wrong",
        )


def _uncollected(facts: ViewFacts) -> Iterable[Contradiction]:
    if facts.uncollected:
        yield Contradiction(
            kind=Kind.NO_COLLECTION,
            names=(),
            what=f"no garbage collection came to its end ({facts.uncollected}), so nothing proves that packs are unused",
            cure="run `maintenance run --full`",
        )


def _counted(things: Sequence[object], noun: str) -> str:
    return f"1 {noun}" if len(things) == 1 else f"{len(things)} {noun}s"


def _are(things: Sequence[object]) -> str:
    return "is" if len(things) == 1 else "are"


def _some(blobs: Sequence[BlobMetadata]) -> str:
    return _first([blob.blob_id for blob in blobs])


def _first(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED_AT_MOST])
    return shown if len(names) <= _NAMED_AT_MOST else f"{shown} and {len(names) - _NAMED_AT_MOST} more"


def _oldest(blobs: Iterable[BlobMetadata]) -> int | None:
    return min((blob.timestamp_ns for blob in blobs if blob.timestamp_ns), default=None)


__all__ = [
    "FUTURE_TOLERANCE_NS",
    "CompleteView",
    "Contradiction",
    "Contradictions",
    "Kind",
    "PackFacts",
    "PackProof",
    "SnapshotFacts",
    "ViewFacts",
    "examine",
    "examine_epochs",
]
