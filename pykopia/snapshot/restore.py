"""Restoring: the tree of a snapshot is walked once, an output is told what to make.

Facts: spec 04 §14. The walk is by one thread, files are made by several, many small ones at a time, a large one by several
at once.
"""

import errno
import resource
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, Protocol, TypeVar

from pykopia.errors import CanceledError, PykopiaError, RestoreError, UnsafePathError
from pykopia.format.directory import DirectoryEntry
from pykopia.repository.objects import INDIRECT, DirectoryReader
from pykopia.repository.repository import Repository
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions, RestoreResult
from pykopia.snapshot.selection import Selection

BATCH_FILES = 128
BATCH_BYTES = 4 << 20
MOST_OPEN = 384
"""Folders that are made and not finished, beside those above them: each is an open file of this process."""
SMALL_FILE = 1 << 20
"""Bytes of a file up to which its content is fetched together with those of others."""
QUEUED_PER_THREAD = 4
TARGET_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""Errors of a target that is full, read-only or broken."""

Folder = TypeVar("Folder")

Item = tuple[Folder, DirectoryEntry, str]
"""What is to be made: the folder it goes into, its entry, and the path of that folder."""


class Output(Protocol[Folder]):
    """Where a restore puts entries; called from several threads, once for each entry."""

    def root(self, entry: DirectoryEntry) -> Folder:
        """Make the folder that a snapshot's root directory becomes."""

    def directory(self, parent: Folder, entry: DirectoryEntry, path: str) -> Folder:
        """Make a folder in another; its attributes are set when it is finished."""

    def prepare(self, folder: Folder, entries: Sequence[DirectoryEntry], path: str) -> None:
        """Look at all entries of a folder before the first is made (to remove what is not among them)."""

    def needed(self, folder: Folder, entries: Iterable[DirectoryEntry]) -> Iterator[DirectoryEntry]:
        """Yield the entries whose contents will be asked for, as far as one can tell before."""

    def files(self, items: Sequence[Item[Folder]]) -> Iterator[tuple[Item[Folder], bool | Exception]]:
        """Make files with their contents and attributes.

        Yields:
            Each item with whether it was made, False when it was left as it is, or with what went wrong.
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
        self._directories = DirectoryReader(repository.objects)
        self._batch: list[tuple[_Open[Folder], DirectoryEntry]] = []
        self._batch_size = 0
        self._most_open = min(MOST_OPEN, _open_files() // 4)
        self._unfinished = 0
        """Folders that are made and not finished."""

    def run(self, root: DirectoryEntry) -> RestoreResult:
        """Restore a directory.

        Raises:
            RestoreError: an entry could not be restored, and errors are not ignored; the first one is told.
            CanceledError: the caller asked to stop.
        """
        with ThreadPoolExecutor(max(1, self._options.parallel), thread_name_prefix="pykopia-restore") as pool:
            try:
                self._walk(pool, root)
                self._send(pool)
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
        self._unfinished += 1
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
            with self._lock:
                self._unfinished += 1
            self._done(parent)
            self._fill(pool, opened, depth, stack)
            self._wait_for_folders(pool, depth)

    def _fill(
        self,
        pool: ThreadPoolExecutor,
        opened: "_Open[Folder]",
        depth: int,
        stack: "deque[tuple[_Open[Folder], DirectoryEntry, int]]",
    ) -> None:
        """Hand the files of a folder to threads, put its folders on the stack."""
        try:
            following = (entry.object_id for _, entry, _ in reversed(stack))
            entries: Sequence[DirectoryEntry] = self._directories.read(opened.entry.object_id, following).entries
            self._output.prepare(opened.folder, entries, opened.path)
            entries = self._selection.of_folder(opened.path, entries, included=opened.included)
        except (PykopiaError, OSError) as error:
            self._failed(opened.path, error)
            self._done(opened)
            return
        shallow = self._options.shallow_depth is not None and depth >= self._options.shallow_depth
        if not shallow:
            needed = self._output.needed(opened.folder, (entry for entry in entries if _safe(entry.name)))
            self._repository.contents.expect(entry.object_id for entry in needed if fetched_together(entry))
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
            self._enqueue(pool, opened, entry)
        self._progress.add(
            enqueued_files=files, enqueued_symlinks=links, enqueued_directories=len(folders), enqueued_bytes=total
        )
        if folders:
            with self._lock:
                opened.unfinished += len(folders)
            stack.extend((opened, entry, depth + 1) for entry in reversed(folders))
        self._done(opened)

    def _shallow(self, opened: "_Open[Folder]", entry: DirectoryEntry) -> bool:
        path = _join(opened.path, entry.name)
        try:
            return self._output.placeholder(opened.folder, entry, path)
        except (PykopiaError, OSError) as error:
            self._failed(path, error)
            return True

    # ------------------------------------------------------------------ threads

    def _enqueue(self, pool: ThreadPoolExecutor, opened: "_Open[Folder]", entry: DirectoryEntry) -> None:
        """Put a file or link into the batch that is made next."""
        if not self._batch or self._batch[-1][0] is not opened:
            with self._lock:
                opened.unfinished += 1  # once for each batch: see _make
        self._batch.append((opened, entry))
        self._batch_size += entry.size
        if len(self._batch) >= BATCH_FILES or self._batch_size >= BATCH_BYTES:
            self._send(pool)

    def _send(self, pool: ThreadPoolExecutor) -> None:
        if self._batch:
            self._drain(QUEUED_PER_THREAD * max(1, self._options.parallel))
            self._running.add(pool.submit(self._make, self._batch))
            self._batch, self._batch_size = [], 0

    def _wait_for_folders(self, pool: ThreadPoolExecutor, depth: int) -> None:
        """Wait until not too many folders are open; those above the last one stay so in any case."""
        if self._unfinished > self._most_open + depth:
            self._send(pool)
            while self._unfinished > self._most_open // 2 + depth and self._running:
                self._drain(len(self._running) - 1)

    def _drain(self, most: int) -> None:
        """Wait until at most ``most`` batches are under way; raise what has failed."""
        while len(self._running) > most:
            done, self._running = wait(self._running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
        if self._failure is not None:
            raise self._failure

    def _make(self, batch: "Sequence[tuple[_Open[Folder], DirectoryEntry]]") -> None:
        made = links = size = skipped = skipped_size = 0
        for (_, entry, path), done in self._made([(opened.folder, entry, opened.path) for opened, entry in batch]):
            if isinstance(done, Exception):
                self._failed(_join(path, entry.name), done)
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
        for opened in dict.fromkeys(opened for opened, _ in batch):
            self._done(opened)

    def _made(self, items: Sequence[Item[Folder]]) -> Iterator[tuple[Item[Folder], bool | Exception]]:
        """Make the entries of a batch; yield what became of each."""
        files = [item for item in items if item[1].type == "f"]
        if files:
            yield from self._output.files(files)
        if len(files) < len(items):
            yield from one_by_one(self._other, (item for item in items if item[1].type != "f"))

    def _other(self, folder: Folder, entry: DirectoryEntry, path: str) -> bool:
        """Make what is neither folder nor file."""
        if entry.type != "s":
            raise RestoreError(f"{_join(path, entry.name)} has type {entry.type!r}, which can't be restored")
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


def _open_files() -> int:
    """Return how many files this process may have open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit if limit != resource.RLIM_INFINITY else 1 << 20


def fetched_together(entry: DirectoryEntry) -> bool:
    """Tell whether a file is a single small content."""
    return entry.type == "f" and entry.size <= SMALL_FILE and entry.object_id[:1] not in INDIRECT


def describe(path: str, error: Exception) -> str:
    """Return one line that says what could not be restored and why."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"can't restore {path or '.'}: {reason}"


def one_by_one(
    make: Callable[[Folder, DirectoryEntry, str], bool], items: Iterable[Item[Folder]]
) -> Iterator[tuple[Item[Folder], bool | Exception]]:
    """Make things one after the other; yield what became of each (see ``Output.files``)."""
    for item in items:
        try:
            yield item, make(*item)
        except (PykopiaError, OSError) as error:
            yield item, error


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _safe(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


__all__ = ["SMALL_FILE", "Item", "Output", "Restore", "describe", "fetched_together", "one_by_one"]
