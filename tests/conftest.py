"""What holds for all tests."""

import functools
import gc
import hashlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from pykopia.format import keys
from pykopia.repository import creation
from pykopia.storage import trust
from tests import golden_repositories
from tests.servers.fixtures import *  # noqa: F403 -- servers for every test that asks for one

# Hundreds of tests start programs, and every worker imports all packages: without kept bytecode each start compiles
# them again, for about three seconds.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

hypothesis.settings.register_profile("default", deadline=None, max_examples=30)  # others in each run
hypothesis.settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("quick", deadline=None, derandomize=True, max_examples=10)
hypothesis.settings.register_profile("few", deadline=None, max_examples=20)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))

# A password derivation takes a third of a second by intention. Tests that open one repository many times derive its key once.
keys.KEY_DERIVATIONS = {name: functools.cache(derive) for name, derive in keys.KEY_DERIVATIONS.items()}


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of garbage collections: movers collect, and it takes a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def no_public_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let no client trust the public authorities: servers of tests need none, and each client reads 300 of them."""
    folder = tmp_path_factory.mktemp("authorities")
    (folder / "none.pem").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(folder / "none.pem"))
        patch.setenv("SSL_CERT_DIR", str(folder))
        patch.setattr(trust, "_certifi_file", lambda: None)
        yield


@pytest.fixture(autouse=True)
def numbered_repositories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the repositories of a test the IDs of those of other tests, so that their keys are derived once for all."""
    numbers = itertools.count(1)
    monkeypatch.setattr(creation, "new_unique_id", lambda: hashlib.sha256(b"%d" % next(numbers)).digest())


@pytest.fixture(scope="session")
def pristine_golden_repository(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that unpacks a golden repository once in a session; nobody may write to what it returns."""
    folder = tmp_path_factory.mktemp("golden")
    return functools.cache(lambda name: golden_repositories.unpack(name, folder / name))


@pytest.fixture
def golden_repository(pristine_golden_repository: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that gives this test its own copy of a golden repository, by name."""
    return functools.cache(
        lambda name: golden_repositories.copy_repository(pristine_golden_repository(name), tmp_path / f"golden-{name}")
    )
