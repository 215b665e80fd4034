"""`info`: what a snapshot holds, and what it costs."""

from typing import TYPE_CHECKING

from pykopia.cli import formatting
from pykopia.cli.flags.peers import InfoOptions
from pykopia.cli.references import snapshot_of
from pykopia.cli.session import Session
from pykopia.format import gojson
from pykopia.format.snapshot_manifest import TAG_PREFIX
from pykopia.snapshot.storage_stats import storage_stats

if TYPE_CHECKING:
    from pykopia.format.snapshot_manifest import SnapshotManifest, StorageUsage

_SECOND = 1_000_000_000


def info(session: Session, options: InfoOptions) -> None:
    """Show size, new data, deduplication, compression and errors of a snapshot.

    New is what no older snapshot of the same source has.
    """
    with session.open() as repository:
        snapshot = snapshot_of(session, repository, options.snapshot)
        older = [
            each for each in repository.snapshots.list(snapshot.source) if each.start_time_ns < snapshot.start_time_ns
        ]
        *_, new = storage_stats(repository, [*older, snapshot])
        (alone,) = storage_stats(repository, [snapshot])
    if options.json:
        options.write_json(session, _members(snapshot, new.new_data, alone.new_data))
    else:
        _write(session, snapshot, new.new_data, alone.new_data, first=not older)


def ratio(before: int, after: int) -> float | None:
    """Return how many times smaller ``after`` is, None where there is nothing to compare.

    >>> ratio(300, 200), ratio(5, 0)
    (1.5, None)
    """
    return round(before / after, 2) if after > 0 else None


def _write(
    session: Session, snapshot: "SnapshotManifest", new: "StorageUsage", alone: "StorageUsage", *, first: bool
) -> None:
    root, write = snapshot.root_entry, session.write
    summary = root.summary if root is not None else None
    took = formatting.duration(max(0, snapshot.end_time_ns - snapshot.start_time_ns) // _SECOND * _SECOND)
    write(f"Snapshot:     {snapshot.id}")
    write(f"Root:         {snapshot.root_object_id}")
    write(f"Source:       {session.name(str(snapshot.source))}")
    write(f"Taken:        {session.time(snapshot.start_time_ns)} (in {took})")
    if snapshot.incomplete:
        write(f"Incomplete:   {snapshot.incomplete}")
    if snapshot.description:
        write(f"Description:  {session.escape(snapshot.description)}")
    for key, value in sorted(snapshot.tags.items()):
        write(f"Tag:          {session.escape(key.removeprefix(TAG_PREFIX))}:{session.escape(value)}")
    if snapshot.pins:
        write(f"Pins:         {session.escape(', '.join(snapshot.pins))}")
    if summary is not None:
        write(f"Size:         {session.size(summary.size)} in {summary.files} files and {summary.dirs} folders")
    elif root is not None:
        write(f"Size:         {session.size(root.size)}")
    than = "no other snapshot of this source is older" if first else "than all older snapshots of this source together"
    write(f"New data:     {session.size(new.packed_content_bytes)} in {new.file_objects} files ({than})")
    write(f"Deduplicated: {_times(ratio(alone.object_bytes, alone.original_content_bytes))} within the snapshot")
    write(f"Compressed:   {_times(ratio(alone.original_content_bytes, alone.packed_content_bytes))}, to "
          f"{session.size(alone.packed_content_bytes)}")  # fmt: skip
    failed = summary.num_failed if summary is not None else 0
    write(f"Errors:       {failed or 'none'}")
    for error in summary.errors if summary is not None else ():
        write(f"  {session.name(error.path)}: {session.escape(error.error)}")


def _times(value: float | None) -> str:
    return "nothing to compare" if value is None else f"{value:g} times smaller" if value > 1 else "not smaller"


def _members(snapshot: "SnapshotManifest", new: "StorageUsage", alone: "StorageUsage") -> dict[str, object]:
    root = snapshot.root_entry
    summary = root.summary if root is not None else None
    return {
        "id": snapshot.id,
        "source": {"host": snapshot.source.host, "userName": snapshot.source.user_name, "path": snapshot.source.path},
        "startTime": gojson.format_time(snapshot.start_time_ns),
        "endTime": gojson.format_time(snapshot.end_time_ns),
        "incomplete": snapshot.incomplete,
        "root": snapshot.root_object_id,
        "size": summary.size if summary is not None else root.size if root is not None else 0,
        "files": summary.files if summary is not None else 1,
        "directories": summary.dirs if summary is not None else 0,
        "newBytes": new.packed_content_bytes,
        "newFiles": new.file_objects,
        "storedBytes": alone.packed_content_bytes,
        "dedupRatio": ratio(alone.object_bytes, alone.original_content_bytes),
        "compressionRatio": ratio(alone.original_content_bytes, alone.packed_content_bytes),
        "errorCount": summary.num_failed if summary is not None else 0,
        "errors": [{"path": each.path, "error": each.error} for each in summary.errors] if summary is not None else [],
    }


__all__ = ["info", "ratio"]
