"""Reading many contents with few requests: neighbours in a pack are fetched together, each byte once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pykopia.errors import PykopiaError
from pykopia.format.content_id import key_of
from pykopia.format.index import IndexEntry
from pykopia.ids import BlobID
from pykopia.repository.contents import ContentStore
from pykopia.storage.base import BlobStorage

MAX_RUN = 8 << 20
"""Bytes that are fetched by one request, unless a single content is larger."""
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
    group: list[IndexEntry] = []
    start = end = 0
    pack = BlobID("")
    for entry in sorted(set(entries), key=lambda each: (each.pack_blob, each.pack_offset)):
        entry_end = entry.pack_offset + entry.packed_length
        if (
            group
            and entry.pack_blob == pack
            and entry.pack_offset - end <= MAX_GAP
            and max(end, entry_end) - start <= MAX_RUN
        ):
            group.append(entry)
            end = max(end, entry_end)
            continue
        if group:
            yield Run(pack, start, end - start, tuple(group))
        group, pack, start, end = [entry], BlobID(entry.pack_blob), entry.pack_offset, entry_end
    if group:
        yield Run(pack, start, end - start, tuple(group))


def read_run(
    storage: BlobStorage, contents: ContentStore, run: Run, *, check: bool = False
) -> Iterator[tuple[IndexEntry, bytes | PykopiaError]]:
    """Fetch a run; yield each entry with its content, or with what is wrong with it.

    When the run can't be fetched in one piece (a pack that is cut off, or was moved by maintenance), its contents are read
    one by one, so that an error is told for just those that it concerns.
    """
    try:
        data = memoryview(storage.get(run.pack_blob, run.offset, run.length))
    except PykopiaError:
        for entry in run.entries:
            try:
                yield entry, contents.read(entry, check=check)
            except PykopiaError as error:
                yield entry, error
        return
    for entry in run.entries:
        start = entry.pack_offset - run.offset
        try:
            yield (
                entry,
                contents.sealer.open(
                    data[start : start + entry.packed_length],
                    key_of(entry.content_id),
                    compression=entry.compression,
                    original_length=entry.original_length,
                    check=check,
                ),
            )
        except PykopiaError as error:
            yield entry, error


__all__ = ["Run", "plan_runs", "read_run"]
