"""Storage that each snapshot of a list adds, as `snapshot list --storage-stats` shows it."""

from collections.abc import Iterable, Iterator

from pykopia.arguments import check_kind
from pykopia.dataclass import dataclass
from pykopia.format.directory import DIRECTORY, DirectoryEntry
from pykopia.format.snapshot_manifest import SnapshotManifest, StorageStats, StorageUsage
from pykopia.ids import ContentID, ObjectID
from pykopia.repository.core import Core


@dataclass(slots=True)
class _Counter:
    object_bytes: int = 0
    original_content_bytes: int = 0
    packed_content_bytes: int = 0
    file_objects: int = 0
    dir_objects: int = 0
    contents: int = 0

    def usage(self) -> StorageUsage:
        return StorageUsage(
            object_bytes=self.object_bytes,
            original_content_bytes=self.original_content_bytes,
            packed_content_bytes=self.packed_content_bytes,
            file_objects=self.file_objects,
            dir_objects=self.dir_objects,
            contents=self.contents,
        )


def storage_stats(repository: Core, snapshots: Iterable[SnapshotManifest]) -> Iterator[StorageStats]:
    """Yield what each snapshot adds to those before it, and what they take together.

    Every object and every content counts once, where it comes first. Contents of directories are counted, but their
    bytes are not, as in Kopia. Memory grows with the number of objects.

    Args:
        repository: Where they are.
        snapshots: In the order that is shown; one without a root adds nothing.

    Raises:
        PykopiaError: A directory can't be read, or a content is not in the index.
    """
    seen_objects: set[ObjectID] = set()
    seen_contents: set[ContentID] = set()
    total = _Counter()
    for snapshot in snapshots:
        check_kind("each of snapshots", snapshot, SnapshotManifest)
        new = _Counter()
        if snapshot.root_entry is not None:
            _count(repository, snapshot.root_entry, (new, total), seen_objects, seen_contents)
        yield StorageStats(new_data=new.usage(), running_total=total.usage())


def _count(
    repository: Core,
    root: DirectoryEntry,
    counters: tuple[_Counter, ...],
    seen_objects: set[ObjectID],
    seen_contents: set[ContentID],
) -> None:
    pending = [root]
    while pending:
        entry = pending.pop()
        if entry.object_id in seen_objects:
            continue
        seen_objects.add(entry.object_id)
        is_directory = entry.type == DIRECTORY
        fresh = [each for each in repository.objects.contents_of(entry.object_id) if each not in seen_contents]
        seen_contents.update(fresh)
        unique = dict.fromkeys(fresh)
        found = [] if is_directory else [repository.contents.entry(each) for each in unique]
        for counter in counters:
            counter.contents += len(unique)
            counter.original_content_bytes += sum(each.original_length for each in found)
            counter.packed_content_bytes += sum(each.packed_length for each in found)
            if is_directory:
                counter.dir_objects += 1
            else:
                counter.file_objects += 1
                counter.object_bytes += entry.size
        if is_directory:
            pending += repository.objects.directory(entry.object_id).entries


__all__ = ["storage_stats"]
