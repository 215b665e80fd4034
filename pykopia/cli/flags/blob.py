"""Flags of `blob list`, `blob show`, `blob stats`, `blob delete`."""

from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import Options, arguments, flag, flag_list


class BlobListOptions(JsonFlags):
    """Flags of `blob list`."""

    prefix = flag("", "Only blobs whose names begin so.")
    exclude_prefix = flag_list("Leave out blobs whose names begin so.")
    min_size = flag(0, "Only blobs of this many bytes or more.")
    max_size = flag(0, "Only blobs of this many bytes or less.")
    data_only = flag(False, "Only blobs that hold contents.")


class BlobShowOptions(Options):
    """Flags of `blob show`."""

    decrypt = flag(False, "Decrypt blobs that are sealed as a whole.")
    blobID = arguments("Blobs to print.", required=True)  # noqa: N815 -- the argument's name


class BlobStatsOptions(Options):
    """Flags of `blob stats`."""

    raw = flag(False, "Print numbers without units.", short="r")
    prefix = flag("", "Only blobs whose names begin so.")


class BlobDeleteOptions(Options):
    """Arguments of `blob delete`."""

    blobIDs = arguments("Blobs to delete.", required=True)  # noqa: N815 -- the argument's name


__all__ = ["BlobDeleteOptions", "BlobListOptions", "BlobShowOptions", "BlobStatsOptions"]
