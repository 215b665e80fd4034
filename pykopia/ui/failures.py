"""The status and the heading of a page that reports an error."""

from pykopia.dataclass import dataclass
from pykopia.errors import (
    BlobNotFoundError,
    CanceledError,
    ClosedError,
    ContentNotFoundError,
    DamagedDataError,
    NotFoundError,
    PykopiaError,
    RestoreError,
    StorageAccessDeniedError,
    StorageError,
    UsageError,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a page of an error shows."""

    status: int
    heading: str
    message: str
    advice: str = ""


VERIFY = "“pykopia snapshot verify” shows what else can't be read; docs/repair.md says what to do."


def failure_of(error: Exception) -> Failure:
    """Return what to show for an error; nothing of the program's own inside is shown.

    >>> from pykopia.errors import SnapshotNotFoundError
    >>> failure_of(SnapshotNotFoundError("there is no snapshot x")).status
    404
    >>> failure_of(ZeroDivisionError("a detail")).message
    'An internal error: ZeroDivisionError.'
    """
    text = str(error)
    cause = error.__cause__ if isinstance(error, RestoreError) else error
    if isinstance(cause, BlobNotFoundError | ContentNotFoundError | DamagedDataError):
        return Failure(500, "This can't be read from the repository", text, VERIFY)
    if isinstance(error, NotFoundError):
        return Failure(404, "Not found", text, "It may have been deleted or have expired meanwhile.")
    if isinstance(error, UsageError) and not isinstance(error, ClosedError):
        return Failure(400, "This can't be done", text)
    if isinstance(error, CanceledError):
        return Failure(409, "Canceled", text)
    if isinstance(error, StorageAccessDeniedError):
        return Failure(502, "The storage refuses access", text)
    if isinstance(error, StorageError):
        status = 503 if error.temporary else 502
        return Failure(status, "The storage does not answer as it should", text, "Try again in a moment.")
    if isinstance(error, PykopiaError):
        return Failure(500, "This did not go well", text)
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        return Failure(500, "This did not go well", f"{error.filename}: {reason}" if error.filename else reason)
    return Failure(
        500, "Something went wrong here", f"An internal error: {type(error).__name__}.", "The log has the details."
    )


__all__ = ["VERIFY", "Failure", "failure_of"]
