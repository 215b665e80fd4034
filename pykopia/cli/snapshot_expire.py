"""`snapshot expire`."""

from datetime import timedelta
from typing import TYPE_CHECKING

from pykopia.cli.flags.snapshot_expire import ExpireOptions
from pykopia.cli.maintenance import maintained
from pykopia.cli.session import Session
from pykopia.cli.snapshot_sources import parse_source
from pykopia.format.retention import WITHIN
from pykopia.repository.view import Look, look, require

if TYPE_CHECKING:
    from pykopia.format.source import SourceInfo


def expire(session: Session, options: ExpireOptions) -> None:
    """Delete the snapshots that policies do not keep; their data goes with later maintenance."""
    with maintained(session) as repository:
        snapshots = repository.snapshots
        wanted = [parse_source(repository, text) for text in options.path]
        if options.all:
            wanted = list({each.source for each in snapshots.list()})
        if not wanted:
            nothing = "the repository has no snapshots" if options.all else "name sources, or give --all"
            session.log.info("Nothing to do: %s.", nothing)
            if options.all:
                require(look(repository, packs=Look()), "expire snapshots", repository)
        done: set[SourceInfo] = set()
        for source in sorted(wanted, key=str):
            if source in done:
                continue
            done.add(source)
            within = timedelta(microseconds=options.keep_within // 1000) if options.keep_within else None
            plans = [each.plan for each in snapshots.expire(source, delete=options.delete, keep_within=within)]
            expired = [each for plan in plans for each in plan.expired]
            kept = [each for plan in plans for each, why in plan.kept if why == (WITHIN,)]
            for each in kept:
                session.log.info("  %s %s is kept by --keep-within alone", session.time(each.start_time_ns), each.id)
            for each in expired:
                session.log.debug("%s %s of %s", each.id, session.time(each.start_time_ns), each.source)
            if not expired:
                session.log.info("Nothing to delete for %s.", source)
            elif options.delete:
                session.log.info("Deleted %d snapshots of %s...", len(expired), source)
            else:
                for each in expired:
                    session.log.info("  %s %s", session.time(each.start_time_ns), each.id)
                session.log.info("%d snapshot(s) of %s would be deleted. Pass --delete to do it.", len(expired), source)


__all__ = ["expire"]
