"""`index list`, `index inspect`."""

from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING

from pykopia.cli.blob import as_json
from pykopia.cli.flags.index import IndexInspectOptions, IndexListOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.session import Session
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID

if TYPE_CHECKING:
    from pykopia.api.repository import Repository

_SECOND = 1_000_000_000
_SORT_KEYS = {"time": "metadata.timestamp_ns", "size": "metadata.length", "name": "metadata.blob_id"}


def list_indexes(session: Session, options: IndexListOptions) -> None:
    """List index blobs."""
    with session.open() as repository:
        blobs = [blob for blob in repository.contents.indexes.blobs() if options.superseded or not blob.superseded]
    blobs.sort(key=attrgetter(_SORT_KEYS[options.sort]))
    if options.json:
        printer = options.json_list(session)
        for blob in blobs:
            printer.add(as_json(blob.metadata) | {"Superseded": None})
        printer.end()
        return
    for blob in blobs:
        metadata = blob.metadata
        when = session.time(metadata.timestamp_ns, milliseconds=True)
        session.write(f"{metadata.blob_id:<60} {metadata.length:>10} {when} []")
    if options.summary:
        session.write(f"total {len(blobs)} indexes")


def inspect(session: Session, options: IndexInspectOptions) -> None:
    """Print the entries of index blobs."""
    if not (options.all or options.active or options.blobs):
        message = "one of --all, --active and a list of blobs must be given"
        raise CommandLineError(message)
    wanted = frozenset(options.content_id)
    with session.open() as repository:
        for metadata in _chosen(repository, options):
            when = session.time(metadata.timestamp_ns, milliseconds=True)
            for entry in repository.contents.indexes.stored.open(metadata.blob_id).entries():
                if wanted and entry.content_id not in wanted:
                    continue
                state = "deleted" if entry.deleted else "created"
                made = session.time(entry.timestamp * _SECOND, milliseconds=True)
                session.write(
                    f"{when} {metadata.blob_id} {entry.content_id} {state} {made} "
                    f"{entry.pack_blob} {entry.pack_offset} {entry.packed_length}"
                )


def _chosen(repository: "Repository", options: IndexInspectOptions) -> Iterable[BlobMetadata]:
    if not (options.all or options.active):
        return [repository.storage.metadata(BlobID(name)) for name in options.blobs]
    return [blob.metadata for blob in repository.contents.indexes.blobs() if options.all or not blob.superseded]


__all__ = ["inspect", "list_indexes"]
