"""`tag`."""

from pykopia.cli.flags.peers import TagOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.references import snapshots_of
from pykopia.cli.session import Session
from pykopia.cli.tags import parse_tags


def tag(session: Session, options: TagOptions) -> None:
    """Set and remove tags of snapshots; a changed snapshot gets another ID."""
    added = parse_tags(options.set)
    if not added and not options.remove:
        message = "name what to change: --set KEY:VALUE or --remove KEY"
        raise CommandLineError(message)
    with session.open() as repository:
        for text in options.snapshot:
            for before in snapshots_of(session, repository, text):
                after = repository.snapshots.tag(before.id, add=added, remove=options.remove)
                when, source = session.time(before.start_time_ns), before.source
                if after.id == before.id:
                    session.log.info("No change for snapshot at %s of %s", when, source)
                else:
                    session.log.info("Updated snapshot at %s of %s; its ID is %s now.", when, source, after.id)


__all__ = ["tag"]
