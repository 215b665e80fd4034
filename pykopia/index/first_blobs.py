"""Which index blobs the opening of a repository will read, as soon as they are listed and before the key is there."""

from collections.abc import Sequence

from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID

MOST_BLOBS = 16
MOST_BYTES = 16 << 20


def first_index_blobs(listed: Sequence[BlobMetadata]) -> list[BlobID]:
    """Return the first blobs of the index, from a listing of the blobs of the epochs; few enough to be kept in memory."""
    from pykopia.format.epoch import EpochState  # noqa: PLC0415 -- seldom needed so early

    lengths = {blob.blob_id: blob.length for blob in listed}
    found: list[BlobID] = []
    room = MOST_BYTES
    for blob_id in EpochState.from_blobs(listed).readable_index_set()[:MOST_BLOBS]:
        room -= lengths[blob_id]
        if room < 0:
            break
        found.append(blob_id)
    return found


__all__ = ["first_index_blobs"]
