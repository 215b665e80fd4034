"""`list` (`ls`), `show` (`cat`)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pykopia.cli import formatting
from pykopia.cli.flags.objects import ListOptions, ShowOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.references import entry_of
from pykopia.cli.session import Session
from pykopia.format.directory import DirectoryEntry, with_total
from pykopia.snapshot.trail import Trail

if TYPE_CHECKING:
    from pykopia.api.repository import Repository
    from pykopia.format.directory import Directory

_PIECE = 1 << 20


def list_folder(session: Session, options: ListOptions) -> None:
    """List a folder of a snapshot."""
    with session.open() as repository:
        entry = entry_of(session, repository, options.object_path)
        if entry.type != "d":
            message = f"{options.object_path} is not a folder; `pykopia show` prints files"
            raise CommandLineError(message)
        prefix = "" if options.long else options.object_path.rstrip("/") + "/"
        _Lister(session, repository, options).folder(entry, prefix)


class _Lister:
    def __init__(self, session: Session, repository: "Repository", options: ListOptions) -> None:
        self._session, self._repository, self._options = session, repository, options

    def folder(self, folder: DirectoryEntry, prefix: str) -> None:
        """List a folder, without recursion: trees may be deep."""
        objects = self._repository.objects
        trail = Trail(objects, folder)
        entered: DirectoryEntry | None = folder
        levels: list[tuple[Directory, Iterator[DirectoryEntry], str]] = []
        while entered is not None or levels:
            if entered is not None:
                trail.enter(len(levels), entered.object_id)
                directory = objects.directory(entered.object_id)
                levels.append((directory, iter(directory.entries), prefix))
                entered = None
            directory, rest, prefix = levels[-1]
            for entry in rest:
                self._session.write(self._line(entry, prefix))
                if self._options.recursive and entry.type == "d":
                    entered, prefix = entry, f"{prefix}{entry.name}/"
                    break
            else:
                self._tell_errors(directory)
                levels.pop()

    def _line(self, entry: DirectoryEntry, prefix: str) -> str:
        options, session = self._options, self._session
        name = session.name(entry.name)
        if options.long or options.recursive:
            name = prefix + name + ("/" if entry.type == "d" else "")
        if options.error_summary and entry.summary is not None and entry.summary.num_failed > 0:
            name += f" ({entry.summary.num_failed} errors)"
        if options.long:
            size = with_total(entry).size
            length = session.size(size) if options.human_readable else str(size)
            mode = formatting.mode(entry.type, entry.mode)
            return f"{mode} {length:>12} {session.time(entry.mtime_ns)} {entry.object_id:<34} {name}"
        return f"{entry.object_id:<34} {name}" if options.show_object_id else name

    def _tell_errors(self, directory: "Directory") -> None:
        summary = directory.summary
        if not self._options.error_summary or summary is None or summary.num_failed == 0:
            return
        session = self._session
        session.tell(f"\nNOTE: Encountered {summary.num_failed} errors while snapshotting this directory:\n\n")
        for error in summary.errors:
            session.tell(f'- Error in "{session.name(error.path)}": {session.name(error.error)}\n')


def show(session: Session, options: ShowOptions) -> None:
    """Print a file of a snapshot; of a folder, its directory object."""
    with session.open() as repository:
        entry = entry_of(session, repository, options.object_path)
        with repository.objects.open(entry.object_id) as file:
            while piece := file.read(_PIECE):
                session.write_bytes(piece)


__all__ = ["list_folder", "show"]
