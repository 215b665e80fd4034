"""From a connection to an open storage; backends are imported when one is opened."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pykopia.errors import UnsupportedOptionError
from pykopia.storage.base import BlobStorage
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.options import NO_LIMITS, ThrottlingLimits
from pykopia.storage.retrying import RetryingStorage
from pykopia.storage.throttled import ThrottledStorage


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """How the storages of one type are opened."""

    opener: str
    """``module:name`` or ``module:class.name`` of a callable ``(options, *, create) -> BlobStorage``."""
    extra: str = ""
    """The extra of this package that brings the libraries it needs; empty: none."""
    retries: bool = True
    """Whether temporary errors are to be retried by a wrapper."""


BACKENDS: dict[str, Backend] = {
    "azureBlob": Backend(opener="pykopia.storage.azure:AzureStorage.from_options", extra="azure"),
    "b2": Backend(opener="pykopia.storage.b2:B2Storage.from_options", extra="b2", retries=False),  # its SDK does
    "filesystem": Backend(opener="pykopia.storage.filesystem:FilesystemStorage.from_options"),
    "gcs": Backend(opener="pykopia.storage.gcs:GCSStorage.from_options", extra="gcs"),
    "gdrive": Backend(opener="pykopia.storage.gdrive:GoogleDriveStorage.from_options", extra="gdrive"),
    "memory": Backend(opener="pykopia.storage.memory:MemoryStorage.from_options", retries=False),
    "rclone": Backend(opener="pykopia.storage.rclone:RcloneStorage.from_options", extra="rclone"),
    "s3": Backend(opener="pykopia.storage.s3:S3Storage.from_options", extra="s3"),
    "sftp": Backend(opener="pykopia.storage.sftp:SFTPStorage.from_options", extra="sftp"),
    "webdav": Backend(opener="pykopia.storage.webdav:WebDAVStorage.from_options", extra="webdav"),
}
"""The backends by Kopia's name of the storage type; another package may add its own."""


def open_storage(info: ConnectionInfo, *, create: bool = False, limits: ThrottlingLimits | None = None) -> BlobStorage:
    """Open the storage that a connection describes.

    Args:
        info: Type and configuration.
        create: Make the folder if there is none, and choose the layout of new repositories.
        limits: How fast it may be used, instead of what the connection says.

    Raises:
        UnsupportedOptionError: The type is not known, or has no backend here; nothing was touched.
        UsageError: A required field is empty.
        ConnectionFileError: A field has a value of the wrong kind.
        StorageNotFoundError: There is no such folder, bucket or container.
    """
    options = info.options()
    options.check()
    if info.type not in BACKENDS:
        raise UnsupportedOptionError(
            f"can't open storage of type {info.type}: this version of pykopia has no backend for it; "
            f"there are: {', '.join(sorted(BACKENDS))}"
        )
    backend = BACKENDS[info.type]
    storage: BlobStorage = _opener(info.type, backend)(options, create=create)
    if backend.retries:
        storage = RetryingStorage(storage)
    limits = limits or options.throttling
    return storage if limits == NO_LIMITS else ThrottledStorage(storage, limits)


def _opener(kind: str, backend: Backend) -> Callable[..., Any]:
    module, _, name = backend.opener.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not backend.extra:
            raise
        raise UnsupportedOptionError(
            f"can't open storage of type {kind}: the module {error.name} is not installed; "
            f'install it by `pip install "pykopia[{backend.extra}]"`'
        ) from error
    for part in name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


__all__ = ["BACKENDS", "Backend", "open_storage"]
