"""Doing it again when an error may pass (spec 03 §5)."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pykopia.errors import BlobExistsError, PykopiaError, StorageUnavailableError
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


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrySchedule:
    """How often, and how long apart."""

    attempts: int = 10
    """Attempts in all, the first included."""
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

    def pause(self, attempt: int, chance: float) -> float:
        """Return the seconds to wait after the failed attempt number ``attempt`` (from 1); ``chance`` is in [0, 1)."""
        full = min(self.first_pause * self.factor ** (attempt - 1), self.longest_pause)
        return full * (1 - self.jitter * chance)

    def pause_after(self, error: PykopiaError, attempt: int, chance: float) -> float:
        """Return the seconds to wait after an error: what the service asks for, if it does, and the pause."""
        asked = error.retry_after if isinstance(error, StorageUnavailableError) else None
        return min(asked or 0.0, self.longest_asked) + self.pause(attempt, chance)


class RetryingStorage(StorageWrapper):
    """Repeat calls that failed with a temporary error (``PykopiaError.temporary``); all others pass at once.

    Each pause is longer than the one before, and no shorter than the service asks for.

    A listing that breaks off is started again, and what it had given already is left out. A put with
    ``do_not_recreate`` whose first answer was lost may find its own blob: if that holds the same bytes, it went well.

    Args:
        inner: The storage.
        schedule: How often, and how long apart.
        sleep: Waits for so many seconds.
        chance: Gives numbers in [0, 1).
    """

    def __init__(
        self,
        inner: BlobStorage,
        *,
        schedule: RetrySchedule | None = None,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(inner)
        self._schedule = schedule or RetrySchedule()
        self._sleep, self._chance = sleep, chance

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
        attempt = 1
        while True:
            try:
                for blob in self.inner.list(prefix):
                    if blob.blob_id not in given:
                        given.add(blob.blob_id)
                        yield blob
            except PykopiaError as error:
                self._wait_after(error, f"list {prefix!r}", attempt)
                attempt += 1
            else:
                return

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob for longer, see ``BlobStorage.extend_retention``."""
        self._retry(f"lock {blob_id}", lambda: self.inner.extend_retention(blob_id, mode, period_ns))

    def capacity(self) -> Capacity | None:
        """Return the room on the volume, see ``BlobStorage.capacity``."""
        return self._retry("ask for free space", self.inner.capacity)

    def _retry(self, doing: str, call: Callable[[], _T]) -> _T:
        attempt = 1
        while True:
            try:
                return call()
            except PykopiaError as error:
                self._wait_after(error, doing, attempt)
                attempt += 1

    def _wait_after(self, error: PykopiaError, doing: str, attempt: int) -> None:
        """Wait before the next attempt, or raise the error again if there is none."""
        if not error.temporary or attempt >= self._schedule.attempts:
            raise error
        pause = self._schedule.pause_after(error, attempt, self._chance())
        _log.info("%s failed, trying again in %.1f s (attempt %d): %s", doing, pause, attempt, error)
        self._sleep(pause)


__all__ = ["RetrySchedule", "RetryingStorage"]
