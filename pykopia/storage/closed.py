"""What stands in for a storage once its repository is closed."""

from collections.abc import Iterator
from typing import NoReturn

from pykopia.errors import ClosedError
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, Capacity, PutOptions, RetentionMode
from pykopia.storage.connection import ConnectionInfo


class ClosedStorage(BlobStorage):
    """Raise ``ClosedError`` for every access; tell the name and nothing else."""

    def __init__(self, display_name: str, *, read_only: bool) -> None:
        self._display_name = display_name
        self._read_only = read_only

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> NoReturn:
        """Refuse."""
        self._refuse()

    def get_into(self, blob_id: BlobID, target: bytearray | memoryview, offset: int = 0) -> NoReturn:
        """Refuse."""
        self._refuse()

    def metadata(self, blob_id: BlobID) -> NoReturn:
        """Refuse."""
        self._refuse()

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> NoReturn:
        """Refuse."""
        self._refuse()

    def delete(self, blob_id: BlobID) -> NoReturn:
        """Refuse."""
        self._refuse()

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Refuse."""
        self._refuse()

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
        return self._display_name

    @property
    def read_only(self) -> bool:
        """Whether the storage that was closed refused every write."""
        return self._read_only

    def _refuse(self) -> NoReturn:
        raise ClosedError(f"the repository in {self._display_name}")


__all__ = ["ClosedStorage"]
