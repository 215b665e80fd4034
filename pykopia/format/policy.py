"""Policies: what a snapshot takes, how it is compressed, when it is taken and how long it is kept.

A policy is the data of a manifest of type ``policy`` (format 05 §1). It is attached to a target: one path, all paths of a
user on a host, all of a host, or everything. What holds for a source follows from merging several (``policy_merge``).

A field of value ``None`` is unset and inherits. So do 0, an empty text, an empty list and ``False`` where the type does
not allow ``None``: there they mean "unset" to Kopia.
"""

from dataclasses import field

from pykopia.dataclass import dataclass
from pykopia.format.policy_fields import BYTE_RANGE, Kind, Merge, Section, declared


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class RetentionPolicy(Section):
    """How many snapshots of a source are kept (format 05 §6). All counts unset or 0: every one is kept."""

    keep_latest: int | None = field(default=None, metadata=declared("keepLatest", Kind.OPTIONAL_INT))
    """Newest complete snapshots."""
    keep_hourly: int | None = field(default=None, metadata=declared("keepHourly", Kind.OPTIONAL_INT))
    """Hours before the newest snapshot, the newest of each."""
    keep_daily: int | None = field(default=None, metadata=declared("keepDaily", Kind.OPTIONAL_INT))
    """Days before the newest snapshot, the newest of each."""
    keep_weekly: int | None = field(default=None, metadata=declared("keepWeekly", Kind.OPTIONAL_INT))
    """Weeks before the newest snapshot, the newest of each."""
    keep_monthly: int | None = field(default=None, metadata=declared("keepMonthly", Kind.OPTIONAL_INT))
    """Months before the newest snapshot, the newest of each."""
    keep_annual: int | None = field(default=None, metadata=declared("keepAnnual", Kind.OPTIONAL_INT))
    """Years before the newest snapshot, the newest of each."""
    ignore_identical_snapshots: bool | None = field(
        default=None, metadata=declared("ignoreIdenticalSnapshots", Kind.OPTIONAL_BOOL)
    )
    """Do not save a snapshot whose root is the previous one's."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class FilesPolicy(Section):
    """Which files are left out (format 05 §4)."""

    ignore: tuple[str, ...] = field(default=(), metadata=declared("ignore", Kind.TEXTS))
    """Rules in the manner of gitignore, in the order in which they apply."""
    no_parent_ignore: bool = field(default=False, metadata=declared("noParentIgnore", Kind.BOOL))
    """Kopia stores it, and nothing depends on it."""
    dot_ignore_files: tuple[str, ...] = field(default=(), metadata=declared("ignoreDotFiles", Kind.TEXTS))
    """Names of files in the source that hold more rules."""
    no_parent_dot_ignore_files: bool = field(default=False, metadata=declared("noParentDotFiles", Kind.BOOL))
    """Kopia stores it, and nothing depends on it."""
    ignore_cache_directories: bool | None = field(
        default=None, metadata=declared("ignoreCacheDirs", Kind.OPTIONAL_BOOL)
    )
    """Take directories with a valid ``CACHEDIR.TAG`` for empty; unset means yes."""
    max_file_size: int = field(default=0, metadata=declared("maxFileSize", Kind.INT))
    """Bytes; larger files are left out without a word. 0 is no limit."""
    one_file_system: bool | None = field(default=None, metadata=declared("oneFileSystem", Kind.OPTIONAL_BOOL))
    """Stay on the device of the directory; unset means no."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class ErrorHandlingPolicy(Section):
    """Which errors do not fail a snapshot (format 04 §11.7)."""

    ignore_file_errors: bool | None = field(default=None, metadata=declared("ignoreFileErrors", Kind.OPTIONAL_BOOL))
    """Unset means no."""
    ignore_directory_errors: bool | None = field(
        default=None, metadata=declared("ignoreDirectoryErrors", Kind.OPTIONAL_BOOL)
    )
    """Unset means no."""
    ignore_unknown_types: bool | None = field(default=None, metadata=declared("ignoreUnknownTypes", Kind.OPTIONAL_BOOL))
    """Devices, sockets and the like; unset means yes."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class TimeOfDay(Section):
    """A time of each day in the local time zone of the server."""

    hour: int = field(default=0, metadata=declared("hour", Kind.INT, always_written=True))
    """0 to 23."""
    minute: int = field(default=0, metadata=declared("min", Kind.INT, always_written=True))
    """0 to 59."""

    def __str__(self) -> str:
        return f"{self.hour}:{self.minute:02d}"


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class SchedulingPolicy(Section):
    """When a server takes snapshots (format 05 §9)."""

    interval_seconds: int = field(default=0, metadata=declared("intervalSeconds", Kind.INT))
    """0 is no interval."""
    times_of_day: tuple[TimeOfDay, ...] | None = field(
        default=None,
        metadata=declared(
            "timeOfDay", Kind.OBJECTS, merge=Merge.UNION, stopped_by="no_parent_times_of_day", section=TimeOfDay
        ),
    )
    """``None`` and an empty list differ only in that the empty list, too, can't stand next to ``manual``."""
    no_parent_times_of_day: bool = field(
        default=False, metadata=declared("noParentTimeOfDay", Kind.BOOL, merge=Merge.STOP)
    )
    """Add no times from policies further up."""
    manual: bool = field(default=False, metadata=declared("manual", Kind.BOOL))
    """Never by itself; excludes all else in this section."""
    cron: tuple[str, ...] | None = field(default=None, metadata=declared("cron", Kind.TEXTS))
    """Cron expressions with an optional ``# comment``; of ``None`` the same holds as of ``times_of_day``."""
    run_missed: bool | None = field(default=None, metadata=declared("runMissed", Kind.OPTIONAL_BOOL))
    """Take a snapshot at once if its time went by; unset means no."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class CompressionPolicy(Section):
    """How file contents are compressed (format 05 §7)."""

    compressor_name: str = field(default="", metadata=declared("compressorName", Kind.TEXT))
    """``none`` is a value, the empty text inherits."""
    only_compress: tuple[str, ...] = field(
        default=(),
        metadata=declared("onlyCompress", Kind.TEXTS, merge=Merge.UNION, stopped_by="no_parent_only_compress"),
    )
    """File name extensions with the dot, sorted; they only win over ``never_compress``."""
    no_parent_only_compress: bool = field(
        default=False, metadata=declared("noParentOnlyCompress", Kind.BOOL, merge=Merge.STOP)
    )
    """Add no ``only_compress`` from policies further up."""
    never_compress: tuple[str, ...] = field(
        default=(),
        metadata=declared("neverCompress", Kind.TEXTS, merge=Merge.UNION, stopped_by="no_parent_never_compress"),
    )
    """File name extensions with the dot, sorted."""
    no_parent_never_compress: bool = field(
        default=False, metadata=declared("noParentNeverCompress", Kind.BOOL, merge=Merge.STOP)
    )
    """Add no ``never_compress`` from policies further up."""
    min_size: int = field(default=0, metadata=declared("minSize", Kind.INT))
    """Bytes; smaller files are not compressed. 0 is no limit."""
    max_size: int = field(default=0, metadata=declared("maxSize", Kind.INT))
    """Bytes; larger files are not compressed. 0 is no limit."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class MetadataCompressionPolicy(Section):
    """How directories and indexes of chunks are compressed (format 05 §7)."""

    compressor_name: str = field(default="", metadata=declared("compressorName", Kind.TEXT))
    """``none`` is a value, the empty text inherits."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class SplitterPolicy(Section):
    """How files are divided into chunks (format 05 §8)."""

    algorithm: str = field(default="", metadata=declared("algorithm", Kind.TEXT))
    """Name of a splitter; the empty text is the repository's."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class ActionCommand(Section):
    """A command or script around a snapshot (format 05 §10)."""

    command: str = field(default="", metadata=declared("path", Kind.TEXT))
    """Program to run."""
    arguments: tuple[str, ...] = field(default=(), metadata=declared("args", Kind.TEXTS))
    """Arguments of the program."""
    script: str = field(default="", metadata=declared("script", Kind.TEXT))
    """Text of a script, instead of a program."""
    timeout_seconds: int = field(default=0, metadata=declared("timeout", Kind.INT))
    """0 is 3 minutes."""
    mode: str = field(default="", metadata=declared("mode", Kind.TEXT))
    """``essential``, ``optional`` or ``async``; anything else is like ``optional``."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class ActionsPolicy(Section):
    """Programs that run before and after a snapshot or one of its folders (format 05 §10)."""

    before_folder: ActionCommand | None = field(
        default=None, metadata=declared("beforeFolder", Kind.OBJECT, merge=Merge.OWN, section=ActionCommand)
    )
    """Before the directory at which this policy is defined; not inherited."""
    after_folder: ActionCommand | None = field(
        default=None, metadata=declared("afterFolder", Kind.OBJECT, merge=Merge.OWN, section=ActionCommand)
    )
    """After the directory at which this policy is defined; not inherited."""
    before_snapshot_root: ActionCommand | None = field(
        default=None, metadata=declared("beforeSnapshotRoot", Kind.OBJECT, section=ActionCommand)
    )
    """Before the root of a snapshot."""
    after_snapshot_root: ActionCommand | None = field(
        default=None, metadata=declared("afterSnapshotRoot", Kind.OBJECT, section=ActionCommand)
    )
    """After the root of a snapshot."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class VolumeShadowCopyPolicy(Section):
    """Use of Volume Shadow Copy on Windows."""

    enable: int | None = field(default=None, metadata=declared("enable", Kind.OPTIONAL_INT, numbers=BYTE_RANGE))
    """0 never, 1 always, 2 when available."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class OSSnapshotPolicy(Section):
    """Snapshots by the operating system (format 05 §11)."""

    volume_shadow_copy: VolumeShadowCopyPolicy = field(
        default=VolumeShadowCopyPolicy(),
        metadata=declared("volumeShadowCopy", Kind.SECTION, section=VolumeShadowCopyPolicy),
    )
    """Windows only."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class DirectoryLoggingPolicy(Section):
    """Detail of log lines about directories: 0 is no line, 10 is all there is."""

    snapshotted: int | None = field(default=None, metadata=declared("snapshotted", Kind.OPTIONAL_INT))
    """For a directory that was taken."""
    ignored: int | None = field(default=None, metadata=declared("ignored", Kind.OPTIONAL_INT))
    """For a directory that was left out."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class EntryLoggingPolicy(Section):
    """Detail of log lines about files and links: 0 is no line, 10 is all there is."""

    snapshotted: int | None = field(default=None, metadata=declared("snapshotted", Kind.OPTIONAL_INT))
    """For an entry that was taken."""
    ignored: int | None = field(default=None, metadata=declared("ignored", Kind.OPTIONAL_INT))
    """For an entry that was left out."""
    cache_hit: int | None = field(default=None, metadata=declared("cacheHit", Kind.OPTIONAL_INT))
    """For a file that had not changed."""
    cache_miss: int | None = field(default=None, metadata=declared("cacheMiss", Kind.OPTIONAL_INT))
    """For a file that had changed."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class LoggingPolicy(Section):
    """What is logged while a snapshot is taken (format 05 §11)."""

    directories: DirectoryLoggingPolicy = field(
        default=DirectoryLoggingPolicy(),
        metadata=declared("directories", Kind.SECTION, section=DirectoryLoggingPolicy),
    )
    """Lines about directories."""
    entries: EntryLoggingPolicy = field(
        default=EntryLoggingPolicy(), metadata=declared("entries", Kind.SECTION, section=EntryLoggingPolicy)
    )
    """Lines about files and links."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class UploadPolicy(Section):
    """Degrees of parallelism (format 05 §11)."""

    max_parallel_snapshots: int | None = field(
        default=None, metadata=declared("maxParallelSnapshots", Kind.OPTIONAL_INT)
    )
    """Snapshots that a server takes at once; not allowed for paths."""
    max_parallel_file_reads: int | None = field(
        default=None, metadata=declared("maxParallelFileReads", Kind.OPTIONAL_INT)
    )
    """Files read at once; unset is the number of processors."""
    parallel_upload_above_size: int | None = field(
        default=None, metadata=declared("parallelUploadAboveSize", Kind.OPTIONAL_INT)
    )
    """Bytes; files above are stored in parts of this size. It changes object IDs; negative or unset: never."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Policy(Section):
    """A policy as it is defined for a target, or as it results from merging."""

    retention: RetentionPolicy = field(
        default=RetentionPolicy(), metadata=declared("retention", Kind.SECTION, section=RetentionPolicy)
    )
    """How many snapshots are kept."""
    files: FilesPolicy = field(default=FilesPolicy(), metadata=declared("files", Kind.SECTION, section=FilesPolicy))
    """Which files are left out."""
    error_handling: ErrorHandlingPolicy = field(
        default=ErrorHandlingPolicy(), metadata=declared("errorHandling", Kind.SECTION, section=ErrorHandlingPolicy)
    )
    """Which errors are no failure."""
    scheduling: SchedulingPolicy = field(
        default=SchedulingPolicy(), metadata=declared("scheduling", Kind.SECTION, section=SchedulingPolicy)
    )
    """When a server takes snapshots."""
    compression: CompressionPolicy = field(
        default=CompressionPolicy(), metadata=declared("compression", Kind.SECTION, section=CompressionPolicy)
    )
    """Compression of file contents."""
    metadata_compression: MetadataCompressionPolicy = field(
        default=MetadataCompressionPolicy(),
        metadata=declared("metadataCompression", Kind.SECTION, section=MetadataCompressionPolicy),
    )
    """Compression of directories and indexes of chunks."""
    splitter: SplitterPolicy = field(
        default=SplitterPolicy(), metadata=declared("splitter", Kind.SECTION, section=SplitterPolicy)
    )
    """Splitter of files."""
    actions: ActionsPolicy = field(
        default=ActionsPolicy(), metadata=declared("actions", Kind.SECTION, section=ActionsPolicy)
    )
    """Commands before and after."""
    os_snapshots: OSSnapshotPolicy = field(
        default=OSSnapshotPolicy(), metadata=declared("osSnapshots", Kind.SECTION, section=OSSnapshotPolicy)
    )
    """Snapshots by the operating system."""
    logging: LoggingPolicy = field(
        default=LoggingPolicy(), metadata=declared("logging", Kind.SECTION, section=LoggingPolicy)
    )
    """Levels of logging."""
    upload: UploadPolicy = field(
        default=UploadPolicy(), metadata=declared("upload", Kind.SECTION, section=UploadPolicy)
    )
    """Degrees of parallelism."""
    no_parent: bool = field(default=False, metadata=declared("noParent", Kind.BOOL, merge=Merge.OWN))
    """Inherit nothing, not even the built-in defaults."""


EMPTY_POLICY = Policy()
"""A policy that sets nothing."""

DEFAULT_POLICY = Policy(
    retention=RetentionPolicy(
        keep_latest=10,
        keep_hourly=48,
        keep_daily=7,
        keep_weekly=4,
        keep_monthly=24,
        keep_annual=3,
        ignore_identical_snapshots=False,
    ),
    files=FilesPolicy(dot_ignore_files=(".kopiaignore",)),
    error_handling=ErrorHandlingPolicy(
        ignore_file_errors=False, ignore_directory_errors=False, ignore_unknown_types=True
    ),
    scheduling=SchedulingPolicy(run_missed=True),
    compression=CompressionPolicy(compressor_name="none"),
    metadata_compression=MetadataCompressionPolicy(compressor_name="zstd-fastest"),
    os_snapshots=OSSnapshotPolicy(volume_shadow_copy=VolumeShadowCopyPolicy(enable=0)),
    logging=LoggingPolicy(
        directories=DirectoryLoggingPolicy(snapshotted=5, ignored=5),
        entries=EntryLoggingPolicy(snapshotted=0, ignored=5, cache_hit=0, cache_miss=0),
    ),
    upload=UploadPolicy(max_parallel_snapshots=1, parallel_upload_above_size=2 << 30),
)
"""The built-in defaults, which are also the global policy of a new repository (format 05 §1.1)."""


__all__ = [
    "DEFAULT_POLICY",
    "EMPTY_POLICY",
    "ActionCommand",
    "ActionsPolicy",
    "CompressionPolicy",
    "DirectoryLoggingPolicy",
    "EntryLoggingPolicy",
    "ErrorHandlingPolicy",
    "FilesPolicy",
    "LoggingPolicy",
    "MetadataCompressionPolicy",
    "OSSnapshotPolicy",
    "Policy",
    "RetentionPolicy",
    "SchedulingPolicy",
    "SplitterPolicy",
    "TimeOfDay",
    "UploadPolicy",
    "VolumeShadowCopyPolicy",
]
