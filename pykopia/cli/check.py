"""`check`: snapshots, packs and index against each other, in one run."""

from typing import TYPE_CHECKING

from pykopia.cli.cancellation import cancelable
from pykopia.cli.flags.peers import CheckOptions
from pykopia.cli.progress import VerifyProgress
from pykopia.cli.session import Session
from pykopia.errors import VerifyError
from pykopia.snapshot.verify import VerifyOptions, VerifyResult

if TYPE_CHECKING:
    from pykopia.format.index import IndexEntry


def check(session: Session, options: CheckOptions) -> None:
    """Check that all snapshots can be restored, that the index and the packs agree, and that no pack is unlisted.

    Raises:
        VerifyError: something is wrong.
    """
    wrong: list[str] = []
    contents = 0
    with session.open() as repository:
        session.log.info("Comparing the index with the packs...")

        def report(entry: "IndexEntry", error: Exception | None) -> None:
            nonlocal contents
            contents += 1
            if error is not None:
                wrong.append(f"content {entry.content_id}: {error}")

        repository.contents.verify(repository.contents.list(), read=lambda _: False, report=report)
        session.log.info("Checking that snapshots can be restored...")
        progress = VerifyProgress(session, files_percent=options.read_data_percent)
        with cancelable(session) as canceled:
            result = repository.snapshots.verify(
                options=VerifyOptions(
                    files_percent=options.read_data_percent,
                    max_errors=options.max_errors or -1,
                    parallel=options.parallel or 8,
                ),
                progress=progress,
                cancel=canceled,
            )
            progress.finish()
        wrong += [problem.described(session.time) for problem in result.problems]
        wrong += [str(each) for each in result.contradictions]
        damaged = [*repository.contents.indexes.known_damage.values(), *repository.manifests.known_damage.values()]
        wrong += [text for text in map(str, damaged) if text not in wrong]
        if options.json:
            options.write_json(
                session,
                {
                    "contents": contents,
                    "objects": result.counters.processed_objects,
                    "readFiles": result.counters.read_files,
                    "errorCount": len(wrong),
                    "errors": wrong,
                },
            )
        _report(session, result, wrong, contents)


def _report(session: Session, result: VerifyResult, wrong: list[str], contents: int) -> None:
    counters = result.counters
    session.log.info(
        "Checked %d contents in the index, %d objects of snapshots (%s), read %d files (%s).",
        contents,
        counters.processed_objects,
        session.size(counters.processed_bytes),
        counters.read_files,
        session.size(counters.read_files_size),
    )
    for text in wrong:
        session.log.error("%s", text)
    for text in result.cures():
        session.log.info("%s", text)
    if wrong:
        message = f"the check found {len(wrong)} error{'s' if len(wrong) > 1 else ''}: they are above, with what helps"
        raise VerifyError(message)
    session.log.info("No errors found.")


__all__ = ["check"]
