"""Writing contents: deduplication, packs, and the flush that makes them visible.

Order on storage (format 02 §11): session marker, packs, index, removal of the marker. A writer that dies at any point
leaves packs that nothing refers to and a stale marker, which maintenance collects; readers never see a part of it.
"""

import contextlib
import logging
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from functools import partial

from pykopia import clock
from pykopia.arguments import check_bytes
from pykopia.errors import (
    BlobNotFoundError,
    ClosedError,
    ContentNotFoundError,
    NotVisibleError,
    PykopiaError,
    StorageError,
    WriteConflictError,
)
from pykopia.format.blob_names import DATA_PACK_PREFIX, METADATA_PACK_PREFIX, SESSION_PREFIX
from pykopia.format.content_id import id_of, key_of
from pykopia.format.encryption import NONCE_SIZE
from pykopia.format.index import IndexEntry
from pykopia.format.index_merge import MergedIndex
from pykopia.format.pack import PackType
from pykopia.format.session import SessionMarker, new_session_id
from pykopia.ids import BlobID, Buffer, ContentID
from pykopia.repository.contents import ContentStore
from pykopia.repository.packs import PackStore, PendingPack
from pykopia.repository.session_index import SessionIndex
from pykopia.sealing.batch import Packed, WritableBuffer
from pykopia.sealing.content_sealer import ContentSealer, check_prefix
from pykopia.storage.ahead import Request
from pykopia.storage.base import BlobStorage

log = logging.getLogger(__name__)


_NOWHERE = bytearray()
"""The buffer of a content that is not to be sealed."""


class _Session:
    """Everything between two flushes."""

    def __init__(self, index: SessionIndex) -> None:
        self.session_id = new_session_id(clock.now(), secrets.token_bytes(8))
        self.index = index
        self.packs: dict[PackType, PendingPack] = {}
        self.metadata_packs: list[BlobID] = []
        self.unfinished = 0
        """Contents whose place is reserved and that are still being filled in or handed on."""
        self.marker: BlobID | None = None
        self.announced: Request[BlobID] | None = None
        """Stores the marker while something else is done."""
        self.marker_time_ns = 0


class ContentWriter:
    """Adds contents to a repository; safe for threads. Nothing is visible to readers before ``flush``."""

    def __init__(
        self,
        store: ContentStore,
        storage: BlobStorage,
        packs: PackStore,
        *,
        username: str,
        hostname: str,
        format_version: int,
    ) -> None:
        self._store = store
        self._sealer: ContentSealer = store.sealer
        self.compresses = store.sealer.compresses
        self._storage = storage
        self._packs = packs
        self._username = username
        self._hostname = hostname
        self._format_version = format_version
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._flush_lock = threading.Lock()
        self._session = self._new_session()
        self._flushing: SessionIndex | None = None
        self._failure: BaseException | None = None
        self.is_lost: Callable[[str], bool] | None = None
        """Returns True if a pack is missing: its contents do not count as stored. None: nothing was listed."""
        self._closed = False
        self.written_bytes = 0
        """Bytes of new contents before compression."""
        self.packed_bytes = 0
        """Bytes of new contents in packs."""

    def _new_session(self) -> _Session:
        return _Session(SessionIndex(self._store.indexes.version, self._lock))

    # ------------------------------------------------------------------ looking up

    def entry(self, key: bytes) -> IndexEntry | None:
        """Return the newest entry of a key, this writer's own included; deleted ones too."""
        own = self._own_entry(key)
        return self._store.find(key) if own is None else own

    def _own_entry(self, key: bytes) -> IndexEntry | None:
        """Return the entry that this writer has made and that is not visible to readers yet."""
        entry = self._session.index.get(key)
        if entry is None and (flushing := self._flushing) is not None:
            entry = flushing.get(key)
        return entry

    def exists(self, key: bytes) -> bool:
        """Return True if a live content has this key."""
        return self._is_stored(self.entry(key))

    def _is_stored(self, entry: IndexEntry | None) -> bool:
        return entry is not None and not entry.deleted and (self.is_lost is None or not self.is_lost(entry.pack_blob))

    # ------------------------------------------------------------------ writing

    def write(self, data: Buffer, *, prefix: str = "", compressor: str = "") -> ContentID:
        """Store a content unless it is there; return its ID.

        Args:
            data: at most 256 MiB.
            prefix: nothing for file data, else a letter ``g`` to ``z`` (format 02 §1).
            compressor: Kopia's name of a compressor, empty or ``none`` for none.

        Raises:
            UsageError: the data are not bytes.
        """
        return self.write_many([check_bytes("data", data)], [compressor], prefix=prefix)[0]

    def write_many(self, contents: list[Buffer], compressors: Sequence[str], *, prefix: str = "") -> list[ContentID]:
        """Store contents unless they are there, all at once; return their IDs.

        Args:
            contents: no more than some MiB in all, unless it is one.
            compressors: for each content, see ``write``.
            prefix: of all of them, see ``write``.
        """
        return self.write_hashed(contents, self.keys_of(contents, prefix), compressors)

    def keys_of(self, contents: list[Buffer], prefix: str = "") -> list[bytes]:
        """Return the keys that contents are stored under, see ``write_many``."""
        return self._sealer.batches.keys_of(contents, ord(check_prefix(prefix) or "\0"))

    def write_hashed(
        self, contents: list[Buffer], keys: Sequence[bytes], compressors: Sequence[str]
    ) -> list[ContentID]:
        """Store contents of which the keys are known already, see ``write_many``."""
        self.check_open()
        new: dict[bytes, int] = {}
        before: list[IndexEntry | None] = []
        index = self._session.index
        searched, own, stored = (
            index.settled,
            index.get if self._flushing is None else self._own_entry,
            self._store.find,
        )
        for number, key in enumerate(keys):
            if key not in new:
                old = own(key) or stored(key)
                if old is None or not self._is_stored(old):
                    new[key] = number
                    before.append(old)
        if new:
            absent = [contents[number] for number in new.values()]
            chosen = {name: self._sealer.compressor(name) for name in {*compressors}}
            packers = [chosen[compressors[number]] for number in new.values()]
            self._add(
                [*new], before, [len(data) for data in absent], self._sealer.batches.pack(absent, packers), searched
            )
        return [id_of(key) for key in keys]

    def _add(
        self,
        keys: list[bytes],
        before: list[IndexEntry | None],
        lengths: list[int],
        packed: Packed,
        searched: MergedIndex | None = None,
        *,
        deleted: bool = False,
        redate: bool = True,
    ) -> bool:
        """Put contents of these lengths into packs, unless this session has them; return whether any was put there.

        An entry stands before the one that there was ``before``; only with ``redate`` it also carries the time of now.
        ``searched`` are the settled entries of the session that were looked through for ``before``.
        """
        now = clock.now_seconds()
        sealed_length_of = self._sealer.sealer.sealed_length
        buffers: list[WritableBuffer] = []
        offsets: list[int] = []
        filled: list[PendingPack] = []
        outgrown: list[PendingPack] = []
        session = self._session
        try:
            with self._lock:
                session = self._session
                for key, old, original_length, length, compression in zip(
                    keys, before, lengths, packed.lengths, packed.compressions, strict=True
                ):
                    # another thread may have written the same content in the meantime
                    again = session.index.get(key, searched=searched)
                    if again is None and self._flushing is not None:
                        again = self._flushing.get(key)
                    if again is not None and not again.deleted:
                        buffers.append(_NOWHERE)
                        offsets.append(-1)
                        continue
                    next_second = 0
                    if old is not None or again is not None:
                        next_second = max(each.timestamp + 1 for each in (old, again) if each is not None)
                    sealed_length = sealed_length_of(length)
                    pack, offset = self._reserve(session, key, sealed_length, outgrown)
                    filled.append(pack)
                    buffers.append(pack.buffer)
                    offsets.append(offset)
                    entry = IndexEntry(
                        content_id=id_of(key),
                        pack_blob=pack.blob_id,
                        timestamp=max(now, next_second) if redate else next_second,
                        original_length=original_length,
                        packed_length=sealed_length,
                        pack_offset=offset,
                        compression=compression,
                        deleted=deleted,
                        format_version=self._format_version,
                        encryption_key_id=0,
                    )
                    pack.entries[key] = entry
                    session.index.add(key, entry)
                    self.written_bytes += original_length
                    self.packed_bytes += sealed_length
            for pack in outgrown:
                self._packs.submit(pack)
            packed.seal_into(keys, buffers, offsets, os.urandom(NONCE_SIZE * len(keys)))
        except BaseException as error:
            del packed  # it holds the caller's buffers, as long as the error has this frame
            if filled:
                self._failure = error
            raise
        finally:
            self._finish(session, filled)
        return bool(filled)

    def _reserve(
        self, session: _Session, key: bytes, length: int, outgrown: list[PendingPack]
    ) -> tuple[PendingPack, int]:
        """Return a pack and the offset where ``length`` bytes may be filled in; needs the lock.

        A pack that is to be stored now, because these bytes did not fit it, is added to ``outgrown``.
        """
        kind: PackType = METADATA_PACK_PREFIX if key[0] else DATA_PACK_PREFIX
        pack = session.packs.get(kind)
        if pack is None or not self._packs.fits(pack, length):
            self._mark_session(session)
            # may fail for lack of memory: the full pack is closed only when there is another one
            new = self._packs.begin(kind, session.session_id, length, session.index.settle)
            if pack is not None:
                pack.closed = True
                if not pack.unfinished:
                    outgrown.append(pack)
            pack = session.packs[kind] = new
            if kind == METADATA_PACK_PREFIX:
                session.metadata_packs.append(pack.blob_id)
        offset = pack.length
        pack.length += length
        pack.contents += 1
        pack.unfinished += 1
        session.unfinished += 1
        if self._packs.full(pack):
            pack.closed = True
            del session.packs[kind]
        return pack, offset

    def _finish(self, session: _Session, filled: list[PendingPack]) -> None:
        """Count a content of each of these packs as filled in; hand on packs with their last one."""
        ready = []
        with self._lock:
            for pack in filled:
                pack.unfinished -= 1
                if pack.closed and not pack.unfinished:
                    ready.append(pack)
        try:
            for pack in ready:
                if self._failure is None:
                    self._packs.submit(pack)
        except BaseException as error:
            # an error of an earlier pack, or this one is not on its way: a later flush must not list its contents
            self._failure = error
            raise
        finally:
            with self._lock:
                session.unfinished -= len(filled)
                if not session.unfinished:
                    self._filled.notify_all()

    def delete(self, content_id: ContentID) -> None:
        """Mark a content as deleted; its bytes stay until maintenance.

        Raises:
            ContentNotFoundError: no such content.
        """
        self._mark(content_id, deleted=True)

    def undelete(self, content_id: ContentID) -> bool:
        """Store a deleted content again, in a new pack (format 02 §11); return False when it is live.

        Raises:
            ContentNotFoundError: the index knows no such content.
            BlobNotFoundError: its pack is gone.
            DamagedDataError: its bytes are not what they were.
        """
        self.check_open()
        key = key_of(content_id)
        old = self.entry(key)
        if old is None:
            raise ContentNotFoundError(f"content {content_id} is not in the repository: nothing to bring back")
        if not old.deleted:
            return False
        return self._add([key], [old], [old.original_length], self._store.payload(old))

    def rewrite(self, content_id: ContentID) -> bool:
        """Store a content again, in a new pack, live or deleted as it is (format 02 §11); the bytes are not changed.

        A live one gets the time of now, as all that is written does. A deleted one keeps its age but for a second:
        Kopia makes it young again, and so may never drop it (format 03 §12).

        Returns:
            Whether it was written; not when this writer has just written it anyway.

        Raises:
            ContentNotFoundError: the index knows no such content.
            BlobNotFoundError: its pack is gone.
            DamagedDataError: its bytes are not what they were; it stays where it is.
        """
        self.check_open()
        key = key_of(content_id)
        old = self.entry(key)
        if old is None:
            raise ContentNotFoundError(f"content {content_id} is not in the repository: nothing to rewrite")
        pending = self._own_entry(key)
        if pending is not None and not pending.deleted:
            return False
        packed = self._store.payload(old)
        return self._add([key], [old], [old.original_length], packed, deleted=old.deleted, redate=not old.deleted)

    def _mark(self, content_id: ContentID, *, deleted: bool) -> None:
        self.check_open()
        key = key_of(content_id)
        with self._lock:
            old = self.entry(key)
            if old is None:
                raise ContentNotFoundError(f"content {content_id} is not in the repository: nothing to mark as deleted")
            if old.deleted == deleted:
                return
            session = self._session
            entry = IndexEntry(
                content_id=old.content_id,
                pack_blob=old.pack_blob,
                timestamp=max(clock.now_seconds(), old.timestamp + 1),
                original_length=old.original_length,
                packed_length=old.packed_length,
                pack_offset=old.pack_offset,
                compression=old.compression,
                deleted=deleted,
                format_version=old.format_version,
                encryption_key_id=old.encryption_key_id,
            )
            session.index.add(key, entry)
            pack = session.packs.get(METADATA_PACK_PREFIX if key[0] else DATA_PACK_PREFIX)
            if pack is not None:
                pack.entries[key] = entry

    # ------------------------------------------------------------------ making visible

    def flush(self) -> bool:
        """Store all packs and the index of what they hold; return whether there was anything.

        Other threads may go on writing: what they add after the start of a flush belongs to the next one.

        Raises:
            PykopiaError: nothing of this flush has become visible, and the writer can't be used any more.
        """
        with self._flush_lock:
            self.check_open()
            try:
                with self._lock:
                    session, self._session = self._session, self._new_session()
                    self._flushing = session.index
                    while session.unfinished:
                        self._filled.wait()
                if self._failure is not None:
                    self._refuse()
                if session.index:
                    self._commit(session)
                else:
                    self._delete_marker(session)
            except BaseException as error:
                if self._failure is None:
                    self._failure = error
                raise
            self._flushing = None
            return bool(session.index)

    def _commit(self, session: _Session) -> None:
        self._packs.check()
        for pack in session.packs.values():
            self._packs.submit(pack)
        self._packs.wait()
        if self._storage.is_local:
            self._check_stored(session.metadata_packs)
            self._store.indexes.write(session.index.index_files(), session.session_id)
            self._delete_marker(session)
        else:
            # what the index lists is safe as soon as it is there: the marker need not stay until that is proven
            meanwhile = [Request(partial(self._check_stored, session.metadata_packs))]
            try:
                self._store.indexes.write(
                    session.index.index_files(),
                    session.session_id,
                    when_put=lambda: meanwhile.append(Request(partial(self._delete_marker, session))),
                )
            finally:
                for request in meanwhile:
                    request.join()
            for request in meanwhile:
                request.result()

    def _check_stored(self, packs: Sequence[BlobID]) -> None:
        """Verify that packs with manifests and folders are there: without them no reader finds a snapshot.

        Those with the contents of files are not looked for here: the next snapshot does that, and stores again what is lost.

        Raises:
            NotVisibleError: one is not there, although the storage has confirmed that it was stored.
        """
        for pack in packs:
            try:
                self._storage.metadata(pack)
            except BlobNotFoundError:
                raise NotVisibleError(
                    f"pack {pack} was written to {self._storage.display_name}, which confirmed it, and it is not there: what "
                    "was just stored does not count as stored. Check that storage, then run the command again"
                ) from None

    def _delete_marker(self, session: _Session) -> None:
        """Delete the marker of a session, also one that is just being stored: it was announced, and no pack needed it."""
        with contextlib.suppress(PykopiaError), self._lock:
            if session.announced is not None:
                self._mark_session(session)
        if session.marker is not None:
            try:
                self._storage.delete(session.marker)
            except StorageError as error:
                # a marker that is left only keeps packs of its session from being collected, for four days
                log.warning("session marker %s could not be deleted: %s", session.marker, error)

    def clocks(self) -> tuple[int, int] | None:
        """Return one moment by the clock of the storage and by that of this machine, nanoseconds since 1970.

        The moment is when the marker of the session was stored, which is done now if it has none yet. None where the
        storage does not know when a blob was stored.
        """
        self.check_open()
        with self._lock:
            session = self._session
            marker = self._mark_session(session)
        try:
            stored_ns = self._storage.metadata(marker).timestamp_ns
        except BlobNotFoundError:
            return None
        return (stored_ns, session.marker_time_ns) if stored_ns > 0 else None

    def announce(self) -> None:
        """Begin to store the marker of the session, for a caller that is about to write; only the first pack waits for it."""
        self.check_open()
        with self._lock:
            session = self._session
            if session.marker is None and session.announced is None and not self._storage.is_local:
                session.marker_time_ns = clock.now()
                session.announced = Request(partial(self._put_marker, session.session_id))

    def _mark_session(self, session: _Session) -> BlobID:
        """Return the marker of a session, which is stored; needs the lock."""
        if session.marker is None:
            announced, session.announced = session.announced, None
            if announced is None:
                session.marker_time_ns = clock.now()
                session.marker = self._put_marker(session.session_id)
            else:
                session.marker = announced.result()
        return session.marker

    def _put_marker(self, session_id: str) -> BlobID:
        now = clock.now()
        marker = SessionMarker(
            session_id=session_id,
            start_time_ns=now,
            checkpoint_time_ns=now,
            username=self._username,
            hostname=self._hostname,
        )
        blob_id, sealed = self._sealer.sealer.seal(SESSION_PREFIX, marker.to_json(), session_id)
        self._storage.put(blob_id, sealed)
        return blob_id

    def _refuse(self) -> None:
        cause = self._failure
        if isinstance(cause, PykopiaError):
            raise cause
        raise WriteConflictError(
            f"this writer stopped after an error ({cause!r}); nothing since its last flush was committed: start again"
        ) from cause

    def check_open(self) -> None:
        """Raise when nothing can be written any more.

        Raises:
            ClosedError: the writer was closed.
            PykopiaError: an earlier call failed; nothing since the last flush was committed.
        """
        if self._closed:
            raise ClosedError("the writer") from self._failure
        if self._failure is not None:
            self._refuse()

    def close(self) -> None:
        """Release threads and buffers; unflushed data stays invisible."""
        self._closed = True
        self._packs.close()
        if not self._session.index or self._session.announced is not None:
            self._delete_marker(self._session)  # it stands for no pack


__all__ = ["ContentWriter"]
