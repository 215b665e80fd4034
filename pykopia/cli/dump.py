"""`dump`: a file of a snapshot, or a folder as an archive, to standard output."""

from typing import TYPE_CHECKING, cast

from pykopia.cli.cancellation import cancelable
from pykopia.cli.flags.peers import DumpOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.progress import RestoreProgress
from pykopia.cli.references import entry_of
from pykopia.cli.session import Session
from pykopia.cli.streams import OutputClosed, is_closed_pipe
from pykopia.errors import PykopiaError

if TYPE_CHECKING:
    from typing import BinaryIO

    from pykopia.api.repository import Repository
    from pykopia.format.directory import DirectoryEntry
    from pykopia.snapshot.export import ExportFormat


def dump(session: Session, options: DumpOptions) -> None:
    """Write a file as it is, or a folder as an archive.

    Raises:
        CommandLineError: an archive would go to a terminal.
        RestoreError: an entry can't be read.
    """
    with session.open() as repository:
        entry = entry_of(session, repository, options.object_path)
        if options.output:
            with open(options.output, "xb") as file:
                _write(session, repository, entry, file, options)
            return
        if entry.type == "d" and session.stdout.isatty():
            message = (
                f"a {options.format} archive is not for a terminal: send it to a program or file, or give --output"
            )
            raise CommandLineError(message)
        session.flush()
        _write(session, repository, entry, session.binary_stdout, options)


def _write(
    session: Session, repository: "Repository", entry: "DirectoryEntry", sink: "BinaryIO", options: DumpOptions
) -> None:
    progress = RestoreProgress(session)
    with cancelable(session) as canceled:
        try:
            if entry.type == "d":
                kind = cast("ExportFormat", options.format)
                repository.snapshots.export(entry, sink, format=kind, progress=progress, cancel=canceled)
            else:
                repository.snapshots.restore(entry, sink, progress=progress, cancel=canceled)
        except PykopiaError as error:
            raise OutputClosed if is_closed_pipe(error) else error from error
        finally:
            progress.finish()


__all__ = ["dump"]
