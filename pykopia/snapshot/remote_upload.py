"""Taking a folder of another filesystem: an object store, a server, an archive, whatever fsspec reads.

The listing decides what changed; only that is read, large files by ranges, several at one time. What changes while it is read
is read again.
"""

import logging
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import field
from typing import Any

from pykopia.crew import in_parallel
from pykopia.dataclass import dataclass
from pykopia.errors import PykopiaError, SourceNotFoundError, SourceReadError
from pykopia.format.compression_policy import compressor_for
from pykopia.format.directory import (
    DIRECTORY,
    FILE,
    Directory,
    DirectoryEntry,
    EntryFailure,
    colliding_names,
    summarize,
    summarize_file,
)
from pykopia.format.gojson import stored_form
from pykopia.format.ignore import IgnoreContext
from pykopia.format.policy_tree import PolicyTree
from pykopia.repository.objects import ObjectStore
from pykopia.repository.writer import RepositoryWriter
from pykopia.snapshot.directory_writing import write_directory
from pykopia.snapshot.problem import Problem, reason
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.remote_tree import RemoteFile, RemoteFolder, count, file_of, tree_of
from pykopia.snapshot.upload_options import UploadCounters
from pykopia.snapshot.upload_state import Statistics

log = logging.getLogger(__name__)

RANGE = 8 << 20
"""Bytes of a large file that are fetched by one request."""
RANGES = 4
"""Requests for one file at one time."""
READS = 3
"""How often a file is read that changes while it is read."""
FOLDER_MODE = 0o755
FLAT = frozenset({"s3", "s3a", "gcs", "gs", "abfs", "abfss", "az", "memory"})
"""Filesystems that have no folders of their own, and list everything below a prefix at once."""


@dataclass(slots=True)
class _Folder:
    """A folder, and what is to be done of it."""

    name: str
    path: str
    """Below the root, with a slash before each name."""
    policies: PolicyTree
    folders: "list[_Folder]" = field(default_factory=list)
    entries: dict[str, DirectoryEntry] = field(default_factory=dict)
    """Of its files, as far as they are taken."""
    to_read: list[RemoteFile] = field(default_factory=list)
    failures: list[EntryFailure] = field(default_factory=list)


class RemoteUpload:
    """One upload from another filesystem."""

    def __init__(
        self,
        url: str,
        options: Mapping[str, object],
        objects: ObjectStore,
        writer: RepositoryWriter,
        progress: Progress[UploadCounters],
        lacking: Callable[[list[str]], list[int]],
        *,
        parallel: int,
        force_hash_percent: float,
    ) -> None:
        from fsspec.core import url_to_fs  # noqa: PLC0415 -- local sources do without

        try:
            self._fs, self._root = url_to_fs(url, skip_instance_cache=True, **options)
        except (ImportError, ValueError) as error:
            raise SourceReadError(f"can't read {url}: {error}") from error
        self._url = url
        self._objects, self._writer, self._progress = objects, writer, progress
        self._lacking = lacking
        self._parallel, self._force = parallel, force_hash_percent
        self._lock = threading.Lock()
        self.statistics = Statistics()
        self.problems: list[Problem] = []

    def run(self, name: str, policies: PolicyTree, previous: list[Directory]) -> DirectoryEntry:
        """Take everything; return the entry of the root.

        Args:
            name: of the root.
            policies: of the source.
            previous: roots of earlier snapshots, the best first.

        Raises:
            SourceNotFoundError: there is nothing.
            SourceReadError: it can't be listed.
            CanceledError: the caller asked to stop; nothing is saved.
        """
        tree = self._listed()
        if isinstance(tree, RemoteFile):
            return self._single(name, tree, policies)
        files, size = count(tree)
        self._progress.set(estimated_files=files, estimated_bytes=size)
        pool = ThreadPoolExecutor(RANGES * 2, thread_name_prefix="pykopia-ranges")
        try:
            plan = self._plan(name, "", tree, policies, IgnoreContext.empty(), previous)
            self._read_all(plan, pool)
            return self._written(plan)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    # ------------------------------------------------------------------ listing

    def _listed(self) -> RemoteFolder | RemoteFile:
        try:
            found = self._fs.info(self._root) if self._root.strip("/") else {"type": "directory"}
            if found["type"] != "directory":
                return file_of(self._root.rpartition("/")[2], self._root, found)
            if FLAT.isdisjoint([self._fs.protocol] if isinstance(self._fs.protocol, str) else self._fs.protocol):
                return tree_of(self._walked(), self._root)
            return tree_of(self._fs.find(self._root, withdirs=True, detail=True), self._root)
        except FileNotFoundError:
            raise SourceNotFoundError(f"can't take a snapshot of {self._url}: it does not exist") from None
        except PykopiaError:
            raise
        except Exception as error:
            raise SourceReadError(f"can't list {self._url}: {reason(error)}") from error

    def _walked(self) -> dict[str, Mapping[str, Any]]:
        """Return everything, a folder at a time: fsspec's own walk leaves out what it can't list."""
        found: dict[str, Mapping[str, Any]] = {}
        level = [self._root]
        while level:
            self._progress.check()
            lower: list[str] = []

            def look(folder: str, lower: list[str] = lower) -> None:
                for info in self._fs.ls(folder, detail=True):
                    path = info["name"].rstrip("/")
                    if path == folder.rstrip("/"):
                        continue
                    with self._lock:
                        found[path] = info
                        if info["type"] == "directory" and not info.get("islink"):
                            lower.append(path)

            in_parallel(look, level, threads=self._parallel, name="pykopia-remote")
            level = lower
        return found

    # ------------------------------------------------------------------ folders

    def _plan(
        self,
        name: str,
        path: str,
        tree: RemoteFolder,
        policies: PolicyTree,
        above: IgnoreContext,
        previous: list[Directory],
    ) -> _Folder:
        """Return what is to be done of a folder with all below it; only ignore files are read."""
        rules = self._rules(path, tree, policies, above)
        before = [{each.name: each for each in directory.entries} for directory in previous]
        plan = _Folder(name, path, policies)
        for unusable, why in tree.unusable.items():
            self._failed(plan, unusable, SourceReadError(why), ignored=False)
        for child, below in sorted(tree.folders.items()):
            self._progress.check()
            inside = f"{path}/{child}"
            if rules.excludes(inside, is_directory=True):
                self._exclude(folders=1)
                continue
            earlier = [each[child] for each in before if child in each and each[child].type == DIRECTORY]
            plan.folders.append(
                self._plan(child, inside, below, policies.child(child), rules, self._directories(earlier))
            )
        wanted: list[RemoteFile] = []
        for file in tree.files.values():
            if rules.excludes(f"{path}/{file.name}", is_directory=False, size=file.size):
                self._exclude(files=1, size=max(0, file.size))
            else:
                wanted.append(file)
        plan.entries = self._known(wanted, before)
        plan.to_read = [file for file in wanted if file.name not in plan.entries]
        return plan

    def _read_all(self, root: _Folder, pool: ThreadPoolExecutor) -> None:
        """Read what is to be read, from all folders at the same time."""

        def read(item: tuple[_Folder, RemoteFile]) -> None:
            folder, file = item
            try:
                folder.entries[file.name] = self._read(file, folder.policies, pool)
            except SourceReadError as error:
                failed: Exception = error
            except PykopiaError:
                raise
            except Exception as error:  # noqa: BLE001 -- each filesystem raises its own
                failed = error
            else:
                return
            ignored = bool(folder.policies.effective.error_handling.ignore_file_errors)
            self._failed(folder, file.name, failed, ignored=ignored)

        pending, items = [root], []
        while pending:
            folder = pending.pop()
            items += [(folder, file) for file in folder.to_read]
            pending += folder.folders
        in_parallel(read, items, threads=self._parallel, name="pykopia-remote")

    def _written(self, plan: _Folder) -> DirectoryEntry:
        """Store the directory objects of a folder and of those below it; return its entry."""
        entries = [*(self._written(each) for each in plan.folders), *plan.entries.values()]
        for same in colliding_names(entry.name for entry in entries):
            entries = [entry for entry in entries if entry.name not in same[1:]]
            for other in same[1:]:
                error = SourceReadError("another file has the same name once it is stored")
                self._failed(plan, other, error, ignored=False)
        newest = max((entry.mtime_ns for entry in entries), default=0)
        summary = summarize(entries, newest, plan.failures)
        compressor = plan.policies.effective.metadata_compression.compressor_name
        object_id = write_directory(self._writer.objects, entries, summary, compressor)
        self._progress.add(directories=1)
        self.statistics.directory_count += 1
        return DirectoryEntry(
            name=plan.name, type=DIRECTORY, mode=FOLDER_MODE, mtime_ns=newest, object_id=object_id, summary=summary
        )

    def _directories(self, entries: list[DirectoryEntry]) -> list[Directory]:
        found = []
        for object_id in dict.fromkeys(entry.object_id for entry in entries):
            try:
                found.append(self._objects.directory(object_id))
            except PykopiaError as error:
                log.warning("can't use folder %s of an earlier snapshot: %s", object_id, error)
        return found

    def _rules(self, path: str, tree: RemoteFolder, policies: PolicyTree, above: IgnoreContext) -> IgnoreContext:
        defined = None if policies.defined is None else policies.defined.files
        texts = [
            self._fs.cat_file(tree.files[name].path) for name in above.dot_ignore_names(defined) if name in tree.files
        ]
        return above.enter(path, defined, texts)

    def _exclude(self, *, files: int = 0, size: int = 0, folders: int = 0) -> None:
        self.statistics.excluded_file_count += files
        self.statistics.excluded_total_size += size
        self.statistics.excluded_directory_count += folders
        self._progress.add(excluded_files=files, excluded_bytes=size, excluded_directories=folders)

    def _failed(self, folder: _Folder, name: str, error: Exception, *, ignored: bool) -> None:
        problem = Problem(path=stored_form(f"{folder.path}/{name}"[1:]), error=error, ignored=ignored)
        with self._lock:
            folder.failures.append(EntryFailure(path=problem.path, error=problem.message, ignored=ignored))
            self.problems.append(problem)
            if ignored:
                self.statistics.ignored_error_count += 1
            else:
                self.statistics.error_count += 1
        self._progress.add(**{"ignored_errors" if ignored else "fatal_errors": 1})
        log.log(logging.WARNING if ignored else logging.ERROR, "can't take %s: %s", problem.path, problem.message)

    # ------------------------------------------------------------------ files

    def _known(self, files: list[RemoteFile], before: list[dict[str, DirectoryEntry]]) -> dict[str, DirectoryEntry]:
        """Return the entries of files that are as in an earlier snapshot, and stored whole."""
        same: dict[str, DirectoryEntry] = {}
        for file in files:
            if not file.is_comparable or (self._force and random.random() * 100 < self._force):  # noqa: S311
                continue
            for entries in before:
                entry = entries.get(file.name)
                if (
                    entry is not None
                    and entry.type == FILE
                    and (entry.size, entry.mtime_ns) == (file.size, file.mtime_ns)
                ):
                    same[file.name] = _entry(file, entry.object_id, entry.size)
                    break
        names = [*same]
        for number in self._lacking([same[name].object_id for name in names]):
            del same[names[number]]
        size = sum(entry.size for entry in same.values())
        self.statistics.file_count += len(same)
        self.statistics.cached_files += len(same)
        self.statistics.total_size += size
        self._progress.add(cached_files=len(same), cached_bytes=size)
        return same

    def _read(self, file: RemoteFile, policies: PolicyTree, pool: ThreadPoolExecutor) -> DirectoryEntry:
        """Store a file as it was at one time.

        Raises:
            SourceReadError: it changes again and again while it is read.
        """
        for _ in range(READS):
            self._progress.check()
            written, length = self._stored(file, policies, pool)
            self._fs.invalidate_cache(file.path)
            now = file_of(file.name, file.path, self._fs.info(file.path))
            if file.is_as(now) and (now.size < 0 or now.size == length):
                with self._lock:
                    self.statistics.file_count += 1
                    self.statistics.non_cached_files += 1
                    self.statistics.total_size += length
                self._progress.add(hashed_files=1)
                return _entry(file, written, length)
            self._progress.add(changed_files=1)
            file = now
        raise SourceReadError("it changed each time it was read")

    def _stored(self, file: RemoteFile, policies: PolicyTree, pool: ThreadPoolExecutor) -> tuple[Any, int]:
        policy = policies.child(file.name).effective
        compressor = compressor_for(policy.compression, file.name, max(0, file.size))
        if 0 <= file.size <= RANGE:
            reader: _Reader = _Reader(iter([self._fs.cat_file(file.path)]))
        elif file.size > RANGE:
            reader = _Reader(_Ranges(self._fs, file, pool))
        else:
            stream = self._fs.open(file.path, "rb")
            reader = _Reader(iter(lambda: stream.read(RANGE), b""))
        written = self._writer.objects.write_stream(
            reader.readinto,
            self._writer.objects.splitter(policy.splitter.algorithm),
            compressor=compressor,
            on_bytes=self._count,
        )
        metadata = policy.metadata_compression.compressor_name
        return self._writer.objects.finish(written, metadata_compressor=metadata), written.length

    def _single(self, name: str, file: RemoteFile, policies: PolicyTree) -> DirectoryEntry:
        with ThreadPoolExecutor(RANGES, thread_name_prefix="pykopia-ranges") as pool:
            try:
                entry = self._read(file, policies, pool)
            except PykopiaError:
                raise
            except Exception as error:
                raise SourceReadError(f"can't read {self._url}: {reason(error)}") from error
        return DirectoryEntry(
            name=name,
            type=FILE,
            mode=entry.mode,
            size=entry.size,
            mtime_ns=entry.mtime_ns,
            uid=entry.uid,
            gid=entry.gid,
            object_id=entry.object_id,
            summary=summarize_file(entry.size, entry.mtime_ns),
        )

    def _count(self, number: int) -> None:
        self._progress.add(hashed_bytes=number)
        self._progress.check()


class _Ranges:
    """The bytes of a large file in order, some ranges fetched before they are needed."""

    def __init__(self, fs: Any, file: RemoteFile, pool: ThreadPoolExecutor) -> None:  # noqa: ANN401 -- of fsspec
        self._fs, self._file, self._pool = fs, file, pool
        self._next = 0
        self._ahead: list[Future[bytes]] = []

    def __iter__(self) -> "_Ranges":
        return self

    def __next__(self) -> bytes:
        while len(self._ahead) < RANGES and self._next < self._file.size:
            end = min(self._next + RANGE, self._file.size)
            self._ahead.append(self._pool.submit(self._fetch, self._next, end))
            self._next = end
        if not self._ahead:
            raise StopIteration
        return self._ahead.pop(0).result()

    def _fetch(self, start: int, end: int) -> bytes:
        with self._fs.open(self._file.path, "rb", cache_type="none") as stream:  # some take no range in cat_file
            stream.seek(start)
            data = stream.read(end - start)
        if len(data) != end - start:
            raise SourceReadError("it became shorter while it was read")
        return bytes(data)


class _Reader:
    """Pieces of bytes as what fills buffers."""

    def __init__(self, pieces: Any) -> None:  # noqa: ANN401 -- any iterator of bytes
        self._pieces = pieces
        self._left = memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer; return the number of bytes, 0 at the end."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        number = min(len(buffer), len(self._left))
        buffer[:number] = self._left[:number]
        self._left = self._left[number:]
        return number


def _entry(file: RemoteFile, object_id: Any, size: int) -> DirectoryEntry:  # noqa: ANN401 -- an object ID
    return DirectoryEntry(
        name=file.name,
        type=FILE,
        mode=file.mode,
        size=size,
        mtime_ns=file.mtime_ns,
        uid=file.uid,
        gid=file.gid,
        object_id=object_id,
    )


__all__ = ["RemoteUpload"]
