"""A repository in memory whose storage counts, and a filesystem on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pykopia
from pykopia.access.filesystem import KopiaFileSystem
from pykopia.api.repository import Repository
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing import CountingStorage

PASSWORD = "correct horse"
CLIENT = pykopia.ClientOptions(username="ann", hostname="box")
OPTIONS = pykopia.NewRepositoryOptions(splitter="FIXED-1M", unique_id=b"the same, so keys are cached ...")
DAY_NS = 86_400 * 1_000_000_000
BEGIN_NS = 1_790_000_000_000_000_000
"""2026-09-21T13:33:20Z."""


class RemoteStorage(CountingStorage):
    """Counts calls, and says that each costs a journey: reads near each other are put together then."""

    @property
    def is_local(self) -> bool:
        return False

    @property
    def has_cheap_requests(self) -> bool:
        return False


@pytest.fixture
def storage() -> CountingStorage:
    return RemoteStorage(MemoryStorage())


@pytest.fixture
def repository(storage: CountingStorage) -> Iterator[Repository]:
    with pykopia.create(storage, PASSWORD, options=OPTIONS, client=CLIENT) as repository:
        yield repository


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def take(repository: Repository, source: Path) -> Callable[..., pykopia.SnapshotManifest]:
    """Return a function that takes a snapshot of the source as of some day after the first one."""

    def take(day: int = 0, *, as_path: str = "/data", tags: dict[str, str] | None = None) -> pykopia.SnapshotManifest:
        began = BEGIN_NS + day * DAY_NS
        options = pykopia.SnapshotOptions(
            source=pykopia.SourceInfo(user_name="ann", host="box", path=as_path),
            start_time_ns=began,
            end_time_ns=began + 1,
            tags=tags or {},
        )
        return repository.snapshots.create(source, options=options).manifest

    return take


@pytest.fixture
def fs(storage: CountingStorage, repository: Repository) -> Iterator[KopiaFileSystem]:
    """Return the filesystem of the repository, opened again by a reader of its own."""
    with pykopia.connect(storage, PASSWORD, client=CLIENT) as reader:
        fs = KopiaFileSystem(repo=reader)
        yield fs
        fs.close()
