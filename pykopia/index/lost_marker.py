"""Writing the marker of the current epoch again where it got lost."""

import logging
import secrets
from collections.abc import Iterable

from pykopia.errors import BlobNotFoundError, ContradictedViewError, DamagedIndexError
from pykopia.format import epoch
from pykopia.format.blob import BlobMetadata
from pykopia.format.epoch import EpochState
from pykopia.format.index import IndexFile
from pykopia.format.index_merge import merge_index_files
from pykopia.index.index_blobs import IndexBlobs

log = logging.getLogger(__name__)

MAX_SKIPPED_EPOCHS = 10_000
"""Kopia looks at each epoch between the newest range and the current epoch: a marker farther away would stop it."""


def restore_marker(blobs: IndexBlobs, state: EpochState, *, version: int) -> None:
    """Write the marker of the current epoch again, so that Kopia too reads all index blobs and nothing is hidden.

    A client that believed an old marker may have written index blobs to an epoch that is compacted, where no reader finds
    them once the marker is there. Their entries are written again first, to the current epoch.

    Args:
        blobs: of the repository.
        state: of the epochs, which lacks the marker.
        version: of the index files that are written.

    Raises:
        ContradictedViewError: the epoch is so far away that Kopia could not open the repository afterwards.
    """
    place = blobs.storage.display_name
    if state.current_epoch - max(state.write_epoch, state.first_after_ranges) > MAX_SKIPPED_EPOCHS:
        from pykopia.format.complete_view import examine_epochs  # noqa: PLC0415 -- for every writer, and seldom needed

        raise ContradictedViewError("write to the repository", place, examine_epochs(state))
    marker = epoch.marker_blob_id(state.current_epoch)
    log.warning(
        "the marker of epoch %d is missing from %s although there are index blobs of that time; it is written again",
        state.current_epoch,
        place,
    )
    now = BlobMetadata(blob_id=marker, length=len(epoch.MARKER_CONTENT), timestamp_ns=0)
    read = set(EpochState.from_blobs([*state.listed, now]).complete_index_set())
    hidden = [blob for blob in state.unread_without_markers() if blob.blob_id not in read]
    files = list(_readable(blobs, hidden))
    try:
        plain = merge_index_files(files, version=version) if files else []
    finally:
        for file in files:
            file.close()
    suffix = epoch.index_blob_suffix(epoch.new_set_id(secrets.token_bytes(8)), len(plain))
    for data in plain:
        blobs.put(epoch.index_blob_prefix(state.current_epoch), data, suffix)
    blobs.storage.put(marker, epoch.MARKER_CONTENT)


def _readable(blobs: IndexBlobs, hidden: Iterable[BlobMetadata]) -> Iterable[IndexFile]:
    for blob in hidden:
        try:
            yield blobs.open(blob.blob_id)
        except (BlobNotFoundError, DamagedIndexError) as error:
            log.warning("index blob %s is left out: %s", blob.blob_id, error)


__all__ = ["MAX_SKIPPED_EPOCHS", "restore_marker"]
