"""Options, progress and result of a snapshot."""

from collections.abc import Mapping
from dataclasses import field
from typing import BinaryIO, Literal, get_args

from pykopia.arguments import check_choice, check_fields, check_number
from pykopia.dataclass import dataclass
from pykopia.errors import UsageError
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.repository.write_buffers import WriteBuffers
from pykopia.snapshot.problem import Problem

CHECKPOINT_INTERVAL_SECONDS = 45 * 60
"""Time between two checkpoints; Kopia allows no longer one (format 04 §11.5)."""

EstimationType = Literal["classic", "rough", "adaptive"]
ADAPTIVE_ESTIMATION_FILES = 300_000
"""Files on a volume from which on ``adaptive`` takes its totals; Kopia's number."""

CANCELED = "canceled"
LIMIT_REACHED = "limit reached"
CHECKPOINT = "checkpoint"


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotOptions:
    """Options of a snapshot.

    Raises:
        UsageError: a value is no list where a list is expected, or out of range.
    """

    source: SourceInfo | None = None
    """Source of the snapshot; the client's user and host and the absolute path when not given."""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    """Stored with the prefix ``tag:``."""
    pins: tuple[str, ...] = ()
    """A pinned snapshot never expires."""
    parallel: int | None = None
    """Threads that read files; the policy's number, or that of CPUs, when not given."""
    buffers: WriteBuffers | None = None
    """How much of what is being written is in memory at one time; with a writer of one's own, that one's count."""
    checkpoint_interval_seconds: float = CHECKPOINT_INTERVAL_SECONDS
    upload_limit_bytes: int = 0
    """Stop after so many bytes of files were read; 0: no limit."""
    fail_fast: bool = False
    """Stop at the first error that is not to be ignored."""
    extended_attributes: bool = False
    """Record extended attributes, POSIX ACLs among them, and hard links, for restores by this program with the option of the
    same name; Kopia ignores them (docs/extended-attributes.md)."""
    force_hash_percent: float = 0
    """Share of unchanged files that are read all the same."""
    start_time_ns: int | None = None
    """Recorded instead of the real start; the end moves with it."""
    end_time_ns: int | None = None
    source_options: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Of the filesystem that a URL names, as fsspec takes them, such as keys; they are not stored."""
    stdin: BinaryIO | None = None
    """Take this stream as the only file, named ``stdin_file_name``."""
    stdin_file_name: str = ""
    estimation: EstimationType = "classic"
    """Where the totals of the progress come from: ``classic`` walks the folder beside the snapshot, ``rough`` takes what is
    in use on its volume, which costs nothing, ``adaptive`` the latter where the volume has many files."""
    adaptive_estimation_files: int = ADAPTIVE_ESTIMATION_FILES
    """Files on the volume from which on ``adaptive`` walks no more."""
    enable_actions: bool | None = None
    """Whether policies may run programs before and after; as the client was connected when not given."""
    action_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables that those programs get besides ``KOPIA_ACTION`` and the like. Nothing of this process is handed on by
    itself, so that no password is: what they need, such as a ``PATH`` or ``os.environ``, is named here."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self)
        check_choice("estimation", self.estimation, get_args(EstimationType))
        if self.parallel is not None:
            check_number("parallel", self.parallel, least=1)
        check_number("force_hash_percent", self.force_hash_percent, least=0, most=100)
        check_number("upload_limit_bytes", self.upload_limit_bytes, least=0)
        check_number("checkpoint_interval_seconds", self.checkpoint_interval_seconds, least=0)
        if self.stdin is not None and not hasattr(self.stdin, "read"):
            raise UsageError("stdin must be a binary file that can be read")


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadCounters:
    """Progress of a snapshot."""

    directories: int = 0
    hashed_files: int = 0
    hashed_bytes: int = 0
    """Bytes read."""
    cached_files: int = 0
    """Files that were not read, because they are as in the previous snapshot."""
    cached_bytes: int = 0
    new_bytes: int = 0
    """Bytes that no earlier snapshot had."""
    uploaded_bytes: int = 0
    """Bytes that were stored for them."""
    excluded_files: int = 0
    excluded_bytes: int = 0
    excluded_directories: int = 0
    fatal_errors: int = 0
    ignored_errors: int = 0
    hashing_files: int = 0
    """Large files that are being read now."""
    changed_files: int = 0
    """Files that changed while they were read."""
    sockets: int = 0
    """Sockets, pipes and devices are in no snapshot: they have no content."""
    pipes: int = 0
    devices: int = 0
    current_directory: str = ""
    estimated_files: int = 0
    """Files that will have been read or taken over in the end; 0 until the number is known."""
    estimated_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotResult:
    """A snapshot that was taken."""

    manifest: SnapshotManifest
    """Its ``id`` is empty when nothing was saved."""
    saved: bool
    """False when it equals the previous one and the policy asks not to keep such."""
    counters: UploadCounters
    problems: tuple[Problem, ...] = ()
    """Entries that are not in the snapshot."""

    @property
    def errors(self) -> tuple[str, ...]:
        """One line for each entry that is not in the snapshot."""
        return tuple(map(str, self.problems))

    @property
    def stopped_early(self) -> bool:
        """Whether the snapshot is incomplete: the caller stopped, a limit was reached, or ``fail_fast`` met an error."""
        return bool(self.manifest.incomplete)


__all__ = [
    "ADAPTIVE_ESTIMATION_FILES",
    "CANCELED",
    "CHECKPOINT",
    "CHECKPOINT_INTERVAL_SECONDS",
    "LIMIT_REACHED",
    "EstimationType",
    "SnapshotOptions",
    "SnapshotResult",
    "UploadCounters",
]
