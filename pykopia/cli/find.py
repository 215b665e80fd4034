"""`find` and `history`: what Kopia does not have."""

from typing import TYPE_CHECKING

from pykopia.cli import formatting
from pykopia.cli.flags.find import FindOptions, HistoryOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.session import Session
from pykopia.cli.snapshot_sources import parse_source
from pykopia.errors import PathNotInSnapshotError, SnapshotNotFoundError
from pykopia.format import gojson
from pykopia.format.directory import DirectoryEntry

if TYPE_CHECKING:
    from pykopia.format.snapshot_manifest import SnapshotManifest
    from pykopia.snapshot.find import Found
    from pykopia.snapshot.history import Version

_SOME_UNREADABLE = 1


def find(session: Session, options: FindOptions) -> int:
    """Look for files and folders by name in all snapshots; each is printed with the snapshots that have it."""
    with session.open() as repository:
        source = parse_source(repository, options.source) if options.source else None
        search = repository.snapshots.find(
            options.pattern,
            source=source,
            kind=options.type,
            ignore_case=options.ignore_case,
        )
        printer = options.json_list(session) if options.json else None
        before = None
        for found in search:
            if printer is not None:
                printer.add(_found_members(found))
                continue
            if before != found.source:
                session.write(("" if before is None else "\n") + session.name(str(found.source)))
                before = found.source
            session.write(f"  {_described(session, found.entry)} {session.name(found.path or '.')}")
            session.write(f"    {_span(session, found.snapshots[0], found.snapshots[-1], len(found.snapshots))}"
                          f" {session.name(found.reference)}")  # fmt: skip
        if printer is not None:
            printer.end()
        elif before is None:
            session.log.info("Nothing found.")
        return _told_errors(session, search.errors)


def history(session: Session, options: HistoryOptions) -> int:
    """Print the versions of a file or folder over all snapshots.

    Raises:
        SnapshotNotFoundError: There is no snapshot of the path or of a folder above it.
        PathNotInSnapshotError: It is in none of them.
    """
    with session.open() as repository:
        source = parse_source(repository, options.path)
        if not source.path:
            message = f"a path must be given; {options.path!r} has none"
            raise CommandLineError(message)
        versions = repository.snapshots.history(source)
        listed = list(versions)
        errors = versions.errors
        if not listed:
            _fail(session, str(source), errors, covered=versions.covered)
        if options.json:
            printer = options.json_list(session)
            for version in listed:
                printer.add(_version_members(version))
            printer.end()
        else:
            session.write(session.name(str(source)))
            for version in listed:
                state = "not there" if version.entry is None else _described(session, version.entry)
                session.write(f"  {state}")
                reference = "" if version.entry is None else f" {session.name(version.reference)}"
                session.write(f"    {_span(session, version.first, version.last, version.count)}{reference}")
        return _told_errors(session, errors)


def _fail(session: Session, source: str, errors: list[str], *, covered: bool) -> None:
    _told_errors(session, errors)
    if not covered:
        message = f"there is no snapshot of {source} or of a folder above it"
        raise SnapshotNotFoundError(message)
    message = f"{source} is in none of the snapshots of its folders; `pykopia find` looks for it elsewhere"
    raise PathNotInSnapshotError(message)


def _told_errors(session: Session, errors: list[str]) -> int:
    for error in errors:
        session.log.error("%s", error)
    return _SOME_UNREADABLE if errors else 0


def _described(session: Session, entry: DirectoryEntry) -> str:
    size = entry.summary.size if entry.summary is not None else entry.size
    return f"{formatting.mode(entry.type, entry.mode)} {session.size(size):>10} {session.time(entry.mtime_ns)} {entry.object_id}"


def _span(session: Session, first: "SnapshotManifest", last: "SnapshotManifest", count: int) -> str:
    if count == 1:
        return f"in 1 snapshot, {session.time(first.start_time_ns)}:"
    return f"in {count} snapshots, {session.time(first.start_time_ns)} to {session.time(last.start_time_ns)}:"


def _entry_members(entry: DirectoryEntry) -> dict[str, object]:
    return {
        "type": entry.type,
        "mode": f"0{entry.mode:o}",
        "size": entry.summary.size if entry.summary is not None else entry.size,
        "mtime": gojson.format_time(entry.mtime_ns),
        "uid": entry.uid,
        "gid": entry.gid,
        "obj": entry.object_id,
    }


def _found_members(found: "Found") -> dict[str, object]:
    return {
        "source": {"host": found.source.host, "userName": found.source.user_name, "path": found.source.path},
        "path": found.path,
        **_entry_members(found.entry),
        "snapshots": [{"id": each.id, "startTime": gojson.format_time(each.start_time_ns)} for each in found.snapshots],
    }


def _version_members(version: "Version") -> dict[str, object]:
    members: dict[str, object] = {"present": version.entry is not None}
    if version.entry is not None:
        members |= _entry_members(version.entry)
    return members | {
        "firstSnapshot": {"id": version.first.id, "startTime": gojson.format_time(version.first.start_time_ns)},
        "lastSnapshot": {"id": version.last.id, "startTime": gojson.format_time(version.last.start_time_ns)},
        "snapshots": version.count,
        "path": version.inside,
    }


__all__ = ["find", "history"]
