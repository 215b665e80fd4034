"""A policy as a table: each setting, its value, and the policy it comes from."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from pykopia.cli import formatting
from pykopia.format.policy import ActionCommand, Policy

_SECOND = 1_000_000_000
_VSS = {0: "never", 1: "always", 2: "when-available"}
_HERE = "(defined for this target)"

Origin = Callable[[str], str]
"""Returns the origin of a setting by its name, such as ``retention.keep_latest``."""


class Row(NamedTuple):
    """A line of the table."""

    label: str = ""
    value: str = ""
    origin: str = ""


def retention_and_compression(policy: Policy) -> list[str]:
    """Return the lines that print which snapshots a new repository keeps."""
    return aligned([*_retention(policy, lambda _: _HERE), *_compression(policy, lambda _: _HERE, formatting.size)])


def policy_lines(policy: Policy, origin: Origin, size: Callable[[float], str]) -> list[str]:
    """Return the whole table."""
    sections: Sequence[Iterable[Row]] = (
        _retention(policy, origin),
        _files(policy, origin, size),
        _errors(policy, origin),
        _schedule(policy, origin),
        _uploads(policy, origin, size),
        _compression(policy, origin, size),
        _metadata_compression(policy, origin),
        _splitter(policy, origin),
        _actions(policy, origin),
        _os_snapshots(policy, origin),
        _logging(policy, origin),
    )
    rows = [row for section in sections for row in (*section, Row())]
    return aligned(rows[:-1])


def aligned(rows: Sequence[Row]) -> list[str]:
    """Return the rows as lines, values ending in one column."""
    width = max((len(row.label) + 3 + len(row.value) for row in rows if row.value), default=0)
    lines = []
    for label, value, origin in rows:
        line = label
        if value or origin:
            line += " " * (width - len(label) - len(value)) + value
        if origin:
            line += "   " + origin
        lines.append(line)
    return lines


def _word(value: bool) -> str:
    return "true" if value else "false"


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)


def _retention(policy: Policy, origin: Origin) -> Iterable[Row]:
    retention = policy.retention
    yield Row("Retention:")
    for label, name in (
        ("Annual", "keep_annual"),
        ("Monthly", "keep_monthly"),
        ("Weekly", "keep_weekly"),
        ("Daily", "keep_daily"),
        ("Hourly", "keep_hourly"),
        ("Latest", "keep_latest"),
    ):
        yield Row(f"  {label} snapshots:", _or_dash(getattr(retention, name)), origin(f"retention.{name}"))
    yield Row(
        "  Ignore identical snapshots:",
        _word(bool(retention.ignore_identical_snapshots)),
        origin("retention.ignore_identical_snapshots"),
    )


def _files(policy: Policy, origin: Origin, size: Callable[[float], str]) -> Iterable[Row]:
    files = policy.files
    yield Row("Files policy:")
    yield Row(
        "  Ignore cache directories:",
        _word(files.ignore_cache_directories is not False),
        origin("files.ignore_cache_directories"),
    )
    if files.ignore:
        yield Row("  Ignore rules:", "", origin("files.ignore"))
        yield from (Row(f"    {rule}") for rule in files.ignore)
    else:
        yield Row("  No ignore rules:")
    if files.dot_ignore_files:
        yield Row("  Read ignore rules from files:", "", origin("files.dot_ignore_files"))
        yield from (Row(f"    {name}") for name in files.dot_ignore_files)
    if files.max_file_size > 0:
        yield Row("  Ignore files above:", size(files.max_file_size), origin("files.max_file_size"))
    yield Row("  Scan one filesystem only:", _word(bool(files.one_file_system)), origin("files.one_file_system"))


def _errors(policy: Policy, origin: Origin) -> Iterable[Row]:
    errors = policy.error_handling
    yield Row("Error handling policy:")
    yield Row(
        "  Ignore file read errors:",
        _word(bool(errors.ignore_file_errors)),
        origin("error_handling.ignore_file_errors"),
    )
    yield Row(
        "  Ignore directory read errors:",
        _word(bool(errors.ignore_directory_errors)),
        origin("error_handling.ignore_directory_errors"),
    )
    yield Row(
        "  Ignore unknown types:",
        _word(errors.ignore_unknown_types is not False),
        origin("error_handling.ignore_unknown_types"),
    )


def _schedule(policy: Policy, origin: Origin) -> Iterable[Row]:
    schedule = policy.scheduling
    yield Row("Scheduling policy:")
    yield Row("  Scheduled snapshots:")
    if schedule.interval_seconds:
        interval = formatting.duration(schedule.interval_seconds * _SECOND)
        yield Row("    Snapshot interval:", interval, origin("scheduling.interval_seconds"))
    if schedule.times_of_day:
        yield Row("  Run missed snapshots:", _word(bool(schedule.run_missed)), origin("scheduling.run_missed"))
        yield Row("  Snapshot times:", "", origin("scheduling.times_of_day"))
        yield from (Row(f"    {time}") for time in schedule.times_of_day)
    if schedule.cron:
        yield Row("  Crontab expressions:", "", origin("scheduling.cron"))
        yield from (Row(f"    {expression}") for expression in schedule.cron)
    if not (schedule.interval_seconds or schedule.times_of_day or schedule.cron):
        yield Row("    None.")
    yield Row("  Manual snapshot:", _word(schedule.manual), origin("scheduling.manual"))


def _uploads(policy: Policy, origin: Origin, size: Callable[[float], str]) -> Iterable[Row]:
    upload = policy.upload
    above = upload.parallel_upload_above_size
    yield Row("Uploads:")
    yield Row(
        "  Max parallel snapshots (server/UI):",
        _or_dash(upload.max_parallel_snapshots),
        origin("upload.max_parallel_snapshots"),
    )
    yield Row(
        "  Max parallel file reads:",
        _or_dash(upload.max_parallel_file_reads),
        origin("upload.max_parallel_file_reads"),
    )
    yield Row(
        "  Parallel upload above size:",
        "-" if above is None else size(above),
        origin("upload.parallel_upload_above_size"),
    )


def _compression(policy: Policy, origin: Origin, size: Callable[[float], str]) -> Iterable[Row]:
    compression = policy.compression
    if compression.compressor_name in {"", "none"}:
        yield Row("Compression disabled.")
        return
    yield Row("Compression:")
    yield Row("  Compressor:", compression.compressor_name, origin("compression.compressor_name"))
    if compression.only_compress:
        yield Row("  Only compress files with the following extensions:", "", origin("compression.only_compress"))
        yield from (Row(f"     - {ending}") for ending in compression.only_compress)
    elif compression.never_compress:
        yield Row("  Compress all files except the following extensions:", "", origin("compression.never_compress"))
        yield from (Row(f"    {ending}") for ending in compression.never_compress)
    else:
        yield Row("  Compress files regardless of extensions.")
    if compression.max_size > 0:
        yield Row(f"  Only compress files between {size(compression.min_size)} and {size(compression.max_size)}.")
    elif compression.min_size > 0:
        yield Row(f"  Only compress files bigger than {size(compression.min_size)}.")
    else:
        yield Row("  Compress files of all sizes.")


def _metadata_compression(policy: Policy, origin: Origin) -> Iterable[Row]:
    name = policy.metadata_compression.compressor_name
    if name in {"", "none"}:
        yield Row("Metadata compression disabled.")
        return
    yield Row("Metadata compression:")
    yield Row("  Compressor:", name, origin("metadata_compression.compressor_name"))


def _splitter(policy: Policy, origin: Origin) -> Iterable[Row]:
    yield Row("Splitter:")
    name = policy.splitter.algorithm or "(repository default)"
    yield Row("  Algorithm override:", name, origin("splitter.algorithm"))


def _actions(policy: Policy, origin: Origin) -> Iterable[Row]:
    actions = policy.actions
    found = False
    for action, label, place in (
        (actions.before_snapshot_root, "before snapshot root", origin("actions.before_snapshot_root")),
        (actions.after_snapshot_root, "after snapshot root", origin("actions.after_snapshot_root")),
        (actions.before_folder, "before this folder", "(non-inheritable)"),
        (actions.after_folder, "after this folder", "(non-inheritable)"),
    ):
        if action is not None:
            found = True
            yield Row(f"Run command {label}:", "", place)
            yield from _action(action)
    if not found:
        yield Row("No actions defined.")


def _action(action: ActionCommand) -> Iterable[Row]:
    if action.script:
        yield Row("  Embedded script (stored in repository):")
        yield from (Row(f"    {line}") for line in action.script.splitlines())
    else:
        yield Row("  Command:")
        yield Row(f"    {action.command} {' '.join(action.arguments)}")
    yield Row("  Mode:", action.mode or "sync")
    yield Row("  Timeout:", formatting.duration(action.timeout_seconds * _SECOND))
    yield Row()


def _os_snapshots(policy: Policy, origin: Origin) -> Iterable[Row]:
    mode = policy.os_snapshots.volume_shadow_copy.enable or 0
    yield Row("OS-level snapshot support:")
    yield Row("  Volume Shadow Copy:", _VSS.get(mode, str(mode)), origin("os_snapshots.volume_shadow_copy.enable"))


def _logging(policy: Policy, origin: Origin) -> Iterable[Row]:
    folders, entries = policy.logging.directories, policy.logging.entries
    yield Row("Logging details (0-none, 10-maximum):")
    for label, value, name in (
        ("Directory snapshotted", folders.snapshotted, "directories.snapshotted"),
        ("Directory ignored", folders.ignored, "directories.ignored"),
        ("Entry snapshotted", entries.snapshotted, "entries.snapshotted"),
        ("Entry ignored", entries.ignored, "entries.ignored"),
        ("Entry cache hit", entries.cache_hit, "entries.cache_hit"),
        ("Entry cache miss", entries.cache_miss, "entries.cache_miss"),
    ):
        yield Row(f"  {label}:", str(value or 0), origin(f"logging.{name}"))


__all__ = ["Origin", "Row", "aligned", "policy_lines", "retention_and_compression"]
