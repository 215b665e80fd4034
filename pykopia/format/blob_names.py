"""Names of blobs, and the prefixes that give the kind of a blob (formats 01 to 03)."""

from typing import Final

from pykopia.ids import BlobID

FORMAT_BLOB_ID: Final = BlobID("kopia.repository")
"""The format block: keys and parameters of the repository."""
BLOBCFG_ID: Final = BlobID("kopia.blobcfg")
"""Object lock settings."""
MAINTENANCE_ID: Final = BlobID("kopia.maintenance")
"""The schedule of maintenance."""

DATA_PACK_PREFIX: Final = "p"
"""Packs of file data."""
METADATA_PACK_PREFIX: Final = "q"
"""Packs of folders, manifests and lists of chunks."""
PACK_PREFIXES: Final = (DATA_PACK_PREFIX, METADATA_PACK_PREFIX)
SESSION_PREFIX: Final = "s"
"""Session markers; session IDs begin with it too."""
LOG_PREFIX: Final = "_log_"
"""Logs that Kopia writes."""

LEASE_PREFIX: Final = "_pykopia_lease_"
"""Leases of maintenance, which Kopia does not know of."""
INDEX_PREFIX: Final = "n"
"""Index blobs of format version 1."""
COMPACTION_LOG_PREFIX: Final = "m"
"""Logs of compactions, of format version 1."""
CLEANUP_LOG_PREFIX: Final = "l"
"""Logs of compaction logs that may go, of format version 1."""

EPOCH_PREFIX: Final = "x"
"""All blobs of epochs."""
UNCOMPACTED_PREFIX: Final = "xn"
SINGLE_PREFIX: Final = "xs"
RANGE_PREFIX: Final = "xr"
MARKER_PREFIX: Final = "xe"
WATERMARK_PREFIX: Final = "xw"

INDEX_PREFIXES: Final = (INDEX_PREFIX, COMPACTION_LOG_PREFIX, CLEANUP_LOG_PREFIX, EPOCH_PREFIX)
"""All blobs that the index is read from, in both layouts (format 02 §8, §9)."""


def is_pack(blob_id: str) -> bool:
    """Return True if a blob is a pack by the first letter of its name; older names have no session."""
    return blob_id.startswith(PACK_PREFIXES)


__all__ = [
    "BLOBCFG_ID",
    "CLEANUP_LOG_PREFIX",
    "COMPACTION_LOG_PREFIX",
    "DATA_PACK_PREFIX",
    "EPOCH_PREFIX",
    "FORMAT_BLOB_ID",
    "INDEX_PREFIX",
    "INDEX_PREFIXES",
    "LEASE_PREFIX",
    "LOG_PREFIX",
    "MAINTENANCE_ID",
    "MARKER_PREFIX",
    "METADATA_PACK_PREFIX",
    "PACK_PREFIXES",
    "RANGE_PREFIX",
    "SESSION_PREFIX",
    "SINGLE_PREFIX",
    "UNCOMPACTED_PREFIX",
    "WATERMARK_PREFIX",
    "is_pack",
]
