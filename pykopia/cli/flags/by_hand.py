"""Flags of tasks of maintenance by hand: `blob gc`, `content rewrite`, `index optimize`."""

from pykopia.cli.content_range import ContentRangeFlags
from pykopia.cli.flags.safety import SAFETY_LEVELS
from pykopia.cli.parsing import Options, arguments, flag, flag_list
from pykopia.cli.values import duration, threads


class SafetyFlags(Options):
    """``--safety``."""

    safety = flag("full", "Whether to wait for the safety times.", choices=SAFETY_LEVELS)


class BlobGCOptions(SafetyFlags):
    """Flags of `blob gc`."""

    delete = flag("", "`yes` deletes what is not used.")
    parallel = flag(16, "Blobs deleted at one time.", kind=threads)
    prefix = flag("", "Only blobs whose names begin so.")


class ContentRewriteOptions(SafetyFlags, ContentRangeFlags):
    """Flags of `content rewrite`."""

    parallelism = flag(16, "Contents moved at one time.", kind=threads)
    short = flag(False, "Contents of packs that are hardly used.")
    format_version = flag(-1, "Contents that were written in this format version.")
    pack_prefix = flag("", "Only contents of packs whose names begin so.")
    dry_run = flag(False, "Only tell what would be done.", short="n")
    contentID = arguments("Contents to store again.")  # noqa: N815 -- the argument's name


class IndexOptimizeOptions(Options):
    """Flags of `index optimize`."""

    max_small_blobs = flag(1, "Small index blobs that may be left (format version 1).")
    drop_deleted_older_than = flag(0, "Let deleted contents go that were deleted longer ago.", kind=duration)
    drop_contents = flag_list("Content to let go (format version 1).")
    all = flag(False, "Take large index blobs too (format version 1).")


__all__ = ["BlobGCOptions", "ContentRewriteOptions", "IndexOptimizeOptions", "SafetyFlags"]
