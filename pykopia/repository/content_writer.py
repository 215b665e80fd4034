"""Writing contents: deduplication, packs, and the flush that makes them visible.

Order on storage (spec 02 §11): session marker, packs, index, removal of the marker. A writer that dies at any point
leaves packs that nothing refers to and a stale marker, which maintenance collects; readers never see a part of it.
"""

import secrets
import threading

from pykopia import clock
from pykopia.chunking.sealing import ContentSealer, Payload, check_prefix
from pykopia.errors import ContentNotFoundError, PykopiaError, WriteConflictError
from pykopia.format.compression import Compressor
from pykopia.format.content_id import id_of, key_of
from pykopia.format.index import IndexEntry
from pykopia.format.pack import PackType
from pykopia.format.session import SessionMarker, new_session_id
from pykopia.ids import BlobID, Buffer, ContentID
from pykopia.repository.contents import ContentStore
from pykopia.repository.packs import PackStore, PendingPack
from pykopia.storage.base import BlobStorage

SESSION_PREFIX = "s"


class _Session:
    """Everything between two flushes."""

    def __init__(self) -> None:
        self.session_id = new_session_id(clock.now(), secrets.token_bytes(8))
        self.entries: dict[bytes, IndexEntry] = {}
        self.packs: dict[PackType, PendingPack] = {}
        self.unfinished = 0
        """Contents whose place is reserved and that are still being filled in or handed on."""
        self.marker: BlobID | None = None


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
        self._session = _Session()
        self._flushing: dict[bytes, IndexEntry] = {}
        self._failure: BaseException | None = None
        self.written_bytes = 0
        """Bytes of new contents before compression."""
        self.packed_bytes = 0
        """Bytes of new contents in packs."""

    # ------------------------------------------------------------------ looking up

    def entry(self, key: bytes) -> IndexEntry | None:
        """Return the newest entry of a key, this writer's own included; deleted ones too."""
        return self._session.entries.get(key) or self._flushing.get(key) or self._store.find(key)

    def exists(self, key: bytes) -> bool:
        """Say whether a live content has this key."""
        entry = self.entry(key)
        return entry is not None and not entry.deleted

    # ------------------------------------------------------------------ writing

    def write(self, data: Buffer, *, prefix: str = "", compressor: str = "") -> ContentID:
        """Store a content unless it is there; return its ID.

        Args:
            data: at most 256 MiB.
            prefix: nothing for file data, else a letter ``g`` to ``z`` (spec 02 §1).
            compressor: Kopia's name of a compressor, empty or ``none`` for none.
        """
        key = self._sealer.key_of(data, check_prefix(prefix))
        self.write_key(key, data, self._sealer.compressor(compressor))
        return id_of(key)

    def write_key(self, key: bytes, data: Buffer, packer: Compressor | None) -> bool:
        """Store ``data`` under its own ``key`` unless it is there; return whether it was new."""
        if self._failure is not None:
            self._refuse()
        old = self.entry(key)
        if old is not None and not old.deleted:
            return False
        return self._add(key, self._sealer.payload(data, packer), len(data), old)

    def _add(
        self,
        key: bytes,
        payload: Payload,
        length: int,
        old: IndexEntry | None,
        *,
        deleted: bool = False,
        redate: bool = True,
    ) -> bool:
        """Put a content of ``length`` bytes into a pack, unless this session has it; return whether it was put there.

        Its entry stands before ``old``; only with ``redate`` it also carries the time of now.
        """
        with self._lock:
            # another thread may have written the same content in the meantime
            again = self._session.entries.get(key) or self._flushing.get(key)
            if again is not None and not again.deleted:
                return False
            session = self._session
            pack, offset, outgrown = self._reserve(session, key, payload.sealed_length)
            previous = max((e.timestamp for e in (old, again) if e is not None), default=-1)
            entry = IndexEntry(
                content_id=id_of(key),
                pack_blob=pack.blob_id,
                timestamp=max(clock.now_seconds(), previous + 1) if redate else previous + 1,
                original_length=length,
                packed_length=payload.sealed_length,
                pack_offset=offset,
                compression=payload.compression,
                deleted=deleted,
                format_version=self._format_version,
                encryption_key_id=0,
            )
            pack.entries.append(entry)
            session.entries[key] = entry
            self.written_bytes += length
            self.packed_bytes += payload.sealed_length
        try:
            if outgrown is not None:
                self._packs.submit(outgrown)
            with memoryview(pack.buffer) as whole, whole[offset : offset + payload.sealed_length] as place:
                self._sealer.seal_into(payload, key, place)
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._finish(session, pack)
        return True

    def _reserve(self, session: _Session, key: bytes, length: int) -> tuple[PendingPack, int, PendingPack | None]:
        """Return a pack, the offset where ``length`` bytes may be filled in, and a pack to be stored now; needs the lock."""
        kind: PackType = "q" if key[0] else "p"
        outgrown = None
        pack = session.packs.get(kind)
        if pack is not None and not self._packs.fits(pack, length):
            pack.closed = True
            outgrown = None if pack.unfinished else pack
            pack = None
        if pack is None:
            if session.marker is None:
                session.marker = self._put_marker(session.session_id)
            pack = session.packs[kind] = self._packs.begin(kind, session.session_id, length)
        offset = pack.length
        pack.length += length
        pack.contents += 1
        pack.unfinished += 1
        session.unfinished += 1
        if self._packs.full(pack):
            pack.closed = True
            del session.packs[kind]
        return pack, offset, outgrown

    def _finish(self, session: _Session, pack: PendingPack) -> None:
        """Count a content as filled in; hand the pack on with its last one."""
        with self._lock:
            pack.unfinished -= 1
            ready = pack.closed and not pack.unfinished
        try:
            if ready and self._failure is None:
                self._packs.submit(pack)
        finally:
            with self._lock:
                session.unfinished -= 1
                if not session.unfinished:
                    self._filled.notify_all()

    def delete(self, content_id: ContentID) -> None:
        """Mark a content as deleted; its bytes stay until maintenance.

        Raises:
            ContentNotFoundError: no such content.
        """
        self._mark(content_id, deleted=True)

    def undelete(self, content_id: ContentID) -> bool:
        """Store a deleted content again, in a new pack (spec 02 §11); return False when it is live.

        Raises:
            ContentNotFoundError: the index knows no such content.
            BlobNotFoundError: its pack is gone.
            DamagedDataError: its bytes are not what they were.
        """
        key = key_of(content_id)
        old = self.entry(key)
        if old is None:
            raise ContentNotFoundError(f"content {content_id} is not in the repository: nothing to bring back")
        if not old.deleted:
            return False
        return self._add(key, self._store.payload(old), old.original_length, old)

    def rewrite(self, content_id: ContentID) -> bool:
        """Store a content again, in a new pack, live or deleted as it is (spec 02 §11); the bytes are not changed.

        A live one gets the time of now, as all that is written does. A deleted one keeps its age but for a second:
        Kopia makes it young again, and so may never drop it (spec 03 §12).

        Returns:
            Whether it was written; not when this writer has just written it anyway.

        Raises:
            ContentNotFoundError: the index knows no such content.
            BlobNotFoundError: its pack is gone.
            DamagedDataError: its bytes are not what they were; it stays where it is.
        """
        if self._failure is not None:
            self._refuse()
        key = key_of(content_id)
        old = self.entry(key)
        if old is None:
            raise ContentNotFoundError(f"content {content_id} is not in the repository: nothing to rewrite")
        pending = self._session.entries.get(key) or self._flushing.get(key)
        if pending is not None and not pending.deleted:
            return False
        payload = self._store.payload(old)
        return self._add(key, payload, old.original_length, old, deleted=old.deleted, redate=not old.deleted)

    def _mark(self, content_id: ContentID, *, deleted: bool) -> None:
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
            session.entries[key] = entry
            pack = session.packs.get("q" if key[0] else "p")
            if pack is not None:
                pack.entries.append(entry)

    # ------------------------------------------------------------------ making visible

    def flush(self) -> bool:
        """Store all packs and the index of what they hold; return whether there was anything.

        Other threads may go on writing: what they add after the start of a flush belongs to the next one.

        Raises:
            PykopiaError: nothing of this flush has become visible, and the writer can't be used any more.
        """
        with self._flush_lock:
            if self._failure is not None:
                self._refuse()
            with self._lock:
                session, self._session = self._session, _Session()
                self._flushing = session.entries
                while session.unfinished:
                    self._filled.wait()
            if self._failure is not None:
                self._refuse()
            if not session.entries:
                return False
            try:
                self._commit(session)
            except BaseException as error:
                self._failure = error
                raise
            self._flushing = {}
            return True

    def _commit(self, session: _Session) -> None:
        self._packs.check()
        for pack in session.packs.values():
            self._packs.submit(pack)
        self._packs.wait()
        self._store.indexes.write(session.entries.values(), session.session_id)
        if session.marker is not None:
            self._storage.delete(session.marker)

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

    def close(self) -> None:
        """Give back threads and buffers; what was not flushed stays invisible."""
        self._packs.close()


__all__ = ["ContentWriter"]
