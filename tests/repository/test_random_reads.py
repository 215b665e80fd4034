"""Reading here and there in a large object from a storage behind a network fetches little."""

import random
from collections.abc import Callable

import pytest

import pykopia
from pykopia.ids import BlobID
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing.counting import CountingStorage

SIZE = 23_000_000
READS = 20
EDGE = 64 << 10
"""Bytes of each read, at the head and at the tail, as readers of columnar files do."""
DATA = random.Random(23).randbytes(SIZE)


class FarStorage(CountingStorage):
    """Blobs behind a network."""

    @property
    def is_local(self) -> bool:
        return False

    @property
    def has_cheap_requests(self) -> bool:
        return False

    def fetched(self) -> int:
        """Return the bytes that were fetched."""
        lengths = (
            call.length if call.length >= 0 else self.inner.metadata(BlobID(call.blob_id)).length
            for call in self.calls("get")
        )
        return sum(lengths)


def by_one_file(repository: pykopia.Repository, object_id: str) -> None:
    with repository.objects.open(object_id) as file:
        for _ in range(READS):
            file.seek(0)
            assert file.read(EDGE) == DATA[:EDGE]
            file.seek(-EDGE, 2)
            assert file.read() == DATA[-EDGE:]


def by_a_path(repository: pykopia.Repository, object_id: str) -> None:
    with repository.snapshots.tree(object_id).open("rb") as file:
        for _ in range(READS):
            file.seek(-EDGE, 2)
            assert file.read() == DATA[-EDGE:]
            file.seek(0)
            assert file.read(EDGE) == DATA[:EDGE]


def by_ranges(repository: pykopia.Repository, object_id: str) -> None:
    found = repository.objects.read_ranges(object_id, [(0, EDGE), (SIZE - EDGE, SIZE)] * READS)
    assert found == [DATA[:EDGE], DATA[-EDGE:]] * READS


@pytest.mark.parametrize("read", [by_one_file, by_a_path, by_ranges])
def test_heads_and_tails_of_a_large_object_are_fetched_once(read: Callable[[pykopia.Repository, str], None]) -> None:
    storage = FarStorage(MemoryStorage())
    with pykopia.create(storage, "correct horse") as repository, repository.writer() as writer:
        object_id = writer.objects.write(DATA)
    with pykopia.connect(storage, "correct horse") as repository:
        storage.clear()
        read(repository, object_id)
    assert storage.count("get", "p") <= 4
    assert storage.fetched() <= 12_000_000
