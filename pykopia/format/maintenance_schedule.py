"""Maintenance on disk: its parameters (a manifest) and its schedule (the blob ``kopia.maintenance``); format 03 §7.

The schedule also tells of the last runs of each task; whether a task may run is decided from it (``maintenance_plan``).
"""

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pykopia.dataclass import dataclass
from pykopia.errors import DamagedDataError, UsageError
from pykopia.format import gojson
from pykopia.format.gojson import Raw
from pykopia.format.gotime import ZERO_TIME_NS, moment
from pykopia.format.json_object import FLAG, INTEGER, TEXT, TIME, TIME_OR_NEVER, Codec, JSONObject, member, nested
from pykopia.format.manifest import TYPE_LABEL
from pykopia.format.repository_blob import BlobConfiguration
from pykopia.ids import Buffer

MANIFEST_LABELS: Final = {TYPE_LABEL: "maintenance"}
"""Labels of the manifest that holds the parameters."""

SCHEDULE_CONTEXT: Final = b"maintenance"
"""Associated data of the schedule's encryption."""
MAX_RUNS: Final = 50
"""Runs that are remembered of each task."""

NONCE_LENGTH: Final = 12

_HOUR_NS: Final = 3600 * 1_000_000_000
_DAY_NS: Final = 24 * _HOUR_NS


# --- parameters ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class CycleParameters(JSONObject):
    """How often a cycle runs."""

    enabled: bool = field(default=False, metadata=member("enabled", FLAG, always=True))
    interval_ns: int = field(default=0, metadata=member("interval", INTEGER, always=True))
    """Nanoseconds from one run to the next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogRetention(JSONObject):
    """Which log blobs are kept; a limit of 0 is none."""

    max_total_size: int = field(default=0, metadata=member("maxTotalSize", INTEGER, always=True))
    """Bytes of all."""
    max_count: int = field(default=0, metadata=member("maxCount", INTEGER, always=True))
    max_age_ns: int = field(default=0, metadata=member("maxAge", INTEGER, always=True))
    """Nanoseconds."""

    @property
    def effective(self) -> "LogRetention":
        """These limits, or the defaults if no limit is set."""
        return self if self.max_total_size or self.max_count or self.max_age_ns else DEFAULT_LOG_RETENTION


DEFAULT_LOG_RETENTION: Final = LogRetention(max_total_size=1 << 30, max_count=10_000, max_age_ns=30 * _DAY_NS)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaintenanceParameters(JSONObject):
    """Parameters of the maintenance of a repository."""

    owner: str = field(default="", metadata=member("owner", TEXT, always=True))
    """``user@host`` of the one client that maintains the repository; empty: none does."""
    quick: CycleParameters = field(
        default=CycleParameters(enabled=True, interval_ns=_HOUR_NS),
        metadata=member("quick", nested(CycleParameters), always=True),
    )
    full: CycleParameters = field(
        default=CycleParameters(enabled=True, interval_ns=_DAY_NS),
        metadata=member("full", nested(CycleParameters), always=True),
    )
    log_retention: LogRetention = field(
        default=DEFAULT_LOG_RETENTION, metadata=member("logRetention", nested(LogRetention), always=True)
    )
    extend_object_locks: bool = field(default=False, metadata=member("extendObjectLocks", FLAG, always=True))
    """Whether full maintenance locks blobs for longer, where the repository locks them at all."""
    list_parallelism: int = field(default=0, metadata=member("listParallelism", INTEGER, always=True))
    """Listings at one time when unused packs are looked for; 0: the default."""

    @classmethod
    def from_json(cls, data: Buffer) -> Self:
        """Return the parameters that a manifest holds; members that it lacks are as in Go: off, or 0.

        Raises:
            DamagedDataError: it is not the JSON that it must be.
        """
        read = cls.parse(data)
        names = {gojson.fold(name) for name, _ in gojson.members(data)}
        off = CycleParameters()
        return replace(
            read,
            quick=read.quick if "quick" in names else off,
            full=read.full if "full" in names else off,
            log_retention=read.log_retention if "logretention" in names else LogRetention(),
        )

    def to_json(self) -> bytes:
        """Return the data of the manifest, in the bytes that Kopia writes."""
        return gojson.dumps(self.members())

    def check(self, configuration: BlobConfiguration) -> str:
        """Check that locks that are extended by full maintenance never end in between; return a warning, or nothing.

        Raises:
            UsageError: a lock could end before the next full maintenance.
        """
        if not self.extend_object_locks:
            return ""
        period = configuration.retention_period_ns
        if period > 0 and period - self.full.interval_ns < _DAY_NS:
            raise UsageError(
                f"blobs are locked for {period // _HOUR_NS} hours and full maintenance would extend that every "
                f"{self.full.interval_ns / _HOUR_NS:g}: it must leave a margin of 24 hours; set a longer retention period, "
                "or a shorter --full-interval"
            )
        return "" if self.full.enabled else "object locks are not extended: full maintenance is disabled"


# --- schedule --------------------------------------------------------------------------------------------------------


def _read_raw(data: bytes) -> Raw:
    return Raw(data)


_RAW: Final = Codec(_read_raw, lambda value: value)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStatistics:
    """Statistics of a task, with Kopia's names (format 03 §16)."""

    kind: str
    values: Mapping[str, int | bool | str] | None
    """None: there was nothing to do."""

    def to_extra(self) -> Raw:
        """Return the ``extra`` of a run."""
        return Raw(gojson.dumps([{"kind": self.kind, "data": self.values}]))


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRun(JSONObject):
    """One run of a task."""

    start_ns: int = field(default=ZERO_TIME_NS, metadata=member("start", TIME, always=True))
    """Nanoseconds since 1970, by the clock of the client that ran it."""
    end_ns: int = field(default=ZERO_TIME_NS, metadata=member("end", TIME, always=True))
    success: bool = field(default=False, metadata=member("success", FLAG))
    error: str = field(default="", metadata=member("error", TEXT))
    extra: Raw | None = field(default=None, metadata=member("extra", _RAW))
    """Statistics, as they are stored."""

    @property
    def start(self) -> datetime | None:
        """When the run began, in UTC, by the clock of the client that ran it."""
        return moment(self.start_ns)

    @property
    def end(self) -> datetime | None:
        """When the run ended, in UTC."""
        return moment(self.end_ns)

    @property
    def statistics(self) -> tuple[TaskStatistics, ...]:
        """Statistics of the run; empty if they can't be read."""
        try:
            stored = gojson.loads(self.extra.data) if self.extra is not None else None
        except DamagedDataError:
            return ()
        found = []
        for each in stored if isinstance(stored, list) else ():
            if isinstance(each, dict) and isinstance(kind := each.get("kind"), str):
                data = each.get("data")
                values = (
                    {name: v for name, v in data.items() if isinstance(v, int | str)}
                    if isinstance(data, dict)
                    else None
                )
                found.append(TaskStatistics(kind=kind, values=values))
        return tuple(found)


def _read_runs(data: bytes) -> Mapping[str, tuple[TaskRun, ...]]:
    runs = {}
    for task, text in gojson.members(data):
        runs[task] = () if text == b"null" else tuple(TaskRun.parse(run) for run in gojson.elements(text))
    return runs


def _write_runs(runs: Mapping[str, tuple[TaskRun, ...]]) -> Mapping[str, object] | None:
    """Return what Go writes: tasks in order, ``null`` for no map."""
    return gojson.sorted_map({task: [run.members() for run in some] for task, some in runs.items()}) or None


@dataclass(frozen=True, kw_only=True, slots=True)
class MaintenanceSchedule(JSONObject):
    """When maintenance is due next, and what the last runs did."""

    next_full_ns: int | None = field(default=None, metadata=member("nextFullMaintenance", TIME_OR_NEVER, always=True))
    """Nanoseconds since 1970; None when full maintenance never ran, and is due now."""
    next_quick_ns: int | None = field(default=None, metadata=member("nextQuickMaintenance", TIME_OR_NEVER, always=True))
    runs: Mapping[str, tuple[TaskRun, ...]] = field(
        default_factory=dict, metadata=member("runs", Codec(_read_runs, _write_runs), always=True)
    )
    """Newest first, by task."""

    @property
    def next_full(self) -> datetime | None:
        """When full maintenance is due, in UTC; None when it never ran."""
        return moment(self.next_full_ns)

    @property
    def next_quick(self) -> datetime | None:
        """When quick maintenance is due, in UTC; None when it never ran."""
        return moment(self.next_quick_ns)

    @classmethod
    def from_json(cls, data: Buffer) -> Self:
        """Return the schedule that a decrypted blob holds.

        Raises:
            DamagedDataError: it is not the JSON that it must be.
        """
        try:
            return cls.parse(data)
        except DamagedDataError as error:
            raise DamagedDataError(f"the schedule of maintenance can't be read: {error}") from error

    def to_json(self) -> bytes:
        """Return the plaintext of the blob, in the bytes that Kopia writes."""
        return gojson.dumps(self.members())

    def successes(self, *tasks: str) -> list[TaskRun]:
        """Return the successful runs of some tasks, in no order."""
        return [run for task in tasks for run in self.runs.get(task, ()) if run.success]

    def last_end_ns(self, *tasks: str) -> int | None:
        """Return when the newest successful run of some tasks ended; None when there is none."""
        return max((run.end_ns for run in self.successes(*tasks)), default=None)

    def with_run(self, task: str, run: TaskRun) -> Self:
        """Return the schedule with one more run of a task; the oldest is forgotten when there are many."""
        kept = (run, *self.runs.get(task, ()))[:MAX_RUNS]
        return replace(self, runs={**self.runs, task: kept})


def seal_with_key(plain: bytes, key: bytes, nonce: bytes, context: bytes = SCHEDULE_CONTEXT) -> bytes:
    """Return the bytes of ``kopia.maintenance`` for a plaintext (AES-256-GCM whatever the repository's cipher is).

    Args:
        plain: JSON text.
        key: ``RepositoryFormat.maintenance_key``.
        nonce: 12 random bytes.
        context: authenticated along; the same is needed for opening.
    """
    return nonce + AESGCM(key).encrypt(nonce, plain, context)


def open_with_key(stored: Buffer, key: bytes, context: bytes = SCHEDULE_CONTEXT) -> bytes:
    """Return the plaintext of ``kopia.maintenance``.

    Raises:
        DamagedDataError: it is too short, or was not sealed with this key.
    """
    stored = bytes(stored)
    try:
        return AESGCM(key).decrypt(stored[:NONCE_LENGTH], stored[NONCE_LENGTH:], context)
    except (InvalidTag, ValueError) as error:
        raise DamagedDataError(
            "kopia.maintenance can't be decrypted: it is damaged, or of another repository; delete the blob: "
            "maintenance then starts as in a new repository, with all its safety times"
        ) from error


__all__ = [
    "DEFAULT_LOG_RETENTION",
    "MANIFEST_LABELS",
    "MAX_RUNS",
    "NONCE_LENGTH",
    "SCHEDULE_CONTEXT",
    "CycleParameters",
    "LogRetention",
    "MaintenanceParameters",
    "MaintenanceSchedule",
    "TaskRun",
    "TaskStatistics",
    "open_with_key",
    "seal_with_key",
]
