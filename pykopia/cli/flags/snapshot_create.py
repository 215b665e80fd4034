"""Flags of `snapshot create`."""

from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import arguments, flag, flag_list
from pykopia.cli.values import duration, percentage, threads


class CreateOptions(JsonFlags):
    """Flags of `snapshot create`."""

    source = arguments("Files or folders to take snapshots of.")
    all = flag(False, "Take snapshots of all sources of this user on this host that had one before.")
    upload_limit_mb = flag(0, "Stop after so many megabytes.", placeholder="MB")
    checkpoint_interval = flag(0, "Time between two checkpoints, 45m at most.", kind=duration, hidden=True)
    description = flag("", "What this snapshot is, for people.")
    fail_fast = flag(False, "Stop at the first error.", env="KOPIA_SNAPSHOT_FAIL_FAST")
    force_hash = flag(0.0, "Share of unchanged files to read again, in percent.", kind=percentage)
    parallel = flag(0, "Files read at one time.", kind=threads, placeholder="N")
    start_time = flag("", "Time to record as the start.")
    end_time = flag("", "Time to record as the end.")
    extended_attributes = flag(
        False,
        "Record extended attributes, ACLs and hard links, which Kopia ignores, for `restore --extended-attributes`.",
    )
    force_enable_actions = flag(
        False, "Run the actions of policies even if this client was connected without.", hidden=True
    )
    force_disable_actions = flag(False, "Don't run the actions of policies.", hidden=True)
    stdin_file = flag("", "Take stdin as a file of this name.")
    tags = flag_list("Tag of the snapshot.", placeholder="KEY:VALUE")
    pin = flag_list("Pin that keeps the snapshot from expiring.")
    flush_per_source = flag(False, "Commit after each source.", hidden=True)
    override_source = flag("", "Record the snapshot for this source.")
    send_snapshot_report = flag(True, "Send a report to the notification profiles of the repository.")
    hint_streaming_reads = flag(False, "Ignored.", hidden=True)
    log_dir_detail = flag(-1, "Ignored.")
    log_entry_detail = flag(-1, "Ignored.")


__all__ = ["CreateOptions"]
