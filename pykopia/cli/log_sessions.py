"""`logs list`, `logs show`, `logs cleanup`: the logs that Kopia clients leave in the repository."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import field

from pykopia import clock
from pykopia.cli import formatting
from pykopia.cli.flags.log_sessions import LogsCleanupOptions, LogSelectionFlags, LogsListOptions, LogsShowOptions
from pykopia.cli.session import Session
from pykopia.dataclass import dataclass
from pykopia.errors import DamagedDataError, NotFoundError
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import LOG_PREFIX
from pykopia.format.maintenance_plan import plan_log_deletion
from pykopia.format.maintenance_schedule import LogRetention
from pykopia.maintenance.blobs import delete_blobs

_SECOND = 1_000_000_000
_MIB = 1 << 20
_PARTS = 8
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(slots=True)
class LogSession:
    """The log of one run of a client: one blob or more."""

    id: str
    start_ns: int
    """Nanoseconds since 1970."""
    end_ns: int
    """Nanoseconds since 1970."""
    segments: list[BlobMetadata] = field(default_factory=list)

    @property
    def total_size(self) -> int:
        """Bytes of all blobs."""
        return sum(blob.length for blob in self.segments)


def sessions_of(blobs: Iterable[BlobMetadata]) -> list[LogSession]:
    """Return the logs that blobs are parts of, oldest first; blobs with names of another form are left out.

    The name is ``_log_TIME_ID_START_END_NUMBER_HASH``, with times in seconds since 1970.
    """
    found: dict[str, LogSession] = {}
    for blob in blobs:
        parts = blob.blob_id.split("_")
        if len(parts) < _PARTS or not (parts[4].isdecimal() and parts[5].isdecimal()):
            continue
        name = f"{parts[2]}_{parts[3]}"
        start, end = int(parts[4]) * _SECOND, int(parts[5]) * _SECOND
        session = found.setdefault(name, LogSession(name, start, end))
        session.start_ns, session.end_ns = min(session.start_ns, start), max(session.end_ns, end)
        session.segments.append(blob)
    for session in found.values():
        session.segments.sort(key=lambda blob: blob.timestamp_ns)
    return sorted(found.values(), key=lambda each: each.segments[0].timestamp_ns)


def selected(sessions: Sequence[LogSession], options: LogSelectionFlags, *, now_ns: int) -> list[LogSession]:
    """Return the logs that flags choose; all when they choose none."""
    chosen = list(sessions)
    if options.all:
        return chosen
    if options.younger_than:
        chosen = [each for each in chosen if now_ns - each.start_ns < options.younger_than]
    if options.older_than:
        chosen = [each for each in chosen if now_ns - each.start_ns > options.older_than]
    return chosen[-options.latest :] if options.latest > 0 else chosen


def list_logs(session: Session, options: LogsListOptions) -> None:
    """List logs: ID, start, duration, size, number of blobs."""
    with session.open() as repository:
        every = sessions_of(repository.storage.list(LOG_PREFIX))
    chosen = selected(every, options, now_ns=clock.now())
    for each in chosen:
        took = formatting.duration(each.end_ns - each.start_ns)
        session.write(
            f"{each.id} {session.time(each.start_ns)} {took} {session.size(each.total_size)} {len(each.segments)}"
        )
    if len(chosen) < len(every):
        session.log.info("NOTE: Listed %d/%d log sessions, pass --all to show all.", len(chosen), len(every))


def show(session: Session, options: LogsShowOptions) -> int:
    """Print logs; the status is 1 when a blob can't be read.

    Raises:
        NotFoundError: there is no such log.
    """
    status = 0
    with session.open() as repository:
        chosen = selected(sessions_of(repository.storage.list(LOG_PREFIX)), options, now_ns=clock.now())
        if options.session_id:
            chosen = [each for each in chosen if each.id in options.session_id]
        if not chosen:
            message = (
                "no logs found; `pykopia logs list --all` shows the logs of this repository, which only Kopia writes"
            )
            raise NotFoundError(message)
        if not options.given and not options.session_id:
            chosen = chosen[-1:]
            session.log.info("Showing the latest log (%s)", session.time(chosen[0].start_ns))
        for blob in (blob for each in chosen for blob in each.segments):
            data = repository.sealer.sealer.open(blob.blob_id, repository.storage.get(blob.blob_id))
            try:
                session.write_bytes(_unpacked(data))
            except zlib.error as error:
                session.log.error("log blob %s can't be expanded: %s", blob.blob_id, error)  # noqa: TRY400
                status = DamagedDataError.exit_code
    return status


def _unpacked(data: bytes) -> bytes:
    return zlib.decompress(data, _GZIP)


def cleanup(session: Session, options: LogsCleanupOptions) -> None:
    """Delete old log blobs."""
    retention = LogRetention(
        max_total_size=options.max_total_size_mb * _MIB, max_count=options.max_count, max_age_ns=options.max_age
    )
    with session.open() as repository:
        repository.check_writable("delete logs")
        plan = plan_log_deletion(repository.storage.list(LOG_PREFIX), retention, now=clock.now())
        if not options.dry_run:
            delete_blobs(repository.storage, [blob.blob_id for blob in plan.delete])
    if not plan.delete:
        session.log.info("No logs found to delete.")
    else:
        session.log.info("%s %d logs.", "Would delete" if options.dry_run else "Deleted", len(plan.delete))


__all__ = ["LogSession", "cleanup", "list_logs", "selected", "sessions_of", "show"]
