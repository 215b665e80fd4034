"""Index blobs of format version 1: which count, and how they are compacted and cleaned up (format 02 §8).

``n`` blobs hold the index. An ``m`` blob logs a compaction: its inputs no longer count once all its outputs are there.
An ``l`` blob logs that ``m`` blobs may go some time later. All ages compare storage times with storage times. Blobs come
and go in an order that makes a crash at any point harmless: outputs, then the ``m`` blob, then deletions of inputs.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, Self, TypeVar

from pykopia.dataclass import dataclass
from pykopia.errors import DamagedDataError, DamagedIndexError
from pykopia.format import gojson, json_values
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer

SETTLE_TIME_NS: Final = 3600 * 1_000_000_000
"""Nanoseconds that deleting waits for readers and slow listings; 0 when maintenance runs without safety."""

MAX_SMALL_BLOBS: Final = 8
"""Index blobs from which on maintenance compacts."""

_VERY_SMALL_FRACTION: Final = 20

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactionLog:
    """Compaction log in an ``m`` blob: the outputs hold all entries of the inputs."""

    inputs: tuple[BlobMetadata, ...]
    outputs: tuple[BlobMetadata, ...]

    @classmethod
    def from_json(cls, data: Buffer) -> Self:
        """Read the decrypted content of an ``m`` blob.

        Raises:
            DamagedIndexError: It is not the log of a compaction.
        """
        return _read(
            data,
            "compaction",
            lambda members: cls(
                inputs=_list_of(members.get("inputMetadata"), _read_metadata),
                outputs=_list_of(members.get("outputMetadata"), _read_metadata),
            ),
        )

    def to_json(self) -> bytes:
        """Return the log as Kopia writes it; a list without blobs is ``null``."""
        return gojson.dumps(
            {
                "inputMetadata": [_write_metadata(blob) for blob in self.inputs] or None,
                "outputMetadata": [_write_metadata(blob) for blob in self.outputs] or None,
            }
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanupLog:
    """Cleanup log in an ``l`` blob: compaction logs whose inputs were deleted and which are to be deleted next."""

    logs: tuple[BlobID, ...]
    """``m`` blobs."""
    scheduled_ns: int
    """Storage time of the compaction that wrote this: nanoseconds since 1970."""

    @classmethod
    def from_json(cls, data: Buffer) -> Self:
        """Read the decrypted content of an ``l`` blob.

        Raises:
            DamagedIndexError: It is not the log of a cleanup.
        """
        return _read(
            data,
            "cleanup",
            lambda members: cls(
                logs=_list_of(members.get("blobIDs"), _read_blob_id),
                scheduled_ns=_read_time(members.get("cleanupScheduleTime")),
            ),
        )

    def to_json(self) -> bytes:
        """Return the log as Kopia writes it."""
        return gojson.dumps({"blobIDs": list(self.logs), "cleanupScheduleTime": gojson.format_time(self.scheduled_ns)})


def active_blobs(listed: Iterable[BlobID], logs: Iterable[CompactionLog]) -> list[BlobID]:
    """Return the index blobs that count, in the order of the listing.

    Args:
        listed: Names of all ``n`` blobs.
        logs: All compaction logs that could be read.
    """
    names = list(dict.fromkeys(listed))
    present = set(names)
    gone = {
        blob.blob_id for log in logs if all(output.blob_id in present for output in log.outputs) for blob in log.inputs
    }
    return [name for name in names if name not in gone]


def choose_compaction(
    active: Iterable[BlobMetadata], *, max_pack_size: int, max_small_blobs: int, all_indexes: bool = False
) -> list[BlobMetadata]:
    """Return the active index blobs that are worth merging; none when they are too few.

    One blob alone is not worth it, unless entries have to be dropped from it.

    Args:
        active: Index blobs that count.
        max_pack_size: Bytes; longer index blobs are left alone.
        max_small_blobs: Fewer candidates than this are left alone.
        all_indexes: Whether long index blobs are candidates too; dropping entries takes this.
    """
    candidates = [blob for blob in active if all_indexes or blob.length <= max_pack_size]
    if len(candidates) < max_small_blobs:
        return []
    very_small = [blob for blob in candidates if blob.length < max_pack_size // _VERY_SMALL_FRACTION]
    others = len(candidates) - len(very_small)
    if len(very_small) > len(candidates) // 2 and others + 1 < max_small_blobs:
        return very_small
    return candidates


@dataclass(frozen=True, kw_only=True, slots=True)
class LegacyCleanup:
    """Blobs to delete and to write after a compaction, in this order."""

    inputs: tuple[BlobID, ...]
    """Index blobs to delete first: without their log they would count again."""
    log: CleanupLog | None
    """Then to be written as an ``l`` blob, unless None."""


def plan_cleanup(
    listed: Collection[BlobID],
    logs: Mapping[BlobMetadata, CompactionLog],
    *,
    compacted_ns: int,
    settle_time_ns: int = SETTLE_TIME_NS,
) -> LegacyCleanup:
    """Return what is due after a compaction.

    A log whose outputs are lost, rather than compacted themselves, is left alone: its inputs are all there is.

    Args:
        listed: Names of all ``n`` blobs.
        logs: All ``m`` blobs and what they say; those that vanished before they were read are left out.
        compacted_ns: Storage time of the ``m`` blob that was just written: nanoseconds since 1970.
        settle_time_ns: Nanoseconds that inputs live on after their compaction.
    """
    accounted_for = {*listed, *(blob.blob_id for log in logs.values() for blob in log.inputs)}
    due = {
        blob: log
        for blob, log in logs.items()
        if blob.timestamp_ns <= compacted_ns - settle_time_ns
        and all(output.blob_id in accounted_for for output in log.outputs)
    }
    oldest_first = sorted(due, key=lambda blob: blob.timestamp_ns)  # or an older log would lose its outputs too early
    inputs = dict.fromkeys(blob.blob_id for log in oldest_first for blob in due[log].inputs)
    log = CleanupLog(logs=tuple(blob.blob_id for blob in due), scheduled_ns=compacted_ns) if due else None
    return LegacyCleanup(inputs=tuple(inputs), log=log)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogCleanup:
    """Logs to delete, in this order."""

    compaction_logs: tuple[BlobID, ...]
    cleanup_logs: tuple[BlobID, ...]


def plan_log_cleanup(
    listed: Collection[BlobMetadata], logs: Mapping[BlobID, CleanupLog], *, settle_time_ns: int = SETTLE_TIME_NS
) -> LogCleanup:
    """Return the logs that have served; this is due at every run, also when nothing was compacted.

    Args:
        listed: All ``l`` blobs. The newest of them tells the time, so it stays until a later one is written.
        logs: What they say; those that vanished before they were read are left out.
        settle_time_ns: Nanoseconds that logs live on after their inputs.
    """
    now = max((blob.timestamp_ns for blob in listed), default=0)
    due = {blob_id: log for blob_id, log in logs.items() if now - log.scheduled_ns >= settle_time_ns}
    return LogCleanup(
        compaction_logs=tuple(dict.fromkeys(name for log in due.values() for name in log.logs)),
        cleanup_logs=tuple(due),
    )


def _read(data: Buffer, kind: str, build: Callable[[Mapping[str, object]], T]) -> T:
    """Return what ``build`` makes of the members of a log.

    Raises:
        DamagedIndexError: It is no log of this kind.
    """
    try:
        return build(json_values.members(gojson.loads(data, first_only=True)))
    except DamagedDataError as error:
        raise DamagedIndexError(f"reading the log of an index {kind}: {error}") from error


def _list_of(value: object, read: Callable[[object], T]) -> tuple[T, ...]:
    return () if value is None else tuple(map(read, json_values.values(value)))


def _read_blob_id(value: object) -> BlobID:
    return BlobID(json_values.text(value))


def _read_time(value: object) -> int:
    return gojson.ZERO_TIME_NS if value is None else gojson.parse_time(json_values.text(value))


def _read_metadata(value: object) -> BlobMetadata:
    members = json_values.members(value)
    return BlobMetadata(
        blob_id=_read_blob_id(members.get("id")),
        length=json_values.integer(members.get("length", 0)),
        timestamp_ns=_read_time(members.get("timestamp")),
    )


def _write_metadata(blob: BlobMetadata) -> Mapping[str, object]:
    return {"id": blob.blob_id, "length": blob.length, "timestamp": gojson.format_time(blob.timestamp_ns)}


__all__ = [
    "MAX_SMALL_BLOBS",
    "SETTLE_TIME_NS",
    "CleanupLog",
    "CompactionLog",
    "LegacyCleanup",
    "LogCleanup",
    "active_blobs",
    "choose_compaction",
    "plan_cleanup",
    "plan_log_cleanup",
]
