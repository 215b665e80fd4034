"""A program that takes a snapshot with pykopia and kills itself at a chosen write, as a power cut would.

python -m tests.interop.killed_writer REPOSITORY SOURCE PASSWORD USER HOST MOMENT PREFIXES COUNT CHECKPOINTS

MOMENT is ``before``, ``during`` or ``after`` the write; PREFIXES are those of the blob, separated by commas; COUNT says
which write of such a blob it is, 1 for the first; CHECKPOINTS is ``often`` or ``never``.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

from pykopia.api.opening import connect
from pykopia.repository.options import ClientOptions
from pykopia.snapshot.upload_options import CHECKPOINT_INTERVAL_SECONDS, SnapshotOptions
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.testing.intercepting import Call, InterceptingStorage

_T = TypeVar("_T")


class KillingStorage(InterceptingStorage):
    """Kills the process at a write."""

    moment: str
    prefixes: tuple[str, ...]
    count: int

    def intercept(self, call: Call, proceed: Callable[[], _T]) -> _T:
        """Carry the call out, unless it is the one."""
        if call.method != "put" or not call.blob_id.startswith(self.prefixes):
            return proceed()
        self.count -= 1
        if self.count:
            return proceed()
        if self.moment == "during":
            os.rename = die  # then the temporary file is there, and the blob is not
        if self.moment != "before":
            proceed()
        return die()


def die(*_: object, **__: object) -> NoReturn:
    """End this process at once, with nothing tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes on")


def main() -> None:
    """Take the snapshot that is never finished."""
    repository, source, password, user, host, moment, prefixes, count, checkpoints = sys.argv[1:]
    storage = KillingStorage(FilesystemStorage(repository))
    storage.moment, storage.prefixes, storage.count = moment, tuple(prefixes.split(",")), int(count)
    options = SnapshotOptions(checkpoint_interval_seconds=0 if checkpoints == "often" else CHECKPOINT_INTERVAL_SECONDS)
    with connect(storage, password, client=ClientOptions(username=user, hostname=host)) as opened:
        opened.snapshots.create(source, options=options)


if __name__ == "__main__":
    main()
