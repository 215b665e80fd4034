"""Flags of `find` and `history`: what Kopia does not have."""

from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import argument, flag


class FindOptions(JsonFlags):
    """Flags of `find`."""

    pattern = argument(
        "Name or pattern, as in ignore rules: report.txt, *.jpg, /photos/*, or the path of a source below."
    )
    source = argument("Source to look in: path, user@host:/path, user@host, @host; all without it.", required=False)
    type = flag("", "Files, folders or links alone.", choices=("f", "d", "s"))
    ignore_case = flag(False, "Take upper and lower case as equal.", short="i")


class HistoryOptions(JsonFlags):
    """Flags of `history`."""

    path = argument("Path, or user@host:/path.")


__all__ = ["FindOptions", "HistoryOptions"]
