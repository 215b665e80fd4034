"""Flags that every command accepts.

Those of Kopia that mean nothing here (content logs, update checks, the memory of Go) are accepted and ignored, so that scripts
move over as they are. Those that ask for metrics, traces or profiles are accepted with a warning: whoever waits for the numbers
must learn that none will come.
"""

from typing import TYPE_CHECKING

from pykopia.cli.parsing import Options, flag, flag_list
from pykopia.cli.values import duration, integer, progress

if TYPE_CHECKING:
    from pykopia.snapshot.upload_options import EstimationType

LOG_LEVELS = ("debug", "info", "warning", "error")
_SECOND = 1_000_000_000
_DAY = 24 * 3600 * _SECOND


class LogFlags(Options):
    """Flags of logging."""

    log_file = flag("", "Write the log to this file instead of one in the log folder.")
    content_log_file = flag("", "Ignored.", hidden=True)
    disable_file_logging = flag(False, "Write no log file.")
    disable_content_log = flag(False, "Ignored: no content log is written.")
    log_dir = flag("", "Folder for log files (default: kopia in the user's cache folder).", env="KOPIA_LOG_DIR")
    log_dir_max_files = flag(1000, "Log files to keep.", env="KOPIA_LOG_DIR_MAX_FILES", hidden=True)
    log_dir_max_age = flag(
        30 * _DAY, "Age of log files to keep.", kind=duration, env="KOPIA_LOG_DIR_MAX_AGE", hidden=True
    )
    log_dir_max_total_size_mb = flag(
        1000.0, "Size of all log files to keep, in MB.", env="KOPIA_LOG_DIR_MAX_SIZE_MB", hidden=True
    )
    max_log_file_segment_size = flag(50_000_000, "Ignored.", env="KOPIA_LOG_FILE_MAX_SEGMENT_SIZE", hidden=True)
    wait_for_log_sweep = flag(True, "Ignored.", hidden=True)
    content_log_dir_max_files = flag(5000, "Ignored.", env="KOPIA_CONTENT_LOG_DIR_MAX_FILES", hidden=True)
    content_log_dir_max_age = flag(
        30 * _DAY, "Ignored.", kind=duration, env="KOPIA_CONTENT_LOG_DIR_MAX_AGE", hidden=True
    )
    content_log_dir_max_total_size_mb = flag(1000.0, "Ignored.", env="KOPIA_CONTENT_LOG_DIR_MAX_SIZE_MB", hidden=True)
    log_level = flag("info", "Least weight of messages on the terminal.", choices=LOG_LEVELS)
    json_log_console = flag(False, "Write messages on the terminal as JSON.", hidden=True)
    json_log_file = flag(False, "Write the log file as JSON.", hidden=True)
    file_log_level = flag("debug", "Least weight of messages in the log file.", choices=LOG_LEVELS)
    file_log_local_tz = flag(False, "Write local times to the log file.", env="KOPIA_FILE_LOG_LOCAL_TZ", hidden=True)
    force_color = flag(False, "Color messages even where no terminal is.", env="KOPIA_FORCE_COLOR", hidden=True)
    disable_color = flag(
        False, "Color nothing; the variable NO_COLOR does the same.", env="KOPIA_DISABLE_COLOR", hidden=True
    )
    console_timestamps = flag(
        False, "Put the time before each message on the terminal.", env="KOPIA_CONSOLE_TIMESTAMPS", hidden=True
    )


class IgnoredFlags(Options):
    """Kopia's flags for its own inner life."""

    initial_update_check_delay = flag(
        _DAY, "Ignored.", kind=duration, env="KOPIA_INITIAL_UPDATE_CHECK_DELAY", hidden=True
    )
    update_check_interval = flag(7 * _DAY, "Ignored.", kind=duration, env="KOPIA_UPDATE_CHECK_INTERVAL", hidden=True)
    update_available_notify_interval = flag(
        3600 * _SECOND, "Ignored.", kind=duration, env="KOPIA_UPDATE_NOTIFY_INTERVAL", hidden=True
    )
    trace_storage = flag(True, "Ignored.", hidden=True)
    disable_repository_log = flag(False, "Ignored.", env="KOPIA_DISABLE_REPOSITORY_LOG", hidden=True)
    track_releasable = flag_list("Ignored.", env="KOPIA_TRACK_RELEASABLE", hidden=True)
    dump_allocator_stats = flag(False, "Ignored.", env="KOPIA_DUMP_ALLOCATOR_STATS", hidden=True)
    metrics_listen_addr = flag("", "No effect, with a warning.", hidden=True)
    enable_pprof = flag(False, "No effect, with a warning.", hidden=True)
    metrics_push_addr = flag("", "No effect, with a warning.", env="KOPIA_METRICS_PUSH_ADDR", hidden=True)
    metrics_push_interval = flag(5 * _SECOND, "Ignored.", kind=duration, env="KOPIA_METRICS_PUSH_INTERVAL", hidden=True)
    metrics_push_job = flag("kopia", "Ignored.", env="KOPIA_METRICS_JOB", hidden=True)
    metrics_push_grouping = flag_list("Ignored.", env="KOPIA_METRICS_PUSH_GROUPING", hidden=True)
    metrics_push_username = flag("", "Ignored.", env="KOPIA_METRICS_PUSH_USERNAME", hidden=True)
    metrics_push_password = flag("", "Ignored.", env="KOPIA_METRICS_PUSH_PASSWORD", hidden=True)
    metrics_push_format = flag(
        "",
        "Ignored.",
        env="KOPIA_METRICS_FORMAT",
        choices=("open-metrics", "open-metrics-0.0.1", "proto-compact", "proto-delim", "proto-text", "text"),
        hidden=True,
    )
    otlp_trace = flag(False, "No effect, with a warning.", env="KOPIA_ENABLE_OTLP_TRACE", hidden=True)
    diagnostics_output_directory = flag("", "Ignored.", hidden=True)
    metrics_store_on_exit = flag(False, "No effect, with a warning.", hidden=True)
    profile_store_on_exit = flag(False, "No effect, with a warning.", hidden=True)
    profile_go_gc_before_dump = flag(False, "Ignored.", hidden=True)
    profile_blocking_rate = flag(-1, "Ignored.", kind=integer, hidden=True)
    profile_cpu = flag(False, "No effect, with a warning.", hidden=True)
    profile_memory_rate = flag(-1, "Ignored.", kind=integer, hidden=True)
    profile_mutex_fraction = flag(-1, "Ignored.", kind=integer, hidden=True)
    ignore_missing_required_features = flag(False, "Ignored.", hidden=True)


OBSERVING = (
    "metrics_listen_addr",
    "metrics_push_addr",
    "metrics_store_on_exit",
    "otlp_trace",
    "enable_pprof",
    "profile_store_on_exit",
    "profile_cpu",
)
"""Flags that ask for numbers which this program does not collect."""


def without_effect(flags: IgnoredFlags) -> str:
    """Return the warning about flags that ask for metrics, traces or profiles; empty if none does."""
    names = [f"--{name.replace('_', '-')}" for name in OBSERVING if getattr(flags, name)]
    if not names:
        return ""
    subject = f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} no effect"
    return f"{subject}: pykopia collects no metrics, traces or profiles; use the log, or the results by --json"


class GlobalFlags(LogFlags, IgnoredFlags):
    """All flags that stand before or after any command."""

    help = flag(False, "Show help for what the line names.")
    help_long = flag(False, "Show help for every command.", hidden=True)
    help_man = flag(False, "Print the manual page.", hidden=True)
    completion_script_bash = flag(False, "Print the completion script for bash.", hidden=True)
    completion_script_zsh = flag(False, "Print the completion script for zsh.", hidden=True)
    help_full = flag(False, "Show help for every command, hidden ones too.")
    version = flag(False, "Show the version.")
    config_file = flag(
        "repository.config",
        "The connection file; a bare name lies in the user's kopia configuration folder.",
        env="KOPIA_CONFIG_PATH",
    )
    password = flag("", "Repository password.", short="p", env="KOPIA_PASSWORD")
    profile = flag(
        "",
        "Take flags and variables from this section of profiles.toml.",
        short="P",
        env="PYKOPIA_PROFILE",
        placeholder="NAME",
    )
    persist_credentials = flag(
        True, "Keep the password beside the connection file.", env="KOPIA_PERSIST_CREDENTIALS_ON_CONNECT"
    )
    use_keyring = flag(False, "Keep the password in the desktop's keyring.", env="KOPIA_USE_KEYRING")
    auto_maintenance = flag(True, "Run maintenance when it is due.", hidden=True)
    timezone = flag("local", "Zone of the times printed: local, utc, original or a zone's name.", hidden=True)
    dangerous_commands = flag(
        "", "`enabled` allows commands that can destroy a repository.", env="KOPIA_DANGEROUS_COMMANDS", hidden=True
    )
    upgrade_owner_id = flag(
        "", "Owner of the format upgrade in progress.", env="KOPIA_REPO_UPGRADE_OWNER_ID", hidden=True
    )
    upgrade_no_block = flag(
        False,
        "Fail at once when a format upgrade is in progress.",
        env="KOPIA_REPO_UPGRADE_NO_BLOCK",
        hidden=True,
    )
    error_notifications = flag(
        "non-interactive",
        "When notification profiles are told of a command that fails: by default where stdout is no terminal.",
        env="KOPIA_SEND_ERROR_NOTIFICATIONS",
        choices=("always", "never", "non-interactive"),
        hidden=True,
    )
    progress: bool | str | None = flag(
        None,
        "Show progress: by default on a terminal, and every 30s elsewhere; --progress=json prints JSON lines on stderr.",
        kind=progress,
    )
    progress_estimation_type: "EstimationType" = flag(
        "classic",
        "Where the total of a snapshot's progress comes from: a second walk, or what is in use on the volume.",
        choices=("classic", "rough", "adaptive"),
        hidden=True,
    )
    adaptive_estimation_threshold = flag(
        300_000, "Files on the volume from which on `adaptive` does not walk.", kind=integer, hidden=True
    )
    progress_update_interval = flag(
        300_000_000, "Time between two updates of the progress, 100ms at least.", kind=duration, hidden=True
    )


__all__ = ["LOG_LEVELS", "GlobalFlags", "IgnoredFlags", "LogFlags"]
