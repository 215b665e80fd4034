"""`snapshot fix invalid-files`, `snapshot fix remove-files`."""

from typing import TYPE_CHECKING, cast

from pykopia.cli.flags.snapshot_fix import FixFlags, FixInvalidFilesOptions, FixRemoveFilesOptions
from pykopia.cli.session import Session
from pykopia.cli.snapshot_sources import parse_source
from pykopia.snapshot.fix import FixedSnapshot, FixOptions, fix_invalid_files, remove_files

if TYPE_CHECKING:
    from pykopia.api.repository import Repository
    from pykopia.snapshot.rewriting import Handling


def invalid_files(session: Session, options: FixInvalidFilesOptions) -> None:
    """Replace or remove the files of snapshots that can't be read."""
    lost: list[str] = []
    with session.open() as repository:
        fixed = fix_invalid_files(
            repository,
            _fix_options(repository, options),
            invalid_files=cast("Handling", options.invalid_file_handling),
            files_percent=options.verify_files_percent,
            on_snapshot=_Told(session),
            on_lost=lost.append,
        )
    if lost:
        marked = "Marked" if options.commit else "Would mark"
        session.log.info(
            "%s %d lost contents as deleted: `snapshot create SOURCE --force-hash=100` stores those again that the source "
            "still has.",
            marked,
            len(lost),
        )
    _tell_end(session, options, fixed)


def removed_files(session: Session, options: FixRemoveFilesOptions) -> None:
    """Take files and folders out of snapshots."""
    with session.open() as repository:
        fixed = remove_files(
            repository,
            _fix_options(repository, options),
            object_ids=options.object_id,
            names=options.filename,
            on_snapshot=_Told(session),
        )
    _tell_end(session, options, fixed)


class _Told:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._source = ""

    def __call__(self, fixed: FixedSnapshot) -> None:
        log, before, after = self._session.log, fixed.before, fixed.after
        if str(before.source) != self._source:
            self._source = str(before.source)
            log.info("Processing snapshot %s", self._source)
        when = self._session.time(before.start_time_ns)
        for line in fixed.changes:
            log.warning("    %s", line)
        if not fixed.changed:
            log.info("  %s unchanged (%s)", when, before.id)
            return
        log.info("  %s replaced manifest from %s to %s", when, before.id, after.id)
        log.info("    diff %s %s", before.root_object_id, after.root_object_id)
        delta = self._delta(fixed)
        if delta:
            sign = "-" if delta < 0 else "+"
            log.info("    delta:%s%s", sign, self._session.size(abs(delta)))

    @staticmethod
    def _delta(fixed: FixedSnapshot) -> int:
        before, after = fixed.before.root_entry, fixed.after.root_entry
        if before is None or after is None or before.summary is None or after.summary is None:
            return 0
        return after.summary.size - before.summary.size


def _fix_options(repository: "Repository", options: FixFlags) -> FixOptions:
    return FixOptions(
        snapshot_ids=tuple(options.manifest_id),
        sources=tuple(parse_source(repository, text) for text in options.source),
        commit=options.commit,
        invalid_directories=cast("Handling", options.invalid_directory_handling),
    )


def _tell_end(session: Session, options: FixFlags, fixed: list[FixedSnapshot]) -> None:
    changed = sum(each.changed for each in fixed)
    if not changed:
        session.log.info("No changes.")
    elif options.commit:
        session.log.info("Fixed and committed %d snapshots.", changed)
    else:
        session.log.info(
            "Fixed %d snapshots, but snapshot manifests were not updated. Pass --commit to update snapshots.", changed
        )


__all__ = ["invalid_files", "removed_files"]
