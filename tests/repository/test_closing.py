"""What was closed raises one error, and a storage that the caller has opened stays open."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pykopia.api.opening import connect, create, open_connected
from pykopia.api.repository import Repository
from pykopia.errors import ClosedError, InvalidPasswordError, ReadOnlyStorageError, RepositoryExistsError, UsageError
from pykopia.format.policy_target import GLOBAL_TARGET
from pykopia.ids import BlobID
from pykopia.repository.options import ClientOptions
from pykopia.repository.writer import RepositoryWriter
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.backends.memory.storage import MemoryStorage
from tests.repository.conftest import CLIENT, PASSWORD

LABELS = {"type": "test"}


class Closable(MemoryStorage):
    """Counts how often it was closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    "use",
    [
        lambda writer: writer.objects.write(b"data"),
        lambda writer: writer.objects.write(b"large" * (4 << 20)),
        lambda writer: writer.contents.write(b"data"),
        lambda writer: writer.contents.delete("0" * 32),
        lambda writer: writer.contents.undelete("0" * 32),
        lambda writer: writer.contents.rewrite("0" * 32),
        lambda writer: writer.manifests.put(LABELS, b"{}"),
        lambda writer: writer.manifests.replace(LABELS, b"{}"),
        lambda writer: writer.manifests.delete("0" * 32),
        lambda writer: writer.manifests.find(LABELS),
        lambda writer: writer.manifests.get("0" * 32),
        lambda writer: writer.flush(),
        lambda writer: writer.__enter__(),
    ],
)
@pytest.mark.parametrize("failed", [False, True])
def test_a_writer_that_has_ended_takes_nothing(
    repository: Repository, use: Callable[[RepositoryWriter], object], failed: bool
) -> None:
    with pytest.raises(UsageError) if failed else repository.writer() as _, repository.writer() as writer:
        writer.objects.write(b"before")
        if failed:
            raise UsageError("the program fails")
    with pytest.raises(ClosedError, match="the writer is closed"):
        use(writer)
    writer.close()


@pytest.mark.parametrize(
    "use",
    [
        lambda repository: repository.objects.read(repository.kept),
        lambda repository: repository.file.read(),
        lambda repository: repository.contents.get(repository.kept),
        lambda repository: list(repository.contents.list()),
        lambda repository: repository.manifests.find(LABELS),
        lambda repository: repository.snapshots.list(),
        lambda repository: repository.policies.list(),
        lambda repository: repository.maintenance.run("full"),
        lambda repository: repository.writer(),
        lambda repository: repository.refresh(),
        lambda repository: repository.storage.get("kopia.repository"),
        lambda repository: repository.storage.put("x", b""),
        lambda repository: repository.storage.delete("kopia.repository"),
        lambda repository: repository.check_not_locked(),
        lambda repository: repository.change_password("other"),
        lambda repository: repository.__enter__(),
    ],
)
def test_a_closed_repository_reads_and_writes_nothing(
    repository: Repository, use: Callable[[Repository], object]
) -> None:
    with repository.writer() as writer:
        repository.kept = writer.objects.write(b"data")  # type: ignore[attr-defined]
        writer.manifests.put(LABELS, b"{}")
    assert repository.manifests.find(LABELS)
    repository.file = repository.objects.open(repository.kept)  # type: ignore[attr-defined]
    repository.close()
    repository.close()
    with pytest.raises(ClosedError, match="the repository in Memory"):
        use(repository)
    assert str(repository)


def test_what_a_closed_repository_takes_up_can_still_be_asked(repository: Repository, storage: MemoryStorage) -> None:
    repository.close()
    blobs = list(repository.storage.list())
    assert blobs == list(storage.list())
    assert [repository.storage.metadata(blob.blob_id) for blob in blobs] == blobs


def test_a_writer_of_a_closed_repository_stores_nothing(repository: Repository, storage: MemoryStorage) -> None:
    writer = repository.writer()
    writer.manifests.put(LABELS, b"{}")
    before = {blob.blob_id for blob in storage.list()}
    repository.close()
    with pytest.raises(ClosedError):
        writer.flush()
    assert {blob.blob_id for blob in storage.list()} == before
    writer.close()


def test_a_storage_that_the_caller_has_opened_stays_open() -> None:
    storage = Closable()
    create(storage, PASSWORD, client=CLIENT).close()
    connect(storage, PASSWORD, client=CLIENT).close()
    with pytest.raises(InvalidPasswordError):
        connect(storage, "another", client=CLIENT)
    with pytest.raises(RepositoryExistsError):
        create(storage, PASSWORD, client=CLIENT)
    assert storage.closed == 0


def test_a_storage_that_was_opened_for_a_wrong_password_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "repository.config"
    create(tmp_path / "stored", PASSWORD, config=config, client=CLIENT).close()
    closed: list[FilesystemStorage] = []
    monkeypatch.setattr(FilesystemStorage, "close", lambda storage: closed.append(storage))
    with pytest.raises(InvalidPasswordError):
        open_connected(config, "another")
    assert len(closed) == 1


def test_a_read_only_repository_hands_out_a_storage_that_refuses_writes(
    repository: Repository, storage: MemoryStorage
) -> None:
    assert not repository.storage.read_only
    with connect(storage, PASSWORD, client=ClientOptions(read_only=True)) as opened:
        assert opened.storage.read_only
        assert opened.read_only
        with pytest.raises(ReadOnlyStorageError):
            opened.storage.put(BlobID("z"), b"data")
        with pytest.raises(ReadOnlyStorageError):
            opened.storage.delete(BlobID("kopia.repository"))


@pytest.mark.parametrize("read_only", [False, True])
def test_who_makes_a_repository_owns_its_maintenance(read_only: bool) -> None:
    storage = MemoryStorage()
    client = ClientOptions(username="ann", hostname="box", read_only=read_only)
    with create(storage, PASSWORD, client=client) as repository:
        assert repository.read_only == read_only
    with connect(storage, PASSWORD, client=CLIENT) as repository:
        assert repository.maintenance.parameters().owner == "ann@box"
        assert [each.target for each in repository.policies.list()] == [GLOBAL_TARGET]
        assert repository.maintenance.run().mode is not None


def test_it_is_told_when_nobody_maintains_a_repository(
    repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    assert repository.maintenance.run().mode is None
    assert "maintenance set --owner=me" in caplog.text
