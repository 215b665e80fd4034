"""Replaces the storage of a closed repository, and refuses every call."""

from collections.abc import Iterator
from typing import NoReturn

from pykopia.errors import ClosedError
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, Capacity, PutOptions, RetentionMode
from pykopia.storage.connection import ConnectionInfo


class ClosedStorage(BlobStorage):
    """Raise ``ClosedError`` for what reads or writes blobs.

    What a repository takes up is often asked once its ``with`` block has ended: names, sizes and times of blobs are
    still listed, as far as the storage answers after it was closed.
    """

    def __init__(self, storage: BlobStorage) -> None:
        self._storage = storage

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> NoReturn:
        """Refuse."""
        self._refuse()

    def get_into(self, blob_id: BlobID, target: bytearray | memoryview, offset: int = 0) -> NoReturn:
        """Refuse."""
        self._refuse()

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Size and time of a blob of the storage that was closed."""
        return self._storage.metadata(blob_id)

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> NoReturn:
        """Refuse."""
        self._refuse()

    def delete(self, blob_id: BlobID) -> NoReturn:
        """Refuse."""
        self._refuse()

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """List the blobs of the storage that was closed."""
        return self._storage.list(prefix)

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> NoReturn:
        """Refuse."""
        self._refuse()

    def flush_caches(self) -> NoReturn:
        """Refuse."""
        self._refuse()

    def capacity(self) -> Capacity | None:
        """Refuse."""
        self._refuse()

    def connection_info(self) -> ConnectionInfo:
        """Refuse."""
        self._refuse()

    @property
    def display_name(self) -> str:
        """Name of the storage that was closed."""
        return self._storage.display_name

    @property
    def read_only(self) -> bool:
        """Whether the storage that was closed refused every write."""
        return self._storage.read_only

    def _refuse(self) -> NoReturn:
        raise ClosedError(f"the repository in {self.display_name}")


__all__ = ["ClosedStorage"]
