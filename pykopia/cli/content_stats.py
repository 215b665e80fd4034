"""`content stats`, `content verify`."""

import random
from collections.abc import Callable
from operator import attrgetter

from pykopia import clock
from pykopia.cli import formatting
from pykopia.cli.blob import write_histogram
from pykopia.cli.flags.content_stats import ContentStatsOptions, ContentVerifyOptions
from pykopia.cli.histogram import Histogram
from pykopia.cli.session import Session
from pykopia.errors import VerifyError
from pykopia.format.compression import HEADER_NAMES
from pykopia.format.index_layout import IndexEntry

_SECOND = 1_000_000_000
_HUNDRED = 100.0


class _Totals:
    def __init__(self, compression: int) -> None:
        self.compression = compression
        self.count = self.original = self.packed = 0

    def add(self, entry: IndexEntry) -> None:
        self.count += 1
        self.original += entry.original_length
        self.packed += entry.packed_length


def stats(session: Session, options: ContentStatsOptions) -> None:
    """Count contents by size and compression."""
    everything, by_method = _Totals(0), dict[int, _Totals]()
    histogram = Histogram()
    with session.open() as repository:
        for entry in repository.contents.list(*options.bounds):
            everything.add(entry)
            by_method.setdefault(entry.compression, _Totals(entry.compression)).add(entry)
            histogram.add(entry.packed_length)
    size: Callable[[int], str] = str if options.raw else session.size
    session.write(f"Count: {everything.count}")
    session.write(f"Total Bytes: {size(everything.original)}")
    if everything.packed < everything.original:
        saved = formatting.percentage_saved(everything.original, everything.packed)
        session.write(f"Total Packed: {size(everything.packed)} (compression {saved})")
    if len(by_method) > 1:
        _write_methods(session, by_method, size)
    if everything.count:
        session.write(f"Average: {size(everything.original // everything.count)}")
        write_histogram(session, histogram, size)


def _write_methods(session: Session, by_method: dict[int, _Totals], size: Callable[[int], str]) -> None:
    session.write("By Method:")
    for method in sorted(by_method.values(), key=attrgetter("compression")):
        if not method.compression:
            session.write(f"  {'(uncompressed)':<22} count: {method.count} size: {size(method.original)}")
            continue
        name = HEADER_NAMES.get(method.compression)
        if name is not None:
            saved = formatting.percentage_saved(method.original, method.packed)
            session.write(
                f"  {name:<22} count: {method.count} size: {size(method.original)} "
                f"packed: {size(method.packed)} compression: {saved}"
            )


def verify(session: Session, options: ContentVerifyOptions) -> None:
    """Check that each content is in a blob that exists, and read a share of them.

    Raises:
        VerifyError: Some do not, or can't be read.
    """
    share = _HUNDRED if options.full else options.download_percent
    log, progress = session.log, _Progress(session, options.progress_interval / _SECOND)
    log.info("Verifying contents...")
    with session.open() as repository:
        repository.contents.verify(
            repository.contents.list(*options.bounds, include_deleted=options.include_deleted),
            read=lambda _: share >= _HUNDRED or random.random() * _HUNDRED < share,  # noqa: S311 -- a sample
            report=progress.report,
        )
        for error in repository.contents.indexes.known_damage.values():
            progress.failed += 1
            log.error("%s", error)
        log.info("Verified %d contents, %d errors.", progress.verified, progress.failed)
        if progress.failed:
            message = f"encountered {progress.failed} errors; `pykopia snapshot verify` shows what they affect"
            raise VerifyError(message)


class _Progress:
    def __init__(self, session: Session, interval: float) -> None:
        self._log, self._interval = session.log, interval
        self._next = clock.monotonic() + interval
        self.verified = self.failed = 0

    def report(self, entry: IndexEntry, error: Exception | None) -> None:
        self.verified += 1
        if error is not None:
            self.failed += 1
            self._log.error("content %s: %s", entry.content_id, error)
        if clock.monotonic() >= self._next:
            self._next = clock.monotonic() + self._interval
            self._log.info("  Verified %d contents, %d errors...", self.verified, self.failed)


__all__ = ["stats", "verify"]
