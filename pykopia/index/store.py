"""Loading, searching and extending the index of a repository.

Facts: format 02 §13 (loading). Which index blobs count is the layout's business.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pykopia.crew import in_parallel
from pykopia.dataclass import dataclass
from pykopia.errors import BlobNotFoundError, ClosedError, DamagedIndexError
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import PACK_PREFIXES
from pykopia.format.epoch import EpochState
from pykopia.format.index import IndexFile
from pykopia.format.index_merge import MergedIndex
from pykopia.format.repository_format import RepositoryFormat
from pykopia.format.whole_blob import Sealer
from pykopia.ids import BlobID
from pykopia.index.index_blobs import WAY_OUT, IndexBlobs
from pykopia.index.layout import IndexLayout
from pykopia.index.local_files import LocalIndexFiles
from pykopia.storage.base import BlobStorage

log = logging.getLogger(__name__)

PARALLEL_FETCHES = 8
LOAD_ATTEMPTS = 10
FIRST_PAUSE = 0.1
"""Seconds before the list is read again when a blob vanished in between; doubles each time."""
MERGE_FROM = 12
"""Index files from which on a merged local copy is made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexBlob:
    """An index blob and whether readers use it."""

    metadata: BlobMetadata
    superseded: bool


class IndexStore:
    """The index of a repository; safe for threads.

    Attributes:
        stored: index blobs in storage, whether they count or not.
        layout: which of them count.
    """

    layout: IndexLayout

    def __init__(
        self,
        storage: BlobStorage,
        sealer: Sealer,
        repository_format: RepositoryFormat,
        folder: Path | None,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Keep decrypted index files in ``folder``, or in memory when it is None."""
        self.stored = IndexBlobs(storage, sealer)
        self.layout = _layout(self.stored, repository_format)
        self.version = repository_format.effective_index_version
        self._storage = storage
        self._local = LocalIndexFiles(folder)
        self._pause = pause
        self._lock = threading.RLock()
        self._files: dict[str, IndexFile] = {}
        self._active: frozenset[BlobID] = frozenset()
        self._merged = MergedIndex([])
        self._loaded = False
        self._ended = False
        self._damaged: dict[BlobID, DamagedIndexError] = {}

    @property
    def active_count(self) -> int:
        """Number of active index blobs as of the last load; maintenance keeps it small."""
        return len(self._active)

    def epoch_state(self, *, within_ns: int = 0) -> EpochState:
        """Return what the storage says about the epochs; that of a repository without epochs is empty.

        Args:
            within_ns: age in nanoseconds up to which a state that was read before is taken; what this client has written
                to the index since is in it, or ``forget_epoch_state`` was called.
        """
        with self._lock:
            return self.layout.recent_state(within_ns)

    def forget_epoch_state(self) -> None:
        """Read the state of the epochs anew when it is next asked for: this client has changed it."""
        with self._lock:
            self.layout.forget_state()

    @property
    def write_epoch(self) -> int:
        """The epoch that new index blobs belong to; 0 without epochs."""
        return (self.layout.state or self.epoch_state()).current_epoch

    @property
    def known_state(self) -> EpochState | None:
        """The state of the epochs that the loaded index was read by; None without epochs. Lists nothing anew."""
        if not self._loaded:
            self.load()
        return self.layout.state

    @property
    def merged(self) -> MergedIndex:
        """All index files as one."""
        if not self._loaded:
            self.load()
        return self._merged

    @property
    def damaged(self) -> Mapping[BlobID, DamagedIndexError]:
        """Index blobs that count and can't be read, each with what is wrong: what only they list can't be found."""
        if not self._loaded:
            self.load()
        return self.known_damage

    @property
    def known_damage(self) -> Mapping[BlobID, DamagedIndexError]:
        """Like ``damaged``, but never loads the index: reports only what earlier loads found."""
        return MappingProxyType(self._damaged)

    def check_complete(self, what: str) -> None:
        """Refuse what must not be done with a part of the index missing.

        A blob that another client was just writing, to a storage that shows it too early, is given a second look.

        Args:
            what: names what is refused, in the message.

        Raises:
            DamagedIndexError: an index blob can't be read; the message names it and the way out.
        """
        if not self.damaged:
            return
        self.load()
        if self._damaged:
            blob_id, error = next(iter(self._damaged.items()))
            raise DamagedIndexError(
                f"can't {what}: {len(self._damaged)} index blob(s) can't be read, {blob_id} first, and what only they list "
                f"would be taken for missing ({error.__cause__ or error}); {WAY_OUT}"
            ) from error

    # ------------------------------------------------------------------ loading

    def load(self) -> None:
        """Look at the storage and load what is new.

        An index blob that can't be read is put aside in ``damaged`` and warned of, and tried again by the next load. One
        that stands for others gives way to them, as long as they are there.
        """
        with self._lock:
            if self._ended:
                raise ClosedError(f"the repository in {self._storage.display_name}")
            pause = FIRST_PAUSE
            for attempt in range(LOAD_ATTEMPTS):
                try:
                    active = self.layout.active()
                    self._open(active)
                    self._open_replaced()
                except BlobNotFoundError:
                    # compacted away between the listing and the reading
                    if attempt == LOAD_ATTEMPTS - 1:
                        raise
                    self._storage.flush_caches()
                    self._pause(pause)
                    pause *= 2
                else:
                    if not active and not self._loaded:
                        self._warn_of_packs_without_index()
                    self._loaded = True
                    return

    def _open_replaced(self) -> None:
        """Use also what a compacted blob was made of, where that blob can't be read."""
        prefixes = self.layout.compacted_prefixes
        unreadable: dict[BlobID, DamagedIndexError] = {}
        while compacted := {blob: error for blob, error in self._damaged.items() if blob.startswith(prefixes)}:
            unreadable |= compacted
            # what can be read of its set stays: the rest may be gone already
            self._open(list(self._active.union(self.layout.active_without(unreadable))))
        self._damaged = {**unreadable, **self._damaged}

    def _warn_of_packs_without_index(self) -> None:
        if any(True for prefix in reversed(PACK_PREFIXES) for _ in self._storage.list(prefix)):
            log.warning(
                "%s has packs and no index blob: its first snapshot did not finish, or the index was lost; "
                "`index recover` shows what the packs hold",
                self._storage.display_name,
            )

    def _open(self, active: Sequence[BlobID]) -> None:
        wanted, watermark = frozenset(active), self.layout.watermark
        unchanged = wanted == self._active and watermark == self._merged.watermark
        if unchanged and self._loaded and not self._damaged:
            return
        files, covered = self._merged_copy(wanted)
        missing = [blob for blob in active if blob not in covered]
        fetched = in_parallel(self._file_or_error, missing, threads=PARALLEL_FETCHES, name="pykopia-index")
        found = dict(zip(missing, fetched, strict=True))
        damaged = {blob: file for blob, file in found.items() if isinstance(file, DamagedIndexError)}
        opened = {str(blob): file for blob, file in found.items() if isinstance(file, IndexFile)}
        wanted -= damaged.keys()
        if len(opened) + len(files) > MERGE_FROM:
            every = [*files.values(), *opened.values()]
            files, opened = self._local.merge(every, wanted, version=2 if self.version > 1 else 1), {}
        self._files = files | opened
        self._merged = MergedIndex(list(self._files.values()), watermark=watermark)
        self._active = wanted
        for blob, error in damaged.items():
            if blob not in self._damaged:
                log.warning("%s. Until then what only this blob lists can't be found, and writing is refused", error)
        self._damaged = damaged
        self._local.sweep(self._files)

    def _merged_copy(self, wanted: frozenset[BlobID]) -> tuple[dict[str, IndexFile], frozenset[str]]:
        """Return a local file that replaces some of the requested blobs and no others, and the blobs that it replaces."""
        best = self._local.merged_copy(wanted)
        if best is not None:
            name, members = best
            file = self._files.get(name) or self._local.find(name)
            if file is not None:
                return {name: file}, members
        return {}, frozenset()

    def _file_or_error(self, blob_id: BlobID) -> IndexFile | DamagedIndexError:
        """Return an index file that is here, or else fetch the blob."""
        here = self._files.get(blob_id) or self._local.find(blob_id)
        if here is not None:
            return here
        try:
            plain = self.stored.decrypt(blob_id)
            try:
                return self._local.keep(blob_id, plain)
            except DamagedIndexError as error:
                raise self.stored.damage(blob_id, error) from error
        except DamagedIndexError as error:
            return error

    def end(self) -> None:
        """Close the index files for good: every look-up raises ``ClosedError`` from now on."""
        self._ended = True
        self.close()

    def close(self) -> None:
        """Close the index files; they are opened again when something is looked up."""
        with self._lock:
            files, self._files = self._files, {}
            self._merged = MergedIndex([])
            self._active = frozenset()
            self._loaded = False
        for file in files.values():
            file.close()

    # ------------------------------------------------------------------ listing and writing

    def blobs(self) -> list[IndexBlob]:
        """Return all index blobs of the storage, superseded ones too, such as those from before an upgrade to epochs."""
        active = set(self.layout.active())
        return [IndexBlob(metadata=blob, superseded=blob.blob_id not in active) for blob in self.layout.listed()]

    def write(
        self, plain: Sequence[bytes], session_id: str, *, when_put: Callable[[], object] = lambda: None
    ) -> list[BlobID]:
        """Store index files as new index blobs: with this, what they list becomes visible.

        Args:
            plain: the index files, which count together.
            session_id: of the session that writes them.
            when_put: called when all are stored, before it is verified that readers use them.

        Raises:
            WriteConflictError: the epochs moved on while this was written; nothing was committed.
        """
        written = self.layout.put(plain, session_id, when_put)
        with self._lock:
            if self._loaded:
                self._files.update(
                    {blob: self._local.keep(blob, data) for blob, data in zip(written, plain, strict=True)}
                )
                self._active = self._active.union(written)
                self._merged = MergedIndex(list(self._files.values()), watermark=self.layout.watermark)
        return written


def _layout(stored: IndexBlobs, repository_format: RepositoryFormat) -> IndexLayout:
    """Return the layout that a format has; the other one is not even imported."""
    if repository_format.epoch_parameters.enabled:
        from pykopia.index.epoch_layout import EpochLayout  # noqa: PLC0415

        return EpochLayout(stored, repository_format)
    from pykopia.index.legacy_layout import LegacyLayout  # noqa: PLC0415

    return LegacyLayout(stored)


__all__ = ["IndexBlob", "IndexStore"]
