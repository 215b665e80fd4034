"""Index blobs on their way to storage: the epoch that they belong to, and whether a reader will find them."""

import logging
import secrets
from collections.abc import Callable, Iterable, Sequence

from pykopia.errors import BlobNotFoundError, ContradictedViewError, DamagedIndexError, NotVisibleError
from pykopia.format import epoch
from pykopia.format.blob import BlobMetadata
from pykopia.format.epoch import EpochState
from pykopia.format.index import IndexFile
from pykopia.format.index_merge import merge_index_files
from pykopia.format.repository_format import RepositoryFormat
from pykopia.format.whole_blob import Sealer
from pykopia.ids import BlobID
from pykopia.storage.base import BlobStorage

log = logging.getLogger(__name__)

MAX_SKIPPED_EPOCHS = 10_000
"""Kopia looks at each epoch between the newest range and the current epoch: a marker farther away would stop it."""


def restore_marker(
    storage: BlobStorage,
    sealer: Sealer,
    state: EpochState,
    read_blob: Callable[[BlobID], IndexFile],
    repository_format: RepositoryFormat,
) -> None:
    """Write the marker of the current epoch again, so that Kopia too reads all index blobs and nothing is hidden.

    A client that believed an old marker may have written index blobs to an epoch that is compacted, where no reader finds
    them once the marker is there. Their entries are written again first, to the current epoch.

    Raises:
        ContradictedViewError: the epoch is so far away that Kopia could not open the repository afterwards.
    """
    if state.current_epoch - max(state.write_epoch, state.first_after_ranges) > MAX_SKIPPED_EPOCHS:
        from pykopia.format.complete_view import examine_epochs  # noqa: PLC0415 -- for every writer, and seldom needed

        raise ContradictedViewError("write to the repository", storage.display_name, examine_epochs(state))
    marker = epoch.marker_blob_id(state.current_epoch)
    log.warning(
        "the marker of epoch %d is missing from %s although there are index blobs of that time; it is written again",
        state.current_epoch,
        storage.display_name,
    )
    now = BlobMetadata(blob_id=marker, length=len(epoch.MARKER_CONTENT), timestamp_ns=0)
    read = set(EpochState.from_blobs([*state.listed, now]).complete_index_set())
    hidden = [blob for blob in state.unread_without_markers() if blob.blob_id not in read]
    files = list(_readable(hidden, read_blob))
    try:
        plain = merge_index_files(files, version=repository_format.effective_index_version) if files else []
    finally:
        for file in files:
            file.close()
    suffix = epoch.index_blob_suffix(epoch.new_set_id(secrets.token_bytes(8)), len(plain))
    for data in plain:
        blob_id, stored = sealer.seal(epoch.index_blob_prefix(state.current_epoch), data, suffix)
        storage.put(blob_id, stored)
    storage.put(marker, epoch.MARKER_CONTENT)


def _readable(blobs: Iterable[BlobMetadata], read_blob: Callable[[BlobID], IndexFile]) -> Iterable[IndexFile]:
    for blob in blobs:
        try:
            yield read_blob(blob.blob_id)
        except (BlobNotFoundError, DamagedIndexError) as error:
            log.warning("index blob %s is left out: %s", blob.blob_id, error)


def unlisted(storage: BlobStorage, listed: Iterable[BlobMetadata], written: Sequence[BlobID]) -> list[BlobMetadata]:
    """Return the blobs of ``written`` that are stored and that a listing does not show yet, as some storages do."""
    names = {blob.blob_id for blob in listed}
    found = []
    for blob_id in written:
        if blob_id not in names:
            try:
                found.append(storage.metadata(blob_id))
            except BlobNotFoundError:
                continue
    return found


def check_read(storage: BlobStorage, written: Sequence[BlobID], state: EpochState) -> None:
    """Make sure that every reader, Kopia too, reads index blobs that were just written.

    Args:
        storage: for the message.
        written: the index blobs.
        state: that of a listing made after they were written.

    Raises:
        NotVisibleError: one would not be read.
    """
    read = set(state.complete_index_set())
    for blob_id in written:
        if blob_id not in read:
            raise _not_visible(storage, blob_id)


def check_listed(storage: BlobStorage, written: Sequence[BlobID], listed: Sequence[BlobMetadata]) -> None:
    """Do the same in a repository without epochs, where each index blob in storage is read.

    Raises:
        NotVisibleError: one is not there.
    """
    names = {blob.blob_id for blob in (*listed, *unlisted(storage, listed, written))}
    for blob_id in written:
        if blob_id not in names:
            raise _not_visible(storage, blob_id)


def _not_visible(storage: BlobStorage, blob_id: BlobID) -> NotVisibleError:
    return NotVisibleError(
        f"index blob {blob_id} was written to {storage.display_name}, and a fresh listing shows that no reader would find "
        "it: what was just stored does not count as stored. Run `index epoch list` to see the epochs of the repository, "
        "then the command again"
    )


__all__ = ["MAX_SKIPPED_EPOCHS", "check_listed", "check_read", "restore_marker", "unlisted"]
