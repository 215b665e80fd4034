"""Flags of `repository upgrade begin`, `rollback`, `validate`."""

from pykopia.cli.parsing import Options, flag
from pykopia.cli.values import duration

_SECOND = 1_000_000_000
_MINUTE = 60 * _SECOND


class UpgradeBeginOptions(Options):
    """Flags of `repository upgrade begin`."""

    io_drain_timeout = flag(15 * _MINUTE, "Time in which all other clients see the lock and end.", kind=duration)
    allow_unsafe_upgrade = flag(False, "Allow less than 15 minutes for that.", hidden=True)
    status_poll_interval = flag(_MINUTE, "Time between two looks at the lock.", kind=duration)
    max_permitted_clock_drift = flag(5 * _MINUTE, "Time by which clocks may differ.", kind=duration)
    lock_only = flag(False, "Only place the lock.", hidden=True)
    commit_mode = flag(
        "",
        "`always` commits whatever the comparison finds, `never` stops before.",
        choices=("always", "never"),
        hidden=True,
    )


class UpgradeRollbackOptions(Options):
    """Flags of `repository upgrade rollback`."""

    force = flag(False, "Roll back although others may have begun to use the new format.")


__all__ = ["UpgradeBeginOptions", "UpgradeRollbackOptions"]
