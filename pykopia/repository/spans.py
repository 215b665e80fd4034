"""Parts of packs that were fetched, kept in memory: neighbours come along, and no byte comes twice.

A restore asks for the contents of some files at a time, from several threads. Writers have mixed the contents of many files
in each pack, so what one batch of files needs lies among what other batches need. Over a network a request costs more than
some hundred KiB, so a fetch takes what lies around along, and those who come later find it here.
"""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from pykopia.ids import BlobID

BLOCK = 1 << 20
"""Bytes: a fetch begins and ends at multiples of it, unless the neighbours are here already or it meets the pack's end."""

LIMIT = 96 << 20
"""Bytes that are kept: four packs of the usual size, and some."""


@dataclass(slots=True)
class _Span:
    start: int
    end: int
    data: "Future[bytes]" = field(default_factory=Future)


class PackSpans:
    """Fetches ranges of packs, each byte once as long as it is kept; safe for threads.

    Args:
        fetch: Returns bytes of a pack from an offset on.
        size: Returns the length of a pack.
        limit: Bytes that are kept; what was used longest ago goes first.
    """

    def __init__(
        self, fetch: Callable[[BlobID, int, int], bytes], size: Callable[[BlobID], int], *, limit: int = LIMIT
    ) -> None:
        self._fetch, self._size, self._limit = fetch, size, limit
        self._lock = threading.Lock()
        self._packs: dict[BlobID, list[_Span]] = {}
        self._used: OrderedDict[tuple[BlobID, int], int] = OrderedDict()
        self._sizes: dict[BlobID, int] = {}

    def get(self, pack: BlobID, start: int, length: int, *, alone: bool = False) -> bytes | memoryview:
        """Return the bytes of a range.

        Args:
            pack: The pack.
            start: Bytes from its start.
            length: Bytes.
            alone: Whether it is a single content: of a pack that nothing was read from yet, nothing else is fetched then.

        Raises:
            PykopiaError: What ``fetch`` or ``size`` raises; nothing of it is kept.
        """
        end = start + length
        with self._lock:
            wide = not alone or pack in self._packs
        pack_end = max(self._size_of(pack), end) if wide else end  # one that is cut off is for the fetch to tell
        with self._lock:
            spans, missing = self._cover(pack, start, end, pack_end, BLOCK if wide else 1)
        for position, span in enumerate(missing):
            try:
                data = self._fetch(pack, span.start, span.end - span.start)
            except BaseException as error:
                with self._lock:
                    for each in missing[position:]:  # others may wait for what comes no more
                        self._drop(pack, each)
                        each.data.set_exception(error)
                raise
            span.data.set_result(data)
        parts = [(span, span.data.result()) for span in spans]
        self._touch(pack, spans)
        if len(parts) == 1:
            span, data = parts[0]
            return memoryview(data)[start - span.start : end - span.start]
        return b"".join(
            memoryview(data)[max(start - span.start, 0) : min(end, span.end) - span.start] for span, data in parts
        )

    def _size_of(self, pack: BlobID) -> int:
        size = self._sizes.get(pack)
        if size is None:
            size = self._sizes[pack] = self._size(pack)
        return size

    def _cover(self, pack: BlobID, start: int, end: int, pack_end: int, block: int) -> tuple[list[_Span], list[_Span]]:
        """Return spans that cover a range in order, and those among them that are now to be fetched."""
        known = self._packs.setdefault(pack, [])
        spans: list[_Span] = []
        missing: list[_Span] = []
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
            span = _Span(first, last)
            known.insert(index, span)
            spans.append(span)
            missing.append(span)
            self._used[pack, first] = last - first
            position = last
            index += 1
        return spans, missing

    def _touch(self, pack: BlobID, spans: list[_Span]) -> None:
        """Note a use, and let go of what was used longest ago."""
        with self._lock:
            for span in spans:
                if (pack, span.start) in self._used:
                    self._used.move_to_end((pack, span.start))
            total = sum(self._used.values())
            while total > self._limit:
                (oldest, first), size = next(iter(self._used.items()))
                kept = self._packs[oldest]
                self._drop(oldest, next(span for span in kept if span.start == first))
                total -= size

    def _drop(self, pack: BlobID, span: _Span) -> None:
        self._used.pop((pack, span.start), None)
        spans = self._packs[pack]
        spans.remove(span)
        if not spans:
            del self._packs[pack]


__all__ = ["BLOCK", "LIMIT", "PackSpans"]
