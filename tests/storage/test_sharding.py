"""The file ``.shards`` is read once, and written once, before the first put."""

import logging

import pytest

from pykopia.errors import StorageError, StorageFullError
from pykopia.storage.layout import ShardParameters
from pykopia.storage.sharding import ShardsFile


class Disk:
    """A place for one file that remembers what was done with it."""

    def __init__(self, content: bytes | None = None) -> None:
        self.content = content
        self.reads = self.writes = 0
        self.full = False

    def read(self) -> bytes | None:
        self.reads += 1
        return self.content

    def write(self, content: bytes) -> None:
        self.writes += 1
        if self.full:
            raise StorageFullError("full")
        self.content = content

    def shards(self, dir_shards: tuple[int, ...] | None = None, *, create: bool = False) -> ShardsFile:
        return ShardsFile(read=self.read, write=self.write, dir_shards=dir_shards, create=create)


def test_nothing_is_read_before_the_first_use() -> None:
    disk = Disk()
    shards = disk.shards()
    assert disk.reads == 0
    for _ in range(3):
        shards.parameters()
    assert (disk.reads, disk.writes) == (1, 0)


def test_an_existing_file_is_never_written() -> None:
    disk = Disk(b'{"default":[2]}')
    shards = disk.shards((5,), create=True)
    assert shards.ensure_stored() == ShardParameters(default=(2,), max_non_sharded_length=0)
    assert (disk.reads, disk.writes) == (1, 0)


def test_a_missing_file_is_written_once() -> None:
    disk = Disk()
    shards = disk.shards(create=True)
    for _ in range(3):
        assert shards.ensure_stored().default == (1, 3)
    assert disk.writes == 1
    assert disk.content == b'{"default":[1,3],"maxNonShardedLength":20}\n'


def test_a_file_that_appeared_meanwhile_is_obeyed() -> None:
    disk = Disk()
    shards = disk.shards(create=True)
    assert shards.parameters().default == (1, 3)
    disk.content = b'{"default":[7],"maxNonShardedLength":20}'
    assert shards.ensure_stored().default == (7,)
    assert shards.parameters().default == (7,)
    assert disk.writes == 0


def test_a_file_that_can_not_be_written_matters_only_if_others_would_assume_something_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = Disk()
    disk.full = True
    new = disk.shards(create=True)
    with pytest.raises(StorageFullError):
        new.ensure_stored()
    with caplog.at_level(logging.WARNING):
        assert disk.shards().ensure_stored().default == (3, 3)
    assert "can't write .shards" in caplog.text
    disk.full = False
    assert new.ensure_stored().default == (1, 3)
    assert disk.content is not None


def test_a_malformed_file_is_reported_at_every_use() -> None:
    shards = Disk(b"[").shards()
    for _ in range(2):
        with pytest.raises(StorageError):
            shards.parameters()
        with pytest.raises(StorageError):
            shards.ensure_stored()
