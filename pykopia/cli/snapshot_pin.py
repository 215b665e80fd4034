"""`snapshot pin`."""

from pykopia.cli.flags.snapshot_pin import PinOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.references import snapshots_of
from pykopia.cli.session import Session


def pin(session: Session, options: PinOptions) -> None:
    """Add or remove pins: a snapshot that has one never expires. A changed snapshot gets another ID."""
    if not (options.add or options.remove):
        message = "must specify --add and/or --remove"
        raise CommandLineError(message)
    with session.open() as repository:
        for text in options.id:
            for before in snapshots_of(session, repository, text):
                when, source = session.time(before.start_time_ns), before.source
                if before.with_pins(options.add, options.remove).pins == before.pins:
                    session.log.info("No change for snapshot at %s of %s", when, source)
                    continue
                session.log.info("Updating snapshot at %s of %s", when, source)
                after = repository.snapshots.pin(before.id, add=options.add, remove=options.remove)
                session.log.info("Its ID is %s now.", after.id)


__all__ = ["pin"]
