"""Signals that ask the process to end, for programs that use the library.

A Python signal handler runs between two arbitrary instructions of the main thread. An exception raised there is harmless
in most code, but not inside an import: a native module may not survive it, and an interrupted module stays half made.
A handler that takes a lock can wait for ever for the code that it interrupts. The two mechanisms here avoid both:
``Interrupter`` raises, but never inside an import; ``hand_over`` never runs more in the handler than the start of a thread.
"""

import _thread
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
"""Signals that ask a process to end."""

GRACE_SECONDS: Final = 15.0
"""Time from the exception to the end of the process: an orderly end may wait for a server that does not answer."""

_RETRY_SECONDS: Final = 0.001
_IMPORT_FILE: Final = "<frozen importlib._bootstrap>"


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)

    @property
    def status(self) -> int:
        """Exit status, as shells count it."""
        return status_of(self.number)

    def __str__(self) -> str:
        return "interrupted" if self.number == signal.SIGINT else "terminated"


def status_of(number: int) -> int:
    """Return the exit status after a signal, as shells count it: 128 and the number."""
    return 128 + number


def is_importing(frame: FrameType | None) -> bool:
    """Return True if an import is running somewhere on the stack of ``frame``."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT_FILE:
            return True
        frame = frame.f_back
    return False


class Interrupter:
    """Raises `Stopped` in the main thread; a second signal ends the process at once."""

    def __init__(self, *, end: Callable[[int], object] = os._exit) -> None:
        """Prepare; ``end`` ends the process with a status."""
        self._end = end
        self._raised = False
        self.pending: int | None = None
        """A signal that arrived during an import and has not been delivered since."""

    def install(self) -> None:
        """Handle the signals from now on."""
        for number in STOPPING:
            signal.signal(number, self.handle)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise `Stopped`, or deliver the signal again a little later when an import is running."""
        if self._raised:
            self._end(status_of(number))
        if is_importing(frame):
            self.pending = number
            after(_RETRY_SECONDS, _deliver, number)
            return
        self._raised, self.pending = True, None
        after(GRACE_SECONDS, self._end, status_of(number))
        raise Stopped(number)

    def uninstall(self) -> None:
        """Let signals end the process at once: nothing of the program runs any more.

        Raises:
            Stopped: A signal is still to be delivered.
        """
        for number in STOPPING:
            signal.signal(number, signal.SIG_DFL)
        if self.pending is not None:
            raise Stopped(self.pending)


def _deliver(number: int) -> None:
    _thread.interrupt_main(signal.Signals(number))


def after(
    seconds: float,
    act: Callable[[int], object],
    number: int,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Call ``act(number)`` in a thread of its own after some seconds. Takes no lock, so a signal handler may call it."""

    def wait() -> None:
        sleep(seconds)
        act(number)

    _thread.start_new_thread(wait, ())


def hand_over(take: Callable[[int], object]) -> None:
    """Handle the signals by passing their numbers to ``take`` in a thread of its own.

    The main thread goes on undisturbed. ``take`` may use locks.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        _thread.start_new_thread(take, (number,))

    for number in STOPPING:
        signal.signal(number, handle)


@contextlib.contextmanager
def left_to_others() -> Iterator[None]:
    """Leave the signals to a library that waits for them itself while the block runs; in other threads than the main one too.

    Python's own handlers run in the main thread, which that library keeps busy.
    """
    before = {}
    with contextlib.suppress(ValueError):  # only the main thread may change handlers
        for number in (*STOPPING, signal.SIGHUP):
            before[number] = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = [
    "GRACE_SECONDS",
    "STOPPING",
    "Interrupter",
    "Stopped",
    "after",
    "hand_over",
    "is_importing",
    "left_to_others",
    "status_of",
]
