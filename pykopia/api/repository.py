"""An open repository: the one object that a user holds."""

from dataclasses import field
from pathlib import Path

import pykopia
from pykopia.dataclass import dataclass
from pykopia.format.local_config import CachingOptions
from pykopia.repository import format_blobs
from pykopia.repository.core import Core
from pykopia.repository.options import ClientOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.options import ThrottlingLimits


class Repository(Core):
    """A repository that is open.

    Use it as a context manager, or call ``close``. Made by ``pykopia.create``, ``pykopia.connect`` and ``pykopia.open``.

    Attributes:
        storage: the blobs.
        client: who uses the repository, with user and host filled in.
        config_path: the connection file, None without one.
        contents: reads contents.
        objects: reads objects.
        manifests: reads manifests.
        caches: what is kept on this machine.
    """

    # The rooms are imported when they are first asked for: most programs use one of them.

    @property
    def snapshots(self) -> "pykopia.Snapshots":
        """Takes, lists, restores, verifies and deletes snapshots."""
        from pykopia.api.snapshots import Snapshots  # noqa: PLC0415

        return Snapshots(self)

    @property
    def policies(self) -> "pykopia.Policies":
        """Reads and sets policies."""
        from pykopia.snapshot.policies import Policies  # noqa: PLC0415

        return Policies(self)

    @property
    def maintenance(self) -> "pykopia.Maintenance":
        """Runs and configures maintenance."""
        from pykopia.api.maintenance import Maintenance  # noqa: PLC0415

        return Maintenance(self)

    @property
    def connection(self) -> "pykopia.Connection":
        """What opens this repository again in another thread or process; it can be pickled, and holds secrets.

        Raises:
            ClosedError: the repository is closed.
            UnsupportedOptionError: the storage was opened from an object, so that nothing else can open it.
        """
        self.check_open()
        storage = self._opened_storage
        return pykopia.Connection(
            storage=storage.connection_info(),
            format_key=self._blobs.format_key,
            client=self.client,
            caching=self._caching,
            config_path=self.config_path,
            limits=getattr(storage, "limits", None),
        )

    def writer(
        self, *, parallel: int | None = None, buffers: "pykopia.WriteBuffers | None" = None
    ) -> "pykopia.RepositoryWriter":
        """Return a session of writing, to be used as a context manager.

        Args:
            parallel: threads that seal chunks of large objects; the number of CPUs when not given.
            buffers: how much of what is being written is in memory at one time.

        Raises:
            ClosedError: the repository is closed.
            ReadOnlyRepositoryError: it is connected read-only.
        """
        from pykopia.repository.writer import RepositoryWriter  # noqa: PLC0415 -- readers do without

        return RepositoryWriter(self, parallel=parallel, buffers=buffers)

    def set_parameters(self, changes: "pykopia.ParameterChanges") -> "pykopia.RepositoryFormat":
        """Change what may be changed after creation (format 01 §1.5); return the format as it is now.

        Nobody may be writing meanwhile. ``contents``, ``objects`` and ``manifests`` are other ones afterwards.

        Raises:
            UsageError: nothing changes, or a value is out of range; nothing was written.
            ContradictedViewError: the index is to be moved to epochs, and it is not proven to be complete.
        """
        from pykopia.repository.setting_parameters import set_parameters  # noqa: PLC0415 -- few programs do this

        return set_parameters(self, changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """All that opens a repository again; it can be pickled, for example as the argument of a worker process.

    It holds the secrets of the repository and of its storage: hand it on only to processes that may read both. ``repr``
    shows none of them.

    >>> import pickle, pykopia
    >>> with pykopia.create("memory://shared", "a good password") as repository:
    ...     sent = pickle.dumps(repository.connection)
    ...     with pickle.loads(sent).open() as again:
    ...         again.unique_id == repository.unique_id
    True
    """

    storage: ConnectionInfo
    """Where the blobs are."""
    format_key: bytes = field(repr=False)
    """Opens the repository in place of the password, until the password is changed."""
    client: ClientOptions
    """Who uses the repository."""
    caching: CachingOptions | None = None
    """Cache folder and limits."""
    config_path: Path | None = None
    """The connection file that the caches belong to."""
    limits: ThrottlingLimits | None = None
    """How fast the storage may be used; None: as the connection of the storage says."""

    def open(self) -> Repository:
        """Return the repository open.

        Raises:
            RepositoryNotFoundError: there is no repository any more.
            InvalidPasswordError: the password of the repository was changed meanwhile.
            StorageError: the storage can't be used.
        """
        from pykopia.storage.opening import open_storage  # noqa: PLC0415 -- a repository that is open has a storage

        storage = open_storage(self.storage, limits=self.limits)
        try:
            blobs = format_blobs.read_with_key(storage, self.format_key)
            return Repository(storage, blobs, client=self.client, caching=self.caching, config_path=self.config_path)
        except BaseException:
            storage.close()
            raise


__all__ = ["Connection", "Repository"]
