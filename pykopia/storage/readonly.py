"""A storage that refuses every write."""

from typing import NoReturn

from pykopia.errors import ReadOnlyStorageError
from pykopia.ids import BlobID, Buffer
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, PutOptions, RetentionMode, StorageWrapper


class ReadOnlyStorage(StorageWrapper):
    """Passes reads on and raises ``ReadOnlyStorageError`` for every other call."""

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> NoReturn:
        """Refuse."""
        self._refuse("write", blob_id)

    def delete(self, blob_id: BlobID) -> NoReturn:
        """Refuse."""
        self._refuse("delete", blob_id)

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> NoReturn:
        """Refuse."""
        self._refuse("lock", blob_id)

    @property
    def read_only(self) -> bool:
        """Always true."""
        return True

    def _refuse(self, doing: str, blob_id: BlobID) -> NoReturn:
        raise ReadOnlyStorageError(
            f"can't {doing} blob {blob_id}: {self.display_name} is opened for reading only; "
            "connect again without the read-only option to change the repository"
        )


__all__ = ["ReadOnlyStorage"]
