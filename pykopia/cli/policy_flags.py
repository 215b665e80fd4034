"""Flags of `policy set`, by the parts of a policy."""

from pykopia.cli.parsing import Options, flag, flag_list
from pykopia.cli.policy_targets import PolicyTargetFlags
from pykopia.cli.values import boolean, duration
from pykopia.format.algorithm_names import COMPRESSOR_NAMES, SPLITTER_NAMES

INHERIT = "inherit"
UNCHANGED = "-"
TRUTH = ("true", "false", INHERIT)
VOLUME_SHADOW_COPY = ("never", "always", "when-available", INHERIT)
_MINUTE = 60_000_000_000


_COMPRESSORS = (INHERIT, "none", *COMPRESSOR_NAMES)
_SPLITTERS = tuple(sorted((INHERIT, *SPLITTER_NAMES)))


class RetentionFlags(Options):
    """Flags of retention."""

    keep_latest = flag("", "Newest snapshots to keep, or inherit.", placeholder="N")
    keep_hourly = flag("", "Hourly snapshots to keep, or inherit.", placeholder="N")
    keep_daily = flag("", "Daily snapshots to keep, or inherit.", placeholder="N")
    keep_weekly = flag("", "Weekly snapshots to keep, or inherit.", placeholder="N")
    keep_monthly = flag("", "Monthly snapshots to keep, or inherit.", placeholder="N")
    keep_annual = flag("", "Annual snapshots to keep, or inherit.", placeholder="N")
    ignore_identical_snapshots = flag("", "Save no snapshot that equals the one before: true, false or inherit.")


class FilesFlags(Options):
    """Flags of ignore rules."""

    add_ignore = flag_list("Ignore rule to add.", placeholder="PATTERN")
    remove_ignore = flag_list("Ignore rule to remove.", placeholder="PATTERN")
    clear_ignore = flag(False, "Remove all ignore rules.")
    add_dot_ignore = flag_list("Name of ignore files to add.", placeholder="FILENAME")
    remove_dot_ignore = flag_list("Name of ignore files to remove.", placeholder="FILENAME")
    clear_dot_ignore = flag(False, "Remove all names of ignore files.")
    max_file_size = flag("", "Leave out files above this many bytes.", placeholder="N")
    one_file_system = flag("", "Stay on one file system.", choices=TRUTH)
    ignore_cache_dirs = flag("", "Leave out cache folders.", choices=TRUTH)


class ErrorFlags(Options):
    """Which errors do not fail a snapshot."""

    ignore_file_errors = flag("", "Go on after files that can't be read.", choices=TRUTH)
    ignore_dir_errors = flag("", "Go on after folders that can't be read.", choices=TRUTH)
    ignore_unknown_types = flag("", "Go on after entries of unknown kinds.", choices=TRUTH)


class CompressionFlags(Options):
    """Flags of compression and splitters."""

    metadata_compression = flag("", "Compression of metadata.", choices=_COMPRESSORS)
    compression = flag("", "Compression of files.", choices=_COMPRESSORS)
    compression_min_size = flag("", "Compress files from this size on.")
    compression_max_size = flag("", "Compress files up to this size.")
    add_only_compress = flag_list("Ending to add to those that are compressed.", placeholder="PATTERN")
    remove_only_compress = flag_list("Ending to remove from those that are compressed.", placeholder="PATTERN")
    clear_only_compress = flag(False, "Remove all endings that are compressed.")
    add_never_compress = flag_list("Ending to add to those that are not compressed.", placeholder="PATTERN")
    remove_never_compress = flag_list("Ending to remove from those that are not compressed.", placeholder="PATTERN")
    clear_never_compress = flag(False, "Remove all endings that are not compressed.")
    splitter = flag("", "How files are split.", choices=_SPLITTERS)


class ScheduleFlags(Options):
    """When snapshots are taken."""

    snapshot_interval = flag_list("Time between snapshots.", kind=duration)
    snapshot_time = flag_list("Times of day (HH:mm,HH:mm,…), or inherit.")
    snapshot_time_crontab = flag("", "Cron expressions with semicolons between them, or inherit.")
    run_missed = flag("", "Run snapshots later whose time was missed.", choices=TRUTH)
    manual = flag(False, "Take snapshots by hand only.")


class ActionFlags(Options):
    """Programs that run before and after."""

    before_folder_action = flag(UNCHANGED, "Program to run before this folder; none to remove.", placeholder="COMMAND")
    after_folder_action = flag(UNCHANGED, "Program to run after this folder; none to remove.", placeholder="COMMAND")
    before_snapshot_root_action = flag(
        UNCHANGED, "Program to run before the snapshot; none to remove.", placeholder="COMMAND"
    )
    after_snapshot_root_action = flag(
        UNCHANGED, "Program to run after the snapshot; none to remove.", placeholder="COMMAND"
    )
    action_command_timeout = flag(5 * _MINUTE, "Time that a program may take.", kind=duration)
    action_command_mode = flag(
        "essential", "What a failure of the program means.", choices=("essential", "optional", "async")
    )
    persist_action_script = flag(False, "Store the program itself in the policy.")


class LoggingFlags(Options):
    """Detail of the log."""

    log_dir_snapshotted = flag("", "Detail about folders taken, 0 to 10, or inherit.", placeholder="N")
    log_dir_ignored = flag("", "Detail about folders left out, 0 to 10, or inherit.", placeholder="N")
    log_entry_snapshotted = flag("", "Detail about entries taken, 0 to 10, or inherit.", placeholder="N")
    log_entry_ignored = flag("", "Detail about entries left out, 0 to 10, or inherit.", placeholder="N")
    log_entry_cache_hit = flag("", "Detail about entries that had not changed, or inherit.", placeholder="N")
    log_entry_cache_miss = flag("", "Detail about entries that had changed, or inherit.", placeholder="N")


class UploadFlags(Options):
    """Flags of parallelism."""

    max_parallel_file_reads = flag("", "Files read at one time, or inherit.")
    max_parallel_snapshots = flag("", "Snapshots taken at one time, or inherit.")
    parallel_upload_above_size_mib = flag("", "Read files from this size on in parts, or inherit.")


class PolicySetOptions(
    PolicyTargetFlags,
    RetentionFlags,
    FilesFlags,
    ErrorFlags,
    CompressionFlags,
    ScheduleFlags,
    ActionFlags,
    LoggingFlags,
    UploadFlags,
):
    """Flags of `policy set`."""

    enable_volume_shadow_copy = flag("", "Use volume shadow copies (Windows).", choices=VOLUME_SHADOW_COPY)
    inherit = flag_list("Whether to inherit from the policies above: true or false.", kind=boolean)


__all__ = [
    "INHERIT",
    "UNCHANGED",
    "VOLUME_SHADOW_COPY",
    "ActionFlags",
    "CompressionFlags",
    "ErrorFlags",
    "FilesFlags",
    "LoggingFlags",
    "PolicySetOptions",
    "RetentionFlags",
    "ScheduleFlags",
    "UploadFlags",
]
