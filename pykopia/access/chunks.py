"""Chunks of objects in memory: each is fetched once as long as it is kept, whoever reads it, some before they are needed."""

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from pykopia.ids import ContentID
from pykopia.repository.memory_cache import MemoryCache
from pykopia.repository.objects import Chunk, ObjectStore, Part

KEPT_BYTES = 64 << 20
"""Bytes of chunks that are kept in memory by default."""
THREADS = 8
"""Requests of one filesystem at one time."""

Key = tuple[ContentID, bool]


class ChunkStore:
    """Reads chunks by several threads; those that many readers ask for at the same time are fetched once."""

    def __init__(self, objects: ObjectStore, kept_bytes: int = KEPT_BYTES) -> None:
        self._objects = objects
        self._kept: MemoryCache[Key, bytes] = MemoryCache(kept_bytes)
        self._pending: dict[Key, Future[bytes]] = {}
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def read(self, chunks: Sequence[Chunk]) -> list[bytes]:
        """Return the bytes of chunks, fetched at the same time.

        Raises:
            PykopiaError: one of them can't be read.
        """
        futures, parts = self._begin(chunks)
        for part in parts[1:]:
            self._submit(part)
        if parts:
            self._fetch(parts[0])
        return [future.result() for future in futures]

    def fetch_ahead(self, chunks: Iterable[Chunk]) -> None:
        """Begin to fetch chunks that will be asked for soon; what goes wrong is raised when they are."""
        for part in self._begin([*chunks])[1]:
            self._submit(part)

    def close(self) -> None:
        """Let the threads end."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)  # what is under way ends with an error once the repository is closed

    def _begin(self, chunks: Sequence[Chunk]) -> tuple[list["Future[bytes]"], list[Part]]:
        """Return a future for each chunk, and the parts that this caller has to fetch."""
        futures: list[Future[bytes]] = []
        claimed: list[Chunk] = []
        with self._lock:
            for chunk in chunks:
                key = chunk.content_id, chunk.compressed
                future = self._pending.get(key)
                if future is None:
                    future = Future()
                    data = self._kept.get(key)
                    if data is None:
                        self._pending[key] = future
                        claimed.append(chunk)
                    else:
                        future.set_result(data)
                futures.append(future)
        try:
            return futures, [*self._objects.parts(claimed)] if claimed else []
        except BaseException as error:
            for chunk in claimed:
                self._end(chunk, error)
            raise

    def _submit(self, part: Part) -> None:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="pykopia-access")
            self._pool.submit(self._fetch, part)

    def _fetch(self, part: Part) -> None:
        """Read a part; what goes wrong with a chunk is raised to those who wait for it."""
        left = [*part.chunks]
        try:
            for chunk, data in self._objects.read_part(part):
                left.remove(chunk)
                self._end(chunk, data)
        except BaseException as error:  # noqa: BLE001 -- whoever waits for the chunk gets it
            for chunk in left:  # one chunk that is damaged says nothing of the others
                try:
                    self._end(chunk, error if len(left) == 1 else self._objects.read_chunk(chunk))
                except BaseException as its_own:  # noqa: BLE001
                    self._end(chunk, its_own)

    def _end(self, chunk: Chunk, result: bytes | BaseException) -> None:
        key = chunk.content_id, chunk.compressed
        with self._lock:
            future = self._pending.pop(key, None)
            if isinstance(result, bytes):
                self._kept.put(key, result, len(result))
        if future is None:
            return  # a chunk that is several times in one part
        if isinstance(result, bytes):
            future.set_result(result)
        else:
            future.set_exception(result)


__all__ = ["KEPT_BYTES", "ChunkStore"]
