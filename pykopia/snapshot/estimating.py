"""Estimating beside a snapshot how much it will read, so that progress has a total.

Kopia's ``classic`` way: the source is walked a second time, by a thread of its own. What the previous snapshot holds
serves until the walk is done.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pykopia.errors import CanceledError, PykopiaError
from pykopia.format.directory import DirectorySummary
from pykopia.format.policy_tree import PolicyTree
from pykopia.snapshot.estimate import Estimate, count_source
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.upload_options import UploadCounters

log = logging.getLogger(__name__)

DELAY_SECONDS = 2.0
"""Time before the walk begins: most snapshots are done by then, and should not pay for a second walk."""
DELAY_AFTER_PREVIOUS_SECONDS = 10.0
"""The same where the previous snapshot serves as an estimate, which is mostly close."""


@contextmanager
def estimated(
    path: str,
    status: os.stat_result,
    policies: PolicyTree,
    previous: DirectorySummary | None,
    progress: Progress[UploadCounters],
) -> Iterator[None]:
    """Estimate the totals of a folder while the block runs; does nothing when nobody is told of the progress.

    Args:
        path: the folder.
        status: of the folder.
        policies: that hold in it.
        previous: what the previous snapshot says of the folder; it serves as a first estimate.
        progress: gets ``estimated_files`` and ``estimated_bytes``.
    """
    if not progress.is_told:
        yield
        return
    if previous is not None:
        progress.set(estimated_files=previous.files, estimated_bytes=previous.size)
    delay = DELAY_SECONDS if previous is None else DELAY_AFTER_PREVIOUS_SECONDS
    ended = threading.Event()

    def walk() -> None:
        if ended.wait(delay):
            return
        counted = Estimate()
        try:
            count_source(counted, path, status, policies, ended.is_set)
        except CanceledError:
            return
        except (OSError, PykopiaError, RecursionError) as error:  # the snapshot itself reports what is wrong
            log.debug("the size of %s can't be estimated: %s", path, error)
            return
        progress.set(estimated_files=counted.files, estimated_bytes=counted.total_bytes)

    walker = threading.Thread(target=walk, name="pykopia-estimate", daemon=True)
    walker.start()
    try:
        yield
        done = progress.counters
        progress.set(
            estimated_files=done.hashed_files + done.cached_files, estimated_bytes=done.hashed_bytes + done.cached_bytes
        )
    finally:
        ended.set()
        walker.join()


__all__ = ["DELAY_AFTER_PREVIOUS_SECONDS", "DELAY_SECONDS", "estimated"]
