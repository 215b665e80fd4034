"""Ctrl-C and SIGTERM while a command runs that can stop in good order."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pykopia.cli.session import Session


@contextmanager
def cancelable(session: Session) -> Iterator[Callable[[], bool]]:
    """Give the block a function that says whether to stop.

    The first signal asks to stop, a second one interrupts at once. Outside the main thread signals stay as they are.
    """

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        session.canceled = True
        session.log.warning("stopping; what is finished will be kept. Press Ctrl-C again to stop at once.")
        for each, handler in previous.items():
            signal.signal(each, handler)

    previous = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, ask_to_stop)
    except ValueError:  # not the main thread
        previous.clear()
    try:
        yield lambda: session.canceled
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


__all__ = ["cancelable"]
