"""`snapshot create`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pykopia.cli import formatting
from pykopia.cli.cancellation import cancelable
from pykopia.cli.flags.snapshot_create import CreateOptions
from pykopia.cli.maintenance import maintained
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.progress import UploadProgress
from pykopia.cli.session import Session
from pykopia.cli.snapshot_sources import local_sources, parse_source
from pykopia.cli.tags import parse_tags
from pykopia.errors import CanceledError, PykopiaError, SnapshotError
from pykopia.format.gojson import Raw
from pykopia.format.source import SourceInfo
from pykopia.format.time_spec import parse_timestamp
from pykopia.snapshot.source_path import local_source
from pykopia.snapshot.upload_options import CHECKPOINT_INTERVAL_SECONDS, SnapshotOptions, SnapshotResult

if TYPE_CHECKING:
    from pykopia.api.repository import Repository
    from pykopia.notification.messages import Outcome
    from pykopia.repository.writer import RepositoryWriter

_SECOND = 1_000_000_000
_MIB = 1 << 20
_MAX_DESCRIPTION = 1024
SECRETS = frozenset({"KOPIA_PASSWORD", "KOPIA_NEW_PASSWORD"})
"""Variables that the actions of policies do not get."""


def create(session: Session, options: CreateOptions) -> None:
    """Take snapshots; go on with the next source when one fails.

    Raises:
        CanceledError: The user asked to stop.
        SnapshotError: One or more failed or have fatal errors in them.
    """
    _check(options)
    failures: list[str] = []
    with maintained(session) as repository, cancelable(session) as canceled:
        sources = _sources(repository, options)
        taken: list[SnapshotResult] = []
        report = _Report(session, repository, enabled=options.send_snapshot_report)
        with repository.writer(parallel=options.parallel or None) as writer:  # one flush for all
            for path in sources:
                if session.canceled:
                    session.log.info("Upload canceled")
                    break
                try:
                    taken.append(_create_one(session, repository, writer, path, options, canceled))
                except PykopiaError as error:
                    session.log.debug("error", exc_info=error)
                    failures.append(str(error))
                    report.failed(_overridden_source(repository, options) or local_source(repository, path), error)
                if options.flush_per_source:
                    writer.flush()
        for result in taken:  # they are in the repository now
            try:
                _report(session, options, result)
            except SnapshotError as error:
                failures.append(str(error))
            report.taken(result)
        report.send()
    if session.canceled:
        message = "canceled: what was finished is kept in an incomplete snapshot, and the next one goes on from there"
        raise CanceledError(message)
    if len(failures) == 1:
        raise SnapshotError(failures[0])
    if failures:
        for failure in failures:
            session.log.error("%s", failure)
        message = f"encountered {len(failures)} errors: they are above"
        raise SnapshotError(message)


class _Report:
    """The report of all snapshots, for the notification profiles of the repository; without any nothing is done."""

    def __init__(self, session: Session, repository: "Repository", *, enabled: bool) -> None:
        self._session, self._repository = session, repository
        self._enabled = enabled and bool(repository.manifests.find({"type": "notificationProfile"}))
        self._outcomes: list[Outcome] = []

    def taken(self, result: SnapshotResult) -> None:
        if not self._enabled:
            return
        from pykopia.notification.messages import Outcome  # noqa: PLC0415 -- without profiles it is not needed

        manifest = result.manifest
        older = [
            each
            for each in self._repository.snapshots.list(manifest.source)
            if not each.incomplete and each.start_time_ns < manifest.start_time_ns
        ]
        self._outcomes.append(Outcome(source=manifest.source, manifest=manifest, previous=older[-1] if older else None))

    def failed(self, source: SourceInfo, error: PykopiaError) -> None:
        if not self._enabled:
            return
        from pykopia.notification.messages import Outcome  # noqa: PLC0415

        self._outcomes.append(Outcome(source=source, error=str(error)))

    def send(self) -> None:
        if not self._outcomes:
            return
        from pykopia.notification.events import notify  # noqa: PLC0415
        from pykopia.notification.messages import REPORT, severity_of, snapshot_report  # noqa: PLC0415

        severity = severity_of(self._outcomes)
        self._session.failure_is_reported = severity == "error"
        notify(self._repository, REPORT, snapshot_report(self._outcomes), severity, self._session.zone)


def _check(options: CreateOptions) -> None:
    if options.checkpoint_interval > CHECKPOINT_INTERVAL_SECONDS * _SECOND:
        message = "--checkpoint-interval can't be longer than 45m: maintenance relies on a checkpoint in that time"
        raise CommandLineError(message)
    if options.all and options.source:
        message = "--all can't be used together with sources"
        raise CommandLineError(message)
    if len(options.description) > _MAX_DESCRIPTION:
        message = f"the description is too long: {_MAX_DESCRIPTION} characters are allowed"
        raise CommandLineError(message)
    start = parse_timestamp(options.start_time) if options.start_time else None
    end = parse_timestamp(options.end_time) if options.end_time else None
    if start is not None and end is not None and start > end:
        message = "--start-time can't be after --end-time"
        raise CommandLineError(message)
    parse_tags(options.tags)


def _sources(repository: "Repository", options: CreateOptions) -> list[str]:
    sources = local_sources(repository) if options.all else options.source
    if not sources:
        message = "no snapshot sources: name files or folders, or give --all for those that had snapshots before"
        raise CommandLineError(message)
    return sources


def _create_one(
    session: Session,
    repository: "Repository",
    writer: "RepositoryWriter",
    path: str,
    options: CreateOptions,
    canceled: Callable[[], bool],
) -> SnapshotResult:
    overridden = _overridden_source(repository, options)
    session.log.info("Snapshotting %s ...", overridden or local_source(repository, path))
    progress = UploadProgress(session)
    try:
        return repository.snapshots.create(
            path,
            options=_snapshot_options(session, overridden, options),
            progress=progress,
            cancel=canceled,
            writer=writer,
        )
    finally:
        progress.finish()


def _overridden_source(repository: "Repository", options: CreateOptions) -> SourceInfo | None:
    if not options.override_source:
        return None
    source = parse_source(repository, options.override_source)
    if not (source.host and source.user_name and source.path):
        message = f"--override-source must name user, host and path; it is {options.override_source!r}"
        raise CommandLineError(message)
    return source


def _snapshot_options(session: Session, source: SourceInfo | None, options: CreateOptions) -> SnapshotOptions:
    interval = options.checkpoint_interval / _SECOND if options.checkpoint_interval else CHECKPOINT_INTERVAL_SECONDS
    return SnapshotOptions(
        source=source,
        description=options.description,
        tags=parse_tags(options.tags),
        pins=tuple(options.pin),
        parallel=options.parallel or None,
        checkpoint_interval_seconds=interval,
        upload_limit_bytes=options.upload_limit_mb * _MIB,
        fail_fast=options.fail_fast,
        extended_attributes=options.extended_attributes,
        force_hash_percent=options.force_hash,
        start_time_ns=parse_timestamp(options.start_time) if options.start_time else None,
        end_time_ns=parse_timestamp(options.end_time) if options.end_time else None,
        stdin=session.binary_stdin if options.stdin_file else None,
        stdin_file_name=options.stdin_file,
        estimation=session.flags.progress_estimation_type,
        adaptive_estimation_files=session.flags.adaptive_estimation_threshold,
        enable_actions=_enable_actions(options),
        action_environment={name: text for name, text in session.environment.items() if name not in SECRETS},
    )


def _enable_actions(options: CreateOptions) -> bool | None:
    if options.force_disable_actions:
        return False
    return True if options.force_enable_actions else None


def _report(session: Session, options: CreateOptions, result: SnapshotResult) -> None:
    """Print the result of a snapshot.

    Raises:
        SnapshotError: There are fatal errors in it.
    """
    log, manifest = session.log, result.manifest
    if not result.saved:
        log.info("\n Not saving snapshot because no files have been changed since previous snapshot")
        return
    if options.json:
        options.write_json(session, Raw(manifest.as_kopia_has_it().to_output(stats=options.json_verbose)))
    else:
        partial = " partial" if manifest.incomplete else ""
        took = (manifest.end_time_ns - manifest.start_time_ns) // _SECOND * _SECOND
        log.info(
            "Created%s snapshot with root %s and ID %s in %s",
            partial,
            manifest.root_object_id,
            manifest.id,
            formatting.duration(took),
        )
    summary = manifest.root_entry.summary if manifest.root_entry else None
    if summary is None:
        return
    if summary.num_ignored_errors > 0:
        log.warning("Ignored %d error(s) while snapshotting %s.", summary.num_ignored_errors, manifest.source)
    if summary.num_failed > 0:
        message = f"Found {summary.num_failed} fatal error(s) while snapshotting {manifest.source}."
        raise SnapshotError(message)


__all__ = ["create"]
