"""``kopia.repository``, brought back from the copies of it that packs of format version 1 begin with.

Facts: format 01 §1.11. Repositories made in format 2 or 3 have no such copies: for them a copy of the blob kept elsewhere
is the only way.
"""

from collections.abc import Callable, Iterator, Sequence

from pykopia.dataclass import dataclass
from pykopia.errors import BlobNotFoundError, DamagedFormatBlobError, PykopiaError, RepositoryExistsError
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import FORMAT_BLOB_ID, PACK_PREFIXES
from pykopia.format.replica import REPLICA_PROBE_LENGTH, find_replica
from pykopia.format.repository_blob import FormatBlob
from pykopia.ids import BlobID
from pykopia.repository.index_recovery import ASIDE_PREFIX
from pykopia.storage.base import BlobStorage


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundFormatBlob:
    """A copy of ``kopia.repository``."""

    pack: BlobID
    """The pack that has it."""
    raw: bytes
    """The blob, as it was stored when that pack was written."""
    replaced: bool
    """Whether there is a ``kopia.repository`` that it stands instead of."""


def recover_format_blob(
    storage: BlobStorage,
    *,
    prefixes: Sequence[str] = PACK_PREFIXES,
    replace: bool = False,
    dry_run: bool = False,
    progress: Callable[[BlobID], None] | None = None,
) -> FoundFormatBlob:
    """Put ``kopia.repository`` back from the newest pack that has a copy of it.

    The newest is taken because parameters may have changed: an old copy tells of an index that is not used any more.
    A blob that is there already is kept under another name.

    Args:
        storage: Where the repository is.
        prefixes: What the names of the packs to look into begin with.
        replace: Whether a ``kopia.repository`` that is there is replaced.
        dry_run: Whether nothing is written.
        progress: Called with each pack before it is read.

    Raises:
        RepositoryExistsError: There is a ``kopia.repository`` and ``replace`` is not set; nothing was written.
        DamagedFormatBlobError: No pack has a copy.
    """
    present = _present(storage)
    if present is not None and not replace:
        raise RepositoryExistsError(
            f"{FORMAT_BLOB_ID} is in {storage.display_name} already; pass --recover-format=yes to replace it, if it is damaged"
        )
    for pack in _newest_first(storage, prefixes):
        if progress is not None:
            progress(pack.blob_id)
        raw = _copy_in(storage, pack)
        if raw is None:
            continue
        if not dry_run:
            if present is not None:
                storage.put(BlobID(ASIDE_PREFIX + FORMAT_BLOB_ID), present)
            storage.put(FORMAT_BLOB_ID, raw)
        return FoundFormatBlob(pack=pack.blob_id, raw=raw, replaced=present is not None)
    raise DamagedFormatBlobError(
        f"no pack in {storage.display_name} has a copy of {FORMAT_BLOB_ID}: only those of repositories made in format "
        "version 1 do; look for a copy of the blob in another place, such as the cache folder of a client that was "
        "connected (its password is needed as well)"
    )


def _present(storage: BlobStorage) -> bytes | None:
    try:
        return storage.get(FORMAT_BLOB_ID)
    except BlobNotFoundError:
        return None


def _newest_first(storage: BlobStorage, prefixes: Sequence[str]) -> Iterator[BlobMetadata]:
    packs = {blob.blob_id: blob for prefix in prefixes for blob in storage.list(prefix)}
    yield from sorted(packs.values(), key=lambda blob: blob.timestamp_ns, reverse=True)


def _copy_in(storage: BlobStorage, pack: BlobMetadata) -> bytes | None:
    """Return the copy at the start or the end of a pack, None where there is none or the pack can't be read."""
    length = min(pack.length, REPLICA_PROBE_LENGTH)
    try:
        raw = find_replica(storage.get(pack.blob_id, 0, length))
        if raw is None and pack.length > length:
            raw = find_replica(storage.get(pack.blob_id, pack.length - length, length))
        if raw is not None:
            FormatBlob.from_bytes(raw)
    except PykopiaError:
        return None
    return raw


__all__ = ["FoundFormatBlob", "recover_format_blob"]
