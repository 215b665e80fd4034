"""`restore`, `snapshot restore`."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pykopia import clock
from pykopia.cli.cancellation import cancelable
from pykopia.cli.flags.restore import RestoreFlags
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.progress import RestoreProgress
from pykopia.cli.references import is_selector, reference_of, source_hint
from pykopia.cli.session import Session
from pykopia.cli.snapshot_sources import containing, parse_source
from pykopia.cli.streams import OutputClosed, is_closed_pipe
from pykopia.errors import InvalidIDError, PathNotInSnapshotError, PykopiaError, SnapshotNotFoundError
from pykopia.format.directory import DirectoryEntry
from pykopia.format.object_id import parse_object_id
from pykopia.format.source import SourceInfo
from pykopia.format.time_spec import latest_start
from pykopia.snapshot.placeholder import PLACEHOLDER_SUFFIX
from pykopia.snapshot.placeholder_source import read_placeholder
from pykopia.snapshot.restore_mode import restore_mode
from pykopia.snapshot.restore_options import RestoreCounters, RestoreMode, RestoreOptions, RestoreResult
from pykopia.snapshot.source_path import path_inside
from pykopia.snapshot.source_url import is_url

if TYPE_CHECKING:
    from pykopia.api.repository import Repository
    from pykopia.format.snapshot_manifest import SnapshotManifest

_PARALLEL = 8
_ARCHIVES = {
    ".zip": "a zip file",
    ".tar": "an uncompressed tar file",
    ".tar.gz": "a tar+gzip file",
    ".tgz": "a tar+gzip file",
}


STANDARD_OUTPUT = "-"
OUTPUT_NAMES = frozenset({STANDARD_OUTPUT, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})
"""Names of standard output: what they lead to is written on, not begun anew."""


def restore(session: Session, options: RestoreFlags) -> None:
    """Restore snapshots or parts of them."""
    with session.open() as repository:
        for source, target in _pairs(repository, options):
            entry = _entry(session, repository, source, options)
            restoring = _restore_options(options, placeholder=_is_placeholder(source))
            if len(options.sources) != 2 and options.mode == "auto":  # to its own place: never an archive of that name
                restoring = replace(restoring, mode="local")
            if options.dry_run:
                _tell_changes(session, repository, entry, target, options, restoring)
                continue
            _tell_target(session, restoring, entry, target)
            progress = RestoreProgress(session)
            with cancelable(session) as canceled:
                try:
                    result = repository.snapshots.restore(
                        entry,
                        session.binary_stdout if target == STANDARD_OUTPUT else target,
                        options=restoring,
                        progress=progress,
                        cancel=canceled,
                    )
                except PykopiaError as error:
                    raise OutputClosed if target == STANDARD_OUTPUT and is_closed_pipe(error) else error from error
                finally:
                    progress.finish()
            for line in (*result.warnings, *result.errors):
                session.log.warning("%s", line)
            session.log.info("%s", _summary(session, result.counters))
            if unset := result.counters.unset_attributes():
                session.log.info("%s.", unset)
            if left := result.counters.left_extended_attributes:
                session.log.info(
                    "Extended attributes or hard links of %d %s were recorded and not restored: --extended-attributes does.",
                    left,
                    "entry" if left == 1 else "entries",
                )
            if options.json:
                options.write_json(session, _result_members(target, result))


def _tell_changes(
    session: Session,
    repository: "Repository",
    entry: DirectoryEntry,
    target: str,
    options: RestoreFlags,
    restoring: RestoreOptions,
) -> None:
    """Print what a restore would change."""
    if target == STANDARD_OUTPUT:
        raise CommandLineError("--dry-run compares with a folder or file, and the target is standard output")
    with cancelable(session) as canceled:
        plan = repository.snapshots.plan_restore(entry, target, options=restoring, cancel=canceled)
        printer = options.json_list(session) if options.json else None
        counts: dict[str, int] = {}
        for change in plan:
            counts[change.kind] = counts.get(change.kind, 0) + 1
            if printer is not None:
                printer.add({"change": change.kind, "path": change.path, "reason": change.reason})
                continue
            folder = "/" if change.entry is not None and change.entry.type == "d" and change.path else ""
            reason = f" ({change.reason})" if change.reason else ""
            session.write(f"{change.kind:<10} {session.name(change.path or '.')}{folder}{session.escape(reason)}")
    if printer is not None:
        printer.end()
    session.log.info(
        "Would %s in %s; %d unchanged. Nothing was written.", changes_in_words(counts), target, plan.unchanged
    )


def changes_in_words(counts: Mapping[str, int]) -> str:
    """Return what a restore would do, as the rest of a sentence that begins with "Would"."""
    parts = [
        f"{word} {counts[kind]}"
        for kind, word in (
            ("create", "create"),
            ("replace", "replace"),
            ("attributes", "change the attributes of"),
            ("delete", "delete"),
            ("refuse", "refuse to touch"),
        )
        if counts.get(kind)
    ]
    if not parts:
        return "change nothing"
    last = parts[-1] + (" entry" if parts[-1].endswith(" 1") else " entries")
    return f"{', '.join(parts[:-1])} and {last}" if len(parts) > 1 else last


def _result_members(target: str, result: RestoreResult) -> dict[str, object]:
    counters = result.counters
    return {
        "target": target,
        "restoredFiles": counters.restored_files,
        "restoredDirectories": counters.restored_directories,
        "restoredSymlinks": counters.restored_symlinks,
        "restoredBytes": counters.restored_bytes,
        "skippedFiles": counters.skipped_files,
        "deletedEntries": counters.deleted_entries,
        "unsetOwners": counters.unset_owners,
        "unsetModes": counters.unset_modes,
        "unsetTimes": counters.unset_times,
        "unsetExtendedAttributes": counters.unset_extended_attributes,
        "errors": list(result.errors),
    }


def _entry(session: Session, repository: "Repository", source: str, options: RestoreFlags) -> DirectoryEntry:
    if _is_placeholder(source):
        return read_placeholder(source)
    reference = _reference(session, repository, source, options)
    return repository.snapshots.resolve(reference, consistent_attributes=options.consistent_attributes)


def _pairs(repository: "Repository", options: RestoreFlags) -> list[tuple[str, str]]:
    """Return what to restore to where."""
    sources = options.sources
    placeholders = [os.path.abspath(path) for path in sources if _is_placeholder(path)]
    if len(placeholders) == len(sources):
        return [(path, path.removesuffix(PLACEHOLDER_SUFFIX)) for path in placeholders]
    if placeholders or len(sources) > 2:
        message = "restore takes a source and a target, or placeholders alone"
        raise CommandLineError(message)
    if len(sources) == 2:
        if sources[1] in OUTPUT_NAMES:
            if options.json:
                raise CommandLineError("--json writes to standard output, which is the target of this restore")
            return [(sources[0], STANDARD_OUTPUT)]
        return [(sources[0], sources[1] if is_url(sources[1]) else os.path.abspath(sources[1]))]
    source = _parse_source(repository, sources[0])
    if (source.host, source.user_name) != (repository.hostname, repository.username):
        message = "a source of another user or host needs a target"
        raise CommandLineError(message)
    return [(sources[0], source.path)]


def _is_placeholder(path: str) -> bool:
    return path.endswith(PLACEHOLDER_SUFFIX)


def _parse_source(repository: "Repository", text: str) -> SourceInfo:
    source = parse_source(repository, text)
    if not source.path:
        message = f"the source must contain a path; it is {text!r}"
        raise CommandLineError(message)
    return source


def _reference(session: Session, repository: "Repository", text: str, options: RestoreFlags) -> str:
    """Return an ID with a path inside: ``text`` itself, or the snapshot of a path that the time flag chooses."""
    first = text.split("/", 1)[0]
    is_id, chooses_by_age = bool(first) and _is_id(first), is_selector(text)
    if not is_id or chooses_by_age:
        repository.snapshots.warn_of_missing()
    if is_id or chooses_by_age:
        if options.snapshot_time != "latest":
            session.log.warning(
                "--snapshot-time has no effect: it chooses the snapshot of a path, and %s is none", text
            )
        return reference_of(session, repository, text)
    source = _parse_source(repository, text)
    manifest, inside = _snapshot_of(session, repository, source, options.snapshot_time)
    session.log.info(
        "Restoring from\n   Snapshot source: %s\n   Snapshot time: %s\n   Relative path: %s",
        manifest.source,
        session.time(manifest.start_time_ns),
        inside,
    )
    return f"{manifest.id}/{inside}" if inside else manifest.id


def _is_id(text: str) -> bool:
    try:
        parse_object_id(text)
    except InvalidIDError:
        return False
    return True


def _snapshot_of(
    session: Session, repository: "Repository", source: SourceInfo, spec: str
) -> tuple["SnapshotManifest", str]:
    """Return the snapshot that has a path, of it or of a folder above it, and the path inside."""
    limit = None
    if spec not in {"", "latest", "oldest"}:
        limit = latest_start(spec, now_ns=clock.now(), local=session.zone)
    candidates = [each for each in containing(repository, source) if not each.incomplete]
    candidates.sort(key=lambda each: (each.start_time_ns, each.end_time_ns), reverse=spec != "oldest")
    for manifest in candidates:
        if limit is not None and manifest.start_time_ns >= limit:
            continue
        inside = path_inside(manifest, source.path)
        try:
            repository.snapshots.resolve(f"{manifest.id}/{inside}" if inside else manifest.id)
        except PathNotInSnapshotError:
            continue
        return manifest, inside
    hint = source_hint(repository, source) or "`pykopia find` looks for files by name"
    message = f"no snapshots contain data for {source}; {hint}"
    raise SnapshotNotFoundError(message)


def _restore_options(options: RestoreFlags, *, placeholder: bool) -> RestoreOptions:
    return RestoreOptions(
        mode=cast("RestoreMode", options.mode),
        overwrite_files=options.overwrite_files,
        overwrite_directories=options.overwrite_directories,
        overwrite_symlinks=options.overwrite_symlinks,
        skip_existing=options.skip_existing,
        delete_extra=options.delete_extra,
        write_sparse=options.write_sparse_files,
        atomic_files=options.write_files_atomically,
        skip_owners=options.skip_owners,
        skip_permissions=options.skip_permissions,
        skip_times=options.skip_times,
        extended_attributes=options.extended_attributes,
        ignore_permission_errors=options.ignore_permission_errors,
        ignore_errors=options.ignore_errors,
        parallel=options.parallel or _PARALLEL,
        flush_files=options.flush_files,
        shallow_depth=0 if placeholder and options.shallow is None else options.shallow,
        shallow_min_size=options.shallow_minsize,
        include=tuple(options.include),
        exclude=tuple(options.exclude),
        only_differences=options.only_differences,
    )


def _tell_target(session: Session, options: RestoreOptions, entry: DirectoryEntry, target: str) -> None:
    if target == STANDARD_OUTPUT:
        return
    if options.mode not in {"auto", "local"}:
        return
    kinds = [kind for ending, kind in _ARCHIVES.items() if target.endswith(ending)]
    if is_url(target):
        session.log.info("Restoring to %s ...", target)
    elif kinds and restore_mode(options.mode, entry, Path(target)) != "local":
        session.log.info("Restoring to %s (%s)...", kinds[0], target)
    else:
        session.log.info("Restoring to local filesystem (%s) with parallelism=%d...", target, options.parallel)


def _summary(session: Session, counters: RestoreCounters) -> str:
    text = (
        f"Restored {counters.restored_files} files, {counters.restored_directories} directories and "
        f"{counters.restored_symlinks} symbolic links ({session.size(counters.restored_bytes)})"
    )
    if counters.skipped_files:
        text += f", skipped {counters.skipped_files} ({session.size(counters.skipped_bytes)})"
    if counters.deleted_entries:
        text += f", deleted {counters.deleted_entries}"
    if counters.ignored_errors:
        text += f", ignored {counters.ignored_errors} errors"
    return text + "."


__all__ = ["restore"]
