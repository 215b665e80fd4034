"""`copy`: snapshots to another repository."""

from pathlib import Path
from typing import TYPE_CHECKING

from pykopia.api.opening import open_connected
from pykopia.cli.cancellation import cancelable
from pykopia.cli.flags.peers import CopyOptions
from pykopia.cli.progress import UploadProgress
from pykopia.cli.references import snapshots_of
from pykopia.cli.session import Session
from pykopia.errors import NotConnectedError, SnapshotError

if TYPE_CHECKING:
    from pykopia.api.repository import Repository


def copy(session: Session, options: CopyOptions) -> None:
    """Copy single snapshots to another repository; times, tags, pins and descriptions are kept.

    Raises:
        SnapshotError: a snapshot could not be copied.
    """
    with session.open() as origin, _destination(options) as destination:
        chosen = [each for text in options.snapshot for each in snapshots_of(session, origin, text)]
        incomplete = [each for each in chosen if each.incomplete]
        if incomplete:
            message = (
                f"snapshot {incomplete[0].id} is incomplete ({incomplete[0].incomplete}): only complete ones are copied"
            )
            raise SnapshotError(message)
        progress = UploadProgress(session)
        with cancelable(session) as canceled:
            try:
                result = destination.snapshots.migrate(
                    origin,
                    snapshots=chosen,
                    policies=False,
                    parallel=options.parallel or None,
                    progress=progress,
                    cancel=canceled,
                )
            finally:
                progress.finish()
        place = destination.storage.display_name
    session.log.info(
        "Copied %d snapshots to %s; %d were there already.", len(result.migrated), place, len(result.present)
    )
    if result.errors:
        message = f"{len(result.errors)} of {len(chosen)} snapshots could not be copied; the lines above say why"
        raise SnapshotError(message)


def _destination(options: CopyOptions) -> "Repository":
    path = Path(options.to_config)
    if options.to_password:
        return open_connected(path, options.to_password)
    try:
        return open_connected(path)
    except NotConnectedError as error:
        message = f"the password of the repository of {path} is not known: give --to-password ({error})"
        raise NotConnectedError(message) from error


__all__ = ["copy"]
