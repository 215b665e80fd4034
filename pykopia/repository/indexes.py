"""The index of a repository: which blobs count, fetched once, searched where they lie.

Facts: format 02 §8 (legacy index blobs), §9 (epochs), §13 (loading).

A fetched index blob is kept decrypted in the cache folder (readable by the owner alone), as Kopia does, and mapped into
memory, so opening again costs no more than listing. Many small blobs are merged into one local file, so a look-up
costs one search whatever the number of blobs.
"""

import contextlib
import hashlib
import json
import logging
import mmap
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pykopia import clock
from pykopia.crew import in_parallel
from pykopia.errors import (
    BlobNotFoundError,
    ClosedError,
    DamagedDataError,
    DamagedIndexError,
    InvalidIDError,
    WriteConflictError,
)
from pykopia.format import epoch, legacy_index
from pykopia.format.blob import BlobMetadata
from pykopia.format.index import IndexEntry, IndexFile, build_index, shard_entries
from pykopia.format.index_merge import MergedIndex, merge_index_files
from pykopia.format.repository_blob import POISON_INDEX_BLOB_ID
from pykopia.format.repository_format import RepositoryFormat
from pykopia.format.whole_blob import Sealer
from pykopia.ids import BlobID
from pykopia.repository.index_writing import check_listed, check_read, restore_marker, unlisted
from pykopia.repository.private_file import write_private
from pykopia.storage.base import BlobStorage

if TYPE_CHECKING:
    from pykopia.format.complete_view import CompleteView  # for every command, and seldom needed

log = logging.getLogger(__name__)

PARALLEL_FETCHES = 8
LOAD_ATTEMPTS = 10
FIRST_PAUSE = 0.1
"""Seconds before the list is read again when a blob vanished in between; doubles each time."""
MERGE_FROM = 12
"""Index files from which on a merged local copy is made."""
COMPACTED = (epoch.SINGLE_PREFIX, epoch.RANGE_PREFIX)
"""Name prefixes of compacted index blobs, each of which replaces several others."""
WAY_OUT = (
    "put it back from a copy of the repository, or run `index recover --commit`, which lists the contents of all packs "
    "anew and then moves the damaged blob aside"
)
FRESH_SHARE = 0.25
"""An epoch state older than this share of its refresh time is read again before writing (format 02 §9.6)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexBlob:
    """An index blob and whether readers use it."""

    metadata: BlobMetadata
    superseded: bool


class IndexStore:
    """Loads, searches and extends the index of a repository; safe for threads."""

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
        self._storage = storage
        self._sealer = sealer
        self._format = repository_format
        self._folder = folder
        self._pause = pause
        self._lock = threading.RLock()
        self._files: dict[str, IndexFile] = {}
        self._active: frozenset[BlobID] = frozenset()
        self._state: epoch.EpochState | None = None
        self._state_read_at = 0
        self._merged = MergedIndex([])
        self._watermark: int | None = None
        self._loaded = False
        self._ended = False
        self._damaged: dict[BlobID, DamagedIndexError] = {}

    @property
    def active_count(self) -> int:
        """Number of active index blobs as of the last load; maintenance keeps it small."""
        return len(self._active)

    @property
    def epochs(self) -> bool:
        """Whether the repository keeps its index in epochs (formats 2 and 3)."""
        return self._format.epoch_parameters.enabled

    def epoch_state(self) -> epoch.EpochState:
        """Return what the storage says about the epochs now; that of a repository without epochs is empty."""
        if not self.epochs:
            return epoch.EpochState()
        with self._lock:
            self._read_state()
            assert self._state is not None
            return self._state

    @property
    def write_epoch(self) -> int:
        """The epoch that new index blobs belong to; 0 without epochs."""
        if not self.epochs:
            return 0
        if self._state is None:
            self._read_state()
        assert self._state is not None
        return self._state.current_epoch

    @property
    def known_state(self) -> epoch.EpochState:
        """The state of the epochs that the loaded index was read by; an empty one without epochs. Lists nothing anew."""
        if not self._loaded:
            self.load()
        return self._state or epoch.EpochState()

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
                    active = self._list_active()
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
        unreadable: dict[BlobID, DamagedIndexError] = {}
        while compacted := {blob: error for blob, error in self._damaged.items() if blob.startswith(COMPACTED)}:
            unreadable |= compacted
            listed = [blob for blob in self._storage.list(epoch.EPOCH_PREFIX) if blob.blob_id not in unreadable]
            self._state = epoch.EpochState.from_blobs(listed)
            # what can be read of its set stays: the rest may be gone already
            self._open(list(self._active.union(self._state.readable_index_set())))
        self._damaged = {**unreadable, **self._damaged}

    def _warn_of_packs_without_index(self) -> None:
        if any(True for prefix in ("q", "p") for _ in self._storage.list(prefix)):
            log.warning(
                "%s has packs and no index blob: its first snapshot did not finish, or the index was lost; "
                "`index recover` shows what the packs hold",
                self._storage.display_name,
            )

    def _list_active(self) -> list[BlobID]:
        if not self.epochs:
            return self._legacy(list(self._storage.list("n")))
        self._read_state()
        assert self._state is not None
        self._watermark = self._state.watermark
        return self._state.readable_index_set()

    def _legacy(self, listing: Sequence[BlobMetadata]) -> list[BlobID]:
        logs = []
        for blob in self._storage.list("m"):
            # one that can't be read hides what was compacted, and the blobs from before it count again
            with contextlib.suppress(BlobNotFoundError, DamagedDataError):
                logs.append(legacy_index.CompactionLog.from_json(self._open_blob(blob.blob_id)))
        names = [blob.blob_id for blob in listing if blob.blob_id != POISON_INDEX_BLOB_ID]
        return list(legacy_index.active_blobs(names, logs))

    def _read_state(self, *, marker: BlobID | None = None, written: Sequence[BlobID] = ()) -> None:
        """List the blobs of the epochs once and see what they mean.

        Args:
            marker: a marker that this client has written, which a stale listing may not show yet.
            written: the same for index blobs.
        """
        started = clock.now()
        listed = list(self._storage.list("x"))
        if marker is not None:
            listed += unlisted(self._storage, listed, [marker])
        listed += unlisted(self._storage, listed, written)
        self._state = epoch.EpochState.from_blobs(listed)
        self._state_read_at = started

    def _open_blob(self, blob_id: BlobID) -> bytes:
        """Return an index or log blob decrypted."""
        stored = self._storage.get(blob_id)
        try:
            return self._sealer.open(blob_id, stored)
        except (DamagedDataError, InvalidIDError) as error:
            raise self._damage(blob_id, error) from error

    def _damage(self, blob_id: BlobID, error: Exception) -> DamagedIndexError:
        return DamagedIndexError(
            f"index blob {blob_id} in {self._storage.display_name} can't be read: {error}; {WAY_OUT}"
        )

    # ------------------------------------------------------------------ opening

    def _open(self, active: Sequence[BlobID]) -> None:
        wanted = frozenset(active)
        unchanged = wanted == self._active and self._watermark == self._merged.watermark
        if unchanged and self._loaded and not self._damaged:
            return
        files, covered = self._merged_file(wanted)
        missing = [blob for blob in active if blob not in covered]
        fetched = dict(zip(missing, self._fetch(missing), strict=True))
        damaged = {blob: file for blob, file in fetched.items() if isinstance(file, DamagedIndexError)}
        opened = {blob: file for blob, file in fetched.items() if isinstance(file, IndexFile)}
        wanted -= damaged.keys()
        if len(opened) + len(files) > MERGE_FROM:
            files, opened = self._merge([*files.values(), *opened.values()], wanted), {}
        self._files = files | {str(name): file for name, file in opened.items()}
        self._merged = MergedIndex(list(self._files.values()), watermark=self._watermark)
        self._active = wanted
        for blob, error in damaged.items():
            if blob not in self._damaged:
                log.warning("%s. Until then what only this blob lists can't be found, and writing is refused", error)
        self._damaged = damaged
        self._sweep()

    def _fetch(self, blobs: Sequence[BlobID]) -> list[IndexFile | DamagedIndexError]:
        """Open index blobs, those that are not here yet from the storage, several at once."""
        return in_parallel(self._file_or_error, blobs, threads=PARALLEL_FETCHES, name="pykopia-index")

    def _file_or_error(self, blob_id: BlobID) -> IndexFile | DamagedIndexError:
        try:
            return self._file(blob_id)
        except DamagedIndexError as error:
            return error

    def _file(self, blob_id: BlobID) -> IndexFile:
        here = self._files.get(blob_id)
        if here is not None:
            return here
        if self._folder is not None:
            path = self._folder / f"{blob_id}.idx"
            with contextlib.suppress(OSError, ValueError, DamagedIndexError):  # an empty file can't be mapped
                return self._map(path)
        plain = self._open_blob(blob_id)
        try:
            return self._keep(blob_id, plain)
        except DamagedIndexError as error:
            raise self._damage(blob_id, error) from error

    def _keep(self, name: str, plain: bytes) -> IndexFile:
        """Return an index file over ``plain``, mapped from the cache folder where there is one."""
        if self._folder is not None:
            path = self._folder / f"{name}.idx"
            try:
                write_private(path, plain)
                return self._map(path)
            except FileNotFoundError:
                pass  # another process tidied up in between
            except OSError as error:
                log.warning("index files are kept in memory, not in %s: %s", self._folder, error)
                self._folder = None
        return IndexFile(plain, name=name)

    @staticmethod
    def _map(path: Path) -> IndexFile:
        with open(path, "rb") as file:
            return IndexFile(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), name=path.stem)

    # ------------------------------------------------------------------ the merged copy

    def _merged_file(self, wanted: frozenset[BlobID]) -> tuple[dict[str, IndexFile], frozenset[str]]:
        """Return the merged copy that covers the most of ``wanted`` and nothing else, with what it covers."""
        best: tuple[str, frozenset[str]] | None = None
        for name, members in self._merged_copies():
            if members <= wanted and (best is None or len(members) > len(best[1])):
                best = name, members
        if best is None:
            return {}, frozenset()
        name, members = best
        try:
            file = self._files.get(name) or self._map(self._require_folder() / f"{name}.idx")
        except (OSError, DamagedIndexError):
            return {}, frozenset()
        return {name: file}, members

    def _merged_copies(self) -> Iterator[tuple[str, frozenset[str]]]:
        if self._folder is None:
            return
        for path in self._folder.glob("merged-*.json"):
            with contextlib.suppress(OSError, ValueError):
                yield path.stem, frozenset(json.loads(path.read_bytes()))

    def _merge(self, files: Sequence[IndexFile], wanted: frozenset[BlobID]) -> dict[str, IndexFile]:
        """Return one file for many; deleted entries stay in it, the watermark may be another next time."""
        members = sorted(wanted)
        name = "merged-" + hashlib.sha256("\n".join(members).encode()).hexdigest()[:32]
        plain = merge_index_files(files, version=2 if self._format.effective_index_version > 1 else 1)
        if len(plain) != 1:
            return {file.name: file for file in files}
        merged = self._keep(name, plain[0])
        if self._folder is not None:
            with contextlib.suppress(OSError):
                write_private(self._folder / f"{name}.json", json.dumps(members).encode())
        return {name: merged}

    def _require_folder(self) -> Path:
        assert self._folder is not None
        return self._folder

    def _sweep(self) -> None:
        """Remove local files that stand for nothing any more; what is mapped stays usable until it is let go."""
        if self._folder is None:
            return
        for path in self._folder.glob("*"):
            if path.suffix in {".idx", ".json"} and path.stem not in self._files:
                with contextlib.suppress(OSError):
                    path.unlink()

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

    # ------------------------------------------------------------------ listing

    def blobs(self) -> list[IndexBlob]:
        """Return all index blobs of the storage, superseded ones too, such as those from before an upgrade to epochs."""
        active = set(self._list_active())
        prefixes = ("n", "x") if self.epochs else ("n",)
        return [
            IndexBlob(metadata=blob, superseded=blob.blob_id not in active)
            for prefix in prefixes
            for blob in self._storage.list(prefix)
            if not blob.blob_id.startswith(("xe", "xw"))
        ]

    def read_blob(self, blob_id: BlobID) -> IndexFile:
        """Return one index blob, whether it is in use or not."""
        return IndexFile(self.decrypt_blob(blob_id), name=blob_id)

    def decrypt_blob(self, blob_id: BlobID) -> bytes:
        """Return what an index, session or log blob holds."""
        return self._open_blob(blob_id)

    # ------------------------------------------------------------------ writing

    def write(self, entries: Iterable[IndexEntry], session_id: str) -> list[BlobID]:
        """Store entries as new index blobs: with this, what they refer to becomes visible.

        Raises:
            WriteConflictError: the epochs moved on while this was written; nothing was committed.
        """
        plain = [
            build_index(shard, version=self._format.effective_index_version) for shard in shard_entries(list(entries))
        ]
        written = self._write_epoch(plain, session_id) if self.epochs else self._write_legacy(plain, session_id)
        with self._lock:
            if self._loaded:
                self._files.update({blob: self._keep(blob, data) for blob, data in zip(written, plain, strict=True)})
                self._active = self._active.union(written)
                self._merged = MergedIndex(list(self._files.values()), watermark=self._watermark)
        return written

    def copy_to_first_epoch(self, view: "CompleteView") -> list[BlobID]:
        """Store the whole index of format version 1 again as that of the first epoch, for an upgrade (format 02 §3.3).

        Until the format block says that there are epochs, nobody reads what is written here. What an upgrade that was
        cut off left is deleted first: it may list contents whose packs are gone by now.

        Args:
            view: the proof, with packs: an index blob of version 1 that is put back later is read no more.
        """
        self.check_complete("upgrade the index")
        self.delete_epochs(view)
        with self._lock:
            self.load()
            files = list(self._files.values())
            plain = merge_index_files(files, version=self._format.effective_index_version) if files else []
        suffix = epoch.index_blob_suffix(epoch.new_set_id(secrets.token_bytes(8)), len(plain))
        written = []
        for data in plain:
            blob_id, stored = self._sealer.seal(epoch.index_blob_prefix(0), data, suffix)
            self._storage.put(blob_id, stored)
            written.append(blob_id)
        return written

    def delete_epochs(self, _view: "CompleteView") -> None:
        """Delete all blobs of epochs, in a repository without them: what an upgrade has left that did not come to its end."""
        assert not self.epochs
        for blob in list(self._storage.list(epoch.EPOCH_PREFIX)):
            self._storage.delete(blob.blob_id)

    def legacy_blobs(self) -> list[BlobID]:
        """Return the index blobs of format version 1 that count, or did before an upgrade."""
        return self._legacy(list(self._storage.list("n")))

    def _write_legacy(self, plain: Sequence[bytes], session_id: str) -> list[BlobID]:
        written = []
        for data in plain:
            blob_id, stored = self._sealer.seal("n", data, session_id)
            self._storage.put(blob_id, stored)
            written.append(blob_id)
        check_listed(self._storage, written, list(self._storage.list("n")))
        return written

    def _write_epoch(self, plain: Sequence[bytes], session_id: str) -> list[BlobID]:
        """Put all shards under one epoch that is still current when they are there (format 02 §9.6)."""
        refresh = self._format.epoch_parameters.refresh_frequency_ns
        suffix = epoch.index_blob_suffix(session_id, len(plain))
        written: list[BlobID] = []
        restored: BlobID | None = None
        written_epoch = -1
        position = 0
        while position < len(plain):
            age = clock.now() - self._state_read_at
            if self._state is None or age > refresh * FRESH_SHARE or age < 0:
                self._read_state()
            assert self._state is not None
            if self._state.lacks_markers:
                restore_marker(self._storage, self._sealer, self._state, self.read_blob, self._format)
                restored = epoch.marker_blob_id(self._state.current_epoch)
                self._read_state(marker=restored)
            if written and self._state.write_epoch != written_epoch:
                self._remove(written)
                written, position = [], 0
            written_epoch = self._state.write_epoch
            blob_id, stored = self._sealer.seal(epoch.index_blob_prefix(written_epoch), plain[position], suffix)
            self._storage.put(blob_id, stored)
            written.append(blob_id)
            position += 1
        self._read_state(marker=restored, written=written)
        if self._state is not None and self._state.write_epoch >= written_epoch + 2:
            self._remove(written)
            raise WriteConflictError(
                f"the index was written to epoch {written_epoch}, but the repository is at epoch "
                f"{self._state.write_epoch} by now: nothing was committed; run the command again"
            )
        if self._state is not None:
            check_read(self._storage, written, self._state)
        return written

    def _remove(self, blobs: Iterable[BlobID]) -> None:
        for blob in blobs:
            self._storage.delete(blob)


__all__ = ["IndexBlob", "IndexStore"]
