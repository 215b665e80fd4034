"""The marker of a session: stored before its packs, gone once the index is there, and asked for without waiting."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import SourceNotFoundError, StorageError, StorageFullError
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing.intercepting import Call, InterceptingStorage
from tests.repository.conftest import CLIENT, PASSWORD, NewRepository


class FarStorage(InterceptingStorage):
    """Notes what is written, and fails at chosen blobs; ``far`` as a bucket is."""

    far = True

    def __init__(self, inner: MemoryStorage) -> None:
        super().__init__(inner)
        self.written: list[tuple[str, str]] = []
        self.full_for = ""
        """First letter of the blobs that there is no room for."""

    @property
    def is_local(self) -> bool:
        """Whether it is near."""
        return not self.far

    def intercept(self, call: Call, proceed: Callable[[], Any]) -> Any:  # noqa: ANN401 -- of any call
        """Fail or pass a call on, and note it when it is done."""
        if call.method == "put" and self.full_for and call.blob_id.startswith(self.full_for):
            raise StorageFullError(f"no room for {call.blob_id}")
        result = proceed()
        if call.method in {"put", "delete"}:
            self.written.append((call.method, call.blob_id[0]))
        return result


@pytest.fixture(params=["far", "near"])
def far(request: pytest.FixtureRequest, new_repository: NewRepository, storage: MemoryStorage) -> FarStorage:
    new_repository()
    made = FarStorage(storage)
    made.far = request.param == "far"
    return made


@pytest.fixture
def repository(far: FarStorage) -> Repository:
    return connect(far, PASSWORD, client=CLIENT)


@pytest.mark.parametrize("announced", [False, True])
def test_it_is_there_before_any_pack_and_until_the_index_is(
    far: FarStorage, repository: Repository, announced: bool
) -> None:
    with repository.writer() as writer:
        for _ in range(2 * announced):
            writer.contents.announce()
        writer.contents.write(b"data")
        writer.manifests.put({"type": "t"}, b"{}")
    assert far.written[0] == ("put", "s")
    assert sorted(far.written[1:3]) == [("put", "p"), ("put", "q")]
    assert far.written[3:] == [("put", "x"), ("delete", "s")]


def test_one_that_was_announced_in_vain_is_deleted(far: FarStorage, repository: Repository) -> None:
    with repository.writer() as writer:
        writer.contents.announce()
        writer.flush()
        writer.contents.announce()
    assert far.written == ([("put", "s"), ("delete", "s")] * 2 if far.far else [])


@pytest.mark.parametrize("flushed", [True, False])
def test_one_that_was_announced_is_deleted_where_only_deletions_follow(
    far: FarStorage, repository: Repository, storage: MemoryStorage, flushed: bool
) -> None:
    with repository.writer() as writer:
        content_id = writer.contents.write(b"data")
    writer = repository.writer()
    writer.contents.announce()
    writer.contents.delete(content_id)
    if flushed:
        writer.flush()
    writer.close()
    assert not list(storage.list("s"))


def test_no_pack_is_stored_without_it(far: FarStorage, repository: Repository, storage: MemoryStorage) -> None:
    far.full_for = "s"
    writer = repository.writer()
    writer.contents.announce()
    with pytest.raises(StorageFullError):
        writer.contents.write(b"data")
    far.full_for = ""
    writer.contents.write(b"data")
    writer.flush()
    writer.close()
    assert [each for each in far.written if each[0] == "put"] == [("put", "s"), ("put", "p"), ("put", "x")]
    assert not list(storage.list("s"))


def test_it_stays_where_the_index_could_not_be_stored(
    far: FarStorage, repository: Repository, storage: MemoryStorage
) -> None:
    far.full_for = "x"
    writer = repository.writer()
    writer.contents.announce()
    writer.contents.write(b"data")
    with pytest.raises(StorageError):
        writer.flush()
    writer.close()
    assert len(list(storage.list("s"))) == 1


def test_a_snapshot_of_nothing_that_can_be_read_leaves_none(
    repository: Repository, storage: MemoryStorage, tmp_path: Path
) -> None:
    with pytest.raises(SourceNotFoundError):
        repository.snapshots.create(tmp_path / "missing")
    assert not list(storage.list("s"))
