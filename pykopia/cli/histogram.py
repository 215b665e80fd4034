"""Numbers by order of magnitude."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

_BOUNDS = tuple(10**power for power in range(1, 9))


class Histogram:
    """Counts and sums of lengths below 10, 100 … 100 million."""

    def __init__(self, lengths: Iterable[int] = ()) -> None:
        self.count = self.total = 0
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._totals = [0] * (len(_BOUNDS) + 1)
        for length in lengths:
            self.add(length)

    def add(self, length: int) -> None:
        """Count one length."""
        place = bisect_right(_BOUNDS, length)
        self.count += 1
        self.total += length
        self._counts[place] += 1
        self._totals[place] += length

    def classes(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield lower bound, upper bound (exclusive), count and sum of each class but the one above all bounds."""
        low = 0
        for place, high in enumerate(_BOUNDS):
            yield low, high, self._counts[place], self._totals[place]
            low = high


__all__ = ["Histogram"]
