"""Splitters by Kopia's names: they divide objects into chunks (format 01 §6).

A splitter looks only at bytes, so equal stretches of two files, wherever they lie, are mostly cut into equal chunks and
are stored once.

>>> splitter("DYNAMIC-128K-BUZHASH").cut_points(bytes(200_000))
[65536, 131072, 196608]
"""

from collections.abc import Callable
from dataclasses import field
from typing import Final, TypeAlias

from pykopia.chunking.rolling_hash import WINDOW
from pykopia.dataclass import dataclass
from pykopia.errors import UnsupportedFormatError
from pykopia.ids import Buffer

try:
    from pykopia.chunking._splitters import find_buzhash, find_rabinkarp
except ImportError:
    from pykopia.chunking.rolling_hash import find_buzhash, find_rabinkarp

DEFAULT_SPLITTER: Final = "DYNAMIC-4M-BUZHASH"

Find: TypeAlias = Callable[[Buffer, int, int, int], int]
"""Search ``(data, start, end, mask)`` for the first position whose masked hash is zero; -1 if there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Splitter:
    """A rule where chunks end; no chunk but the last of an object is shorter than ``minimum``."""

    name: str
    """Kopia's name."""
    minimum: int
    """Bytes of the shortest chunk that is not the last."""
    average: int
    """Bytes: a power of two."""
    maximum: int
    """Bytes of the longest chunk."""
    find: Find | None = field(default=None, repr=False, compare=False)
    """Search for a hash that ends a chunk; None where chunks have one size."""

    def start(self) -> "SplitterRun":
        """Begin to split an object."""
        return SplitterRun(self)

    def cut_points(self, data: Buffer) -> list[int]:
        """Return the offset just after each chunk of a whole object; the bytes after the last offset are one more chunk."""
        run, cuts, start = self.start(), list[int](), 0
        while (cut := run.next_cut(data, start)) >= 0:
            cuts.append(cut)
            start = cut
        return cuts


class SplitterRun:
    """The splitting of one object, whose bytes come in pieces of any size."""

    __slots__ = ("_find", "_length", "_mask", "_maximum", "_minimum", "_tail")

    def __init__(self, rule: Splitter) -> None:
        self._minimum, self._maximum = rule.minimum, rule.maximum
        self._find, self._mask = rule.find, rule.average - 1
        self._length = 0  # of the chunk so far
        self._tail = b""  # up to WINDOW last bytes of the chunk so far

    def next_cut(self, buffer: Buffer, start: int = 0, end: int | None = None) -> int:
        """Take in bytes up to the end of a chunk.

        Args:
            buffer: holds the bytes that follow those taken in before.
            start: offset of the first of them.
            end: offset behind the last of them; None for all.

        Returns:
            The offset in ``buffer`` just after the chunk: the next call starts there. -1 when the chunk does not end
            before ``end``: all bytes are taken in, the next call goes on with those that follow.
        """
        if end is None:
            end = len(buffer)
        if not 0 <= start <= end <= len(buffer):
            raise ValueError(f"no bytes {start} to {end} in a buffer of {len(buffer)}")
        cut = self._cut(buffer, start, end)
        if cut < 0:
            self._length += end - start
            if self._find is not None:
                self._tail = _last_bytes(self._tail, buffer, start, end)
        else:
            self._length, self._tail = 0, b""
        return cut

    def _cut(self, buffer: Buffer, start: int, end: int) -> int:
        chunk = start - self._length  # where the chunk begins, before the buffer if negative
        first, last = chunk + self._minimum - 1, chunk + self._maximum - 1  # bytes that may, that must end it
        if first >= end:
            return -1
        if self._find is not None:
            position = self._search(self._find, buffer, start, max(first, start), min(last, end))
            if position >= 0:
                return position + 1
        return last + 1 if last < end else -1

    def _search(self, find: Find, buffer: Buffer, start: int, first: int, end: int) -> int:
        near = min(start + WINDOW, end)
        if first < near:  # windows that began in an earlier piece
            seam = self._tail + bytes(memoryview(buffer)[start:near])
            found = find(seam, WINDOW + first - start, len(seam), self._mask)
            if found >= 0:
                return start + found - WINDOW
            first = near
        return find(buffer, first, end, self._mask) if first < end else -1


def _last_bytes(tail: bytes, buffer: Buffer, start: int, end: int) -> bytes:
    with memoryview(buffer) as view:
        if end - start >= WINDOW:
            return bytes(view[end - WINDOW : end])
        return (tail + bytes(view[start:end]))[-WINDOW:]


def _fixed(name: str, size: int) -> Splitter:
    return Splitter(name=name, minimum=size, average=size, maximum=size)


def _dynamic(name: str, average: int, find: Find) -> Splitter:
    return Splitter(name=name, minimum=average // 2, average=average, maximum=average * 2, find=find)


def _all() -> dict[str, Splitter]:
    rules = [_fixed("FIXED", 4 << 20), _dynamic("DYNAMIC", 4 << 20, find_buzhash)]
    for kilobytes in (128, 256, 512):
        rules += _of_size(f"{kilobytes}K", kilobytes << 10)
    for megabytes in (1, 2, 4, 8):
        rules += _of_size(f"{megabytes}M", megabytes << 20)
    return {rule.name: rule for rule in sorted(rules, key=lambda rule: rule.name)}


def _of_size(label: str, size: int) -> list[Splitter]:
    return [
        _fixed(f"FIXED-{label}", size),
        _dynamic(f"DYNAMIC-{label}-BUZHASH", size, find_buzhash),
        _dynamic(f"DYNAMIC-{label}-RABINKARP", size, find_rabinkarp),
    ]


SPLITTERS: Final = _all()
"""All splitters by Kopia's name, in order of name."""


def is_known(name: str) -> bool:
    """Return whether a splitter has this name."""
    return name in SPLITTERS


def splitter(name: str) -> Splitter:
    """Return the splitter of this name.

    Raises:
        UnsupportedFormatError: there is none; the empty name too, which stands for FIXED in a repository's format.
    """
    try:
        return SPLITTERS[name]
    except KeyError:
        raise UnsupportedFormatError(
            f"splitter {name!r} is not known; the default is {DEFAULT_SPLITTER}, `pykopia repository create --help` "
            "lists all"
        ) from None


__all__ = ["DEFAULT_SPLITTER", "SPLITTERS", "Splitter", "SplitterRun", "is_known", "splitter"]
