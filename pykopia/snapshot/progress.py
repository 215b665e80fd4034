"""Counters of an operation, reported to the caller ten times a second; the caller may cancel."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pykopia.errors import CanceledError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TELL_EVERY = 0.1
"""Seconds between two calls of a progress function."""

Counters = TypeVar("Counters", bound="DataclassInstance")

Cancel = Callable[[], bool]
"""Returns True to stop; called often and from several threads."""


class Progress(Generic[Counters]):
    """Counters that several threads add to; ``tell`` gets a frozen copy from one thread of its own."""

    def __init__(
        self, counters: Counters, tell: Callable[[Counters], None] | None = None, cancel: Cancel | None = None
    ) -> None:
        """Count in ``counters``, a dataclass of numbers and texts."""
        self._kind: Any = type(counters)
        self._values: dict[str, Any] = {
            field.name: getattr(counters, field.name) for field in dataclasses.fields(counters)
        }
        self._tell = tell
        self._cancel = cancel
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.refresh: Callable[[], None] | None = None
        """Called before the progress function: sets counters that others keep."""

    @property
    def is_told(self) -> bool:
        """Whether there is a progress function."""
        return self._tell is not None

    @property
    def counters(self) -> Counters:
        """The counters as they are now."""
        with self._lock:
            return self._kind(**self._values)  # type: ignore[no-any-return]

    def add(self, **amounts: int) -> None:
        """Add to counters by name."""
        with self._lock:
            for name, amount in amounts.items():
                self._values[name] += amount

    def set(self, **values: object) -> None:
        """Set counters by name."""
        with self._lock:
            self._values.update(values)

    @property
    def canceled(self) -> bool:
        """Whether the caller asked to stop."""
        return self._cancel is not None and self._cancel()

    def check(self) -> None:
        """Raise CanceledError when the caller asked to stop."""
        if self.canceled:
            raise CanceledError("canceled: what was finished before is kept")

    @contextmanager
    def told(self) -> Iterator[None]:
        """Call the progress function from time to time inside the block, and once at its end."""
        if self._tell is None:
            yield
            return
        teller = threading.Thread(target=self._tell_on, name="pykopia-progress", daemon=True)
        teller.start()
        try:
            yield
        finally:
            self._ended.set()
            teller.join()
            if self.refresh is not None:
                self.refresh()
            self._tell(self.counters)

    def _tell_on(self) -> None:
        assert self._tell is not None
        while not self._ended.wait(TELL_EVERY):
            if self.refresh is not None:
                self.refresh()
            self._tell(self.counters)


__all__ = ["Cancel", "Counters", "Progress"]
