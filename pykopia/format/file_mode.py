"""Permission bits as directory entries store them: an octal number in Go's layout of bits (format 04 §7.1)."""

import re
from functools import lru_cache
from typing import Final

from pykopia.errors import DamagedDataError

SET_UID: Final = (0o4000, 1 << 23)
"""Bit in POSIX modes and in Go's, which stored modes use."""
SET_GID: Final = (0o2000, 1 << 22)
STICKY: Final = (0o1000, 1 << 20)


@lru_cache(maxsize=4096)
def mode_text(mode: int) -> str:
    """Return the 12 permission bits of POSIX as they are stored: an octal number with the special bits at Go's places.

    >>> mode_text(0o644), mode_text(0o1777)
    ('0644', '04000777')
    """
    return f"0{mode & 0o777 | sum(go for posix, go in (SET_UID, SET_GID, STICKY) if mode & posix):o}"


_GO_INTEGER = re.compile(
    r"[+-]?(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0(?:_?[0-7])*|[1-9](?:_?[0-9])*)"
)


@lru_cache(maxsize=4096)
def parse_mode(text: str | None) -> int:
    """Return the 12 permission bits of POSIX of a stored mode; all other bits are dropped.

    Raises:
        DamagedDataError: The text is not a number as Go writes them in source code, or one of more than 32 bits.

    >>> oct(parse_mode("04000777")), oct(parse_mode("0x1ff"))
    ('0o1777', '0o777')
    """
    mode = parse_go_mode(text)
    return mode & 0o777 | sum(posix for posix, go in (SET_UID, SET_GID, STICKY) if mode & go)


def parse_go_mode(text: str | None) -> int:
    """Return a stored mode as the number that it is, in Go's layout of bits.

    Raises:
        DamagedDataError: The text is not a number as Go writes them in source code, or one of more than 32 bits.
    """
    if text is None or not _GO_INTEGER.fullmatch(text):
        raise DamagedDataError(f"{text!r} is not a file mode such as '0644'")
    digits = text.lstrip("+-")
    leading_zero = digits[:1] == "0" and digits[1:2] not in {"", *"xXbBoO"}
    number = int(digits, 8 if leading_zero else 0)
    number = -number if text[0] == "-" else number
    if not -(1 << 31) <= number < 1 << 31:
        raise DamagedDataError(f"the file mode {text!r} has more than 32 bits")
    return number


__all__ = ["SET_GID", "SET_UID", "STICKY", "mode_text", "parse_go_mode", "parse_mode"]
