"""What goes wrong when a snapshot is read, as programs that open files expect it."""

import contextlib
from collections.abc import Iterator

from pykopia.errors import (
    BlobNotFoundError,
    ClosedError,
    PathNotInSnapshotError,
    PykopiaError,
    SnapshotNotFoundError,
    UnreadableFileError,
)


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Raise what programs expect in the block: a name that is not there, and data that is lost, are never the same error.

    Args:
        path: what is read, for messages.

    Raises:
        FileNotFoundError: there is no such snapshot or path.
        UnreadableFileError: data of it is lost or damaged.
        OSError: the storage can't be used now.
    """
    try:
        yield
    except SnapshotNotFoundError as error:
        raise PathNotInSnapshotError(f"{path} is not there: {error}") from error
    except BlobNotFoundError as error:
        raise UnreadableFileError(path, error) from error
    except (OSError, ClosedError):
        raise
    except PykopiaError as error:
        raise UnreadableFileError(path, error) from error


__all__ = ["reading"]
