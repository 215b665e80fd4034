"""What a writer has added since its last flush, in the memory of an index file: some 50 bytes a content.

The entries of a pack are objects until the pack is stored. Then they are what its local index says, and local indexes are
merged as they come, each with those that are not more than twice as long: so a look-up searches few of them, and a
content is merged a logarithmic number of times.
"""

import threading
from collections.abc import Mapping
from itertools import islice

from pykopia.format.index import IndexEntry, IndexFile
from pykopia.format.index_build import build_indexes
from pykopia.format.index_merge import MergedIndex, merge_index_files

FORGOTTEN_AT_ONCE = 1000
"""Entries that are dropped while others wait for the lock."""


class SessionIndex:
    """The entries of one write session.

    ``get`` needs no lock. ``add`` is called with the writer's lock held.

    Args:
        version: of index files.
        lock: the writer's.
    """

    def __init__(self, version: int, lock: threading.Lock) -> None:
        self._version = version
        self._lock = lock
        self._recent: dict[bytes, IndexEntry] = {}
        """By key, of packs that are not stored yet, and marks that went into no pack."""
        self._merging = threading.Lock()
        self.settled = MergedIndex([])
        """Entries of packs that are stored; another object when there are more."""

    def __bool__(self) -> bool:
        """Whether anything was added."""
        return bool(self._recent or self.settled.files)

    def get(self, key: bytes, *, searched: MergedIndex | None = None) -> IndexEntry | None:
        """Return the newest entry of a key, a deleted one too, or None.

        Args:
            key: of a content.
            searched: ``settled`` as it was when this key was not found.
        """
        recent = self._recent.get(key)
        if recent is not None or self.settled is searched:
            return recent
        return self.settled.winner(key)

    def add(self, key: bytes, entry: IndexEntry) -> None:
        """Add an entry, which is newer than that of the same key if there is one."""
        self._recent[key] = entry

    def settle(self, local_index: bytes, entries: Mapping[bytes, IndexEntry]) -> None:
        """Keep the entries of a pack that was stored, by key, in the form of its local index."""
        with self._merging:
            files = [*self.settled.files, IndexFile(local_index)]
            while len(files) > 1 and len(files[-2]) <= 2 * len(files[-1]):
                merged = merge_index_files(files[-2:], version=self._version)
                if len(merged) != 1:
                    break  # more than one file may hold
                files[-2:] = [IndexFile(merged[0])]
            # before the objects are dropped: a look-up finds each entry in one place at least
            self.settled = MergedIndex(files)
        recent, left = self._recent, iter(entries.items())
        while some := list(islice(left, FORGOTTEN_AT_ONCE)):
            with self._lock:
                for key, entry in some:
                    if recent.get(key) is entry:
                        del recent[key]

    def index_files(self) -> list[bytes]:
        """Return all of it as new index files, one for as many entries as a file may hold."""
        recent = build_indexes(list(self._recent.values()), version=self._version)
        if not self.settled.files:
            return recent
        return merge_index_files([*self.settled.files, *map(IndexFile, recent)], version=self._version)


__all__ = ["SessionIndex"]
