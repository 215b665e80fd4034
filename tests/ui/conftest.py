"""A repository in memory whose storage counts, and its page as a browser that has opened it sees it."""

from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import pykopia
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing import CountingStorage
from pykopia.ui.page import page
from pykopia.ui.site import Site
from tests.ui.browsing import BEGIN_NS, CLIENT, DAY_NS, NEW, PASSWORD, SOURCE, Page, Take


@pytest.fixture
def storage() -> CountingStorage:
    return CountingStorage(MemoryStorage())


@pytest.fixture
def repository(storage: CountingStorage) -> Iterator[pykopia.Repository]:
    with pykopia.create(storage, PASSWORD, options=NEW, client=CLIENT) as repository:
        yield repository


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder that is backed up."""
    folder = tmp_path / "source"
    (folder / "letters").mkdir(parents=True)
    (folder / "letters" / "first.txt").write_text("Dear reader")
    (folder / "empty").write_bytes(b"")
    (folder / "big").write_bytes(b"0123456789abcdef" * 250_000)
    (folder / "link").symlink_to("letters/first.txt")
    return folder


@pytest.fixture
def take(repository: pykopia.Repository, folder: Path) -> Take:
    """Return a function that takes a snapshot as of some day after the first one."""

    def take(day: int = 0, *, source: pykopia.SourceInfo = SOURCE, description: str = "") -> pykopia.SnapshotManifest:
        began = BEGIN_NS + day * DAY_NS
        options = pykopia.SnapshotOptions(
            source=source, start_time_ns=began, end_time_ns=began + 1, description=description
        )
        return repository.snapshots.create(folder, options=options).manifest

    return take


@pytest.fixture
def moment() -> list[int]:
    """Return the present in a list, so that a test can set it."""
    return [BEGIN_NS + 30 * DAY_NS]


@pytest.fixture
def site(repository: pykopia.Repository, moment: list[int]) -> Iterator[Site]:
    site = Site(repository, now=lambda: moment[0], zone=UTC)
    yield site
    assert site.jobs.close(30)


@pytest.fixture
def opened(site: Site) -> Callable[[Site], Page]:
    """Return a function that opens the page of a site."""

    def opened(site: Site) -> Page:
        client = TestClient(page(site), base_url="http://127.0.0.1:8000", follow_redirects=False)
        assert client.get(f"/?token={site.keys.token}").status_code == 200
        return Page(client, site)

    return opened


@pytest.fixture
def browser(site: Site, opened: Callable[[Site], Page]) -> Page:
    """Return the page, opened."""
    return opened(site)
