"""Flags of `logs list`, `logs show`, `logs cleanup`."""

from pykopia.cli.parsing import Options, arguments, flag
from pykopia.cli.values import waiting_time

_DAY = 24 * 3600 * 1_000_000_000


class LogSelectionFlags(Options):
    """Which logs a command works on."""

    all = flag(False, "All logs.")
    latest = flag(0, "Only the last N logs.", short="n", placeholder="N")
    younger_than = flag(0, "Only logs that began less than this time ago, such as 1h.", kind=waiting_time)
    older_than = flag(0, "Only logs that began more than this time ago, such as 1h.", kind=waiting_time)

    @property
    def given(self) -> bool:
        """Whether any logs are chosen."""
        return self.all or self.latest > 0 or self.younger_than > 0 or self.older_than > 0


class LogsListOptions(LogSelectionFlags):
    """Flags of `logs list`."""


class LogsShowOptions(LogSelectionFlags):
    """Flags of `logs show`."""

    session_id = arguments("IDs of logs, as `logs list` shows them; the last log without any.")


class LogsCleanupOptions(Options):
    """Flags of `logs cleanup`."""

    max_age = flag(30 * _DAY, "Age of logs to keep.", kind=waiting_time)
    max_count = flag(10_000, "Log blobs to keep.")
    max_total_size_mb = flag(1024, "Size of all log blobs to keep, in MiB.")
    dry_run = flag(False, "Only report what would be deleted.")


__all__ = ["LogSelectionFlags", "LogsCleanupOptions", "LogsListOptions", "LogsShowOptions"]
