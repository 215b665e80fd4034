"""The two central blobs, ``kopia.repository`` and ``kopia.blobcfg``: read, cached for a while, written.

Facts: format 01 §1 and §7.3.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import field, replace
from pathlib import Path

from pykopia import clock
from pykopia.dataclass import dataclass
from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    DamagedFormatBlobError,
    InvalidPasswordError,
    RepositoryExistsError,
    RepositoryNotFoundError,
    UnsupportedFormatError,
    UnsupportedOptionError,
    WriteConflictError,
)
from pykopia.format.blob_names import BLOBCFG_ID, FORMAT_BLOB_ID
from pykopia.format.repository_blob import BlobConfiguration, FormatBlob
from pykopia.format.repository_format import RepositoryFormat
from pykopia.ids import BlobID
from pykopia.private_file import write_private
from pykopia.repository import early_key
from pykopia.repository.cache import FORMAT_FOLDER_PREFIX, OWN_FOLDER
from pykopia.repository.creation_claim import claimed
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.locking import LockingStorage

MAX_CACHE_DURATION_NS = 15 * 60 * 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class FormatBlobs:
    """The central blobs of a repository, decrypted."""

    raw: bytes
    """``kopia.repository`` as it is stored."""
    blob: FormatBlob
    format_key: bytes
    format: RepositoryFormat
    configuration: BlobConfiguration
    unread_configuration: bytes = field(default=b"", repr=False)
    """``kopia.blobcfg`` as it is stored, when it can't be read with this password; empty otherwise."""

    def __repr__(self) -> str:
        return f"FormatBlobs(format={self.format!r})"


def cached_copies(cache: Path | None, info: ConnectionInfo) -> Path | None:
    """Return the folder for copies of the format blobs of one storage; None without a cache folder.

    Args:
        cache: the cache folder of a connection, which connections to other repositories may use too.
        info: of the storage; secrets have no part in the name.
    """
    if cache is None:
        return None
    location = json.dumps(info.redacted(), sort_keys=True, default=str).encode()
    return cache / OWN_FOLDER / (FORMAT_FOLDER_PREFIX + hashlib.sha256(location).hexdigest()[:16])


def not_copied(cache: Path | None, cache_duration_ns: int = MAX_CACHE_DURATION_NS) -> list[BlobID]:
    """Return which of the central blobs ``read`` will ask the storage for, with the same arguments."""
    duration = min(cache_duration_ns, MAX_CACHE_DURATION_NS)
    return [blob_id for blob_id in (FORMAT_BLOB_ID, BLOBCFG_ID) if _copy(blob_id, cache, duration) is None]


def read(
    storage: BlobStorage, password: str, *, cache: Path | None = None, cache_duration_ns: int = MAX_CACHE_DURATION_NS
) -> FormatBlobs:
    """Read and decrypt the central blobs.

    Args:
        storage: where the repository is.
        password: of the repository.
        cache: folder with copies of the blobs, see ``cached_copies``; None for no copies.
        cache_duration_ns: nanoseconds for which a copy is believed; at most 15 minutes count. Copies of a local storage, and
            those that can't be opened, are never believed.

    Raises:
        RepositoryNotFoundError: the storage holds no repository.
        InvalidPasswordError: the password does not fit, or the block is damaged.
        DamagedFormatBlobError: the block is not what it must be. A configuration that can't be read is no error here:
            it is told by ``unread_configuration``, and nothing should be written then.
        UnsupportedFormatError: a newer format.
    """
    duration = 0 if storage.is_local else min(cache_duration_ns, MAX_CACHE_DURATION_NS)
    try:
        return _read(storage, password, cache, duration)
    except (InvalidPasswordError, DamagedFormatBlobError, UnsupportedFormatError):
        if cache is None or duration <= 0:
            raise
    # the blobs may have been repaired, or those of another repository may have taken their place, since they were copied
    return _read(storage, password, cache, 0)


def _read(storage: BlobStorage, password: str, cache: Path | None, duration: int) -> FormatBlobs:
    raw = _get(storage, FORMAT_BLOB_ID, cache, duration)
    if raw is None:
        raise RepositoryNotFoundError(
            f"there is no repository in {storage.display_name}: {FORMAT_BLOB_ID} is missing; "
            "`repository create` makes one, and if there was one, put a copy of that blob back first: `repository repair` finds "
            "it in the packs of a repository that was made in format version 1"
        )
    blob = FormatBlob.from_bytes(raw)
    format_key = early_key.derive(password, algorithm=blob.key_derivation, salt=blob.unique_id)
    found = _opened(raw, _get(storage, BLOBCFG_ID, cache, duration), blob, format_key)
    if found.format.upgrade_lock is not None and cache is not None and duration > 0:
        # the upgrade may be over by now, and a cached copy must not keep clients out
        return _read(storage, password, cache, 0)
    return found


def read_with_key(storage: BlobStorage, format_key: bytes) -> FormatBlobs:
    """Read and decrypt the central blobs with the key that a password was turned into before.

    Raises:
        RepositoryNotFoundError: the storage holds no repository.
        InvalidPasswordError: the password was changed, or the block is damaged.
        DamagedFormatBlobError: the block is not what it must be.
        UnsupportedFormatError: a newer format.
    """
    raw = _get(storage, FORMAT_BLOB_ID, None, 0)
    if raw is None:
        raise RepositoryNotFoundError(f"there is no repository in {storage.display_name}: {FORMAT_BLOB_ID} is missing")
    return _opened(raw, _get(storage, BLOBCFG_ID, None, 0), FormatBlob.from_bytes(raw), format_key)


def read_for_change(storage: BlobStorage, known: FormatBlobs) -> FormatBlobs:
    """Read both blobs as they are stored now, before a change of them: what others changed is not to be undone.

    Raises:
        WriteConflictError: the password was changed meanwhile.
    """
    raw = storage.get(FORMAT_BLOB_ID)
    try:
        return _opened(raw, _get(storage, BLOBCFG_ID, None, 0), FormatBlob.from_bytes(raw), known.format_key)
    except InvalidPasswordError:
        raise WriteConflictError(
            "the password of the repository was changed by another client; nothing was written: connect again with the "
            "new one"
        ) from None


def _opened(raw: bytes, sealed: bytes | None, blob: FormatBlob, format_key: bytes) -> FormatBlobs:
    repository_format = blob.decrypt(format_key)
    configuration, unread = BlobConfiguration(), b""
    if sealed is not None:
        try:
            configuration = BlobConfiguration.decrypt(sealed, format_key=format_key, unique_id=blob.unique_id)
        except DamagedFormatBlobError:
            unread = sealed
    return FormatBlobs(
        raw=raw,
        blob=blob,
        format_key=format_key,
        format=repository_format,
        configuration=configuration,
        unread_configuration=unread,
    )


def write(storage: BlobStorage, blobs: FormatBlobs) -> FormatBlobs:
    """Encrypt and store both blobs, the configuration first (format 01 §1.8); return them as they are stored now."""
    blob = blobs.blob.with_format(blobs.format, format_key=blobs.format_key)
    raw = blob.to_bytes()
    _put_configuration(storage, blobs)
    LockingStorage(storage, blobs.configuration).put(FORMAT_BLOB_ID, raw)
    return replace(blobs, raw=raw, blob=blob, unread_configuration=b"")


def _put_configuration(storage: BlobStorage, blobs: FormatBlobs) -> None:
    sealed = blobs.configuration.encrypt(format_key=blobs.format_key, unique_id=blobs.blob.unique_id)
    LockingStorage(storage, blobs.configuration).put(BLOBCFG_ID, sealed)


def write_new(storage: BlobStorage, blobs: FormatBlobs) -> FormatBlobs:
    """Encrypt and store both blobs of a new repository, unless another client is faster; return them as they are stored.

    Whoever stores the first of the two has made the repository. That is the format block, so that one which is cut off
    before the second leaves a repository all the same: without the other blob, defaults hold. Only with other settings
    than the defaults the configuration goes first: a repository must not lack the object lock that it was made with.

    Raises:
        RepositoryExistsError: another client made one at the same time; theirs is untouched.
    """
    blob = blobs.blob.with_format(blobs.format, format_key=blobs.format_key)
    raw = blob.to_bytes()
    locking = LockingStorage(storage, blobs.configuration)
    sealed = blobs.configuration.encrypt(format_key=blobs.format_key, unique_id=blob.unique_id)
    both = [(FORMAT_BLOB_ID, raw), (BLOBCFG_ID, sealed)]
    first, second = both if blobs.configuration == BlobConfiguration() else reversed(both)
    _put_first(locking, *first)
    locking.put(*second)
    return replace(blobs, raw=raw, blob=blob)


def _put_first(storage: BlobStorage, blob_id: BlobID, data: bytes) -> None:
    """Put a blob that must not be there; where the storage can't see to that by itself, one client after the other may."""
    try:
        storage.put(blob_id, data, PutOptions(do_not_recreate=True))
    except UnsupportedOptionError:
        with claimed(storage):
            lost = has_blob(storage, blob_id)
            if not lost:
                storage.put(blob_id, data)
                lost = storage.get(blob_id) != data
    except BlobExistsError:
        # also after a put that was repeated because its answer got lost
        lost = storage.get(blob_id) != data
    else:
        return
    if lost:
        raise RepositoryExistsError(
            f"another client has just made a repository in {storage.display_name}: connect to that one"
        )


def has_blob(storage: BlobStorage, blob_id: BlobID) -> bool:
    """Return True if a blob is there."""
    try:
        storage.metadata(blob_id)
    except BlobNotFoundError:
        return False
    return True


def read_again(storage: BlobStorage, known: FormatBlobs) -> FormatBlobs:
    """Read the format block once more with the key that is known; what was known when it does not fit any more.

    A changed password does not end a session that is open: only the outer envelope is another then.
    """
    raw = storage.get(FORMAT_BLOB_ID)
    if raw == known.raw:
        return known
    blob = FormatBlob.from_bytes(raw)
    try:
        repository_format = blob.decrypt(known.format_key)
    except InvalidPasswordError:
        return known
    return replace(known, raw=raw, blob=blob, format=repository_format)


def with_password(storage: BlobStorage, known: FormatBlobs, password: str) -> FormatBlobs:
    """Encrypt both blobs for another password and store them.

    Two blobs can't be replaced at once, and neither may ever be under another password than the other, or no client can open
    the repository. Without object lock there need not be a configuration, so it is away meanwhile. With object lock a
    change that is cut off leaves it unreadable; the same change done again finishes it.
    """
    format_key = known.blob.derive_key(password)
    configuration = known.configuration
    if known.unread_configuration:
        configuration = BlobConfiguration.decrypt(
            known.unread_configuration, format_key=format_key, unique_id=known.blob.unique_id
        )
    changed = replace(known, format_key=format_key, configuration=configuration)
    if configuration.retains:
        return write(storage, changed)
    storage.delete(BLOBCFG_ID)
    blob = changed.blob.with_format(changed.format, format_key=format_key)
    raw = blob.to_bytes()
    storage.put(FORMAT_BLOB_ID, raw)
    _put_configuration(storage, changed)
    return replace(changed, raw=raw, blob=blob, unread_configuration=b"")


def with_format(
    storage: BlobStorage, known: FormatBlobs, repository_format: RepositoryFormat, configuration: BlobConfiguration
) -> FormatBlobs:
    """Store another format and other object lock settings."""
    return write(storage, replace(known, format=repository_format, configuration=configuration))


def _get(storage: BlobStorage, blob_id: BlobID, cache: Path | None, duration_ns: int) -> bytes | None:
    """Return a blob from the cache or the storage, None where there is none."""
    copy = _copy(blob_id, cache, duration_ns)
    if copy is not None:
        return copy
    try:
        data = storage.get(blob_id)
    except BlobNotFoundError:
        return None
    if cache is not None:
        with contextlib.suppress(OSError):
            write_private(cache / blob_id, data)
    return data


def _copy(blob_id: BlobID, cache: Path | None, duration_ns: int) -> bytes | None:
    """Return the copy of a blob that is not older than ``duration_ns``, None if there is none."""
    if cache is not None and duration_ns > 0:
        with contextlib.suppress(OSError), open(cache / blob_id, "rb") as file:
            age = clock.now() - os.fstat(file.fileno()).st_mtime_ns
            if 0 <= age < duration_ns:
                return file.read()
    return None


__all__ = [
    "MAX_CACHE_DURATION_NS",
    "FormatBlobs",
    "cached_copies",
    "has_blob",
    "not_copied",
    "read",
    "read_again",
    "read_for_change",
    "with_format",
    "with_password",
    "write",
    "write_new",
]
