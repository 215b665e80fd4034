"""Claims: which client may make a repository where a storage can't refuse to replace a blob.

Each client first stores a claim, a blob with a name of its own, and then lists all claims. A client that sees another claim
deletes its own one and waits, so at most one of the clients goes on; a later client finds the repository. This needs a
storage whose listing shows every blob whose put has ended. A claim expires after a minute, so that a client that was cut
off does not block the others for longer.
"""

import contextlib
import random
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Final

from pykopia.errors import StorageUnavailableError
from pykopia.ids import BlobID
from pykopia.storage.base import BlobStorage

CLAIM_PREFIX: Final = "_pykopia_create_"
"""Kopia neither reads nor deletes such a blob."""
STALE_NS: Final = 60 * 1_000_000_000
"""Nanoseconds after which a claim counts no more, by the storage's clock alone."""
LONGEST_WAIT_SECONDS: Final = 90


@contextlib.contextmanager
def claimed(
    storage: BlobStorage, *, sleep: Callable[[float], None] = time.sleep, chance: Callable[[], float] = random.random
) -> Iterator[None]:
    """Hold the only live claim for the time of a block, in which the caller looks again whether there is a repository.

    Raises:
        StorageUnavailableError: others held claims for so long that something else must be wrong.
    """
    waited = 0.0
    while True:
        mine = BlobID(f"{CLAIM_PREFIX}{secrets.token_hex(8)}")
        storage.put(mine, b"claim")
        try:
            if _is_alone(storage, mine):
                yield
                return
        finally:
            storage.delete(mine)
        if waited >= LONGEST_WAIT_SECONDS:
            raise StorageUnavailableError(
                f"others are making a repository in {storage.display_name} and do not come to an end; try again later"
            )
        pause = 0.2 + 2 * chance()
        sleep(pause)
        waited += pause


def _is_alone(storage: BlobStorage, mine: BlobID) -> bool:
    claims = {blob.blob_id: blob.timestamp_ns for blob in storage.list(CLAIM_PREFIX)}
    if mine not in claims:
        return False  # a listing that lags shows nothing of the others either
    return not any(claims[mine] - at < STALE_NS for other, at in claims.items() if other != mine)


__all__ = ["CLAIM_PREFIX", "LONGEST_WAIT_SECONDS", "STALE_NS", "claimed"]
