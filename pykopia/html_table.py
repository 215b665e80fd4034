"""Tables that a notebook shows for snapshots, comparisons and policies (``_repr_html_``)."""

from collections.abc import Iterable, Sequence

MOST_ROWS = 200
"""Rows of one table; further ones are only counted."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def html_table(header: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "") -> str:
    """Return a table as HTML, all texts escaped.

    Args:
        header: names of the columns.
        rows: their cells; what comes after ``MOST_ROWS`` rows is only counted.
        caption: above the table; empty for none.
    """
    lines = ["<table>"]
    if caption:
        lines.append(f"<caption>{_escaped(caption)}</caption>")
    lines.append(_row(header, "th"))
    left_out = 0
    for number, row in enumerate(rows):
        if number < MOST_ROWS:
            lines.append(_row(row, "td"))
        else:
            left_out += 1
    if left_out:
        lines.append(f'<tr><td colspan="{len(header)}">and {left_out} more</td></tr>')
    return "\n".join((*lines, "</table>"))


def _escaped(text: str) -> str:
    import html  # noqa: PLC0415 -- nothing but a notebook needs it

    return html.escape(text)


def _row(cells: Sequence[object], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_escaped(str(cell))}</{tag}>" for cell in cells) + "</tr>"


def size_text(length: float) -> str:
    """Return a number of bytes as a person reads it, in powers of ten.

    >>> size_text(999), size_text(1_234_567)
    ('999 B', '1.2 MB')
    """
    amount = float(length)
    for unit in _UNITS:
        if abs(amount) < 1000 or unit == _UNITS[-1]:
            break
        amount /= 1000
    return f"{length:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"


__all__ = ["MOST_ROWS", "html_table", "size_text"]
