"""Taking a snapshot from beginning to end: source, policies, upload, manifest, retention.

Order: format 04 §11.8. Everything becomes visible with one flush at the end, checkpoints with flushes of their own.
"""

import logging
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from pykopia import __version__, clock
from pykopia.arguments import check_texts_by_name
from pykopia.crew import available_cpus
from pykopia.errors import PykopiaError, SourceReadError, UsageError
from pykopia.format.blob import BlobMetadata
from pykopia.format.compression_policy import compressor_for
from pykopia.format.directory import DIRECTORY, FILE, Directory, DirectoryEntry, summarize, summarize_file
from pykopia.format.gotime import ZERO_TIME_NS, wrap_int64
from pykopia.format.policy import Policy
from pykopia.format.policy_tree import PolicyTree
from pykopia.format.snapshot_manifest import TAG_PREFIX, SnapshotManifest, SnapshotStats
from pykopia.format.source import SourceInfo, previous_snapshots
from pykopia.ids import ObjectID
from pykopia.repository.core import Core
from pykopia.repository.object_writer import Zeros
from pykopia.repository.stored_packs import StoredObjects, StoredPacks
from pykopia.repository.writer import RepositoryWriter
from pykopia.snapshot.actions import Actions
from pykopia.snapshot.checkpoints import Checkpoints
from pykopia.snapshot.directory_writing import write_directory
from pykopia.snapshot.estimating import estimated
from pykopia.snapshot.file_batches import FileBatches
from pykopia.snapshot.folder_finishing import FolderFinisher
from pykopia.snapshot.manifests import read_snapshots
from pykopia.snapshot.placeholder_source import stored_entry
from pykopia.snapshot.policies import Policies
from pykopia.snapshot.previous_entries import PreviousEntries
from pykopia.snapshot.problem import Problem
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.reading import FileReader
from pykopia.snapshot.retention import apply_retention
from pykopia.snapshot.source_folder import entry_from
from pykopia.snapshot.source_path import local_source, source_root
from pykopia.snapshot.source_url import is_url
from pykopia.snapshot.sparse_file import sparse_file
from pykopia.snapshot.upload import Upload
from pykopia.snapshot.upload_options import (
    CHECKPOINT,
    SnapshotOptions,
    SnapshotResult,
    UploadCounters,
)
from pykopia.snapshot.upload_state import Statistics, UploadState

if TYPE_CHECKING:
    from pykopia.snapshot.extended_attributes import AttributeReader

log = logging.getLogger(__name__)

STREAM_MODE = 0o777
REMOTE_READS = 8
"""Files that are read at one time where each waits for another machine."""
STREAM_ROOT_TIME_NS = wrap_int64(ZERO_TIME_NS)
"""Go's zero time as Kopia writes it for the root of a stream: some day in 1754 (format 04 §7.1)."""


def create_snapshot(
    repository: Core,
    path: str,
    options: SnapshotOptions,
    progress: Progress[UploadCounters],
    session: RepositoryWriter | None = None,
) -> SnapshotResult:
    """Take a snapshot; see ``Snapshots.create``."""
    if options.extended_attributes:
        from pykopia.snapshot.extended_attributes import check_supported  # noqa: PLC0415 -- most snapshots do without

        check_supported()
        if is_url(path):
            raise UsageError(f"extended attributes are of files of this machine, and the source is {path}")
    source = options.source or local_source(repository, path)
    tags = stored_tags(options.tags)
    taking = _Taking(repository, source, options, progress, session)
    with (
        nullcontext(session)
        if session
        else RepositoryWriter(repository, parallel=taking.parallel, buffers=options.buffers) as writer,
        StoredPacks(repository) as packs,
        progress.told(),
    ):
        writer.contents.announce()
        taking.packs, writer.contents.is_lost = packs, packs.is_lost
        progress.refresh = _upload_counter(writer, progress)
        started = clock.now()
        if options.stdin is not None:
            root = taking.stream(writer, os.path.abspath(path), options.stdin, started)
        else:
            root = taking.path(writer, path, started)
        start, end = _times(options, started, clock.now())
        manifest = SnapshotManifest(
            source=source,
            description=options.description,
            start_time_ns=start,
            end_time_ns=end,
            stats=_stats(taking.statistics),
            incomplete=taking.stop_reason,
            root_entry=root,
            tags=tags,
            pins=tuple(sorted(set(options.pins))),
        )
        saved = not (taking.policy.retention.ignore_identical_snapshots and taking.equals_previous(root))
        if saved:
            manifest = replace(manifest, id=writer.manifests.put(manifest.labels(), manifest.to_json()))
            apply_retention(repository, writer, source, taking.policy, taken=manifest.id, listed=taking.listed_blobs)
            if options.source is not None or options.stdin is not None:
                set_manual(repository, writer, source)
        progress.refresh()
    return SnapshotResult(manifest=manifest, saved=saved, counters=progress.counters, problems=tuple(taking.problems))


class _Taking:
    """One snapshot on its way."""

    def __init__(
        self,
        repository: Core,
        source: SourceInfo,
        options: SnapshotOptions,
        progress: Progress[UploadCounters],
        session: RepositoryWriter | None,
    ) -> None:
        self._repository = repository
        self._source = source
        self._options = options
        self._progress = progress
        self._tree: PolicyTree = Policies(repository).tree(source)
        self.policy: Policy = self._tree.effective
        self._previous = previous_snapshots(read_snapshots((session or repository).manifests, source))
        self.parallel = options.parallel or self.policy.upload.max_parallel_file_reads or available_cpus()
        self.packs: StoredPacks
        """Set once there is a writer."""
        self.statistics = Statistics()
        self.stop_reason = ""
        self.problems: list[Problem] = []

    def listed_blobs(self) -> Sequence[BlobMetadata] | None:
        """Return the blobs that this session has listed, None where it has not."""
        return self.packs.listed.blobs

    def equals_previous(self, root: DirectoryEntry) -> bool:
        """Return True if the newest complete snapshot has the same root."""
        newest = self._previous[0].root_entry if self._previous else None
        return newest is not None and newest.object_id == root.object_id

    # ------------------------------------------------------------------ folders and files

    def path(self, writer: RepositoryWriter, path: str, started: int) -> DirectoryEntry:
        """Take what is at a path; return the entry of the root."""
        if is_url(path):
            return self._remote(writer, path)
        real, status = source_root(path)
        name = os.path.basename(real) or "/"
        reader = FileReader(writer.objects, self._progress, parallel=self.parallel)
        try:
            if stat.S_ISDIR(status.st_mode):
                return self._folder(writer, reader, real, name, status, started)
            return self._file(writer, real, name, status)
        finally:
            reader.close()

    def _remote(self, writer: RepositoryWriter, url: str) -> DirectoryEntry:
        """Take what is on another filesystem."""
        from pykopia.snapshot.remote_upload import RemoteUpload  # noqa: PLC0415 -- few sources are

        options, repository = self._options, self._repository
        remote = RemoteUpload(
            url,
            options.source_options,
            repository.objects,
            writer,
            self._progress,
            StoredObjects(repository, writer.contents, self.packs).lacking,
            parallel=options.parallel or self.policy.upload.max_parallel_file_reads or REMOTE_READS,
            force_hash_percent=options.force_hash_percent,
        )
        name = self._source.path.rstrip("/").rpartition("/")[2] or "/"
        root = remote.run(name, self._tree, self._previous_roots())
        self.statistics, self.problems = remote.statistics, remote.problems
        return root

    def _folder(
        self,
        writer: RepositoryWriter,
        reader: FileReader,
        path: str,
        name: str,
        status: os.stat_result,
        started: int,
    ) -> DirectoryEntry:
        options, repository = self._options, self._repository
        state = UploadState(self._progress, parallel=self.parallel, fail_fast=options.fail_fast)
        with self._actions(path) as actions:
            other = actions.before_root(self.policy.actions)
            if other is not None:
                path, status = source_root(other)
                name = os.path.basename(path) or "/"
            lacking = StoredObjects(repository, writer.contents, self.packs).lacking
            folders = FolderFinisher(writer.objects, actions, state)
            attributes = self._attribute_reader(status)
            upload = Upload(
                PreviousEntries(
                    repository.objects,
                    lacking,
                    state,
                    force_hash_percent=options.force_hash_percent,
                    extended_attributes=options.extended_attributes,
                ),
                FileBatches(
                    reader, folders, state, attributes=attributes, upload_limit_bytes=options.upload_limit_bytes
                ),
                folders,
                actions,
                state,
                stored_entry=lambda placeholder, real: stored_entry(
                    placeholder, real, repository.objects, repository.contents.exists
                ),
                attributes=attributes,
                checkpoint=Checkpoints(
                    options.checkpoint_interval_seconds,
                    writer.objects,
                    lambda entry: self._save_checkpoint(writer, entry, started),
                ),
            )
            roots = self._previous_roots()
            previous = roots[0].summary if roots else None
            with estimated(
                path, status, self._tree, previous, self._progress,
                estimation=options.estimation, adaptive_files=options.adaptive_estimation_files,
            ):  # fmt: skip
                root = upload.run(path, name, status, self._tree, roots)
        self.statistics, self.stop_reason, self.problems = state.statistics, state.stop_reason, state.problems
        return root

    def _actions(self, path: str) -> Actions:
        allowed = self._options.enable_actions
        return Actions(
            path,
            enabled=self._repository.client.enable_actions if allowed is None else allowed,
            environment=self._options.action_environment,
            version=__version__,
            canceled=lambda: self._progress.canceled,
        )

    def _previous_roots(self) -> list[Directory]:
        """Return the root folders of earlier snapshots, each different one once."""
        roots: dict[str, Directory] = {}
        for manifest in self._previous:
            entry = manifest.root_entry
            if entry is None or entry.type != DIRECTORY or entry.object_id in roots:
                continue
            try:
                roots[entry.object_id] = self._repository.objects.directory(entry.object_id)
            except PykopiaError as error:
                log.warning("can't use snapshot %s as the previous one: %s", manifest.id, error)
        return list(roots.values())

    def _file(self, writer: RepositoryWriter, path: str, name: str, status: os.stat_result) -> DirectoryEntry:
        """Take a single file as the root; it is always read."""
        self._progress.set(estimated_files=1, estimated_bytes=status.st_size)
        packer = compressor_for(self.policy.compression, name, status.st_size)
        try:
            with open(path, "rb", buffering=0) as file:
                sparse = sparse_file(file.fileno())
                readinto = sparse.readinto if sparse else file.readinto
                object_id, size = self._write(writer, readinto, packer, zeros=sparse)
        except PykopiaError:
            raise  # the repository, not the source
        except OSError as error:
            raise SourceReadError(f"can't read {path}: {error.strerror}") from error
        self.statistics = Statistics(total_size=size, file_count=1, non_cached_files=1)
        self._progress.add(hashed_files=1)
        summary = summarize_file(size, status.st_mtime_ns)
        attributes = self._attribute_reader(status)
        extended = None if attributes is None else attributes.of(path, status)
        return entry_from(name, FILE, status, object_id, size, summary, extended)

    def _attribute_reader(self, status: os.stat_result) -> "AttributeReader | None":
        if not self._options.extended_attributes:
            return None
        from pykopia.snapshot.extended_attributes import AttributeReader  # noqa: PLC0415

        return AttributeReader(status.st_dev)

    def _write(
        self,
        writer: RepositoryWriter,
        readinto: Callable[[memoryview], int | None],
        packer: str,
        *,
        zeros: Zeros | None = None,
    ) -> tuple[ObjectID, int]:
        written = writer.objects.write_stream(
            readinto,
            writer.objects.splitter(self.policy.splitter.algorithm),
            compressor=packer,
            on_bytes=self._count,
            zeros=zeros,
        )
        packer = self.policy.metadata_compression.compressor_name
        return writer.objects.finish(written, metadata_compressor=packer), written.length

    def _count(self, count: int) -> None:
        self._progress.add(hashed_bytes=count)
        self._progress.check()

    # ------------------------------------------------------------------ streams

    def stream(self, writer: RepositoryWriter, path: str, stream: BinaryIO, started: int) -> DirectoryEntry:
        """Take a stream as the only file of a root folder (format 04 §11.9)."""
        name = self._options.stdin_file_name
        if not name or "/" in name:
            raise UsageError(f"the name for standard input must be that of a file, not {name!r}")
        packer = compressor_for(self.policy.compression, name, 0)
        object_id, size = self._write(writer, stream.readinto, packer)  # type: ignore[attr-defined]
        entry = DirectoryEntry(name=name, type=FILE, mode=STREAM_MODE, size=size, mtime_ns=started, object_id=object_id)
        summary = summarize([entry], own_mtime_ns=STREAM_ROOT_TIME_NS)
        root = write_directory(writer.objects, [entry], summary, self.policy.metadata_compression.compressor_name)
        self.statistics = Statistics(total_size=size, file_count=1, non_cached_files=1, directory_count=1)
        self._progress.add(hashed_files=1, directories=1)
        return DirectoryEntry(
            name=path, type=DIRECTORY, mode=STREAM_MODE, mtime_ns=STREAM_ROOT_TIME_NS, object_id=root, summary=summary
        )

    # ------------------------------------------------------------------ checkpoints

    def _save_checkpoint(self, writer: RepositoryWriter, root: DirectoryEntry, started: int) -> None:
        manifest = SnapshotManifest(
            source=self._source,
            start_time_ns=started,
            end_time_ns=clock.now(),
            stats=SnapshotStats(),
            incomplete=CHECKPOINT,
            root_entry=root,
        )
        saved = writer.manifests.put(manifest.labels(), manifest.to_json())
        apply_retention(self._repository, writer, self._source, self.policy, taken=saved, listed=self.listed_blobs)
        writer.flush()
        log.info("saved a checkpoint of %s", self._source)


def _upload_counter(writer: RepositoryWriter, progress: Progress[UploadCounters]) -> Callable[[], None]:
    """Return what sets the counters of bytes that the writer has stored from now on."""
    contents = writer.contents
    written_before, packed_before = contents.written_bytes, contents.packed_bytes

    def refresh() -> None:
        progress.set(
            new_bytes=contents.written_bytes - written_before, uploaded_bytes=contents.packed_bytes - packed_before
        )

    return refresh


def set_manual(repository: Core, writer: RepositoryWriter, source: SourceInfo) -> None:
    """Mark a source that no scheduler can take again by itself (format 04 §11.8)."""
    defined = Policies(repository).defined(source)
    policy = Policy() if defined is None else defined.policy
    if not policy.scheduling.manual:
        changed = replace(policy, scheduling=replace(policy.scheduling, manual=True))
        Policies.put(writer, source, changed)


def stored_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags by the keys of their labels, in order."""
    check_texts_by_name("tags", tags)
    stored = {name if name.startswith(TAG_PREFIX) else TAG_PREFIX + name: value for name, value in tags.items()}
    return dict(sorted(stored.items()))


def _times(options: SnapshotOptions, started: int, ended: int) -> tuple[int, int]:
    """Return start and end; when only one is given, the other moves along (format 04 §11.8)."""
    start, end = options.start_time_ns, options.end_time_ns
    if start is not None and end is not None:
        return start, end
    if start is not None:
        return start, start + ended - started
    if end is not None:
        return end - (ended - started), end
    return started, ended


def _stats(counted: Statistics) -> SnapshotStats:
    return SnapshotStats(
        total_size=counted.total_size,
        excluded_total_size=counted.excluded_total_size,
        file_count=counted.file_count,
        cached_files=counted.cached_files,
        non_cached_files=counted.non_cached_files,
        dir_count=counted.directory_count,
        excluded_file_count=counted.excluded_file_count,
        excluded_dir_count=counted.excluded_directory_count,
        ignored_error_count=counted.ignored_error_count,
        error_count=counted.error_count,
    )


__all__ = ["create_snapshot", "set_manual", "stored_tags"]
