"""What every opening of a repository reads is asked for at once, while the rest of the opening is still going on."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

from pykopia import clock
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOptions, RetentionMode, StorageWrapper

BELIEVED_SECONDS = 10.0
"""Age after which a result is not used any more: a later request would see what others wrote meanwhile."""

Following = Callable[[Sequence[BlobMetadata]], Sequence[BlobID]]
"""Returns the blobs that will be read next, as a whole, from a listing."""

_T = TypeVar("_T")
_Key = TypeVar("_Key", bound=str)


class AheadStorage(StorageWrapper):
    """Begins some gets and listings at once, each by a thread of its own, and gives each result to the first call for it.

    A result is used once, or as often as its blob stands in ``gets``, within some seconds, and only as long as nothing was
    written by way of this storage: any other call goes to the inner storage. An error is raised by the call that takes the
    result, and by no other: a caller that asks again wants to know whether the blob has come meanwhile.

    Args:
        inner: The storage; safe for threads, as all are.
        gets: Blobs that will be read as a whole; one that stands twice here is asked for once and will be read twice.
        lists: Prefixes that will be listed.
        following: By prefix, which blobs will be read once the listing is there; they are asked for as soon as it is.
        timer: Gives seconds of a clock that never goes back.
    """

    def __init__(
        self,
        inner: BlobStorage,
        *,
        gets: Sequence[BlobID] = (),
        lists: Sequence[str] = (),
        following: Mapping[str, Following] | None = None,
        timer: Callable[[], float] = clock.monotonic,
    ) -> None:
        super().__init__(inner)
        self._timer, self._began = timer, timer()
        self._following = following or {}
        self._gets = {blob_id: Request(partial(inner.get, blob_id)) for blob_id in dict.fromkeys(gets)}
        self._again = {blob_id: self._gets[blob_id] for blob_id in gets if gets.count(blob_id) > 1}
        self._lists = {prefix: Request(partial(self._list, prefix, self._gets)) for prefix in lists}

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return a range of a blob, see ``BlobStorage.get``."""
        if self._gets and offset == 0 and length < 0 and (begun := self._taken_blob(blob_id)) is not None:
            try:
                return begun.result()
            except BaseException:
                self._gets.pop(blob_id, None)
                raise
        return self.inner.get(blob_id, offset, length)

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield blobs by prefix, see ``BlobStorage.list``."""
        if self._lists and (begun := self._taken(self._lists, prefix)) is not None:
            return iter(begun.result())
        return self.inner.list(prefix)

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob, see ``BlobStorage.put``."""
        self._forget()
        return self.inner.put(blob_id, data, options)

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob, see ``BlobStorage.delete``."""
        self._forget()
        self.inner.delete(blob_id)

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        """Lock a blob for longer, see ``BlobStorage.extend_retention``."""
        self._forget()
        self.inner.extend_retention(blob_id, mode, period_ns)

    def flush_caches(self) -> None:
        """Forget remembered listings, see ``BlobStorage.flush_caches``."""
        self._forget()
        self.inner.flush_caches()

    def _list(self, prefix: str, gets: "dict[BlobID, Request[bytes]]") -> Sequence[BlobMetadata]:
        found = list(self.inner.list(prefix))
        following = self._following.get(prefix)
        for blob_id in () if following is None else following(found):
            if self._gets is gets:  # not forgotten
                gets[blob_id] = Request(partial(self.inner.get, blob_id))
        return found

    def _forget(self) -> None:
        self._gets, self._again, self._lists = {}, {}, {}

    def _taken_blob(self, blob_id: BlobID) -> "Request[bytes] | None":
        return self._taken(self._again, blob_id) or self._taken(self._gets, blob_id)

    def _taken(self, requests: "dict[_Key, Request[_T]]", key: "_Key") -> "Request[_T] | None":
        if self._timer() - self._began > BELIEVED_SECONDS:
            self._forget()
            return None
        return requests.pop(key, None)


class Request(threading.Thread, Generic[_T]):
    """One request by a thread, which does not hold up the end of the program if nothing waits for it."""

    def __init__(self, call: Callable[[], _T]) -> None:
        super().__init__(name="pykopia-ahead", daemon=True)
        self._call = call
        self._found: tuple[_T] | BaseException | None = None
        self.start()

    def run(self) -> None:
        """Carry the request out."""
        try:
            self._found = (self._call(),)
        except BaseException as error:  # noqa: BLE001 -- raised where the result is taken
            self._found = error

    def result(self) -> _T:
        """Wait for the request and return its result, or raise its error."""
        self.join()
        found = self._found
        if found is None:  # a forked process lacks the thread
            return self._call()
        if isinstance(found, BaseException):
            raise found
        return found[0]


__all__ = ["BELIEVED_SECONDS", "AheadStorage", "Following", "Request"]
