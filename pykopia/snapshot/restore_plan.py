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
from pykopia.format.directory import DIRECTORY, FILE, SYMLINK, DirectoryEntry
from pykopia.repository.objects import ObjectStore
from pykopia.snapshot.placeholder import PLACEHOLDER_SUFFIX
from pykopia.snapshot.problem import reason as reason_of
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
from pykopia.snapshot.restore_file import look_at_parent, takes_contents
from pykopia.snapshot.restore_local import decide_root, leftover_names
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.snapshot.selection import Selection
from pykopia.snapshot.small_files import FOLDER_FLAGS, TEMPORARY_NAME
from pykopia.snapshot.target_folder import PARKED, existing_of, kind_of, look_at_target, status_of
from pykopia.snapshot.trail import Trail

ChangeKind = Literal["create", "replace", "attributes", "delete", "refuse"]
RESTORED = "what it stands for is restored"
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Planned change of one path."""

    kind: ChangeKind
    """``replace``: the contents differ; ``attributes``: only owner, mode or time do; ``refuse``: it would fail here."""
    path: str
    """Below the target; empty for the target itself; ``../NAME`` for the placeholder beside it."""
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

    def __repr__(self) -> str:
        return f"<RestorePlan of {self._root.object_id} to {self._target}>"

    def __iter__(self) -> Iterator[Change]:
        """Yield changes, folder by folder."""
        if self._root.type != DIRECTORY:
            yield from self._single()
            return
        self._selection.look_into(self._root, self._objects)
        status = look_at_target(self._target)
        decision = decide_root(self._root, self._target, status, self._options)
        if isinstance(decision, Refuse):
            yield Change(kind="refuse", path="", entry=self._root, reason=decision.reason)
            return
        top = _Folder(self._root, "", 0, self._selection.all_included, status is not None)
        if isinstance(status, os.stat_result):
            yield from self._attributes("", self._root, status)
        else:
            yield Change(kind="create", path="", entry=self._root)
        if os.path.lexists(self._target.parent / (self._target.name + PLACEHOLDER_SUFFIX)):
            top.placeholder = f"../{self._target.name}{PLACEHOLDER_SUFFIX}"
        stack, trail = [top], Trail(self._objects, self._root)
        while stack:
            self._check()
            folder = stack.pop()
            if folder.looked_into:
                if folder.placeholder and not folder.refused:
                    yield Change(kind="delete", path=folder.placeholder, entry=None, reason=RESTORED)
                continue
            folder.looked_into = True
            stack.append(folder)
            try:
                trail.enter(folder.depth, folder.entry.object_id)
                entries = self._objects.directory(folder.entry.object_id).entries
            except PykopiaError as error:
                if not self._options.ignore_errors:
                    raise
                folder.refuse()
                yield Change(kind="refuse", path=folder.path, entry=folder.entry, reason=reason_of(error))
                continue
            yield from self._folder(folder, entries, stack)

    def _single(self) -> Iterator[Change]:
        """Compare a file or link that is restored by itself."""
        entry = msgspec.structs.replace(self._root, name=self._target.name)
        if takes_contents(entry, self._target):
            reason = "its contents are written to the pipe or device that is there"
            yield Change(kind="replace", path="", entry=self._root, reason=reason)
            return
        found = look_at_parent(entry, self._target)
        if found is None or isinstance(found, Refuse):
            yield from self._told(found or Make(), PARKED, entry, "", None, ())
            return
        with _opened(os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as folder:
            status = status_of(entry.name, folder)
            decision = self._decide(folder, entry, status, shallow=False)
            yield from self._told(decision, folder, entry, "", status, os.listdir(folder))

    def _folder(self, folder: "_Folder", listed: Sequence[DirectoryEntry], stack: "list[_Folder]") -> Iterator[Change]:
        """Compare the entries of a folder with what is there; put the folders in it on the stack."""
        path, options = folder.path, self._options
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
                written = (name for name, status in there.items() if kind_of(status.st_mode) in (FILE, SYMLINK))
                for name in leftover_names(written, listed):
                    del there[name]
                    yield Change(kind="delete", path=_join(path, name), entry=None, reason="left by a restore")
                kinds = {name: kind_of(status.st_mode) for name, status in there.items()}
                for name in extra_names(path, listed, kinds, self._selection, options, shallow=shallow):
                    del there[name]
                    yield Change(kind="delete", path=_join(path, name), entry=None)
            for entry in self._selection.of_folder(path, listed, included=folder.included):
                below, status = _join(path, entry.name), there.get(entry.name)
                decision = self._decide(here, entry, status, shallow=shallow)
                if isinstance(decision, Refuse):
                    folder.refuse()
                yield from self._told(decision, here, entry, below, status, there)
                if entry.type == DIRECTORY and isinstance(decision, Make | SetAttributes):
                    included = folder.included or self._selection.includes(below, is_directory=True)
                    placeholder = below + PLACEHOLDER_SUFFIX if entry.name + PLACEHOLDER_SUFFIX in there else ""
                    inner.append(
                        _Folder(
                            entry,
                            below,
                            folder.depth + 1,
                            included,
                            status is not None,
                            above=folder,
                            placeholder=placeholder,
                        )
                    )
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
        if placeholder in there and entry.type != DIRECTORY:  # a folder's goes when all that is in it is restored
            path = path or f"../{entry.name}"
            yield Change(kind="delete", path=path + PLACEHOLDER_SUFFIX, entry=None, reason=RESTORED)

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
    above: "_Folder | None" = None
    placeholder: str = ""
    """Path of its placeholder, empty if there is none."""
    looked_into: bool = False
    refused: bool = False
    """Whether anything in it, at any depth, is refused."""

    def refuse(self) -> None:
        """Note that something in this folder is refused."""
        folder: _Folder | None = self
        while folder is not None and not folder.refused:
            folder.refused = True
            folder = folder.above


@contextlib.contextmanager
def _opened(handle: int) -> Iterator[int]:
    try:
        yield handle
    finally:
        os.close(handle)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


__all__ = ["Change", "RestorePlan"]
