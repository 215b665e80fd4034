"""An open repository as one tree of names, see ``pykopia.access.names``; what was read is kept in memory."""

from collections.abc import Callable, Iterator

from pykopia.access.catalog import Catalog
from pykopia.access.chunks import KEPT_BYTES, ChunkStore
from pykopia.access.files import ObjectReader
from pykopia.access.names import Name
from pykopia.api.repository import Repository
from pykopia.dataclass import dataclass
from pykopia.errors import PathNotInSnapshotError, PykopiaError
from pykopia.format.directory import DIRECTORY, SYMLINK, DirectoryEntry
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.ids import ObjectID
from pykopia.repository.memory_cache import MemoryCache
from pykopia.snapshot.entry_tree import KEPT_BYTES as KEPT_DIRECTORY_BYTES
from pykopia.snapshot.entry_tree import Directories, EntryTree

LIST_BYTES = 16 << 20
"""Bytes of lists of chunks that are kept."""
CHUNK_BYTES = 160
"""Estimated bytes of an entry of such a list in memory."""
MOST_LINKS = 40
"""Links that are followed for one name, as Linux does."""


@dataclass(frozen=True, slots=True)
class Node:
    """A name of the tree that is there."""

    name: str
    entry: DirectoryEntry | None = None
    """None for sources and folders above sources."""
    snapshot: SnapshotManifest | None = None
    """The snapshot whose root the node is."""

    @property
    def is_folder(self) -> bool:
        """Whether it holds others."""
        return self.entry is None or self.entry.type == DIRECTORY


class RepositoryView:
    """The tree of a repository; safe for threads."""

    def __init__(self, repository: Repository, kept_bytes: int = KEPT_BYTES) -> None:
        self.repository = repository
        self._objects = repository.objects
        self._kept_bytes = kept_bytes
        self._begin()

    def _begin(self) -> None:
        self.chunks = ChunkStore(self._objects, self._kept_bytes)
        self._directories: Directories = MemoryCache(KEPT_DIRECTORY_BYTES)
        self._readers: MemoryCache[ObjectID, ObjectReader] = MemoryCache(LIST_BYTES)
        self._links: MemoryCache[ObjectID, str] = MemoryCache(LIST_BYTES)
        self.catalog = Catalog(self.repository.snapshots.list())

    def refresh(self) -> None:
        """See what others have written to the repository meanwhile."""
        self.repository.refresh()
        self.catalog = Catalog(self.repository.snapshots.list())

    def close(self) -> None:
        """Let the threads end; the repository stays open."""
        self.chunks.close()

    # ------------------------------------------------------------------ looking up

    def node(self, name: Name) -> Node:
        """Return what a name stands for; links are not followed.

        Raises:
            PathNotInSnapshotError: there is no such name.
            SnapshotNotFoundError: no snapshot has the ID that the name begins with.
        """
        text = str(name)
        if not name.moment:
            if self.catalog.folders(name) is None:
                raise PathNotInSnapshotError(f"there is no source or folder of sources {text}; the root lists them")
            return Node(text)
        root, snapshot = self._root(name)
        entry = self.tree(root).find(name.inside)
        return Node(text, entry, None if name.inside else snapshot)

    def _root(self, name: Name) -> tuple[DirectoryEntry, SnapshotManifest | None]:
        if not name.client:
            return self.repository.snapshots.resolve(name.moment), None
        snapshot = self.catalog.choose(name)
        assert snapshot.root_entry is not None
        return snapshot.root_entry, snapshot

    def tree(self, root: DirectoryEntry) -> EntryTree:
        """Return what is below the root of a snapshot."""
        return EntryTree(self._objects, root, self._directories)

    def followed(self, name: Name) -> Node:
        """Return what a name stands for once links are followed, which lead no further than the snapshot goes.

        Raises:
            PathNotInSnapshotError: there is no such name, or a link leads out of the snapshot, nowhere, or in a circle.
        """
        if not name.inside:
            return self.node(name)
        tree = self.tree(self._root(name)[0])
        done: list[str] = []
        left = [*name.inside]
        links = 0
        while left:
            part = left.pop(0)
            if part == "..":
                if not done:
                    raise PathNotInSnapshotError(f"{name} is not in the snapshot: a link leads out of it")
                done.pop()
                continue
            if part in ("", "."):
                continue
            entry = tree.find((*done, part))
            if entry.type != SYMLINK:
                done.append(part)
                continue
            target, links = self.link(entry), links + 1
            if target.startswith("/") or links > MOST_LINKS:
                reason = "in a circle" if links > MOST_LINKS else f"out of it, to {target}"
                raise PathNotInSnapshotError(f"{name} is not in the snapshot: a link leads {reason}")
            left = [*target.split("/"), *left]
        return Node(str(Name(name.client, name.above, name.moment, tuple(done))), tree.find(done))

    def link(self, entry: DirectoryEntry) -> str:
        """Return the target of a symbolic link."""
        target = self._links.get(entry.object_id)
        if target is None:
            target = self._objects.read(entry.object_id).decode("utf-8", "surrogateescape")
            self._links.put(entry.object_id, target, len(target) + CHUNK_BYTES)
        return target

    # ------------------------------------------------------------------ listing

    def children(self, name: Name, node: Node) -> Iterator[Node]:
        """Yield what a folder holds, without an order."""
        if node.entry is not None:
            for each in self.tree(node.entry).entries(node.entry).values():
                yield Node(f"{node.name}/{each.name}", each)
            return
        for folder in self.catalog.folders(name) or ():
            yield Node(str(folder))
        for moment, snapshot in self.catalog.snapshots(name).items():
            yield Node(str(moment), snapshot.root_entry, snapshot)

    def walk(
        self,
        name: Name,
        node: Node,
        *,
        depth: int | None = None,
        on_error: Callable[[str, PykopiaError], None] | None = None,
    ) -> Iterator[tuple[str, dict[str, Node]]]:
        """Yield each folder from a node down, by its name, with what it holds by the last part of the names.

        Names that the caller removes are not walked.

        Args:
            name: of the node.
            node: where to begin.
            depth: levels of folders; None for all.
            on_error: called with a folder that can't be read, and the error; raised without it.
        """
        if node.entry is not None:
            yield from self._walk_entries(node, depth, on_error)
            return
        inside = {_last(each.name): each for each in self.children(name, node)}
        yield node.name, inside
        for each in [*inside.values()] if depth is None or depth > 1 else ():
            if each.is_folder:
                yield from self.walk(
                    Name.parse(each.name), each, depth=None if depth is None else depth - 1, on_error=on_error
                )

    def _walk_entries(
        self, node: Node, depth: int | None, on_error: Callable[[str, PykopiaError], None] | None
    ) -> Iterator[tuple[str, dict[str, Node]]]:
        def report(parts: tuple[str, ...], error: PykopiaError) -> None:
            if on_error is None:
                raise error
            on_error("/".join((node.name, *parts)), error)

        assert node.entry is not None
        for parts, entries in self.tree(node.entry).walk(node.entry, depth=depth, on_error=report):
            here = "/".join((node.name, *parts))
            inside = {each.name: Node(f"{here}/{each.name}", each) for each in entries.values()}
            yield here, inside
            for gone in entries.keys() - inside.keys():
                del entries[gone]

    # ------------------------------------------------------------------ reading

    def reader(self, entry: DirectoryEntry) -> ObjectReader:
        """Return the bytes of a file, to be read at any place."""
        found = self._readers.get(entry.object_id)
        if found is None:
            chunks = self._objects.chunks(entry.object_id)
            found = ObjectReader(self.chunks, chunks)
            self._readers.put(entry.object_id, found, CHUNK_BYTES * len(chunks))
        return found


def _last(name: str) -> str:
    return name.rpartition("/")[2]


__all__ = ["Node", "RepositoryView"]
