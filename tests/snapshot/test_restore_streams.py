"""Restoring to what is no regular file: pipes, devices, links, open streams; and when a name means an archive."""

import io
import os
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from pykopia.api.repository import Repository
from pykopia.errors import RestoreError, TargetExistsError, UsageError
from pykopia.snapshot.restore_options import RestoreMode, RestoreOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from tests.cli_runner import Runner
from tests.trees import MIB, TreeBuilder, noise


@pytest.fixture
def snapshot(repository: Repository, source: Path) -> str:
    with TreeBuilder(source) as tree:
        tree.file("a", b"one")
        tree.file("folder/large", noise(2 * MIB, "large"))
        tree.link("link", "a")
    return str(repository.snapshots.create(source).manifest.id)


def members(data: bytes) -> set[str]:
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            return {name.rstrip("/") for name in archive.namelist()}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name for member in archive}


@pytest.mark.parametrize("mode", ["tar", "tgz", "zip", "zip-nocompress"])
def test_an_archive_goes_to_a_stream(repository: Repository, snapshot: str, mode: RestoreMode) -> None:
    stream = io.BytesIO()
    repository.snapshots.restore(snapshot, stream, options=RestoreOptions(mode=mode))
    assert members(stream.getvalue()) == {"a", "folder", "folder/large", "link"}
    assert not stream.closed


@pytest.mark.parametrize("mode", ["tar", "zip"])
@pytest.mark.parametrize("name", ["pipe", "pipe.tar", "link"])
def test_an_archive_to_a_pipe_is_written_there(
    repository: Repository, snapshot: str, tmp_path: Path, mode: RestoreMode, name: str
) -> None:
    pipe = tmp_path / ("real-pipe" if name == "link" else name)
    os.mkfifo(pipe)
    if name == "link":
        (tmp_path / "link").symlink_to(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    repository.snapshots.restore(snapshot, tmp_path / name, options=RestoreOptions(mode=mode))
    reader.join(60)
    assert members(got[0]) == {"a", "folder", "folder/large", "link"}
    assert pipe.is_fifo()


def test_an_archive_to_a_link_goes_to_what_it_leads_to(repository: Repository, snapshot: str, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(bytes(10 * MIB))
    (tmp_path / "out.tar").symlink_to("real")
    with pytest.raises(TargetExistsError):
        repository.snapshots.restore(snapshot, tmp_path / "out.tar", options=RestoreOptions(overwrite_files=False))
    repository.snapshots.restore(snapshot, tmp_path / "out.tar")
    assert os.readlink(tmp_path / "out.tar") == "real"
    assert members((tmp_path / "real").read_bytes()) == {"a", "folder", "folder/large", "link"}


def test_a_file_goes_to_a_stream_or_a_pipe(repository: Repository, snapshot: str, tmp_path: Path) -> None:
    stream = io.BytesIO()
    repository.snapshots.restore(f"{snapshot}/folder/large", stream)
    assert stream.getvalue() == noise(2 * MIB, "large")
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    repository.snapshots.restore(f"{snapshot}/a", tmp_path / "pipe")
    reader.join(60)
    assert got == [b"one"]
    assert (tmp_path / "pipe").is_fifo()


def test_what_can_not_go_to_a_stream_is_refused(repository: Repository, snapshot: str) -> None:
    with pytest.raises(UsageError, match="choose a mode"):
        repository.snapshots.restore(snapshot, io.BytesIO())
    with pytest.raises(RestoreError, match="only a file"):
        repository.snapshots.restore(f"{snapshot}/link", io.BytesIO())


def test_a_full_device_is_an_error_that_names_the_cause(repository: Repository, snapshot: str) -> None:
    for mode in ("tar", "tgz", "zip"):
        with pytest.raises(RestoreError, match="No space left on device"):
            repository.snapshots.restore(snapshot, "/dev/full", options=RestoreOptions(mode=mode))
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("options", [RestoreOptions(shallow_depth=0), RestoreOptions(exclude=("[x",))])
def test_nothing_is_left_of_an_archive_that_can_not_be_made(
    repository: Repository, snapshot: str, tmp_path: Path, options: RestoreOptions
) -> None:
    before = sorted(os.listdir(tmp_path))
    with pytest.raises((RestoreError, UsageError)):
        repository.snapshots.restore(snapshot, tmp_path / "out.tar", options=options)
    (tmp_path / "folder").mkdir()
    with pytest.raises(TargetExistsError, match="a folder is there"):
        repository.snapshots.restore(snapshot, tmp_path / "folder", options=RestoreOptions(mode="tar"))
    (tmp_path / "folder").rmdir()
    assert sorted(os.listdir(tmp_path)) == before


def test_a_lost_pack_leaves_nothing_of_an_archive(
    repository: Repository, snapshot: str, tmp_path: Path, storage: MemoryStorage
) -> None:
    for blob in list(storage.list("p")):
        storage.delete(blob.blob_id)
    with pytest.raises(RestoreError):
        repository.snapshots.restore(snapshot, tmp_path / "out.zip")
    assert not any("pykopia" in name or "out" in name for name in os.listdir(tmp_path))


# --- when a name means an archive ---


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tgz", "x.tar.gz"])
def test_the_name_of_a_file_or_of_a_folder_that_is_there_means_no_archive(
    repository: Repository, source: Path, tmp_path: Path, name: str
) -> None:
    with TreeBuilder(source) as tree:
        tree.file(f"folder/{name}", b"a file")
        tree.file(f"{name}/inside", b"in a folder")
    snapshot = repository.snapshots.create(source).manifest.id
    repository.snapshots.restore(f"{snapshot}/folder/{name}", tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"a file"
    (tmp_path / "there" / name).mkdir(parents=True)
    for _ in repository.snapshots.plan_restore(f"{snapshot}/{name}", tmp_path / "there" / name):
        pass
    repository.snapshots.restore(f"{snapshot}/{name}", tmp_path / "there" / name)
    assert (tmp_path / "there" / name / "inside").read_bytes() == b"in a folder"
    repository.snapshots.restore(f"{snapshot}/{name}", tmp_path / "new" / name)
    assert (tmp_path / "new" / name).is_file()


# --- the command line ---


def test_a_folder_is_restored_to_its_own_place_whatever_its_name(tmp_path: Path) -> None:
    client = Runner(tmp_path / "client")
    client.ok("repository", "create", "filesystem", f"--path={tmp_path / 'repository'}")
    folder = tmp_path / "source" / "site.zip"
    folder.mkdir(parents=True)
    (folder / "page").write_text("page")
    snapshot = client.ok("snapshot", "create", str(tmp_path / "source"), "--json").json["id"]
    for gone in (False, True):
        if gone:
            (folder / "page").unlink()
            folder.rmdir()
        client.ok("restore", str(folder))
        assert [path.name for path in folder.iterdir()] == ["page"]
    client.ok("restore", "--shallow=0", snapshot, str(tmp_path / "shallow"))
    client.ok("restore", "--shallow=9", str(tmp_path / "shallow" / "site.zip.kopia-entry"))
    assert [path.name for path in (tmp_path / "shallow").iterdir()] == ["site.zip"]
    for name in ("-", "/dev/stdout"):
        told = client.ok("restore", snapshot, name, "--mode=tar")
        assert members(told.stdout_bytes) == {"site.zip", "site.zip/page"}
    assert client.ok("restore", f"{snapshot}/site.zip/page", "-").stdout_bytes == b"page"
    assert client("restore", snapshot, "-").status != 0
    assert client("restore", snapshot, "-", "--mode=tar", "--json").status == 1
    assert client("restore", snapshot, "-", "--mode=tar", "--dry-run").status == 1
