"""From what a user types to snapshots and their entries.

Commands take a snapshot's ID, the ID of its root or of any object, a unique beginning of the first two, ``latest``,
``latest~2``, ``SOURCE@latest``, ``SOURCE@2026-08-01``, a time as `snapshot list` prints it, or a path, which stands for
the newest snapshot that has it. All but the last may go on with ``/path/inside``.
"""

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from pykopia import clock
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.session import Session
from pykopia.cli.snapshot_sources import containing, parse_source
from pykopia.errors import InvalidIDError, PathNotInSnapshotError, SnapshotNotFoundError
from pykopia.format.object_id import parse_object_id
from pykopia.format.source import SNAPSHOT_LABELS
from pykopia.format.time_spec import latest_start
from pykopia.snapshot.resolve import SHORTEST_BEGINNING, nth_latest
from pykopia.snapshot.source_path import path_inside

if TYPE_CHECKING:
    from pykopia.api.repository import Repository
    from pykopia.format.directory import DirectoryEntry
    from pykopia.format.snapshot_manifest import SnapshotManifest
    from pykopia.format.source import SourceInfo

_LATEST = re.compile(r"latest(?:~(\d{1,6}))?")
_TIME = re.compile(r"yesterday|last-month|last-year|[0-9a-z-]+-ago|\d{4}-\d{1,2}(?:-\d{1,2}(?:[ T][0-9:. A-Z+-]*)?)?")
_SECOND = 1_000_000_000


class Choice(NamedTuple):
    """A snapshot that was chosen, and a path inside."""

    snapshot: "SnapshotManifest"
    inside: str

    @property
    def reference(self) -> str:
        """Reference of the library."""
        return f"{self.snapshot.id}/{self.inside}".rstrip("/")


def entry_of(
    session: Session, repository: "Repository", text: str, *, consistent_attributes: bool = False
) -> "DirectoryEntry":
    """Return the entry that a text names; what it stands for is logged unless it is a whole ID.

    Raises:
        SnapshotNotFoundError: it names no snapshot or object, or several.
        PathNotInSnapshotError: there is no such path inside.
    """
    return repository.snapshots.resolve(
        reference_of(session, repository, text), consistent_attributes=consistent_attributes
    )


def reference_of(session: Session, repository: "Repository", text: str) -> str:
    """Return a text with a whole ID in the place of what stands for one."""
    choice = choose(session, repository, text)
    return text if choice is None else choice.reference


def snapshots_of(session: Session, repository: "Repository", text: str) -> "list[SnapshotManifest]":
    """Return the snapshots that a text names: one, or all that have a root.

    Raises:
        SnapshotNotFoundError: it names none.
        CommandLineError: it names something inside a snapshot.
    """
    choice = choose(session, repository, text, paths=False)
    if choice is None:
        return list(repository.snapshots.with_id_or_root(text))
    if choice.inside:
        message = f"{text!r} is a path inside a snapshot, and a whole snapshot is needed: leave the path out"
        raise CommandLineError(message)
    return [choice.snapshot]


def snapshots_of_source(repository: "Repository", text: str) -> "list[SnapshotManifest]":
    """Return the snapshots of a source.

    Raises:
        SnapshotNotFoundError: it has none.
    """
    source = parse_source(repository, text)
    found = repository.snapshots.list(source)
    if not found:
        hint = source_hint(repository, source) or "`pykopia snapshot list --all` shows all sources"
        raise SnapshotNotFoundError(f"no snapshots for source {source}; {hint}")
    return found


def snapshot_of(session: Session, repository: "Repository", text: str) -> "SnapshotManifest":
    """Return the snapshot that a text names: the newest of several with one root.

    Raises:
        SnapshotNotFoundError: it names none.
    """
    choice = choose(session, repository, text)
    if choice is not None and not choice.inside:
        return choice.snapshot
    return max(snapshots_of(session, repository, text), key=lambda each: each.start_time_ns)


def choose(session: Session, repository: "Repository", text: str, *, paths: bool = True) -> Choice | None:
    """Return the snapshot that a text stands for, None for a whole ID, which the library takes as it is.

    Args:
        session: the run of the program.
        repository: the open repository.
        text: what was typed.
        paths: whether a path, and a source without ``@``, may stand for the newest snapshot that has it.

    Raises:
        SnapshotNotFoundError: nothing fits, or several do.
    """
    head = text.partition("/")[0]
    if head and _is_whole(repository, head):
        return None
    snapshots = repository.snapshots.list()
    if any(each.root_object_id == head for each in snapshots if each.root_entry is not None):
        return None
    choice = _choose(session, repository, text, snapshots, paths=paths)
    if choice is not None:
        _report(session, text, choice)
        return choice
    raise SnapshotNotFoundError(_unknown(repository, text, snapshots, paths=paths))


def _choose(
    session: Session, repository: "Repository", text: str, snapshots: "list[SnapshotManifest]", *, paths: bool
) -> Choice | None:
    head, _, rest = text.partition("/")
    if found := _LATEST.fullmatch(head):
        return Choice(nth_latest(snapshots, int(found[1] or 0)), rest)
    source, at, spec = text.rpartition("@")
    spec, _, inside = spec.partition("/")
    if at and source and (_LATEST.fullmatch(spec) or _TIME.fullmatch(spec)):
        return _of_source(session, repository, parse_source(repository, source), spec, inside)
    if _TIME.fullmatch(head):
        return _at_time(session, head, rest, snapshots)
    short = _shortened(head, snapshots)
    if short is not None:
        return Choice(short, rest)
    if paths and is_path(text):
        return _of_source(session, repository, parse_source(repository, text), "latest", "")
    return None


def is_selector(text: str) -> bool:
    """Return whether a text chooses a snapshot by its age: ``latest~2``, ``SOURCE@latest``, a time."""
    if os.path.lexists(text):
        return False
    source, at, spec = text.rpartition("@")
    chosen = (spec if at and source else text).partition("/")[0]
    return bool(_LATEST.fullmatch(chosen) or _TIME.fullmatch(chosen))


def is_path(text: str) -> bool:
    """Return whether a text is a path or a source rather than an ID."""
    return text.startswith(("/", "./", "../", "~")) or text in {".", ".."} or ":" in text or os.path.lexists(text)


def _is_whole(repository: "Repository", head: str) -> bool:
    """Return whether a text is the ID of a snapshot or object; snapshots are not decoded for that."""
    if any(each.id == head for each in repository.manifests.find(SNAPSHOT_LABELS)):
        return True
    try:
        parsed = parse_object_id(head)
    except InvalidIDError:
        return False
    return bool(parsed.content_id) and repository.objects.exists(parsed.to_string())


def _shortened(head: str, snapshots: "list[SnapshotManifest]") -> "SnapshotManifest | None":
    if len(head) < SHORTEST_BEGINNING:
        return None
    found = [
        each
        for each in snapshots
        if each.id.startswith(head) or (each.root_entry and each.root_entry.object_id.startswith(head))
    ]
    if len({each.id if each.id.startswith(head) else each.root_object_id for each in found}) > 1:
        message = f"the IDs of {len(found)} snapshots begin with {head!r}; give more of the ID"
        raise SnapshotNotFoundError(message)
    return max(found, key=lambda each: each.start_time_ns) if found else None


def _of_source(session: Session, repository: "Repository", source: "SourceInfo", spec: str, inside: str) -> Choice:
    """Return the snapshot of a source, or of a folder above it, that a time or ``latest~N`` chooses."""
    candidates = [each for each in containing(repository, source) if not each.incomplete]
    latest = _LATEST.fullmatch(spec)
    if latest is None:
        limit = latest_start(spec, now_ns=clock.now(), local=session.zone)
        candidates = [each for each in candidates if each.start_time_ns < limit]
    left = int(latest[1] or 0) if latest else 0
    for manifest in sorted(candidates, key=lambda each: (each.start_time_ns, each.end_time_ns), reverse=True):
        path = "/".join(filter(None, (path_inside(manifest, source.path) if source.path else "", inside)))
        choice = Choice(manifest, path)
        try:
            repository.snapshots.resolve(choice.reference)
        except PathNotInSnapshotError:
            continue
        if not left:
            return choice
        left -= 1
    message = f"no snapshot has {source} {'so far back' if latest else 'at that time'}"
    if latest and not int(latest[1] or 0):
        message = f"no snapshot has {source}{'/' if inside else ''}{inside}"
    raise SnapshotNotFoundError(f"{message}; {_nearest_source(repository, source)}")


def _at_time(session: Session, spec: str, inside: str, snapshots: "list[SnapshotManifest]") -> Choice:
    """Return the snapshot that began in the second, minute, … that was typed, or the last one before its end."""
    limit = latest_start(spec, now_ns=clock.now(), local=session.zone)
    before = [each for each in snapshots if not each.incomplete and each.start_time_ns < limit]
    exact = [each for each in before if each.start_time_ns >= limit - _SECOND]
    if len(exact) == 1:
        return Choice(exact[0], inside)
    sources = sorted({str(each.source) for each in before})
    if len(sources) > 1:
        message = (
            f"{spec!r} is unclear: snapshots of {len(sources)} sources are that old; name one, as {sources[0]}@{spec}"
        )
        raise SnapshotNotFoundError(message)
    if not before:
        message = f"no snapshot is as old as {spec!r}; `pykopia snapshot list --all` shows when snapshots were taken"
        raise SnapshotNotFoundError(message)
    return Choice(max(before, key=lambda each: each.start_time_ns), inside)


def _report(session: Session, text: str, choice: Choice) -> None:
    snapshot = choice.snapshot
    head = text.partition("/")[0]
    short = head and (snapshot.id.startswith(head) or snapshot.root_object_id.startswith(head))
    what = f"{head} is short for" if short else f"{text} means"
    if not short and not is_selector(text):
        what = f"{text}: the newest snapshot that has this path is"
    session.log.info(
        "%s snapshot %s of %s at %s", what, snapshot.id, snapshot.source, session.time(snapshot.start_time_ns)
    )


def _unknown(repository: "Repository", text: str, snapshots: "list[SnapshotManifest]", *, paths: bool) -> str:
    head = text.partition("/")[0]
    if not paths and is_path(text):
        return f"{text!r} is a path, and a snapshot is needed here; `pykopia snapshot list {text}` shows the IDs"
    indexes = repository.contents.indexes
    if not indexes.active_count or indexes.damaged:
        return (
            f"no snapshot or object has the ID {head!r}. The index of the repository is empty or damaged: `pykopia index "
            "recover` shows what the packs hold"
        )
    if not snapshots:
        return f"no snapshot or object has the ID {head!r}: the repository has no snapshots"
    from difflib import get_close_matches  # noqa: PLC0415 -- only mistakes pay for it

    known = [each.id for each in snapshots] + [each.root_object_id for each in snapshots]
    close = get_close_matches(head, known, n=1, cutoff=0.8)
    hint = f"did you mean {close[0]}?" if close else "`pykopia snapshot list --all` shows what there is"
    return f"no snapshot or object has the ID {head!r}, and no snapshot's ID begins so; {hint}"


def _nearest_source(repository: "Repository", source: "SourceInfo") -> str:
    return source_hint(repository, source) or "`pykopia snapshot list --all` shows what there is"


def source_hint(repository: "Repository", source: "SourceInfo") -> str:
    """Return the source with snapshots that looks most like another as a question; empty when none does."""
    from difflib import get_close_matches  # noqa: PLC0415 -- only mistakes pay for it

    known = sorted({str(each.source) for each in repository.snapshots.list()})
    close = get_close_matches(str(source), known, n=1, cutoff=0.7)
    return f"did you mean {close[0]}?" if close and close[0] != str(source) else ""


__all__ = [
    "Choice",
    "choose",
    "entry_of",
    "is_path",
    "is_selector",
    "reference_of",
    "snapshot_of",
    "snapshots_of",
    "snapshots_of_source",
    "source_hint",
]
