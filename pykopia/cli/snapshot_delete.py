"""`snapshot delete`."""

from typing import TYPE_CHECKING

from pykopia.cli.maintenance import maintained
from pykopia.cli.parsing import Options, arguments, flag
from pykopia.cli.session import Session
from pykopia.cli.snapshot_sources import parse_source
from pykopia.errors import SnapshotNotFoundError

if TYPE_CHECKING:
    from pykopia.api.repository import Repository
    from pykopia.format.snapshot_manifest import SnapshotManifest


class DeleteOptions(Options):
    """Flags of `snapshot delete`."""

    id = arguments("Snapshots to delete, by their ID or that of their root; or sources.", required=True)
    all_snapshots_for_source = flag(False, "The arguments are sources: delete all their snapshots.")
    delete = flag(False, "Delete; without this only tell what would be deleted.")
    unsafe_ignore_source = flag(False, "The same as --delete.", hidden=True)


def delete(session: Session, options: DeleteOptions) -> None:
    """Delete snapshots; their data goes with later maintenance."""
    with maintained(session) as repository:
        if options.all_snapshots_for_source:
            chosen = [each for text in options.id for each in _of_source(repository, text)]
        else:
            chosen = [each for text in options.id for each in repository.snapshots.with_id_or_root(text)]
        if not (options.delete or options.unsafe_ignore_source):
            for manifest in chosen:
                session.log.info("Would delete %s (pass --delete to confirm)", _described(session, manifest))
            return
        for manifest in chosen:
            session.log.info("Deleting %s...", _described(session, manifest))
        repository.snapshots.delete_all([manifest.id for manifest in chosen])


def _described(session: Session, manifest: "SnapshotManifest") -> str:
    return f"snapshot {manifest.id} of {manifest.source} at {session.time(manifest.start_time_ns)}"


def _of_source(repository: "Repository", text: str) -> "list[SnapshotManifest]":
    source = parse_source(repository, text)
    found = repository.snapshots.list(source)
    if not found:
        message = f"no snapshots for source {source}"
        raise SnapshotNotFoundError(message)
    return found


__all__ = ["DeleteOptions", "delete"]
