"""A command that gets a signal at a chosen call of its storage.

python -m tests.faults.command_at_work SIGNAL CALL REACHED WORDS...

SIGNAL is the name of a signal, CALL the number of the call of a storage in a folder before which it is sent, REACHED a file that
is made then, WORDS the command line.
"""

import functools
import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pykopia.__main__ import main
from pykopia.storage.backends.filesystem.storage import FilesystemStorage

METHODS = ("put", "get", "get_into", "delete", "list", "metadata")


def send_at(number: signal.Signals, call: int, reached: Path) -> None:
    """Send this process a signal before the n-th call of any storage."""
    calls = itertools.count(1)

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def wrapper(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 -- passed on
            if next(calls) == call:
                reached.touch()
                os.kill(os.getpid(), number)
            return method(*arguments, **named)

        return wrapper

    for name in METHODS:
        setattr(FilesystemStorage, name, counted(getattr(FilesystemStorage, name)))


if __name__ == "__main__":
    send_at(signal.Signals[sys.argv[1]], int(sys.argv[2]), Path(sys.argv[3]))
    sys.argv = ["pykopia", *sys.argv[4:]]
    main()
