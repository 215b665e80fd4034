"""Plots as SVG: pure functions from numbers to text. Colors are classes of the style sheet, so they follow dark mode."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from html import escape
from itertools import pairwise
from typing import Final, TypeVar

from pykopia.dataclass import dataclass
from pykopia.ui.text import count, size, visible

Value = TypeVar("Value")

WIDTH: Final = 440
"""Width of a plot in its own units; the page scales it."""
LEFT: Final = 62
RIGHT: Final = 12
TOP: Final = 12
AXIS: Final = 24
"""Height of the row of dates below a plot."""
MOST_DOTS: Final = 300
MOST_BARS: Final = 120
ROW: Final = 22
"""Height of a row of a plot in rows."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot."""

    name: str
    style: str
    """Class of the style sheet, such as ``first``."""
    points: tuple[tuple[datetime, float], ...]
    """Moments in order, with bytes."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One snapshot in a plot in rows."""

    when: datetime
    rows: tuple[str, ...]
    text: str
    """Shown when the pointer rests on it."""


@dataclass(frozen=True, slots=True)
class Share:
    """One part of a bar."""

    name: str
    amount: int
    style: str


def _svg(height: float, title: str, description: str, body: Iterable[str]) -> str:
    words = f"{escape(visible(title))}. {escape(visible(description))}"
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{words}" focusable="false">'
        + "".join(body)
        + "</svg>"
    )


def byte_ticks(most: float, steps: int = 4) -> list[float]:
    """Return round numbers of bytes from 0 to at least ``most``.

    >>> byte_ticks(3_700_000)
    [0.0, 1000000.0, 2000000.0, 3000000.0, 4000000.0]
    >>> byte_ticks(0)
    [0.0, 1.0]
    """
    if most <= 1:
        return [0.0, 1.0]
    power = 1.0
    while power * 10 <= most / steps:
        power *= 10
    step = next(power * each for each in (1, 2, 5, 10) if power * each * steps >= most)
    ticks = [0.0]
    while ticks[-1] < most:
        ticks.append(ticks[-1] + step)
    return ticks


class _Axis:
    """Places moments from left to right."""

    def __init__(self, moments: Sequence[datetime]) -> None:
        self.first, self.last = min(moments), max(moments)
        self._seconds = (self.last - self.first).total_seconds()

    def at(self, moment: datetime) -> float:
        wide = WIDTH - LEFT - RIGHT
        if not self._seconds:
            return LEFT + wide / 2
        return LEFT + wide * (moment - self.first).total_seconds() / self._seconds

    def dates(self, y: float) -> Iterable[str]:
        """Yield the first and last day, and the one in the middle where there is room for it."""
        days: list[tuple[float, str, datetime]] = [(LEFT, "start", self.first), (WIDTH - RIGHT, "end", self.last)]
        if not self._seconds:
            days = [(LEFT + (WIDTH - LEFT - RIGHT) / 2, "middle", self.first)]
        elif self._seconds > 4 * 86_400:
            middle = self.first + (self.last - self.first) / 2
            days.insert(1, (self.at(middle), "middle", middle))
        for x, anchor, day in days:
            yield f'<text class="tick" x="{x:.1f}" y="{y:g}" text-anchor="{anchor}">{day:%Y-%m-%d}</text>'


def thinned(values: Sequence[Value]) -> Sequence[Value]:
    """Return at most ``MOST_DOTS`` values, evenly chosen, the last among them."""
    step = -(-len(values) // MOST_DOTS)
    return values if step <= 1 else values[::-step][::-1]


def together(bars: Sequence[tuple[datetime, float]]) -> Sequence[tuple[datetime, float]]:
    """Return at most ``MOST_BARS`` bars: the sums of some that follow each other, with the first moment.

    >>> day = datetime(2026, 1, 1)
    >>> len(together([(day, 1.0)] * 1000)), sum(amount for _, amount in together([(day, 1.0)] * 1000))
    (112, 1000.0)
    """
    step = -(-len(bars) // MOST_BARS)
    if step <= 1:
        return bars
    groups = [bars[start : start + step] for start in range(0, len(bars), step)]
    return [(group[0][0], sum(amount for _, amount in group)) for group in groups]


def line_plot(title: str, lines: Sequence[Line], *, height: int = 220) -> str:
    """Return lines of bytes over time; empty where there is nothing to show.

    Args:
        title: for those who do not see the plot.
        lines: with the same moments or others.
        height: in the units of ``WIDTH``.
    """
    points = [point for line in lines for point in line.points]
    if not points:
        return ""
    axis = _Axis([moment for moment, _ in points])
    ticks = byte_ticks(max(amount for _, amount in points))
    bottom = height - AXIS

    def level(amount: float) -> float:
        return bottom - (bottom - TOP) * amount / ticks[-1]

    body = [*_levels(ticks, level), *axis.dates(height - 6)]
    for line in lines:
        places = [(axis.at(moment), level(amount)) for moment, amount in line.points]
        if len(places) > 1:
            path = f"M{places[0][0]:.1f} {places[0][1]:.1f}"
            path += "".join(f"H{x:.1f}V{y:.1f}" for _, (x, y) in pairwise(places))
            body.append(f'<path class="line {line.style}" d="{path}"/>')
        radius = 3 if len(places) <= 60 else 1.5
        for (x, y), (moment, amount) in thinned(list(zip(places, line.points, strict=True))):
            words = escape(f"{line.name}, {moment:%Y-%m-%d %H:%M}: {size(amount)}")
            body.append(
                f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{words}</title></circle>'
            )
    ends = "; ".join(f"{line.name}: {size(line.points[-1][1])} at the end" for line in lines if line.points)
    return _svg(height, title, ends, body)


def bar_plot(title: str, bars: Sequence[tuple[datetime, float]], *, style: str = "first", height: int = 220) -> str:
    """Return one bar of bytes for each moment, side by side in their order; empty where there is nothing to show.

    Of many moments, those that follow each other share a bar.

    Args:
        title: for those who do not see the plot.
        bars: moments in order, with bytes.
        style: class of the style sheet.
        height: in the units of ``WIDTH``.
    """
    if not bars:
        return ""
    bars = together(bars)
    ticks = byte_ticks(max(amount for _, amount in bars))
    bottom, wide = height - AXIS, (WIDTH - LEFT - RIGHT) / len(bars)

    def level(amount: float) -> float:
        return bottom - (bottom - TOP) * amount / ticks[-1]

    body = [*_levels(ticks, level)]
    for number, (moment, amount) in enumerate(bars):
        y = min(level(amount), bottom - 0.5)
        words = escape(f"{moment:%Y-%m-%d %H:%M}: {size(amount)}")
        body.append(
            f'<rect class="bar {style}" x="{LEFT + number * wide + wide * 0.1:.2f}" y="{y:.1f}" '
            f'width="{max(0.5, min(wide * 0.8, 40)):.2f}" height="{bottom - y:.1f}"><title>{words}</title></rect>'
        )
    days = [(LEFT, "start", bars[0][0])]
    if len(bars) > 1:
        days.append((WIDTH - RIGHT, "end", bars[-1][0]))
    body += [
        f'<text class="tick" x="{x}" y="{height - 6}" text-anchor="{anchor}">{day:%Y-%m-%d}</text>'
        for x, anchor, day in days
    ]
    total = f"{count(len(bars), 'bar')}, {size(sum(amount for _, amount in bars))} together"
    return _svg(height, title, total, body)


def row_plot(title: str, rows: Sequence[tuple[str, str]], marks: Sequence[Mark]) -> str:
    """Return marks over time in rows with names: which rule keeps which snapshot.

    Args:
        title: for those who do not see the plot.
        rows: name and style of each, from top to bottom; those without marks are left out.
        marks: in any order.
    """
    used = {row for mark in marks for row in mark.rows}
    shown = [(name, style) for name, style in rows if name in used]
    if not shown:
        return ""
    axis = _Axis([mark.when for mark in marks])
    height = TOP + ROW * len(shown) + AXIS
    body = []
    words = []
    for number, (name, style) in enumerate(shown):
        y = TOP + ROW * number + ROW / 2
        body.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:g}" y2="{y:g}"/>')
        body.append(f'<text class="tick" x="{LEFT - 10}" y="{y + 4:g}" text-anchor="end">{escape(name)}</text>')
        here = [mark for mark in marks if name in mark.rows]
        words.append(f"{name}: {len(here)}")
        here = list(
            {round(axis.at(mark.when) * 2): mark for mark in here}.values()
        )  # points at the same place are drawn once
        body += [
            f'<circle class="dot {style}" cx="{axis.at(mark.when):.1f}" cy="{y:g}" r="4">'
            f"<title>{escape(visible(mark.text))}</title></circle>"
            for mark in here
        ]
    return _svg(height, title, "; ".join(words), [*body, *axis.dates(height - 6)])


def share_bar(title: str, shares: Sequence[Share]) -> str:
    """Return a bar whose parts are shares of a whole; empty where the whole is nothing."""
    whole = sum(share.amount for share in shares)
    if whole <= 0:
        return ""
    x, body = 0.0, []
    for share in shares:
        wide = WIDTH * share.amount / whole
        words = escape(f"{share.name}: {size(share.amount)}")
        body.append(
            f'<rect class="bar {share.style}" x="{x:.2f}" y="0" width="{wide:.2f}" height="28"><title>{words}</title></rect>'
        )
        x += wide
    words = "; ".join(f"{share.name}: {size(share.amount)}" for share in shares)
    return _svg(28, title, words, body)


def _levels(ticks: Sequence[float], level: Callable[[float], float]) -> Iterable[str]:
    for tick in ticks:
        y = level(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{size(tick)}</text>'


__all__ = ["Line", "Mark", "Share", "bar_plot", "byte_ticks", "line_plot", "row_plot", "share_bar"]
