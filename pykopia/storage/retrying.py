"""Repeat calls that failed with an error that may pass (format 03 §5)."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from pykopia import clock
from pykopia.dataclass import dataclass
from pykopia.errors import BlobExistsError, PykopiaError, StorageBusyError, StorageUnavailableError
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.base import (
    DEFAULT_PUT_OPTIONS,
    BlobStorage,
    Capacity,
    PutOptions,
    RetentionMode,
    StorageWrapper,
)

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

DEFAULT_PATIENCE = 900.0
"""Seconds for which a call is repeated when the service asks to come back later."""
_FIRST_NOTICE, _NOTICES = 10.0, 60.0
"""Seconds of failures before a warning is logged, and between two warnings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrySchedule:
    """Number of attempts for a failed call, pauses between them, and total time."""

    attempts: int = 10
    """Attempts in all, the first included, where nothing answers; where the service asks to come back, ``patience`` counts."""
    first_pause: float = 0.1
    """Seconds before the second attempt."""
    factor: float = 1.5
    """By which each pause is longer than the one before."""
    longest_pause: float = 32.0
    """Seconds."""
    jitter: float = 0.5
    """Share of each pause that is left to chance, so that many clients don't come back at one time."""
    longest_asked: float = 120.0
    """Seconds that are waited at most because a service asks for it (``Retry-After``), beside the pause."""
    patience: float = DEFAULT_PATIENCE
    """Seconds after which a call is given up although the service asks to come back later; zero: it is not repeated."""
    silence: float = 600.0
    """Seconds without any answer after which nothing is repeated, so that all is over within 15 minutes."""

    def pause(self, attempt: int, chance: float) -> float:
        """Return the seconds to wait after the failed attempt number ``attempt`` (from 1); ``chance`` is in [0, 1)."""
        full = min(self.first_pause * self.factor ** min(attempt - 1, 1000), self.longest_pause)
        return full * (1 - self.jitter * chance)

    def pause_after(self, error: PykopiaError, attempt: int, chance: float) -> float:
        """Return the seconds to wait after an error: what the service asks for, if it does, and the pause."""
        asked = error.retry_after if isinstance(error, StorageUnavailableError) else None
        return min(asked or 0.0, self.longest_asked) + self.pause(attempt, chance)


class Retries:
    """The failures of one call: decides whether the call is repeated, and after which pause.

    Args:
        schedule: How often, and how long apart.
        timer: Gives seconds of a clock that never goes back.
        chance: Gives numbers in [0, 1).
    """

    def __init__(
        self,
        schedule: RetrySchedule,
        *,
        timer: Callable[[], float] = clock.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._schedule, self._timer, self._chance = schedule, timer, chance
        self._began, self._waited = timer(), 0.0
        self._attempts, self._unanswered = 0, 0

    @property
    def attempts(self) -> int:
        """The number of attempts that failed."""
        return self._attempts

    @property
    def seconds(self) -> float:
        """The time since the first attempt began, or all pauses together if that is longer."""
        return max(self._timer() - self._began, self._waited)

    def pause_after(self, error: PykopiaError, silent_seconds: float = 0.0) -> float | None:
        """Count a failure, and return the seconds to wait before the next attempt; None if there is none.

        Args:
            error: Why the attempt failed.
            silent_seconds: For how long no call to this storage was answered.
        """
        self._attempts += 1
        if not error.temporary:
            return None
        pause = self._schedule.pause_after(error, self._attempts, self._chance())
        if isinstance(error, StorageBusyError):
            self._unanswered = 0
            if self._schedule.attempts <= 1 or self.seconds >= self._schedule.patience:
                return None
        else:
            self._unanswered += 1
            silent = max(silent_seconds, self.seconds)
            if self._unanswered >= self._schedule.attempts or silent >= self._schedule.silence:
                return None
        self._waited += pause
        return pause


class RetryingStorage(StorageWrapper):
    """Repeat calls that failed with a temporary error (``PykopiaError.temporary``); all other errors pass at once.

    Where the service asks to come back later (``StorageBusyError``), calls are repeated for minutes; where nothing answers,
    for a number of attempts. Each pause is longer than the one before, and no shorter than the service asks for. While a
    storage does not recover, a warning is logged once a minute.

    A listing that breaks off is started again, and what it had given already is left out. A put with
    ``do_not_recreate`` whose first answer was lost may find its own blob: if that holds the same bytes, it went well.

    Args:
        inner: The storage.
        schedule: How often, and how long apart.
        sleep: Waits for so many seconds.
        chance: Gives numbers in [0, 1).
        timer: Gives seconds of a clock that never goes back.
    """

    def __init__(
        self,
        inner: BlobStorage,
        *,
        schedule: RetrySchedule | None = None,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
        timer: Callable[[], float] = clock.monotonic,
    ) -> None:
        super().__init__(inner)
        self._schedule = schedule or RetrySchedule()
        self._sleep, self._chance, self._timer = sleep, chance, timer
        self._lock = threading.Lock()
        self._silent_since: float | None = None
        self._noticed = -_NOTICES
        self._closed = False

    def close(self) -> None:
        """Close connections; what fails from now on, in another thread, is not tried again."""
        self._closed = True
        self.inner.close()

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return a range of a blob, see ``BlobStorage.get``."""
        return self._retry(f"get {blob_id}", lambda: self.inner.get(blob_id, offset, length))

    def get_into(self, blob_id: BlobID, target: bytearray | memoryview, offset: int = 0) -> None:
        """Fill a buffer from a blob, see ``BlobStorage.get_into``."""
        self._retry(f"get {blob_id}", lambda: self.inner.get_into(blob_id, target, offset))

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob, see ``BlobStorage.metadata``."""
        return self._retry(f"look at {blob_id}", lambda: self.inner.metadata(blob_id))

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob, see ``BlobStorage.put``."""
        attempts = 0

        def attempt() -> BlobMetadata | None:
            nonlocal attempts
            attempts += 1
            return self.inner.put(blob_id, data, options)

        try:
            return self._retry(f"put {blob_id}", attempt)
        except BlobExistsError:
            if attempts == 1 or self.get(blob_id) != data:
                raise
            return None

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob; it is no error if there is none."""
        self._retry(f"delete {blob_id}", lambda: self.inner.delete(blob_id))

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield blobs by prefix, each once, see ``BlobStorage.list``."""
        given: set[BlobID] = set()
        retries, known = self._retries(), 0
        while True:
            began = self._timer()
            try:
                for blob in self.inner.list(prefix):
                    if blob.blob_id not in given:
                        given.add(blob.blob_id)
                        yield blob
            except PykopiaError as error:
                if len(given) > known:  # each part of a long listing has attempts of its own
                    retries, known = self._retries(), len(given)
                self._wait_after(error, f"list {prefix!r}", retries, began)
            else:
                self._answered()
                return

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob for longer, see ``BlobStorage.extend_retention``."""
        self._retry(f"lock {blob_id}", lambda: self.inner.extend_retention(blob_id, mode, period_ns))

    def capacity(self) -> Capacity | None:
        """Return the room on the volume, see ``BlobStorage.capacity``."""
        return self._retry("ask for free space", self.inner.capacity)

    def _retry(self, doing: str, call: Callable[[], _T]) -> _T:
        retries = self._retries()
        while True:
            began = self._timer()
            try:
                found = call()
            except PykopiaError as error:
                self._wait_after(error, doing, retries, began)
            else:
                self._answered()
                return found

    def _retries(self) -> Retries:
        return Retries(self._schedule, timer=self._timer, chance=self._chance)

    def _answered(self) -> None:
        """Record that the storage answered."""
        if self._silent_since is not None:
            with self._lock:
                self._silent_since = None

    def _wait_after(self, error: PykopiaError, doing: str, retries: Retries, began: float) -> None:
        """Wait before the next attempt, or raise the error again if there is none.

        Args:
            error: Why the attempt failed.
            doing: What was being done, for the log.
            retries: The failures of this call.
            began: When the attempt began, by the timer.
        """
        pause = retries.pause_after(error, self._failed(error, began))
        if pause is None or self._closed:
            raise error
        _log.info("%s failed, trying again in %.1f s (attempt %d): %s", doing, pause, retries.attempts, error)
        if self._is_time_for_a_notice(retries.seconds):
            _log.warning(
                "%s has not done what it was asked for %.0f s, trying on: %s", self.display_name, retries.seconds, error
            )
        self._sleep(pause)
        if self._closed:
            raise error

    def _failed(self, error: PykopiaError, began: float) -> float:
        """Return for how long no call was answered."""
        with self._lock:
            if not error.temporary or isinstance(error, StorageBusyError):
                self._silent_since = None  # an answer, though no good one
                return 0.0
            if self._silent_since is None:
                self._silent_since = began
            return self._timer() - self._silent_since

    def _is_time_for_a_notice(self, failing_seconds: float) -> bool:
        """Return True once a minute, whichever call it is that fails."""
        with self._lock:
            now = self._timer()
            if failing_seconds < _FIRST_NOTICE or now - self._noticed < _NOTICES:
                return False
            self._noticed = now
            return True


__all__ = ["DEFAULT_PATIENCE", "Retries", "RetrySchedule", "RetryingStorage"]
