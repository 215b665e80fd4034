"""The summary of a maintenance run: what each task did, and which rule keeps the space that is not free yet."""

from dataclasses import field

from pykopia.dataclass import dataclass
from pykopia.format.blob import BlobMetadata
from pykopia.format.content_id import ALL
from pykopia.format.gotime import format_time
from pykopia.format.maintenance_plan import Mode, PackDeletion, Rule
from pykopia.format.maintenance_schedule import TaskStatistics
from pykopia.html_table import html_table, size_text
from pykopia.maintenance.snapshot_gc import Collection
from pykopia.repository.core import Core

EXPLANATIONS = {
    Rule.CONTENT_AGE: "contents that no snapshot needs are left alone for 24 hours: a snapshot may be about to use them",
    Rule.TWO_CYCLES: "contents marked as deleted go when a later collection, more than 4 hours on, finds them unused again",
    Rule.PACK_AGE: "unused packs are left alone for 24 hours: their index may be about to be written",
    Rule.AFTER_START: "packs that came after maintenance began are looked at by the next run",
    Rule.SESSION: "packs of a client that has not finished writing are kept for 96 hours",
    Rule.AFTER_REWRITE: "packs whose contents were moved are kept for an hour: other clients may still read them",
    Rule.UNPROVEN: "packs of which nothing proves that they are unused are kept; `index recover` shows what they hold",
    Rule.PARTLY_USED: "unused bytes in packs that are used by 60 % or more, or in a single smaller one, are not worth a move",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskReport:
    """One task of a run."""

    task: str
    statistics: TaskStatistics | None = None
    """None when it was left out."""
    left_out: str = ""
    """Why it was left out."""
    until_ns: int | None = None
    """When it may run again, nanoseconds since 1970; None where that is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Space that no snapshot needs and that a rule keeps from being freed."""

    what: str
    """``contents`` or ``blobs``."""
    count: int
    size: int
    """Bytes in storage."""
    rule: Rule
    until_ns: int | None = None
    """When the rule allows to free all of it, nanoseconds since 1970; None where that is not known."""

    @property
    def explanation(self) -> str:
        """The reason, as a sentence."""
        return EXPLANATIONS[self.rule]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """Bytes of all packs by use."""

    total_size: int
    """Bytes of all packs."""
    live_size: int
    """Bytes of contents that are in use, or not known to be unused."""
    held: tuple[Held, ...]

    @property
    def held_size(self) -> int:
        """Bytes that will be free one day."""
        return sum(each.size for each in self.held)

    def _repr_html_(self) -> str:
        rows = [
            ("all packs", size_text(self.total_size), "", ""),
            ("in use", size_text(self.live_size), "", ""),
            *((each.what, size_text(each.size), each.explanation, time_text(each.until_ns)) for each in self.held),
        ]
        return html_table(("what", "size", "why it is not free yet", "until"), rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaintenanceResult:
    """Result of a run."""

    mode: Mode | None
    """None: nothing was due."""
    reason: str = ""
    """Why nothing was done."""
    owner: str = ""
    client: str = ""
    """``user@host`` of the client that ran."""
    last_success_ns: int | None = None
    """When the previous successful run ended, quick or full; nanoseconds since 1970."""
    start_ns: int = 0
    end_ns: int = 0
    tasks: tuple[TaskReport, ...] = ()
    deleted_blobs: int = 0
    deleted_size: int = 0
    """Bytes of packs that were deleted."""
    ledger: Ledger | None = None
    """Made by full maintenance."""
    warnings: tuple[str, ...] = field(default=())


def time_text(nanoseconds: int | None) -> str:
    """Return a time of a ledger to the second, empty where it is not known."""
    return "" if nanoseconds is None else format_time(nanoseconds // 1_000_000_000 * 1_000_000_000)


def make_ledger(
    repository: Core,
    listed: list[BlobMetadata],
    deletion: PackDeletion,
    collection: Collection | None,
    *,
    delete_from_ns: int | None,
) -> Ledger:
    """Return the bytes of all packs by use.

    Args:
        repository: open.
        listed: its packs, after deletions.
        deletion: which of them are unused, and why they are kept; those that could be deleted are held by the last rewrite.
        collection: of this run, if there was one.
        delete_from_ns: when packs may be deleted after the last rewrite.
    """
    live = gone = dropped_count = 0
    used: dict[str, int] = {}
    for entry in repository.contents.indexes.merged.entries(ALL.start, ALL.end, include_deleted=True):
        used[entry.pack_blob] = used.get(entry.pack_blob, 0) + entry.packed_length
        if entry.deleted:
            gone += entry.packed_length
            dropped_count += 1
        else:
            live += entry.packed_length
    held = []
    if collection is not None and collection.too_recent.count:
        recent = collection.too_recent
        held.append(
            Held(
                what="contents",
                count=recent.count,
                size=recent.size,
                rule=Rule.CONTENT_AGE,
                until_ns=collection.too_recent_until_ns,
            )
        )
    if dropped_count:
        held.append(Held(what="contents", count=dropped_count, size=gone, rule=Rule.TWO_CYCLES))
    by_rule: dict[Rule, list[tuple[BlobMetadata, int | None]]] = {}
    for kept in deletion.kept:
        by_rule.setdefault(kept.rule, []).append((kept.blob, kept.until_ns))
    for blob in deletion.delete:
        by_rule.setdefault(Rule.AFTER_REWRITE, []).append((blob, delete_from_ns))
    for rule, blobs in by_rule.items():
        held.append(
            Held(
                what="blobs",
                count=len(blobs),
                size=sum(blob.length for blob, _ in blobs),
                rule=rule,
                until_ns=max((until for _, until in blobs if until is not None), default=None),
            )
        )
    packs: dict[str, int] = {blob.blob_id: blob.length for blob in listed if blob.blob_id[0] in "pq"}
    wasted = {pack: packs[pack] - size for pack, size in used.items() if pack in packs and packs[pack] > size}
    slack = {pack: size for pack, size in wasted.items() if size > _OVERHEAD + packs[pack] // 20}
    if slack:
        held.append(Held(what="blobs", count=len(slack), size=sum(slack.values()), rule=Rule.PARTLY_USED))
    return Ledger(total_size=sum(packs.values()), live_size=live, held=tuple(held))


_OVERHEAD = 16 << 10
"""Bytes that padding and the local index of a pack may take: they do not count as unused."""

__all__ = ["EXPLANATIONS", "Held", "Ledger", "MaintenanceResult", "TaskReport", "make_ledger", "time_text"]
