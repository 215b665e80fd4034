"""Copying snapshots from another repository, with what the policies of this one say of splitting and compression.

No scratch restore: contents go from one repository to the other. A folder or file that several snapshots share is copied
once, and what a run before has copied is recognized by the snapshot that came of it.
"""

import logging
from collections.abc import Container, Iterable, Sequence
from dataclasses import field, replace

import msgspec

from pykopia import clock
from pykopia.crew import Crew
from pykopia.dataclass import dataclass
from pykopia.errors import CanceledError, DamagedDataError, PykopiaError
from pykopia.format.complete_view import Contradictions
from pykopia.format.compression_policy import compressor_for
from pykopia.format.directory import DIRECTORY, SYMLINK, Directory, DirectoryEntry, summarize
from pykopia.format.ignore import IgnoreContext
from pykopia.format.policy_target import policy_labels
from pykopia.format.policy_tree import PolicyTree
from pykopia.format.snapshot_manifest import UNSAVED, SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.ids import ManifestID, ObjectID
from pykopia.repository.core import Core
from pykopia.repository.view import contradictions
from pykopia.repository.writer import RepositoryWriter
from pykopia.snapshot.directory_writing import write_directory
from pykopia.snapshot.manifests import read_snapshots
from pykopia.snapshot.policies import Policies
from pykopia.snapshot.problem import Problem
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.trail import Trail
from pykopia.snapshot.upload_options import UploadCounters

log = logging.getLogger(__name__)

FLUSH_EVERY_SECONDS = 10 * 60
"""What is copied is committed so often, and at the end of each source."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MigrationResult:
    """Result of a migration."""

    migrated: tuple[SnapshotManifest, ...] = ()
    """As they are in this repository now."""
    present: tuple[SnapshotManifest, ...] = ()
    """Snapshots of the other repository that were here already: same source, same start."""
    problems: tuple[Problem, ...] = ()
    """Snapshots that could not be copied, with their manifest IDs as ``object_id``."""
    damaged: tuple[DamagedDataError, ...] = ()
    """Index blobs and contents with manifests that can't be read there: snapshots that only they list were not copied."""
    contradictions: Contradictions = ()
    """In what storage and index of the other repository contradict each other: there may be other snapshots."""
    stopped_early: bool = False
    """Always False: a migration that stops early raises an error."""

    @property
    def errors(self) -> tuple[str, ...]:
        """One line for each of ``problems``."""
        return tuple(map(str, self.problems))


def migrate_policies(
    origin: Core, writer: RepositoryWriter, targets: Iterable[SourceInfo] | None, *, overwrite: bool
) -> list[SourceInfo]:
    """Copy policies as they are; return the targets of those that were.

    Args:
        origin: the other repository.
        writer: of this one.
        targets: whose; all that are defined when not given.
        overwrite: also where this repository has one.
    """
    wanted = None if targets is None else set(targets)
    latest = {each.target: each for each in Policies(origin).list()}
    copied = []
    for target, defined in latest.items():
        labels = policy_labels(target)
        if (wanted is None or target in wanted) and (overwrite or not writer.manifests.find(labels)):
            writer.manifests.replace(labels, defined.policy.to_json())
            copied.append(target)
    return copied


class Migration:
    """Copies the snapshots of sources."""

    def __init__(
        self,
        origin: Core,
        destination: Core,
        writer: RepositoryWriter,
        progress: Progress[UploadCounters],
        *,
        parallel: int,
        apply_ignore_rules: bool = False,
    ) -> None:
        """Prepare; ``parallel`` files are copied at one time."""
        self._origin = origin
        self._destination = destination
        self._writer = writer
        self._progress = progress
        self._parallel = parallel
        self._rules = apply_ignore_rules
        self._known: dict[ObjectID, ObjectID] = {}
        """IDs in this repository of objects of the other repository."""
        self._learned: set[ManifestID] = set()
        self._flushed_at = clock.monotonic()

    def run(
        self,
        sources: Iterable[SourceInfo],
        *,
        latest_only: bool = False,
        only: Container[ManifestID] | None = None,
    ) -> MigrationResult:
        """Copy the complete snapshots of sources, the oldest first; one that can't be copied is reported, and left out.

        Args:
            sources: whose.
            latest_only: of each only the latest one.
            only: IDs of snapshots there; all when not given.

        Raises:
            CanceledError: the caller asked to stop; what was committed stays.
            PykopiaError: this repository can't be written to.
        """
        sources = list(sources)
        self._estimate(sources, latest_only=latest_only, only=only)
        migrated: list[SnapshotManifest] = []
        present: list[SnapshotManifest] = []
        problems: list[Problem] = []
        for source in sources:
            theirs = [each for each in read_snapshots(self._origin.manifests, source) if not each.incomplete]
            ours = {each.start_time_ns: each for each in read_snapshots(self._writer.manifests, source)}
            for snapshot in theirs[-1:] if latest_only else theirs:
                if only is not None and snapshot.id not in only:
                    continue
                if snapshot.start_time_ns in ours:
                    present.append(snapshot)
                    continue
                self._learn(theirs, ours, snapshot)
                try:
                    migrated.append(self._snapshot(snapshot))
                except CanceledError:
                    raise
                except (_SourceError, PykopiaError) as error:
                    if not isinstance(error, _SourceError):
                        raise
                    line = f"snapshot {snapshot.id} of {source} can't be copied: {error}"
                    cause = error.__cause__
                    why = cause if isinstance(cause, Exception) else DamagedDataError(str(error))
                    problems.append(Problem(path="", object_id=snapshot.id, error=why, line=line))
                    log.error("%s", line)  # noqa: TRY400 -- a line for the user
            self._flush(at_once=True)
        origin = self._origin
        damaged = [*origin.contents.indexes.damaged.values(), *origin.manifests.damaged.values()]
        return MigrationResult(
            migrated=tuple(migrated),
            present=tuple(present),
            problems=tuple(problems),
            damaged=tuple(damaged),
            contradictions=contradictions(origin),
        )

    def _estimate(
        self, sources: Iterable[SourceInfo], *, latest_only: bool, only: Container[ManifestID] | None
    ) -> None:
        """Report how much there is to copy, by the totals of the snapshots; what they share counts each time."""
        files = size = 0
        for source in sources:
            theirs = [each for each in read_snapshots(self._origin.manifests, source) if not each.incomplete]
            ours = {each.start_time_ns for each in read_snapshots(self._writer.manifests, source)}
            for snapshot in theirs[-1:] if latest_only else theirs:
                root = snapshot.root_entry
                if root is None or snapshot.start_time_ns in ours or (only is not None and snapshot.id not in only):
                    continue
                files += 1 if root.summary is None else root.summary.files
                size += root.size if root.summary is None else root.summary.size
        self._progress.set(estimated_files=files, estimated_bytes=size)

    def _count_known(self, entry: DirectoryEntry) -> None:
        """Report a folder that was copied before, with all that is in it."""
        if entry.summary is not None:
            self._progress.add(cached_files=entry.summary.files, cached_bytes=entry.summary.size)

    def _flush(self, *, at_once: bool = False) -> None:
        if at_once or clock.monotonic() - self._flushed_at >= FLUSH_EVERY_SECONDS:
            self._writer.flush()
            self._flushed_at = clock.monotonic()

    # ------------------------------------------------------------------ what was copied before

    def _learn(
        self, theirs: Sequence[SnapshotManifest], ours: dict[int, SnapshotManifest], snapshot: SnapshotManifest
    ) -> None:
        """Find out what the files are called here of the latest snapshot before this one that was copied already."""
        before = [each for each in theirs if each.start_time_ns < snapshot.start_time_ns and each.start_time_ns in ours]
        if not before or before[-1].id in self._learned:
            return
        self._learned.add(before[-1].id)
        first, second = before[-1].root_entry, ours[before[-1].start_time_ns].root_entry
        pending = [(first, second)] if first is not None and second is not None else []
        seen: set[ObjectID] = set()
        while pending:
            there, here = pending.pop()
            if there.type != DIRECTORY or here.type != DIRECTORY:
                if _same(there, here):
                    self._known.setdefault(there.object_id, here.object_id)
                continue
            if there.object_id in seen:
                continue
            seen.add(there.object_id)
            try:
                found = {each.name: each for each in self._destination.objects.directory(here.object_id).entries}
                listed = self._origin.objects.directory(there.object_id).entries
            except PykopiaError as error:
                log.debug("can't learn from %s: %s", here.object_id, error)
                continue
            pending += [(each, found[each.name]) for each in listed if each.name in found]

    # ------------------------------------------------------------------ copying

    def _snapshot(self, snapshot: SnapshotManifest) -> SnapshotManifest:
        root = snapshot.root_entry
        if root is None:
            raise _SourceError("it has no root")
        policies = Policies(self._destination).tree(snapshot.source)
        if root.type == DIRECTORY:
            with Crew[DirectoryEntry](self._parallel, name="pykopia-migrate") as crew:
                copied = self._directory(crew, root, policies)
        else:
            copied = self._file(root, policies)
        saved = replace(snapshot, id=UNSAVED, root_entry=copied)
        saved = replace(saved, id=self._writer.manifests.put(saved.labels(), saved.to_json()))
        log.info("copied the snapshot of %s with root %s as %s", snapshot.source, root.object_id, saved.id)
        self._flush()
        return saved

    def _directory(self, crew: Crew[DirectoryEntry], root: DirectoryEntry, policies: PolicyTree) -> DirectoryEntry:
        """Copy a folder with all below it, from the bottom up."""
        known = None if self._rules else self._known.get(root.object_id)
        if known is not None:
            self._count_known(root)
            return msgspec.structs.replace(root, object_id=known)
        trail = Trail()
        trail.enter(0, root.object_id)
        stack = [self._open(crew, root, "", IgnoreContext.empty(), policies)]
        while True:
            here = stack[-1]
            if here.folders:
                entry = here.folders.pop()
                known = None if self._rules else self._known.get(entry.object_id)
                if known is None:
                    with _from_source():
                        trail.enter(len(stack), entry.object_id)
                    below = f"{here.path}/{entry.name}"
                    stack.append(self._open(crew, entry, below, here.context, here.policies.child(entry.name)))
                else:
                    self._count_known(entry)
                    here.copied.append(msgspec.structs.replace(entry, object_id=known))
                continue
            copied = self._close(here)
            stack.pop()
            if not stack:
                return copied
            stack[-1].copied.append(copied)

    def _open(
        self, crew: Crew[DirectoryEntry], entry: DirectoryEntry, path: str, context: IgnoreContext, policies: PolicyTree
    ) -> "_Folder":
        """List a folder and copy its files."""
        self._progress.check()
        self._progress.set(current_directory=path)
        with _from_source():
            directory = self._origin.objects.directory(entry.object_id)
        wanted: Sequence[DirectoryEntry] = directory.entries
        if self._rules:
            context = self._context(path, directory, context, policies)
            wanted = [
                each
                for each in wanted
                if not context.excludes(f"{path}/{each.name}", is_directory=each.type == DIRECTORY, size=each.size)
            ]
        files = [each for each in wanted if each.type != DIRECTORY]
        copied = list(crew.map(lambda each: self._file(each, policies.child(each.name)), files))
        folders = [each for each in wanted if each.type == DIRECTORY]
        return _Folder(entry, path, context, policies, directory, folders, copied)

    def _context(self, path: str, directory: Directory, context: IgnoreContext, policies: PolicyTree) -> IgnoreContext:
        """Return the ignore rules that hold in a folder (format 05 §4.1)."""
        defined = None if policies.defined is None else policies.defined.files
        by_name = {each.name: each for each in directory.entries if each.type not in (DIRECTORY, SYMLINK)}
        with _from_source():
            found = [
                self._origin.objects.read(by_name[name].object_id)
                for name in context.dot_ignore_names(defined)
                if name in by_name
            ]
        return context.enter(path, defined, found)

    def _close(self, folder: "_Folder") -> DirectoryEntry:
        """Store a folder whose entries are all copied."""
        entry = folder.entry
        summary = folder.directory.summary
        if self._rules:
            summary = summarize(folder.copied, own_mtime_ns=entry.mtime_ns)
        packer = folder.policies.effective.metadata_compression.compressor_name
        object_id = write_directory(self._writer.objects, folder.copied, summary, packer)
        self._known[entry.object_id] = object_id
        self._progress.add(directories=1)
        return msgspec.structs.replace(entry, object_id=object_id, summary=summary)

    def _file(self, entry: DirectoryEntry, policies: PolicyTree) -> DirectoryEntry:
        """Copy a file or link."""
        known = self._known.get(entry.object_id)
        if known is not None:
            self._progress.add(cached_files=1, cached_bytes=entry.size)
            return msgspec.structs.replace(entry, object_id=known)
        policy = policies.effective
        metadata_packer = policy.metadata_compression.compressor_name
        link = entry.type == SYMLINK
        with _from_source():
            stream = self._origin.objects.open(entry.object_id)

        def readinto(buffer: memoryview) -> int:
            self._progress.check()
            with _from_source():
                return stream.readinto(buffer)  # type: ignore[attr-defined, no-any-return]

        written = self._writer.objects.write_stream(
            readinto,
            self._writer.objects.splitter("" if link else policy.splitter.algorithm),
            compressor="" if link else compressor_for(policy.compression, entry.name, entry.size),
        )
        if written.length != entry.size:
            problem = (
                f"object {entry.object_id} of {entry.name} has {written.length} bytes, its entry says {entry.size}"
            )
            raise _SourceError(problem)
        object_id = self._writer.objects.finish(written, metadata_compressor=metadata_packer)
        self._known[entry.object_id] = object_id
        self._progress.add(hashed_files=1, hashed_bytes=entry.size)
        return msgspec.structs.replace(entry, object_id=object_id)


@dataclass(slots=True)
class _Folder:
    """A folder that is being copied."""

    entry: DirectoryEntry
    path: str
    context: IgnoreContext
    policies: PolicyTree
    directory: Directory
    folders: list[DirectoryEntry]
    """Still to be copied."""
    copied: list[DirectoryEntry] = field(default_factory=list)


class _SourceError(Exception):
    """Something of the other repository can't be read."""


class _from_source:  # noqa: N801 -- read as a statement
    """Tells errors of the other repository from those of this one."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, PykopiaError) and not isinstance(error, CanceledError):
            raise _SourceError(str(error)) from error


def _same(first: DirectoryEntry, second: DirectoryEntry) -> bool:
    """Compare all but what a copy changes."""
    return msgspec.structs.replace(first, object_id=second.object_id) == second


__all__ = ["Migration", "MigrationResult", "migrate_policies"]
