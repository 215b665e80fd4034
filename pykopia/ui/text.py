"""How the page writes sizes, times and names."""

import unicodedata
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from pykopia.html_table import size_text as size

_NS: Final = 1_000_000_000
_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_HIDDEN: Final = frozenset("\u061c\u200e\u200f\u2028\u2029\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of the text around them, or break lines: they could disguise a name."""
_PERIODS: Final = (
    (365 * 86_400, "year"),
    (30 * 86_400, "month"),
    (86_400, "day"),
    (3600, "hour"),
    (60, "minute"),
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def count(number: int, word: str, plural: str = "") -> str:
    """Return a number with its noun.

    >>> count(1, "file"), count(12_345, "file"), count(0, "entry", "entries")
    ('1 file', '12,345 files', '0 entries')
    """
    return f"{number:,} {word if number == 1 else plural or word + 's'}"


def visible(text: str) -> str:
    r"""Return a text in which every character can be seen: control characters and the like are spelled.

    Names in a backup may hold anything: line ends, codes of terminals, characters that reverse the text after them, and
    bytes that are not UTF-8.

    >>> print(visible("two\nlines \x1b[31m \udcff \u202etxt.exe"))
    two\nlines \x1b[31m \xff \u202etxt.exe
    """
    if text.isprintable() and not _HIDDEN.intersection(text):
        return text
    return "".join(_spelled(each) for each in text)


def _spelled(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python decodes names of files
        return f"\\x{code - 0xDC00:02x}"
    if character in _HIDDEN or unicodedata.category(character) in ("Cc", "Cs"):
        return _ESCAPES.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
    return character


def moment(nanoseconds: int, zone: tzinfo | None) -> str:
    """Return a time to the minute.

    Args:
        nanoseconds: since 1970.
        zone: time zone; None for the one of this machine.

    >>> moment(1_767_225_600_000_000_000, UTC)
    '2026-01-01 00:00'
    """
    found = local(nanoseconds, zone)
    return "an unknown time" if found is None else f"{found:%Y-%m-%d %H:%M}"


def exact(nanoseconds: int, zone: tzinfo | None) -> str:
    """Return a time to the second, with its zone.

    >>> exact(1_767_225_600_000_000_000, UTC)
    '2026-01-01 00:00:00 UTC'
    """
    found = local(nanoseconds, zone)
    return "an unknown time" if found is None else f"{found:%Y-%m-%d %H:%M:%S %Z}".strip()


def local(nanoseconds: int, zone: tzinfo | None) -> datetime | None:
    """Return a moment in a time zone; None for one that no calendar has.

    >>> local(1 << 70, UTC)
    """
    try:
        return (_EPOCH + timedelta(seconds=nanoseconds // _NS)).astimezone(zone)
    except (OverflowError, ValueError):
        return None


def age(nanoseconds: int, now: int) -> str:
    """Return how long ago, or how far ahead, a moment is.

    >>> hour = 3600 * 10**9
    >>> age(0, 50 * hour), age(hour, 0), age(0, 0)
    ('2 days ago', 'in 1 hour', 'just now')
    """
    seconds = (now - nanoseconds) // _NS
    for length, name in _PERIODS:
        if abs(seconds) >= length:
            text = count(abs(seconds) // length, name)
            return f"{text} ago" if seconds > 0 else f"in {text}"
    return "just now"


def duration(nanoseconds: int) -> str:
    """Return an interval in its largest unit.

    >>> duration(3600 * 10**9), duration(26 * 3600 * 10**9)
    ('1 hour', '26 hours')
    """
    seconds = nanoseconds // _NS
    for length, name in _PERIODS[2:]:
        if seconds >= length and seconds % length == 0:
            return count(seconds // length, name)
    return count(seconds, "second")


__all__ = ["age", "count", "duration", "exact", "local", "moment", "size", "visible"]
