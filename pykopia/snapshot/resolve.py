"""From what a user types to an entry of a snapshot: ``ID``, ``ID/path/inside`` (spec 04 §13)."""

from collections.abc import Sequence

import msgspec

from pykopia.errors import InvalidIDError, PathNotInSnapshotError, SnapshotNotFoundError
from pykopia.format.directory import DirectoryEntry
from pykopia.format.object_id import parse_object_id
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.ids import ObjectID
from pykopia.repository.objects import ObjectStore

UNKNOWN_DIRECTORY_MODE = 0o555
UNKNOWN_FILE_MODE = 0o644


def resolve(
    text: str,
    snapshots: Sequence[SnapshotManifest],
    objects: ObjectStore,
    *,
    consistent_attributes: bool = False,
) -> DirectoryEntry:
    """Return the entry that a text names.

    Args:
        text: a snapshot's manifest ID or an object ID, then perhaps a path inside.
        snapshots: all snapshots of the repository.
        objects: of the repository.
        consistent_attributes: fail when snapshots with the same root object disagree on its attributes.

    Raises:
        SnapshotNotFoundError: no snapshot or object has this ID.
        PathNotInSnapshotError: there is no such path in it.
    """
    reference, _, path = text.strip("/").partition("/")
    return descend(
        root_of(reference, snapshots, consistent_attributes=consistent_attributes and not path), path, objects
    )


def root_of(
    reference: str, snapshots: Sequence[SnapshotManifest], *, consistent_attributes: bool = False
) -> DirectoryEntry:
    """Return the root entry of a snapshot, or an entry for an object that is no known root."""
    for snapshot in snapshots:
        if snapshot.id == reference:
            return _root(snapshot)
    try:
        parsed = parse_object_id(reference)
    except InvalidIDError as error:
        raise SnapshotNotFoundError(
            f"{reference!r} is neither the ID of a snapshot nor of an object: `snapshot list` shows what there is"
        ) from error
    object_id = parsed.to_string()
    if not parsed.content_id:
        raise SnapshotNotFoundError(f"{reference!r} names no object: `snapshot list` shows what there is")
    same = [each for each in snapshots if each.root_entry is not None and each.root_entry.object_id == object_id]
    if same:
        if consistent_attributes and len({each.root_entry for each in same}) > 1:
            raise SnapshotNotFoundError(
                f"{len(same)} snapshots have the root {object_id} with different attributes: name one by its manifest ID"
            )
        return _root(max(same, key=lambda each: each.start_time_ns))
    if parsed.is_directory:
        return DirectoryEntry(name=object_id, type="d", mode=UNKNOWN_DIRECTORY_MODE, object_id=object_id)
    return DirectoryEntry(name=object_id, type="f", mode=UNKNOWN_FILE_MODE, object_id=object_id)


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
        if here.type != "d":
            raise PathNotInSnapshotError(f"{'/'.join(walked)} is no folder in this snapshot: {path} is not in it")
        found = [each for each in objects.directory(here.object_id).entries if each.name == name]
        walked.append(name)
        if not found:
            raise PathNotInSnapshotError(f"{'/'.join(walked)} is not in this snapshot; `ls` shows what is")
        here = found[-1]
    return here


def with_length(entry: DirectoryEntry, objects: ObjectStore) -> DirectoryEntry:
    """Return an entry made from a bare object ID with the size that its object has."""
    if entry.type != "f" or entry.size:
        return entry
    return msgspec.structs.replace(entry, size=objects.length(ObjectID(entry.object_id)))


__all__ = ["descend", "resolve", "root_of", "with_length"]
