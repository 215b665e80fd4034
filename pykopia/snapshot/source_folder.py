"""A folder of a source that is being taken: what is known of it until its directory object is written."""

import logging
import os
import stat
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from pykopia.format.directory import DIRECTORY, DirectoryEntry, DirectorySummary, EntryFailure
from pykopia.format.extended_attributes import ExtendedAttributes
from pykopia.format.gojson import stored_form
from pykopia.format.gotime import EARLIEST_NS, LATEST_NS, nearest_time
from pykopia.format.ignore import IgnoreContext
from pykopia.format.policy_tree import PolicyTree
from pykopia.ids import ObjectID
from pykopia.repository.object_writer import WrittenObject
from pykopia.snapshot.source_path import source_root

log = logging.getLogger(__name__)


class PartialFile:
    """A large file that is being read: the chunks that checkpoints can refer to."""

    def __init__(self, status: os.stat_result) -> None:
        self.status = status
        self._lock = threading.Lock()
        self._chunks: list[tuple[int, Future[ObjectID]]] = []

    def add(self, length: int, chunk: "Future[ObjectID]") -> None:
        """Record a chunk."""
        with self._lock:
            self._chunks.append((length, chunk))

    def stored(self) -> WrittenObject:
        """Return the chunks that are stored, up to the first that is not yet."""
        pieces, lengths = [], []
        with self._lock:
            for length, chunk in self._chunks:
                if not chunk.done() or chunk.cancelled() or chunk.exception() is not None:
                    break
                pieces.append(chunk.result())
                lengths.append(length)
        return WrittenObject(pieces, lengths)


class Folder:
    """A folder of the source that is being taken."""

    __slots__ = (
        "before",
        "context",
        "earlier",
        "entries",
        "extended",
        "failures",
        "name",
        "parent",
        "path",
        "policies",
        "previous",
        "relative",
        "rules_path",
        "status",
        "streams",
        "subfolders",
        "taken_over",
        "unfinished",
    )

    def __init__(
        self,
        path: str,
        relative: str,
        name: str,
        status: os.stat_result,
        parent: "Folder | None",
        context: IgnoreContext,
        policies: PolicyTree,
        before: Sequence[DirectoryEntry] = (),
        previous: Sequence[Mapping[str, DirectoryEntry]] = (),
    ) -> None:
        self.path, self.relative, self.name, self.status = path, relative, name, status
        self.parent, self.context, self.policies = parent, context, policies
        self.rules_path: str = relative if parent is None else f"{parent.rules_path}/{name}"
        """Path that ignore rules see: below the root, or below the folder that an action put in the place of one."""
        self.before = before
        """The folder itself in earlier snapshots, the best first, each different one once."""
        self.previous = previous
        """Entries by name of each of them, once the walk looks at the folder."""
        self.earlier: DirectoryEntry | None = None
        """The only one of them; None where there is none, or are several."""
        self.entries: list[DirectoryEntry] = []
        self.taken_over = 0
        """How many of the first entries are those of an earlier snapshot."""
        self.failures: list[EntryFailure] = []
        self.extended: ExtendedAttributes | None = None
        """Extended attributes of the folder itself, where they are recorded."""
        self.unfinished = 1  # the walk itself
        self.subfolders: dict[str, Folder] = {}
        """Open folders in this one, for checkpoints."""
        self.streams: dict[str, PartialFile] = {}
        """Large files being read, for checkpoints."""

    def take_instead(self, path: str) -> None:
        """Take another folder in the place of this one (format 05 §10): nothing of the rules above holds there."""
        self.path, self.status = source_root(path)
        self.context, self.rules_path = IgnoreContext.empty(), ""
        if self.parent is None:
            self.name = os.path.basename(self.path) or "/"

    def take_over(self, entries: Sequence[DirectoryEntry]) -> None:
        """Add entries of an earlier snapshot, before all others."""
        assert not self.entries
        self.entries += entries
        self.taken_over = len(entries)

    def entry(self, object_id: ObjectID, summary: DirectorySummary) -> DirectoryEntry:
        """Return the entry of this folder in the one above."""
        return entry_from(self.name, DIRECTORY, self.status, object_id, 0, summary, self.extended)


Item = tuple[Folder, str, os.stat_result]
"""A file or link to be read: its folder, name and status."""


def entry_from(
    name: str,
    kind: str,
    status: os.stat_result,
    object_id: ObjectID,
    size: int,
    summary: DirectorySummary | None = None,
    extended: ExtendedAttributes | None = None,
) -> DirectoryEntry:
    """Return a directory entry from what the file system says of a file, folder or link."""
    mtime_ns = nearest_time(status.st_mtime_ns)
    if mtime_ns in (EARLIEST_NS, LATEST_NS):
        log.warning(
            "the time of %s can't be stored, for it is not from 1677 to 2262: the nearest is", stored_form(name)
        )
    return DirectoryEntry(
        name=name,
        type=kind,
        mode=stat.S_IMODE(status.st_mode),
        size=size,
        mtime_ns=mtime_ns,
        uid=status.st_uid,
        gid=status.st_gid,
        object_id=object_id,
        summary=summary,
        extended=extended,
    )


__all__ = ["Folder", "Item", "PartialFile", "entry_from"]
