"""The ways in which a run can fail: one error class, with a code and an exit status for each kind of failure.

The README of the mover lists exit statuses and messages.
"""

from typing import Final

from pykopia.dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """Kind of end of a run."""

    name: str
    status: int
    """Exit status of the process."""
    retryable: bool
    """Whether the same run may succeed later without a change."""


_CODES: Final = (
    Code(name="ok", status=0, retryable=False),
    Code(name="internal", status=1, retryable=True),
    Code(name="usage", status=2, retryable=False),
    Code(name="config", status=10, retryable=False),
    Code(name="auth", status=11, retryable=False),
    Code(name="no-repository", status=12, retryable=False),
    Code(name="unreachable", status=13, retryable=True),
    Code(name="damaged", status=14, retryable=False),
    Code(name="no-snapshot", status=15, retryable=False),
    Code(name="ambiguous", status=16, retryable=False),
    Code(name="action", status=17, retryable=True),
    Code(name="source", status=18, retryable=False),
    Code(name="target", status=19, retryable=False),
    Code(name="cache", status=20, retryable=False),
    Code(name="busy", status=21, retryable=True),
    Code(name="clock", status=22, retryable=False),
    Code(name="cache-exhausted", status=137, retryable=True),
    Code(name="interrupted", status=130, retryable=True),
    Code(name="terminated", status=143, retryable=True),
)

CODES: Final = {each.name: each for each in _CODES}
"""Kinds by their names, which are in the termination message; the numbers are exit statuses."""


class MoverError(Exception):
    """An error that ends the run: what is wrong, what to do, and the kind of failure."""

    def __init__(self, code: str, what: str, fix: str = "") -> None:
        self.code = CODES[code]
        self.what, self.fix = what, fix
        super().__init__(". ".join(part.rstrip(". ") for part in (what, fix) if part) + ".")


def config_error(what: str, fix: str = "") -> MoverError:
    """Return the error for a setting that is missing or malformed."""
    return MoverError("config", what, fix)


__all__ = ["CODES", "Code", "MoverError", "config_error"]
