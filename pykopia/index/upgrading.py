"""Moving the index of format version 1 to epochs, for an upgrade (format 02 §3.3)."""

import secrets

from pykopia.format import epoch
from pykopia.format.blob_names import EPOCH_PREFIX
from pykopia.format.complete_view import CompleteView
from pykopia.format.index_merge import merge_index_files
from pykopia.ids import BlobID
from pykopia.index.legacy_layout import LegacyLayout
from pykopia.index.store import IndexStore


def copy_to_first_epoch(indexes: IndexStore, view: CompleteView) -> list[BlobID]:
    """Store the whole index again as that of the first epoch.

    Until the format block says that there are epochs, no client reads what is written here. What an upgrade that was cut off
    left is deleted first: it may list contents whose packs are gone by now.

    Args:
        indexes: of a repository without epochs.
        view: the proof, with packs: an index blob of version 1 that is put back later is read no more.
    """
    indexes.check_complete("upgrade the index")
    delete_epochs(indexes, view)
    indexes.load()
    files = indexes.merged.files
    plain = merge_index_files(files, version=indexes.version) if files else []
    suffix = epoch.index_blob_suffix(epoch.new_set_id(secrets.token_bytes(8)), len(plain))
    return [indexes.stored.put(epoch.index_blob_prefix(0), data, suffix) for data in plain]


def delete_epochs(indexes: IndexStore, _view: CompleteView) -> None:
    """Delete all blobs of epochs that an upgrade has left that did not come to its end.

    Args:
        indexes: of a repository without epochs.
        _view: the proof that its index is complete.
    """
    assert isinstance(indexes.layout, LegacyLayout)
    storage = indexes.stored.storage
    for blob in list(storage.list(EPOCH_PREFIX)):
        storage.delete(blob.blob_id)


def legacy_blobs(indexes: IndexStore) -> list[BlobID]:
    """Return the index blobs of format version 1 that count, or did before an upgrade."""
    return LegacyLayout(indexes.stored).active()


__all__ = ["copy_to_first_epoch", "delete_epochs", "legacy_blobs"]
