"""Flags of `snapshot copy-history` and `snapshot move-history`."""

from pykopia.cli.parsing import Options, argument, flag


class HistoryOptions(Options):
    """Flags of `snapshot copy-history` and `snapshot move-history`."""

    source = argument("Source whose snapshots: user@host, @host or user@host:/path.")
    destination = argument("What replaces the same parts of the source; this client's user and host.", required=False)
    dry_run = flag(False, "Only tell what would be done.", short="n")


__all__ = ["HistoryOptions"]
