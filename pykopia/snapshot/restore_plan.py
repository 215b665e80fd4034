"""Plan of a restore: reads the target, writes nothing.

What is done with each entry is decided by ``restore_decision``, as in the restore itself.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from pykopia.dataclass import dataclass
from pykopia.errors import PykopiaError
from pykopia.format.directory import DIRECTORY, SYMLINK, DirectoryEntry
from pykopia.repository.objects import ObjectStore
from pykopia.snapshot.placeholder import PLACEHOLDER_SUFFIX
from pykopia.snapshot.restore_decision import (
    Decision,
    Keep,
    Make,
    Placeholder,
    Refuse,
    Replace,
    SetAttributes,
    apart,
    collide,
    decide,
    extra_names,
)
from pykopia.snapshot.restore_differences import Differences
from pykopia.snapshot.restore_local import leftover_names, root_entry
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.snapshot.selection import Selection
from pykopia.snapshot.small_files import FOLDER_FLAGS, TEMPORARY_NAME
from pykopia.snapshot.target_folder import PARKED, existing_of, kind_of
from pykopia.snapshot.trail import Trail

ChangeKind = Literal["create", "replace", "attributes", "delete", "refuse"]
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Planned change of one path."""

    kind: ChangeKind
    """``replace``: the contents differ; ``attributes``: only owner, mode or time do; ``refuse``: it would fail here."""
    path: str
    """Below the target; empty for the target itself."""
    entry: DirectoryEntry | None
    """Entry in the snapshot; None for a path that would be deleted."""
    reason: str = ""
    """The difference, or the reason why it would fail."""


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
        if self._root.type != DIRECTORY:
            yield from self._single()
            return
        self._selection.look_into(self._root, self._objects)
        top = _Folder(self._root, "", 0, self._selection.all_included, exists=self._target.exists())
        status = os.stat(self._target) if top.exists else None
        empty = self._options.overwrite_directories or status is None or self._is_empty(self._target)
        decision = decide(root_entry(self._root), existing_of(status, empty=empty), self._options, lambda: False)
        if isinstance(decision, Refuse):
            yield Change(kind="refuse", path="", entry=self._root, reason=decision.reason)
            return
        if status is None:
            yield Change(kind="create", path="", entry=self._root)
        else:
            yield from self._attributes("", self._root, status)
        stack, trail = [top], Trail(self._objects, self._root)
        while stack:
            self._check()
            folder = stack.pop()
            trail.enter(folder.depth, folder.entry.object_id)
            yield from self._folder(folder, stack)

    @staticmethod
    def _is_empty(path: Path) -> bool:
        return not path.is_dir() or not os.listdir(path)

    def _single(self) -> Iterator[Change]:
        """Compare a file or link that is restored by itself."""
        try:
            status: os.stat_result | None = os.lstat(self._target)
        except FileNotFoundError:
            status = None
        entry = msgspec.structs.replace(self._root, name=self._target.name)
        if status is None:
            yield from self._told(decide(entry, None, self._options, lambda: False), PARKED, entry, "", None, ())
            return
        with _opened(os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as folder:
            decision = self._decide(folder, entry, status, shallow=False)
            yield from self._told(decision, folder, entry, "", status, os.listdir(folder))

    def _folder(self, folder: "_Folder", stack: "list[_Folder]") -> Iterator[Change]:
        """Compare what is in a folder; put the folders in it on the stack."""
        path, options = folder.path, self._options
        listed: Sequence[DirectoryEntry] = self._objects.directory(folder.entry.object_id).entries
        if collide(listed, str):
            listed = [renamed or entry for entry, renamed in apart(listed, str)]
        shallow = options.shallow_depth is not None and folder.depth >= options.shallow_depth
        inner: list[_Folder] = []
        with contextlib.ExitStack() as ends:
            here, there = PARKED, dict[str, os.stat_result]()
            if folder.exists:
                try:
                    here = ends.enter_context(_opened(self._open(path)))
                    with os.scandir(here) as found:
                        there = {each.name: each.stat(follow_symlinks=False) for each in found}
                except PermissionError as error:
                    reason = f"what is in it can't be compared: {error.strerror}"
                    yield Change(kind="attributes", path=path, entry=folder.entry, reason=reason)
                    return
                for name in leftover_names(there, listed):
                    del there[name]
                    yield Change(kind="delete", path=_join(path, name), entry=None, reason="left by a restore")
                kinds = {name: kind_of(status.st_mode) for name, status in there.items()}
                for name in extra_names(path, listed, kinds, self._selection, options, shallow=shallow):
                    del there[name]
                    yield Change(kind="delete", path=_join(path, name), entry=None)
            for entry in self._selection.of_folder(path, listed, included=folder.included):
                below, status = _join(path, entry.name), there.get(entry.name)
                decision = self._decide(here, entry, status, shallow=shallow)
                yield from self._told(decision, here, entry, below, status, there)
                if entry.type == DIRECTORY and isinstance(decision, Make | SetAttributes):
                    included = folder.included or self._selection.includes(below, is_directory=True)
                    inner.append(_Folder(entry, below, folder.depth + 1, included, exists=status is not None))
        stack += reversed(inner)

    def _open(self, path: str) -> int:
        """Open a folder of the target step by step: its path may be longer than the system takes at once."""
        handle = os.open(self._target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in path.split("/") if path else ():
            try:
                inner = os.open(name, FOLDER_FLAGS, dir_fd=handle)
            finally:
                os.close(handle)
            handle = inner
        return handle

    def _decide(self, folder: int, entry: DirectoryEntry, status: os.stat_result | None, *, shallow: bool) -> Decision:
        """Decide what a restore does with an entry that has ``status`` in its place in an open folder."""
        empty = True
        if status is not None and stat.S_ISDIR(status.st_mode) and not self._options.overwrite_directories:
            with contextlib.suppress(OSError), _opened(os.open(entry.name, FOLDER_FLAGS, dir_fd=folder)) as inner:
                empty = all(TEMPORARY_NAME.fullmatch(name) for name in os.listdir(inner))

        def same() -> bool:
            return status is not None and not self._difference(folder, entry, status)

        return decide(entry, existing_of(status, empty=empty), self._options, same, shallow=shallow)

    def _told(
        self,
        decision: Decision,
        folder: int,
        entry: DirectoryEntry,
        path: str,
        status: os.stat_result | None,
        there: Container[str],
    ) -> Iterator[Change]:
        """Yield what a decision comes to, for an entry in an open folder that has these names."""
        placeholder = entry.name + PLACEHOLDER_SUFFIX
        match decision:
            case Refuse(reason):
                yield Change(kind="refuse", path=path, entry=entry, reason=reason)
                return
            case Placeholder():
                kind: ChangeKind = "replace" if placeholder in there else "create"
                yield Change(kind=kind, path=path + PLACEHOLDER_SUFFIX, entry=entry, reason="a placeholder")
                return
            case Keep():
                self.unchanged += 1
            case Make():
                yield Change(kind="create", path=path, entry=entry)
            case Replace() if status is not None and (reason := self._difference(folder, entry, status)):
                yield Change(kind="replace", path=path, entry=entry, reason=reason)
            case _ if status is not None:
                yield from self._attributes(path, entry, status)
        if placeholder in there:
            reason = "what it stands for is restored"
            yield Change(kind="delete", path=path + PLACEHOLDER_SUFFIX, entry=None, reason=reason)

    def _difference(self, folder: int, entry: DirectoryEntry, status: os.stat_result) -> str:
        """Return in what the contents of a file, or the target of a link, differ; empty if they do not."""
        if kind_of(status.st_mode) != entry.type:
            return "something of another kind is there"
        if entry.type == SYMLINK:
            there = os.fsencode(os.readlink(entry.name, dir_fd=folder))
            return "" if there == self._objects.read(entry.object_id) else "it leads elsewhere"
        if status.st_size != entry.size:
            return f"{status.st_size} bytes become {entry.size}"
        try:
            with _opened(os.open(entry.name, READ_FLAGS, dir_fd=folder)) as handle:
                return "" if self._differences.same(handle, entry) else "its contents differ"
        except (OSError, PykopiaError) as error:
            return f"it can't be compared: {error}"

    def _attributes(self, path: str, entry: DirectoryEntry, status: os.stat_result) -> Iterator[Change]:
        """Compare what would be set; a link has no mode of its own."""
        options = self._options
        differing = []
        if not options.skip_owners and (status.st_uid, status.st_gid) != (entry.uid, entry.gid):
            differing.append("owner")
        if not options.skip_permissions and entry.type != SYMLINK and stat.S_IMODE(status.st_mode) != entry.mode:
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
    depth: int
    included: bool
    """Whether it, or one above it, is included."""
    exists: bool


@contextlib.contextmanager
def _opened(handle: int) -> Iterator[int]:
    try:
        yield handle
    finally:
        os.close(handle)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


__all__ = ["Change", "RestorePlan"]
