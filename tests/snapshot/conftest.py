"""A repository in memory and a source to take snapshots of."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pykopia.api.opening import create
from pykopia.api.repository import Repository
from pykopia.repository.options import ClientOptions, NewRepositoryOptions
from pykopia.storage.backends.memory.storage import MemoryStorage

PASSWORD = "correct horse"
UNIQUE_ID = b"the same, so keys are cached ..."
CLIENT = ClientOptions(username="ann", hostname="box")


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def repository(storage: MemoryStorage) -> Iterator[Repository]:
    options = NewRepositoryOptions(splitter="DYNAMIC-128K-BUZHASH", unique_id=UNIQUE_ID)
    with create(storage, PASSWORD, options=options, client=CLIENT) as repository:
        repository.policies.set_defaults()
        yield repository


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder
