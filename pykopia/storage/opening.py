"""From a connection to an open storage; backends are imported when one is opened."""

from collections.abc import Callable, Mapping, Sequence

from pykopia.errors import UsageError
from pykopia.format.blob_names import INDEX_PREFIXES
from pykopia.format.duration import parse_duration
from pykopia.ids import BlobID
from pykopia.storage.ahead import AheadStorage, Following, Request
from pykopia.storage.base import BlobStorage
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.options import NO_LIMITS, StorageOptions, ThrottlingLimits
from pykopia.storage.registry import BACKENDS, Backend, find, open_with, register
from pykopia.storage.retrying import RetryingStorage, RetrySchedule
from pykopia.storage.throttled import ThrottledStorage


def open_storage(info: ConnectionInfo, *, create: bool = False, limits: ThrottlingLimits | None = None) -> BlobStorage:
    """Open the storage that a connection describes.

    Args:
        info: Type and configuration.
        create: Make the folder if there is none, and choose the layout of new repositories.
        limits: How fast it may be used, instead of what the connection says.

    Raises:
        UnsupportedOptionError: The type is not known, or has no backend here; nothing was touched.
        UsageError: A required field is empty.
        ConnectionFileError: A field has a value of the wrong kind.
        StorageNotFoundError: There is no such folder, bucket or container.
    """
    return open_ahead(info, create=create, limits=limits)


def open_ahead(
    info: ConnectionInfo,
    *,
    create: bool = False,
    limits: ThrottlingLimits | None = None,
    gets: Sequence[BlobID] = (),
    lists: Sequence[str] = (),
    following: Mapping[str, Following] | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> BlobStorage:
    """Open a storage and begin requests that come next; see ``open_storage``.

    Args:
        info: Type and configuration.
        create: Make the folder if there is none.
        limits: How fast it may be used.
        gets: Blobs that will be read at once, which are asked for while the storage is still being looked at.
        lists: Prefixes that will be listed at once, likewise; where listings are slow, only those of the index.
        following: Blobs that will be read after a listing, see ``AheadStorage``.
        meanwhile: Called while the requests are under way.
    """
    options = info.options()
    options.check()
    backend = find(info.type)
    storage: BlobStorage = open_with(info.type, backend)(options, create=create)
    looked_at = storage
    if backend.retries:
        storage = RetryingStorage(storage, schedule=retry_schedule(options))
    limits = limits or options.throttling
    if limits != NO_LIMITS:
        storage = ThrottledStorage(storage, limits)
    if (
        storage.has_slow_listings
    ):  # the index is listed in any case, packs perhaps not, which takes as long as they are many
        lists = [prefix for prefix in lists if prefix in INDEX_PREFIXES]
    if (gets or lists) and not storage.is_local:
        storage = AheadStorage(storage, gets=gets, lists=lists, following=following)
    try:
        _look(looked_at, meanwhile)
    except BaseException:
        storage.close()  # requests that were begun are not tried again
        raise
    return storage


def _look(storage: BlobStorage, meanwhile: Callable[[], object] | None) -> None:
    """Look whether a storage is there, and do something else meanwhile where that takes time."""
    if meanwhile is None:
        storage.check()
    elif storage.is_local:
        storage.check()
        meanwhile()
    else:
        look = Request(storage.check)
        meanwhile()
        look.result()


def retry_schedule(options: StorageOptions) -> RetrySchedule:
    """Return how calls to a storage are repeated: ``retryFor`` of the connection says for how long a busy service is asked."""
    text = str(options.to_config().get("retryFor") or "")
    if not text:
        return RetrySchedule()
    try:
        return RetrySchedule(patience=max(parse_duration(text), 0) / 1e9)
    except ValueError:
        raise UsageError(
            f"can't use retryFor of this connection: {text!r} is no duration such as 15m or 1h30m"
        ) from None


__all__ = ["BACKENDS", "Backend", "open_ahead", "open_storage", "register", "retry_schedule"]
