"""Packs being filled: space is reserved under a lock, contents are encrypted straight into it without one.

Layout: format 02 §2.2. A pack is a reused buffer, because the first touch of fresh memory costs more than the cipher.
"""

import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from pykopia.format.index import IndexEntry, build_index
from pykopia.format.pack import (
    LOCAL_INDEX_TAIL_LENGTH,
    PREAMBLE_LENGTH,
    PackType,
    new_pack_blob_id,
    pack_end,
    padding_length,
)
from pykopia.format.whole_blob import Sealer
from pykopia.ids import BlobID
from pykopia.repository.buffers import LargeBuffer, new_buffer

SLACK = 18 << 20
"""Bytes of a buffer beyond the pack size: the largest chunk of any splitter, its overhead and the local index."""


Settle = Callable[[bytes, Mapping[bytes, IndexEntry]], None]
"""Takes the local index of a pack that was stored, and the entries in it by key."""


class PendingPack:
    """One pack blob that contents are being put into."""

    __slots__ = ("blob_id", "buffer", "closed", "contents", "entries", "length", "settle", "unfinished")

    def __init__(self, blob_id: BlobID, buffer: LargeBuffer, head: bytes, settle: Settle) -> None:
        self.blob_id = blob_id
        self.buffer = buffer
        self.length = len(head)
        buffer[: len(head)] = head
        self.entries: dict[bytes, IndexEntry] = {}
        """By key; the newest of each content is the one that counts."""
        self.settle = settle
        self.contents = 0
        self.unfinished = 0
        self.closed = False


class PackStore:
    """Completes packs and stores them in the background, with a bound on how many are in memory."""

    def __init__(
        self,
        sealer: Sealer,
        *,
        max_pack_size: int,
        index_version: int,
        replica: bytes,
        parallel: int,
        put: Callable[[BlobID, memoryview], object],
    ) -> None:
        """Prepare for packs of ``max_pack_size`` bytes; ``replica`` is the format block's copy, or nothing."""
        self._sealer = sealer
        self._index_version = index_version
        self._replica = replica
        self._put = put
        self.max_pack_size = max_pack_size
        self._capacity = max_pack_size + SLACK
        self._free: deque[LargeBuffer] = deque()
        # the next full pack waits with the thread that filled it: one more in memory would not be stored any earlier
        self._slots = threading.BoundedSemaphore(parallel)
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="pykopia-pack")
        self._running: set[Future[None]] = set()
        self._failure: BaseException | None = None
        """Why a pack could not be stored. Kept, so that no caller takes the packs for stored after another got the error."""
        self._lock = threading.Lock()

    def begin(self, pack_type: PackType, session_id: str, at_least: int, settle: Settle) -> PendingPack:
        """Return a new pack with room for one content of ``at_least`` bytes; ``settle`` is called when it is stored."""
        head = self._replica + secrets.token_bytes(PREAMBLE_LENGTH)
        capacity = max(self._capacity, len(head) + at_least + SLACK)
        try:
            buffer = self._free.popleft()
        except IndexError:
            buffer = new_buffer(capacity)
        if len(buffer) < capacity:
            buffer = new_buffer(capacity)
        return PendingPack(new_pack_blob_id(pack_type, secrets.token_bytes(16), session_id), buffer, head, settle)

    def fits(self, pack: PendingPack, length: int) -> bool:
        """Return True if ``length`` more bytes fit the pack's buffer."""
        return pack.length + length <= len(pack.buffer)

    def full(self, pack: PendingPack) -> bool:
        """Return True if a pack is to be closed (format 02 §2.5)."""
        return pack.length >= self.max_pack_size

    def submit(self, pack: PendingPack) -> None:
        """Store a closed pack in the background; waits while too many are under way.

        Raises the first error of any earlier pack, again at each call.
        """
        self.check()
        self._slots.acquire()
        future = self._pool.submit(self._store, pack)
        with self._lock:
            self._running.add(future)

    def wait(self) -> None:
        """Wait until all submitted packs are stored; raise the first error of these and of all earlier packs."""
        with self._lock:
            running, self._running = self._running, set()
        for future in running:
            future.result()
        self.check()

    def check(self) -> None:
        """Raise the first error of a pack that could not be stored, again at each call."""
        with self._lock:
            self._running = {future for future in self._running if not future.done()}
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Stop the background threads after their current work."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _store(self, pack: PendingPack) -> None:
        try:
            try:
                local_index = build_index(
                    pack.entries.values(),
                    version=self._index_version,
                    random_tail=secrets.token_bytes(LOCAL_INDEX_TAIL_LENGTH),
                )
                self._put(pack.blob_id, self._complete(pack, local_index))
            finally:
                self._slots.release()
            if len(pack.buffer) == self._capacity:
                self._free.append(pack.buffer)
            pack.settle(local_index, pack.entries)
        except BaseException as error:
            if self._failure is None:
                self._failure = error
            raise

    def _complete(self, pack: PendingPack, local_index: bytes) -> memoryview:
        """Append padding, local index and postamble (format 02 §2.4)."""
        iv = self._sealer.hash(local_index)
        index = self._sealer.seal_content(local_index, iv)
        padding = secrets.token_bytes(padding_length(pack.length))
        tail = pack_end(pack.length, padding=padding, local_index=index, iv=iv)
        end = pack.length + len(tail)
        if end > len(pack.buffer):
            return memoryview(bytes(memoryview(pack.buffer)[: pack.length]) + tail)
        view = memoryview(pack.buffer)[:end]
        view[pack.length :] = tail
        return view


__all__ = ["PackStore", "PendingPack"]
