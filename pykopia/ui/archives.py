"""A folder as a zip archive that is sent while it is made."""

import queue
import threading
from collections.abc import Iterator

import pykopia
from pykopia.errors import CanceledError, PykopiaError

PART_BYTES = 256 * 1024
"""Bytes that are handed over together."""
WAITING_PARTS = 8
"""Parts that wait for the reader."""
_ASK_SECONDS = 0.5


class ZipStream:
    """The bytes of an archive: a thread makes them, the reader takes them; iterate once."""

    def __init__(self, repository: pykopia.Repository, entry: pykopia.DirectoryEntry) -> None:
        self._repository, self._entry = repository, entry
        self._parts: queue.Queue[bytes | Exception | None] = queue.Queue(WAITING_PARTS)
        self._gone = threading.Event()
        self._part = bytearray()

    def write(self, data: bytes, /) -> int:
        """Take bytes of the archive.

        Raises:
            CanceledError: the reader is gone.
        """
        self._part += data
        if len(self._part) >= PART_BYTES:
            self._hand_over(bytes(self._part))
            self._part.clear()
        return len(data)

    def _hand_over(self, part: "bytes | Exception | None") -> None:
        while not self._gone.is_set():
            try:
                self._parts.put(part, timeout=_ASK_SECONDS)
            except queue.Full:
                continue
            return
        raise CanceledError("the download was given up")

    def _make(self) -> None:
        end: Exception | None = None
        try:
            self._repository.snapshots.export(self._entry, self, format="zip", cancel=self._gone.is_set)
            if self._part:
                self._hand_over(bytes(self._part))
        except Exception as error:  # noqa: BLE001 -- raised where the bytes are taken
            end = error
        if not self._gone.is_set():
            try:
                self._hand_over(end)
            except PykopiaError:
                return

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes.

        Raises:
            PykopiaError: an entry can't be read; what was yielded is no whole archive.
        """
        maker = threading.Thread(target=self._make, name="pykopia-ui-zip", daemon=True)
        maker.start()
        try:
            while (part := self._parts.get()) is not None:
                if isinstance(part, Exception):
                    raise part
                yield part
        finally:
            self._gone.set()  # the maker ends by itself: it may wait for the storage, and the reader must not


__all__ = ["ZipStream"]
