"""Flags of `content stats`, `content verify`."""

from pykopia.cli.content_range import ContentRangeFlags
from pykopia.cli.parsing import flag
from pykopia.cli.values import duration, threads

_SECOND = 1_000_000_000


class ContentStatsOptions(ContentRangeFlags):
    """Flags of `content stats`."""

    raw = flag(False, "Print numbers without units.", short="r")


class ContentVerifyOptions(ContentRangeFlags):
    """Flags of `content verify`."""

    parallel = flag(16, "Contents read at one time.", kind=threads)
    full = flag(False, "Read every content.")
    include_deleted = flag(False, "Also deleted contents.")
    download_percent = flag(0.0, "Share of contents to read, in percent.")
    progress_interval = flag(3 * _SECOND, "Time between two lines of progress.", kind=duration)


__all__ = ["ContentStatsOptions", "ContentVerifyOptions"]
