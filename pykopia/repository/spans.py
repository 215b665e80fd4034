"""Parts of packs that were fetched, kept in memory: neighbours come along, and no byte comes twice.

A restore asks for the contents of some files at a time, from several threads. Writers have mixed the contents of many files
in each pack, so what one batch of files needs lies among what other batches need. Over a network a request costs more than
some hundred KiB, so a fetch takes what lies around along, and those who come later find it here.
"""

import threading
from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import field
from itertools import pairwise
from typing import NamedTuple

from pykopia.dataclass import dataclass
from pykopia.ids import BlobID

BLOCK = 128 << 10
"""Bytes: a fetch of less than it begins and ends at multiples of it, unless the neighbours are here already.

What comes along is mostly of other folders, which may be restored much later: it must not be much.
"""

LIMIT = 96 << 20
"""Bytes that are kept: four packs of the usual size, and some."""


@dataclass(slots=True)
class _Span:
    start: int
    end: int
    data: "Future[bytes]" = field(default_factory=Future)
    given: int = 0
    """Bytes that were asked for so far."""


class _Expected(NamedTuple):
    """A range that will be asked for, a part at a time."""

    start: int
    end: int
    cuts: tuple[int, ...] = ()
    """Begin and end of the unneeded bytes within the range."""


class PackSpans:
    """Fetches ranges of packs, each byte once as long as it is kept; safe for threads.

    Args:
        fetch: Returns bytes of a pack from an offset on.
        size: Returns the length of a pack.
        limit: Bytes that are kept; evicted first is what all readers are done with, then what was used longest ago.
    """

    def __init__(
        self, fetch: Callable[[BlobID, int, int], bytes], size: Callable[[BlobID], int], *, limit: int = LIMIT
    ) -> None:
        self._fetch, self._size, self._limit = fetch, size, limit
        self._lock = threading.Lock()
        self._packs: dict[BlobID, list[_Span]] = {}
        self._used: OrderedDict[tuple[BlobID, int], _Span] = OrderedDict()
        self._total = 0
        self._expected: dict[BlobID, list[_Expected]] = {}
        self._noted: set[BlobID] = set()
        self._sizes: dict[BlobID, int] = {}

    def get(
        self, pack: BlobID, start: int, length: int, *, alone: bool = False, cuts: Iterable[int] = ()
    ) -> bytes | memoryview:
        """Return the bytes of a range.

        Args:
            pack: The pack.
            start: Bytes from its start.
            length: Bytes.
            cuts: Where parts that are not needed begin and end within it, in order.
            alone: Whether it is a single content: of a pack that nothing was read from yet, nothing else is fetched then.

        Raises:
            PykopiaError: What ``fetch`` or ``size`` raises; nothing of it is kept.
        """
        end = start + length
        with self._lock:
            expected = self._take_expected(pack, start, end)
            known = not alone or pack in self._packs or expected != _Expected(start, end)
            wide = known and expected.end - expected.start < BLOCK
        # a pack that is cut off is for the fetch to tell
        pack_end = max(self._size_of(pack), expected.end) if wide else expected.end
        with self._lock:
            spans, missing = self._cover(pack, expected, pack_end, BLOCK if wide else 1)
        for position, group in enumerate(missing):
            first = group[0].start
            try:
                fetched = memoryview(self._fetch(pack, first, group[-1].end - first))
            except BaseException as error:
                with self._lock:
                    for each in [span for later in missing[position:] for span in later]:
                        self._drop(pack, each)
                        each.data.set_exception(error)  # others may wait for what comes no more
                raise
            for span in group:
                # a copy, so that one part can go without the others
                span.data.set_result(bytes(fetched[span.start - first : span.end - first]))
        parts = [(span, span.data.result()) for span in spans if span.start < end and start < span.end]
        self._touch(pack, [span for span, _ in parts], [start, *cuts, end])
        if len(parts) == 1:
            span, data = parts[0]
            return memoryview(data)[start - span.start : end - span.start]
        return b"".join(
            memoryview(data)[max(start - span.start, 0) : min(end, span.end) - span.start] for span, data in parts
        )

    def expect(self, pack: BlobID, start: int, end: int, cuts: Iterable[int] = ()) -> None:
        """Record a range whose parts will be asked for soon: the first of them brings the others along.

        Args:
            pack: The pack.
            start: Bytes from its start.
            end: Bytes from its start.
            cuts: Where parts that will not be asked for begin and end, in order.
        """
        with self._lock:
            self._noted.add(pack)
            insort(self._expected.setdefault(pack, []), _Expected(start, end, tuple(cuts)))

    def knows(self, pack: BlobID) -> bool:
        """Return True if something of a pack was ever expected, so that more of it may be here or on its way."""
        return pack in self._noted

    def _take_expected(self, pack: BlobID, start: int, end: int) -> _Expected:
        """Return a range widened to what is expected around it, which is expected no more."""
        ranges = self._expected.get(pack, [])
        index = bisect_right(ranges, start, key=lambda each: each.start) - 1
        if index < 0 or ranges[index].end < end:
            return _Expected(start, end)
        found = ranges.pop(index)
        if not ranges:
            del self._expected[pack]
        return found

    def _size_of(self, pack: BlobID) -> int:
        size = self._sizes.get(pack)
        if size is None:
            size = self._sizes[pack] = self._size(pack)
        return size

    def _cover(
        self, pack: BlobID, wanted: _Expected, pack_end: int, block: int
    ) -> tuple[list[_Span], list[list[_Span]]]:
        """Return spans that cover a range in order, and those of them that are to be fetched, grouped by requests.

        What comes along, on either side and between, is spans of its own: they stay when the rest is needed no more.
        """
        start, end, cuts = wanted
        known = self._packs.setdefault(pack, [])
        spans: list[_Span] = []
        missing: list[list[_Span]] = []
        position = start
        index = bisect_right(known, start, key=lambda each: each.start)
        if index and known[index - 1].end > start:
            index -= 1
        while position < end:
            if index < len(known) and known[index].start <= position:
                spans.append(known[index])
                position = known[index].end
                index += 1
                continue
            before = known[index - 1].end if index else 0
            after = known[index].start if index < len(known) else pack_end
            first = max(before, position // block * block)
            last = min(after, -(-end // block) * block, pack_end)
            ends = [first, *(cut for cut in (start, *cuts, end) if first < cut < last), last]
            group = [_Span(*pair) for pair in pairwise(ends)]
            for span in group:
                known.insert(index, span)
                index += 1
                self._used[pack, span.start] = span
                self._total += span.end - span.start
            spans += group
            missing.append(group)
            position = last
        return spans, missing

    def _touch(self, pack: BlobID, spans: list[_Span], bounds: list[int]) -> None:
        """Record a read and evict: fully consumed ranges first, then the least recently used.

        Every other range between ``bounds``, from the first on, was needed.
        """
        needed = [*zip(bounds[::2], bounds[1::2], strict=True)]
        with self._lock:
            for span in spans:
                span.given += sum(max(0, min(end, span.end) - max(start, span.start)) for start, end in needed)
                if (pack, span.start) in self._used:
                    self._used.move_to_end((pack, span.start), last=span.given < span.end - span.start)
            while self._total > self._limit:
                (oldest, _), span = next(iter(self._used.items()))
                self._drop(oldest, span)

    def _drop(self, pack: BlobID, span: _Span) -> None:
        if self._used.pop((pack, span.start), None) is None:
            return
        self._total -= span.end - span.start
        spans = self._packs[pack]
        spans.remove(span)
        if not spans:
            del self._packs[pack]


__all__ = ["BLOCK", "LIMIT", "PackSpans"]
