"""A program that works on a repository and kills itself at a chosen call of the storage or of the target.

python -m tests.faults.killed_program WHAT CALL REPOSITORY FOLDER PASSWORD

WHAT is ``snapshot`` (of FOLDER), ``maintain`` or ``restore`` (of the newest snapshot to FOLDER). CALL is the number of the
call that changes something after which the process is dead; with a restore, of the file that is put in its place.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from pykopia.repository.opening import connect
from pykopia.storage.filesystem import FilesystemStorage
from pykopia.testing.intercepting import Call, InterceptingStorage

from .harness import CLIENT

_T = TypeVar("_T")


class KillingStorage(InterceptingStorage):
    """Kills the process after some calls that change something."""

    left = 0

    def intercept(self, call: Call, proceed: Callable[[], _T]) -> _T:
        """Carry a call out, and end the process if it was the last one."""
        result = proceed()
        if call.method in {"put", "delete"}:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)
        return result


def kill_at_replacement(number: int) -> None:
    """Kill the process when the n-th file is moved to its final name, before it is."""
    left = [number]
    lock, replace = threading.Lock(), os.replace

    def counted(*names: str, **where: Any) -> None:  # noqa: ANN401 -- passed on
        with lock:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        replace(*names, **where)

    os.replace = os.rename = counted  # type: ignore[assignment]


def main() -> None:
    """Do what is asked for; coming to the end is told by exit status 0."""
    what, call, repository, folder, password = sys.argv[1:]
    storage = KillingStorage(FilesystemStorage(repository))
    with connect(storage, password, client=CLIENT) as opened:
        if what == "snapshot":
            storage.left = int(call)
            opened.snapshots.create(folder)
        elif what == "maintain":
            storage.left = int(call)
            opened.maintenance.run("full", safety="none")
        else:
            newest = opened.snapshots.list()[-1]
            kill_at_replacement(int(call))
            opened.snapshots.restore(newest.id, folder)


if __name__ == "__main__":
    main()
