"""Verifying snapshots: that everything a restore would need is there, and as much of it read as is asked for.

Facts: format 04 §15.1. Each object is looked at once. What is read is read pack by pack, each byte once, whatever number
of files share it; read contents are hashed and compared with their IDs, which Kopia does not do.
"""

import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from queue import LifoQueue
from typing import TypeAlias

from pykopia.arguments import check_fields, check_number
from pykopia.crew import Crew, available_cpus
from pykopia.dataclass import dataclass
from pykopia.errors import (
    BlobNotFoundError,
    ContentNotFoundError,
    DamagedDataError,
    DamagedObjectError,
    PykopiaError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.format.complete_view import Contradiction
from pykopia.format.compression import decompress
from pykopia.format.directory import DIRECTORY, SYMLINK, DirectoryEntry
from pykopia.format.gotime import format_time, moment
from pykopia.format.index import IndexEntry
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.repository.buffers import LargeBuffer, new_buffer
from pykopia.repository.core import Core
from pykopia.repository.objects import UNKNOWN_LENGTH, Chunk, DirectoryReader
from pykopia.repository.runs import Run, plan_runs
from pykopia.snapshot.locating import Locator, check_length, length_of, size_limit
from pykopia.snapshot.problem import Problem
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore_decision import unusable
from pykopia.snapshot.trail import CountingTrail, check_number_of_folders

READ_AT_ONCE = 3_000
"""Contents that are put in order of packs before they are read: a bound on memory, and on how long nothing is read yet."""
QUEUED_PER_THREAD = 2

CHECKED_CONTENTS = 8
CHECKED_BYTES = 32 << 20
"""Contents, or bytes of them, that are hashed at once: so many fill the lanes of the widest processor."""
FETCHED_RUNS = 10
"""Runs in memory: a bound, and enough of them that some are fetched while others are hashed."""
INDEX, MANIFESTS = "index", "manifests"
"""Labels of failures that hide contents or snapshots instead of being in one."""
_NO_ENTRY = DirectoryEntry(name="", type="")
RUN_BUFFER = 9 << 20
"""Bytes of a buffer for a run: one content of the usual splitters, or a run of small ones, always fits it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyOptions:
    """Options of a verification."""

    files_percent: float = 0
    """Share of files whose contents are read, 0 to 100; where all contents are is checked for every file."""
    max_errors: int = -1
    """Stop after so many errors; 0 stops after the first, as in Kopia, a negative number never."""
    parallel: int = 8

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self)
        check_number("files_percent", self.files_percent, least=0, most=100)
        check_number("parallel", self.parallel, least=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyCounters:
    """Progress of a verification."""

    processed_objects: int = 0
    processed_bytes: int = 0
    read_files: int = 0
    read_files_size: int = 0
    """Bytes of these files."""
    read_bytes: int = 0
    """Bytes that were read for them; fewer where files share contents, which are read once."""
    expected_objects: int = 0
    expected_files: int = 0
    expected_bytes: int = 0
    errors: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyFailure(Problem):
    """An entry that can't be restored, or a part of the repository that can't be read."""

    label: str
    """What was verified: the source of the snapshot, or the reference that was given."""
    start_time_ns: int | None
    """When the snapshot began, nanoseconds since 1970, as the list shows it; None where no snapshot was named."""
    root: str
    """The root object of the snapshot, by which the list names it; empty where no snapshot was named."""
    error: PykopiaError

    @property
    def start_time(self) -> datetime | None:
        """When the snapshot began, in UTC; None where no snapshot was named."""
        return moment(self.start_time_ns)

    def described(self, time: Callable[[int], str]) -> str:
        """Return one line, with the times as ``time`` writes them."""
        inside = f"/{self.path}" if self.path else ""
        if self.start_time_ns is None:
            return f"{self.label}{inside}: {self.error}"
        return f"{self.label} {time(self.start_time_ns)} ({self.root}){inside}: {self.error}"

    def __str__(self) -> str:
        return self.described(format_time)


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyResult:
    """Result of a verification."""

    counters: VerifyCounters
    problems: tuple[VerifyFailure, ...]
    snapshots: int
    """Snapshots, folders and files that were to be verified; 0: there was nothing to verify."""
    stopped_early: bool = False
    """Whether there may be more errors, because the verification stopped after ``max_errors``."""
    contradictions: tuple[Contradiction, ...] = ()
    """In which ways storage, index and snapshots contradict each other: snapshots may be missing from the list."""

    @property
    def errors(self) -> tuple[str, ...]:
        """One line for each of ``problems``, with times in UTC."""
        return tuple(map(str, self.problems))

    @property
    def damaged_view(self) -> bool:
        """Whether index blobs or manifests can't be read and nothing else is wrong, as far as can be seen without them."""
        return bool(self.problems) and all(each.label in (INDEX, MANIFESTS) for each in self.problems)

    def cures(self) -> list[str]:
        """Return what to do about the failures, one sentence for each kind of them."""
        errors = [each.error for each in self.problems]
        found = []
        if any(isinstance(error, ContentNotFoundError) for error in errors):
            found.append(
                "Contents that are not in the index come back by `index recover --commit`, if their packs are there."
            )
        if any(isinstance(error, (BlobNotFoundError, DamagedDataError)) for error in errors):
            found.append(
                "Blobs that are missing or damaged: put them back from a copy of the repository. If there is none and the "
                "source still has the files, `snapshot fix invalid-files --invalid-file-handling=keep "
                "--invalid-directory-handling=keep --commit` marks what is lost (damage within packs with "
                "--verify-files-percent=100), and `snapshot create SOURCE --force-hash=100` stores it again."
            )
        return found


@dataclass(frozen=True, slots=True)
class Root:
    """An entry to verify with all below it, and what failures name it by; see ``VerifyFailure``."""

    entry: DirectoryEntry
    label: str
    start_time_ns: int | None = None
    root: str = ""
    path: str = ""
    """Path of the entry below the root of the snapshot, with a slash before each name."""
    shallow: bool = False
    """Whether a folder is looked at alone, without what is in it."""

    def failed(self, path: str, object_id: str, error: PykopiaError) -> VerifyFailure:
        """Return a failure below this root."""
        return VerifyFailure(
            label=self.label,
            start_time_ns=self.start_time_ns,
            root=self.root,
            path=path.removeprefix("/"),
            object_id=object_id,
            error=error,
        )


Place: TypeAlias = tuple[Root, str, str]
"""A path below a root, and the ID of its object."""


def snapshot_root(snapshot: SnapshotManifest, entry: DirectoryEntry) -> Root:
    """Return the root of a snapshot, named as the list names it."""
    return Root(entry, str(snapshot.source), snapshot.start_time_ns, entry.object_id)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A run of which nothing is checked yet."""

    run: Run
    data: memoryview
    buffer: LargeBuffer
    """Where the bytes are, if they fit there; not to be used for others meanwhile."""
    paths: dict[IndexEntry, Place]
    """Path and object of each content, for messages."""


def _unrestorable(folder: str, entries: Sequence[DirectoryEntry]) -> Iterator[tuple[str, DirectoryEntry, PykopiaError]]:
    """Yield path and error of each entry of a folder that no restore can make, or can't make under its own name."""
    names: set[str] = set()
    for entry in entries:
        path = f"{folder}/{entry.name}"
        problem = unusable(entry)
        if problem is not None:
            yield path, entry, DamagedObjectError(f"no restore can make the entry: {problem.reason}")
        elif entry.name in names:
            yield (
                path,
                entry,
                DamagedObjectError("the folder has two entries of this name: a restore gives one another name"),
            )
        names.add(entry.name)


class _Enough(Exception):
    """So many errors that the rest is not looked at."""


class Verifier:
    """One verification."""

    def __init__(
        self,
        repository: Core,
        options: VerifyOptions,
        progress: Progress[VerifyCounters],
        packs: Sequence[BlobMetadata] | None = None,
    ) -> None:
        self._repository = repository
        self._options = options
        self._progress = progress
        self._lock = threading.Lock()
        self._trail = CountingTrail()
        """Directories that were looked into."""
        self._lengths: dict[str, int] = {}
        """Bytes of the objects of files and links that were looked at, ``UNKNOWN_LENGTH`` where they are not known."""
        self._links: set[str] = set()
        """Objects of links among them: what a link leads to is looked at, also where a file shares it."""
        self._failures: list[VerifyFailure] = []
        self._locator = Locator(repository, packs)
        self._directories = DirectoryReader(repository.objects)
        self._to_read: dict[IndexEntry, Place] = {}
        self._compressed: dict[str, Chunk] = {}
        self._targets: set[str] = set()
        """Contents that links lead to; they are read to be looked at."""
        self._fetched: list[Fetched] = []
        self._buffers: LifoQueue[LargeBuffer] = LifoQueue()
        for _ in range(FETCHED_RUNS):
            self._buffers.put(new_buffer(RUN_BUFFER))
        self._processors = available_cpus()
        self._checking = 0
        """Threads that open and hash: no more than there are processors, for each needs much memory."""

    def run(self, roots: Sequence[Root]) -> VerifyResult:
        """Verify the trees of the given roots."""
        stopped = False
        self._expect(roots)
        threads = max(1, self._options.parallel)
        try:
            with Crew[None](threads, most=QUEUED_PER_THREAD * threads, name="pykopia-verify") as crew:
                self._check_view()
                for root in roots:
                    self._walk(crew, root)
                self._send(crew)
        except _Enough:
            stopped = True
        return VerifyResult(
            counters=self._progress.counters,
            problems=tuple(self._failures),
            snapshots=len(roots),
            stopped_early=stopped,
        )

    def _expect(self, roots: Iterable[Root]) -> None:
        """Count what the roots say that they hold; what they share is counted for each, as in Kopia."""
        for root in roots:
            summary = root.entry.summary
            if summary is not None:
                self._progress.add(
                    expected_objects=summary.files + summary.dirs + summary.symlinks,
                    expected_files=summary.files,
                    expected_bytes=summary.size,
                )

    def _check_view(self) -> None:
        """Report what hides snapshots or contents."""
        repository = self._repository
        for kind, errors in (
            (INDEX, repository.contents.indexes.damaged.values()),
            (MANIFESTS, repository.manifests.damaged.values()),
        ):
            for error in errors:
                self._report((Root(_NO_ENTRY, kind), "", ""), error)

    # ------------------------------------------------------------------ walking

    def _walk(self, crew: Crew[None], root: Root) -> None:
        stack = deque([(root.path, root.entry, 0)])
        while stack:
            here, entry, depth = stack.pop()
            self._progress.check()
            if entry.type != DIRECTORY:
                self._verify_files(crew, root, [(here, entry)])
                continue
            try:
                if not root.shallow and not self._trail.enter(depth, entry.object_id):
                    continue
                following = (
                    each.object_id
                    for _, each, _ in reversed(stack)
                    if each.type == DIRECTORY and each.object_id not in self._trail
                )
                entries = self._directories.read(entry.object_id, following).entries
                self._locator.locate(entry.object_id)
            except PykopiaError as error:
                self._report((root, here, entry.object_id), error)
                continue
            for path, bad, problem in _unrestorable(here, entries):
                self._report((root, path, bad.object_id), problem)
            files = []
            for child in () if root.shallow else entries:
                if child.type == DIRECTORY:
                    stack.append((f"{here}/{child.name}", child, depth + 1))
                else:
                    files.append((f"{here}/{child.name}", child))
            self._progress.add(processed_objects=1)
            self._verify_files(crew, root, files)
        try:
            check_number_of_folders(self._trail.finish())
        except PykopiaError as error:
            self._report((root, root.path, root.entry.object_id), error)

    def _verify_files(self, crew: Crew[None], root: Root, files: Sequence[tuple[str, DirectoryEntry]]) -> None:
        size = read = read_size = objects = 0
        for path, entry in files:
            object_id, is_link = entry.object_id, entry.type == SYMLINK
            known = self._lengths.get(object_id)
            is_new = known is None
            try:
                if known is not None:
                    check_length(entry, known)
                    if not is_link or object_id in self._links or known == UNKNOWN_LENGTH:
                        continue
                else:
                    objects += 1
                    self._lengths[object_id] = UNKNOWN_LENGTH
                chunks = self._locator.locate(object_id, limit=size_limit(entry))
                self._lengths[object_id] = length = length_of(chunks)
                check_length(entry, length)
            except PykopiaError as error:
                self._report((root, path, object_id), error)
                continue
            if is_link:
                self._links.add(object_id)
            if is_new:
                size += entry.size
            if self._options.files_percent > 0 and random.random() * 100 < self._options.files_percent:  # noqa: S311
                if is_new:
                    read += 1
                    read_size += entry.size
                for chunk, found in chunks:
                    self._to_read.setdefault(found, (root, path, object_id))
                    if chunk.compressed:
                        self._compressed[chunk.content_id] = chunk
                    if is_link:
                        self._targets.add(found.content_id)
                        self._to_read[found] = (root, path, object_id)  # the entry to name, if a file shares it
                if len(self._to_read) >= READ_AT_ONCE:
                    self._send(crew)
        self._progress.add(processed_objects=objects, processed_bytes=size, read_files=read, read_files_size=read_size)

    # ------------------------------------------------------------------ reading, by several threads

    def _send(self, crew: Crew[None]) -> None:
        paths, self._to_read = self._to_read, {}
        for run in plan_runs(paths):
            crew.submit(self._read, run, paths)

    def _read(self, run: Run, paths: dict[IndexEntry, Place]) -> None:
        """Fetch a run; check it together with others once they are enough."""
        if any(entry.content_id in self._compressed for entry in run.entries):
            self._read_now(run, paths)
            return
        buffer = self._buffers.get()
        try:
            data = self._repository.contents.fetch_run(run, buffer)
        except PykopiaError:
            self._buffers.put(buffer)
            self._read_now(run, paths)
            return
        except BaseException:
            self._buffers.put(buffer)
            raise
        with self._lock:
            self._fetched.append(Fetched(run, data, buffer, paths))
        while batch := self._take():
            try:
                self._check(batch)
            finally:
                with self._lock:
                    self._checking -= 1
                for each in batch:
                    self._buffers.put(each.buffer)

    def _take(self) -> list[Fetched]:
        """Return runs that are to be checked now, nothing when all processors have some; they will come for the rest.

        The busier the processors are, the more runs wait to be checked together.
        """
        batch = list[Fetched]()
        contents = size = 0
        with self._lock:
            if self._fetched and self._checking < self._processors:
                self._checking += 1
                while self._fetched and contents < CHECKED_CONTENTS and size < CHECKED_BYTES:
                    batch.append(self._fetched.pop())
                    contents += len(batch[-1].run.entries)
                    size += sum(entry.original_length for entry in batch[-1].run.entries)
        return batch

    def _check(self, fetched: Sequence[Fetched]) -> None:
        paths = {entry: each.paths[entry] for each in fetched for entry in each.run.entries}
        size = 0
        runs = [(each.run, each.data) for each in fetched]
        for entry, found in self._repository.contents.check_runs(runs, self._targets):
            self._progress.check()
            try:
                if isinstance(found, PykopiaError):
                    raise found
                size += entry.original_length
                if found is not None:
                    self._check_target(entry, found)
            except PykopiaError as error:
                self._report(paths[entry], error)
        self._progress.add(read_bytes=size)

    def _read_now(self, run: Run, paths: dict[IndexEntry, Place]) -> None:
        """Read a run whose contents are needed, or of which not all can be had."""
        size = 0
        for entry, data in self._repository.contents.read_run(run, check=True):
            self._progress.check()
            try:
                if isinstance(data, PykopiaError):
                    raise data
                size += self._length_of(entry, data)
                self._check_target(entry, data)
            except PykopiaError as error:
                self._report(paths[entry], error)
        self._progress.add(read_bytes=size)

    def _check_target(self, entry: IndexEntry, data: bytes) -> None:
        if entry.content_id in self._targets and b"\0" in data:
            raise DamagedObjectError("no restore can make the link: its target has a NUL byte")

    def _length_of(self, entry: IndexEntry, data: bytes) -> int:
        chunk = self._compressed.get(entry.content_id)
        if chunk is None:
            return len(data)
        return len(decompress(data, expected_length=None if chunk.length == UNKNOWN_LENGTH else chunk.length))

    def _report(self, place: Place, error: PykopiaError) -> None:
        limit = self._options.max_errors or 1
        root, path, object_id = place
        with self._lock:
            self._failures.append(root.failed(path, object_id, error))
            count = len(self._failures)
        self._progress.add(errors=1)
        if 0 < limit <= count:
            raise _Enough


__all__ = [
    "INDEX",
    "MANIFESTS",
    "Root",
    "Verifier",
    "VerifyCounters",
    "VerifyFailure",
    "VerifyOptions",
    "VerifyResult",
    "snapshot_root",
]
