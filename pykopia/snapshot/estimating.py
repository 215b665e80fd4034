"""Estimating beside a snapshot how much it will read, so that progress has a total.

Kopia's ways: ``classic`` walks the source a second time, in a thread of its own, and what the previous snapshot holds serves
until the walk is done; ``rough`` takes what is in use on the volume; ``adaptive`` takes that where the volume has many files.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pykopia.dataclass import dataclass
from pykopia.errors import CanceledError, PykopiaError
from pykopia.format.directory import DirectorySummary
from pykopia.format.policy_tree import PolicyTree
from pykopia.snapshot.estimate import Estimate, count_source
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.upload_options import EstimationType, UploadCounters

log = logging.getLogger(__name__)

DELAY_SECONDS = 5.0
"""Time before the walk begins: most snapshots are done by then, and should not pay for a second walk."""
DELAY_AFTER_PREVIOUS_SECONDS = 10.0
"""The same where the previous snapshot serves as an estimate, which is mostly close."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumeUse:
    """What is in use on a volume."""

    files: int
    """Files and folders; 0 on filesystems that do not count them."""
    size: int
    """Bytes."""


def volume_use(path: str) -> VolumeUse | None:
    """Return what is in use on the volume of a folder, None where the system can't say."""
    try:
        volume = os.statvfs(path)
    except (OSError, AttributeError):  # Windows has no such call
        return None
    return VolumeUse(
        files=max(0, volume.f_files - volume.f_ffree), size=max(0, volume.f_blocks - volume.f_bfree) * volume.f_frsize
    )


def rough_totals(estimation: EstimationType, volume: VolumeUse | None, *, adaptive_files: int) -> VolumeUse | None:
    """Return the totals that a volume stands for, None where the folder is to be walked.

    Args:
        estimation: how the caller wants totals to be estimated.
        volume: what is in use on the volume, as far as it is known.
        adaptive_files: files on the volume from which on ``adaptive`` does not walk.
    """
    if estimation == "classic" or volume is None or not volume.size:
        return None
    return None if estimation == "adaptive" and volume.files < adaptive_files else volume


@contextmanager
def estimated(
    path: str,
    status: os.stat_result,
    policies: PolicyTree,
    previous: DirectorySummary | None,
    progress: Progress[UploadCounters],
    *,
    estimation: EstimationType,
    adaptive_files: int,
) -> Iterator[None]:
    """Estimate the totals of a folder while the block runs; does nothing when no progress is reported.

    Args:
        path: the folder.
        status: of the folder.
        policies: that hold in it.
        previous: what the previous snapshot says of the folder; it serves as a first estimate.
        progress: gets ``estimated_files`` and ``estimated_bytes``.
        estimation: where the totals come from.
        adaptive_files: see ``rough_totals``.
    """
    if not progress.is_told:
        yield
        return
    volume = None if estimation == "classic" else volume_use(path)
    rough = rough_totals(estimation, volume, adaptive_files=adaptive_files)
    if rough is not None:
        progress.set(estimated_files=rough.files, estimated_bytes=rough.size)
        yield
        _set_to_done(progress)
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
        _set_to_done(progress)
    finally:
        ended.set()
        walker.join()


def _set_to_done(progress: Progress[UploadCounters]) -> None:
    """Replace the estimate by what was done: all of it."""
    done = progress.counters
    progress.set(
        estimated_files=done.hashed_files + done.cached_files, estimated_bytes=done.hashed_bytes + done.cached_bytes
    )


__all__ = ["DELAY_AFTER_PREVIOUS_SECONDS", "DELAY_SECONDS", "VolumeUse", "estimated", "rough_totals", "volume_use"]
