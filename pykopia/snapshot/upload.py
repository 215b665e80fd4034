"""Taking a snapshot of a folder: one thread walks, several read, folders are written from the bottom up.

Facts: format 04 §11. A folder is finished by whichever thread finishes the last thing in it. The walk runs ahead of the
readers by a bounded number of batches, so memory does not grow with the source.
"""

import logging
import os
import random
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from pykopia.errors import CanceledError, PykopiaError, SourceReadError
from pykopia.format.directory import (
    Directory,
    DirectoryEntry,
    DirectorySummary,
    EntryFailure,
    colliding_names,
    encode_directory,
    summarize,
)
from pykopia.format.gojson import stored_form
from pykopia.format.gotime import nearest_time
from pykopia.format.ignore import IgnoreContext
from pykopia.format.policy import FilesPolicy
from pykopia.format.policy_tree import PolicyTree
from pykopia.ids import ObjectID
from pykopia.repository.object_writer import ObjectWriter, WrittenObject
from pykopia.repository.objects import DirectoryReader, ObjectStore
from pykopia.snapshot import walk
from pykopia.snapshot.actions import Actions
from pykopia.snapshot.placeholder import PLACEHOLDER_SUFFIX
from pykopia.snapshot.placeholder_source import stored_entry
from pykopia.snapshot.problem import Problem, reason
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.reading import FileReader
from pykopia.snapshot.source_folder import Folder, Item
from pykopia.snapshot.upload_options import CANCELED, LIMIT_REACHED, UploadCounters

log = logging.getLogger(__name__)
entries_log = logging.getLogger(f"{__name__}.entries")
"""Gets a line for each entry that can't be taken: a logger of its own, as there may be a million of them."""

BATCH_FILES = 128
BATCH_BYTES = 4 << 20
QUEUED_PER_THREAD = 3

DIRECTORY_PREFIX = "k"


@dataclass(slots=True)
class Statistics:
    """Kopia's rough counters of a snapshot manifest (format 04 §6)."""

    total_size: int = 0
    file_count: int = 0
    cached_files: int = 0
    non_cached_files: int = 0
    directory_count: int = 0
    excluded_total_size: int = 0
    excluded_file_count: int = 0
    excluded_directory_count: int = 0
    ignored_error_count: int = 0
    error_count: int = 0


class Upload:
    """One upload of a folder."""

    def __init__(
        self,
        objects: ObjectStore,
        writer: ObjectWriter,
        reader: FileReader,
        progress: Progress[UploadCounters],
        *,
        parallel: int,
        fail_fast: bool = False,
        upload_limit_bytes: int = 0,
        force_hash_percent: float = 0,
        exists: Callable[[str], bool],
        lacking: Callable[[Sequence[str]], Sequence[int]],
        actions: Actions,
        checkpoint: "Callable[[Folder], None] | None" = None,
    ) -> None:
        """Prepare.

        ``exists`` says whether a content is stored, ``lacking`` which of some objects are not stored as a whole,
        ``checkpoint`` is called now and then by the walk.
        """
        self._objects = objects
        self._directories = DirectoryReader(objects)
        self._writer = writer
        self._reader = reader
        self._progress = progress
        self._parallel = parallel
        self._fail_fast = fail_fast
        self._limit = upload_limit_bytes
        self._force_hash = force_hash_percent
        self._exists = exists
        self._lacking = lacking
        self._actions = actions
        self._checkpoint = checkpoint
        self._lock = threading.Lock()
        self._running: set[Future[None]] = set()
        self._batch: list[Item] = []
        self._batch_size = 0
        self._failure: BaseException | None = None
        self._result: tuple[ObjectID, DirectorySummary] | None = None
        self.stop_reason = ""
        """Why the upload ended before its time, in Kopia's words; empty when it did not."""
        self.statistics = Statistics()
        self.problems: list[Problem] = []

    # ------------------------------------------------------------------ walking

    def run(
        self, path: str, name: str, status: os.stat_result, policies: PolicyTree, previous: Sequence[Directory]
    ) -> DirectoryEntry:
        """Upload a folder; return its entry.

        Raises:
            SourceReadError: the folder itself can't be read.
            PykopiaError: the repository can't be written to.
        """
        root = Folder(path, "", name, status, None, IgnoreContext.empty(), policies, (), _by_name(previous))
        with ThreadPoolExecutor(self._parallel, thread_name_prefix="pykopia-upload") as pool:
            try:
                stack = [root]
                while stack:
                    folder = stack.pop()
                    if self._stopping():
                        self._leave_out(folder)
                        continue
                    self._take(pool, folder, stack)
                    if self._checkpoint is not None:
                        self._checkpoint(root)
                self._send(pool)
                self._drain(0, root)
            except BaseException:
                self.stop_reason = self.stop_reason or CANCELED
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        if self._failure is not None:
            raise self._failure
        assert self._result is not None
        return root.entry(*self._result)

    def _take(self, pool: ThreadPoolExecutor, folder: Folder, stack: list[Folder]) -> None:
        """Look at a folder, hand on what must be read, put its folders on the stack."""
        effective = folder.policies.effective
        self._progress.set(current_directory=folder.path)
        try:
            defined = folder.policies.defined
            if defined is not None:
                other = self._actions.before_folder(folder.relative, defined.actions)
                if other is not None:
                    folder.take_instead(other)
            found = self._look(folder, effective.files, None if defined is None else defined.files)
        except CanceledError:
            self.stop_reason = self.stop_reason or CANCELED
            self._leave_out(folder)
            return
        except (OSError, PykopiaError) as error:
            self._folder_failed(folder, error)
            return
        self._count_excluded(found)
        self._look_back(folder, stack)
        cached = self._cached_entries(folder, found)
        for name, status in found.files:
            if name.endswith(PLACEHOLDER_SUFFIX):
                self._placeholder(folder, name, found)
            elif name not in cached:
                self._enqueue(pool, folder, name, status)
        for name, status in found.links:
            if name not in cached:
                self._enqueue(pool, folder, name, status)
        for name, is_folder, failure in found.failed:
            policies = folder.policies.child(name)
            ignored = (
                policies.effective.error_handling.ignore_directory_errors
                if is_folder
                else (policies.effective.error_handling.ignore_file_errors)
            )
            self._entry_failed(folder, name, failure, ignored=bool(ignored))
        for name, status in found.unknown:
            if folder.policies.child(name).effective.error_handling.ignore_unknown_types is False:
                self._entry_failed(folder, name, SourceReadError("unknown or unsupported entry type"), ignored=False)
            else:
                self._progress.add(**{_special_kind(status): 1})
        for name, status in found.folders:
            if name.endswith(PLACEHOLDER_SUFFIX):
                self._placeholder(folder, name, found)
                continue
            inner = Folder(
                f"{folder.path}/{name}" if folder.path != "/" else f"/{name}",
                f"{folder.relative}/{name}",
                name,
                status,
                folder,
                folder.context,
                folder.policies.child(name),
                self._before(folder, name),
            )
            with self._lock:
                folder.unfinished += 1
                folder.subfolders[name] = inner
            stack.append(inner)
        self._finished({folder: 1})

    @staticmethod
    def _look(folder: Folder, effective: FilesPolicy, defined: FilesPolicy | None) -> walk.Found:
        """Return what is in a folder and is to be taken; set the rules that hold in it."""
        path, caches_left_out = folder.path, effective.ignore_cache_directories is not False
        found = walk.Found()
        try:
            listed = walk.listed(path, found)
        except OSError:
            if not caches_left_out or not walk.is_cache_folder(path):
                raise
            return found
        names = {name for name, _ in listed}
        folder.context = walk.rules_of(path, folder.rules_path, folder.context, defined, names)
        if caches_left_out and walk.is_cache_folder(path, names):
            return walk.Found()
        walk.sort_out(listed, found, folder.rules_path, folder.context, folder.status.st_dev)
        return found

    def _count_excluded(self, found: walk.Found) -> None:
        if found.excluded_files or found.excluded_folders:
            self.statistics.excluded_file_count += found.excluded_files
            self.statistics.excluded_total_size += found.excluded_bytes
            self.statistics.excluded_directory_count += found.excluded_folders
            self._progress.add(
                excluded_files=found.excluded_files,
                excluded_bytes=found.excluded_bytes,
                excluded_directories=found.excluded_folders,
            )

    def _cached_entries(self, folder: Folder, found: walk.Found) -> frozenset[str]:
        """Take over what is as it was in an earlier snapshot (format 04 §11.2); return the names."""
        if not folder.previous:
            return frozenset()
        taken: list[DirectoryEntry] = []
        names: list[str] = []
        size = 0
        for kind, listed in (("f", found.files), ("s", found.links)):
            for name, status in listed:
                old = _unchanged(folder.previous, name, kind, status)
                if old is None or (self._force_hash and random.random() * 100 < self._force_hash):  # noqa: S311
                    continue
                names.append(name)
                taken.append(old)
                size += status.st_size
        lacking = self._lacking([old.object_id for old in taken])
        if lacking:  # to be read and stored again
            size -= sum(taken[number].size for number in lacking)
            again = frozenset(lacking)
            names = [name for number, name in enumerate(names) if number not in again]
            taken = [old for number, old in enumerate(taken) if number not in again]
        folder.entries += taken
        files = len(taken)
        if names:
            with self._lock:
                self.statistics.cached_files += files
                self.statistics.total_size += size
            self._progress.add(cached_files=files, cached_bytes=size)
        return frozenset(names)

    @staticmethod
    def _before(folder: Folder, name: str) -> Sequence[DirectoryEntry]:
        """Return what a folder in a folder was in earlier snapshots, each different one once."""
        found = dict[str, DirectoryEntry]()
        for entries in folder.previous:
            old = entries.get(name)
            if old is not None and old.type == "d":
                found.setdefault(old.object_id, old)
        return [*found.values()]

    def _look_back(self, folder: Folder, stack: Sequence[Folder]) -> None:
        """Read what was in a folder in earlier snapshots."""
        found = []
        for old in folder.before:
            following = (entry.object_id for other in reversed(stack) for entry in other.before)
            try:
                found.append(self._directories.read(old.object_id, following))
            except PykopiaError as error:
                log.warning("can't use the previous state of %s: %s", stored_form(folder.path), error)
        if folder.before:
            folder.previous = _by_name(found)
        if len(found) == len(folder.before) == 1:
            folder.earlier = folder.before[0]

    def _placeholder(self, folder: Folder, name: str, found: walk.Found) -> None:
        """Take over the entry of a placeholder (format 04 §14.3)."""
        try:
            real = name.removesuffix(PLACEHOLDER_SUFFIX)
            if any(real == other for listed in (found.files, found.folders, found.links) for other, _ in listed):
                raise SourceReadError(f"both {real} and its placeholder {name} exist")
            entry = stored_entry(f"{folder.path}/{name}", real, self._objects, self._exists)
        except (OSError, PykopiaError) as error:
            ignored = folder.policies.effective.error_handling.ignore_file_errors
            self._entry_failed(folder, name, error, ignored=bool(ignored))
        else:
            folder.entries.append(entry)

    # ------------------------------------------------------------------ reading, by several threads

    def _enqueue(self, pool: ThreadPoolExecutor, folder: Folder, name: str, status: os.stat_result) -> None:
        with self._lock:
            folder.unfinished += 1
        self._batch.append((folder, name, status))
        self._batch_size += status.st_size
        if len(self._batch) >= BATCH_FILES or self._batch_size >= BATCH_BYTES:
            self._send(pool)

    def _send(self, pool: ThreadPoolExecutor) -> None:
        if self._batch:
            self._drain(QUEUED_PER_THREAD * self._parallel)
            self._running.add(pool.submit(self._read, self._batch))
            self._batch, self._batch_size = [], 0

    def _drain(self, most: int, root: Folder | None = None) -> None:
        while len(self._running) > most:
            timeout = None if root is None or self._checkpoint is None else 1.0
            done, self._running = wait(self._running, timeout=timeout, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            if root is not None and self._checkpoint is not None:
                self._checkpoint(root)

    def _read(self, batch: Sequence[Item]) -> None:
        """Read and store files and links, hand their entries to their folders."""
        done: list[tuple[os.stat_result, DirectoryEntry, int]] = []
        contents = self._reader.small_contents(batch)
        small = [(item, data) for item, data in zip(batch, contents, strict=True) if isinstance(data, bytes)]
        small_size = sum(len(data) for _, data in small)
        if small:
            self._store_small([item for item, _ in small], [data for _, data in small], done)
        for item, data in zip(batch, contents, strict=True):
            if not isinstance(data, bytes):
                self._store(item, done)
        files = [(status, entry, parts) for status, entry, parts in done if entry.type == "f"]
        size = sum(entry.size for _, entry, _ in files)
        with self._lock:
            self.statistics.total_size += size
            self.statistics.file_count += sum(parts for _, _, parts in files)
            self.statistics.non_cached_files += len(files)
        changed = sum(entry.size != status.st_size for status, entry, _ in files)
        self._progress.add(hashed_files=len(files), hashed_bytes=small_size, changed_files=changed)
        if self._limit and self._progress.counters.hashed_bytes > self._limit:
            self.stop_reason = self.stop_reason or LIMIT_REACHED
        finished: dict[Folder, int] = {}
        for folder, _, _ in batch:
            finished[folder] = finished.get(folder, 0) + 1
        self._finished(finished)

    def _store_small(
        self, items: Sequence[Item], contents: Sequence[bytes], done: list[tuple[os.stat_result, DirectoryEntry, int]]
    ) -> None:
        """Store files whose contents are here."""
        if self._stopping():
            return
        try:
            entries = self._reader.stored(items, contents)
        except BaseException as error:
            self._abort(error)
            raise
        for (folder, _, status), entry in zip(items, entries, strict=True):
            folder.entries.append(entry)
            done.append((status, entry, 1))

    def _store(self, item: Item, done: list[tuple[os.stat_result, DirectoryEntry, int]]) -> None:
        """Read and store one file or link, or record that it can't be read."""
        folder, name, status = item
        if self._stopping():
            return
        try:
            if stat.S_ISLNK(status.st_mode):
                entry, parts = self._reader.link(folder, name, status), 0
            else:
                entry, parts = self._reader.file(folder, name, status)
        except CanceledError:
            self.stop_reason = self.stop_reason or CANCELED
        except OSError as error:
            if isinstance(error, PykopiaError):
                self._abort(error)
                raise
            ignored = folder.policies.effective.error_handling.ignore_file_errors
            self._entry_failed(folder, name, error, ignored=bool(ignored))
        except BaseException as error:
            # the repository, not the source: nothing can go on
            self._abort(error)
            raise
        else:
            folder.entries.append(entry)
            done.append((status, entry, parts))

    # ------------------------------------------------------------------ finishing folders

    def _finished(self, counts: Mapping[Folder, int]) -> None:
        """Count so many things of each folder as done; write folders, and those above, with the last one in them.

        Folders that are done together are stored together, then those above them.
        """
        while counts:
            with self._lock:
                complete = []
                for folder, count in counts.items():
                    folder.unfinished -= count
                    if not folder.unfinished:
                        complete.append(folder)
            if not complete or self._failure is not None:
                return
            try:
                written = self._write_folders(complete)
                for folder in complete:
                    self._actions.after_folder(folder.relative)
            except BaseException as error:
                self._abort(error)
                raise
            above: dict[Folder, int] = {}
            for folder in complete:
                parent = folder.parent
                if parent is None:
                    self._result = written[folder]
                else:
                    parent.entries.append(folder.entry(*written[folder]))
                    with self._lock:
                        parent.subfolders.pop(folder.name, None)
                    above[parent] = above.get(parent, 0) + 1
            counts = above

    def _write_folders(self, folders: Sequence[Folder]) -> Mapping[Folder, tuple[ObjectID, DirectorySummary]]:
        """Store the directory objects of folders."""
        with self._lock:
            self.statistics.directory_count += len(folders)
        self._progress.add(directories=len(folders))
        written: dict[Folder, tuple[ObjectID, DirectorySummary]] = {}
        new: list[tuple[Folder, DirectorySummary]] = []
        for folder in folders:
            known = self._as_it_was(folder)
            if known is None:
                new.append((folder, self._summary(folder)))
            else:
                written[folder] = known
        if new:
            object_ids = self._writer.write_many(
                [encode_directory(folder.entries, summary) for folder, summary in new],
                [folder.policies.effective.metadata_compression.compressor_name for folder, _ in new],
                prefix=DIRECTORY_PREFIX,
            )
            for (folder, summary), object_id in zip(new, object_ids, strict=True):
                written[folder] = (object_id, summary)
        return written

    def _summary(self, folder: Folder) -> DirectorySummary:
        """Return what the directory object of a folder says of all that is below it."""
        for names in colliding_names(entry.name for entry in folder.entries):
            self._collision(folder, names)
        return summarize(
            folder.entries,
            own_mtime_ns=folder.status.st_mtime_ns,
            failures=folder.failures,
            incomplete=self.stop_reason,
        )

    def _as_it_was(self, folder: Folder) -> tuple[ObjectID, DirectorySummary] | None:
        """Return object and summary of a folder in which everything is as it was, and that is still stored."""
        old = folder.earlier
        if old is None or not folder.entries or folder.failures or self.stop_reason:
            return None
        (before,) = folder.previous
        if len(before) != len(folder.entries):
            return None
        for entry in folder.entries:
            was = before.get(entry.name)
            if was is not entry and was != entry:
                return None
        summary = old.summary
        if summary is None or summary.incomplete or summary.errors or not self._writer.is_stored(old.object_id):
            return None
        return old.object_id, summary

    def write_directory(self, folder: Folder, entries: Sequence[DirectoryEntry], summary: DirectorySummary) -> ObjectID:
        """Store a directory object with the compressor that the folder's policy asks for."""
        packer = folder.policies.effective.metadata_compression.compressor_name
        return self._writer.write(
            encode_directory(entries, summary),
            prefix=DIRECTORY_PREFIX,
            compressor=packer,
            metadata_compressor=packer,
        )

    def finish_object(self, written: WrittenObject, packer: str) -> ObjectID:
        """Return the object of chunks that are stored (for checkpoints)."""
        return self._writer.finish(written, metadata_compressor=packer)

    def _collision(self, folder: Folder, names: Sequence[str]) -> None:
        """Leave out entries whose stored names are equal: only one could ever be read again (format 04 §8)."""
        kept, *others = sorted(names, key=os.fsencode)
        folder.entries = [entry for entry in folder.entries if entry.name not in others]
        ignored = bool(folder.policies.effective.error_handling.ignore_file_errors)
        for name in others:
            error = SourceReadError(
                f"the name {os.fsencode(name)!r} is not UTF-8 and would be stored as that of {os.fsencode(kept)!r}: rename it"
            )
            self._entry_failed(folder, name, error, ignored=ignored)

    def _leave_out(self, folder: Folder) -> None:
        """Take a folder that was not looked at out of the one above, after a stop."""
        if folder.parent is None:
            self._finished({folder: 1})
            return
        self._actions.after_folder(folder.relative)
        with self._lock:
            folder.parent.subfolders.pop(folder.name, None)
        self._finished({folder.parent: 1})

    # ------------------------------------------------------------------ stopping and failing

    def _stopping(self) -> bool:
        if not self.stop_reason and self._progress.canceled:
            self.stop_reason = CANCELED
        return bool(self.stop_reason) or self._failure is not None

    def _abort(self, error: BaseException) -> None:
        with self._lock:
            self._failure = self._failure or error

    def _folder_failed(self, folder: Folder, error: Exception) -> None:
        """Record that a folder can't be read; without its root there is no snapshot."""
        if folder.parent is None:
            raise SourceReadError(f"can't read the source {folder.path}: {reason(error)}") from error
        ignored = bool(folder.policies.effective.error_handling.ignore_directory_errors)
        self._entry_failed(folder.parent, folder.name, error, ignored=ignored)
        self._leave_out(folder)

    def _entry_failed(self, folder: Folder, name: str, error: Exception, *, ignored: bool) -> None:
        # as it would be stored: what is not UTF-8 can't be printed
        path = stored_form(f"{folder.relative}/{name}"[1:])
        error.__traceback__ = None  # it would keep what the frames refer to
        told = Problem(path=path, error=error, ignored=ignored)
        folder.failures.append(EntryFailure(path=path, error=told.message, ignored=ignored))
        with self._lock:
            self.problems.append(told)
            if ignored:
                self.statistics.ignored_error_count += 1
            else:
                self.statistics.error_count += 1
                if self._fail_fast:
                    self.stop_reason = self.stop_reason or CANCELED
        self._progress.add(**{"ignored_errors" if ignored else "fatal_errors": 1})
        level = logging.WARNING if ignored else logging.ERROR
        if entries_log.isEnabledFor(level):
            entries_log.log(level, "can't take %s: %s", path, told.message)


def _by_name(directories: Sequence[Directory]) -> Sequence[Mapping[str, DirectoryEntry]]:
    return [{entry.name: entry for entry in directory.entries} for directory in directories]


def _unchanged(
    previous: Sequence[Mapping[str, DirectoryEntry]], name: str, kind: str, status: os.stat_result
) -> DirectoryEntry | None:
    """Return the first earlier entry that has the same time, mode, owner and size."""
    time_ns = status.st_mtime_ns
    for entries in previous:
        old = entries.get(name)
        if (
            old is not None
            and (old.mtime_ns == time_ns or old.mtime_ns == nearest_time(time_ns))
            and old.size == status.st_size
            and old.type == kind
            and old.mode == stat.S_IMODE(status.st_mode)
            and old.uid == status.st_uid
            and old.gid == status.st_gid
        ):
            return old
    return None


def _special_kind(status: os.stat_result) -> str:
    """Return the counter of an entry that is in no snapshot."""
    if stat.S_ISSOCK(status.st_mode):
        return "sockets"
    return "pipes" if stat.S_ISFIFO(status.st_mode) else "devices"


__all__ = ["Folder", "Statistics", "Upload"]
