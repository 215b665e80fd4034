"""The tables of the README: variables, from the settings, and the interface of the fork's operator.

``python -m pykopia_mover.table mover/README.md`` writes them.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from pykopia_mover.fork import ROWS, Row
from pykopia_mover.settings import all_variables
from pykopia_mover.variables import CONTENT_OR_PATH, Variable

BEGIN: Final = "<!-- variables: written by `python -m pykopia_mover.table mover/README.md` -->\n"
END: Final = "<!-- end of variables -->\n"
FORK_BEGIN: Final = "<!-- interface: written by `python -m pykopia_mover.table mover/README.md` -->\n"
FORK_END: Final = "<!-- end of interface -->\n"


def variables_table(variables: Iterable[Variable]) -> str:
    """Return the variables as Markdown, a table for each group."""
    return "\n".join(_lines(variables)) + "\n"


def _lines(variables: Iterable[Variable]) -> Iterator[str]:
    for group, members in groupby(variables, key=lambda each: each.group):
        yield f"\n### {group}\n"
        yield "| variable | meaning | default |"
        yield "|---|---|---|"
        for each in members:
            marks = " (secret)" if each.secret else ""
            if each.name in CONTENT_OR_PATH and "path" not in each.meaning:
                marks += " (content, or the path of a file)"
            yield f"| `{each.name}` | {each.meaning.replace('|', chr(92) + '|')}{marks} | {each.default} |"


def fork_table(rows: Iterable[Row]) -> str:
    """Return the interface of the fork's operator as Markdown."""
    lines = ["", "| kind | name | of the Jobs of | here |", "|---|---|---|---|"]
    lines += [f"| {each.kind} | `{_escaped(each.name)}` | {each.of} | {each.here} |" for each in rows]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", chr(92) + "|")


def with_table(text: str) -> str:
    """Return a text with the tables in their places.

    Raises:
        ValueError: the marks of a place are missing.
    """
    text = _between(text, FORK_BEGIN, FORK_END, fork_table(ROWS))
    return _between(text, BEGIN, END, variables_table(all_variables()))


def _between(text: str, begin: str, end: str, table: str) -> str:
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"the marks {begin.strip()} and {end.strip()} are missing")
    return f"{before}{begin}{table}\n{end}{after}"


def main(words: Sequence[str]) -> int:
    """Write the table into a file."""
    path = Path(words[0])
    path.write_text(with_table(path.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

__all__ = ["BEGIN", "END", "FORK_BEGIN", "FORK_END", "fork_table", "main", "variables_table", "with_table"]
