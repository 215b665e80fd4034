"""Reading contents: from the index entry to the bytes.

Facts: format 02 §7 (what deleted means), §12 (read path), §15 (verification).
"""

import contextlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeAlias

from pykopia.crew import Crew
from pykopia.dataclass import dataclass
from pykopia.errors import (
    BlobNotFoundError,
    ContentNotFoundError,
    DamagedPackError,
    InvalidRangeError,
    PykopiaError,
)
from pykopia.format.blob_names import METADATA_PACK_PREFIX, PACK_PREFIXES
from pykopia.format.content_id import key_of
from pykopia.format.index import IndexEntry
from pykopia.ids import BlobID, Buffer
from pykopia.index.store import IndexStore
from pykopia.repository.buffers import LargeBuffer
from pykopia.repository.cache import BlobCache
from pykopia.repository.memory_cache import MemoryCache
from pykopia.repository.runs import MAX_RUN_IN_ORDER, Run, plan_runs, runs_in_order
from pykopia.repository.spans import PackSpans
from pykopia.sealing.batch import Packed
from pykopia.sealing.content_sealer import ContentSealer
from pykopia.storage.base import BlobStorage

OPENED_AT_ONCE = 4 << 20
"""Bytes of contents in memory at once for each thread that reads many, unless a single one has more."""
MEMORY_CACHE_BYTES = 48 << 20
"""Metadata packs kept in memory: two of the usual size and some small ones."""

KEPT_PACK_BYTES = 1 << 20
"""Size up to which a metadata pack is put into the cache when it is stored."""
PARALLEL_PACKS = 8
"""Packs that ``read_each`` fetches at one time."""

_Contents: TypeAlias = list[tuple[IndexEntry, bytes | PykopiaError]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentCaches:
    """Local caches of packs; None for a cache that is not used."""

    metadata: BlobCache | None = None
    """Cache of whole metadata packs."""
    data: BlobCache | None = None
    """Single data contents, sealed as in their packs."""


class ContentStore:
    """Reads contents of a repository; safe for threads."""

    def __init__(
        self,
        storage: BlobStorage,
        indexes: IndexStore,
        sealer: ContentSealer,
        caches: ContentCaches | None = None,
        *,
        costly_requests: bool = False,
    ) -> None:
        """Read through ``caches``; without them every content is a range request of its own.

        Where requests are costly, what lies around the contents that ``read_run`` fetches comes along, for those who need
        it next.
        """
        self._storage = storage
        self.indexes = indexes
        self.sealer = sealer
        self._caches = caches
        self._packs: MemoryCache[BlobID, bytes] = MemoryCache(MEMORY_CACHE_BYTES)
        self.costly_requests = costly_requests
        self._spans = PackSpans(storage.get, lambda pack: storage.metadata(pack).length) if costly_requests else None

    def close(self, closed: BlobStorage) -> None:
        """End reading: ``closed``, which refuses every access, takes the place of the storage."""
        self.indexes.end()
        self._storage = closed
        self._spans = None
        self._packs.clear()

    # ------------------------------------------------------------------ looking up

    def find(self, key: bytes) -> IndexEntry | None:
        """Return the newest entry of an index key, deleted ones and those behind the watermark too."""
        return self.indexes.merged.winner(key)

    def entry(self, content_id: str) -> IndexEntry:
        """Return where a content is stored; a deleted one too, as long as the index has it.

        Raises:
            ContentNotFoundError: the index has no such content.
        """
        entry = self.indexes.merged.find(key_of(content_id))
        if entry is None:
            damaged = ", ".join(self.indexes.damaged)
            raise ContentNotFoundError(
                f"content {content_id} is not in the repository's index"
                + (f", of which {damaged} can't be read" if damaged else "")
                + "; `index recover` finds it again if its pack is still there"
            )
        return entry

    def exists(self, content_id: str) -> bool:
        """Return True if the index has a content, deleted ones too."""
        return self.indexes.merged.contains(key_of(content_id))

    def list(self, start: str = "", end: str = "{", *, include_deleted: bool = False) -> Iterator[IndexEntry]:
        """Yield the entries with ``start <= ID < end`` in order of their IDs.

        All contents without a prefix letter are those from ``"0"`` to ``"g"``, those with prefix p from ``p`` to
        ``p + "{"`` (format 02 §1).
        """
        return self.indexes.merged.entries(start, end, include_deleted=include_deleted)

    # ------------------------------------------------------------------ reading

    def get(self, content_id: str, *, check: bool = False) -> bytes:
        """Return the bytes of a content.

        Args:
            content_id: its ID.
            check: also hash the bytes and compare with the ID; the cipher has authenticated them already.

        Raises:
            ContentNotFoundError: the index has no such content.
            BlobNotFoundError: its pack is missing.
            DamagedDataError: its pack is cut off, or its bytes are not what they were.
        """
        return self.read(self.entry(content_id), check=check)

    def read(self, entry: IndexEntry, *, check: bool = False) -> bytes:
        """Return the bytes that an index entry refers to."""
        entry, stored = self._found(entry)
        return self._unsealed(entry, stored, check=check)

    def read_each(self, entries: Iterable[IndexEntry]) -> Iterator[tuple[IndexEntry, bytes | PykopiaError]]:
        """Yield contents, or what is wrong with them (see ``read``), pack by pack; several packs are fetched at one time."""
        packs: dict[str, list[IndexEntry]] = {}
        for entry in entries:
            packs.setdefault(entry.pack_blob, []).append(entry)

        def read_pack(pack: Sequence[IndexEntry]) -> _Contents:
            return [(entry, self._content_or_error(entry)) for entry in pack]

        if len(packs) <= 1 or not self.costly_requests:
            yield from chain.from_iterable(map(read_pack, packs.values()))
            return
        with Crew[_Contents](PARALLEL_PACKS, most=2 * PARALLEL_PACKS, name="pykopia-contents") as crew:
            yield from chain.from_iterable(crew.map(read_pack, packs.values()))

    def _content_or_error(self, entry: IndexEntry) -> bytes | PykopiaError:
        try:
            return self.read(entry)
        except PykopiaError as error:
            return error

    def payload(self, entry: IndexEntry) -> Packed:
        """Return what a content was sealed from, its ID checked, to be stored again (see ``read`` for errors)."""
        entry, stored = self._found(entry)
        return self.sealer.reopen(
            stored,
            key_of(entry.content_id),
            compression=entry.compression,
            original_length=entry.original_length,
        )

    def get_many(
        self,
        content_ids: Iterable[str],
        *,
        limit: int | None = None,
        lengths: Mapping[str, int] | None = None,
    ) -> dict[str, bytes]:
        """Return contents by ID, neighbours in a pack read together; those that can't be read are left out.

        Args:
            content_ids: their IDs.
            limit: bytes after which the rest is left out too.
            lengths: expected bytes by ID. A content that has another length by the index is not read at all, so sizes
                that lie cost no memory.
        """
        find = self.indexes.merged.find
        packs: dict[BlobID, list[IndexEntry]] = {}
        entries: list[IndexEntry] = []
        for content_id in content_ids:
            entry = find(key_of(content_id))
            if entry is None or (lengths is not None and entry.original_length != lengths.get(content_id)):
                continue
            if self._caches is not None and entry.pack_blob.startswith(METADATA_PACK_PREFIX):
                packs.setdefault(entry.pack_blob, []).append(entry)
            else:
                entries.append(entry)
            if limit is not None:
                limit -= entry.original_length
                if limit < 0:
                    break
        runs = (self.read_run(run) for run in plan_runs(entries))
        wholes = (self._read_pack(pack, wanted) for pack, wanted in packs.items())
        return {
            str(entry.content_id): data
            for each in chain(wholes, runs)
            for entry, data in each
            if isinstance(data, bytes)
        }

    def _read_pack(
        self, pack_blob: BlobID, entries: Sequence[IndexEntry]
    ) -> Iterator[tuple[IndexEntry, bytes | PykopiaError]]:
        """Open contents of a metadata pack, see ``read_run``; nothing when there is no such pack."""
        try:
            data = self._metadata_pack(pack_blob)
        except PykopiaError:
            return
        run = Run(pack_blob, 0, len(data), tuple(entries))
        for group in _groups(entries):
            yield from self._open(run, group, memoryview(data), check=False)

    def runs_in_order(self, content_ids: Iterable[str]) -> Iterator[Run]:
        """Yield runs of contents that are needed in this order; where requests cost little, each content by itself.

        Raises:
            ContentNotFoundError: the index does not have one of them.
        """
        return runs_in_order(map(self.entry, content_ids), limit=MAX_RUN_IN_ORDER if self.costly_requests else 0)

    def read_in_order(self, run: Run) -> Iterator[bytes]:
        """Yield the contents of a run in order (see ``get`` for errors), fetched by one request if that is possible."""
        data = None
        if self.costly_requests:
            # without the whole run, reading them one by one tells what is wrong, and with which
            with contextlib.suppress(PykopiaError):
                data = memoryview(self._storage.get(run.pack_blob, run.offset, run.length))
        for entry in run.entries:
            if data is None:
                yield self.read(entry)
            else:
                start = entry.pack_offset - run.offset
                yield self._unsealed(entry, data[start : start + entry.packed_length], check=False)

    def expect(self, content_ids: Iterable[str]) -> None:
        """Record contents that ``get_many`` will be asked for soon, some at a time: neighbours are fetched at once.

        Where requests cost little this does nothing.
        """
        if self._spans is None:
            return
        find = self.indexes.merged.find
        entries = [entry for content_id in content_ids if (entry := find(key_of(content_id))) is not None]
        for run in plan_runs(entries):
            self._spans.expect(run.pack_blob, run.offset, run.offset + run.length, _gaps(run))

    def read_run(self, run: Run, *, check: bool = False) -> Iterator[tuple[IndexEntry, bytes | PykopiaError]]:
        """Read a run of contents; yield each entry with its content, or with what is wrong with it.

        When the run can't be fetched in one piece (a pack that is cut off, or was moved by maintenance), its contents are
        read one by one, so that an error is told for just those that it concerns.
        """
        try:
            data = self.fetch_run(run)
        except PykopiaError:
            for entry in run.entries:
                try:
                    yield entry, self.read(entry, check=check)
                except PykopiaError as error:
                    yield entry, error
            return
        for group in _groups(run.entries):
            yield from self._open(run, group, data, check=check)

    def fetch_run(self, run: Run, buffer: LargeBuffer | None = None) -> memoryview:
        """Return the bytes of a pack from the first content of a run to the end of the last.

        Args:
            run: what to fetch.
            buffer: where the bytes may be put.

        Raises:
            PykopiaError: the pack is missing or too short, or the storage fails.
        """
        if self._spans is None:
            if buffer is None or run.length > len(buffer):
                return memoryview(self._storage.get(run.pack_blob, run.offset, run.length))
            view = memoryview(buffer)[: run.length]
            self._storage.get_into(run.pack_blob, view, run.offset)
            return view
        alone = len(run.entries) == 1
        return memoryview(self._spans.get(run.pack_blob, run.offset, run.length, alone=alone, cuts=_gaps(run)))

    def check_runs(
        self, fetched: Sequence[tuple[Run, memoryview]], wanted: Container[str] = frozenset()
    ) -> Iterator[tuple[IndexEntry, bytes | PykopiaError | None]]:
        """Open and hash the contents of runs that were fetched, all at once.

        Args:
            fetched: the runs and their bytes.
            wanted: IDs of contents that are not only checked.

        Yields:
            Each entry with what is wrong with it, else with its content if that was requested.
        """
        rows = [(run, data, entry) for run, data in fetched for entry in run.entries]
        good = self.sealer.batches.check(
            [data for _, data, _ in rows],
            [key_of(entry.content_id) for _, _, entry in rows],
            [entry.pack_offset - run.offset for run, _, entry in rows],
            [entry.packed_length for _, _, entry in rows],
            [entry.compression for _, _, entry in rows],
            [entry.original_length for _, _, entry in rows],
        )
        for (run, data, entry), well in zip(rows, good, strict=True):
            found: bytes | PykopiaError | None = None
            if not well or entry.content_id in wanted:
                start = entry.pack_offset - run.offset
                try:
                    found = self._unsealed(entry, data[start : start + entry.packed_length], check=True)
                except PykopiaError as wrong:
                    found = wrong
            yield entry, found

    def _open(
        self, run: Run, entries: Sequence[IndexEntry], data: memoryview, *, check: bool
    ) -> Iterator[tuple[IndexEntry, bytes | PykopiaError]]:
        """Open contents of a run that was fetched."""
        opened = self.sealer.batches.open(
            data,
            [key_of(entry.content_id) for entry in entries],
            [entry.pack_offset - run.offset for entry in entries],
            [entry.packed_length for entry in entries],
            [entry.compression for entry in entries],
            [entry.original_length for entry in entries],
            check,
        )
        for entry, content in zip(entries, opened, strict=True):
            if content is not None:
                yield entry, content
                continue
            start = entry.pack_offset - run.offset
            try:
                yield entry, self._unsealed(entry, data[start : start + entry.packed_length], check=check)
            except PykopiaError as error:
                yield entry, error

    def _unsealed(self, entry: IndexEntry, stored: Buffer, *, check: bool) -> bytes:
        return self.sealer.open(
            stored,
            key_of(entry.content_id),
            compression=entry.compression,
            original_length=entry.original_length,
            check=check,
        )

    def _found(self, entry: IndexEntry) -> tuple[IndexEntry, bytes]:
        """Return the sealed bytes of a content, and its entry: maintenance may have moved the content (format 02 §12)."""
        try:
            return entry, self._stored(entry)
        except BlobNotFoundError:
            moved = self._moved(entry)
            if moved is None:
                raise
            return moved, self._stored(moved)

    def _moved(self, entry: IndexEntry) -> IndexEntry | None:
        """Return the entry after a fresh look at the index, None when it is the same."""
        self.indexes.load()
        newer = self.indexes.merged.find(key_of(entry.content_id))
        return None if newer is None or newer.pack_blob == entry.pack_blob else newer

    def _stored(self, entry: IndexEntry) -> bytes:
        """Return the sealed bytes of a content."""
        caches = self._caches
        if caches is None:
            return self._range(entry)
        if entry.pack_blob.startswith(METADATA_PACK_PREFIX):
            return self._cut(entry, self._metadata_pack(entry.pack_blob))
        if caches.data is None:
            return self._range(entry)
        name = f"{entry.content_id}.{entry.compression:x}"
        stored = caches.data.get(name)
        if stored is None or len(stored) != entry.packed_length:
            stored = self._range(entry)
            caches.data.put(name, stored)
        return stored

    def _metadata_pack(self, pack_blob: BlobID) -> bytes:
        """Return a whole pack, from memory or the cache if it is there."""
        pack = self._packs.get(pack_blob)
        if pack is not None:
            return pack
        cache = None if self._caches is None else self._caches.metadata
        pack = None if cache is None else cache.get(pack_blob)
        if pack is None:
            pack = self._storage.get(pack_blob)
            if cache is not None:
                cache.put(pack_blob, pack)
        self._packs.put(pack_blob, pack, len(pack))
        return pack

    def keep_pack(self, pack_blob: BlobID, pack: Buffer) -> None:
        """Put a small metadata pack that was just stored into the cache: its manifests are read soon."""
        cache = None if self._caches is None else self._caches.metadata
        if cache is not None and pack_blob.startswith(METADATA_PACK_PREFIX) and len(pack) <= KEPT_PACK_BYTES:
            cache.put(pack_blob, bytes(pack))

    @staticmethod
    def _cut(entry: IndexEntry, pack: bytes) -> bytes:
        end = entry.pack_offset + entry.packed_length
        if end > len(pack):
            raise _cut_off(entry)
        return pack[entry.pack_offset : end]

    def _range(self, entry: IndexEntry) -> bytes:
        place = (BlobID(entry.pack_blob), entry.pack_offset, entry.packed_length)
        try:
            if self._spans is not None and self._spans.knows(place[0]):
                return bytes(self._spans.get(*place, alone=True))
            return self._storage.get(*place)
        except InvalidRangeError as error:
            raise _cut_off(entry) from error

    # ------------------------------------------------------------------ verifying

    def verify(
        self,
        entries: Iterator[IndexEntry],
        *,
        read: Callable[[IndexEntry], bool],
        report: Callable[[IndexEntry, Exception | None], None],
        packs: Sequence[str] = PACK_PREFIXES,
    ) -> None:
        """Check that each entry is within its pack, and read those for which ``read`` says so (format 02 §15).

        Args:
            entries: what to check, as ``list`` yields it.
            read: whether a content is read, decrypted and hashed too.
            report: told of every entry, with what is wrong with it or None.
            packs: what the names of the packs of these entries begin with; only such packs are listed.
        """
        lengths: dict[BlobID, int | None] = {
            blob.blob_id: blob.length for beginning in packs for blob in self._storage.list(beginning)
        }
        for entry in entries:
            try:
                if entry.pack_blob not in lengths:  # written since, or of another name than packs have
                    lengths[entry.pack_blob] = self._length_of(entry.pack_blob)
                length = lengths[entry.pack_blob]
                if length is None:
                    raise BlobNotFoundError(entry.pack_blob, self._storage.display_name)
                if entry.pack_offset + entry.packed_length > length:
                    raise _cut_off(entry)
                if read(entry):
                    self.read(entry, check=True)
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is reported as this content's error
                report(entry, error)
            else:
                report(entry, None)

    def _length_of(self, pack: BlobID) -> int | None:
        """Return the bytes of a pack, None if there is none."""
        try:
            return self._storage.metadata(pack).length
        except BlobNotFoundError:
            return None


def _gaps(run: Run) -> Iterator[int]:
    """Yield where the gaps between the contents of a run begin and end."""
    position = run.offset
    for entry in run.entries:
        if entry.pack_offset > position:
            yield position
            yield entry.pack_offset
        position = max(position, entry.pack_offset + entry.packed_length)


def _groups(entries: Sequence[IndexEntry]) -> Iterator[Sequence[IndexEntry]]:
    """Divide contents into groups that are opened at once: some MiB each, whatever they expand to."""
    start = size = 0
    for number, entry in enumerate(entries):
        if number > start and size + entry.original_length > OPENED_AT_ONCE:
            yield entries[start:number]
            start, size = number, 0
        size += entry.original_length
    yield entries[start:]


def _cut_off(entry: IndexEntry) -> DamagedPackError:
    return DamagedPackError(
        f"pack {entry.pack_blob} is cut off: content {entry.content_id} should lie at {entry.pack_offset}, "
        f"{entry.packed_length} bytes; restore the blob from a copy of the repository if there is one"
    )


__all__ = ["ContentCaches", "ContentStore"]
