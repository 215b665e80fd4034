"""Buckets and containers: what the object stores have in common beyond fsspec (format 03 §3)."""

import contextlib
import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pykopia import clock
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.fsspec_storage import FsspecStorage
from pykopia.storage.layout import FlatLayout
from pykopia.storage.options import StorageOptions
from pykopia.storage.service_errors import without_secrets

CONTENT_TYPE = "application/x-kopia"
"""Content type of every object, as Kopia sets it."""
CONNECTIONS = 32
"""Most connections of one storage to its service; further calls wait for one of them."""
CONNECT_SECONDS = 15
"""Time for a connection to be made before the attempt counts as failed."""
ANSWER_SECONDS = 90
"""Time in which nothing comes before the attempt counts as failed."""
SLOWEST = 16 << 10
"""Bytes a second below which a transfer counts as failed."""


class ObjectStore(FsspecStorage):
    """A bucket by an fsspec filesystem, and by the SDK beneath it where fsspec can't say what is needed.

    Objects are named by prefix and blob ID. The libraries' own retries are off: `RetryingStorage` alone decides.

    fsspec runs requests in a thread of its own, which a forked process does not have: there, a new filesystem with new
    connections is made at the first use.
    """

    def __init__(
        self,
        make_fs: Callable[[], Any],
        bucket: str,
        *,
        options: StorageOptions,
        display_name: str,
        checked: bool = True,
    ) -> None:
        """Open a bucket.

        Args:
            make_fs: Makes a filesystem, or a client in its place, that shares nothing with others.
            bucket: Name of bucket or container.
            options: What opens the storage again; ``prefix`` is put before every blob ID.
            display_name: Name for messages, without secrets.
            checked: Whether the bucket is looked at now; otherwise ``check`` does it before the first put.
        """
        self._checked = checked
        self._make_fs = make_fs
        self._fs_lock, self._process = threading.Lock(), os.getpid()
        self.bucket = bucket
        self.prefix: str = options.to_config().get("prefix", "")
        self._secrets = _secrets(options)
        super().__init__(
            make_fs(),
            bucket,
            layout=FlatLayout(prefix=self.prefix),
            atomic_put=True,
            info=ConnectionInfo.from_options(options),
            display_name=display_name,
        )

    @property
    def fs(self) -> Any:  # noqa: ANN401 -- the libraries have no types
        """The filesystem of this process."""
        if self._process != os.getpid():
            with self._fs_lock:
                if self._process != os.getpid():
                    self._parents = self._fs  # to let it go would end the connections of the parent
                    self._fs, self._process = self._make_fs(), os.getpid()
        return self._fs

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob, see ``BlobStorage.metadata``."""
        path = self._path_of(blob_id)
        with self._failing(f"look at blob {blob_id} in {self.display_name}", blob_id):
            return self._head(blob_id, self._key(path))

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield every blob whose ID starts with ``prefix``, page by page as the service gives them."""
        pages = self._pages(prefix)
        while True:
            with self._failing(f"list the blobs of {self.display_name}"):
                page = next(pages, None)
            if page is None:
                return
            yield from page

    def check(self) -> None:
        """Look whether the bucket is there, see ``BlobStorage.check``."""
        try:
            with self._failing(f"open {self.display_name}"):
                self._check_opened()
        except BaseException:
            self.close()
            raise

    def _open_root(self, *, create: bool) -> None:
        if self._checked:
            self.check()

    def _check_opened(self) -> None:
        """Make the request that shows at opening whether the bucket is there."""
        self._check_root()

    @abstractmethod
    def _head(self, blob_id: BlobID, key: str) -> BlobMetadata:
        """Return what the service says of an object."""

    @abstractmethod
    def _pages(self, prefix: str) -> Iterator[Sequence[BlobMetadata]]:
        """Yield the blobs whose ID starts with ``prefix``, in lists of any length."""

    def _key(self, path: str) -> str:
        return path[len(self.root) + 1 :]

    def _listed_id(self, key: str) -> BlobID | None:
        """Return the ID of the blob in an object, or nothing if the object is no blob."""
        assert self._layout is not None
        return self._layout.blob_id_of(key)

    def _safe(self, text: object) -> str:
        """Return the words of a service without the secrets of this storage."""
        return without_secrets(str(text), self._secrets)


def locked_until(period_ns: int) -> datetime:
    """Return when a lock of ``period_ns`` nanoseconds from now ends."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=(clock.now() + period_ns) // 1000)


def stored_time_ns(told: Mapping[str, str] | None, name: str, otherwise_ns: int) -> int:
    """Return the time in Kopia's metadata of a blob, else the service's. Some services change the case of the metadata's name.

    Args:
        told: the metadata of an object.
        name: of the time: decimal nanoseconds since 1970.
        otherwise_ns: nanoseconds since 1970 by the service's clock.
    """
    for key, value in (told or {}).items():
        if key.lower() == name.lower():
            with contextlib.suppress(ValueError):
                return int(value)
    return otherwise_ns


_SECRET_MEMBERS = ("private_key", "private_key_id", "client_secret", "refresh_token")
"""Largest size in bytes of credentials that are JSON."""


def _secrets(options: StorageOptions) -> tuple[str, ...]:
    config = options.to_config()
    values = [config.get(name) for name in type(options).secret_fields()]
    for value in list(values):
        if isinstance(value, dict):
            values += [value.get(name) for name in _SECRET_MEMBERS]
    return tuple(value for value in values if isinstance(value, str))


__all__ = [
    "ANSWER_SECONDS",
    "CONNECTIONS",
    "CONNECT_SECONDS",
    "CONTENT_TYPE",
    "SLOWEST",
    "ObjectStore",
    "locked_until",
    "stored_time_ns",
]
