"""What opens a repository again, in this process or another: ``repository.connection``."""

from dataclasses import dataclass, field
from pathlib import Path

from pykopia.api.repository import Repository
from pykopia.format.local_config import CachingOptions
from pykopia.repository import format_blobs
from pykopia.repository.options import ClientOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_storage
from pykopia.storage.options import ThrottlingLimits


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
        storage = open_storage(self.storage, limits=self.limits)
        try:
            blobs = format_blobs.read_with_key(storage, self.format_key)
            return Repository(storage, blobs, client=self.client, caching=self.caching, config_path=self.config_path)
        except BaseException:
            storage.close()
            raise


__all__ = ["Connection"]
