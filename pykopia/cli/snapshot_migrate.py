"""`snapshot migrate`."""

from pathlib import Path
from typing import TYPE_CHECKING

from pykopia.api.opening import open_connected
from pykopia.cli import passwords
from pykopia.cli.cancellation import cancelable
from pykopia.cli.flags.snapshot_migrate import MigrateOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.progress import UploadProgress
from pykopia.cli.session import Session
from pykopia.cli.snapshot_sources import parse_source
from pykopia.errors import ContradictedViewError, NotConnectedError, SnapshotError

if TYPE_CHECKING:
    from pykopia.api.repository import Repository


def migrate(session: Session, options: MigrateOptions) -> None:
    """Copy snapshots from another repository.

    Raises:
        CommandLineError: No sources are given.
        SnapshotError: A snapshot could not be copied.
        DamagedDataError: A part of the other repository can't be read; what can be seen was copied.
        ContradictedViewError: Storage and index of the other repository contradict each other; what can be seen was copied.
    """
    if not (options.all or options.sources):
        message = "must specify either --all or --sources"
        raise CommandLineError(message)
    with _origin(session, options) as origin, session.open() as repository:
        source_name = origin.storage.display_name
        sources = [parse_source(origin, text) for text in options.sources] or None
        progress = UploadProgress(session)
        with cancelable(session) as canceled:
            try:
                result = repository.snapshots.migrate(
                    origin,
                    sources,
                    latest_only=options.latest_only,
                    policies=options.policies,
                    overwrite_policies=options.overwrite_policies,
                    apply_ignore_rules=options.apply_ignore_rules,
                    parallel=options.parallel if options.parallel > 1 else None,
                    progress=progress,
                    cancel=canceled,
                )
            finally:
                progress.finish()
    session.log.info(
        "Migration finished: %d snapshots copied, %d were here already.", len(result.migrated), len(result.present)
    )
    if result.errors:
        message = f"{len(result.errors)} snapshots could not be copied; the lines above tell which and why"
        raise SnapshotError(message)
    if result.damaged:
        raise type(result.damaged[0])(
            "what can be seen in the other repository was copied, but there may be other snapshots: "
            + "; ".join(map(str, result.damaged))
        )
    if result.contradictions:
        what = "vouch for this migration, the other repository may have other snapshots"
        raise ContradictedViewError(what, source_name, result.contradictions)


def _origin(session: Session, options: MigrateOptions) -> "Repository":
    """Open the other repository: with the password kept beside its connection file, else with the one given."""
    path = Path(options.source_config)
    try:
        return open_connected(path)
    except NotConnectedError:
        return open_connected(path, passwords.for_opening(session))


__all__ = ["migrate"]
