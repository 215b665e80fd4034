"""A bucket that keeps versions, as it was at a time (format 03 §3)."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Protocol

from pykopia.dataclass import dataclass
from pykopia.errors import BlobNotFoundError, StorageError
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID
from pykopia.storage.base import BlobStorage, check_range
from pykopia.storage.fsspec_storage import nanoseconds
from pykopia.storage.readonly import ReadOnlyStorage


@dataclass(frozen=True, kw_only=True, slots=True)
class BlobVersion:
    """One version of a blob, or its deletion."""

    metadata: BlobMetadata
    """Metadata of this version; its time is when the version was written."""
    version: str
    """Name of the version at the service."""
    deleted: bool = False
    """Whether this is where the blob was deleted."""


class VersionedStorage(Protocol):
    """A storage that can be asked for old versions."""

    def check_versioned(self) -> None:
        """Raise ``StorageError`` if it keeps no versions."""

    def versions(self, prefix: str) -> Iterator[BlobVersion]:
        """Yield all versions of the blobs whose ID starts with ``prefix``."""

    def get_version(self, blob_id: BlobID, version: str, offset: int, length: int) -> bytes:
        """Return a byte range of a version; a negative length means all that follow."""


def versions_at(versions: Iterable[BlobVersion], time_ns: int) -> dict[BlobID, BlobVersion]:
    """Return the newest version of each blob that is not younger than a time, without blobs that were deleted then.

    Of two versions of one time the one that is given first is taken: services give the newest first.
    """
    newest: dict[BlobID, BlobVersion] = {}
    for item in versions:
        blob = item.metadata
        known = newest.get(blob.blob_id)
        if blob.timestamp_ns <= time_ns and (known is None or known.metadata.timestamp_ns < blob.timestamp_ns):
            newest[blob.blob_id] = item
    return {blob_id: item for blob_id, item in newest.items() if not item.deleted}


def no_versions(display_name: str, holder: str) -> StorageError:
    """Return the error for a bucket or container that keeps no versions; ``holder`` says which of the two it is."""
    return StorageError(
        f"can't look at {display_name} as it was: the {holder} keeps no versions; connect without a point in time"
    )


class PointInTimeStorage(ReadOnlyStorage):
    """A storage as it was at a past time; every write is refused.

    The past does not change, so what was found once is remembered.

    Args:
        inner: The storage, which must keep versions.
        moment: The time.

    Raises:
        StorageError: The storage keeps none, and was closed.
    """

    def __init__(self, inner: BlobStorage, moment: datetime) -> None:
        super().__init__(inner)
        self._versioned: VersionedStorage = inner  # type: ignore[assignment]
        try:
            self._versioned.check_versioned()
        except BaseException:
            self.close()
            raise
        self._time_ns = nanoseconds(moment)
        self._found: dict[BlobID, BlobVersion | None] = {}

    def check(self) -> None:
        """Do nothing: the look for versions has shown that the storage is there."""

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return a range of a blob as it was, see ``BlobStorage.get``."""
        item = self._find(blob_id)
        size = check_range(blob_id, offset, length, item.metadata.length)
        return self._versioned.get_version(blob_id, item.version, offset, size) if size else b""

    def get_into(self, blob_id: BlobID, target: bytearray | memoryview, offset: int = 0) -> None:
        """Fill a buffer from a blob as it was, see ``BlobStorage.get_into``."""
        BlobStorage.get_into(self, blob_id, target, offset)

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob as it was, see ``BlobStorage.metadata``."""
        return self._find(blob_id).metadata

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield every blob whose ID started with ``prefix``."""
        found = versions_at(self._versioned.versions(prefix), self._time_ns)
        self._found.update(found)
        return (item.metadata for item in found.values())

    def _find(self, blob_id: BlobID) -> BlobVersion:
        if blob_id not in self._found:
            found = versions_at(self._versioned.versions(blob_id), self._time_ns)
            self._found[blob_id] = found.get(blob_id)
        item = self._found[blob_id]
        if item is None:
            raise BlobNotFoundError(blob_id, self.display_name)
        return item


__all__ = ["BlobVersion", "PointInTimeStorage", "VersionedStorage", "versions_at"]
