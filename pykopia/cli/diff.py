"""`diff`."""

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pykopia.cli import formatting, jsontext
from pykopia.cli.flags.diff import DiffOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.references import entry_of
from pykopia.cli.session import Session
from pykopia.format.directory import DirectoryEntry, as_compared
from pykopia.snapshot.diff import Difference, DiffStatistics, EntryStatistics

if TYPE_CHECKING:
    from pykopia.api.repository import Repository

_SECOND = 1_000_000_000
_PIECE = 1 << 20


def diff(session: Session, options: DiffOptions) -> None:
    """Compare two folders of snapshots."""
    with session.open() as repository:
        before = _resolved(session, repository, options.object_path1)
        after = _resolved(session, repository, options.object_path2)
        if (before.type == "d") != (after.type == "d"):
            message = "arguments to diff must both be folders or both files"
            raise CommandLineError(message)
        if before.type != "d":
            message = "only folders can be compared; use `pykopia show` to get at files"
            raise CommandLineError(message)
        comparison = repository.snapshots.diff(before, after)
        command = options.diff_command.split() if options.files else []
        for difference in comparison:
            if not options.stats_only:
                session.write(session.escape(describe(difference)))
            if command:
                _run_command(session, repository, command, difference)
        session.write(jsontext.dumps(_statistics(comparison.statistics)), end="")


def _resolved(session: Session, repository: "Repository", reference: str) -> DirectoryEntry:
    """Return what a reference names, a folder below a root as it is compared below the two roots."""
    entry = entry_of(session, repository, reference)
    return as_compared(entry) if "/" in reference.strip("/") else entry


def describe(difference: Difference) -> str:
    """Return the line that reports a difference."""
    path, before, after = difference.path, difference.before, difference.after
    if before is None or after is None:
        entry = before or after
        assert entry is not None
        verb = "added" if before is None else "removed"
        return f"{verb} directory {path}" if entry.type == "d" else f"{verb} file {path} ({entry.size} bytes)"
    if difference.kind == "changed" and (before.type == "d") != (after.type == "d"):
        change = "directory to non-directory" if before.type == "d" else "non-directory to a directory"
        return f"changed {path} from {change}"
    if difference.kind == "changed":
        return f"changed {path} at {_time(after)} (size {before.size} -> {after.size})"
    label, old, new = {
        "modes": ("modes", _mode(before), _mode(after)),
        "sizes": ("sizes", str(before.size), str(after.size)),
        "times": ("modification times", _time(before), _time(after)),
        "owners": ("owner users", str(before.uid), str(after.uid)),
        "groups": ("owner groups", str(before.gid), str(after.gid)),
    }[difference.kind]
    return f"{path} {label} differ: {old} {new}"


def _mode(entry: DirectoryEntry) -> str:
    return formatting.mode(entry.type, entry.mode)


def _time(entry: DirectoryEntry) -> str:
    """Return a time as Go prints it: in UTC, without trailing zeros of the fraction."""
    day, clock = formatting.rfc3339(entry.mtime_ns)[:-1].split("T")
    fraction = f"{entry.mtime_ns % _SECOND:09d}".rstrip("0")
    return f"{day} {clock}{'.' if fraction else ''}{fraction} +0000 UTC"


def _statistics(found: DiffStatistics) -> dict[str, object]:
    return {"fileEntries": _counts(found.files), "directoryEntries": _counts(found.directories)}


def _counts(found: EntryStatistics) -> dict[str, int]:
    return {
        "added": found.added,
        "removed": found.removed,
        "modified": found.modified,
        "sameContentButDifferentMetadata": found.same_content_different_metadata,
        "sameContentButDifferentMode": found.same_content_different_mode,
        "sameContentButDifferentModificationTime": found.same_content_different_time,
        "sameContentButDifferentUserOwner": found.same_content_different_user,
        "sameContentButDifferentGroupOwner": found.same_content_different_group,
    }


def _run_command(session: Session, repository: "Repository", command: list[str], difference: Difference) -> None:
    if difference.kind not in {"added", "removed", "changed"}:
        return
    sides = (("old", difference.before), ("new", difference.after))
    if any(entry is not None and entry.type != "f" for _, entry in sides):
        return
    with tempfile.TemporaryDirectory(prefix="pykopia-diff-") as folder:
        names = []
        for side, entry in sides:
            if entry is None:
                names.append("/dev/null")
                continue
            name = Path(side) / difference.path
            _fetch(repository, entry, Path(folder) / name)
            names.append(str(name))
        try:
            done = subprocess.run([*command, *names], cwd=folder, capture_output=True, check=False)
        except OSError as error:
            message = f"--diff-command {command[0]!r} can't be run: {error.strerror}"
            raise CommandLineError(message) from None
    session.write_bytes(done.stdout + done.stderr)


def _fetch(repository: "Repository", entry: DirectoryEntry, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with repository.objects.open(entry.object_id) as source, target.open("wb") as file:
        while piece := source.read(_PIECE):
            file.write(piece)


__all__ = ["describe", "diff"]
