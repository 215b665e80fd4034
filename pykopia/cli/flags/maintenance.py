"""Flags of `maintenance run`, `maintenance info`, `maintenance set`, and the maintenance that runs after other commands."""

from pykopia.cli.flags.safety import SAFETY_LEVELS
from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import Options, flag, flag_list
from pykopia.cli.values import boolean, interval, threads, waiting_time

UNSET = -1


class RunOptions(JsonFlags):
    """Flags of `maintenance run`."""

    full = flag(False, "Run full maintenance: collect garbage and free its space too.")
    force = flag(False, "Run although another client is the owner.", hidden=True)
    safety = flag(
        "full",
        "How long to wait before what can't be undone; none waits for nothing, and destroys data when another client "
        "uses the repository at the same time.",
        choices=SAFETY_LEVELS,
    )


class InfoOptions(JsonFlags):
    """Flags of `maintenance info`."""

    reclaimable = flag(False, "Also follow all snapshots, and show what space can be freed, when, and why not yet.")


class SetOptions(Options):
    """Flags of `maintenance set`."""

    owner = flag("", "Client that maintains the repository; me: this one.", placeholder="USER@HOST")
    enable_quick = flag_list("Whether quick maintenance runs.", kind=boolean)
    enable_full = flag_list("Whether full maintenance runs.", kind=boolean)
    quick_interval = flag(UNSET, "Time between two quick runs.", kind=interval)
    full_interval = flag(UNSET, "Time between two full runs.", kind=interval)
    pause_quick = flag(UNSET, "Let the next quick run wait for so long.", kind=waiting_time)
    pause_full = flag(UNSET, "Let the next full run wait for so long.", kind=waiting_time)
    max_retained_log_count = flag(UNSET, "Log blobs to keep.")
    max_retained_log_age = flag(UNSET, "Age of log blobs to keep.", kind=waiting_time)
    max_retained_log_size_mb = flag(UNSET, "Size of all log blobs to keep.", placeholder="MB")
    extend_object_locks = flag_list("Whether full maintenance locks blobs for longer.", kind=boolean)
    list_parallelism = flag(UNSET, "Listings at one time.", kind=threads)


__all__ = ["InfoOptions", "RunOptions", "SetOptions"]
