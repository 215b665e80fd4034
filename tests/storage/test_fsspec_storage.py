"""Any fsspec filesystem can be a storage: in memory and on disk, flat and in shards."""

import errno
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from pykopia.errors import (
    BlobNotFoundError,
    InvalidIDError,
    InvalidRangeError,
    StorageAccessDeniedError,
    StorageError,
    StorageFullError,
    StorageNotFoundError,
    StorageUnavailableError,
    UnsupportedOptionError,
)
from pykopia.ids import BlobID
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.base import BlobStorage
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.fsspec_storage import FsspecStorage, nanoseconds
from pykopia.storage.layout import FlatLayout
from pykopia.testing.storage_tests import FORMAT, PACK, StorageTests


def memory_filesystem() -> MemoryFileSystem:
    return MemoryFileSystem(global_store=False, skip_instance_cache=True)


class TestMemoryInShards(StorageTests):
    @pytest.fixture
    def storage(self) -> BlobStorage:
        return FsspecStorage(memory_filesystem(), "/backups", create=True)


class TestMemoryFlat(StorageTests):
    @pytest.fixture
    def storage(self) -> BlobStorage:
        return FsspecStorage(memory_filesystem(), "/bucket", layout=FlatLayout(), create=True)


class TestMemoryFlatWithPrefix(StorageTests):
    many_blobs = 120
    big_blob = 1 << 20

    @pytest.fixture(params=["folder/", "a/b/start-", "start-"])
    def storage(self, request: pytest.FixtureRequest) -> BlobStorage:
        layout = FlatLayout(prefix=request.param)
        return FsspecStorage(memory_filesystem(), "/bucket", layout=layout, create=True)


class TestLocalInShards(StorageTests):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> BlobStorage:
        return FsspecStorage(LocalFileSystem(), f"{tmp_path}/backups", create=True)


class TestLocalFlat(StorageTests):
    many_blobs = 120
    big_blob = 1 << 20

    @pytest.fixture
    def storage(self, tmp_path: Path) -> BlobStorage:
        return FsspecStorage(LocalFileSystem(), f"{tmp_path}/backups", layout=FlatLayout(), create=True)


class TestLocalFlatWithPrefix(StorageTests):
    many_blobs = 120
    big_blob = 1 << 20

    @pytest.fixture
    def storage(self, tmp_path: Path) -> BlobStorage:
        layout = FlatLayout(prefix="a/start-")
        return FsspecStorage(LocalFileSystem(), f"{tmp_path}/backups", layout=layout, create=True)


def test_it_finds_what_the_native_storage_wrote_and_the_other_way_round(tmp_path: Path) -> None:
    native = FilesystemStorage(tmp_path, create=True)
    native.put(PACK, b"by native")
    other = FsspecStorage(LocalFileSystem(), str(tmp_path))
    other.put(FORMAT, b"by fsspec")
    assert other.get(PACK) == b"by native"
    assert native.get(FORMAT) == b"by fsspec"
    assert sorted(blob.blob_id for blob in native.list()) == sorted(blob.blob_id for blob in other.list())


def test_other_objects_of_the_bucket_are_not_blobs() -> None:
    fs = memory_filesystem()
    storage = FsspecStorage(fs, "/bucket", layout=FlatLayout(prefix="mine/"), create=True)
    storage.put(PACK, b"x")
    fs.pipe_file("/bucket/other", b"x")
    fs.pipe_file("/bucket/mine/below/other", b"x")
    fs.pipe_file("/bucket/mine/umläut", b"x")
    fs.pipe_file("/bucket/mine2", b"x")
    assert [blob.blob_id for blob in storage.list()] == [PACK]
    assert fs.cat_file(f"/bucket/mine/{PACK}") == b"x"


@pytest.mark.parametrize("name", [".", ".."])
def test_a_flat_name_can_not_leave_the_folder(tmp_path: Path, name: str) -> None:
    storage = FsspecStorage(LocalFileSystem(), str(tmp_path), layout=FlatLayout())
    with pytest.raises(InvalidIDError):
        storage.put(BlobID(name), b"x")


def test_a_missing_root_is_told_from_a_missing_blob(tmp_path: Path) -> None:
    with pytest.raises(StorageNotFoundError, match="no folder or bucket"):
        FsspecStorage(LocalFileSystem(), f"{tmp_path}/missing")
    (tmp_path / "file").touch()
    with pytest.raises(StorageNotFoundError):
        FsspecStorage(LocalFileSystem(), f"{tmp_path}/file")
    storage = FsspecStorage(LocalFileSystem(), f"{tmp_path}/backups", create=True)
    storage.put(PACK, b"x")
    (tmp_path / "backups").rename(tmp_path / "away")
    for call in (
        lambda: storage.get(PACK),
        lambda: storage.metadata(PACK),
        lambda: storage.put(PACK, b"x"),
        lambda: storage.delete(PACK),
        lambda: [*storage.list()],
    ):
        with pytest.raises(StorageNotFoundError):
            call()
    assert not (tmp_path / "backups").exists()


class FailingFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """Raises what it is told to, and can be no more than moved to a final name."""

    protocol = "failing"
    error: Exception | None = None
    failing = ""

    def _fail(self, method: str) -> None:
        if self.error is not None and method == self.failing:
            raise self.error

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        self._fail("cat_file")
        return bytes(super().cat_file(path, start, end))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: object) -> None:
        super().pipe_file(path, value[: len(value) // 2], mode)
        self._fail("pipe_file")
        super().pipe_file(path, value, mode)

    def mv(self, path1: str, path2: str, **_: object) -> None:
        self._fail("mv")
        self.store[path2] = self.store.pop(path1)

    def ls(self, path: str, detail: bool = True, **_: object) -> Any:  # noqa: ANN401
        self._fail("ls")
        return super().ls(path, detail)

    def rm_file(self, path: str) -> None:
        self._fail("rm_file")
        super().rm_file(path)


@pytest.fixture
def failing() -> FailingFileSystem:
    return FailingFileSystem(global_store=False, skip_instance_cache=True)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StorageFullError),
        (OSError(errno.EACCES, "Permission denied"), StorageAccessDeniedError),
        (PermissionError("access denied by policy"), StorageAccessDeniedError),
        (ConnectionResetError(), StorageUnavailableError),
        (TimeoutError("timed out"), StorageUnavailableError),
        (OSError(errno.EIO, "Input/output error"), StorageUnavailableError),
        (OSError("odd"), StorageError),
    ],
)
@pytest.mark.parametrize("failing_method", ["cat_file", "pipe_file", "mv", "ls", "rm_file"])
def test_errors_of_the_filesystem_become_errors_of_a_storage(
    failing: FailingFileSystem, failing_method: str, error: Exception, expected: type[StorageError]
) -> None:
    storage = FsspecStorage(failing, "/r", create=True)
    storage.put(PACK, b"old")
    failing.error, failing.failing = error, failing_method
    calls: dict[str, Callable[[], object]] = {
        "cat_file": lambda: storage.get(PACK),
        "pipe_file": lambda: storage.put(PACK, b"newer"),
        "mv": lambda: storage.put(PACK, b"newer"),
        "ls": lambda: [*storage.list()],
        "rm_file": lambda: storage.delete(PACK),
    }
    with pytest.raises(StorageError) as caught:
        calls[failing_method]()
    assert type(caught.value) is expected
    assert caught.value.__cause__ is error
    failing.error = None
    assert storage.get(PACK) == b"old"
    assert [blob.blob_id for blob in storage.list()] == [PACK]
    assert [path for path in failing.store if ".tmp." in path] == []


def test_errors_of_a_library_are_named_without_their_text(failing: FailingFileSystem) -> None:
    class LibraryError(Exception):
        pass

    class WithLibrary(FsspecStorage):
        failures = (OSError, LibraryError)

    storage = WithLibrary(failing, "/r", create=True)
    storage.put(FORMAT, b"x")
    failing.error, failing.failing = LibraryError("key=secret"), "cat_file"
    with pytest.raises(StorageError, match=r"^can't read blob kopia.repository from failing: /r: LibraryError$"):
        storage.get(FORMAT)


def test_a_filesystem_that_ignores_ranges_is_noticed(failing: FailingFileSystem) -> None:
    class WholeFiles(FailingFileSystem):
        def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
            return super().cat_file(path)

    storage = FsspecStorage(WholeFiles(global_store=False, skip_instance_cache=True), "/r", create=True)
    storage.put(PACK, b"0123456789")
    with pytest.raises(InvalidRangeError):
        storage.get(PACK, 2, 3)


def test_a_filesystem_that_moves_by_copying_is_refused() -> None:
    class Copying(AbstractFileSystem):  # type: ignore[misc]
        protocol = ("copying", "cp")

    with pytest.raises(UnsupportedOptionError, match="type copying"):
        FsspecStorage(Copying(), "/r")
    with pytest.raises(UnsupportedOptionError, match="has no way to do it"):  # taken at its word, it goes on
        FsspecStorage(Copying(), "/r", atomic_put=True)


def test_a_malformed_shards_file_is_fatal() -> None:
    fs = memory_filesystem()
    storage = FsspecStorage(fs, "/r", create=True)
    fs.pipe_file("/r/.shards", b"{nonsense")
    for call in (lambda: storage.get(PACK), lambda: storage.put(PACK, b"x"), lambda: storage.delete(PACK)):
        with pytest.raises(StorageError, match=r"\.shards"):
            call()


def test_a_connection_is_given_back_if_there_is_one() -> None:
    info = ConnectionInfo(type="webdav", config={"url": "https://host"})
    assert FsspecStorage(memory_filesystem(), "/r", create=True, info=info).connection_info() is info
    with pytest.raises(UnsupportedOptionError):
        FsspecStorage(memory_filesystem(), "/r", create=True).connection_info()


def test_folders_that_vanish_while_listing_are_left_out(tmp_path: Path) -> None:
    storage = FsspecStorage(LocalFileSystem(), str(tmp_path), create=True)
    storage.put(FORMAT, b"x")
    storage.put(PACK, b"x")
    (tmp_path / "q").mkdir()
    found = {FORMAT: False, PACK: False}
    for blob in storage.list():
        found[blob.blob_id] = True
        if (tmp_path / "q").exists():
            (tmp_path / "q").rmdir()
    assert found == {FORMAT: True, PACK: True}


def test_a_missing_file_without_the_root_check_failing_is_a_missing_blob() -> None:
    storage = FsspecStorage(memory_filesystem(), "/r", create=True)
    with pytest.raises(BlobNotFoundError):
        storage.get(PACK)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (1.5, 1_500_000_000),
        (1_795_393_532.023764, 1_795_393_532_023_764_000),
        (7, 7_000_000_000),
        (datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC), 1_767_225_600_123_456_000),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 1_767_225_600_000_000_000),
        (datetime(2026, 1, 1), 1_767_225_600_000_000_000),  # noqa: DTZ001 -- taken as UTC
        ("2026-01-01T00:00:00.5Z", 1_767_225_600_500_000_000),
        ("2026-01-01T00:00:00+01:00", 1_767_222_000_000_000_000),
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), -1_000_000_000),
    ],
)
def test_times_of_all_kinds_become_nanoseconds(time: float | str | datetime, expected: int) -> None:
    assert nanoseconds(time) == expected


def test_a_time_that_a_listing_lacks_is_asked_for() -> None:
    class Timeless(MemoryFileSystem):  # type: ignore[misc]
        def info(self, path: str, **_: object) -> dict[str, Any]:
            found: dict[str, Any] = super().info(path)
            found.pop("created", None)
            return found

        def modified(self, path: str) -> datetime:
            assert path.endswith("kopia.repository.f")
            return datetime(2026, 1, 1, tzinfo=UTC)

    storage = FsspecStorage(Timeless(global_store=False, skip_instance_cache=True), "/r", create=True)
    storage.put(FORMAT, b"x")
    assert storage.metadata(FORMAT).timestamp_ns == 1_767_225_600_000_000_000
