"""The upgrade lock: how one client asks all others to leave a repository while it changes the format (format 01 §1.9).

All decisions are functions of the lock and of ``now``; nothing here waits.
"""

from dataclasses import field, replace
from typing import Final, Self

from pykopia.dataclass import dataclass
from pykopia.errors import UsageError
from pykopia.format.gotime import ZERO_TIME_NS
from pykopia.format.json_object import INTEGER, TEXT, TIME, JSONObject, member
from pykopia.ids import BlobID

BACKUP_BLOB_PREFIX: Final = "kopia.repository.backup."
"""Copies of the format blob as it was before an upgrade; the ID of the owner follows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UpgradeLock(JSONObject):
    """The intent of one owner to upgrade a repository, as ``upgradeLock`` of the format holds it."""

    owner_id: str = field(default="", metadata=member("ownerID", TEXT))
    """Owner of the upgrade, who may work while the repository is locked."""
    creation_time_ns: int = field(default=ZERO_TIME_NS, metadata=member("creationTime", TIME, always=True))
    """Nanoseconds since 1970."""
    advance_notice_ns: int = field(default=0, metadata=member("advanceNoticeDuration", INTEGER))
    """Nanoseconds from creation to the upgrade; 0: as soon as all others are gone."""
    io_drain_timeout_ns: int = field(default=0, metadata=member("ioDrainTimeout", INTEGER))
    """Nanoseconds in which every client sees the lock and ends what it does."""
    status_poll_interval_ns: int = field(default=0, metadata=member("statusPollInterval", INTEGER))
    """Nanoseconds between two looks of a client at the lock."""
    message: str = field(default="", metadata=member("message", TEXT))
    """Message for users of other clients."""
    max_clock_drift_ns: int = field(default=0, metadata=member("maxPermittedClockDrift", INTEGER))
    """Nanoseconds by which clocks may differ."""

    @property
    def drain_ns(self) -> int:
        """Nanoseconds that must pass before all clients are surely gone."""
        return self.max_clock_drift_ns + 2 * self.io_drain_timeout_ns

    @property
    def upgrade_time_ns(self) -> int:
        """Nanoseconds since 1970 from which on only the owner may use the repository."""
        return self.creation_time_ns + max(self.drain_ns, self.advance_notice_ns)

    @property
    def backup_blob_id(self) -> BlobID:
        """ID of the copy of the format block from before the upgrade."""
        return BlobID(BACKUP_BLOB_PREFIX + self.owner_id)

    def locked(self, now_ns: int) -> bool:
        """Return True if all clients but the owner must do nothing with the storage at all."""
        if self.advance_notice_ns < self.drain_ns:
            return True
        return now_ns >= self.creation_time_ns + self.advance_notice_ns - self.drain_ns

    def drained(self, now_ns: int) -> bool:
        """Return True if the owner may begin, since all others are gone."""
        return now_ns >= self.upgrade_time_ns

    def validate(self) -> None:
        """Check a lock before it is placed.

        Raises:
            UsageError: A part is missing or makes no sense.
        """
        problem = self._problem()
        if problem:
            raise UsageError(f"can't lock the repository for an upgrade: {problem}")

    def _problem(self) -> str:
        if not self.owner_id:
            return "the lock has no owner ID; choose one that no other client has"
        if self.creation_time_ns == ZERO_TIME_NS:
            return "the lock has no creation time"
        if self.io_drain_timeout_ns <= 0:
            return "the drain timeout must be positive"
        if self.status_poll_interval_ns > self.io_drain_timeout_ns:
            return "the status poll interval must not exceed the drain timeout"
        if not self.message:
            return "the lock has no message for the users"
        if self.max_clock_drift_ns <= 0:
            return "the permitted clock drift must be positive"
        if self.advance_notice_ns and self.advance_notice_ns <= self.drain_ns:
            return "the advance notice must be zero or longer than the clock drift and two drain timeouts together"
        return ""

    def updated(self, other: Self) -> Self:
        """Return this lock with the advance notice of ``other``: the one thing that may change, to a later time.

        Raises:
            UsageError: The owner is another, or the change is not to a later time.
        """
        if self.owner_id != other.owner_id:
            raise UsageError(
                f"{other.owner_id!r} can't change the upgrade lock: it belongs to {self.owner_id!r}; "
                "only that client can commit the upgrade or roll it back"
            )
        if bool(self.advance_notice_ns) != bool(other.advance_notice_ns):
            raise UsageError("can't change the upgrade lock: advance notice can't be added or taken away afterwards")
        if self.advance_notice_ns and other.upgrade_time_ns < self.upgrade_time_ns:
            raise UsageError("can't change the upgrade lock: the upgrade can only be moved to a later time")
        return replace(self, advance_notice_ns=other.advance_notice_ns)


__all__ = ["BACKUP_BLOB_PREFIX", "UpgradeLock"]
