"""A volume, a cache and a repository in folders of the test, and the mover run on them in this process."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pykopia_mover import connecting
from pykopia_mover.run import Stop

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
def time() -> Iterator[FakeClock]:
    """Let the time be that of a clock which goes on by a millisecond with every look."""
    fake = FakeClock(step_ns=1_000_000)
    with fake.installed():
        yield fake


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait before an attempt is repeated."""
    monkeypatch.setattr(Stop, "wait", lambda stop, _: stop())
    monkeypatch.setitem(RetryingStorage.__init__.__kwdefaults__ or {}, "sleep", lambda _: None)
