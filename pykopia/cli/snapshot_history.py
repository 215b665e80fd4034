"""`snapshot copy-history` and `snapshot move-history`."""

from pykopia.cli.flags.snapshot_history import HistoryOptions
from pykopia.cli.maintenance import maintained
from pykopia.cli.session import Session
from pykopia.cli.snapshot_sources import parse_source
from pykopia.format.source import SourceInfo
from pykopia.snapshot.copy_history import plan_history


def copy_history(session: Session, options: HistoryOptions) -> None:
    """Copy the snapshots of a source to another source; no data is copied."""
    _run(session, options, move=False)


def move_history(session: Session, options: HistoryOptions) -> None:
    """Move the snapshots of a source to another source, for example after a host or folder was renamed."""
    _run(session, options, move=True)


def _run(session: Session, options: HistoryOptions, *, move: bool) -> None:
    doing = ("moving" if move else "copying") + (" (dry run)" if options.dry_run else "")
    log = session.log
    with maintained(session) as repository:
        source = parse_source(repository, options.source)
        if options.destination:
            destination = parse_source(repository, options.destination)
        else:
            destination = SourceInfo(host=repository.hostname, user_name=repository.username)
        if options.dry_run:
            steps = plan_history(repository.snapshots.list(), source, destination)
        else:
            steps = list(repository.snapshots.copy_history(source, destination, move=move))
        for step in steps:
            when = session.time(step.snapshot.start_time_ns)
            if step.kind == "copy":
                log.info("%s %s (%s) => %s", doing, step.snapshot.source, when, step.destination)
            elif move and not options.dry_run:
                log.info("%s (%s) already exists - deleting source", step.destination, when)
            else:
                log.info("%s (%s) already exists", step.destination, when)
        if not steps:
            log.info("There is nothing to do: no snapshot of %s would get another source.", source)


__all__ = ["copy_history", "move_history"]
