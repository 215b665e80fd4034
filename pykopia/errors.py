"""What can go wrong, as one tree.

    PykopiaError
    ├── UsageError                       an argument that makes no sense (also ValueError)
    │   ├── InvalidIDError               not a content, object, blob or manifest ID
    │   ├── InvalidEnvironmentError      a variable of the environment that names a storage
    │   ├── InvalidPolicyError
    │   ├── InvalidTimeError             a text that names no time
    │   └── InvalidURLError
    ├── CanceledError                    the caller asked to stop
    ├── ClosedError                      a repository or writer that was closed (also ValueError)
    ├── StorageError
    │   ├── BlobNotFoundError            (also FileNotFoundError)
    │   ├── BlobExistsError              (also FileExistsError)
    │   ├── InvalidRangeError
    │   ├── ReadOnlyStorageError         (also PermissionError)
    │   ├── StorageAccessDeniedError     (also PermissionError)
    │   │   └── StorageAuthenticationError   the storage does not take these credentials at all
    │   ├── StorageFullError
    │   ├── StorageNotFoundError         no such folder, bucket, container (also FileNotFoundError)
    │   ├── StorageClockError            the service refuses requests because the clocks differ too much
    │   ├── StorageUnavailableError      temporary: may go well when tried again (also ConnectionError)
    │   │   └── StorageBusyError         the service answers, and asks to come back later
    │   ├── UnsupportedOptionError
    │   ├── UntrustedServerError         a certificate or host key that proves nothing
    │   └── WrongServerError             what answers at the address is not the storage service
    ├── RepositoryError
    │   ├── NotConnectedError
    │   ├── ConnectionFileError          repository.config or a token can't be used
    │   ├── RepositoryNotFoundError      (also FileNotFoundError)
    │   ├── RepositoryExistsError        (also FileExistsError)
    │   ├── InvalidPasswordError         (also PermissionError)
    │   ├── DamagedFormatBlobError
    │   ├── UnsupportedFormatError       a newer format, or an algorithm that is not known
    │   ├── RequiredFeatureError
    │   ├── UpgradeInProgressError
    │   ├── ReadOnlyRepositoryError      (also PermissionError)
    │   ├── WriteConflictError           another writer went ahead: nothing was committed
    │   ├── NotVisibleError              what was written would not be found by a reader
    │   └── ContradictedViewError        storage and index contradict each other: nothing may be destroyed
    ├── MaintenanceError                 maintenance was not done, or stopped; it deleted nothing that it was not sure of
    │   ├── MaintenanceNotOwnedError     another client maintains the repository
    │   ├── MaintenanceBusyError         temporary: another process is at it
    │   └── ClockError                   clocks disagree: nothing may be deleted by age
    ├── NotFoundError                    (also LookupError)
    │   ├── ContentNotFoundError
    │   ├── ManifestNotFoundError
    │   ├── SnapshotNotFoundError
    │   │   └── InvalidReferenceError    a text that is too short to name a snapshot (also UsageError)
    │   ├── PolicyNotFoundError
    │   └── PathNotInSnapshotError       (also FileNotFoundError)
    ├── DamagedDataError                 stored bytes are not what they must be
    │   ├── DecryptionError
    │   ├── DecompressionError
    │   ├── UncorrectableError           more damage than the error correction can mend
    │   ├── DamagedIndexError
    │   ├── DamagedPackError
    │   ├── DamagedContentError
    │   ├── DamagedObjectError
    │   ├── DamagedManifestError
    │   └── UnreadableFileError          a file or folder of a snapshot whose data is lost (also OSError)
    ├── SourceError                      what is to be snapshotted
    │   ├── SourceNotFoundError          (also FileNotFoundError)
    │   ├── UnsupportedSourceError
    │   ├── ActionFailedError            a program that a policy runs before or after
    │   ├── CollidingNamesError          names that are equal once they are stored
    │   └── SourceReadError
    ├── SnapshotError                    a snapshot was saved, or not, with errors in it
    ├── RestoreError
    │   ├── DuplicateNameError           two entries that have one name in the target
    │   ├── TargetExistsError            (also FileExistsError)
    │   └── UnsafePathError              a name that would leave the target
    ├── MountError                       a folder can't be mounted at
    ├── PageError                        the local page can't be served
    └── VerifyError

Every message says what was being done, to which thing, what went wrong and what to do. No message carries a secret.
"""

import errno
from collections.abc import Sequence


class PykopiaError(Exception):
    """Root of all errors that pykopia raises."""

    exit_code = 1
    """Exit status of the command line when this ends a command."""

    temporary = False
    """Whether the same call may succeed when it is repeated."""

    def __reduce__(self) -> tuple[object, ...]:
        number = {"errno": self.errno} if isinstance(self, OSError) and self.errno is not None else {}
        return _restored, (type(self), self.args, self.__dict__ | number)


def _restored(kind: type[PykopiaError], args: tuple[object, ...], parts: dict[str, object]) -> PykopiaError:
    """Return an error that was pickled: with its message and its parts, not made of them again."""
    error = (OSError if issubclass(kind, OSError) else Exception).__new__(kind)
    error.args = args
    for name, value in parts.items():
        setattr(error, name, value)
    return error


class UsageError(PykopiaError, ValueError):
    """An argument that makes no sense."""

    exit_code = 2


class InvalidIDError(UsageError):
    """Text that is not an ID of the kind asked for."""

    def __init__(self, kind: str, text: str, reason: str) -> None:
        self.kind, self.text, self.reason = kind, text, reason
        super().__init__(f"{text!r} is not a valid {kind} ID: {reason}")


class InvalidEnvironmentError(UsageError):
    """A variable of the environment is missing, or has a value that can't be used."""

    def __init__(self, variable: str, reason: str) -> None:
        self.variable, self.reason = variable, reason
        super().__init__(f"{variable} {reason}")


class InvalidPolicyError(UsageError):
    """A policy, or a part of one, that can't be used; the stored policy is unchanged."""


class InvalidTimeError(UsageError):
    """A text that names no time."""

    exit_code = 1  # as Kopia's, for flags that take a time


class InvalidURLError(UsageError):
    """A repository URL that names no storage."""


class CanceledError(PykopiaError):
    """The caller asked to stop; what was finished before is kept."""

    exit_code = 130


class ClosedError(PykopiaError, ValueError):
    """A repository or a writer is used after it was closed; nothing was read or stored."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what} is closed: nothing can be read from it or written to it any more; open it again")


class StorageError(PykopiaError):
    """The storage beneath a repository did not do what it was asked."""

    exit_code = 10


class BlobNotFoundError(StorageError, FileNotFoundError):
    """A blob is missing from storage."""

    exit_code = 14

    def __init__(self, blob_id: str, location: str) -> None:
        self.blob_id, self.location = blob_id, location
        super().__init__(
            f"blob {blob_id} is missing from {location}; if the repository refers to it, put it back from a copy"
        )

    def __str__(self) -> str:
        return str(self.args[0])


class BlobExistsError(StorageError, FileExistsError):
    """A blob that must not be replaced is there already."""

    def __init__(self, blob_id: str, location: str) -> None:
        self.blob_id, self.location = blob_id, location
        super().__init__(f"blob {blob_id} exists already in {location}; it was left as it is")

    def __str__(self) -> str:
        return str(self.args[0])


class InvalidRangeError(StorageError):
    """A range that does not lie within a blob."""

    def __init__(self, blob_id: str, offset: int, length: int) -> None:
        self.blob_id, self.offset, self.length = blob_id, offset, length
        super().__init__(
            f"blob {blob_id} has no range of {length} bytes at offset {offset}: it is shorter, so it is damaged "
            "or the index that refers to it is"
        )


class ReadOnlyStorageError(StorageError, PermissionError):
    """A write to a storage that was opened for reading."""

    exit_code = 13


class StorageAccessDeniedError(StorageError, PermissionError):
    """The storage refuses this user or these credentials."""

    exit_code = 13


class StorageAuthenticationError(StorageAccessDeniedError):
    """The storage does not take these credentials: wrong user, password or key."""


class StorageFullError(StorageError):
    """No space or quota is left."""

    exit_code = 15


class StorageNotFoundError(StorageError, FileNotFoundError):
    """The folder, bucket or container of the storage does not exist."""

    exit_code = 12


class StorageUnavailableError(StorageError, ConnectionError):
    """The storage can't be reached or asks to come back later."""

    exit_code = 16
    temporary = True

    retry_after: float | None = None
    """Seconds after which the service asks to be tried again; None where it does not say."""


class StorageBusyError(StorageUnavailableError):
    """The service answers, and asks to come back later: it limits the rate of requests, is overloaded, or restarts."""


class StorageClockError(StorageError):
    """The service refuses requests because the clock of this machine and its own differ too much."""

    exit_code = 18


class UnsupportedOptionError(StorageError):
    """An option that this storage does not know, such as object lock on a folder."""


class UntrustedServerError(StorageError):
    """A server can't prove that it is the one meant: its TLS certificate or SSH host key is not trusted."""

    exit_code = 17


class WrongServerError(StorageError):
    """Something answers at the address, and it is not the storage service: a web page, a login portal, a redirect."""

    exit_code = 19


class RepositoryError(PykopiaError):
    """A repository can't be opened, created or used as asked."""

    exit_code = 20


class NotConnectedError(RepositoryError):
    """No connection file: nothing says where the repository is."""

    exit_code = 21


class ConnectionFileError(RepositoryError):
    """A connection file or token that can't be used."""

    exit_code = 21


class RepositoryNotFoundError(RepositoryError, FileNotFoundError):
    """The storage holds no repository."""

    exit_code = 22


class RepositoryExistsError(RepositoryError, FileExistsError):
    """The storage holds a repository already."""

    exit_code = 23


class InvalidPasswordError(RepositoryError, PermissionError):
    """The password does not open the repository."""

    exit_code = 24


class DamagedFormatBlobError(RepositoryError):
    """``kopia.repository`` or ``kopia.blobcfg`` can't be read."""

    exit_code = 25


class UnsupportedFormatError(RepositoryError):
    """A newer format, or an algorithm that this version does not know."""

    exit_code = 26


class RequiredFeatureError(UnsupportedFormatError):
    """The repository demands a feature that this version does not have."""


class UpgradeInProgressError(RepositoryError):
    """Another client holds the upgrade lock; no client may touch the repository."""

    exit_code = 27


class ReadOnlyRepositoryError(RepositoryError, PermissionError):
    """A write to a repository that is connected for reading."""

    exit_code = 13


class WriteConflictError(RepositoryError):
    """The repository moved on while data was being committed; nothing was committed."""

    exit_code = 28
    temporary = True


class NotVisibleError(RepositoryError):
    """What was just written is not where a reader looks: it does not count as stored."""

    exit_code = 29


class ContradictedViewError(RepositoryError):
    """What is on storage, the index and the snapshots contradict each other: nothing may be destroyed or hidden.

    Attributes:
        contradictions: one ``pykopia.format.complete_view.Contradiction`` for each kind.
    """

    exit_code = 45

    def __init__(self, what: str, location: str, contradictions: Sequence[object]) -> None:
        self.what, self.location, self.contradictions = what, location, tuple(contradictions)
        texts = " ".join(f"({number}) {each}." for number, each in enumerate(self.contradictions, 1))
        super().__init__(f"can't {what}: what {location} holds is contradictory, and nothing is deleted then: {texts}")


class MaintenanceError(PykopiaError):
    """Maintenance was not done, or stopped on the way; what it had finished by then is right and stays."""

    exit_code = 70


class MaintenanceNotOwnedError(MaintenanceError):
    """Another client maintains the repository."""

    exit_code = 71

    def __init__(self, owner: str, client: str) -> None:
        self.owner, self.client = owner, client
        super().__init__(
            f"maintenance of this repository is done by {owner or 'nobody'} and this client is {client}; to do it from here "
            "from now on, run `maintenance set --owner=me`"
        )


class MaintenanceBusyError(MaintenanceError):
    """Another process is maintaining the repository."""

    exit_code = 72
    temporary = True


class ClockError(MaintenanceError):
    """The clocks of this machine and of the storage disagree, or one was set: ages can't be trusted."""

    exit_code = 73


class NotFoundError(PykopiaError, LookupError):
    """Something asked for by ID or path is not in the repository."""

    exit_code = 30


class ContentNotFoundError(NotFoundError):
    """A content is not in the index."""


class ManifestNotFoundError(NotFoundError):
    """A manifest ID is not in the repository."""


class SnapshotNotFoundError(NotFoundError):
    """No snapshot matches."""


class InvalidReferenceError(SnapshotNotFoundError, UsageError):
    """A text that is too short to name a snapshot or an object."""


class PolicyNotFoundError(NotFoundError):
    """No policy is defined for a target."""


class PathNotInSnapshotError(NotFoundError, FileNotFoundError):
    """A snapshot has no such path."""


class DamagedDataError(PykopiaError):
    """Stored bytes are not what they must be."""

    exit_code = 40


class DecryptionError(DamagedDataError):
    """Authentication failed: the bytes were altered, or the key is another's."""


class DecompressionError(DamagedDataError):
    """A compressed body can't be expanded, or to another length than recorded."""


class UncorrectableError(DamagedDataError):
    """More damage than the error correction can mend."""


class DamagedIndexError(DamagedDataError):
    """An index blob can't be read."""


class DamagedPackError(DamagedDataError):
    """A pack blob can't be read."""


class DamagedContentError(DamagedDataError):
    """A content can't be read, or is not what its ID says."""


class DamagedObjectError(DamagedDataError):
    """An object's index or directory can't be read."""


class DamagedManifestError(DamagedDataError):
    """A manifest can't be read."""


class UnreadableFileError(DamagedDataError, OSError):
    """A file or folder of a snapshot can't be read, because stored data of it is missing or damaged.

    Never a ``FileNotFoundError``: programs take that for a file that does not exist, and go on without its data.
    """

    def __init__(self, path: str, cause: PykopiaError) -> None:
        self.path, self.cause = path, cause
        super().__init__(f"{path} can't be read from its snapshot: {cause}; `snapshot verify` shows what else is lost")
        self.errno = errno.EIO

    def __str__(self) -> str:
        return str(self.args[0])


class SourceError(PykopiaError):
    """What is to be snapshotted can't be."""

    exit_code = 50


class SourceNotFoundError(SourceError, FileNotFoundError):
    """The source does not exist."""


class UnsupportedSourceError(SourceError):
    """The source is neither a file nor a folder."""


class ActionFailedError(SourceError):
    """A program that a policy runs before or after a snapshot, or a folder of it, did not do what it should."""

    def __init__(
        self, message: str, *, status: int | None = None, output: tuple[str, ...] = (), timed_out: bool = False
    ) -> None:
        self.status = status
        """Exit status; below 0 for a signal, None when it did not end by itself."""
        self.output = output
        """The last lines that it printed."""
        self.timed_out = timed_out
        super().__init__(message)


class CollidingNamesError(SourceError):
    """Names of one directory that are equal once they are stored, because they are not UTF-8."""

    def __init__(self, groups: list[list[str]]) -> None:
        self.groups = groups
        names = "; ".join(" and ".join(map(repr, group)) for group in groups[:3])
        super().__init__(
            f"names in a directory are equal once they are stored ({names}): each byte that is not UTF-8 becomes "
            "U+FFFD, and only one of the files could be restored; rename the others"
        )


class SourceReadError(SourceError):
    """A part of the source can't be read."""


class SnapshotError(PykopiaError):
    """A snapshot has fatal errors."""

    exit_code = 1


class RestoreError(PykopiaError):
    """A part of a snapshot could not be restored."""

    exit_code = 60


class TargetExistsError(RestoreError, FileExistsError):
    """The target holds an entry that the options do not allow to replace."""


class DuplicateNameError(RestoreError):
    """Two entries of a folder have one name in the target; all were restored, the later one under another name."""

    def __init__(self, path: str, restored_as: str) -> None:
        self.path, self.restored_as = path, restored_as
        super().__init__(
            f"more than one entry of the snapshot is {path} in the target: a later one was restored as {restored_as}; "
            "all other entries have their names"
        )


class UnsafePathError(RestoreError):
    """An entry name that would leave the target."""


class MountError(PykopiaError):
    """A snapshot can't be mounted."""

    exit_code = 65

    def __init__(self, folder: str, reason: str) -> None:
        self.folder, self.reason = folder, reason
        super().__init__(f"can't mount at {folder}: {reason}")


class PageError(PykopiaError):
    """The local page can't be served."""

    exit_code = 66


class VerifyError(PykopiaError):
    """Verification found errors."""

    exit_code = 1


__all__ = [
    "BlobExistsError",
    "BlobNotFoundError",
    "CanceledError",
    "ClockError",
    "ClosedError",
    "CollidingNamesError",
    "ConnectionFileError",
    "ContentNotFoundError",
    "ContradictedViewError",
    "DamagedContentError",
    "DamagedDataError",
    "DamagedFormatBlobError",
    "DamagedIndexError",
    "DamagedManifestError",
    "DamagedObjectError",
    "DamagedPackError",
    "DecompressionError",
    "DecryptionError",
    "DuplicateNameError",
    "InvalidEnvironmentError",
    "InvalidIDError",
    "InvalidPasswordError",
    "InvalidPolicyError",
    "InvalidRangeError",
    "InvalidReferenceError",
    "InvalidTimeError",
    "InvalidURLError",
    "MaintenanceBusyError",
    "MaintenanceError",
    "MaintenanceNotOwnedError",
    "ManifestNotFoundError",
    "MountError",
    "NotConnectedError",
    "NotFoundError",
    "NotVisibleError",
    "PageError",
    "PathNotInSnapshotError",
    "PolicyNotFoundError",
    "PykopiaError",
    "ReadOnlyRepositoryError",
    "ReadOnlyStorageError",
    "RepositoryError",
    "RepositoryExistsError",
    "RepositoryNotFoundError",
    "RequiredFeatureError",
    "RestoreError",
    "SnapshotError",
    "SnapshotNotFoundError",
    "SourceError",
    "SourceNotFoundError",
    "SourceReadError",
    "StorageAccessDeniedError",
    "StorageAuthenticationError",
    "StorageBusyError",
    "StorageClockError",
    "StorageError",
    "StorageFullError",
    "StorageNotFoundError",
    "StorageUnavailableError",
    "TargetExistsError",
    "UncorrectableError",
    "UnreadableFileError",
    "UnsafePathError",
    "UnsupportedFormatError",
    "UnsupportedOptionError",
    "UnsupportedSourceError",
    "UntrustedServerError",
    "UpgradeInProgressError",
    "UsageError",
    "VerifyError",
    "WriteConflictError",
    "WrongServerError",
]
