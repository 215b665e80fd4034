"""The table of variables in the README, written from the settings: ``python -m pykopia_mover.table mover/README.md``."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from pykopia_mover.settings import all_variables
from pykopia_mover.variables import CONTENT_OR_PATH, Variable

BEGIN: Final = "<!-- variables: written by `python -m pykopia_mover.table mover/README.md` -->\n"
END: Final = "<!-- end of variables -->\n"


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


def with_table(text: str) -> str:
    """Return a text with the table in its place.

    Raises:
        ValueError: the marks of the place are missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the marks {BEGIN.strip()} and {END.strip()} are missing")
    return before + begin + variables_table(all_variables()) + "\n" + end + after


def main(words: Sequence[str]) -> int:
    """Write the table into a file."""
    path = Path(words[0])
    path.write_text(with_table(path.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

__all__ = ["BEGIN", "END", "main", "variables_table", "with_table"]
