"""Golden repositories, opened so that nothing can write to them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.repository.options import ClientOptions
from pykopia.storage.opening import open_storage
from pykopia.storage.readonly import ReadOnlyStorage
from pykopia.storage.url import storage_from_url
from tests.golden_repositories import load


@pytest.fixture(scope="session")
def opened(pristine_golden_repository: Callable[[str], Path]) -> Iterator[Callable[[str], Repository]]:
    """Return a function that opens a golden repository once in a session, as the user who made it."""
    with ExitStack() as stack:

        @cache
        def open_one(name: str) -> Repository:
            golden = load(name)
            storage = ReadOnlyStorage(open_storage(storage_from_url(str(pristine_golden_repository(name)))))
            client = ClientOptions(username=golden.user, hostname=golden.host, read_only=True)
            return stack.enter_context(connect(storage, golden.password, client=client))

        yield open_one


@pytest.fixture
def writable(golden_repository: Callable[[str], Path]) -> Iterator[Callable[[str], Repository]]:
    """Return a function that opens a copy of a golden repository, as the user who made it."""
    with ExitStack() as stack:

        @cache
        def open_one(name: str) -> Repository:
            golden = load(name)
            client = ClientOptions(username=golden.user, hostname=golden.host)
            return stack.enter_context(connect(golden_repository(name), golden.password, client=client))

        yield open_one
