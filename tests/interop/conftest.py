"""The fixture `kopia`: a real one, or a skipped test that says how to get it."""

from pathlib import Path

import pytest

from tests.cli_runner import Runner

from .kopia_cli import KopiaCLI, find_kopia


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for a real kopia, before marks select the tests."""
    for item in items:
        if "kopia_executable" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.interop)


@pytest.fixture(scope="session")
def kopia_executable() -> Path:
    """Return the real kopia, or skip the test."""
    found = find_kopia()
    if found is None:
        pytest.skip("no real kopia: set KOPIA_EXE to its executable or put `kopia` on PATH")
    return found


@pytest.fixture
def kopia(kopia_executable: Path, tmp_path: Path) -> KopiaCLI:
    """Return a client of a real kopia that is not connected yet."""
    folder = tmp_path / "kopia-client"
    folder.mkdir()
    return KopiaCLI(executable=kopia_executable, folder=folder)


@pytest.fixture
def ours(kopia: KopiaCLI, tmp_path: Path) -> Runner:
    """Return a client of our command line with kopia's password that is not connected yet."""
    return Runner(tmp_path / "our-client", password=kopia.password)
