"""Files of a snapshot by `kopia://` and by a mount: at random places, in a row, and names of many; the local disk beside them.

The rows of a storage that is far away take 50 ms for each request, at 100 MB/s; ``extra_info`` tells requests and bytes.
"""

import os
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pykopia
from pykopia.access.filesystem import KopiaFileSystem
from pykopia.access.mount_tree import MountTree
from pykopia.access.mounting import mount
from pykopia.access.view import RepositoryView
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing.counting import CountingStorage
from pykopia.testing.latency import LatencyStorage

LARGE = 64 << 20
PLACES = [(random.Random(number).randrange(LARGE), 65_536) for number in range(200)]
FOLDERS, FILES = 50, 100
SECONDS, BYTES_PER_SECOND = 0.05, 100e6


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    (folder / "large").write_bytes(random.Random(1).randbytes(LARGE))
    for number in range(FOLDERS):
        (folder / f"folder{number}").mkdir()
        for each in range(FILES):
            (folder / f"folder{number}" / f"file{each}").write_bytes(b"x")
    return folder


@pytest.fixture(scope="module")
def repository(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pykopia.Repository]:
    with pykopia.create(tmp_path_factory.mktemp("repository"), "a good password") as repository:
        where = pykopia.SourceInfo(user_name="ann", host="box", path="/data")
        repository.snapshots.create(source, options=pykopia.SnapshotOptions(source=where))
        yield repository


@pytest.fixture(scope="module")
def mounted(repository: pykopia.Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Mount the snapshot; the thread that answers shares this process, whose programs wait meanwhile."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse can't be opened")
    folder, ready, done = tmp_path_factory.mktemp("mounted"), threading.Event(), threading.Event()
    entry = repository.snapshots.latest().root_entry
    assert entry is not None
    tree = MountTree(RepositoryView(repository), lambda _: entry)

    def serve() -> None:
        mount(tree, folder, name="benchmark", mounted=ready.set)
        done.set()

    threading.Thread(target=serve).start()
    ready.wait()
    yield folder
    subprocess.run(["umount", folder], check=True)
    done.wait()


def read_places(path: Path) -> int:
    with path.open("rb", buffering=0) as file:
        return sum(len(os.pread(file.fileno(), length, start)) for start, length in PLACES)


def in_a_row(read: Callable[[int], bytes]) -> int:
    total = 0
    while piece := read(1 << 20):
        total += len(piece)
    return total


def test_random_places_by_url(benchmark: BenchmarkFixture, repository: pykopia.Repository) -> None:
    def work() -> int:
        fs = KopiaFileSystem(repository)
        with fs.open("ann@box:/data@latest/large") as file:
            total = 0
            for start, length in PLACES:
                file.seek(start)
                total += len(file.read(length))
        fs.close()
        return total

    assert benchmark(work) > 12_000_000


def test_in_a_row_by_url(benchmark: BenchmarkFixture, repository: pykopia.Repository) -> None:
    def work() -> int:
        fs = KopiaFileSystem(repository)
        with fs.open("ann@box:/data@latest/large") as file:
            total = in_a_row(file.read)
        fs.close()
        return total

    assert benchmark(work) == LARGE


@pytest.fixture(scope="module")
def far(source: Path) -> CountingStorage:
    """Return a storage far away with a snapshot."""
    stored = MemoryStorage()
    with pykopia.create(stored, "a good password") as repository:
        where = pykopia.SourceInfo(user_name="ann", host="box", path="/data")
        repository.snapshots.create(source, options=pykopia.SnapshotOptions(source=where))
    return CountingStorage(LatencyStorage(stored, SECONDS, bytes_per_second=BYTES_PER_SECOND))


@pytest.mark.parametrize("what", ["random", "row", "find"])
def test_from_far_away(benchmark: BenchmarkFixture, far: CountingStorage, what: str) -> None:
    def work() -> int:
        far.clear()
        with pykopia.connect(far, "a good password") as repository:
            fs = KopiaFileSystem(repository)
            if what == "find":
                return len(fs.find("ann@box:/data@latest"))
            with fs.open("ann@box:/data@latest/large") as file:
                if what == "row":
                    return in_a_row(file.read)
                return sum(len(file.read(length)) for start, length in PLACES[:20] if file.seek(start) >= 0)

    found = benchmark.pedantic(work, rounds=1)
    benchmark.extra_info.update(
        requests=far.count(), fetched_bytes=sum(max(call.length, 0) for call in far.calls("get", "p"))
    )
    assert found == {"random": 20 * 65_536, "row": LARGE, "find": FOLDERS * FILES + 1}[what]


def test_find_by_url(benchmark: BenchmarkFixture, repository: pykopia.Repository) -> None:
    fs = KopiaFileSystem(repository)
    assert len(benchmark(fs.find, "ann@box:/data@latest")) == FOLDERS * FILES + 1


@pytest.mark.parametrize("place", ["mount", "disk"])
def test_random_places_of_a_file(benchmark: BenchmarkFixture, place: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue("mounted" if place == "mount" else "source")
    assert benchmark(read_places, folder / "large") > 12_000_000


@pytest.mark.parametrize("place", ["mount", "disk"])
def test_names_and_sizes(benchmark: BenchmarkFixture, place: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue("mounted" if place == "mount" else "source")
    find = ["find", str(folder), "-type", "f", "-size", "-2"]
    found = benchmark(lambda: subprocess.run(find, capture_output=True, check=True).stdout.count(b"\n"))
    assert found == FOLDERS * FILES
