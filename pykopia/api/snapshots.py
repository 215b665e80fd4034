"""Snapshots of an open repository: ``repository.snapshots``."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import timedelta
from typing import IO, TYPE_CHECKING

import pykopia
from pykopia.arguments import check_choice, check_kind, check_text, given, nanoseconds, path_text, span_ns, texts
from pykopia.errors import DamagedDataError, InvalidReferenceError, SnapshotNotFoundError, UsageError
from pykopia.format.source import SNAPSHOT_LABELS, SourceInfo
from pykopia.ids import ManifestID
from pykopia.snapshot.manifests import read_snapshot, read_snapshots
from pykopia.snapshot.reference import (
    Moment,
    Reference,
    SourceLike,
    distinct_sources,
    each_of,
    latest_of,
    manifest_id,
    root_of_manifest,
    source_of,
)

if TYPE_CHECKING:
    from pykopia.snapshot.verify import Root

# What a method works with is imported in it: most programs call one of them, and listing is to start at once.
# ruff: noqa: PLC0415

log = logging.getLogger(__name__)


class Snapshots:
    """Takes, lists, restores, verifies and deletes the snapshots of a repository."""

    def __init__(self, repository: pykopia.Repository) -> None:
        self._repository = repository

    def __repr__(self) -> str:
        return f"<Snapshots of {self._repository!r}>"

    def _repr_html_(self) -> str:
        from pykopia.format.snapshot_manifest import snapshots_table

        return snapshots_table(self.list())

    # ------------------------------------------------------------------ taking

    def create(
        self,
        path: str | os.PathLike[str],
        *,
        options: pykopia.SnapshotOptions | None = None,
        progress: Callable[[pykopia.UploadCounters], None] | None = None,
        cancel: pykopia.Cancel | None = None,
        writer: pykopia.RepositoryWriter | None = None,
    ) -> pykopia.SnapshotResult:
        """Take a snapshot of a folder or a file.

        Args:
            path: what to take; a symbolic link is followed.
            options: how; the defaults and the policies of the repository when not given.
            progress: called about ten times a second with what has been done.
            cancel: says whether to stop; what was finished is saved as an incomplete snapshot then, and the next
                one goes on from there.
            writer: a session to write in, of ``repository.writer()``: several snapshots become visible with its flush.
                One of its own when not given.

        Raises:
            ActionFailedError: a program that must run before, by the policies, did not do what it should.
            SourceNotFoundError: there is nothing at ``path``.
            SourceReadError: the folder itself can't be read. Entries in it that can't be read do not raise: they are in
                the result's ``problems`` and in the snapshot's summary.
            StorageError: the repository can't be written to; nothing of the snapshot is visible.
        """
        from pykopia.snapshot.create import create_snapshot
        from pykopia.snapshot.progress import Progress
        from pykopia.snapshot.upload_options import SnapshotOptions, UploadCounters

        return create_snapshot(
            self._repository,
            path_text("path", path),
            given("options", options, SnapshotOptions),
            Progress(UploadCounters(), progress, cancel),
            writer,
        )

    def put(
        self,
        source: SourceInfo,
        tree: pykopia.Tree,
        *,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        pins: Iterable[str] = (),
        writer: pykopia.RepositoryWriter | None = None,
    ) -> pykopia.SnapshotManifest:
        """Make a snapshot of objects that are stored already, which keeps them as long as the snapshot is there.

        Full maintenance, by this program or by Kopia, deletes objects that no snapshot refers to. The snapshot is one like
        any other: both programs list, restore, verify and expire it. Only a later snapshot of the same source, or
        ``expire``, makes it expire, as the policy of the source says; one with a pin never does.

        >>> import pykopia
        >>> with pykopia.create("memory://objects", "a good password") as repository:
        ...     source = pykopia.SourceInfo(user_name="app", host="server", path="/models")
        ...     with repository.writer() as writer:
        ...         model = writer.objects.write(b"weights")
        ...         snapshot = repository.snapshots.put(source, {"v1": {"model.bin": model}}, writer=writer, pins=["keep"])
        ...     repository.objects.read(repository.snapshots.resolve(f"{snapshot.id}/v1/model.bin").object_id)
        b'weights'

        Args:
            source: whose snapshot it is: user, host and absolute path, which need not exist anywhere.
            tree: the names in the root folder: a file by the ID of its object, a folder by its own names.
            description: of the snapshot.
            tags: stored with the prefix ``tag:``.
            pins: names that keep the snapshot from expiring.
            writer: the session in which the objects were written: it is flushed first, and the snapshot becomes visible
                with its next flush. One of its own when not given.

        Returns:
            The snapshot, with its ID.

        Raises:
            UsageError: a part of the source is missing, or the tree can't be that of a snapshot.
            ContentNotFoundError: an object is not in the repository; nothing was saved.
        """
        from contextlib import nullcontext

        from pykopia.snapshot.create import set_manual, stored_tags
        from pykopia.snapshot.put import plan_tree, put_tree

        check_kind("source", source, SourceInfo)
        list(plan_tree(tree))
        repository = self._repository
        with nullcontext(writer) if writer else repository.writer() as session:
            session.flush()
            made = put_tree(
                repository.objects,
                session,
                source,
                tree,
                repository.policies.tree(source),
                description=description,
                tags=stored_tags(tags or {}),
                pins=texts("pins", pins),
            )
            saved = replace(made, id=session.manifests.put(made.labels(), made.to_json()))
            set_manual(repository, session, source)
        return saved

    def estimate(self, path: str | os.PathLike[str], *, cancel: pykopia.Cancel | None = None) -> pykopia.Estimate:
        """Count what a snapshot of ``path`` would take, without reading files."""
        from pykopia.snapshot.estimate import estimate

        return estimate(self._repository, path_text("path", path), cancel)

    # ------------------------------------------------------------------ listing

    def list(
        self, source: SourceLike | None = None, *, tags: Mapping[str, str] | None = None
    ) -> list[pykopia.SnapshotManifest]:
        """Return snapshots by start time, oldest first; incomplete ones too.

        Args:
            source: whose; fields of a ``SourceInfo`` that are empty match any. All when not given.
            tags: that a snapshot must have, keys without the prefix ``tag:``.
        """
        from pykopia.format.snapshot_manifest import SnapshotList

        return SnapshotList(read_snapshots(self._repository.manifests, self._source(source), tags))

    def warn_of_missing(self) -> None:
        """Log a warning if packs show that there may be newer snapshots than those listed: a part of the index is lost."""
        from pykopia.repository.view import warn_of_missing_snapshots

        warn_of_missing_snapshots(self._repository)

    def sources(self) -> Sequence[SourceInfo]:
        """Return the sources that have snapshots, sorted."""
        return distinct_sources(self.list())

    def latest(
        self,
        source: SourceLike | None = None,
        *,
        before: Moment | None = None,
        tags: Mapping[str, str] | None = None,
        incomplete: bool = False,
    ) -> pykopia.SnapshotManifest:
        """Return the newest snapshot.

        Args:
            source: whose; fields of a ``SourceInfo`` that are empty match any. Any when not given.
            before: only snapshots that began before this moment count.
            tags: that the snapshot must have, keys without the prefix ``tag:``.
            incomplete: whether a snapshot that ended early counts.

        Raises:
            SnapshotNotFoundError: there is none.
            UsageError: ``before`` has no time zone.
        """
        wanted = self._source(source)
        before_ns = None if before is None else nanoseconds("before", before)
        found = latest_of(self.list(wanted, tags=tags), before_ns=before_ns, incomplete=incomplete)
        if found is None:
            raise SnapshotNotFoundError(
                f"there is no {'' if incomplete else 'complete '}snapshot"
                f"{f' of {wanted}' if wanted else ''}{'' if before is None else f' before {before}'}"
                f"{' with these tags' if tags else ''}; `snapshot list --all` shows what there is"
            )
        return found

    def storage_stats(
        self, snapshots: Iterable[pykopia.SnapshotManifest] | None = None
    ) -> Iterator[pykopia.StorageStats]:
        """Yield what each snapshot adds to those before it, and what all of them take together up to it.

        Args:
            snapshots: in this order; all by start time when not given.

        Raises:
            PykopiaError: a folder can't be read, or a content is not in the index.
        """
        from pykopia.snapshot.storage_stats import storage_stats

        return storage_stats(self._repository, self.list() if snapshots is None else each_of(snapshots))

    def _source(self, source: SourceLike | None) -> SourceInfo | None:
        return None if source is None else source_of(source, self._repository.client)

    def list_unreadable(self) -> dict[ManifestID, DamagedDataError]:
        """Return the snapshot manifests that can't be read, and why: their data must be kept."""
        unreadable: dict[ManifestID, DamagedDataError] = {}
        for entry in self._repository.manifests.find(SNAPSHOT_LABELS):
            try:
                read_snapshot(entry)
            except DamagedDataError as error:
                unreadable[entry.id] = error
        return unreadable

    def get(self, snapshot_id: str) -> pykopia.SnapshotManifest:
        """Return a snapshot by its manifest ID.

        Raises:
            SnapshotNotFoundError: there is none.
            DamagedManifestError: it can't be read.
        """
        for entry in self._repository.manifests.find(SNAPSHOT_LABELS):
            if entry.id == snapshot_id:
                return read_snapshot(entry)
        raise SnapshotNotFoundError(f"there is no snapshot {snapshot_id}; `snapshot list` shows all")

    def with_id_or_root(self, text: str) -> Sequence[pykopia.SnapshotManifest]:
        """Return the snapshots with this manifest ID or root object ID.

        Raises:
            SnapshotNotFoundError: there is none.
        """
        found = [
            each
            for each in self.list()
            if each.id == text or (each.root_entry is not None and each.root_entry.object_id == text)
        ]
        if not found:
            raise SnapshotNotFoundError(f"no snapshot has the ID or root {text!r}; `snapshot list` shows all")
        return found

    def find(
        self,
        *patterns: str,
        source: SourceLike | None = None,
        kind: str = "",
        ignore_case: bool = False,
    ) -> pykopia.Search:
        """Look for entries by name in all snapshots, each distinct folder read once.

        Args:
            patterns: as those of ignore rules: ``*.docx``, ``/folder/name``; or beginning with a source's path.
            source: whose snapshots; fields that are empty match any. All when not given.
            kind: ``f``, ``d`` or ``s`` for files, folders or links alone.
            ignore_case: take upper and lower case as equal.

        Returns:
            What to iterate over; its ``problems`` are filled then.

        Raises:
            UsageError: a pattern can't be read.
        """
        from pykopia.snapshot.find import Search

        return Search(
            self._repository.objects, self.list(source), texts("patterns", patterns), kind=kind, ignore_case=ignore_case
        )

    def history(self, source: SourceLike) -> pykopia.History:
        """Return the versions of a path over all snapshots of the path and of its parent folders.

        Args:
            source: user, host and absolute path, or a path of this client.

        Returns:
            What to iterate over; its ``problems`` are filled then.
        """
        from pykopia.snapshot.history import History
        from pykopia.snapshot.source_path import at_or_above

        source = source_of(source, self._repository.client)
        owned = self.list(SourceInfo(host=source.host, user_name=source.user_name))
        return History(self._repository.objects, at_or_above(owned, source.path), source.path)

    def resolve(self, reference: Reference, *, consistent_attributes: bool = False) -> pykopia.DirectoryEntry:
        """Return the entry that a reference names.

        Args:
            reference: ``ID`` or ``ID/path/inside``, where ID is that of a snapshot or of an object, a unique beginning of
                four characters or more, or ``latest``: the newest complete snapshot of a repository with one source. A
                snapshot stands for its root, an entry for itself.
            consistent_attributes: fail when snapshots with this root object disagree on its attributes.

        Raises:
            SnapshotNotFoundError: no such ID, or several begin with it.
            PathNotInSnapshotError: no such path.
            UsageError: the value is no reference.
        """
        return self._resolved(reference, None, consistent_attributes=consistent_attributes)

    def tree(self, reference: Reference) -> pykopia.SnapshotPath:
        """Return a snapshot, a folder or a file of one as a path to look around in and to read from, as with ``pathlib``.

        Args:
            reference: see ``resolve``.

        Raises:
            SnapshotNotFoundError: no such ID, or several begin with it.
            PathNotInSnapshotError: no such path.
        """
        from pykopia.snapshot.resolve import with_length
        from pykopia.snapshot.snapshot_path import SnapshotPath

        objects = self._repository.objects
        return SnapshotPath(objects, with_length(self.resolve(reference), objects))

    def _resolved(
        self,
        reference: Reference,
        snapshots: Sequence[pykopia.SnapshotManifest] | None,
        *,
        consistent_attributes: bool = False,
    ) -> pykopia.DirectoryEntry:
        from pykopia.format.directory import DirectoryEntry
        from pykopia.format.snapshot_manifest import SnapshotManifest
        from pykopia.snapshot.resolve import resolve

        if isinstance(reference, SnapshotManifest):
            return root_of_manifest(reference)
        if isinstance(reference, DirectoryEntry):
            return reference
        check_text("a reference to an entry", reference)
        snapshots = self.list() if snapshots is None else snapshots
        objects, indexes = self._repository.objects, self._repository.contents.indexes
        try:
            return resolve(reference, snapshots, objects, consistent_attributes=consistent_attributes)
        except InvalidReferenceError:
            raise
        except SnapshotNotFoundError as error:
            if indexes.active_count and not indexes.damaged:
                raise
            raise SnapshotNotFoundError(
                f"{error}. The index of the repository is empty or damaged: `index recover` shows what the packs hold"
            ) from error

    # ------------------------------------------------------------------ restoring

    def restore(
        self,
        reference: Reference,
        target: str | os.PathLike[str] | IO[bytes],
        *,
        options: pykopia.RestoreOptions | None = None,
        progress: Callable[[pykopia.RestoreCounters], None] | None = None,
        cancel: pykopia.Cancel | None = None,
        executor: Executor | None = None,
        parts: int | None = None,
    ) -> pykopia.RestoreResult:
        """Restore a snapshot, a folder or a file of one.

        Args:
            reference: see ``resolve``.
            target: a folder, the name of a file, an archive (``.tar``, ``.tgz``, ``.tar.gz``, ``.zip``), or a binary
                stream, which gets the contents of a file, or an archive of the ``mode`` that the options name. An archive
                to a pipe, a device or a link is written there, and replaces nothing.
            options: how; the defaults when not given.
            progress: called about ten times a second.
            cancel: says whether to stop.
            executor: restores parts of a folder, in threads, processes or machines that have the target under the same path;
                then this process looks at all of it, and restores what a lost worker left.
            parts: of an executor; 32 when not given.

        Raises:
            SnapshotNotFoundError: no such ID.
            RestoreError: an entry can't be restored. What was restored before stays.
            DuplicateNameError: entries of one name were restored under different names; nothing else went wrong.
            UsageError: a pattern can't be read, or a folder is restored to a stream without a mode.
            DamagedDataError: the repository is damaged where the snapshot lies.
        """
        from pykopia.api.restoring import restore
        from pykopia.snapshot.restore_options import RestoreOptions

        entry, options = self.resolve(reference), given("options", options, RestoreOptions)
        return restore(self._repository, entry, target, options, progress, cancel, executor, parts)

    def export(
        self,
        reference: Reference,
        sink: pykopia.ByteSink,
        *,
        format: pykopia.ExportFormat = "tar",  # noqa: A002 -- the word that callers expect
        options: pykopia.RestoreOptions | None = None,
        progress: Callable[[pykopia.RestoreCounters], None] | None = None,
        cancel: pykopia.Cancel | None = None,
    ) -> pykopia.RestoreResult:
        """Write a snapshot, a folder or a file of one as an archive to a stream, which need not be seekable.

        Args:
            reference: see ``resolve``.
            sink: anything with a method ``write`` that takes bytes: a file, a pipe, a socket's file, an upload. It is
                flushed if it can be, and stays open.
            format: of the archive: ``tar``, ``tar.gz`` or ``zip``.
            options: which entries, and whether to go on after errors; what concerns a target folder has no effect.
            progress: called about ten times a second.
            cancel: says whether to stop.

        Raises:
            SnapshotNotFoundError: no such ID.
            RestoreError: an entry can't be read, or the stream can't be written to.
            CanceledError: the caller asked to stop; the archive has no end.
            UsageError: an unknown format.
        """
        from pykopia.snapshot.export import FORMATS, export
        from pykopia.snapshot.progress import Progress
        from pykopia.snapshot.resolve import with_length
        from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions

        check_choice("format", format, FORMATS)
        entry = with_length(self.resolve(reference), self._repository.objects)
        counting = Progress(RestoreCounters(), progress, cancel)
        with counting.told():
            return export(self._repository, entry, sink, format, given("options", options, RestoreOptions), counting)

    def plan_restore(
        self,
        reference: Reference,
        target: str | os.PathLike[str],
        *,
        options: pykopia.RestoreOptions | None = None,
        cancel: pykopia.Cancel | None = None,
    ) -> pykopia.RestorePlan:
        """Return what ``restore`` would change in a folder or file of this machine; nothing is written.

        Files of the same size are compared by their contents; they are read, the repository's are not.

        Returns:
            What to iterate over.

        Raises:
            UsageError: the target is an archive or a URL.
            SnapshotNotFoundError: no such ID.
        """
        from pykopia.api.restoring import plan
        from pykopia.snapshot.restore_options import RestoreOptions

        options = given("options", options, RestoreOptions)
        return plan(self._repository, self.resolve(reference), target, options, cancel)

    # ------------------------------------------------------------------ checking and deleting

    def verify(
        self,
        references: Iterable[Reference] = (),
        *,
        options: pykopia.VerifyOptions | None = None,
        progress: Callable[[pykopia.VerifyCounters], None] | None = None,
        cancel: pykopia.Cancel | None = None,
        executor: Executor | None = None,
        parts: int | None = None,
    ) -> pykopia.VerifyResult:
        """Check that snapshots can be restored.

        Args:
            references: what to check, see ``resolve``; all snapshots when there are none.
            options: how much is read; by default it is checked that all contents are there, and none is read.
            progress: called about ten times a second.
            cancel: says whether to stop.
            executor: carries the verification out in parts, in threads, processes or machines that can open the repository by
                ``repository.connection``; a part whose worker is lost is done again.
            parts: of an executor; 32 when not given.

        Returns:
            What was looked at, with one failure for each file or folder that can't be restored, and in what storage and
            index contradict each other; neither raises.

        Raises:
            SnapshotNotFoundError: no such ID.
            StorageError: the storage can't be read.
        """
        from pykopia.format.blob_names import PACK_PREFIXES
        from pykopia.repository.view import contradictions, list_blobs
        from pykopia.snapshot.progress import Progress
        from pykopia.snapshot.verify import Verifier, VerifyCounters, VerifyOptions

        options, repository = given("options", options, VerifyOptions), self._repository
        roots = self._verify_roots(references)
        if executor is not None:
            from pykopia.api.executors import verify_by

            result = verify_by(repository, executor, roots, parts, options, progress, cancel)
            return replace(result, contradictions=contradictions(repository))
        counting = Progress(VerifyCounters(), progress, cancel)
        with counting.told():
            packs = list_blobs(repository.storage, PACK_PREFIXES)
            result = Verifier(repository, options, counting, packs).run(roots)
            return replace(result, contradictions=contradictions(repository, listed=packs))

    def plan_verify(
        self,
        references: Iterable[Reference] = (),
        *,
        parts: int,
        options: pykopia.VerifyOptions | None = None,
    ) -> Sequence[pykopia.VerifyPart]:
        """Return a verification in parts, which other processes carry out by ``verify_part``, in any order.

        Args:
            references: what to check, as in ``verify``.
            parts: how many at most.
            options: as in ``verify``.

        Raises:
            SnapshotNotFoundError: no such ID.
        """
        from pykopia.api.executors import plan_verify
        from pykopia.snapshot.verify import VerifyOptions

        options = given("options", options, VerifyOptions)
        return plan_verify(self._repository, self._verify_roots(references), parts, options)

    def verify_part(self, part: pykopia.VerifyPart) -> pykopia.VerifyResult:
        """Carry out a part of ``plan_verify``; what several parts have in common may be counted by each."""
        from pykopia.api.executors import verify_here
        from pykopia.snapshot.progress import Progress
        from pykopia.snapshot.verify import VerifyCounters

        return verify_here(self._repository, part, Progress(VerifyCounters()))

    def _verify_roots(self, references: Iterable[Reference]) -> Sequence[Root]:
        from pykopia.format.directory import DirectoryEntry
        from pykopia.snapshot.verify import Root, snapshot_root

        snapshots = self.list()
        by_id = {each.id: each for each in snapshots}
        roots = []
        for reference in each_of(references):
            entry = self._resolved(reference, snapshots)
            if isinstance(reference, DirectoryEntry):
                roots.append(Root(entry, reference.name))
                continue
            named = by_id.get(manifest_id(reference))
            roots.append(Root(entry, str(reference)) if named is None else snapshot_root(named, entry))
        return roots or [snapshot_root(each, each.root_entry) for each in snapshots if each.root_entry is not None]

    def delete(self, snapshot: str | pykopia.SnapshotManifest) -> None:
        """Delete a snapshot; its data goes when maintenance finds that nothing else needs it.

        Args:
            snapshot: the snapshot or its full manifest ID.

        Raises:
            SnapshotNotFoundError: there is none.
            ContradictedViewError: storage and index contradict each other; nothing was deleted.
        """
        snapshot_id = manifest_id(snapshot)
        if all(entry.id != snapshot_id for entry in self._repository.manifests.find(SNAPSHOT_LABELS)):
            raise SnapshotNotFoundError(f"there is no snapshot {snapshot_id}; `snapshot list` shows all")
        self.delete_all([snapshot_id])

    def delete_all(self, snapshots: Iterable[str | pykopia.SnapshotManifest]) -> None:
        """Delete several snapshots, all or none.

        Args:
            snapshots: the snapshots or their full manifest IDs.

        Raises:
            ContradictedViewError: storage and index contradict each other; nothing was deleted.
        """
        from pykopia.snapshot.expiry import delete_snapshots, view_for_deletion

        snapshot_ids = [manifest_id(each) for each in each_of(snapshots)]
        view = view_for_deletion(self._repository)
        with self._repository.writer() as writer:
            delete_snapshots(writer, view, snapshot_ids)

    def pin(
        self, snapshot: str | pykopia.SnapshotManifest, *, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> pykopia.SnapshotManifest:
        """Add pins to a snapshot, then remove some; a snapshot with a pin never expires.

        Args:
            snapshot: the snapshot or its full manifest ID.
            add: names of pins.
            remove: names of pins.

        Returns:
            The snapshot as it is now: under another ID if anything changed, as Kopia does it.

        Raises:
            SnapshotNotFoundError: there is none.
        """
        before = self.get(manifest_id(snapshot))
        after = before.with_pins(texts("add", add), texts("remove", remove))
        if after.pins == before.pins:
            return before
        with self._repository.writer() as writer:
            saved = writer.manifests.put(after.labels(), after.to_json())
            writer.manifests.delete(before.id)
        return replace(after, id=saved)

    def tag(
        self,
        snapshot: str | pykopia.SnapshotManifest,
        *,
        add: Mapping[str, str] | None = None,
        remove: Iterable[str] = (),
    ) -> pykopia.SnapshotManifest:
        """Set tags of a snapshot and remove others.

        Args:
            snapshot: the snapshot or its full manifest ID.
            add: values by key, keys without the prefix ``tag:``.
            remove: keys.

        Returns:
            The snapshot as it is now: under another ID if anything changed, as with pins.

        Raises:
            SnapshotNotFoundError: there is none.
        """
        from pykopia.snapshot.create import stored_tags

        before = self.get(manifest_id(snapshot))
        gone = set(stored_tags(dict.fromkeys(texts("remove", remove), "")))
        tags = {key: value for key, value in before.tags.items() if key not in gone} | stored_tags(add or {})
        if tags == dict(before.tags):
            return before
        after = replace(before, tags=tags)
        with self._repository.writer() as writer:
            saved = writer.manifests.put(after.labels(), after.to_json())
            writer.manifests.delete(before.id)
        return replace(after, id=saved)

    def expire(
        self, source: SourceLike | None = None, *, delete: bool = False, keep_within: timedelta | None = None
    ) -> Sequence[pykopia.Expiration]:
        """Return which snapshots the policies of their sources do not keep, and delete them if asked to.

        Args:
            source: whose; fields of a ``SourceInfo`` that are empty match any. All when not given.
            delete: without it nothing is changed.
            keep_within: keeps also what began within this time before the newest snapshot; in this call alone.

        Raises:
            UsageError: ``keep_within`` is negative.
            ContradictedViewError: storage, index and snapshots contradict each other; nothing was deleted.
        """
        from pykopia.snapshot.expiry import carry_out
        from pykopia.snapshot.retention import plan_expirations

        chosen = self._source(source)
        within_ns = 0 if keep_within is None else span_ns("keep_within", keep_within)
        expirations = plan_expirations(self._repository, chosen, keep_within_ns=within_ns)
        if delete:
            with self._repository.writer() as writer:
                carry_out(self._repository, writer, chosen, expirations)
        return expirations

    def copy_history(
        self, source: SourceInfo, destination: SourceInfo, *, move: bool = False
    ) -> Sequence[pykopia.HistoryStep]:
        """Copy or move the snapshots of a source to another source; no data is copied.

        Args:
            source: whose snapshots; fields that are empty match any.
            destination: fields that are not empty replace those of the source.
            move: delete them where they were.

        Raises:
            UsageError: snapshots of several users or paths would become those of one.
        """
        from pykopia.snapshot.copy_history import apply_history, plan_history

        steps = plan_history(self.list(), source, destination)
        with self._repository.writer() as writer:
            apply_history(writer, steps, move=move)
        return steps

    def migrate(
        self,
        origin: pykopia.Repository,
        sources: Iterable[SourceInfo] | None = None,
        *,
        snapshots: Iterable[str | pykopia.SnapshotManifest] | None = None,
        latest_only: bool = False,
        policies: bool = True,
        overwrite_policies: bool = False,
        apply_ignore_rules: bool = False,
        parallel: int | None = None,
        progress: Callable[[pykopia.UploadCounters], None] | None = None,
        cancel: pykopia.Cancel | None = None,
    ) -> pykopia.MigrationResult:
        """Copy snapshots from another repository; those that are here already are left alone.

        Times, tags, pins and descriptions are kept. How files are split and compressed follows the policies here.

        Args:
            origin: the other repository.
            sources: whose snapshots; all when not given.
            snapshots: of the other repository, or their full manifest IDs; all of the sources when not given.
            latest_only: of each source only the latest complete one.
            policies: also copy the policies of the sources, all policies when no sources are given.
            overwrite_policies: also where this repository has one.
            apply_ignore_rules: leave out what the rules that hold now ignore.
            parallel: files copied at one time; the number of CPUs when not given.
            progress: called about ten times a second.
            cancel: says whether to stop; what was committed stays.

        Raises:
            CanceledError: the caller asked to stop.
            PykopiaError: this repository can't be written to. What can't be read there is in the result's ``problems``,
                ``damaged`` and ``contradictions``.
        """
        from pykopia.crew import available_cpus
        from pykopia.snapshot.migrate import Migration, migrate_policies
        from pykopia.snapshot.progress import Progress
        from pykopia.snapshot.upload_options import UploadCounters

        check_kind("origin", origin, pykopia.Repository)
        counting = Progress(UploadCounters(), progress, cancel)
        every = wanted = None if sources is None else list(sources)
        only = None if snapshots is None else {manifest_id(each) for each in each_of(snapshots)}
        if every is None:
            listed = read_snapshots(origin.manifests)
            every = sorted({each.source for each in listed if only is None or each.id in only})
        with self._repository.writer(parallel=parallel) as writer, counting.told():
            if policies:
                for target in migrate_policies(origin, writer, wanted, overwrite=overwrite_policies):
                    log.info("copied the policy for %s", target)
                writer.flush()
            migration = Migration(
                origin,
                self._repository,
                writer,
                counting,
                parallel=parallel or available_cpus(),
                apply_ignore_rules=apply_ignore_rules,
            )
            return migration.run(every, latest_only=latest_only, only=only)

    def diff(self, before: Reference, after: Reference) -> pykopia.Comparison:
        """Compare two folders with all below them.

        Args:
            before: a folder, see ``resolve``.
            after: the folder to compare it with.

        Returns:
            What to iterate over; its ``statistics`` are filled then.

        Raises:
            UsageError: one of them is a file, or no reference.
            SnapshotNotFoundError: no such ID.
        """
        from pykopia.format.directory import DIRECTORY
        from pykopia.snapshot.diff import Comparison

        old, new = self.resolve(before), self.resolve(after)
        for entry in (old, new):
            if entry.type != DIRECTORY:
                raise UsageError(f"only folders can be compared, and {entry.name} is a file")
        return Comparison(self._repository.objects, old, new)


__all__ = ["Snapshots"]
