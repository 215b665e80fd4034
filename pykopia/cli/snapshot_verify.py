"""`snapshot verify`."""

from typing import TYPE_CHECKING

from pykopia.cli.cancellation import cancelable
from pykopia.cli.flags.snapshot_verify import VerifyFlags
from pykopia.cli.progress import VerifyProgress
from pykopia.cli.references import reference_of, snapshots_of_source
from pykopia.cli.session import Session
from pykopia.errors import ContradictedViewError, VerifyError
from pykopia.snapshot.verify import VerifyCounters, VerifyOptions, VerifyResult

if TYPE_CHECKING:
    from pykopia.api.repository import Repository


def verify(session: Session, options: VerifyFlags) -> None:
    """Check that snapshots can be restored.

    Raises:
        VerifyError: Some can't.
        DamagedDataError: All that is known can be, but index blobs or manifests can't be read.
        ContradictedViewError: All that are listed can, but storage and index contradict each other.
    """
    progress = VerifyProgress(session, files_percent=options.verify_files_percent)
    with session.open() as repository, cancelable(session) as canceled:
        result = repository.snapshots.verify(
            _references(session, repository, options),
            options=VerifyOptions(
                files_percent=options.verify_files_percent,
                max_errors=options.max_errors,
                parallel=options.file_parallelism or options.parallel or 8,
            ),
            progress=progress,
            cancel=canceled,
        )
        location = repository.storage.display_name
        progress.finish()
        _report(session, options, result, location)


def _report(session: Session, options: VerifyFlags, result: VerifyResult, location: str) -> None:
    """Print what was found.

    Raises:
        VerifyError: Something can't be restored.
        ContradictedViewError: Some snapshots may be missing.
    """
    lines = [failure.described(session.time) for failure in result.problems]
    if options.json:
        options.write_json(session, _as_json(result, lines), margin="  ")
    elif result.snapshots:
        session.log.info("Finished processing %s", _text(session, result.counters))
    else:
        session.log.info("There is nothing to verify: the repository has no snapshot.")
    for text in lines:
        session.log.error("%s", text)
    if result.contradictions and result.problems:
        for each in result.contradictions:
            session.log.error("%s", each)
    elif result.contradictions:
        what = "vouch for the list of snapshots, some of which may be missing"
        raise ContradictedViewError(what, location, result.contradictions)
    if not result.problems:
        return
    for text in result.cures():
        session.log.info("%s", text)
    if result.stopped_early:
        session.log.warning("Stopped early: there may be more errors. --max-errors=-1 finds all.")
    if result.damaged_view:
        raise type(result.problems[0].error)(
            "all snapshots that can be seen can be restored, but there may be others: see the errors above"
        )
    number = len(result.problems)
    message = f"encountered {number} error{'s' if number > 1 else ''} while verifying: restores would fail"
    raise VerifyError(message)


def _references(session: Session, repository: "Repository", options: VerifyFlags) -> list[str]:
    """Return what to verify; nothing stands for all.

    Raises:
        SnapshotNotFoundError: A source has no snapshots.
    """
    references = [
        reference_of(session, repository, text)
        for text in (*options.snapshot_ids, *options.directory_id, *options.file_id)
    ]
    for text in options.sources:
        references += [each.id for each in snapshots_of_source(repository, text)]
    return references


def _text(session: Session, counters: VerifyCounters) -> str:
    return (
        f"{counters.processed_objects} objects ({session.size(counters.processed_bytes)}). "
        f"Read {counters.read_files} files ({session.size(counters.read_files_size)})."
    )


def _as_json(result: VerifyResult, lines: list[str]) -> dict[str, object]:
    counters = result.counters
    fields: dict[str, object] = {
        "stats": {
            "processedObjectCount": counters.processed_objects,
            "processedBytes": counters.processed_bytes,
            "readFileCount": counters.read_files,
            "readBytes": counters.read_files_size,
            "expectedTotalObjectCount": counters.expected_objects,
            "expectedTotalFileCount": counters.expected_files,
            "expectedTotalBytes": counters.expected_bytes,
        },
        "errorCount": len(lines),
    }
    if result.contradictions:
        fields["contradictions"] = [str(each) for each in result.contradictions]
    if lines:
        fields["errorStrings"] = lines
    return fields


__all__ = ["verify"]
