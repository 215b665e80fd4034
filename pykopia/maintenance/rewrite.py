"""Moves contents out of packs that are mostly unused, so that the packs can be deleted (format 03 §13)."""

from collections.abc import Callable, Iterable

from pykopia import clock
from pykopia.crew import Crew, available_cpus
from pykopia.dataclass import dataclass
from pykopia.format.blob_names import PACK_PREFIXES
from pykopia.format.complete_view import CompleteView
from pykopia.format.content_id import ALL
from pykopia.format.index import IndexEntry
from pykopia.format.maintenance_plan import short_packs
from pykopia.format.maintenance_schedule import TaskStatistics
from pykopia.repository.core import Core
from pykopia.repository.writer import RepositoryWriter

_SECOND_NS = 1_000_000_000
THREADS_PER_CPU = 2
QUEUED_PER_THREAD = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class RewritePlan:
    """Contents to move, by pack and offset."""

    rewrite: tuple[IndexEntry, ...]
    retained: tuple[IndexEntry, ...] = ()
    """Contents that are too young to be moved."""

    def __str__(self) -> str:
        packs = len({entry.pack_blob for entry in self.rewrite})
        return f"rewrite {len(self.rewrite)} contents ({_size(self.rewrite)} bytes) of {packs} packs"


def plan_short_packs(
    repository: Core, *, prefixes: Iterable[str] = PACK_PREFIXES, min_age_ns: int = 0, now: int | None = None
) -> RewritePlan:
    """Return the contents of packs whose used contents fill less than 60 % of the pack size.

    Deleted contents are left where they are, which Kopia does not: it moves them and makes them young again, so that
    they may never go. Their packs go when they are dropped. A pack with nothing but deleted contents is no reason to move
    those of another.

    Args:
        repository: open.
        prefixes: first letters of the packs that are looked at.
        min_age_ns: younger contents are retained.
        now: nanoseconds since 1970; the clock's time when not given.
    """
    index = repository.contents.indexes.merged
    used: dict[str, int] = {}
    live: set[str] = set()
    for entry in index.entries(include_deleted=True):
        used[entry.pack_blob] = used.get(entry.pack_blob, 0) + entry.packed_length
        if not entry.deleted:
            live.add(entry.pack_blob)
    short = short_packs(
        {pack: size for pack, size in used.items() if pack in live},
        max_pack_size=repository.format.effective_max_pack_size,
        prefixes=prefixes,
    )
    chosen = (entry for entry in index.entries() if entry.pack_blob in short) if short else iter(())
    return plan_rewrite(chosen, min_age_ns=min_age_ns, now=now)


def plan_rewrite(entries: Iterable[IndexEntry], *, min_age_ns: int = 0, now: int | None = None) -> RewritePlan:
    """Return the contents that are old enough to be moved, by pack and offset, and those that are too young."""
    limit = clock.now() if now is None else now
    rewrite: list[IndexEntry] = []
    retained: list[IndexEntry] = []
    for entry in entries:
        (retained if limit - entry.timestamp * _SECOND_NS < min_age_ns else rewrite).append(entry)
    rewrite.sort(key=lambda entry: (entry.pack_blob, entry.pack_offset))
    return RewritePlan(rewrite=tuple(rewrite), retained=tuple(retained))


def plan_format_version(repository: Core, version: int, *, pack_prefix: str = "") -> RewritePlan:
    """Return the contents that were written in a format version, deleted ones too, in packs with a prefix."""
    entries = repository.contents.indexes.merged.entries(ALL.start, ALL.end, include_deleted=True)
    return plan_rewrite(
        entry for entry in entries if entry.format_version == version and entry.pack_blob.startswith(pack_prefix)
    )


def rewrite_contents(
    repository: Core,
    _view: CompleteView,
    plan: RewritePlan,
    *,
    check: Callable[[], None] = lambda: None,
    parallel: int = 0,
) -> TaskStatistics:
    """Store the contents of a plan again, in new packs; the old ones are deleted by a later task.

    Each content is decrypted and hashed before it is stored again: a damaged one is never taken for moved.

    Args:
        repository: open for writing.
        _view: the proof that storage and index fit together.
        plan: what to move.
        check: called now and then; may raise to stop.
        parallel: contents moved at one time; twice the number of CPUs when 0.

    Raises:
        PykopiaError: a content can't be read or written; none is moved then.
    """
    if plan.rewrite:
        threads = parallel or THREADS_PER_CPU * available_cpus()
        crew = Crew[bool](threads, most=QUEUED_PER_THREAD * threads, name="pykopia-rewrite")
        with RepositoryWriter(repository) as writer, crew:
            for number, entry in enumerate(plan.rewrite):
                if number % 64 == 0:
                    check()
                crew.submit(writer.contents.rewrite, entry.content_id)
            crew.drain()
            check()
    return TaskStatistics(
        kind="rewriteContentsStats",
        values={
            "toRewriteContentCount": len(plan.rewrite),
            "toRewriteContentSize": _size(plan.rewrite),
            "rewrittenContentCount": len(plan.rewrite),
            "rewrittenContentSize": _size(plan.rewrite),
            "retainedContentCount": len(plan.retained),
            "retainedContentSize": _size(plan.retained),
        },
    )


def _size(entries: Iterable[IndexEntry]) -> int:
    return sum(entry.packed_length for entry in entries)


__all__ = ["RewritePlan", "plan_format_version", "plan_rewrite", "plan_short_packs", "rewrite_contents"]
