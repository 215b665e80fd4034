"""`index recover`, `index epoch list`."""

from pykopia import clock
from pykopia.cli import formatting
from pykopia.cli.flags.index_repair import IndexRecoverOptions
from pykopia.cli.session import Session
from pykopia.errors import UsageError
from pykopia.format.epoch import BlobSet, EpochState
from pykopia.ids import BlobID
from pykopia.repository.index_recovery import ASIDE_PREFIX, RecoveryOptions, RecoveryResult, recover_index

_TELL_EVERY = 1.0
"""Seconds between two lines of progress."""


def recover(session: Session, options: IndexRecoverOptions) -> None:
    """List the contents of packs in the index anew."""
    session.require_dangerous_commands()
    with session.open() as repository:
        result = recover_index(
            repository,
            RecoveryOptions(
                blob_ids=tuple(map(BlobID, options.blobs)),
                prefixes=tuple(options.blob_prefixes),
                parallel=options.parallel or 1,
                ignore_errors=options.ignore_errors,
                delete_indexes=options.delete_indexes,
                commit=options.commit,
            ),
            _Progress(session),
        )
    _tell(session, options, result)


def _tell(session: Session, options: IndexRecoverOptions, result: RecoveryResult) -> None:
    log = session.log
    for blob_id, error in result.errors:
        log.error("not recovered: %s: %s", blob_id, error)
    if result.missing_packs:
        log.warning("left out %d entries of packs that are not there", result.missing_packs)
    for blob_id in result.deleted:
        if options.commit:
            log.info("deleted old index blob: %s", blob_id)
        else:
            log.info("would delete old index: %s (pass --commit to approve)", blob_id)
    for blob_id in result.moved_aside:
        if options.commit:
            log.info("moved damaged index blob aside: %s is %s%s now", blob_id, ASIDE_PREFIX, blob_id)
        else:
            log.info("would move damaged index blob aside: %s (pass --commit to approve)", blob_id)
    if not result.contents:
        log.info("No contents recovered.")
    elif options.commit:
        log.info("Recovered %d contents from %d.", result.contents, result.packs)
    else:
        log.info(
            "Found %d contents to recover from %d blobs, but not committed. Re-run with --commit",
            result.contents,
            result.packs,
        )


class _Progress:
    def __init__(self, session: Session) -> None:
        self._log = session.log
        self._next = clock.monotonic() + _TELL_EVERY

    def __call__(self, packs: int, contents: int) -> None:
        if clock.monotonic() >= self._next:
            self._next = clock.monotonic() + _TELL_EVERY
            self._log.info("Recovered %d index entries from %d blobs...", contents, packs)


# ---------------------------------------------------------------------- epochs


def list_epochs(session: Session) -> None:
    """List the epochs of the index.

    Raises:
        UsageError: The repository has none.
    """
    with session.open() as repository:
        if not repository.format.epoch_parameters.enabled:
            message = "epoch manager is not active: this repository keeps its index as format version 1 does"
            raise UsageError(message)
        state = repository.contents.indexes.epoch_state()
    session.write(f"Current Epoch: {state.write_epoch}")
    started = [blob.timestamp_ns for blob in state.markers if blob.blob_id == f"xe{state.write_epoch}"]
    if started:
        session.write(f"Epoch Started  {session.time(started[0])}")
    for epoch in range(state.write_epoch, state.first_after_ranges - 1, -1):
        _write_epoch(session, state, epoch)
    for each in state.ranges:
        session.write(f"{each.first}-{each.last}: range, {len(each.blobs)} blobs, {_size(session, each.blobs)}")


def _write_epoch(session: Session, state: EpochState, epoch: int) -> None:
    compacted = state.singles.get(epoch, ())
    flushed = () if compacted else state.uncompacted.get(epoch, ())
    if flushed:
        first, last = min(blob.timestamp_ns for blob in flushed), max(blob.timestamp_ns for blob in flushed)
        span = formatting.duration(round((last - first) / 1e9) * 1_000_000_000)
        session.write(
            f"{epoch} {session.time(first)} ... {session.time(last)}, {len(flushed)} blobs, "
            f"{_size(session, flushed)}, span {span}"
        )
    if compacted:
        session.write(
            f"{epoch}: {session.time(compacted[0].timestamp_ns)} single-epoch {len(compacted)} blobs, "
            f"{_size(session, compacted)}"
        )


def _size(session: Session, blobs: BlobSet) -> str:
    return session.size(sum(blob.length for blob in blobs))


__all__ = ["list_epochs", "recover"]
