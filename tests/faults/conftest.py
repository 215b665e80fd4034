"""The time of repositories in memory."""

from collections.abc import Iterator

import pytest

from pykopia.testing import FakeClock

from .harness import STEP_NS


@pytest.fixture
def time() -> Iterator[FakeClock]:
    """Let the time of this process be that of a clock that goes on with each look."""
    fake = FakeClock(step_ns=STEP_NS)
    with fake.installed():
        yield fake
