"""Reading and writing ``.shards``, once for each opened storage (format 03 §2.1)."""

import logging
import threading
from collections.abc import Callable, Sequence

from pykopia.errors import StorageError
from pykopia.storage.layout import SHARDS_FILE, ShardParameters, default_parameters

_log = logging.getLogger(__name__)


class ShardsFile:
    """The parameters of one storage: read at the first use, written before the first put if they were not there.

    Kopia writes the file at the first use already; waiting for a put keeps a storage that is only read unchanged.

    Args:
        read: Returns the content of ``.shards``, or nothing if there is none.
        write: Creates it, atomically.
        dir_shards: ``dirShards`` of the connection, for a storage without the file; none: it does not say.
        create: Whether the storage is being created.
    """

    def __init__(
        self,
        *,
        read: Callable[[], bytes | None],
        write: Callable[[bytes], None],
        dir_shards: Sequence[int] | None,
        create: bool,
    ) -> None:
        self._read, self._write = read, write
        self._fallback = default_parameters(dir_shards, create=create)
        self._lock = threading.Lock()
        self._loaded: ShardParameters | None = None
        self._stored = False

    def parameters(self) -> ShardParameters:
        """Return the parameters.

        Raises:
            StorageError: The file is malformed or can't be read.
        """
        return self._loaded or self._load()

    def ensure_stored(self) -> ShardParameters:
        """Return the parameters and make sure that whoever opens the storage later finds the same.

        Raises:
            StorageError: The file can't be written, and without it others would look for blobs in the wrong folders.
        """
        parameters = self.parameters()
        if self._stored:
            return parameters
        with self._lock:
            if not self._stored:
                self._loaded = parameters = self._store(parameters)
                self._stored = True
            return self._loaded or parameters

    def _load(self) -> ShardParameters:
        with self._lock:
            if self._loaded is None:
                content = self._read()
                self._stored = content is not None
                self._loaded = self._fallback if content is None else ShardParameters.from_bytes(content)
            return self._loaded

    def _store(self, parameters: ShardParameters) -> ShardParameters:
        content = self._read()
        if content is not None:  # another client was first
            return ShardParameters.from_bytes(content)
        try:
            self._write(parameters.to_bytes())
        except StorageError as error:
            if parameters != default_parameters(None, create=False):
                raise
            _log.warning("can't write %s, which does no harm with these shards: %s", SHARDS_FILE, error)
        return parameters


__all__ = ["ShardsFile"]
