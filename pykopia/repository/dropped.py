"""The record of how many contents were dropped from the index, by pack.

Only format version 1 drops entries from the index, and nothing else remembers it. Without this record, a pack of such
contents could not be told from one whose index is lost, and would never be deleted.

The blob ``_pykopia_dropped`` is sealed like the schedule; Kopia neither reads nor deletes it.
"""

import json
import secrets
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from pykopia.errors import BlobNotFoundError, DamagedDataError
from pykopia.format.blob_names import MAINTENANCE_ID
from pykopia.format.maintenance_plan import latest_drop_ns
from pykopia.format.maintenance_schedule import NONCE_LENGTH, MaintenanceSchedule, open_with_key, seal_with_key
from pykopia.ids import BlobID
from pykopia.repository.core import Core

BLOB_ID: Final = BlobID("_pykopia_dropped")
CONTEXT: Final = b"pykopia dropped contents"


def read_dropped(repository: Core) -> Mapping[str, int]:
    """Return how many contents of each pack were dropped; nothing where no record can be read: such packs are kept."""
    if not repository.contents.indexes.layout.drops_entries:
        return {}
    try:
        plain = open_with_key(repository.storage.get(BLOB_ID), repository.maintenance_key, CONTEXT)
        stored = json.loads(plain)
    except (BlobNotFoundError, DamagedDataError, ValueError):
        return {}
    if not isinstance(stored, dict):
        return {}
    return {pack: count for pack, count in stored.items() if isinstance(count, int)}


def dropped_before_ns(repository: Core) -> int | None:
    """Return before when deleted contents may have been dropped from the index, by whatever program; None for never.

    Only format version 1 does that. Nothing is known where the schedule of maintenance is lost or can't be read.
    """
    if not repository.contents.indexes.layout.drops_entries:
        return None
    try:
        stored = repository.storage.get(MAINTENANCE_ID)
        return latest_drop_ns(MaintenanceSchedule.from_json(open_with_key(stored, repository.maintenance_key)))
    except (BlobNotFoundError, DamagedDataError):
        return None


def record_dropped(repository: Core, dropped: Mapping[str, int], packs: Collection[str]) -> None:
    """Add contents that are about to be dropped to the record.

    Args:
        repository: open for writing, without epochs.
        dropped: number of contents by pack.
        packs: all packs that are there: what is said about others is forgotten.
    """
    counts = Counter(read_dropped(repository))
    counts.update(dropped)
    plain = json.dumps({pack: count for pack, count in sorted(counts.items()) if pack in packs}).encode()
    nonce = secrets.token_bytes(NONCE_LENGTH)
    repository.storage.put(BLOB_ID, seal_with_key(plain, repository.maintenance_key, nonce, CONTEXT))


__all__ = ["BLOB_ID", "dropped_before_ns", "read_dropped", "record_dropped"]
