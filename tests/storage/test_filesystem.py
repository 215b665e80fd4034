"""A folder as a storage: the contract and Kopia's layout."""

import errno
import json
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykopia.errors import (
    BlobNotFoundError,
    InvalidIDError,
    StorageAccessDeniedError,
    StorageError,
    StorageNotFoundError,
)
from pykopia.ids import BlobID
from pykopia.storage.backends.filesystem.options import FilesystemOptions
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.base import BlobStorage
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.layout import ShardParameters
from pykopia.storage.opening import open_storage
from pykopia.testing.storage_tests import FORMAT, PACK, StorageTests
from pykopia.testing.strategies import blob_ids, content_bytes, kopia_blob_ids

GOLDEN = Path(__file__).parents[1] / "golden"
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to act as another user or to give files away")


class FilesystemContract(StorageTests):
    supports_do_not_recreate = True
    supports_set_mtime = True


class TestFilesystemStorage(FilesystemContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> BlobStorage:
        return FilesystemStorage(tmp_path / "backups", create=True)


class TestOldLayout(FilesystemContract):
    many_blobs = 120
    big_blob = 1 << 20

    @pytest.fixture
    def storage(self, tmp_path: Path) -> BlobStorage:
        return FilesystemStorage(tmp_path)


class TestWithoutFolders(FilesystemContract):
    many_blobs = 120
    big_blob = 1 << 20

    @pytest.fixture
    def storage(self, tmp_path: Path) -> BlobStorage:
        return FilesystemStorage(tmp_path, create=True, options=FilesystemOptions(dir_shards=()))


class TestListingInParallel(FilesystemContract):
    many_blobs = 120
    big_blob = 1 << 20

    @pytest.fixture
    def storage(self, tmp_path: Path) -> BlobStorage:
        return FilesystemStorage(tmp_path, create=True, options=FilesystemOptions(list_parallelism=4))


class TestOpenedByConnection(FilesystemContract):
    many_blobs = 120
    big_blob = 1 << 20

    @pytest.fixture
    def storage(self, tmp_path: Path) -> BlobStorage:
        return open_storage(ConnectionInfo(type="filesystem", config={"path": str(tmp_path / "a" / "b")}), create=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def storage(root: Path) -> FilesystemStorage:
    return FilesystemStorage(root, create=True)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def default_shards(root: Path) -> object:
    return json.loads((root / ".shards").read_bytes())["default"]


# -- layout ------------------------------------------------------------------------------------------------------------


def test_a_new_storage_has_the_layout_of_kopia(storage: FilesystemStorage, root: Path) -> None:
    storage.put(FORMAT, b"x")
    storage.put(PACK, b"x")
    assert files(root) == [".shards", "kopia.repository.f", f"p/102/{PACK[4:]}.f"]
    assert (root / ".shards").read_bytes() == b'{"default":[1,3],"maxNonShardedLength":20}\n'


def test_a_storage_without_shards_file_is_taken_for_an_old_one(root: Path) -> None:
    old = root / "p10" / "2a5"
    old.mkdir(parents=True)
    (old / f"{PACK[6:]}.f").write_bytes(b"old")
    storage = FilesystemStorage(root)
    assert storage.get(PACK) == b"old"
    assert not (root / ".shards").exists()  # a storage that is only read is left as it is
    storage.put(FORMAT, b"x")
    assert (root / ".shards").read_bytes() == b'{"default":[3,3],"maxNonShardedLength":20}\n'


def test_the_shards_of_the_connection_count_only_without_shards_file(root: Path) -> None:
    options = FilesystemOptions(dir_shards=(2, 2))
    FilesystemStorage(root, create=True, options=options).put(PACK, b"x")
    assert default_shards(root) == [2, 2]
    assert (root / "p1" / "02" / f"{PACK[4:]}.f").exists()
    other = FilesystemStorage(root, create=True, options=FilesystemOptions(dir_shards=(5,)))
    assert other.get(PACK) == b"x"
    other.put(FORMAT, b"x")
    assert default_shards(root) == [2, 2]


def test_no_shards_means_one_folder(root: Path) -> None:
    FilesystemStorage(root, create=True, options=FilesystemOptions(dir_shards=())).put(PACK, b"x")
    assert files(root) == [".shards", f"{PACK}.f"]
    assert default_shards(root) == []


def test_what_stands_in_the_shards_file_is_obeyed(root: Path) -> None:
    root.mkdir()
    content = b'{"default":null,"maxNonShardedLength":2,"overrides":[{"prefix":"p","shards":[2,3]}],"later":1}'
    (root / ".shards").write_bytes(content)
    storage = FilesystemStorage(root, create=True)
    storage.put(PACK, b"x")
    storage.put(FORMAT, b"x")
    assert files(root) == [".shards", "kopia.repository.f", f"p1/02a/{PACK[5:]}.f"]
    assert (root / ".shards").read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"default":"x"}', b'{"default":[-1]}', b"\xff\xfe"])
def test_a_malformed_shards_file_is_fatal(root: Path, content: bytes) -> None:
    root.mkdir()
    (root / ".shards").write_bytes(content)
    storage = FilesystemStorage(root)
    for call in (
        lambda: storage.get(FORMAT),
        lambda: storage.metadata(FORMAT),
        lambda: storage.put(FORMAT, b"x"),
        lambda: storage.delete(FORMAT),
    ):
        with pytest.raises(StorageError, match=r"\.shards"):
            call()
    assert (root / ".shards").read_bytes() == content


def test_the_shards_file_of_a_faster_client_is_not_overwritten(root: Path) -> None:
    slow, fast = FilesystemStorage(root, create=True), FilesystemStorage(root)
    with pytest.raises(BlobNotFoundError):
        slow.get(PACK)  # decides for [1,3]
    fast.put(PACK, b"x")  # writes [3,3]
    slow.put(BlobID("q" * 30), b"y")
    assert default_shards(root) == [3, 3]
    assert slow.get(PACK) == b"x"
    assert fast.get(BlobID("q" * 30)) == b"y"


def test_a_shards_file_that_others_would_miss_must_be_written(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    new, old = FilesystemStorage(root, create=True), FilesystemStorage(root)
    real = os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if ".shards.tmp" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageAccessDeniedError, match=r"write \.shards"):
        new.put(PACK, b"x")
    assert files(root) == []
    old.put(PACK, b"x")  # every client assumes these shards anyway
    assert "does no harm" in caplog.text
    assert files(root) == [f"p10/2a5/{PACK[6:]}.f"]


def test_a_listing_finds_blobs_at_any_depth(storage: FilesystemStorage, root: Path) -> None:
    for path in ("abc.f", "p/q/r/s.f", "p102/a5fa.f", "n/abc/def.f"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    assert sorted(blob.blob_id for blob in storage.list()) == ["abc", "nabcdef", "p102a5fa", "pqrs"]
    assert [blob.blob_id for blob in storage.list("p1")] == ["p102a5fa"]
    assert [blob.blob_id for blob in storage.list("pqr")] == ["pqrs"]


def test_a_listing_enters_only_folders_that_may_hold_the_prefix(
    storage: FilesystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in "pqnx":
        for number in range(3):
            storage.put(BlobID(f"{kind}{number}" + "a" * 30), b"x")
    entered: list[str] = []
    real = os.scandir

    def scan(path: str) -> object:
        entered.append(os.path.relpath(path, storage.root))
        return real(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert len([*storage.list("q1")]) == 1
    assert sorted(entered) == [".", "q", "q/1aa"]


def test_what_is_no_complete_blob_is_not_listed(storage: FilesystemStorage, root: Path) -> None:
    storage.put(PACK, b"x")
    folder = root / "p" / "102"
    (folder / "abc.f.tmp.0123456789abcdef").write_bytes(b"half")
    (folder / "README").write_bytes(b"x")
    (folder / "umläut.f").write_bytes(b"x")
    (root / ".f").write_bytes(b"an empty ID")
    (root / "lost+found").mkdir()
    os.mkfifo(root / "pipe.f")
    os.symlink("nowhere", root / "dangling.f")
    os.symlink(root, root / "loop")
    (root / "folder.f").mkdir()
    assert [blob.blob_id for blob in storage.list()] == [PACK]


def test_a_link_to_a_file_is_a_blob_with_the_length_of_the_file(storage: FilesystemStorage, root: Path) -> None:
    (root / "elsewhere").write_bytes(b"12345")
    os.symlink("elsewhere", root / "linked.f")
    assert [(blob.blob_id, blob.length) for blob in storage.list()] == [("linked", 5)]
    assert storage.get(BlobID("linked")) == b"12345"


def test_a_name_can_not_leave_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "backups"
    storage = FilesystemStorage(root, create=True, options=FilesystemOptions(dir_shards=(2, 2)))
    for name in (".." * 20, "aa" + ".." * 20):
        for call in (
            lambda: storage.get(BlobID(name)),  # noqa: B023 -- called in this round
            lambda: storage.put(BlobID(name), b"x"),  # noqa: B023
            lambda: storage.delete(BlobID(name)),  # noqa: B023
        ):
            with pytest.raises(InvalidIDError, match="lead out"):
                call()
    assert files(tmp_path) in ([], ["backups/.shards"])


@pytest.mark.parametrize("archive", sorted(GOLDEN.glob("default*.tar.gz")), ids=lambda path: path.name)
def test_a_repository_of_kopia_is_listed_as_its_files_are(tmp_path: Path, archive: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    for marker in tmp_path.rglob(".shards"):
        storage = FilesystemStorage(marker.parent)
        blobs = {blob.blob_id: blob.length for blob in storage.list()}
        on_disk = [path for path in marker.parent.rglob("*.f") if path.is_file()]
        assert len(blobs) == len(on_disk) > 3
        assert FORMAT in blobs
        for blob_id, length in blobs.items():
            assert len(storage.get(blob_id)) == length == storage.metadata(blob_id).length


# -- root --------------------------------------------------------------------------------------------------------------


def test_opening_needs_the_folder_and_creating_makes_it_with_its_parents(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b" / "c"
    with pytest.raises(StorageNotFoundError, match=f"there is no folder {root}"):
        FilesystemStorage(root)
    assert not (tmp_path / "a").exists()
    FilesystemStorage(root, create=True)
    assert root.is_dir()
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    FilesystemStorage(root, create=True)
    FilesystemStorage(root)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        for create in (False, True):
            with pytest.raises(StorageNotFoundError):
                FilesystemStorage(path, create=create)


def test_a_relative_path_is_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = FilesystemStorage("backups", create=True)
    monkeypatch.chdir("/")
    storage.put(PACK, b"x")
    assert storage.connection_info().config["path"] == str(tmp_path / "backups")
    assert storage.display_name == f"Filesystem: {tmp_path}/backups"


def test_a_root_that_is_gone_is_reported_and_never_made_again(storage: FilesystemStorage, root: Path) -> None:
    storage.put(PACK, b"x")
    root.rename(root.with_name("unmounted"))
    calls: tuple[Callable[[], object], ...] = (
        lambda: storage.get(PACK),
        lambda: storage.metadata(PACK),
        lambda: storage.put(PACK, b"x"),
        lambda: storage.put(FORMAT, b"x"),
        lambda: storage.delete(PACK),
        lambda: [*storage.list()],
        storage.capacity,
    )
    for call in calls:
        with pytest.raises(StorageNotFoundError, match="mounted"):
            call()
    fresh = FilesystemStorage(root.with_name("unmounted"))
    fresh.root = str(root)  # gone before the first use
    for call in (lambda: fresh.get(PACK), lambda: fresh.put(PACK, b"x")):
        with pytest.raises(StorageNotFoundError):
            call()
    assert not root.exists()


def test_the_connection_opens_the_storage_again_with_all_its_options(root: Path) -> None:
    config = {"path": str(root), "fileMode": 416, "dirShards": [1], "listParallelism": 2, "readsPerSecond": 3, "new": 1}
    storage = open_storage(ConnectionInfo(type="filesystem", config=config), create=True)
    assert storage.connection_info().to_json() == {"type": "filesystem", "config": config}


def test_the_capacity_is_that_of_the_volume(storage: FilesystemStorage) -> None:
    found, expected = storage.capacity(), os.statvfs(storage.root)
    assert found.size == expected.f_blocks * expected.f_frsize
    assert 0 < found.free <= found.size


# -- properties --------------------------------------------------------------------------------------------------------

POLITE = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def has_own_folders(parameters: ShardParameters, blob_id: BlobID) -> bool:
    """Tell whether no folder of a blob is ``.`` or ``..``: such a blob is refused, or listed by another ID."""
    try:
        return parameters.path_of(blob_id).replace("/", "") == f"{blob_id}.f"
    except InvalidIDError:
        return False


@POLITE
@given(
    blobs=st.dictionaries(st.one_of(blob_ids(max_size=200), kopia_blob_ids()), content_bytes(max_size=64), max_size=8),
    dir_shards=st.lists(st.integers(0, 5), max_size=4),
    prefix=st.one_of(st.just(""), blob_ids(max_size=6)),
)
def test_any_blobs_in_any_layout_come_back(
    tmp_path_factory: pytest.TempPathFactory, blobs: dict[BlobID, bytes], dir_shards: list[int], prefix: str
) -> None:
    parameters = ShardParameters(default=tuple(dir_shards))
    blobs = {blob_id: content for blob_id, content in blobs.items() if has_own_folders(parameters, blob_id)}
    root = tmp_path_factory.mktemp("any")
    storage = FilesystemStorage(root, create=True, options=FilesystemOptions(dir_shards=tuple(dir_shards)))
    for blob_id, content in blobs.items():
        storage.put(blob_id, content)
    assert {blob.blob_id: blob.length for blob in storage.list()} == {key: len(item) for key, item in blobs.items()}
    assert {blob.blob_id for blob in storage.list(prefix)} == {key for key in blobs if key.startswith(prefix)}
    for blob_id, content in blobs.items():
        assert storage.get(blob_id) == content
        storage.delete(blob_id)
    assert [*storage.list()] == []


@POLITE
@given(content=st.one_of(st.binary(max_size=60), st.text(max_size=40).map(str.encode)))
def test_garbage_in_the_shards_file_is_only_ever_a_storage_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    root = tmp_path_factory.mktemp("garbage")
    (root / ".shards").write_bytes(content)
    storage = FilesystemStorage(root)
    with pytest.raises(StorageError):  # BlobNotFoundError where the garbage makes sense
        storage.get(PACK)
