"""A restore of 30,000 files of 4 KiB from a storage that takes 50 ms for each request and passes 100 MB/s.

``extra_info`` tells how many requests there were, and how many bytes of packs were fetched beside those that are stored.
"""

import os
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pykopia
from pykopia.ids import BlobID
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing.counting import CountingStorage
from pykopia.testing.latency import LatencyStorage

FILES, FOLDERS, SIZE = 30_000, 100, 4096
SECONDS, BYTES_PER_SECOND = 0.05, 100e6
PASSWORD = "a good password"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> MemoryStorage:
    source = tmp_path_factory.mktemp("source")
    for number in range(FILES):
        folder = source / f"{number % FOLDERS:03}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number:06}").write_bytes(os.urandom(SIZE))
    storage = MemoryStorage()
    with pykopia.create(storage, PASSWORD) as repository:
        repository.snapshots.create(source)
    return storage


@pytest.mark.parametrize("parallel", [1, 8])
def test_restore_over_latency(
    benchmark: BenchmarkFixture, stored: MemoryStorage, tmp_path: Path, parallel: int
) -> None:
    storage = CountingStorage(LatencyStorage(stored, SECONDS, bytes_per_second=BYTES_PER_SECOND))
    rounds = iter(range(100))

    def restore() -> None:
        storage.clear()
        with pykopia.connect(storage, PASSWORD) as repository:
            [snapshot] = repository.snapshots.list()
            target = tmp_path / str(next(rounds))
            repository.snapshots.restore(snapshot.id, target, options=RestoreOptions(parallel=parallel))

    benchmark.pedantic(restore, rounds=1)
    packs = {call.blob_id for call in storage.calls("get", "p")}
    fetched = sum(call.length for call in storage.calls("get", "p"))
    benchmark.extra_info.update(
        requests=storage.count(),
        pack_requests=storage.count("get", "p"),
        fetched_bytes=fetched,
        stored_bytes=sum(stored.metadata(BlobID(pack)).length for pack in packs),
    )
    assert fetched <= benchmark.extra_info["stored_bytes"]
