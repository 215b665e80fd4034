"""Plots, previews, calendars and texts: pure functions, thrown at with anything."""

import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from pykopia.ui import plots, text
from pykopia.ui.months import months
from pykopia.ui.preview import HEX_BYTES, TEXT_BYTES, picture_type, preview

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
moments = st.datetimes(timezones=st.just(UTC))
amounts = st.floats(0, 1e19)
points = st.lists(st.tuples(moments, amounts), max_size=20).map(lambda found: tuple(sorted(found)))


def numbers(svg: str) -> list[float]:
    """Return all places in a plot; it must be well-formed."""
    found = []
    for each in ET.fromstring(svg).iter():
        found += [float(each.get(name, "0")) for name in ("x", "y", "cx", "cy", "width", "height")]
    return found


@settings(max_examples=settings().max_examples // 3)
@given(points, points)
def test_lines_stay_inside_of_their_plot(
    first: tuple[tuple[datetime, float], ...], second: tuple[tuple[datetime, float], ...]
) -> None:
    svg = plots.line_plot("<b>&", [plots.Line("a<b", "first", first), plots.Line("c", "second", second)])
    assert bool(svg) == bool(first or second)
    if svg:
        assert all(-1 <= each <= plots.WIDTH for each in numbers(svg))
        assert svg.count("<circle") == len(first) + len(second)


@settings(max_examples=settings().max_examples // 3)
@given(points)
def test_bars_stay_inside_of_their_plot(bars: tuple[tuple[datetime, float], ...]) -> None:
    svg = plots.bar_plot("added", bars)
    if svg:
        assert all(-1 <= each <= plots.WIDTH for each in numbers(svg))
        assert svg.count("<rect") == len(bars)


@settings(max_examples=settings().max_examples // 3)
@given(st.lists(st.tuples(moments, st.lists(st.sampled_from(["latest", "goes", "unknown"])), st.text()), max_size=20))
def test_marks_are_in_the_rows_that_are_named(found: list[tuple[datetime, list[str], str]]) -> None:
    marks = [plots.Mark(when, tuple(rows), words) for when, rows, words in found]
    svg = plots.row_plot("kept", [("latest", "first"), ("goes", "gone")], marks)
    if svg:
        assert all(-1 <= each <= plots.WIDTH for each in numbers(svg))
        assert 0 < svg.count("<circle") <= sum(row in mark.rows for mark in marks for row in ("latest", "goes"))


@given(st.lists(st.integers(0, 1 << 62), max_size=5))
def test_shares_fill_their_bar(parts: list[int]) -> None:
    svg = plots.share_bar("use", [plots.Share(f"{number}", part, "first") for number, part in enumerate(parts)])
    assert bool(svg) == (sum(parts) > 0)
    if svg:
        wide = sum(float(each.get("width", "0")) for each in ET.fromstring(svg).iter() if "rect" in each.tag)
        assert abs(wide - plots.WIDTH) < 1


@given(amounts)
def test_ticks_are_few_and_round_and_reach_the_top(most: float) -> None:
    ticks = plots.byte_ticks(most)
    assert ticks[0] == 0
    assert ticks[-1] >= most
    assert 2 <= len(ticks) <= 6


def test_many_snapshots_make_no_large_page() -> None:
    many = tuple((BEGIN + timedelta(hours=number), float(number)) for number in range(20_000))
    marks = [plots.Mark(moment, ("latest", "goes"), "x") for moment, _ in many]
    assert len(plots.line_plot("Size", [plots.Line("a", "first", many)])) < 400_000
    assert plots.line_plot("Size", [plots.Line("a", "first", many)]).count("<circle") <= plots.MOST_DOTS
    assert plots.bar_plot("Added", many).count("<rect") <= plots.MOST_BARS
    assert plots.row_plot("Kept", [("latest", "first"), ("goes", "gone")], marks).count("<circle") < 4 * plots.WIDTH
    assert "latest: 20000" in plots.row_plot("Kept", [("latest", "first")], marks)


def test_a_plot_says_in_words_what_it_shows() -> None:
    svg = plots.line_plot("Size", [plots.Line("stored", "first", ((BEGIN, 5e6), (BEGIN + timedelta(30), 7e6)))])
    assert 'role="img" aria-label="Size. stored: 7.0 MB at the end"' in svg
    for day in ("2026-01-01", "2026-01-16", "2026-01-31"):
        assert day in svg


@given(st.binary(max_size=3000))
def test_anything_has_a_preview(data: bytes) -> None:
    shown = preview(data, len(data))
    assert shown.kind in ("picture", "text", "empty", "binary")
    assert (shown.kind == "picture") == bool(picture_type(data))
    if shown.kind == "binary":
        assert shown.cut == (len(data) > HEX_BYTES)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_text_is_shown_as_it_is(words: str) -> None:
    if words and not picture_type(words.encode()) and not words.startswith("\ufeff"):
        assert preview(words.encode(), len(words.encode())).text == words


def test_a_text_may_be_cut_inside_of_a_character() -> None:
    data = "ä".encode() * TEXT_BYTES
    shown = preview(data[: TEXT_BYTES - 1], len(data))
    assert shown.kind == "text"
    assert set(shown.text) == {"ä"}
    assert shown.cut
    assert preview(b"\xff\xfea\x00", 4).text == "a"
    assert preview("Grüße".encode("latin-1"), 5).text == "Grüße"
    assert preview(b"\x80\x81", 2).kind == "binary"
    assert preview(b"a\x00b", 3).kind == "binary"


@settings(max_examples=settings().max_examples // 3)
@given(st.lists(st.tuples(st.dates(), st.booleans())))
def test_a_calendar_has_each_day_once(days: list[tuple[date, bool]]) -> None:
    years = {day.year for day, _ in days} or {2026}
    for year in years:
        shown = months(days, year)
        assert sum(month.count for month in shown) == sum(day.year == year for day, _ in days)
        for month in shown:
            assert all(len(week) == 7 for week in month.weeks)
            listed = [day.date for week in month.weeks for day in week if day is not None]
            assert listed == sorted(set(listed))


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-(1 << 63), (1 << 63) - 1))
def test_any_moment_has_a_text(first: int, second: int) -> None:
    assert text.moment(first, UTC)
    assert text.exact(first, UTC)
    assert text.age(first, second)
    assert text.duration(first)
    assert text.size(first)
