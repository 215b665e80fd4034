"""What all parts of an upload share: how far it is, what went wrong, and whether it goes on."""

import logging
import threading

from pykopia.crew import Crew
from pykopia.dataclass import dataclass
from pykopia.format.directory import EntryFailure
from pykopia.format.gojson import stored_form
from pykopia.snapshot.problem import Problem
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.source_folder import Folder
from pykopia.snapshot.upload_options import CANCELED, UploadCounters

entries_log = logging.getLogger("pykopia.snapshot.upload.entries")
"""Gets a line for each entry that can't be taken: a logger of its own, as there may be a million of them."""

QUEUED_PER_THREAD = 3


@dataclass(slots=True)
class Statistics:
    """Kopia's rough counters of a snapshot manifest (format 04 §6)."""

    total_size: int = 0
    file_count: int = 0
    cached_files: int = 0
    non_cached_files: int = 0
    directory_count: int = 0
    excluded_total_size: int = 0
    excluded_file_count: int = 0
    excluded_directory_count: int = 0
    ignored_error_count: int = 0
    error_count: int = 0


class UploadState:
    """State of one upload; safe for threads.

    Attributes:
        crew: the threads that read and store files.
        progress: counters, and the caller's request to stop.
        lock: held while ``statistics`` are changed.
        statistics: counters of the snapshot manifest.
        problems: entries that could not be taken.
        stop_reason: why the upload ended before its time, in Kopia's words; empty when it did not.
    """

    def __init__(self, progress: Progress[UploadCounters], *, parallel: int, fail_fast: bool = False) -> None:
        """Begin.

        Args:
            progress: of the upload.
            parallel: batches of files that are read at one time.
            fail_fast: stop at the first entry that can't be taken.
        """
        self.crew: Crew[None] = Crew(parallel, most=QUEUED_PER_THREAD * parallel + 1, name="pykopia-upload")
        self.progress = progress
        self.lock = threading.Lock()
        self.statistics = Statistics()
        self.problems: list[Problem] = []
        self.stop_reason = ""
        self._fail_fast = fail_fast

    @property
    def stopping(self) -> bool:
        """Whether nothing more is to be read, because the upload was stopped or has failed."""
        if not self.stop_reason and self.progress.canceled:
            self.stop_reason = CANCELED
        return bool(self.stop_reason) or self.crew.stopped

    def stop(self, why: str) -> None:
        """Read nothing more; what was read becomes an incomplete snapshot. The first reason counts."""
        self.stop_reason = self.stop_reason or why

    def entry_failed(self, folder: Folder, name: str, error: Exception, *, ignored: bool) -> None:
        """Record that an entry of a folder can't be taken."""
        # as it would be stored: what is not UTF-8 can't be printed
        path = stored_form(f"{folder.relative}/{name}"[1:])
        error.__traceback__ = None  # it would keep what the frames refer to
        problem = Problem(path=path, error=error, ignored=ignored)
        folder.failures.append(EntryFailure(path=path, error=problem.message, ignored=ignored))
        with self.lock:
            self.problems.append(problem)
            if ignored:
                self.statistics.ignored_error_count += 1
            else:
                self.statistics.error_count += 1
                if self._fail_fast:
                    self.stop(CANCELED)
        self.progress.add(**{"ignored_errors" if ignored else "fatal_errors": 1})
        level = logging.WARNING if ignored else logging.ERROR
        if entries_log.isEnabledFor(level):
            entries_log.log(level, "can't take %s: %s", path, problem.message)


__all__ = ["Statistics", "UploadState"]
