"""A storage that fails, or dies, exactly where a test wants it to."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Literal, TypeVar

from pykopia.dataclass import dataclass
from pykopia.errors import StorageUnavailableError
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOptions
from pykopia.testing.intercepting import Call, InterceptingStorage, Method

_T = TypeVar("_T")

Effect = Literal["before", "after", "torn"]
"""Whether the call fails before it does anything, or after it did all, so that its answer is lost; a put may also leave
the first half of a blob behind, as on a storage whose puts are not atomic."""


class SimulatedCrash(BaseException):
    """The process is dead: nothing but a test may catch this."""


def simulated_error() -> Exception:
    """Return the temporary error that faults raise unless another is asked for."""
    return StorageUnavailableError("simulated fault of the storage; try again")


@dataclass(kw_only=True)
class Fault:
    """One planned fault; ``FaultyStorage`` makes them."""

    method: Method | None
    """The method that fails; none: every one."""
    at: int
    """Number, from 1, of the first call that fails, among those that match since the fault was planned."""
    times: int
    """How many calls fail from there on; negative: all."""
    prefix: str
    """Only calls for blobs (listings: prefixes) that start so are counted."""
    effect: Effect
    items: int
    """A listing gives so many blobs before it fails; the ``effect`` is of no matter then."""
    error: Callable[[], BaseException]
    seen: int = field(default=0, init=False)
    """Calls that matched so far."""
    hits: int = field(default=0, init=False)
    """Calls that failed so far."""

    def matches(self, call: Call) -> bool:
        """Count a call, and return whether it must fail."""
        if self.method not in (None, call.method) or not call.blob_id.startswith(self.prefix):
            return False
        self.seen += 1
        if self.seen < self.at or (0 <= self.times <= self.hits):
            return False
        self.hits += 1
        return True


class FaultyStorage(InterceptingStorage):
    """Fail planned calls, or be dead from one call on.

    >>> from pykopia.storage.backends.memory.storage import MemoryStorage
    >>> storage = FaultyStorage(MemoryStorage())
    >>> fault = storage.fail("put", at=2, effect="after")
    >>> _ = storage.put("p1", b"1")
    >>> storage.put("p2", b"2")
    Traceback (most recent call last):
    ...
    pykopia.errors.StorageUnavailableError: simulated fault of the storage; try again
    >>> storage.get("p2")
    b'2'

    To try a program at every point where it may be cut off, kill at the first call, at the second, and so on, until
    it goes through:

    >>> def program(storage):
    ...     for name in ("p1", "q1"):
    ...         _ = storage.put(name, b"")
    >>> for calls in range(1, 4):
    ...     storage = FaultyStorage(MemoryStorage())
    ...     _ = storage.kill("put", at=calls)
    ...     try:
    ...         program(storage)
    ...     except SimulatedCrash:
    ...         pass
    ...     print([blob.blob_id for blob in storage.inner.list()])
    []
    ['p1']
    ['p1', 'q1']
    """

    def __init__(self, inner: BlobStorage) -> None:
        super().__init__(inner)
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._dead = False

    def fail(
        self,
        method: Method | None = None,
        *,
        at: int = 1,
        times: int = 1,
        prefix: str = "",
        effect: Effect = "before",
        items: int = 0,
        error: Callable[[], BaseException] = simulated_error,
    ) -> Fault:
        """Plan a fault; its arguments are described in ``Fault``. Of several that match, the first planned acts."""
        fault = Fault(method=method, at=at, times=times, prefix=prefix, effect=effect, items=items, error=error)
        with self._lock:
            self._faults.append(fault)
        return fault

    def kill(self, method: Method | None = None, *, at: int = 1, prefix: str = "", effect: Effect = "before") -> Fault:
        """Plan a death: that call and all later ones, of any method and thread, raise ``SimulatedCrash``."""
        return self.fail(method, at=at, prefix=prefix, effect=effect, error=self._die)

    @property
    def dead(self) -> bool:
        """Whether a planned death has happened."""
        return self._dead

    def heal(self) -> None:
        """Drop all planned faults, and come back to life."""
        with self._lock:
            self._faults.clear()
            self._dead = False

    def intercept(self, call: Call, proceed: Callable[[], _T]) -> _T:
        """Fail if it is time to, and pass the call on otherwise."""
        fault = self._fault_of(call)
        if fault is None:
            return proceed()
        if fault.effect == "after":
            proceed()
        raise fault.error()

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        """Create or replace a blob, the whole of it or the half that a fault asks for."""
        view = memoryview(data).cast("B")
        fault = self._fault_of(Call(method="put", blob_id=blob_id, length=len(view), options=options))
        if fault is None:
            return self.inner.put(blob_id, data, options)
        if fault.effect != "before":
            self.inner.put(blob_id, view if fault.effect == "after" else view[: len(view) // 2], options)
        raise fault.error()

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield blobs by prefix, and break off where a fault says so."""
        fault = self._fault_of(Call(method="list", blob_id=prefix))
        for number, blob in enumerate(self.inner.list(prefix)):
            if self._dead:
                raise SimulatedCrash
            if fault is not None and fault.effect == "before" and number >= fault.items:
                break
            yield blob
        if fault is not None:
            raise fault.error()

    def _fault_of(self, call: Call) -> Fault | None:
        with self._lock:
            if self._dead:
                raise SimulatedCrash
            found = [fault for fault in self._faults if fault.matches(call)]
        return found[0] if found else None

    def _die(self) -> BaseException:
        self._dead = True
        return SimulatedCrash()


__all__ = ["Effect", "Fault", "FaultyStorage", "SimulatedCrash", "simulated_error"]
