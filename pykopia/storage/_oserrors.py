"""From errors of the operating system to errors of a storage."""

import errno
import os

from pykopia.errors import (
    PykopiaError,
    ReadOnlyStorageError,
    StorageAccessDeniedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM})
_UNAVAILABLE = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.EAGAIN,
        errno.EBUSY,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EMFILE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENFILE,
        errno.ENOTCONN,
        errno.EREMOTEIO,
    }
)


def storage_error(error: OSError, doing: str) -> PykopiaError:
    """Return the storage error that stands for ``error``.

    Args:
        error: What the operating system, or a library that behaves like it, raised.
        doing: What was being done to which thing, such as ``write blob p12 to /backups``.
    """
    reason = error.strerror or str(error) or type(error).__name__
    code = error.errno
    if code in _FULL:
        return StorageFullError(f"can't {doing}: {reason}; free some space, or raise the quota, and try again")
    if code in _DENIED or (code is None and isinstance(error, PermissionError)):
        return StorageAccessDeniedError(
            f"can't {doing}: {reason} for user ID {os.geteuid()}; "
            "give this user access, or run as the owner of the files"
        )
    if code == errno.EROFS:
        return ReadOnlyStorageError(f"can't {doing}: {reason}; mount it for writing, or connect with read-only access")
    if code in _UNAVAILABLE or isinstance(error, ConnectionError | TimeoutError):
        return StorageUnavailableError(f"can't {doing}: {reason}; check the disk or the connection and try again")
    return StorageError(f"can't {doing}: {reason}")


__all__ = ["storage_error"]
