"""A volume, a cache and a repository in folders of the test, and the mover run on them in this process."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pykopia_mover import connecting
from pykopia_mover.run import Stop

from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, PutOptions
from pykopia.storage.retrying import RetryingStorage
from pykopia.testing import FakeClock
from tests.mover.harness import Mover

UNIQUE_ID = b"the same, so keys are derived once"[:32]


@pytest.fixture
def mover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mover:
    """Return a mover of the object ``app`` in the namespace ``ns`` with a filesystem repository of its own.

    All its repositories have one ID, so that the key of their password is derived once for all tests.
    """
    real = connecting.creation_options
    monkeypatch.setattr(connecting, "creation_options", lambda run: replace(real(run), unique_id=UNIQUE_ID))
    return Mover.below(tmp_path)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeClock]:
    """Let the time be that of a clock which goes on by a millisecond with every look, for new blobs of a folder too."""
    fake = FakeClock(step_ns=1_000_000)
    real = FilesystemStorage.put

    def put(
        self: FilesystemStorage, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS
    ) -> BlobMetadata | None:
        return real(self, blob_id, data, replace(options, set_mtime_ns=fake()))

    monkeypatch.setattr(FilesystemStorage, "put", put)
    with fake.installed():
        yield fake


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait before an attempt is repeated."""
    monkeypatch.setattr(Stop, "wait", lambda stop, _: stop())
    monkeypatch.setitem(RetryingStorage.__init__.__kwdefaults__ or {}, "sleep", lambda _: None)


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Barrier]:
    """Let three movers all see that there is no repository before any of them creates one."""
    barrier = threading.Barrier(3, timeout=30)
    real = connecting._require_parent

    def wait(*arguments: Any) -> None:  # noqa: ANN401
        real(*arguments)
        barrier.wait()

    monkeypatch.setattr(connecting, "_require_parent", wait)
    yield barrier
    barrier.abort()
