"""`repository sync-to`."""

from typing import TYPE_CHECKING

from pykopia.cli.flags.repository_sync import SyncFlags
from pykopia.cli.progress import SyncProgress
from pykopia.cli.session import Session
from pykopia.cli.storage_flags import StorageFlags

if TYPE_CHECKING:
    from pykopia.repository.sync import SyncPlan


def sync_to(session: Session, options: StorageFlags) -> None:
    """Copy the repository to another storage, or bring an earlier copy up to date."""
    from pykopia.repository.sync import SyncOptions, sync  # noqa: PLC0415
    from pykopia.storage.opening import open_storage  # noqa: PLC0415

    flags = session.options(SyncFlags)
    log = session.log
    with open_storage(options.connection(session, create=False)) as target, session.open() as repository:
        log.info("Synchronizing repositories:")
        log.info("  Source:      %s", repository.storage.display_name)
        log.info("  Destination: %s", target.display_name)
        if not flags.delete:
            log.info("NOTE: By default no BLOBs are deleted, pass --delete to allow it.")
        log.info("Looking for BLOBs to synchronize...")
        told = _Told(session)
        done = sync(
            repository.storage,
            target,
            SyncOptions(
                update=flags.update,
                delete=flags.delete,
                dry_run=flags.dry_run,
                parallel=flags.parallel or 1,
                times=flags.times,
                must_exist=flags.must_exist,
            ),
            planned=told.plan,
            progress=told.progress,
        )
        told.progress.finish()
    if not flags.dry_run:
        log.info("Copied %d BLOBs (%s), deleted %d.", done.copied, session.size(done.copied_bytes), done.deleted)


class _Told:
    def __init__(self, session: Session) -> None:
        self._session = session
        self.progress = SyncProgress(session)

    def plan(self, plan: "SyncPlan") -> None:
        size, log = self._session.size, self._session.log
        self.progress.total_bytes, self.progress.total_blobs = plan.copy_bytes, len(plan.copy)
        log.info("  Found %d BLOBs to copy (%s)", len(plan.copy), size(plan.copy_bytes))
        log.info(
            "  Found %d BLOBs to delete (%s), %d in sync (%s)",
            len(plan.delete),
            size(plan.delete_bytes),
            plan.in_sync,
            size(plan.in_sync_bytes),
        )


__all__ = ["sync_to"]
