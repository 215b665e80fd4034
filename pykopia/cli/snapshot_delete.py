"""`snapshot delete`."""

from typing import TYPE_CHECKING

from pykopia.cli.flags.snapshot_delete import DeleteOptions
from pykopia.cli.maintenance import maintained
from pykopia.cli.references import snapshots_of, snapshots_of_source
from pykopia.cli.session import Session

if TYPE_CHECKING:
    from pykopia.format.snapshot_manifest import SnapshotManifest


def delete(session: Session, options: DeleteOptions) -> None:
    """Delete snapshots; their data goes with later maintenance."""
    with maintained(session) as repository:
        if options.all_snapshots_for_source:
            chosen = [each for text in options.id for each in snapshots_of_source(repository, text)]
        else:
            chosen = [each for text in options.id for each in snapshots_of(session, repository, text)]
        if not (options.delete or options.unsafe_ignore_source):
            for manifest in chosen:
                session.log.info("Would delete %s (pass --delete to confirm)", _described(session, manifest))
            return
        for manifest in chosen:
            session.log.info("Deleting %s...", _described(session, manifest))
        repository.snapshots.delete_all([manifest.id for manifest in chosen])


def _described(session: Session, manifest: "SnapshotManifest") -> str:
    return f"snapshot {manifest.id} of {manifest.source} at {session.time(manifest.start_time_ns)}"


__all__ = ["delete"]
