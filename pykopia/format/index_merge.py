"""Several index files as one: which entry of a content counts (format 02 §6), look-up, iteration and compaction."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from heapq import merge
from operator import attrgetter

from pykopia.format.content_id import ALL, id_of, key_of
from pykopia.format.index import IndexFile
from pykopia.format.index_build import build_indexes, check_shard_limit, check_version
from pykopia.format.index_layout import MAX_SHARD_ENTRIES, IndexEntry, wins

try:
    from pykopia.format import _index, _index_build
except ImportError:  # no compiler at installation
    _index = _index_build = None  # type: ignore[assignment]


_CONTENT_ID = re.compile(r"[g-z]?(?:[0-9a-f]{2})+")


class PythonMergedTable:
    """Look up keys in several files: the readable definition of the native ``_index.MergedTable``."""

    def __init__(self, files: Sequence[IndexFile], watermark: int | None) -> None:
        self._files, self._watermark = files, watermark

    def winner(self, key: bytes) -> IndexEntry | None:
        """See ``MergedIndex.winner``."""
        best = None
        for file in self._files:
            entry = file.find(key)
            if entry is not None and (best is None or wins(entry, best)):
                best = entry
        return best

    def find(self, key: bytes) -> IndexEntry | None:
        """See ``MergedIndex.find``."""
        entry = self.winner(key)
        return None if entry is None or is_hidden(entry, self._watermark) else entry

    def contains(self, key: bytes) -> bool:
        """See ``MergedIndex.contains``."""
        return self.find(key) is not None

    def is_live(self, key: bytes) -> bool:
        """See ``MergedIndex.is_live``."""
        entry = self.winner(key)
        return entry is not None and not entry.deleted

    def without_live(self, content_ids: Sequence[str]) -> list[int]:
        """See ``MergedIndex.without_live``."""
        return [number for number, text in enumerate(content_ids) if not self._has_live(text)]

    def _has_live(self, content_id: str) -> bool:
        if not _CONTENT_ID.fullmatch(content_id):
            return False
        return self.is_live(key_of(content_id))


class MergedIndex:
    """The entries of all active index files: what a repository contains.

    The look-ups take keys (``content_id.key_of``) and raise ``DamagedIndexError`` when an entry can't be decoded.

    Args:
        files: The active set, in any order. They stay open and in use.
        watermark: Deletion watermark of the epochs in seconds since 1970, or None without one: deleted contents of
            that time or earlier are treated as if they did not exist.
    """

    winner: Callable[[bytes], IndexEntry | None]
    """Return the entry of a key that wins over all others, even when the watermark hides it.

    A new entry must be later than this one to count, whatever the local clock says (format 02 §19).
    """

    find: Callable[[bytes], IndexEntry | None]
    """Return the entry of a key, live or deleted, or None."""

    contains: Callable[[bytes], bool]
    """Return True if a key has an entry, live or deleted."""

    is_live: Callable[[bytes], bool]
    """Return True if a key has an entry that is not deleted: such a content need not be written again."""

    without_live: Callable[[Sequence[str]], list[int]]
    """Return the positions in a list of IDs of those that are no ID of a content with a live entry.

    For an object ID this tells whether the object is one live content.
    """

    def __init__(self, files: Sequence[IndexFile], *, watermark: int | None = None) -> None:
        self.files = tuple(files)
        self.watermark = watermark
        tables = _native_tables(self.files)
        table = PythonMergedTable(self.files, watermark) if tables is None else _index.MergedTable(tables, watermark)
        self.winner, self.find = table.winner, table.find
        self.contains, self.is_live = table.contains, table.is_live
        self.without_live = table.without_live

    def __repr__(self) -> str:
        return f"<MergedIndex of {len(self.files)} files, watermark {self.watermark}>"

    @property
    def approximate_count(self) -> int:
        """Number of entries in all files; a content that is listed in several counts as often."""
        return sum(map(len, self.files))

    def pack_names(self) -> frozenset[str]:
        """Return the packs that any entry names, even one that does not count.

        Raises:
            DamagedIndexError: A name lies outside its file.
        """
        return frozenset().union(*(file.pack_names() for file in self.files))

    def find_many(self, keys: Iterable[bytes]) -> list[IndexEntry | None]:
        """Return the entry of each key, or None, in the order of ``keys``."""
        find = self.find
        return [find(key) for key in keys]

    def entries(
        self, start: str = ALL.start, end: str = ALL.end, *, include_deleted: bool = False
    ) -> Iterator[IndexEntry]:
        """Yield the entry of each content whose ID is in the half-open range, in the order of IDs.

        Raises:
            DamagedIndexError: An entry can't be decoded, or is out of order.
        """
        tables = _native_tables(self.files)
        if tables is not None:
            hidden = -1 if self.watermark is None else self.watermark
            bounds = [file.positions(start, end) for file in self.files]
            return _index.Winners(tables, bounds, hidden if include_deleted else None)
        return (
            entry
            for entry in _winners(self.files, start, end)
            if not entry.deleted or (include_deleted and not is_hidden(entry, self.watermark))
        )


def is_hidden(entry: IndexEntry, watermark: int | None) -> bool:
    """Return True if a deletion watermark hides an entry that has won (format 02 §6)."""
    return watermark is not None and entry.deleted and entry.timestamp <= watermark


def _native_tables(files: Sequence[IndexFile]) -> "list[_index.IndexTable] | None":
    """Return the native tables of the files, or None when one has none."""
    if _index is not None:
        tables = [file.table for file in files if isinstance(file.table, _index.IndexTable)]
        if len(tables) == len(files):
            return tables
    return None


def _winners(files: Iterable[IndexFile], start: str = ALL.start, end: str = ALL.end) -> Iterator[IndexEntry]:
    """Yield the winning entry of each content in the order of IDs."""
    best: IndexEntry | None = None
    for entry in merge(*(file.entries(start, end) for file in files), key=attrgetter("content_id")):
        if best is not None and best.content_id == entry.content_id:
            if wins(entry, best):
                best = entry
            continue
        if best is not None:
            yield best
        best = entry
    if best is not None:
        yield best


def merge_index_files(
    files: Sequence[IndexFile],
    *,
    version: int,
    drop: Collection[bytes] = (),
    drop_deleted_before: int | None = None,
    max_entries: int = MAX_SHARD_ENTRIES,
) -> list[bytes]:
    """Return new index files that hold what the given ones hold together: compaction.

    Entries are dropped after the complete merge; dropping them file by file would bring older ones back. Dropping is
    only safe when ``files`` is the complete active set (format 02 §8); epoch compaction never drops (§9.11).

    Args:
        files: What to merge, in any order and of any versions.
        version: Format version of the result.
        drop: Keys of contents to leave out.
        drop_deleted_before: Leave out deleted contents whose entry is older than this, in seconds since 1970.
        max_entries: Limit of entries in one file; more are spread over several.

    Returns:
        One file a shard, without a random tail; none when nothing is left.

    Raises:
        DamagedIndexError: An entry can't be decoded, or is out of order.
        UnsupportedFormatError: The version is neither 1 nor 2.
        UsageError: An entry does not fit into a file of this version.
    """
    check_version(version)
    check_shard_limit(max_entries)
    tables = _native_tables(files)
    if tables is not None:
        merged = _index_build.merge_tables(tables, version, drop, drop_deleted_before, max_entries)
        if merged is not None:
            return merged
    dropped = {id_of(key) for key in drop}
    kept = [
        entry
        for entry in _winners(files)
        if entry.content_id not in dropped
        and not (drop_deleted_before is not None and entry.deleted and entry.timestamp < drop_deleted_before)
    ]
    return build_indexes(kept, version=version, max_entries=max_entries)


__all__ = ["MergedIndex", "PythonMergedTable", "is_hidden", "merge_index_files", "wins"]
