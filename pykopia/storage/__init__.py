"""Blobs and the places that hold them: what opens a storage, what a storage must do, and what wraps one."""

from typing import TYPE_CHECKING

from pykopia.lazy import lazily

if TYPE_CHECKING:
    from pykopia.format.blob import BlobMetadata
    from pykopia.storage.backends.azureblob.options import AzureBlobOptions
    from pykopia.storage.backends.b2.options import B2Options
    from pykopia.storage.backends.filesystem.options import FilesystemOptions
    from pykopia.storage.backends.filesystem.storage import FilesystemStorage
    from pykopia.storage.backends.gcs.options import GCSOptions
    from pykopia.storage.backends.gdrive.options import GoogleDriveOptions
    from pykopia.storage.backends.memory.options import MemoryOptions
    from pykopia.storage.backends.memory.storage import MemoryStorage
    from pykopia.storage.backends.rclone.options import RcloneOptions
    from pykopia.storage.backends.s3.options import S3Options
    from pykopia.storage.backends.sftp.options import SFTPOptions
    from pykopia.storage.backends.webdav.options import WebDAVOptions
    from pykopia.storage.base import BlobStorage, Capacity, PutOptions, RetentionMode, StorageWrapper, check_blob_id
    from pykopia.storage.connection import ConnectionInfo
    from pykopia.storage.environment import EnvironmentStorage, storage_from_environment
    from pykopia.storage.environment_variables import EnvironmentBackend, Variables
    from pykopia.storage.flags import Flag, FlagContext
    from pykopia.storage.fsspec_storage import FsspecStorage
    from pykopia.storage.layout import FlatLayout
    from pykopia.storage.opening import open_storage
    from pykopia.storage.options import StorageOptions, ThrottlingLimits, flag_field, int_field, text_field
    from pykopia.storage.readonly import ReadOnlyStorage
    from pykopia.storage.registry import Backend, register
    from pykopia.storage.retrying import RetryingStorage, RetrySchedule
    from pykopia.storage.throttled import ThrottledStorage
    from pykopia.storage.url import storage_from_url

_PLACES = {
    "AzureBlobOptions": "pykopia.storage.backends.azureblob.options",
    "B2Options": "pykopia.storage.backends.b2.options",
    "Backend": "pykopia.storage.registry",
    "BlobMetadata": "pykopia.format.blob",
    "BlobStorage": "pykopia.storage.base",
    "Capacity": "pykopia.storage.base",
    "ConnectionInfo": "pykopia.storage.connection",
    "EnvironmentBackend": "pykopia.storage.environment_variables",
    "EnvironmentStorage": "pykopia.storage.environment",
    "FilesystemOptions": "pykopia.storage.backends.filesystem.options",
    "FilesystemStorage": "pykopia.storage.backends.filesystem.storage",
    "Flag": "pykopia.storage.flags",
    "FlagContext": "pykopia.storage.flags",
    "FlatLayout": "pykopia.storage.layout",
    "FsspecStorage": "pykopia.storage.fsspec_storage",
    "GCSOptions": "pykopia.storage.backends.gcs.options",
    "GoogleDriveOptions": "pykopia.storage.backends.gdrive.options",
    "MemoryOptions": "pykopia.storage.backends.memory.options",
    "MemoryStorage": "pykopia.storage.backends.memory.storage",
    "PutOptions": "pykopia.storage.base",
    "RcloneOptions": "pykopia.storage.backends.rclone.options",
    "ReadOnlyStorage": "pykopia.storage.readonly",
    "RetentionMode": "pykopia.storage.base",
    "RetrySchedule": "pykopia.storage.retrying",
    "RetryingStorage": "pykopia.storage.retrying",
    "S3Options": "pykopia.storage.backends.s3.options",
    "SFTPOptions": "pykopia.storage.backends.sftp.options",
    "StorageOptions": "pykopia.storage.options",
    "StorageWrapper": "pykopia.storage.base",
    "ThrottledStorage": "pykopia.storage.throttled",
    "ThrottlingLimits": "pykopia.storage.options",
    "Variables": "pykopia.storage.environment_variables",
    "WebDAVOptions": "pykopia.storage.backends.webdav.options",
    "check_blob_id": "pykopia.storage.base",
    "flag_field": "pykopia.storage.options",
    "int_field": "pykopia.storage.options",
    "open_storage": "pykopia.storage.opening",
    "register": "pykopia.storage.registry",
    "storage_from_environment": "pykopia.storage.environment",
    "storage_from_url": "pykopia.storage.url",
    "text_field": "pykopia.storage.options",
}
"""Module of each public name."""

if not TYPE_CHECKING:  # a type checker knows the names from above, and must refuse all others
    __getattr__ = lazily(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted([*__all__, "__all__", "__doc__"])


__all__ = [
    "AzureBlobOptions",
    "B2Options",
    "Backend",
    "BlobMetadata",
    "BlobStorage",
    "Capacity",
    "ConnectionInfo",
    "EnvironmentBackend",
    "EnvironmentStorage",
    "FilesystemOptions",
    "FilesystemStorage",
    "Flag",
    "FlagContext",
    "FlatLayout",
    "FsspecStorage",
    "GCSOptions",
    "GoogleDriveOptions",
    "MemoryOptions",
    "MemoryStorage",
    "PutOptions",
    "RcloneOptions",
    "ReadOnlyStorage",
    "RetentionMode",
    "RetrySchedule",
    "RetryingStorage",
    "S3Options",
    "SFTPOptions",
    "StorageOptions",
    "StorageWrapper",
    "ThrottledStorage",
    "ThrottlingLimits",
    "Variables",
    "WebDAVOptions",
    "check_blob_id",
    "flag_field",
    "int_field",
    "open_storage",
    "register",
    "storage_from_environment",
    "storage_from_url",
    "text_field",
]
