"""Epochs: which index blobs of a repository count, read from names alone (format 02 §9).

Time is cut into epochs. Writers put index blobs (``xn``) under the current one; maintenance compacts an epoch that no
writer can still be in (``xs``), and several epochs into a range (``xr``). Nothing but names says what is current, so
everything here is a pure function of listings. What maintenance does is planned in ``epoch_plan``.

| name | stands for |
|---|---|
| ``xe<epoch>`` | the epoch has begun |
| ``xn<epoch>_<hash>-<session>-c<count>`` | one of the index blobs of a flush |
| ``xs<epoch>_<hash>-<set>-c<count>`` | one of ``count`` index blobs that hold the whole epoch |
| ``xr<min>_<max>_<hash>-<set>-c<count>`` | one of ``count`` index blobs that hold all epochs of a range |
| ``xw<seconds>`` | deletion watermark |
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from types import MappingProxyType
from typing import Final, Self, TypeAlias

from pykopia.dataclass import dataclass
from pykopia.errors import UsageError
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import MARKER_PREFIX, RANGE_PREFIX, SINGLE_PREFIX, UNCOMPACTED_PREFIX, WATERMARK_PREFIX
from pykopia.ids import BlobID

MARKER_CONTENT: Final = b"epoch-marker"
"""Content of an epoch marker, not encrypted."""
WATERMARK_CONTENT: Final = b"deletion-watermark"
"""Content of a deletion watermark, not encrypted."""

_SETTLED_AFTER: Final = 2  # epochs: a writer may not have seen the newest marker yet, or be busy in the epoch before
_LAST_EPOCH: Final = 1 << 62
"""An epoch beyond this one, in the name of an index blob, says nothing about the current one: no writer ever got there."""
_MAX_LISTED_PREFIXES: Final = 16
_EPOCH: Final = re.compile(r"[^0-9]*([0-9]{1,64})")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,64}")
_INT64: Final = range(-(1 << 63), 1 << 63)

BlobSet: TypeAlias = tuple[BlobMetadata, ...]
"""Blobs that are used together or not at all."""


def epoch_of(blob_id: str) -> int | None:
    """Return the epoch in the name of an ``xe``, ``xn``, ``xs`` or ``xr`` blob, or None when there is none.

    >>> epoch_of("xn12_0011-s1-c1"), epoch_of("xe5"), epoch_of("xn1x2_a")
    (12, 5, None)
    """
    found = _EPOCH.fullmatch(blob_id.partition("_")[0])
    return _integer(found[1]) if found else None


def range_of(blob_id: str) -> tuple[int, int] | None:
    """Return the first and last epoch in the name of an ``xr`` blob, or None when there are none.

    >>> range_of("xr0_7_0011-s1-c1"), range_of("xr0_7")
    ((0, 7), None)
    """
    parts = blob_id.split("_")
    found = _EPOCH.fullmatch(parts[0])
    if len(parts) < 3 or found is None:
        return None
    first, last = _integer(found[1]), _integer(parts[1])
    return None if first is None or last is None else (first, last)


def watermark_of(blob_id: str) -> int | None:
    """Return the seconds since 1970 in the name of an ``xw`` blob, or None when there are none."""
    return _integer(blob_id.removeprefix(WATERMARK_PREFIX))


def _integer(text: str) -> int | None:
    """Return a decimal number of 64 bits, or None when the text is none."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if number in _INT64 else None


def marker_blob_id(epoch: int) -> BlobID:
    """Return the name of the blob that begins an epoch; epoch 0 has none."""
    return BlobID(f"{MARKER_PREFIX}{epoch}")


def watermark_blob_id(seconds: int) -> BlobID:
    """Return the name of a deletion watermark, in seconds since 1970."""
    return BlobID(f"{WATERMARK_PREFIX}{seconds}")


def index_blob_prefix(epoch: int) -> str:
    """Return what the names of index blobs begin with that are flushed in an epoch; the hash follows."""
    return f"{UNCOMPACTED_PREFIX}{epoch}_"


def single_prefix(epoch: int) -> str:
    """Return what the names of the index blobs begin with that an epoch is compacted into."""
    return f"{SINGLE_PREFIX}{epoch}_"


def range_prefix(first: int, last: int) -> str:
    """Return what the names of the index blobs begin with that a range of epochs is compacted into."""
    return f"{RANGE_PREFIX}{first}_{last}_"


def index_blob_suffix(set_id: str, count: int) -> str:
    """Return what the names of ``count`` index blobs end with that belong together; a hyphen stands before it.

    Args:
        set_id: The session of a flush, or a set ID of a compaction.
        count: Number of blobs that are written.
    """
    return f"{set_id}-c{count}"


def new_set_id(random: bytes) -> str:
    """Return the ID of the set of blobs that one compaction writes.

    Raises:
        UsageError: There are not 8 random bytes.
    """
    if len(random) != 8:
        raise UsageError(f"naming the index blobs of a compaction takes 8 random bytes, not {len(random)}")
    return f"s{random.hex()}"


def complete_sets(blobs: Iterable[BlobMetadata]) -> list[BlobSet]:
    """Return the sets of which all blobs are there, in the order in which they get complete (format 02 §9.3).

    A blob whose name tells of no set is one of its own.
    """
    open_sets: dict[str, list[BlobMetadata]] = {}
    complete: list[BlobSet] = []
    for blob in blobs:
        match blob.blob_id.split("-"):
            case [_, set_id, count, *_] if set_id.startswith("s") and count.startswith("c"):
                needed = _integer(count[1:])
            case _:
                set_id, needed = "", None
        if needed is None:
            complete.append((blob,))
            continue
        members = open_sets.setdefault(set_id, [])
        members.append(blob)
        if len(members) == needed:
            complete.append(tuple(members))
    return complete


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochRange:
    """Compacted index blobs that stand for all epochs from ``first`` to ``last``."""

    first: int
    last: int
    blobs: BlobSet


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochState:
    """State of the epochs of a repository, derived from listed blobs (format 02 §9.4).

    It may be believed for ``EpochRefreshFrequency`` from the moment when the listing began.
    """

    write_epoch: int = 0
    """Epoch of the newest marker: new index blobs belong to it, by Kopia's rule."""
    current_epoch: int = 0
    """Epoch that new index blobs belong to; later than ``write_epoch`` where index blobs prove that markers are lost."""
    watermark: int | None = None
    """Deletion watermark in seconds since 1970: deleted contents up to it do not exist (format 02 §6)."""
    ranges: tuple[EpochRange, ...] = ()
    """The chain of ranges from epoch 0 that is in use."""
    singles: Mapping[int, BlobSet] = field(default_factory=dict)
    """Complete compactions of single epochs."""
    uncompacted: Mapping[int, BlobSet] = field(default_factory=dict)
    """Index blobs of flushes by epoch, as far as they were listed."""
    markers: BlobSet = ()
    """Markers of epochs."""
    watermarks: BlobSet = ()
    """Deletion watermarks, superseded ones too."""
    unchained: BlobSet = ()
    """Index blobs that Kopia does not read and no other blob replaces: parts of incomplete sets, ranges behind a gap."""
    listed: BlobSet = ()
    """All index blobs: of flushes, singles and ranges."""

    @classmethod
    def from_blobs(cls, blobs: Iterable[BlobMetadata]) -> Self:
        """Return the state that a listing shows; names that mean nothing are ignored.

        The listing is that of everything with ``EPOCH_PREFIX``. Where that would be long, list ``xe``, ``xw``, ``xs`` and
        ``xr``, and what ``uncompacted_prefixes`` then asks for, and add it by ``with_uncompacted``. Of several complete
        sets for one epoch the first in the listing is used: they hold the same entries.
        """
        markers: list[BlobMetadata] = []
        watermarks: list[BlobMetadata] = []
        singles: dict[int, list[BlobMetadata]] = {}
        ranges: dict[tuple[int, int], list[BlobMetadata]] = {}
        uncompacted: list[BlobMetadata] = []
        for blob in blobs:
            blob_id = blob.blob_id
            if blob_id.startswith(UNCOMPACTED_PREFIX):
                uncompacted.append(blob)
            elif blob_id.startswith(SINGLE_PREFIX):
                if (epoch := epoch_of(blob_id)) is not None:
                    singles.setdefault(epoch, []).append(blob)
            elif blob_id.startswith(RANGE_PREFIX):
                if (bounds := range_of(blob_id)) is not None:
                    ranges.setdefault(bounds, []).append(blob)
            elif blob_id.startswith(MARKER_PREFIX) and epoch_of(blob_id) is not None:
                markers.append(blob)
            elif blob_id.startswith(WATERMARK_PREFIX) and watermark_of(blob_id) is not None:
                watermarks.append(blob)
        chain = _longest_chain(
            EpochRange(first=first, last=last, blobs=sets[0])
            for (first, last), members in ranges.items()
            if (sets := complete_sets(members))
        )
        complete_singles = {epoch: sets[0] for epoch, members in singles.items() if (sets := complete_sets(members))}
        by_epoch = _by_epoch(uncompacted)
        marked = max((epoch for b in markers if (epoch := epoch_of(b.blob_id)) is not None), default=0)
        chained = chain[-1].last if chain else -1
        unchained = [blob for (_, last), members in ranges.items() if last > chained for blob in members]
        unchained += [
            blob
            for epoch, members in singles.items()
            if epoch > chained and epoch not in complete_singles
            for blob in members
        ]
        return cls(
            write_epoch=marked,
            current_epoch=_current_epoch(marked, by_epoch, singles, (last for _, last in ranges)),
            watermark=max((mark for b in watermarks if (mark := watermark_of(b.blob_id)) is not None), default=None),
            ranges=chain,
            singles=MappingProxyType(complete_singles),
            uncompacted=by_epoch,
            markers=tuple(markers),
            watermarks=tuple(watermarks),
            unchained=tuple(unchained),
            listed=tuple(
                blob for members in (*by_epoch.values(), *singles.values(), *ranges.values()) for blob in members
            ),
        )

    def with_uncompacted(self, blobs: Iterable[BlobMetadata]) -> Self:
        """Return the state with index blobs of flushes that were listed later, in place of those known before."""
        return replace(self, uncompacted=_by_epoch(blobs))

    @property
    def first_after_ranges(self) -> int:
        """The first epoch that is in no range."""
        return self.ranges[-1].last + 1 if self.ranges else 0

    @property
    def lacks_markers(self) -> bool:
        """Whether there are index blobs that can only be there when a later epoch than the marked one has begun."""
        return self.current_epoch > self.write_epoch

    @property
    def last_settled(self) -> int:
        """The last epoch that no writer is in any more; negative when there is none."""
        return self.write_epoch - _SETTLED_AFTER

    @property
    def storage_clock_ns(self) -> int | None:
        """Newest storage time among the flushes of the last epochs, in nanoseconds since 1970 (format 02 §9.10).

        It stands for the time in the storage's own clock, and is at most too early. None when there are no such blobs.
        """
        recent = range(self.write_epoch - 1, self.write_epoch + 2)
        return max((b.timestamp_ns for epoch in recent for b in self.uncompacted.get(epoch, ())), default=None)

    def uncompacted_prefixes(self) -> list[str]:
        """Return the prefixes that must be listed for all flushes that count; they are added by ``with_uncompacted``."""
        start, end = self.first_after_ranges, self.write_epoch + 1
        if end - start >= _MAX_LISTED_PREFIXES + len(self.singles):
            return [UNCOMPACTED_PREFIX]
        epochs = {epoch for epoch in range(start, end + 1) if not self._is_compacted(epoch)}
        epochs.update(epoch for epoch in (end - 2, end - 1, end) if epoch >= 0)
        return [index_blob_prefix(epoch) for epoch in sorted(epochs)]

    def complete_index_set(self) -> list[BlobID]:
        """Return the index blobs that together hold the index of the repository, by Kopia's rule (format 02 §9.5)."""
        return [blob.blob_id for blob in self.index_blobs(0, self.write_epoch + 1)]

    def readable_index_set(self) -> list[BlobID]:
        """Return the index blobs to read: the complete index set, and what it leaves out although nothing replaces it.

        In a repository without some markers every index blob is read: a client that still believed an old marker may have
        written to an epoch that is compacted.
        """
        more = self.listed if self.lacks_markers else self.unchained
        return list(dict.fromkeys([*self.complete_index_set(), *(BlobID(blob.blob_id) for blob in more)]))

    def unread_without_markers(self) -> list[BlobMetadata]:
        """Return the index blobs that may hold entries of their own and that readers would miss once markers are complete.

        Those are flushes, which a client may have written to a compacted epoch, and what is in ``unchained``.
        """
        return [*(blob for blobs in self.uncompacted.values() for blob in blobs), *self.unchained]

    def index_blobs(self, first: int, last: int) -> list[BlobMetadata]:
        """Return the index blobs that hold all epochs from ``first`` to ``last``, both included."""
        found: list[BlobMetadata] = []
        for epochs in self.ranges:
            if epochs.last >= first:
                found += epochs.blobs
                first = epochs.last + 1
        known = self.singles.keys() | self.uncompacted.keys()
        for epoch in sorted(epoch for epoch in known if first <= epoch <= last):
            found += self.singles[epoch] if self._is_compacted(epoch) else self.uncompacted.get(epoch, ())
        return found

    def _is_compacted(self, epoch: int) -> bool:
        return epoch <= self.last_settled and epoch in self.singles


def _current_epoch(marked: int, flushed: Iterable[int], singles: Iterable[int], lasts: Iterable[int]) -> int:
    """Return the epoch to write to: behind every range and single and no earlier than any flush, whatever markers say.

    Without its markers, a single would only be read once its epoch is settled, so the current epoch is then far enough
    behind it.
    """
    current = max(marked, *(epoch for epoch in flushed if epoch <= _LAST_EPOCH), 0)
    current = max(current, *(last + 1 for last in lasts if last <= _LAST_EPOCH), 0)
    beyond = [epoch + _SETTLED_AFTER for epoch in singles if current <= epoch <= _LAST_EPOCH]
    return max(current, *beyond, 0)


def _by_epoch(blobs: Iterable[BlobMetadata]) -> Mapping[int, BlobSet]:
    """Group flushed index blobs by epoch; only names as writers make them count, without leading zeros."""
    grouped: dict[int, list[BlobMetadata]] = {}
    for blob in blobs:
        epoch = epoch_of(blob.blob_id)
        if epoch is not None and blob.blob_id.startswith(index_blob_prefix(epoch)):
            grouped.setdefault(epoch, []).append(blob)
    return MappingProxyType({epoch: tuple(members) for epoch, members in grouped.items()})


def _longest_chain(ranges: Iterable[EpochRange]) -> tuple[EpochRange, ...]:
    """Return adjacent ranges from epoch 0 that reach the farthest, as few as possible (format 02 §9.4)."""
    best: dict[int, tuple[int, int, EpochRange]] = {}  # from an epoch: how far, in how many ranges, the first of them
    for each in sorted((r for r in ranges if r.last >= r.first), key=lambda r: r.first, reverse=True):
        reach, count, _ = best.get(each.last + 1, (each.last, 0, None))
        known = best.get(each.first)
        if known is None or (reach, -count - 1) > (known[0], -known[1]):
            best[each.first] = (reach, count + 1, each)
    found: list[EpochRange] = []
    start = 0
    while start in best:
        found.append(best[start][2])
        start = found[-1].last + 1
    return tuple(found) if start > 1 else ()  # a lone range of epoch 0 is not used


__all__ = [
    "MARKER_CONTENT",
    "WATERMARK_CONTENT",
    "BlobSet",
    "EpochRange",
    "EpochState",
    "complete_sets",
    "epoch_of",
    "index_blob_prefix",
    "index_blob_suffix",
    "marker_blob_id",
    "new_set_id",
    "range_of",
    "range_prefix",
    "single_prefix",
    "watermark_blob_id",
    "watermark_of",
]
