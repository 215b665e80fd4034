"""Contents in the order in which a large object needs them: what comes next is fetched while one is worked on.

Over a network most of the time of a request is waiting, and on a fast one the service works while we decrypt.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from pykopia.format.index import IndexEntry
from pykopia.ids import BlobID
from pykopia.repository.runs import Run

MAX_REQUEST = 12 << 20
"""Bytes that are fetched by one request, unless a single content is larger: some contents of large files."""
REQUESTS_AHEAD = 2
"""Requests that are under way, or whose bytes wait to be used, besides the one whose bytes are used."""
MOST_CONTENTS = 256
"""Contents of one request: the blocks of zeros of a file are all the same one."""


def runs_in_order(entries: Iterable[IndexEntry]) -> Iterator[Run]:
    """Group contents that follow each other, both in this order and in their pack."""
    group: list[IndexEntry] = []
    pack, start, end = BlobID(""), 0, 0
    for entry in entries:
        entry_end = entry.pack_offset + entry.packed_length
        if (
            group
            and entry.pack_blob == pack
            and (entry.pack_offset == end or entry == group[-1])
            and entry_end - start <= MAX_REQUEST
            and len(group) < MOST_CONTENTS
        ):
            group.append(entry)
            end = entry_end
            continue
        if group:
            yield Run(pack, start, end - start, tuple(group))
        group, pack, start, end = [entry], BlobID(entry.pack_blob), entry.pack_offset, entry_end
    if group:
        yield Run(pack, start, end - start, tuple(group))


def read_ahead(
    entries: Iterable[IndexEntry],
    *,
    fetch: Callable[[Run], memoryview | None],
    open_one: Callable[[IndexEntry, memoryview | None], bytes],
) -> Iterator[bytes]:
    """Yield contents in order.

    Args:
        entries: of the contents.
        fetch: returns the bytes of a run, called from several threads; None when they can't be had in one piece.
        open_one: returns a content from the bytes it has in its pack, or reads it by itself when they are None.
    """
    waiting: deque[tuple[Run, Future[memoryview | None]]] = deque()

    def opened() -> Iterator[bytes]:
        run, future = waiting.popleft()
        data = future.result()
        for entry in run.entries:
            start = entry.pack_offset - run.offset
            yield open_one(entry, None if data is None else data[start : start + entry.packed_length])

    with ThreadPoolExecutor(REQUESTS_AHEAD, thread_name_prefix="pykopia-ahead") as pool:
        for run in runs_in_order(entries):
            waiting.append((run, pool.submit(fetch, run)))
            if len(waiting) > REQUESTS_AHEAD:
                yield from opened()
        while waiting:
            yield from opened()


__all__ = ["MAX_REQUEST", "read_ahead", "runs_in_order"]
