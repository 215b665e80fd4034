"""Which contents of the index are really stored: live, and in a pack that is there.

A snapshot takes unchanged files over from an earlier one without reading them, and stores no content that the index has.
Both would hand a loss on for ever: what the index does not have any more, or has in a pack that is gone, is to be read and
stored again, as long as the source still has it.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cached_property
from typing import Self

from pykopia.dataclass import dataclass
from pykopia.errors import BlobNotFoundError, InvalidIDError, PykopiaError
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import SESSION_PREFIX, is_pack
from pykopia.format.content_id import key_of
from pykopia.format.index_merge import MergedIndex
from pykopia.format.object_id import parse_object_id
from pykopia.format.session import session_of_blob
from pykopia.ids import BlobID
from pykopia.repository.content_writer import ContentWriter
from pykopia.repository.core import Core
from pykopia.repository.view import MAX_V1_ENTRIES, MAX_WALKED_PACKS

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """Result of one listing of packs, compared with the index."""

    missing: frozenset[str] = frozenset()
    """Packs that an index blob names, perhaps by an entry that does not count any more, and that were not listed."""
    unlisted: bool = False
    """Whether there is a pack that no index blob names, of a session that came to its end."""
    blobs: Sequence[BlobMetadata] | None = None
    """All blobs, where they were listed."""


class StoredPacks:
    """Finds lost packs by one listing in the background."""

    def __init__(self, repository: Core) -> None:
        """Begin to list the packs, unless that would cost more than the snapshot."""
        self._storage = repository.storage
        self._lost: dict[str, bool] = {}
        self._closed = False
        self._listing: Future[Listed] | None = None
        named = _named(repository.contents.indexes.merged)
        if named is None or (len(named) > MAX_WALKED_PACKS and repository.storage.has_slow_listings):
            return
        thread = ThreadPoolExecutor(1, thread_name_prefix="pykopia-packs")
        self._listing = thread.submit(self._list, named)
        thread.shutdown(wait=False)

    def close(self) -> None:
        """Stop listing, and wait for the request that is under way: the storage may be closed afterwards."""
        self._closed = True
        if self._listing is not None:
            wait([self._listing])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _list(self, named: frozenset[str]) -> Listed:
        blobs: list[BlobMetadata] = []
        try:
            for blob in self._storage.list(""):
                if self._closed:
                    return Listed()
                blobs.append(blob)
        except PykopiaError as error:
            log.warning("the packs can't be listed, so lost ones are not noticed: %s", error)
            return Listed()
        names = {blob.blob_id for blob in blobs}
        running = {session_of_blob(name) for name in names if name.startswith(SESSION_PREFIX)}
        doubtful = (name for name in names - named if is_pack(name))
        unlisted = any(session_of_blob(name) not in running for name in doubtful)
        return Listed(missing=named - names, unlisted=unlisted, blobs=blobs)

    @cached_property
    def listed(self) -> Listed:
        """Result of the listing once it is done; empty if no listing was made."""
        return Listed() if self._listing is None else self._listing.result()

    def is_lost(self, pack: str) -> bool:
        """Return True if a pack is not there; looked up once more before it is said."""
        if pack not in self.listed.missing:
            return False
        known = self._lost.get(pack)
        if known is None:
            try:
                self._storage.metadata(BlobID(pack))
                known = False
            except BlobNotFoundError:
                known = True
                log.warning("pack %s is missing: what it held and the source still has is stored again", pack)
            self._lost[pack] = known
        return known


def _named(merged: MergedIndex) -> frozenset[str] | None:
    """Return the packs that index blobs name; None where that would take too long to find out."""
    if any(file.version == 1 and len(file) > MAX_V1_ENTRIES for file in merged.files):
        return None
    return merged.pack_names()


class StoredObjects:
    """Finds objects of earlier snapshots that are complete, without reading data."""

    def __init__(self, repository: Core, writer: ContentWriter, packs: StoredPacks) -> None:
        self._objects = repository.objects
        self._contents = repository.contents
        self._writer = writer
        self._packs = packs
        self._lists: dict[str, bool] = {}

    def lacking(self, object_ids: Sequence[str]) -> list[int]:
        """Return the positions of objects of which not all contents are stored.

        The contents of a list of chunks are only looked up where the list can be read cheaply, or where a part of the index
        or a pack is lost.
        """
        if self._packs.listed.missing:
            doubtful: Sequence[int] = range(len(object_ids))
        else:
            # most files are a single content, and all packs are there
            doubtful = self._contents.indexes.merged.without_live(object_ids)
        return [number for number in doubtful if not self._is_whole(object_ids[number])]

    def _is_whole(self, object_id: str) -> bool:
        try:
            parsed = parse_object_id(object_id)
            if not self._is_stored(parsed.content_id):
                return False
            if not parsed.indirection or not self._is_deep:
                return True
            known = self._lists.get(object_id)
            if known is None:
                known = all(map(self._is_stored, self._objects.contents_of(object_id)))
                self._lists[object_id] = known
        except InvalidIDError:
            return False
        except PykopiaError as error:
            log.warning("object %s can't be taken over: %s", object_id, error)
            return False
        return known

    @property
    def _is_deep(self) -> bool:
        listed = self._packs.listed
        return not self._contents.costly_requests or bool(listed.missing) or listed.unlisted

    def _is_stored(self, content_id: str) -> bool:
        key = key_of(content_id)
        entry = self._writer.entry(key)
        return entry is not None and not entry.deleted and not self._packs.is_lost(entry.pack_blob)


__all__ = ["MAX_WALKED_PACKS", "Listed", "StoredObjects", "StoredPacks"]
