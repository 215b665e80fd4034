"""Metadata of a blob."""

from datetime import datetime

from pykopia.dataclass import dataclass
from pykopia.format.gotime import moment
from pykopia.ids import BlobID


@dataclass(frozen=True, kw_only=True, slots=True)
class BlobMetadata:
    """Name, length and age of a blob, as its storage gives them (format 03 §1)."""

    blob_id: BlobID
    length: int
    """Bytes."""
    timestamp_ns: int
    """Modification time that the storage assigned: nanoseconds since 1970."""

    @property
    def timestamp(self) -> datetime | None:
        """Modification time that the storage assigned, in UTC."""
        return moment(self.timestamp_ns)


__all__ = ["BlobMetadata"]
