"""From what a user types to an entry of a snapshot: ``ID``, ``ID/path/inside`` (format 04 §13).

Beyond what Kopia takes, an ID may be shortened to a unique beginning, ``latest`` names the newest complete snapshot of a
repository with one source, and ``latest~2`` the second one before the newest.
"""

import re
from collections.abc import Sequence

import msgspec

from pykopia.errors import InvalidIDError, InvalidReferenceError, PathNotInSnapshotError, SnapshotNotFoundError
from pykopia.format.directory import DIRECTORY, FILE, DirectoryEntry
from pykopia.format.object_id import parse_object_id
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.ids import ObjectID
from pykopia.repository.objects import ObjectStore

UNKNOWN_DIRECTORY_MODE = 0o555
UNKNOWN_FILE_MODE = 0o644
LATEST = "latest"
_LATEST = re.compile(r"latest(?:~(\d{1,6}))?")
SHORTEST_BEGINNING = 4
"""Characters of a shortened ID: fewer are a slip rather than an ID."""


def resolve(
    text: str,
    snapshots: Sequence[SnapshotManifest],
    objects: ObjectStore,
    *,
    consistent_attributes: bool = False,
) -> DirectoryEntry:
    """Return the entry that a text names.

    Args:
        text: a snapshot's manifest ID, an object ID, a unique beginning of the manifest ID or root object ID of a
            snapshot, or ``latest``; then perhaps a path inside.
        snapshots: all snapshots of the repository.
        objects: of the repository.
        consistent_attributes: fail when snapshots with the same root object disagree on its attributes.

    Raises:
        SnapshotNotFoundError: no snapshot or object has this ID, or several begin with it.
        PathNotInSnapshotError: there is no such path in it.
    """
    reference, _, path = text.strip("/").partition("/")
    root = root_of(reference, snapshots, objects, consistent_attributes=consistent_attributes and not path)
    return descend(root, path, objects)


def root_of(
    reference: str,
    snapshots: Sequence[SnapshotManifest],
    objects: ObjectStore,
    *,
    consistent_attributes: bool = False,
) -> DirectoryEntry:
    """Return the root entry of a snapshot, or an entry for an object that is no known root."""
    if found := _LATEST.fullmatch(reference):
        return _root(nth_latest(snapshots, int(found[1] or 0)))
    for snapshot in snapshots:
        if snapshot.id == reference:
            return _root(snapshot)
    object_id = _object_id(reference)
    same = [each for each in snapshots if each.root_entry is not None and each.root_entry.object_id == object_id]
    if same:
        if consistent_attributes and len({each.root_entry for each in same}) > 1:
            raise SnapshotNotFoundError(
                f"{len(same)} snapshots have the root {object_id} with different attributes: name one by its manifest ID"
            )
        return _root(max(same, key=lambda each: each.start_time_ns))
    if object_id is not None and objects.exists(object_id):
        if parse_object_id(object_id).is_directory:
            return DirectoryEntry(name=object_id, type=DIRECTORY, mode=UNKNOWN_DIRECTORY_MODE, object_id=object_id)
        return DirectoryEntry(name=object_id, type=FILE, mode=UNKNOWN_FILE_MODE, object_id=object_id)
    return _root(_beginning(reference, snapshots))


def _object_id(reference: str) -> ObjectID | None:
    """Return the object ID that a text is, None where it is none."""
    try:
        parsed = parse_object_id(reference)
    except InvalidIDError:
        return None
    return parsed.to_string() if parsed.content_id else None


def nth_latest(snapshots: Sequence[SnapshotManifest], number: int) -> SnapshotManifest:
    """Return a complete snapshot of the only source there is: the newest for 0, the one before for 1, and so on.

    Raises:
        SnapshotNotFoundError: there are not so many, or they have several sources.
    """
    complete = [each for each in snapshots if not each.incomplete]
    sources = sorted({str(each.source) for each in complete})
    if len(sources) > 1:
        raise SnapshotNotFoundError(
            f"{LATEST!r} is unclear: there are snapshots of {len(sources)} sources, {sources[0]} and {sources[1]} among "
            f"them; name one, as {sources[0]}@{LATEST}, or a snapshot by its ID, as `snapshot list --all` shows it"
        )
    if not complete:
        raise SnapshotNotFoundError(
            "there is no complete snapshot; `snapshot list --all --incomplete` shows what there is"
        )
    if number >= len(complete):
        raise SnapshotNotFoundError(
            f"'{LATEST}~{number}' is not there: the repository has {len(complete)} complete snapshots, and {LATEST} is the "
            "first of them"
        )
    return sorted(complete, key=lambda each: each.start_time_ns, reverse=True)[number]


def _beginning(reference: str, snapshots: Sequence[SnapshotManifest]) -> SnapshotManifest:
    """Return the newest of the snapshots whose manifest ID or root begins so; they must be of one root."""
    found = [
        each
        for each in snapshots
        if each.id.startswith(reference)
        or (each.root_entry is not None and each.root_entry.object_id.startswith(reference))
    ]
    if len(reference) < SHORTEST_BEGINNING:
        raise InvalidReferenceError(
            f"{reference!r} names no snapshot or object: an ID, or the beginning of one, has at least {SHORTEST_BEGINNING} "
            "characters; `snapshot list --all` shows what there is"
        )
    if not found:
        raise SnapshotNotFoundError(
            f"no snapshot or object has the ID {reference!r}, and no snapshot's ID begins so; `snapshot list --all` shows "
            "what there is"
        )
    if len({each.root_entry and each.root_entry.object_id for each in found}) > 1:
        raise SnapshotNotFoundError(f"the IDs of {len(found)} snapshots begin with {reference!r}; give more of the ID")
    return max(found, key=lambda each: each.start_time_ns)


def _root(snapshot: SnapshotManifest) -> DirectoryEntry:
    if snapshot.root_entry is None:
        raise SnapshotNotFoundError(f"snapshot {snapshot.id} has no root: it is damaged")
    return snapshot.root_entry


def descend(entry: DirectoryEntry, path: str, objects: ObjectStore) -> DirectoryEntry:
    """Return the entry at ``path`` below another; an empty path is the entry itself.

    Raises:
        PathNotInSnapshotError: there is none.
    """
    here = entry
    walked: list[str] = []
    for name in path.split("/"):
        if not name:
            continue
        if here.type != DIRECTORY:
            raise PathNotInSnapshotError(f"{'/'.join(walked)} is no folder in this snapshot: {path} is not in it")
        found = [each for each in objects.directory(here.object_id).entries if each.name == name]
        walked.append(name)
        if not found:
            raise PathNotInSnapshotError(f"{'/'.join(walked)} is not in this snapshot; `ls` shows what is")
        here = found[-1]
    return here


def with_length(entry: DirectoryEntry, objects: ObjectStore) -> DirectoryEntry:
    """Return an entry made from a bare object ID with the size that its object has."""
    if entry.type != FILE or entry.size:
        return entry
    return msgspec.structs.replace(entry, size=objects.length(ObjectID(entry.object_id)))


__all__ = ["LATEST", "SHORTEST_BEGINNING", "descend", "nth_latest", "resolve", "root_of", "with_length"]
