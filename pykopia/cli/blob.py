"""`blob list`, `blob show`, `blob stats`, `blob delete`."""

from collections.abc import Callable, Iterable
from operator import attrgetter

from pykopia.cli import jsontext
from pykopia.cli.flags.blob import BlobDeleteOptions, BlobListOptions, BlobShowOptions, BlobStatsOptions
from pykopia.cli.histogram import Histogram
from pykopia.cli.session import Session
from pykopia.format import gojson
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import CLEANUP_LOG_PREFIX, COMPACTION_LOG_PREFIX, EPOCH_PREFIX, INDEX_PREFIX
from pykopia.ids import BlobID

_NOT_DATA = (INDEX_PREFIX, EPOCH_PREFIX, "_log", "kopia.")
"""Prefixes of blobs that hold indexes, logs and the format: all that `--data-only` leaves out."""
_SEALED = ("_", INDEX_PREFIX, COMPACTION_LOG_PREFIX, CLEANUP_LOG_PREFIX)
_SEALED_JSON = (COMPACTION_LOG_PREFIX, CLEANUP_LOG_PREFIX)


def list_blobs(session: Session, options: BlobListOptions) -> None:
    """List blobs."""
    with session.open() as repository:
        found = (blob for blob in repository.storage.list(options.prefix) if _included(blob, options))
        blobs = sorted(found, key=attrgetter("blob_id"))
        if not options.json:
            for blob in blobs:
                session.write(f"{blob.blob_id:<70} {blob.length:>10} {session.time(blob.timestamp_ns)}")
            return
        printer = options.json_list(session)
        for blob in blobs:
            printer.add(as_json(blob))
        printer.end()


def as_json(blob: BlobMetadata) -> dict[str, object]:
    """Return what Kopia's JSON says of a blob."""
    return {"id": blob.blob_id, "length": blob.length, "timestamp": gojson.format_time(blob.timestamp_ns)}


def _included(blob: BlobMetadata, options: BlobListOptions) -> bool:
    if options.data_only and blob.blob_id.startswith(_NOT_DATA):
        return False
    if options.max_size and blob.length > options.max_size:
        return False
    if options.min_size and blob.length < options.min_size:
        return False
    return not blob.blob_id.startswith(tuple(options.exclude_prefix))


def show(session: Session, options: BlobShowOptions) -> None:
    """Print blobs."""
    with session.open() as repository:
        for name in options.blobID:
            blob_id = BlobID(name)
            data = repository.storage.get(blob_id)
            if options.decrypt and name.startswith(_SEALED):
                data = repository.sealer.sealer.open(blob_id, data)
                if name.startswith(_SEALED_JSON):
                    data = jsontext.indent(data.decode()).encode()
            session.write_bytes(data)


def stats(session: Session, options: BlobStatsOptions) -> None:
    """Count blobs by size."""
    with session.open() as repository:
        histogram = Histogram(blob.length for blob in repository.storage.list(options.prefix))
    size: Callable[[int], str] = str if options.raw else session.size
    session.write(f"Count: {histogram.count}")
    session.write(f"Total: {size(histogram.total)}")
    if histogram.count:
        session.write(f"Average: {size(histogram.total // histogram.count)}")
        write_histogram(session, histogram, size)


def write_histogram(session: Session, histogram: Histogram, size: Callable[[int], str]) -> None:
    """Print how many there are of each size class."""
    session.write("Histogram:\n")
    for low, high, number, total in histogram.classes():
        session.write(f"{number:>9} between {size(low)} and {size(high)} (total {size(total)})")


def delete(session: Session, options: BlobDeleteOptions) -> None:
    """Delete blobs; what refers to them is lost."""
    session.require_dangerous_commands()
    with session.open() as repository:
        repository.check_writable("delete blobs")
        _delete_all(repository.storage.delete, options.blobIDs)


def _delete_all(delete_one: Callable[[BlobID], None], names: Iterable[str]) -> None:
    for name in names:
        delete_one(BlobID(name))


__all__ = ["as_json", "delete", "list_blobs", "show", "stats", "write_histogram"]
