from pathlib import Path

import pytest

from tests.cli_runner import Runner


@pytest.fixture
def cli(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "client")
