"""The parts of an open repository that everything else works with: storage, format, keys, indexes, contents, objects."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from pykopia import clock
from pykopia.errors import (
    ClosedError,
    DamagedFormatBlobError,
    ReadOnlyRepositoryError,
    UpgradeInProgressError,
    UsageError,
)
from pykopia.format.local_config import CachingOptions
from pykopia.format.repository_blob import BlobConfiguration, FormatBlob
from pykopia.format.repository_format import RepositoryFormat
from pykopia.index.store import IndexStore
from pykopia.repository import format_blobs
from pykopia.repository.caches import Caches
from pykopia.repository.contents import ContentStore
from pykopia.repository.format_blobs import FormatBlobs
from pykopia.repository.manifests import ManifestStore
from pykopia.repository.objects import ObjectStore
from pykopia.repository.options import ClientOptions
from pykopia.sealing.content_sealer import ContentSealer
from pykopia.storage.base import BlobStorage
from pykopia.storage.closed import ClosedStorage
from pykopia.storage.locking import LockingStorage
from pykopia.storage.readonly import ReadOnlyStorage

log = logging.getLogger(__name__)

UNREAD_CONFIGURATION = (
    "kopia.blobcfg can't be read with this password. If a change of the password was cut off, run `repository "
    "change-password` again with the new password of then, which finishes it; otherwise put the blob back from a copy, or, "
    "if object lock is not in use, delete it. Until then the repository is for reading"
)


class Core:
    """An open repository without the rooms above it; snapshots and maintenance are built on these parts.

    Attributes:
        storage: the blobs.
        client: who uses the repository, with user and host filled in.
        config_path: the connection file, None without one.
        contents: reads contents.
        objects: reads objects.
        manifests: reads manifests.
        caches: what is kept on this machine.
    """

    storage: BlobStorage
    client: ClientOptions
    config_path: Path | None
    contents: ContentStore
    objects: ObjectStore
    manifests: ManifestStore
    caches: Caches

    def __init__(
        self,
        storage: BlobStorage,
        blobs: FormatBlobs,
        *,
        client: ClientOptions,
        caching: CachingOptions | None = None,
        config_path: Path | None = None,
        owns_storage: bool = True,
    ) -> None:
        """Take what ``opening`` has read; checks that this version may use it.

        Closing the repository also closes ``storage`` when ``owns_storage`` is set: not one that the caller has opened.
        """
        for warning in blobs.format.check_features():
            log.warning("%s", warning)
        if blobs.unread_configuration:
            log.warning("%s", UNREAD_CONFIGURATION)
        self._closed = False
        self._before_close: list[Callable[[BaseException | None], None]] = []
        self._blobs = blobs
        self._read_at_ns = clock.now()
        self.client = client.resolved()
        self.check_not_locked()
        self.config_path = config_path
        self._caching = caching
        self._opened_storage = storage
        self._owns_storage = owns_storage
        self._unlocked_storage = ReadOnlyStorage(storage) if client.read_only and not storage.read_only else storage
        self._assemble()

    def _assemble(self) -> None:
        """Make the parts that depend on the parameters."""
        parameters = self.format
        storage = self._unlocked_storage
        self.storage = LockingStorage(storage, self.blob_configuration) if self.blob_configuration.retains else storage
        self.sealer = ContentSealer(parameters)
        self.caches = Caches(
            self.config_path,
            self._caching,
            unique_id=self.unique_id,
            mac_key=parameters.cache_key(unique_id=self.unique_id, format_key=self._blobs.format_key),
            local_storage=storage.is_local,
        )
        indexes = IndexStore(self.storage, self.sealer.sealer, parameters, self.caches.index_folder)
        self.contents = ContentStore(
            self.storage,
            indexes,
            self.sealer,
            self.caches.contents,
            costly_requests=not storage.has_cheap_requests,
        )
        self.objects = ObjectStore(self.contents)
        self.manifests = ManifestStore(self.contents)

    # ------------------------------------------------------------------ what it is

    @property
    def format(self) -> RepositoryFormat:
        """The parameters of the repository."""
        return self._blobs.format

    @property
    def format_blob(self) -> FormatBlob:
        """The readable part of ``kopia.repository``."""
        return self._blobs.blob

    @property
    def format_blob_bytes(self) -> bytes:
        """``kopia.repository`` as it is stored."""
        return self._blobs.raw

    @property
    def blob_configuration(self) -> BlobConfiguration:
        """Object lock settings."""
        return self._blobs.configuration

    @property
    def unique_id(self) -> bytes:
        """32 bytes that never change."""
        return self._blobs.blob.unique_id

    @property
    def username(self) -> str:
        """User in sources and ownership."""
        return self.client.username

    @property
    def hostname(self) -> str:
        """Host in sources and ownership."""
        return self.client.hostname

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self.client.read_only or self.storage.read_only

    @property
    def maintenance_key(self) -> bytes:
        """The key of what maintenance keeps for itself (format 03 §7)."""
        return self.format.maintenance_key(unique_id=self.unique_id, format_key=self._blobs.format_key)

    # ------------------------------------------------------------------ using it

    def check_open(self) -> None:
        """Raise when the repository was closed.

        Raises:
            ClosedError: nothing can be read or written any more.
        """
        if self._closed:
            raise ClosedError(f"the repository in {self.storage.display_name}")

    def refresh(self) -> None:
        """Load the index and manifests again, to see what other clients have written."""
        self.storage.flush_caches()
        self.contents.indexes.load()
        self.manifests.forget()

    def check_not_locked(self) -> None:
        """Raise when another client is upgrading the repository (format 01 §1.9).

        The format block is read again when what is known of it is older than 15 minutes.

        Raises:
            UpgradeInProgressError: no storage operation may be done now.
            ClosedError: the repository is closed.
        """
        self.check_open()
        if clock.now() - self._read_at_ns > format_blobs.MAX_CACHE_DURATION_NS:
            self._blobs = format_blobs.read_again(self.storage, self._blobs)
            self._read_at_ns = clock.now()
        lock = self._blobs.format.upgrade_lock
        if lock is None or lock.owner_id == self.client.upgrade_owner_id:
            return
        if lock.locked(clock.now()):
            raise UpgradeInProgressError(
                f"the repository is being upgraded by {lock.owner_id} ({lock.message}): nothing may be done with it "
                "until the upgrade is committed or rolled back; if that process is gone, `repository upgrade begin "
                f"--upgrade-owner-id={lock.owner_id}` goes on with it, `repository upgrade rollback --force` ends it"
            )

    def change_password(self, new_password: str) -> None:
        """Replace the password of the repository (format 01 §1.8).

        Raises:
            UsageError: the password is empty, or this repository's password can't be changed (format version 1).
        """
        if not self.format.enable_password_change:
            raise UsageError(
                "the password of this repository can't be changed: it was made in format version 1, where packs and caches "
                "depend on the password; copy its snapshots to a new repository instead"
            )
        if not new_password:
            raise UsageError("the new password is empty")
        self._check_connected_for_writing("change the password")
        self.read_format_again()
        self._blobs = format_blobs.with_password(self.storage, self._blobs, new_password)
        self.caches.forget_format_blobs()

    def write_format(self, repository_format: RepositoryFormat, configuration: BlobConfiguration | None = None) -> None:
        """Store another format; ``contents``, ``objects`` and ``manifests`` are other ones afterwards.

        It is for those who have just read it again and know what they do, as an upgrade does.
        """
        configuration = configuration or self.blob_configuration
        self._blobs = format_blobs.with_format(self.storage, self._blobs, repository_format, configuration)
        self.caches.forget_format_blobs()
        self.contents.indexes.close()
        self._assemble()

    def read_format_again(self) -> None:
        """See the central blobs as they are stored now; the parts are other ones afterwards if something changed.

        Raises:
            UpgradeInProgressError: another client is upgrading.
            WriteConflictError: the password was changed meanwhile.
        """
        known, self._blobs = self._blobs, format_blobs.read_for_change(self.storage, self._blobs)
        self._read_at_ns = clock.now()
        self.check_not_locked()
        if (known.format, known.configuration) != (self._blobs.format, self._blobs.configuration):
            self.caches.forget_format_blobs()
            self.contents.indexes.close()
            self._assemble()

    def check_writable(self, what: str) -> None:
        """Refuse what would write to a repository that must not be written to.

        Raises:
            ReadOnlyRepositoryError: it is connected read-only.
            DamagedFormatBlobError: ``kopia.blobcfg`` can't be read: it is not known what has to be locked.
        """
        self._check_connected_for_writing(what)
        if self._blobs.unread_configuration:
            raise DamagedFormatBlobError(f"can't {what}: {UNREAD_CONFIGURATION}")

    def _check_connected_for_writing(self, what: str) -> None:
        self.check_open()
        if self.read_only:
            raise ReadOnlyRepositoryError(
                f"can't {what}: the repository in {self.storage.display_name} is connected read-only; "
                "connect it again without --readonly"
            )

    def call_before_close(self, function: Callable[[BaseException | None], None]) -> None:
        """Call a function when the repository is about to be closed, while it can still be read.

        Args:
            function: gets the error that leaves the ``with`` block, or None.
        """
        self._before_close.append(function)

    def close(self) -> None:
        """Close the repository; later reads and writes raise ``ClosedError``.

        The storage is closed too, unless the caller has opened it and passed it on.
        """
        self._close(None)

    def _close(self, error: BaseException | None) -> None:
        if self._closed:
            return
        for function in self._before_close:
            function(error)
        self._closed = True
        self.storage = ClosedStorage(self.storage)
        self.contents.close(self.storage)
        self.manifests.forget()
        if self._owns_storage:
            self._opened_storage.close()

    def __enter__(self) -> Self:
        self.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.unique_id.hex()[:16]} in {self.storage.display_name!r}>"


__all__ = ["Core"]
