"""`snapshot estimate`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pykopia.cli import formatting
from pykopia.cli.cancellation import cancelable
from pykopia.cli.flags.snapshot_estimate import EstimateOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.session import Session

if TYPE_CHECKING:
    from pykopia.snapshot.estimate import SizeClass

_SECOND = 1_000_000_000
_BITS = 8
_MEGA = 1_000_000


def estimate(session: Session, options: EstimateOptions) -> int:
    """Count what a snapshot would take in; the status is 1 when a part of the source can't be read."""
    if options.upload_speed <= 0:
        message = "--upload-speed must be above 0"
        raise CommandLineError(message)
    with session.open() as repository, cancelable(session) as canceled:
        found = repository.snapshots.estimate(options.source, cancel=canceled)
    session.write(f"Snapshot includes {found.files} file(s), total size {session.size(found.total_bytes)}")
    _write_classes(session, options, found.size_classes)
    session.write()
    if found.excluded_files:
        size = session.size(found.excluded_bytes)
        session.write(f"Snapshot excludes {found.excluded_files} file(s), total size {size}")
    else:
        session.write("Snapshot excludes no files.")
    if found.excluded_directories:
        session.write(f"Snapshot excludes {found.excluded_directories} directories.")
    else:
        session.write("Snapshot excludes no directories.")
    if found.errors:
        session.write(f"Encountered {len(found.errors)} error(s).")
        for text in found.errors:
            session.log.warning("%s", text)
    seconds = int(found.total_bytes * _BITS / _MEGA / options.upload_speed)
    took = formatting.duration(seconds * _SECOND)
    session.write(f"\nEstimated upload time: {took} at {options.upload_speed:g} Mbit/s")
    return 1 if found.errors else 0


def _write_classes(session: Session, options: EstimateOptions, classes: "Mapping[int, SizeClass]") -> None:
    for bound in sorted(classes, reverse=True):
        group = classes[bound]
        low = session.size(bound // 10 if bound > 1000 else 0)
        between = f"{low:<6}...{session.size(bound):>6}"
        session.write(f"{between:>18}: {group.count:>7} files, total size {session.size(group.total_bytes)}")
        if options.show_files:
            for example in group.examples[: options.max_examples_per_bucket]:
                session.write(f" - {session.name(str(example))}")


__all__ = ["estimate"]
