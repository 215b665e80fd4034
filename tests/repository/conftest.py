"""Repositories in memory that tests write to."""

from collections.abc import Callable, Iterator

import pytest

from pykopia.api.opening import create
from pykopia.api.repository import Repository
from pykopia.repository.options import ClientOptions, NewRepositoryOptions
from pykopia.storage.backends.memory.storage import MemoryStorage

PASSWORD = "correct horse"
UNIQUE_ID = b"the same, so keys are cached ..."
CLIENT = ClientOptions(username="ann", hostname="box")

NewRepository = Callable[..., Repository]


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def new_repository(storage: MemoryStorage) -> Iterator[NewRepository]:
    """Create a repository in ``storage``; keyword arguments are those of NewRepositoryOptions."""
    opened: list[Repository] = []

    def new(**options: object) -> Repository:
        made = NewRepositoryOptions(unique_id=UNIQUE_ID, **options)  # type: ignore[arg-type]
        opened.append(create(storage, PASSWORD, options=made, client=CLIENT, defaults=False))
        return opened[-1]

    yield new
    for repository in opened:
        repository.close()


@pytest.fixture
def repository(new_repository: NewRepository) -> Repository:
    return new_repository()
