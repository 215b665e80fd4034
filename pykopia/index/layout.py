"""The contract of an index layout: which index blobs count, and how new ones come to count.

Format version 1 has ``LegacyLayout``, versions 2 and 3 have ``EpochLayout``.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from pykopia.format.blob import BlobMetadata
from pykopia.format.epoch import EpochState
from pykopia.ids import BlobID


class IndexLayout(Protocol):
    """Layout of the index blobs of one repository."""

    @property
    def compacted_prefixes(self) -> tuple[str, ...]:
        """Name prefixes of index blobs that stand for others, which may still be there when one can't be read."""

    @property
    def drops_entries(self) -> bool:
        """Whether maintenance takes entries of deleted contents out of the index; otherwise a watermark hides them."""

    @property
    def watermark(self) -> int | None:
        """Contents that were deleted before this time, in seconds since 1970, are hidden; as of the last ``active``."""

    @property
    def state(self) -> EpochState | None:
        """The epochs as they were last listed; None where there are none, or nothing was listed yet."""

    def listed(self) -> list[BlobMetadata]:
        """Return all index blobs of the storage, those that readers no longer use included."""

    def active(self) -> list[BlobID]:
        """List the storage; return the index blobs that readers use."""

    def active_without(self, unreadable: Collection[BlobID]) -> list[BlobID]:
        """List the storage; return what readers use where compacted blobs are missing."""

    def read_state(self) -> EpochState:
        """List the epochs; without epochs the state is empty, and nothing is listed."""

    def recent_state(self, within_ns: int) -> EpochState:
        """Return the state that was read within so many nanoseconds, or else list the epochs."""

    def forget_state(self) -> None:
        """Do not take the state that was read last for a recent one."""

    def put(
        self, plain: Sequence[bytes], session_id: str, when_put: Callable[[], object] = lambda: None
    ) -> list[BlobID]:
        """Store index blobs so that every reader uses them; return their names.

        Args:
            plain: the shards of an index, which count together.
            session_id: of the session that writes them.
            when_put: called when all are stored, before it is verified that readers use them.

        Raises:
            WriteConflictError: the epochs moved on while this was written; nothing was committed.
            NotVisibleError: a fresh listing shows that no reader would use one.
        """


__all__ = ["IndexLayout"]
