"""Ctrl-C and SIGTERM while a command runs that can stop in good order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pykopia.cli.session import Session


@contextmanager
def cancelable(session: Session) -> Iterator[Callable[[], bool]]:
    """Provide a function that returns True once the user has asked to stop.

    The first signal asks to stop, a second one interrupts at once. Outside the main thread signals stay as they are.
    """
    lock, told = threading.Lock(), False

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        # nothing is written here: the interrupted code may be in the middle of a write to the same stream
        session.canceled = True
        for each, handler in previous.items():
            signal.signal(each, handler)

    def canceled() -> bool:
        nonlocal told
        if session.canceled and not told:
            with lock:
                first, told = not told, True
            if first:
                session.log.warning("stopping; what is finished is kept. Press Ctrl-C again to stop at once.")
        return session.canceled

    previous = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, ask_to_stop)
    except ValueError:  # not the main thread
        previous.clear()
    try:
        yield canceled
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


__all__ = ["cancelable"]
