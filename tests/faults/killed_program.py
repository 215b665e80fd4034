"""A program that works on a repository and kills itself at a chosen call of the storage or of the target.

python -m tests.faults.killed_program WHAT CALL REPOSITORY FOLDER PASSWORD

WHAT is ``snapshot`` (of FOLDER), ``maintain``, ``restore`` or ``restore-size`` (of the newest snapshot to FOLDER). CALL is
the number of the call that changes something after which the process is dead; with ``restore`` the step of making a file;
with ``restore-size`` the bytes of a file beyond which it is.
"""

import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from pykopia.api.opening import connect
from pykopia.snapshot import restore_local, small_files
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
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


def kill_at_step(number: int) -> None:
    """Kill the process at the n-th step of making files, before it or in the middle of it.

    A step is a system call that makes, fills, changes or names a file. The definitions in Python stand in for their native
    twins, whose system calls are the same ones and can't be counted here.
    """
    for name in ("write_files", "publish", "make_folder", "finish_folder"):
        setattr(restore_local, name, getattr(small_files, f"python_{name}"))
    left = [number]
    lock = threading.Lock()

    def last() -> bool:
        with lock:
            left[0] -= 1
            return not left[0]

    def counted(step: Callable[..., Any], half: Callable[..., Any] | None = None) -> Callable[..., Any]:
        def call(*arguments: Any, **where: Any) -> Any:  # noqa: ANN401 -- passed on
            if last():
                if half is not None:
                    half(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments, **where)

        return call

    write, pwrite = os.write, os.pwrite
    os.write = counted(write, lambda file, data: write(file, data[: len(data) // 2]))
    os.pwrite = counted(pwrite, lambda file, data, place: pwrite(file, data[: len(data) // 2], place))
    for name in ("chmod", "utime", "link", "unlink", "replace", "ftruncate", "posix_fallocate"):
        setattr(os, name, counted(getattr(os, name)))


def kill_at_size(size: int) -> None:
    """Let the system kill the process when a file grows beyond so many bytes, in native code too."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


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
            (kill_at_size if what == "restore-size" else kill_at_step)(int(call))
            opened.snapshots.restore(newest.id, folder)


if __name__ == "__main__":
    main()
