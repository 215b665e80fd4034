"""A snapshot made of objects that are stored already, which keeps them from being collected."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from pykopia import clock
from pykopia.arguments import check_text
from pykopia.errors import UsageError
from pykopia.format.directory import DIRECTORY, FILE, DirectoryEntry, summarize
from pykopia.format.object_id import parse_object_id
from pykopia.format.policy_tree import PolicyTree
from pykopia.format.snapshot_manifest import SnapshotManifest, SnapshotStats
from pykopia.format.source import SourceInfo
from pykopia.ids import ObjectID
from pykopia.repository.objects import ObjectStore
from pykopia.repository.writer import RepositoryWriter
from pykopia.snapshot.directory_writing import write_directory

Tree: TypeAlias = Mapping[str, object]
"""Names of a folder: a file by the ID of its object, a folder by its own names, which are a ``Tree`` again."""

FILE_MODE = 0o644
DIRECTORY_MODE = 0o755
DEEPEST = 200
"""Levels of folders: a bound on what is gone through by recursion."""


def plan_tree(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield the path and the object ID of each file of a tree.

    Raises:
        UsageError: a name can't be that of an entry, or a value is neither an object ID nor a folder.
    """
    left: list[tuple[str, object]] = [("", tree)]
    while left:
        path, value = left.pop()
        if not isinstance(value, Mapping):
            check_text(f"the object ID of {path or 'the tree'}", value)
            parsed = parse_object_id(str(value))
            if not path or not parsed.content_id or parsed.is_directory:
                raise UsageError(
                    f"{path or 'the tree'} must be a folder of names, or a file by its object ID; it is {value}"
                )
            yield path, str(value)
            continue
        for name, child in value.items():
            check_text("a name of the tree", name)
            if not name or "/" in name or "\0" in name or name in (".", ".."):
                raise UsageError(f"{name!r} in {path or 'the tree'} can't be the name of a file or folder")
            left.append((f"{path}/{name}" if path else name, child))
            if path.count("/") > DEEPEST:
                raise UsageError(f"the tree has more than {DEEPEST} levels of folders")


def put_tree(
    objects: ObjectStore,
    writer: RepositoryWriter,
    source: SourceInfo,
    tree: Tree,
    policies: PolicyTree,
    *,
    description: str = "",
    tags: Mapping[str, str],
    pins: tuple[str, ...] = (),
) -> SnapshotManifest:
    """Store the folders of a tree and return the snapshot, not saved yet; see ``Snapshots.put``.

    Args:
        objects: of the repository, in which all files of the tree can be found.
        writer: where the folders go.
        source: whose snapshot it is.
        tree: the files by their objects.
        policies: of the source: how folders are compressed.
        description: of the snapshot.
        tags: by the keys of the labels.
        pins: names that keep the snapshot from expiring.

    Raises:
        UsageError: the tree can't be that of a snapshot.
        ContentNotFoundError: a file's object is not in the repository.
    """
    now = clock.now()
    compressor = policies.effective.metadata_compression.compressor_name
    sizes = {object_id: objects.length(object_id) for _, object_id in plan_tree(tree)}

    def folder(name: str, names: Tree) -> DirectoryEntry:
        entries = [
            folder(child, value)
            if isinstance(value, Mapping)
            else DirectoryEntry(
                name=child,
                type=FILE,
                mode=FILE_MODE,
                size=sizes[str(value)],
                mtime_ns=now,
                object_id=ObjectID(str(value)),
            )
            for child, value in names.items()
        ]
        summary = summarize(entries, own_mtime_ns=now)
        object_id = write_directory(writer.objects, entries, summary, compressor)
        return DirectoryEntry(
            name=name, type=DIRECTORY, mode=DIRECTORY_MODE, mtime_ns=now, object_id=object_id, summary=summary
        )

    root = folder(source.path.rstrip("/").rpartition("/")[2] or "/", tree)
    assert root.summary is not None
    return SnapshotManifest(
        source=source,
        description=description,
        start_time_ns=now,
        end_time_ns=clock.now(),
        stats=SnapshotStats(
            total_size=root.summary.size,
            file_count=root.summary.files,
            cached_files=root.summary.files,
            dir_count=root.summary.dirs,
        ),
        root_entry=root,
        tags=tags,
        pins=tuple(sorted(set(pins))),
    )


__all__ = ["Tree", "plan_tree", "put_tree"]
