"""Which contents are fetched together: neighbours in a pack by one request, each byte once."""

from collections.abc import Callable, Iterable, Iterator

from pykopia.dataclass import dataclass
from pykopia.format.index import IndexEntry
from pykopia.ids import BlobID

MAX_RUN = 4 << 20
"""Bytes that are fetched by one request, unless a single content is larger."""
MAX_RUN_IN_ORDER = 12 << 20
"""Like ``plan_runs``, for contents that are needed in order: chunks of a large file."""
MOST_IN_ORDER = 256
"""Contents of one run in order: the blocks of zeros of a file are all the same content."""
MAX_GAP = 32 << 10
"""Bytes between two contents that are fetched and thrown away, because another request costs more."""


@dataclass(frozen=True, slots=True)
class Run:
    """Contents that lie near each other in one pack."""

    pack_blob: BlobID
    offset: int
    length: int
    entries: tuple[IndexEntry, ...]


def plan_runs(entries: Iterable[IndexEntry]) -> Iterator[Run]:
    """Group contents into runs, pack by pack and in order of their offsets; equal entries count once."""

    def fits(_group: list[IndexEntry], _entry: IndexEntry, gap: int, length: int) -> bool:
        return gap <= MAX_GAP and length <= MAX_RUN

    return _grouped(sorted(set(entries), key=lambda each: (each.pack_blob, each.pack_offset)), fits)


def runs_in_order(entries: Iterable[IndexEntry], *, limit: int = MAX_RUN_IN_ORDER) -> Iterator[Run]:
    """Group contents that follow each other, both in this order and in their pack, up to ``limit`` bytes."""

    def fits(group: list[IndexEntry], entry: IndexEntry, gap: int, length: int) -> bool:
        return (gap == 0 or entry == group[-1]) and length <= limit and len(group) < MOST_IN_ORDER

    return _grouped(entries, fits)


def _grouped(
    entries: Iterable[IndexEntry], fits: Callable[[list[IndexEntry], IndexEntry, int, int], bool]
) -> Iterator[Run]:
    """Put contents of one pack together as long as the next one fits.

    Args:
        entries: in the order in which they are looked at.
        fits: is asked with the group, the next content, the bytes between the two, and the bytes of both together.
    """
    group: list[IndexEntry] = []
    start = end = 0
    pack = BlobID("")
    for entry in entries:
        entry_end = entry.pack_offset + entry.packed_length
        whole = max(end, entry_end)
        if group and entry.pack_blob == pack and fits(group, entry, entry.pack_offset - end, whole - start):
            group.append(entry)
            end = whole
            continue
        if group:
            yield Run(pack, start, end - start, tuple(group))
        group, pack, start, end = [entry], BlobID(entry.pack_blob), entry.pack_offset, entry_end
    if group:
        yield Run(pack, start, end - start, tuple(group))


__all__ = ["Run", "plan_runs", "runs_in_order"]
