"""What an operation could not do while it went on with everything else."""

from pykopia.dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One entry of a snapshot, or one part of the repository, that an operation could not handle.

    ``str`` gives a line for people, the fields are for programs.
    """

    path: str
    """Relative to the root of the snapshot, with slashes; empty for the root itself and for what is no entry."""
    object_id: str = ""
    """ID of the object, or of the snapshot if that is what could not be read; empty where there is none yet."""
    error: Exception
    """Why: a ``PykopiaError``, or an ``OSError`` of this machine."""
    ignored: bool = False
    """Whether the policy says to ignore such errors."""
    line: str = ""
    """What ``str`` returns; empty for path and message."""

    @property
    def message(self) -> str:
        """The reason alone, without the path."""
        return reason(self.error)

    def __str__(self) -> str:
        return self.line or f"{self.path}: {self.message}"


def reason(error: Exception) -> str:
    """Return the message of an error; for one of the system its text without number and path."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


__all__ = ["Problem", "reason"]
