"""Snapshot trees with some entries replaced or left out: each folder above a change is stored anew.

Facts: format 04 §15.2. A folder in which nothing changes keeps its object, with the errors that it records; Kopia builds
every folder anew and loses them.
"""

import json
from collections.abc import Callable
from dataclasses import field
from typing import Literal, TypeAlias

import msgspec

from pykopia.dataclass import dataclass
from pykopia.errors import DamagedDataError, PykopiaError, UsageError
from pykopia.format.directory import (
    DIRECTORY,
    FILE,
    Directory,
    DirectoryEntry,
    DirectorySummary,
    encode_entry,
    summarize,
)
from pykopia.ids import ObjectID
from pykopia.repository.objects import ObjectStore
from pykopia.repository.writer import RepositoryWriter
from pykopia.snapshot.directory_writing import write_directory
from pykopia.snapshot.locating import LOST
from pykopia.snapshot.trail import Trail

Handling = Literal["stub", "keep", "fail", "remove"]
"""What becomes of an entry that can't be read: a file in its place that tells of it, nothing, an error, its end."""

Change: TypeAlias = Callable[[str, DirectoryEntry], DirectoryEntry | None]
"""Takes a path in the snapshot and an entry; returns the entry, another one, or None to leave it out."""

STUB_PREFIX = ".INVALID."
STUB_INFO = "This file stands in the place of an entry that could not be read when the snapshot was repaired."


class Rewriter:
    """Rewrites snapshot trees; remembers folders, so what snapshots share is gone through once."""

    def __init__(
        self,
        objects: ObjectStore,
        writer: RepositoryWriter | None,
        change: Change,
        *,
        invalid_directories: Handling = "stub",
        metadata_compressor: str = "",
        by_path: bool = False,
    ) -> None:
        """Prepare for rewriting.

        Args:
            objects: of the repository.
            writer: where new folders go; None only tells what would change, and the objects of changed folders are the
                old ones then.
            change: what becomes of each entry that is not a folder, and of each folder before it is gone through.
            invalid_directories: what becomes of folders that can't be read.
            metadata_compressor: Kopia's name of a compressor for folders, empty for none.
            by_path: whether ``change`` goes by the path: a folder that lies at several paths is gone through at each then.
        """
        self._objects = objects
        self._writer = writer
        self._change = change
        self._invalid_directories = invalid_directories
        self.metadata_compressor = metadata_compressor
        self._by_path = by_path
        self._known: dict[tuple[str, DirectoryEntry], _Known] = {}
        self.changes: list[str] = []
        """One line for each entry that was replaced or left out."""
        self.unreadable: list[ObjectID] = []
        """Folders that can't be read."""

    def root(self, entry: DirectoryEntry) -> DirectoryEntry:
        """Return the root of a snapshot after the change, the same one when nothing in it changed.

        Raises:
            PykopiaError: something can't be read and the handling says to fail; nothing was committed.
        """
        rewritten = self._entry(".", entry)
        if rewritten is None:
            # a snapshot can't do without a root
            lost = DamagedDataError(f"the root {entry.object_id} of the snapshot was removed")
            rewritten = self.handle(self._invalid_directories, ".", entry, lost)
        return entry if rewritten is None else rewritten

    def _entry(self, path: str, entry: DirectoryEntry) -> DirectoryEntry | None:
        """Return what stands for an entry; folders are gone through with a stack, trees may be deep."""
        stack: list[_Open] = []
        trail = Trail(self._objects, entry)
        result: DirectoryEntry | None = None
        arriving: tuple[str, DirectoryEntry] | None = (path, entry)
        while True:
            if arriving is not None:
                opened = self._arrive(*arriving, trail, len(stack))
                arriving = None
                if isinstance(opened, _Open):
                    stack.append(opened)
                else:
                    result = opened
                    if not stack:
                        return result
                    stack[-1].take(result)
            top = stack[-1]
            if top.left:
                child = top.left[-1]
                arriving = (f"{top.path}/{child.name}" if top.path != "." else child.name, child)
                continue
            stack.pop()
            result = self._closed(top)
            self._known[self._key(top.path, top.entry)] = _Known(result, changed=top.changed)
            if not stack:
                return result
            stack[-1].take(result)

    def _arrive(self, path: str, entry: DirectoryEntry, trail: Trail, depth: int) -> "_Open | DirectoryEntry | None":
        """Return a folder to go through, or what stands for the entry."""
        known = self._known.get(self._key(path, entry)) if entry.type == DIRECTORY else None
        if known is not None:
            return known.result if known.changed else entry
        told = len(self.changes)
        changed = self._change(path, entry)
        if changed is None and len(self.changes) == told:
            self.changes.append(f"{path}: removed")
        if changed is None or changed.type != DIRECTORY:
            return changed
        try:
            trail.enter(depth, changed.object_id)
            directory = self._objects.directory(changed.object_id)
        except LOST as error:
            self.unreadable.append(changed.object_id)
            return self.handle(self._invalid_directories, path, changed, error)
        return _Open(path, changed, directory, list(reversed(directory.entries)))

    def _key(self, path: str, entry: DirectoryEntry) -> tuple[str, DirectoryEntry]:
        return path if self._by_path else "", entry

    def _closed(self, folder: "_Open") -> DirectoryEntry:
        if not folder.changed:
            return folder.entry
        summary = summary_after(folder.directory, folder.kept, folder.entry)
        object_id = folder.entry.object_id
        if self._writer is not None:
            object_id = write_directory(self._writer.objects, folder.kept, summary, self.metadata_compressor)
        return msgspec.structs.replace(folder.entry, object_id=object_id, summary=summary)

    # ------------------------------------------------------------------ what can't be read

    def handle(
        self, handling: Handling, path: str, entry: DirectoryEntry, error: PykopiaError
    ) -> DirectoryEntry | None:
        """Return what stands for an entry that can't be read.

        Raises:
            PykopiaError: the error, when the handling says to fail.
        """
        if handling == "fail":
            raise error
        if handling == "keep":
            return entry
        if handling == "remove":
            self.changes.append(f"{path}: removed: {error}")
            return None
        self.changes.append(f"{path}: replaced by {STUB_PREFIX}{entry.name}: {error}")
        text = stub_text(entry, error)
        object_id = ObjectID("")
        if self._writer is not None:
            object_id = self._writer.objects.write(text, metadata_compressor=self.metadata_compressor)
        return DirectoryEntry(
            name=STUB_PREFIX + entry.name,
            type=FILE,
            mode=entry.mode,
            size=len(text),
            mtime_ns=entry.mtime_ns,
            uid=entry.uid,
            gid=entry.gid,
            object_id=object_id,
        )


@dataclass(frozen=True, slots=True)
class _Known:
    """Result of a folder that was rewritten."""

    result: DirectoryEntry
    changed: bool


@dataclass(slots=True)
class _Open:
    """A folder that is being gone through."""

    path: str
    entry: DirectoryEntry
    directory: Directory
    left: list[DirectoryEntry]
    """Entries still to come, the next one last."""
    kept: list[DirectoryEntry] = field(default_factory=list)
    changed: bool = False

    def take(self, result: DirectoryEntry | None) -> None:
        """Take what stands for the next entry."""
        before = self.left.pop()
        self.changed |= result is not before
        if result is not None:
            self.kept.append(result)


def summary_after(before: Directory, entries: list[DirectoryEntry], own: DirectoryEntry) -> DirectorySummary:
    """Return the summary of a folder with other entries; errors that it recorded of its own stay."""
    old = before.summary or own.summary or DirectorySummary()
    below = [entry.summary for entry in before.entries if entry.summary is not None and entry.type == DIRECTORY]
    inherited = {error for summary in below for error in summary.errors}
    own_failed = max(old.num_failed - sum(summary.num_failed for summary in below), 0)
    own_ignored = max(old.num_ignored_errors - sum(summary.num_ignored_errors for summary in below), 0)
    new = summarize(entries, own.mtime_ns, incomplete=old.incomplete)
    errors = {*new.errors, *(error for error in old.errors if error not in inherited)}
    return msgspec.structs.replace(
        new,
        num_failed=new.num_failed + own_failed,
        num_ignored_errors=new.num_ignored_errors + own_ignored,
        errors=tuple(sorted(errors, key=lambda error: error.path.encode("utf-8", "surrogateescape"))),
    )


def stub_text(entry: DirectoryEntry, error: Exception) -> bytes:
    """Return what a stub file holds: JSON, laid out as Kopia's, with the entry that it stands for."""
    try:
        stored = json.loads(encode_entry(entry))
    except UsageError:  # an entry that could not be written
        stored = {"name": entry.name, "obj": entry.object_id}
    text = json.dumps({"info": STUB_INFO, "error": str(error), "entry": stored}, indent=4, ensure_ascii=False)
    return (text.replace("\n", "\n  ") + "\n").encode("utf-8", "replace")


__all__ = ["Change", "Handling", "Rewriter", "stub_text", "summary_after"]
