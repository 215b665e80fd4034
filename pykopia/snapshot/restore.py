"""Restoring: the tree of a snapshot is walked once, and an output makes the entries.

Facts: format 04 §14. The walk is by one thread, files are made by several, many small ones at a time, a large one by several
at once.
"""

import errno
import resource
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from pykopia.crew import Crew
from pykopia.errors import CanceledError, ClosedError, DuplicateNameError, PykopiaError, RestoreError, UnsafePathError
from pykopia.format.directory import DIRECTORY, FILE, SYMLINK, DirectoryEntry, DirectorySummary
from pykopia.repository.core import Core
from pykopia.repository.objects import INDIRECT, DirectoryReader, ObjectStore
from pykopia.snapshot.problem import Problem, reason
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore_decision import apart, collide, unusable
from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions, RestoreResult
from pykopia.snapshot.selection import Selection
from pykopia.snapshot.trail import Trail

BATCH_FILES = 128
BATCH_BYTES = 4 << 20
MOST_OPEN = 384
"""Folders that are made and not finished, beside those above them: each is an open file of this process."""
SMALL_FILE = 1 << 20
"""Bytes of a file up to which its content is fetched together with those of others."""
QUEUED_PER_THREAD = 4
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
TARGET_ERRNOS = FULL_ERRNOS | {errno.EROFS, errno.EIO}
"""Errors of a target that is full, read-only or broken."""
ENTRY_ERRORS = (PykopiaError, OSError, ValueError, OverflowError)
"""Errors of one entry: of the repository, of the target, and of values that the target can't take."""

Folder = TypeVar("Folder")

Item = tuple[Folder, DirectoryEntry, str]
"""An entry to make: the folder that gets it, the entry, and the path of that folder."""

Failed = tuple[str, Exception]
"""The path of something and why it could not be done."""


class Output(Protocol[Folder]):
    """Target of a restore; called from several threads, once for each entry."""

    def root(self, entry: DirectoryEntry) -> Folder:
        """Make the folder that a snapshot's root directory becomes."""

    def directory(self, parent: Folder, entry: DirectoryEntry, path: str) -> Folder:
        """Make a folder in another; its attributes are set when it is finished."""

    def name_key(self, folder: Folder, entries: Sequence[DirectoryEntry]) -> Callable[[str], str]:
        """Return what decides whether two names of a folder are one for this output."""

    def prepare(
        self, folder: Folder, entries: Sequence[DirectoryEntry], path: str, *, shallow: bool
    ) -> Iterator[Failed]:
        """Look at all entries of a folder before the first is made (to remove what is not among them).

        Yields:
            What could not be removed.
        """

    def needed(self, folder: Folder, entries: Iterable[DirectoryEntry]) -> Iterator[DirectoryEntry]:
        """Yield the entries whose contents will be needed, as far as that is known before."""

    def files(self, items: Sequence[Item[Folder]]) -> Iterator[tuple[Item[Folder], bool | Exception]]:
        """Make files with their contents and attributes.

        Yields:
            Each item with whether it was made, False when it was left as it is, or with what went wrong.
        """

    def symlink(self, parent: Folder, entry: DirectoryEntry, path: str) -> bool:
        """Make a symbolic link; return False when one was left as it is."""

    def placeholder(self, parent: Folder, entry: DirectoryEntry, path: str) -> bool:
        """Make a placeholder for an entry (shallow restore); False when the entry is to be restored in full."""

    def park(self, folder: Folder) -> None:
        """Close the open file of an idle folder; it is opened again when needed."""

    def counts(self, entry: DirectoryEntry) -> bool:
        """Return True if the output itself counts the bytes of this file as it writes them."""

    def finish(self, folder: Folder, entry: DirectoryEntry, path: str, *, complete: bool) -> None:
        """Set the attributes of a folder whose entries are all made; ``complete`` is false if one below it failed."""

    def ends_all(self, error: OSError) -> bool:
        """Return True if an error is of the target as a whole, so that nothing else would go well."""

    @property
    def warnings(self) -> Sequence[str]:
        """Deviations from the usual way, one line each."""

    def close(self, *, complete: bool) -> None:
        """Finish; ``complete`` is False after an error."""


class _Open(Generic[Folder]):
    """A folder that is being filled."""

    __slots__ = ("batches", "entry", "failed", "folder", "included", "parent", "path", "unfinished")

    def __init__(
        self, folder: Folder, entry: DirectoryEntry, path: str, parent: "_Open[Folder] | None", *, included: bool
    ) -> None:
        self.folder, self.entry, self.path, self.parent, self.included = folder, entry, path, parent, included
        self.unfinished = 1  # the walk itself
        self.batches = 0
        """Batches with files of this folder that are not made yet."""
        self.failed = False
        if parent is not None:
            parent.unfinished += 1


class Restore(Generic[Folder]):
    """One restore of a directory into an output."""

    def __init__(
        self,
        repository: Core,
        output: Output[Folder],
        options: RestoreOptions,
        progress: Progress[RestoreCounters],
        selection: Selection,
    ) -> None:
        self._repository = repository
        self._output = output
        self._options = options
        self._selection = selection
        self._progress = progress
        self._total_is_known = False
        """Whether the root says how much there is to restore."""
        self._lock = threading.Lock()
        self._problems: list[Problem] = []
        self._collisions: list[DuplicateNameError] = []
        self._directories = DirectoryReader(repository.objects)
        self._batch: list[tuple[_Open[Folder], DirectoryEntry]] = []
        self._batch_size = 0
        self._trail = Trail()
        self._most_open = min(MOST_OPEN, _open_files() // 4)
        self._unfinished = 0
        """Folders that are made and not finished."""
        threads = max(1, options.parallel)
        self._crew: Crew[None] = Crew(threads, most=QUEUED_PER_THREAD * threads, name="pykopia-restore")

    def run(self, root: DirectoryEntry) -> RestoreResult:
        """Restore a directory.

        Raises:
            RestoreError: an entry could not be restored, and errors are not ignored; the first error is raised.
            DuplicateNameError: all was restored, and entries of one name are under different names now.
            CanceledError: the caller asked to stop.
        """
        self._expect(root.summary)
        try:
            with self._crew:
                self._walk(root)
                self._send()
        except BaseException:
            self._output.close(complete=False)
            raise
        self._output.close(complete=True)
        if self._collisions and not self._options.ignore_errors:
            raise self._collisions[0]
        return RestoreResult(
            counters=self._progress.counters,
            problems=tuple(sorted(self._problems, key=str)),
            warnings=tuple(self._output.warnings),
        )

    def _expect(self, summary: DirectorySummary | None) -> None:
        """Count all that there is to restore, if all of it is to be restored; otherwise the walk counts."""
        options = self._options
        if summary is None or options.include or options.exclude or options.shallow_depth is not None:
            return
        self._total_is_known = True
        self._progress.set(
            enqueued_files=summary.files,
            enqueued_symlinks=summary.symlinks,
            enqueued_directories=summary.dirs,
            enqueued_bytes=summary.size,
        )

    # ------------------------------------------------------------------ walking

    def _walk(self, root: DirectoryEntry) -> None:
        self._selection.look_into(root, self._repository.objects)
        self._trail = Trail(self._repository.objects, root)
        top = _Open(self._output.root(root), root, "", None, included=self._selection.all_included)
        stack: deque[tuple[_Open[Folder], DirectoryEntry, int]] = deque()
        self._unfinished += 1
        self._fill(top, 0, stack)
        while stack:
            parent, entry, depth = stack.pop()
            path = _join(parent.path, entry.name)
            try:
                self._progress.check()
                folder = self._output.directory(parent.folder, entry, path)
            except CanceledError:
                raise
            except ENTRY_ERRORS as error:
                self._failed(parent, entry, path, error)
                self._done(parent)
                continue
            included = parent.included or self._selection.includes(path, is_directory=True)
            opened = _Open(folder, entry, path, parent, included=included)
            with self._lock:
                self._unfinished += 1
            self._done(parent)
            self._wait_for_folders(opened, depth)
            self._fill(opened, depth, stack)

    def _fill(
        self, opened: "_Open[Folder]", depth: int, stack: "deque[tuple[_Open[Folder], DirectoryEntry, int]]"
    ) -> None:
        """Hand the files of a folder to threads, put its folders on the stack."""
        shallow = self._options.shallow_depth is not None and depth >= self._options.shallow_depth
        try:
            self._trail.enter(depth, opened.entry.object_id)
            following = (entry.object_id for _, entry, _ in reversed(stack))
            entries: Sequence[DirectoryEntry] = self._directories.read(opened.entry.object_id, following).entries
            stored = entries = self._apart(opened, entries)
            entries = self._selection.of_folder(opened.path, entries, included=opened.included)
            for path, error in self._output.prepare(opened.folder, stored, opened.path, shallow=shallow):
                self._failed(opened, opened.entry, path, error)
        except CanceledError:
            raise
        except ENTRY_ERRORS as error:
            self._failed(opened, opened.entry, opened.path, error)
            self._done(opened)
            return
        entries = self._usable(opened, entries)
        if not shallow:
            needed = self._output.needed(opened.folder, entries)
            self._repository.contents.expect(entry.object_id for entry in needed if fetched_together(entry))
        folders: list[DirectoryEntry] = []
        total = files = links = left = 0
        for entry in entries:
            left += entry.extended is not None
            if shallow and self._shallow(opened, entry):
                continue
            if entry.type == DIRECTORY:
                folders.append(entry)
                continue
            links += entry.type == SYMLINK
            files += entry.type != SYMLINK
            total += entry.size
            self._enqueue(opened, entry)
        if left and not self._options.extended_attributes:
            self._progress.add(left_extended_attributes=left)
        if not self._total_is_known:
            self._progress.add(
                enqueued_files=files, enqueued_symlinks=links, enqueued_directories=len(folders), enqueued_bytes=total
            )
        if folders:
            with self._lock:
                opened.unfinished += len(folders)
            stack.extend((opened, entry, depth + 1) for entry in reversed(folders))
        self._done(opened)

    def _apart(self, opened: "_Open[Folder]", entries: Sequence[DirectoryEntry]) -> Sequence[DirectoryEntry]:
        """Return the entries of a folder, those whose name an earlier one has under names of their own."""
        key = self._output.name_key(opened.folder, entries)
        if not collide(entries, key):
            return entries
        restored = []
        for entry, renamed in apart(entries, key):
            restored.append(renamed or entry)
            if renamed is not None:
                self._note_collision(opened, entry, renamed.name)
        return restored

    def _note_collision(self, opened: "_Open[Folder]", entry: DirectoryEntry, name: str) -> None:
        path = _join(opened.path, entry.name)
        if not self._selection.wants(path, is_directory=entry.type == DIRECTORY):
            return
        error = DuplicateNameError(path, _join(opened.path, name))
        with self._lock:
            self._collisions.append(error)
            self._problems.append(Problem(path=path, object_id=entry.object_id, error=error, line=str(error)))
        self._progress.add(ignored_errors=1)

    def _usable(self, opened: "_Open[Folder]", entries: Sequence[DirectoryEntry]) -> list[DirectoryEntry]:
        """Return the entries that can be restored; the others are errors."""
        usable = []
        for entry in entries:
            problem = unusable(entry)
            if problem is None:
                usable.append(entry)
                continue
            path = _join(opened.path, entry.name)
            error = (
                UnsafePathError(problem.reason)
                if problem.unsafe
                else RestoreError(f"can't restore {path}: {problem.reason}")
            )
            self._failed(opened, entry, path, error)
        return usable

    def _shallow(self, opened: "_Open[Folder]", entry: DirectoryEntry) -> bool:
        path = _join(opened.path, entry.name)
        try:
            return self._output.placeholder(opened.folder, entry, path)
        except CanceledError:
            raise
        except ENTRY_ERRORS as error:
            self._failed(opened, entry, path, error)
            return True

    # ------------------------------------------------------------------ threads

    def _enqueue(self, opened: "_Open[Folder]", entry: DirectoryEntry) -> None:
        """Put a file or link into the batch that is made next."""
        if not self._batch or self._batch[-1][0] is not opened:
            with self._lock:
                opened.unfinished += 1  # once for each batch: see _make
                opened.batches += 1
        self._batch.append((opened, entry))
        self._batch_size += entry.size
        if len(self._batch) >= BATCH_FILES or self._batch_size >= BATCH_BYTES:
            self._send()

    def _send(self) -> None:
        if self._batch:
            batch, self._batch, self._batch_size = self._batch, [], 0
            self._crew.submit(self._make, batch)

    def _wait_for_folders(self, opened: "_Open[Folder]", depth: int) -> None:
        """Bound the folders that are open: wait for those beside the path to this one, park those far above it."""
        if self._unfinished > self._most_open + depth:
            self._send()
            while self._unfinished > self._most_open // 2 + depth and self._crew.under_way:
                self._crew.drain(self._crew.under_way - 1)
        if depth > self._most_open // 2:
            busy = self._park_above(opened)
            if busy > self._most_open:
                self._send()
                self._crew.drain()
                self._park_above(opened)

    def _park_above(self, opened: "_Open[Folder]") -> int:
        """Park the folders far above one; return how many of them have files that are still to be made."""
        busy = 0
        above, distance = opened.parent, 1
        while above is not None:
            if distance > self._most_open // 2:
                with self._lock:
                    idle = not above.batches
                if idle:
                    self._output.park(above.folder)
                busy += not idle
            above, distance = above.parent, distance + 1
        return busy

    def _make(self, batch: "Sequence[tuple[_Open[Folder], DirectoryEntry]]") -> None:
        made = links = size = skipped = skipped_size = 0
        folders = dict.fromkeys(opened for opened, _ in batch)
        of_folder = {id(opened.folder): opened for opened in folders}
        for (folder, entry, path), done in self._made([(opened.folder, entry, opened.path) for opened, entry in batch]):
            if isinstance(done, Exception):
                self._failed(of_folder[id(folder)], entry, _join(path, entry.name), done)
            elif not done:
                skipped += 1
                skipped_size += entry.size
            elif entry.type == SYMLINK:
                links += 1
            else:
                made += 1
                size += 0 if self._output.counts(entry) else entry.size
            if self._crew.stopped:
                return
            self._progress.check()
        self._progress.add(
            restored_files=made,
            restored_symlinks=links,
            restored_bytes=size,
            skipped_files=skipped,
            skipped_bytes=skipped_size,
        )
        for opened in folders:
            with self._lock:
                opened.batches -= 1
            self._done(opened)

    def _made(self, items: Sequence[Item[Folder]]) -> Iterator[tuple[Item[Folder], bool | Exception]]:
        """Make the entries of a batch; yield what became of each."""
        files = [item for item in items if item[1].type == FILE]
        if files:
            yield from self._output.files(files)
        if len(files) < len(items):
            yield from one_by_one(self._link, (item for item in items if item[1].type != FILE))

    def _link(self, folder: Folder, entry: DirectoryEntry, path: str) -> bool:
        return self._output.symlink(folder, entry, _join(path, entry.name))

    def _done(self, opened: "_Open[Folder] | None") -> None:
        """Count one part of a folder as made; finish the folder, and those above, with the last part."""
        while opened is not None:
            with self._lock:
                opened.unfinished -= 1
                if opened.unfinished:
                    return
                self._unfinished -= 1
            try:
                self._output.finish(opened.folder, opened.entry, opened.path, complete=not opened.failed)
                self._progress.add(restored_directories=1)
            except ENTRY_ERRORS as error:
                self._failed(opened, opened.entry, opened.path, error)
            if opened.failed and opened.parent is not None:
                opened.parent.failed = True
            opened = opened.parent

    def _failed(self, opened: "_Open[Folder]", entry: DirectoryEntry, path: str, error: Exception) -> None:
        """Record an error of an entry in a folder, or of the folder itself; raise it if errors are not ignored.

        Raises:
            RestoreError: errors are not ignored, or this one is of the target as a whole.
        """
        if isinstance(error, CanceledError | ClosedError):
            raise error
        told = describe(path, error)
        if not self._options.ignore_errors or self._ends_all(error):
            if isinstance(error, RestoreError):
                raise error
            raise RestoreError(told) from error
        opened.failed = True
        with self._lock:
            self._problems.append(Problem(path=path, object_id=entry.object_id, error=error, line=told))
        self._progress.add(ignored_errors=1)

    def _ends_all(self, error: Exception) -> bool:
        return (
            isinstance(error, OSError)
            and not isinstance(error, PykopiaError)
            and error.errno in TARGET_ERRNOS
            and self._output.ends_all(error)
        )


def _open_files() -> int:
    """Return how many files this process may have open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit if limit != resource.RLIM_INFINITY else 1 << 20


def fetched_together(entry: DirectoryEntry) -> bool:
    """Return True if a file is a single small content."""
    return entry.type == FILE and entry.size <= SMALL_FILE and entry.object_id[:1] not in INDIRECT


def describe(path: str, error: Exception) -> str:
    """Return one line that says what could not be restored and why."""
    why = reason(error)
    if isinstance(error, RestoreError) and why.startswith("can't "):
        return why
    return f"can't restore {path or '.'}: {why}"


def link_target(objects: ObjectStore, entry: DirectoryEntry) -> bytes:
    """Return what a symbolic link leads to.

    Raises:
        RestoreError: no link can lead there.
    """
    target = objects.read(entry.object_id)
    if not target or b"\0" in target:
        what = "is empty" if not target else "has a NUL byte"
        raise RestoreError(f"can't restore symbolic link {entry.name}: its target {what}")
    return target


def one_by_one(
    make: Callable[[Folder, DirectoryEntry, str], bool], items: Iterable[Item[Folder]]
) -> Iterator[tuple[Item[Folder], bool | Exception]]:
    """Make things one after the other; yield what became of each (see ``Output.files``)."""
    for item in items:
        try:
            yield item, make(*item)
        except ENTRY_ERRORS as error:
            yield item, error


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


__all__ = [
    "FULL_ERRNOS",
    "SMALL_FILE",
    "Failed",
    "Item",
    "Output",
    "Restore",
    "describe",
    "fetched_together",
    "link_target",
    "one_by_one",
]
