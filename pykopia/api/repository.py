"""An open repository: the one object that a user holds."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import field
from pathlib import Path

import pykopia
from pykopia.dataclass import dataclass
from pykopia.errors import CanceledError
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

    def verify_contents(
        self,
        *,
        options: "pykopia.ContentVerifyOptions | None" = None,
        executor: Executor | None = None,
        parts: int | None = None,
        progress: "Callable[[pykopia.ContentVerifyResult], None] | None" = None,
        cancel: "pykopia.Cancel | None" = None,
    ) -> "pykopia.ContentVerifyResult":
        """Check that each content is where the index says, and read a share of them.

        ``snapshots.verify`` starts from snapshots and says which files are damaged; this starts from the index.

        Args:
            options: which contents, and how many of them are read.
            executor: carries the verification out in parts, in threads, processes or machines that can open the repository by
                ``connection``. A part whose worker is lost is done again.
            parts: of an executor; 32 when not given.
            progress: called with what there is so far after each part.
            cancel: asked now and then whether to stop.

        Raises:
            CanceledError: the caller asked to stop.
            StorageError: the storage can't be used.
        """
        from pykopia.repository.content_parts import (  # noqa: PLC0415 -- few programs do this
            ContentVerifyOptions,
            joined,
            verify_contents,
        )

        options = options or ContentVerifyOptions()
        if executor is not None:
            from pykopia.api.executors import verify_contents_by  # noqa: PLC0415

            return verify_contents_by(self, executor, parts, options, progress, cancel)
        results: list[pykopia.ContentVerifyResult] = []
        for part in self.plan_verify_contents(parts=parts or 1, options=options):
            if cancel is not None and cancel():
                raise CanceledError("canceled: the contents were not all verified")
            results.append(verify_contents(self.contents, part))
            if progress is not None:
                progress(joined(results))
        return joined(results)

    def plan_verify_contents(
        self, *, parts: int, options: "pykopia.ContentVerifyOptions | None" = None
    ) -> "list[pykopia.ContentVerifyPart]":
        """Return parts that together verify the contents, for ``verify_contents_part`` in any process.

        Args:
            parts: how many, 4096 at most.
            options: which contents, and how many of them are read.

        Raises:
            UsageError: the number of parts is out of range.
        """
        from pykopia.repository.content_parts import (  # noqa: PLC0415
            ContentVerifyOptions,
            plan_verify_contents,
        )

        return plan_verify_contents(parts, options or ContentVerifyOptions())

    def verify_contents_part(self, part: "pykopia.ContentVerifyPart") -> "pykopia.ContentVerifyResult":
        """Carry out a part of ``plan_verify_contents``.

        Raises:
            StorageError: the storage can't be used.
        """
        from pykopia.repository.content_parts import verify_contents  # noqa: PLC0415

        return verify_contents(self.contents, part)

    def set_parameters(self, changes: "pykopia.ParameterChanges") -> "pykopia.RepositoryFormat":
        """Change what may be changed after creation (format 01 §1.5); return the format as it is now.

        No session of writing may be open meanwhile. ``contents``, ``objects`` and ``manifests`` are other ones afterwards.

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
