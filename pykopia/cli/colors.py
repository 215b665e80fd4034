"""Colors on a terminal: red for errors, yellow for warnings, green for what is well; nothing else is colored."""

from collections.abc import Mapping
from typing import TextIO

ERROR = "91"
WARNING = "93"
WELL = "92"


def wanted(stream: TextIO, environment: Mapping[str, str], *, force: bool, disable: bool) -> bool:
    """Return whether to color what is written to a stream.

    ``NO_COLOR`` and a terminal without colors (``TERM=dumb``) switch colors off, see https://no-color.org.

    Args:
        stream: where the text goes.
        environment: variables.
        force: the flag ``--force-color``: also where no terminal is.
        disable: the flag ``--disable-color``.
    """
    if disable or environment.get("NO_COLOR"):
        return False
    return force or (stream.isatty() and environment.get("TERM", "") not in {"", "dumb"})


def colored(text: str, color: str) -> str:
    r"""Return a text in a color; each line by itself, so that a line that is cut leaves no color behind.

    >>> colored("wrong", ERROR)
    '\x1b[91mwrong\x1b[0m'
    """
    return "\n".join(f"\x1b[{color}m{line}\x1b[0m" if line else line for line in text.split("\n"))


__all__ = ["ERROR", "WARNING", "WELL", "colored", "wanted"]
