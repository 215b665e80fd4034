"""`snapshot list`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from itertools import groupby
from typing import TYPE_CHECKING

from pykopia import clock
from pykopia.cli import formatting
from pykopia.cli.flags.snapshot_list import SnapshotListOptions
from pykopia.cli.references import source_hint
from pykopia.cli.session import Session
from pykopia.cli.snapshot_sources import containing, parse_source
from pykopia.cli.tags import parse_tags
from pykopia.dataclass import dataclass
from pykopia.errors import ContradictedViewError, PykopiaError
from pykopia.format.directory import DirectoryEntry
from pykopia.format.retention import compact_reasons, reasons_despite_errors
from pykopia.format.snapshot_manifest import SnapshotManifest, StorageStats
from pykopia.repository.view import contradictions_of_list
from pykopia.snapshot.source_path import path_inside
from pykopia.snapshot.storage_stats import storage_stats

if TYPE_CHECKING:
    from pykopia.api.repository import Repository


def list_snapshots(session: Session, options: SnapshotListOptions) -> None:
    """List snapshots by source.

    Raises:
        ContradictedViewError: The list is printed, and the storage shows that snapshots may be missing from it.
    """
    tags = parse_tags(options.tags)
    with session.open() as repository:
        source = parse_source(repository, options.source) if options.source else None
        found = containing(repository, source, tags=tags) if source else repository.snapshots.list(tags=tags)
        groups = list(_by_source(found))
        if options.json:
            _write_json(session, repository, options, groups)
        else:
            _Table(session, repository, options, source.path if source else "").write(groups)
            if source and not groups:
                hint = source_hint(repository, source) or "`pykopia snapshot list --all` shows all sources"
                session.log.info("No snapshots of %s found; %s", source, hint)
        wrong = contradictions_of_list(repository)
        if wrong:
            what = "vouch for this list, snapshots may be missing"
            raise ContradictedViewError(what, repository.storage.display_name, wrong)


def _by_source(manifests: Iterable[SnapshotManifest]) -> Iterator[list[SnapshotManifest]]:
    ordered = sorted(manifests, key=lambda each: (str(each.source), each.start_time_ns, each.end_time_ns))
    for _, group in groupby(ordered, key=lambda each: each.source):
        yield list(group)


def _selected(group: list[SnapshotManifest], options: SnapshotListOptions) -> list[SnapshotManifest]:
    """Return a group in the order and length asked for: the end of the list is kept, whatever the order."""
    ordered = group[::-1] if options.reverse else group
    return ordered[-options.max_results :] if options.max_results > 0 else ordered


def _reasons(
    session: Session, repository: "Repository", group: Sequence[SnapshotManifest]
) -> dict[str, tuple[str, ...]]:
    """Return why each snapshot of a source is kept, by its ID."""
    source = group[0].source
    try:
        policy = repository.policies.effective(source).policy
    except PykopiaError as error:
        session.log.error("unable to determine the policy of %s: %s", source, error)  # noqa: TRY400
        return {}
    found = reasons_despite_errors(
        group, policy.retention, tz=clock.LOCAL_TIMEZONE, has_errors=lambda each: each.has_errors
    )
    return {manifest.id: tuple(reasons) for manifest, reasons in zip(group, found, strict=True)}


def _storage_stats(
    repository: "Repository", options: SnapshotListOptions, manifests: Sequence[SnapshotManifest]
) -> Iterable[StorageStats | None]:
    return storage_stats(repository, manifests) if options.storage_stats else [None] * len(manifests)


def _write_json(
    session: Session, repository: "Repository", options: SnapshotListOptions, groups: list[list[SnapshotManifest]]
) -> None:
    printer = options.json_list(session)
    for group in groups:
        manifests = _selected(group, options)
        reasons = _reasons(session, repository, manifests) if options.retention else {}
        for manifest, stats in zip(manifests, _storage_stats(repository, options, manifests), strict=True):
            text = manifest.as_kopia_has_it().to_output(
                storage_stats=stats, retention_reasons=reasons.get(manifest.id, ())
            )
            printer.add_text(text.decode("utf-8", "surrogateescape"))
    printer.end()


@dataclass(slots=True)
class _Row:
    first_ns: int
    last_ns: int
    object_id: str
    words: list[str]
    reasons: list[str]
    pins: list[str]
    count: int = field(default=1)


class _Table:
    def __init__(self, session: Session, repository: "Repository", options: SnapshotListOptions, path: str) -> None:
        self._session, self._repository, self._options, self._path = session, repository, options, path

    def write(self, groups: list[list[SnapshotManifest]]) -> None:
        separator = ""
        for group in groups:
            if not self._is_wanted(group[0]):
                continue
            self._session.write(separator + self._session.name(str(group[0].source)))
            separator = "\n"
            for row in self._rows(group):
                self._write_row(row)
        if groups and not separator:
            self._session.log.info("No snapshots found. Pass --all to show snapshots from all users/hosts.\n")

    def _is_wanted(self, manifest: SnapshotManifest) -> bool:
        source, repository = manifest.source, self._repository
        return self._options.all or (source.host, source.user_name) == (repository.hostname, repository.username)

    def _rows(self, group: list[SnapshotManifest]) -> list[_Row]:
        options, session = self._options, self._session
        reasons = _reasons(session, self._repository, group)
        manifests = _selected(group, options)
        rows: list[_Row] = []
        previous_size = 0
        for manifest, stats in zip(manifests, _storage_stats(self._repository, options, manifests), strict=True):
            try:
                entry = self._entry(manifest)
            except PykopiaError as error:
                session.write(f"  {session.time(manifest.start_time_ns)} <ERROR> {session.escape(str(error))}")
                continue
            if manifest.incomplete and not options.incomplete:
                continue
            rows.append(
                _Row(
                    first_ns=manifest.start_time_ns,
                    last_ns=manifest.start_time_ns,
                    object_id=entry.object_id,
                    words=self._words(manifest, entry, stats, previous_size),
                    reasons=list(reasons.get(manifest.id, ())),
                    pins=list(manifest.pins),
                )
            )
            if not manifest.incomplete:
                previous_size = manifest.stats.total_size
        return rows if options.show_identical else _merged(rows)

    def _entry(self, manifest: SnapshotManifest) -> DirectoryEntry:
        inside = path_inside(manifest, self._path)
        return self._repository.snapshots.resolve(f"{manifest.id}/{inside}" if inside else manifest.id)

    def _words(
        self, manifest: SnapshotManifest, entry: DirectoryEntry, stats: StorageStats | None, previous_size: int
    ) -> list[str]:
        options, summary = self._options, entry.summary
        length = summary.size if summary is not None else entry.size
        words = [f"incomplete:{manifest.incomplete}"] if manifest.incomplete else []
        words.append(self._session.size(length) if options.human_readable else str(length))
        words.append(formatting.mode(entry.type, entry.mode))
        if options.owner:
            words += [f"uid:{entry.uid}", f"gid:{entry.gid}"]
        if options.mtime:
            words.append(f"modified:{self._session.time(entry.mtime_ns)}")
        if options.manifest_id:
            words.append(f"manifest:{manifest.id}")
        if options.delta:
            grown = entry.size - previous_size
            words.append(f"(+{self._session.size(grown)})" if grown > 0 else "")
        if summary is not None:
            words += [f"files:{summary.files}", f"dirs:{summary.dirs}"]
            if summary.num_failed > 0:
                words.append(f"errors:{summary.num_failed}")
        return words + (self._stats_words(stats) if stats is not None else [])

    def _stats_words(self, stats: StorageStats) -> list[str]:
        new = stats.new_data
        saved = formatting.percentage_saved(new.original_content_bytes, new.packed_content_bytes)
        return [
            f"new-data:{self._session.size(new.packed_content_bytes)}",
            f"new-files:{new.file_objects}",
            f"new-dirs:{new.dir_objects}",
            f"compression:{saved}",
        ]

    def _write_row(self, row: _Row) -> None:
        words = list(row.words)
        if self._options.retention and row.reasons:
            words.append(f"({','.join(row.reasons)})")
        if row.pins:
            words.append(f"pins:{','.join(row.pins)}")
        session = self._session
        session.write(f"  {session.time(row.first_ns)} {row.object_id} {' '.join(words)}")
        if row.count > 1:
            session.write(f"  + {row.count - 1} identical snapshots until {session.time(row.last_ns)}")


def _merged(rows: list[_Row]) -> list[_Row]:
    """Put neighbors with the same root into one row."""
    merged: list[_Row] = []
    for row in rows:
        if not merged or merged[-1].object_id != row.object_id:
            merged.append(row)
            continue
        last = merged[-1]
        last.count += 1
        last.last_ns = row.last_ns
        last.reasons += row.reasons
        last.pins += row.pins
    for row in merged:
        row.reasons = list(compact_reasons(row.reasons))
        row.pins = sorted(set(row.pins))
    return merged


__all__ = ["list_snapshots"]
