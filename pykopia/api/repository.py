"""An open repository: the one object that a user holds."""

import pykopia
from pykopia.repository.core import Core


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

    def writer(self, *, parallel: int | None = None) -> "pykopia.RepositoryWriter":
        """Return a session of writing, to be used as a context manager.

        Args:
            parallel: threads that seal chunks of large objects; the number of CPUs when not given.

        Raises:
            ClosedError: the repository is closed.
            ReadOnlyRepositoryError: it is connected read-only.
        """
        from pykopia.repository.writer import RepositoryWriter  # noqa: PLC0415 -- readers do without

        return RepositoryWriter(self, parallel=parallel)


__all__ = ["Repository"]
