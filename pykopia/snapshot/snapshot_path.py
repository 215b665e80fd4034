"""A snapshot as a tree of paths that is read like one of ``pathlib``: ``repository.snapshots.tree(…)``."""

import errno
import io
import os
import stat
from collections.abc import Iterator
from typing import IO, BinaryIO, Literal, TextIO, overload

from pykopia.arguments import check_choice, check_text
from pykopia.errors import PathNotInSnapshotError, UsageError
from pykopia.format.directory import DIRECTORY, FILE, SYMLINK, DirectoryEntry
from pykopia.ids import ObjectID
from pykopia.repository.objects import ObjectStore
from pykopia.snapshot.entry_tree import EntryTree
from pykopia.snapshot.trail import Trail

TYPE_BITS = {FILE: stat.S_IFREG, DIRECTORY: stat.S_IFDIR, SYMLINK: stat.S_IFLNK}
"""File type bits of ``st_mode`` by type of entry."""

TextMode = Literal["r", "rt"]
BinaryMode = Literal["rb"]


class SnapshotPath:
    """A path in a snapshot; implements ``importlib.resources.abc.Traversable``.

    Paths are lazy, as those of ``pathlib`` are: joining names reads nothing, and a path may name nothing. Symbolic links
    are never followed. Paths may be shared by threads.

    >>> import pykopia
    >>> with pykopia.create("memory://paths", "a good password") as repository:
    ...     source = pykopia.SourceInfo(user_name="app", host="server", path="/models")
    ...     with repository.writer() as writer:
    ...         model = writer.objects.write(b"weights")
    ...         snapshot = repository.snapshots.put(source, {"v1": {"model.bin": model}}, writer=writer)
    ...     root = repository.snapshots.tree(snapshot)
    ...     [path.name for path in root.iterdir()], (root / "v1" / "model.bin").read_bytes()
    (['v1'], b'weights')
    """

    __slots__ = ("_entry", "_parts", "_tree")

    def __init__(self, objects: ObjectStore, root: DirectoryEntry) -> None:
        """Begin a tree.

        Args:
            objects: of the repository.
            root: the entry that the tree shows: a folder or a file.
        """
        self._tree = EntryTree(objects, root)
        self._parts: tuple[str, ...] = ()
        self._entry: DirectoryEntry | None = root

    # ------------------------------------------------------------------ names

    @property
    def name(self) -> str:
        """The last name of the path; for the root the name that the snapshot gives its source."""
        return self._parts[-1] if self._parts else self._tree.root.name

    @property
    def parts(self) -> tuple[str, ...]:
        """The names from the root to this path; none for the root."""
        return self._parts

    @property
    def path(self) -> str:
        """The path relative to the root, with slashes; empty for the root."""
        return "/".join(self._parts)

    @property
    def suffix(self) -> str:
        """The last dot of the name and what follows it, such as ``.csv``; empty without one."""
        return os.path.splitext(self.name)[1]

    @property
    def parent(self) -> "SnapshotPath":
        """The folder that holds this path; the root is its own parent."""
        return self._at(self._parts[:-1], None) if self._parts else self

    def joinpath(self, *names: str | os.PathLike[str]) -> "SnapshotPath":
        """Return a path below this one; ``..`` goes up, but never above the root.

        Raises:
            UsageError: a name is absolute, or no text.
        """
        parts = list(self._parts)
        for name in names:
            text = os.fspath(name) if isinstance(name, os.PathLike) else name
            check_text("a path in a snapshot", text)
            if text.startswith("/"):
                raise UsageError(f'a path in a snapshot is relative to its root; "{text}" is absolute')
            for part in text.split("/"):
                if part == "..":
                    del parts[-1:]
                elif part not in ("", "."):
                    parts.append(part)
        return self._at(tuple(parts), None)

    def __truediv__(self, name: str | os.PathLike[str]) -> "SnapshotPath":
        return self.joinpath(name)

    # ------------------------------------------------------------------ looking

    @property
    def entry(self) -> DirectoryEntry:
        """The entry of this path, as ``Snapshots.resolve`` returns it.

        Raises:
            PathNotInSnapshotError: the snapshot has no such path.
        """
        if self._entry is None:
            folder = self.parent.entry
            if folder.type != DIRECTORY:
                raise PathNotInSnapshotError(f"{self.path} is not in this snapshot: {self.parent.path} is no folder")
            found = self._tree.entries(folder).get(self.name)
            if found is None:
                raise PathNotInSnapshotError(f"{self.path} is not in this snapshot")
            self._entry = found
        return self._entry

    def exists(self) -> bool:
        """Return True if the snapshot has this path."""
        return self._type() is not None

    def is_dir(self) -> bool:
        """Return True if the path is a folder."""
        return self._type() == DIRECTORY

    def is_file(self) -> bool:
        """Return True if the path is a file."""
        return self._type() == FILE

    def is_symlink(self) -> bool:
        """Return True if the path is a symbolic link."""
        return self._type() == SYMLINK

    def stat(self) -> os.stat_result:
        """Return type and permissions, size, times and owner, as ``os.lstat`` does; a folder has the size of its files.

        Raises:
            PathNotInSnapshotError: the snapshot has no such path.
        """
        entry = self.entry
        size = entry.summary.size if entry.type == DIRECTORY and entry.summary is not None else entry.size
        seconds = entry.mtime_ns // 1_000_000_000
        times = {f"st_{name}_ns": entry.mtime_ns for name in ("atime", "mtime", "ctime")}
        mode = TYPE_BITS.get(entry.type, 0) | entry.mode
        return os.stat_result((mode, 0, 0, 1, entry.uid, entry.gid, size, seconds, seconds, seconds), times)

    def iterdir(self) -> Iterator["SnapshotPath"]:
        """Yield the paths in a folder, sorted by name.

        Raises:
            PathNotInSnapshotError: the snapshot has no such path.
            NotADirectoryError: the path is no folder.
        """
        entry = self.entry
        if entry.type != DIRECTORY:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self.path)
        for name, each in sorted(self._tree.entries(entry).items()):
            yield self._at((*self._parts, name), each)

    def walk(self) -> Iterator[tuple["SnapshotPath", list[str], list[str]]]:
        """Yield each folder from here down with the names of its folders and of all else, as ``pathlib.Path.walk`` does.

        A folder comes before those in it; names that the caller removes from the list of folders are not walked.
        """
        pending, trail = [(0, self)], Trail(self._tree.objects, self.entry)
        while pending:
            depth, here = pending.pop()
            trail.enter(depth, here.entry.object_id)
            inside = {each.name: each for each in here.iterdir()}
            folders = [name for name, each in inside.items() if each.is_dir()]
            yield here, folders, [name for name, each in inside.items() if not each.is_dir()]
            pending += [(depth + 1, inside[name]) for name in reversed(folders) if name in inside]

    def readlink(self) -> str:
        """Return the target of a symbolic link.

        Raises:
            PathNotInSnapshotError: the snapshot has no such path.
            OSError: the path is no link.
        """
        entry = self.entry
        if entry.type != SYMLINK:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self.path)
        return os.fsdecode(self._tree.objects.read(entry.object_id))

    # ------------------------------------------------------------------ reading

    @overload
    def open(
        self,
        mode: TextMode = "r",
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> TextIO: ...
    @overload
    def open(self, mode: BinaryMode) -> BinaryIO: ...
    def open(
        self,
        mode: TextMode | BinaryMode = "r",
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[str] | IO[bytes]:
        """Open a file for reading; the file is seekable, and only the parts that are read are fetched.

        Args:
            mode: ``r`` for text, ``rb`` for bytes.
            encoding: of text; UTF-8 when not given.
            errors: how text that can't be decoded is treated, as in ``open``.
            newline: how line ends are treated, as in ``open``.

        Raises:
            PathNotInSnapshotError: the snapshot has no such path.
            IsADirectoryError: the path is a folder.
            UsageError: the mode is for writing, or the path is a symbolic link, which is not followed.
        """
        check_choice("mode", mode, ("r", "rt", "rb"))
        entry = self.entry
        if entry.type == DIRECTORY:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.path)
        if entry.type == SYMLINK:
            raise UsageError(f"can't open {self.path}: it is a symbolic link; readlink() returns where it leads")
        stream = self._tree.objects.open(entry.object_id)
        if mode == "rb":
            return stream
        return io.TextIOWrapper(stream, encoding=encoding or "utf-8", errors=errors, newline=newline)

    def read_bytes(self) -> bytes:
        """Return all bytes of a file."""
        with self.open("rb") as stream:
            return stream.read()

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Return a file as text.

        Args:
            encoding: UTF-8 when not given.
            errors: how text that can't be decoded is treated, as in ``open``.
        """
        with self.open("r", encoding=encoding, errors=errors) as stream:
            return stream.read()

    # ------------------------------------------------------------------ comparing

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SnapshotPath):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __str__(self) -> str:
        return self.path or "."

    def __repr__(self) -> str:
        return f"<SnapshotPath {str(self)!r} in {self._tree.root.object_id}>"

    def _key(self) -> tuple[ObjectID, tuple[str, ...]]:
        return self._tree.root.object_id, self._parts

    def _type(self) -> str | None:
        try:
            return self.entry.type
        except PathNotInSnapshotError:
            return None

    def _at(self, parts: tuple[str, ...], entry: DirectoryEntry | None) -> "SnapshotPath":
        other = object.__new__(SnapshotPath)
        other._tree = self._tree
        other._parts = parts
        other._entry = entry if parts else self._tree.root
        return other


__all__ = ["SnapshotPath"]
