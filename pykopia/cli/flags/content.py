"""Flags of `content list`, `content show`."""

from pykopia.cli.content_range import ContentRangeFlags
from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import Options, arguments, flag


class ContentListOptions(JsonFlags, ContentRangeFlags):
    """Flags of `content list`."""

    long = flag(False, "Print all that is known.", short="l")
    compression = flag(False, "Print the compression.", short="c")
    deleted = flag(False, "Also deleted contents.")
    deleted_only = flag(False, "Only deleted contents.")
    summary = flag(False, "Print totals at the end.", short="s")
    human = flag(False, "Print sizes with units.", short="h")


class ContentShowOptions(Options):
    """Flags of `content show`."""

    json = flag(False, "Lay JSON out over lines.", short="j")
    unzip = flag(False, "Decompress gzip.", short="z")
    id = arguments("Contents to print.", required=True)


__all__ = ["ContentListOptions", "ContentShowOptions"]
