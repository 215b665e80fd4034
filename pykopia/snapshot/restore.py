"""Restoring: the tree of a snapshot is walked once, an output is told what to make.

Facts: spec 04 §14. The walk is by one thread, the files of a folder are made by several, a large file by several at once.
"""

import errno
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, Protocol, TypeVar

from pykopia.errors import CanceledError, PykopiaError, RestoreError, UnsafePathError
from pykopia.format.directory import DirectoryEntry
from pykopia.repository.repository import Repository
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions, RestoreResult
from pykopia.snapshot.selection import Selection

BATCH_FILES = 64
BATCH_BYTES = 4 << 20
SMALL_FILE = 1 << 20
"""Bytes of a file up to which its content is fetched together with those of others."""
LARGE_FILE = 32 << 20
"""Files above this many bytes are a task of their own."""
QUEUED_PER_THREAD = 4
TARGET_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""Errors of a target that is full, read-only or broken."""

Folder = TypeVar("Folder")


class Output(Protocol[Folder]):
    """Where a restore puts entries; called from several threads, once for each entry."""

    def root(self, entry: DirectoryEntry) -> Folder:
        """Make the folder that a snapshot's root directory becomes."""

    def directory(self, parent: Folder, entry: DirectoryEntry, path: str) -> Folder:
        """Make a folder in another; its attributes are set when it is finished."""

    def prepare(self, folder: Folder, entries: Sequence[DirectoryEntry], path: str) -> None:
        """Look at all entries of a folder before the first is made (to remove what is not among them)."""

    def files(
        self, parent: Folder, entries: Sequence[DirectoryEntry], path: str
    ) -> Iterator[tuple[DirectoryEntry, bool | Exception]]:
        """Make files with their contents and attributes.

        Yields:
            Each entry with whether it was made, False when it was left as it is, or with what went wrong.
        """

    def symlink(self, parent: Folder, entry: DirectoryEntry, path: str) -> bool:
        """Make a symbolic link; return False when one was left as it is."""

    def placeholder(self, parent: Folder, entry: DirectoryEntry, path: str) -> bool:
        """Make a placeholder for an entry (shallow restore); False when the entry is to be restored in full."""

    def finish(self, folder: Folder, entry: DirectoryEntry, path: str) -> None:
        """Set the attributes of a folder whose entries are all made."""

    def close(self, *, complete: bool) -> None:
        """End; ``complete`` is false after an error."""


class _Open(Generic[Folder]):
    """A folder that is being filled."""

    __slots__ = ("entry", "folder", "included", "parent", "path", "unfinished")

    def __init__(
        self, folder: Folder, entry: DirectoryEntry, path: str, parent: "_Open[Folder] | None", *, included: bool
    ) -> None:
        self.folder, self.entry, self.path, self.parent, self.included = folder, entry, path, parent, included
        self.unfinished = 1  # the walk itself
        if parent is not None:
            parent.unfinished += 1


class Restore(Generic[Folder]):
    """One restore of a directory into an output."""

    def __init__(
        self,
        repository: Repository,
        output: Output[Folder],
        options: RestoreOptions,
        progress: Progress[RestoreCounters],
    ) -> None:
        self._repository = repository
        self._output = output
        self._options = options
        self._selection = Selection(options.include, options.exclude)
        self._progress = progress
        self._lock = threading.Lock()
        self._errors: list[str] = []
        self._causes: list[Exception] = []
        self._failure: BaseException | None = None
        self._running: set[Future[None]] = set()

    def run(self, root: DirectoryEntry) -> RestoreResult:
        """Restore a directory.

        Raises:
            RestoreError: an entry could not be restored, and errors are not ignored; the first one is told.
            CanceledError: the caller asked to stop.
        """
        with ThreadPoolExecutor(max(1, self._options.parallel), thread_name_prefix="pykopia-restore") as pool:
            try:
                self._walk(pool, root)
                self._drain(0)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                self._output.close(complete=False)
                raise
        if self._failure is not None:
            self._output.close(complete=False)
            raise self._failure
        self._output.close(complete=True)
        return RestoreResult(
            counters=self._progress.counters, errors=tuple(sorted(self._errors)), causes=tuple(self._causes)
        )

    # ------------------------------------------------------------------ walking

    def _walk(self, pool: ThreadPoolExecutor, root: DirectoryEntry) -> None:
        self._selection.look_into(root, self._repository.objects)
        top = _Open(self._output.root(root), root, "", None, included=self._selection.all_included)
        stack: deque[tuple[_Open[Folder], DirectoryEntry, int]] = deque()
        self._fill(pool, top, 0, stack)
        while stack:
            parent, entry, depth = stack.pop()
            path = _join(parent.path, entry.name)
            try:
                self._progress.check()
                folder = self._output.directory(parent.folder, entry, path)
            except CanceledError:
                raise
            except (PykopiaError, OSError) as error:
                self._failed(path, error)
                self._done(parent)
                continue
            included = parent.included or self._selection.includes(path, is_directory=True)
            opened = _Open(folder, entry, path, parent, included=included)
            self._done(parent)
            self._fill(pool, opened, depth, stack)

    def _fill(
        self,
        pool: ThreadPoolExecutor,
        opened: "_Open[Folder]",
        depth: int,
        stack: "deque[tuple[_Open[Folder], DirectoryEntry, int]]",
    ) -> None:
        """Hand the files of a folder to threads, put its folders on the stack."""
        try:
            entries: Sequence[DirectoryEntry] = self._repository.objects.directory(opened.entry.object_id).entries
            self._output.prepare(opened.folder, entries, opened.path)
            entries = self._selection.of_folder(opened.path, entries, included=opened.included)
        except (PykopiaError, OSError) as error:
            self._failed(opened.path, error)
            self._done(opened)
            return
        shallow = self._options.shallow_depth is not None and depth >= self._options.shallow_depth
        if not shallow:
            self._repository.contents.expect(entry.object_id for entry in entries if fetched_together(entry))
        batch: list[DirectoryEntry] = []
        size = 0
        folders: list[DirectoryEntry] = []
        total = files = links = 0
        for entry in entries:
            if not _safe(entry.name):
                self._failed(
                    _join(opened.path, entry.name),
                    UnsafePathError(f"entry name {entry.name!r} would leave the target; it was not restored"),
                )
                continue
            if shallow and entry.type != "s" and self._shallow(opened, entry):
                continue
            if entry.type == "d":
                folders.append(entry)
                continue
            links += entry.type == "s"
            files += entry.type != "s"
            total += entry.size
            batch.append(entry)
            size += entry.size
            if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
                self._submit(pool, opened, batch)
                batch, size = [], 0
        if batch:
            self._submit(pool, opened, batch)
        self._progress.add(
            enqueued_files=files, enqueued_symlinks=links, enqueued_directories=len(folders), enqueued_bytes=total
        )
        for entry in reversed(folders):
            with self._lock:
                opened.unfinished += 1
            stack.append((opened, entry, depth + 1))
        self._done(opened)

    def _shallow(self, opened: "_Open[Folder]", entry: DirectoryEntry) -> bool:
        path = _join(opened.path, entry.name)
        try:
            return self._output.placeholder(opened.folder, entry, path)
        except (PykopiaError, OSError) as error:
            self._failed(path, error)
            return True

    # ------------------------------------------------------------------ threads

    def _submit(self, pool: ThreadPoolExecutor, opened: "_Open[Folder]", batch: list[DirectoryEntry]) -> None:
        self._drain(QUEUED_PER_THREAD * max(1, self._options.parallel))
        with self._lock:
            opened.unfinished += 1
        self._running.add(pool.submit(self._make, opened, batch))

    def _drain(self, most: int) -> None:
        """Wait until at most ``most`` batches are under way; raise what has failed."""
        while len(self._running) > most:
            done, self._running = wait(self._running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
        if self._failure is not None:
            raise self._failure

    def _make(self, opened: "_Open[Folder]", batch: list[DirectoryEntry]) -> None:
        files = [entry for entry in batch if entry.type == "f"]
        made = links = size = skipped = skipped_size = 0
        for entry, done in self._made(opened, files, [entry for entry in batch if entry.type != "f"]):
            if isinstance(done, Exception):
                self._failed(_join(opened.path, entry.name), done)
            elif not done:
                skipped += 1
                skipped_size += entry.size
            elif entry.type == "s":
                links += 1
            else:
                made += 1
                size += entry.size
            if self._failure is not None:
                return
            self._progress.check()
        self._progress.add(
            restored_files=made,
            restored_symlinks=links,
            restored_bytes=size,
            skipped_files=skipped,
            skipped_bytes=skipped_size,
        )
        self._done(opened)

    def _made(
        self, opened: "_Open[Folder]", files: Sequence[DirectoryEntry], others: Sequence[DirectoryEntry]
    ) -> Iterator[tuple[DirectoryEntry, bool | Exception]]:
        """Make the entries of a batch; yield what became of each."""
        if files:
            yield from self._output.files(opened.folder, files, opened.path)
        for entry in others:
            path = _join(opened.path, entry.name)
            try:
                if entry.type != "s":
                    raise RestoreError(f"{path} has type {entry.type!r}, which can't be restored")
                yield entry, self._output.symlink(opened.folder, entry, path)
            except (PykopiaError, OSError) as error:
                yield entry, error

    def _done(self, opened: "_Open[Folder] | None") -> None:
        """Count one part of a folder as made; finish the folder, and those above, with the last part."""
        while opened is not None:
            with self._lock:
                opened.unfinished -= 1
                if opened.unfinished:
                    return
            try:
                self._output.finish(opened.folder, opened.entry, opened.path)
                self._progress.add(restored_directories=1)
            except (PykopiaError, OSError) as error:
                self._failed(opened.path or ".", error)
            opened = opened.parent

    def _failed(self, path: str, error: Exception) -> None:
        told = describe(path, error)
        if isinstance(error, CanceledError):
            raise error
        ignored = self._options.ignore_errors and not _ends_all(error)
        with self._lock:
            if ignored:
                self._errors.append(told)
                self._causes.append(error)
            elif self._failure is None:
                self._failure = error if isinstance(error, RestoreError) else RestoreError(told)
                self._failure.__cause__ = error
        if ignored:
            self._progress.add(ignored_errors=1)


def _ends_all(error: Exception) -> bool:
    """Tell whether an error is of the target as a whole."""
    return isinstance(error, OSError) and not isinstance(error, PykopiaError) and error.errno in TARGET_ERRNOS


def fetched_together(entry: DirectoryEntry) -> bool:
    """Tell whether a file is a single small content."""
    return entry.type == "f" and entry.size <= SMALL_FILE and entry.object_id[:1] not in ("I", "Z")


def describe(path: str, error: Exception) -> str:
    """Return one line that says what could not be restored and why."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"can't restore {path or '.'}: {reason}"


def one_by_one(
    make: Callable[[DirectoryEntry], bool], entries: Sequence[DirectoryEntry]
) -> Iterator[tuple[DirectoryEntry, bool | Exception]]:
    """Make entries one after the other; yield what became of each (see ``Output.files``)."""
    for entry in entries:
        try:
            yield entry, make(entry)
        except (PykopiaError, OSError) as error:
            yield entry, error


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _safe(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


__all__ = ["SMALL_FILE", "Output", "Restore", "describe", "fetched_together", "one_by_one"]
