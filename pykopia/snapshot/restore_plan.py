"""What a restore into a folder would change: the target is looked at, nothing is written."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pykopia.errors import PykopiaError
from pykopia.format.directory import DirectoryEntry
from pykopia.repository.objects import ObjectStore
from pykopia.snapshot.restore_differences import Differences
from pykopia.snapshot.restore_local import SAME_TIME_NS, kind_of
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.snapshot.selection import Selection

ChangeKind = Literal["create", "replace", "attributes", "delete", "refuse"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What a restore would do to one path."""

    kind: ChangeKind
    """``replace``: the contents differ; ``attributes``: only owner, mode or time do; ``refuse``: it would fail here."""
    path: str
    """Below the target; empty for the target itself."""
    entry: DirectoryEntry | None
    """As the snapshot has it; None for what would be deleted."""
    reason: str = ""
    """What differs, or why it would fail."""


class RestorePlan:
    """The changes that a restore would make; iterate over it, then look at ``unchanged``.

    A file that would be written again with the bytes that it has does not count as a change.
    """

    def __init__(
        self,
        objects: ObjectStore,
        differences: Differences,
        root: DirectoryEntry,
        target: Path,
        options: RestoreOptions,
        *,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; ``check`` is called now and then, to raise when it is to end."""
        self._objects = objects
        self._differences = differences
        self._root = root
        self._target = target
        self._options = options
        self._selection = Selection(options.include, options.exclude)
        self._check = check
        self.unchanged = 0
        """Entries that are as the snapshot has them, or would be left alone."""

    def __iter__(self) -> Iterator[Change]:
        """Yield changes, folder by folder."""
        if self._root.type != "d":
            if os.path.lexists(self._target):
                yield from self._existing(self._root, "", os.lstat(self._target))
            else:
                yield Change(kind="create", path="", entry=self._root)
            return
        self._selection.look_into(self._root, self._objects)
        top = _Folder(self._root, "", self._selection.all_included, exists=True)
        if not self._target.exists():
            top.exists = False
            yield Change(kind="create", path="", entry=self._root)
        elif (refusal := self._refusal(top)) is not None:
            yield refusal
            return
        stack = [top]
        while stack:
            self._check()
            yield from self._folder(stack.pop(), stack)

    def _refusal(self, folder: "_Folder") -> Change | None:
        """Return why nothing can be put into a folder of the target, None if it can."""
        path = self._target / folder.path
        if not path.is_dir():
            reason = "something that is no folder is there"
        elif not self._options.overwrite_directories and os.listdir(path):
            reason = "the folder is not empty"
        else:
            return None
        return Change(kind="refuse", path=folder.path, entry=folder.entry, reason=reason)

    def _folder(self, folder: "_Folder", stack: "list[_Folder]") -> Iterator[Change]:
        """Compare what is in a folder; put the folders in it on the stack."""
        path = folder.path
        listed = self._objects.directory(folder.entry.object_id).entries
        there: dict[str, os.stat_result] = {}
        here = self._target / path
        if folder.exists:
            with os.scandir(here) as found:
                there = {each.name: each.stat(follow_symlinks=False) for each in found}
            yield from self._attributes(path, folder.entry, os.stat(here))
            if self._options.delete_extra:
                yield from self._extra(path, listed, there)
        inner = []
        for entry in self._selection.of_folder(path, listed, included=folder.included):
            below = f"{path}/{entry.name}" if path else entry.name
            status = there.get(entry.name)
            if status is None:
                yield Change(kind="create", path=below, entry=entry)
            elif entry.type != "d":
                yield from self._existing(entry, below, status)
            if entry.type == "d":
                included = folder.included or self._selection.includes(below, is_directory=True)
                child = _Folder(entry, below, included, exists=status is not None)
                linked = status is not None and stat.S_ISLNK(status.st_mode)
                refusal = self._refusal(child) if child.exists and not linked else None
                if linked:
                    yield Change(kind="refuse", path=below, entry=entry, reason="a link is there")
                elif refusal is not None:
                    yield refusal
                else:
                    inner.append(child)
        stack += reversed(inner)

    def _extra(self, path: str, listed: Sequence[DirectoryEntry], there: dict[str, os.stat_result]) -> Iterator[Change]:
        """Tell what would be deleted, and forget it."""
        types = {each.name: each.type for each in listed}
        for name in sorted(there):
            kind = kind_of(there[name].st_mode)
            below = f"{path}/{name}" if path else name
            if types.get(name) == kind or (not path and name in self._options.keep_at_root):
                continue
            if self._selection.wants(below, is_directory=kind == "d"):
                yield Change(kind="delete", path=below, entry=None)
                del there[name]

    def _existing(self, entry: DirectoryEntry, path: str, status: os.stat_result) -> Iterator[Change]:
        """Compare a file or link with what is in its place."""
        options, kind = self._options, kind_of(status.st_mode)
        if kind == "d" or (entry.type == "s" and kind != "s"):
            yield Change(kind="refuse", path=path, entry=entry, reason="something of another kind is there")
        elif kind == "s" and not options.overwrite_symlinks:
            yield Change(kind="refuse", path=path, entry=entry, reason="links may not be replaced")
        elif entry.type == "s":
            yield from self._link(entry, path, status)
        elif kind != "f":
            yield Change(kind="replace", path=path, entry=entry, reason="something of another kind is there")
        elif options.skip_existing and _looks_same(status, entry):
            self.unchanged += 1
        elif not options.overwrite_files:
            yield Change(kind="refuse", path=path, entry=entry, reason="files may not be overwritten")
        else:
            yield from self._file(entry, path, status)

    def _file(self, entry: DirectoryEntry, path: str, status: os.stat_result) -> Iterator[Change]:
        if status.st_size != entry.size:
            reason = f"{status.st_size} bytes become {entry.size}"
            yield Change(kind="replace", path=path, entry=entry, reason=reason)
            return
        try:
            handle = os.open(self._target / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                same = self._differences.same(handle, entry)
            finally:
                os.close(handle)
        except (OSError, PykopiaError) as error:
            yield Change(kind="replace", path=path, entry=entry, reason=f"it can't be compared: {error}")
            return
        if same:
            yield from self._attributes(path, entry, status)
        else:
            yield Change(kind="replace", path=path, entry=entry, reason="its contents differ")

    def _link(self, entry: DirectoryEntry, path: str, status: os.stat_result) -> Iterator[Change]:
        if self._options.skip_existing:
            self.unchanged += 1
        elif os.fsencode(os.readlink(self._target / path)) != self._objects.read(entry.object_id):
            yield Change(kind="replace", path=path, entry=entry, reason="it leads elsewhere")
        else:
            yield from self._attributes(path, entry, status)

    def _attributes(self, path: str, entry: DirectoryEntry, status: os.stat_result) -> Iterator[Change]:
        """Compare what would be set; a link has no mode of its own."""
        options = self._options
        differing = []
        if not options.skip_owners and (status.st_uid, status.st_gid) != (entry.uid, entry.gid):
            differing.append("owner")
        if not options.skip_permissions and entry.type != "s" and stat.S_IMODE(status.st_mode) != entry.mode:
            differing.append("mode")
        if not options.skip_times and status.st_mtime_ns != entry.mtime_ns:
            differing.append("time")
        if differing:
            yield Change(kind="attributes", path=path, entry=entry, reason=", ".join(differing))
        else:
            self.unchanged += 1


@dataclass(slots=True)
class _Folder:
    entry: DirectoryEntry
    path: str
    included: bool
    """Whether it, or one above it, is included."""
    exists: bool


def _looks_same(status: os.stat_result, entry: DirectoryEntry) -> bool:
    return status.st_size == entry.size and abs(status.st_mtime_ns - entry.mtime_ns) <= SAME_TIME_NS


__all__ = ["Change", "RestorePlan"]
