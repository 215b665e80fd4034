"""Restoring into archives: what other programs find in them, and what is left after errors."""

import os
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from pykopia.api.repository import Repository
from pykopia.errors import RestoreError, TargetExistsError
from pykopia.snapshot.restore_options import RestoreMode, RestoreOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from tests.trees import MIB, TreeBuilder, assert_trees_equal, noise, text

every_archive = pytest.mark.parametrize("name", ["out.tar", "out.tar.gz", "out.tgz", "out.zip"])


@pytest.fixture
def snapshot(repository: Repository, source: Path) -> str:
    """A snapshot of a tree with all that an archive can hold."""
    with TreeBuilder(source) as tree:
        tree.directory("empty", mode=0o700)
        tree.directory("sticky", mode=0o1777)
        tree.file("sticky/set-uid", b"#!", mode=0o4755)
        tree.file("empty file")
        tree.file("text", text(100_000, "text"), mode=0o640, mtime_ns=1_234_567_890_123_456_789)
        tree.file("before 1970", b"old", mtime_ns=-1_500_000_000)
        tree.file("large", noise(3 * MIB, "large"))
        tree.link("link", "text")
        tree.link("dangling", "../nowhere/at all")
        tree.file("deep/" + "/".join(["folder-with-a-long-name"] * 8) + "/f", b"deep")
        tree.file("é 日本", b"name")
    return repository.snapshots.create(source).manifest.id


@pytest.mark.parametrize("name", ["out.tar", "out.tar.gz", "out.tgz"])
def test_tar_unpacks_to_what_the_source_was(
    repository: Repository, source: Path, snapshot: str, tmp_path: Path, name: str
) -> None:
    repository.snapshots.restore(snapshot, tmp_path / name)
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-xpf", tmp_path / name, "-C", tmp_path / "unpacked"], check=True, capture_output=True)
    os.chmod(tmp_path / "unpacked", source.stat().st_mode & 0o7777)
    os.utime(tmp_path / "unpacked", ns=(0, source.stat().st_mtime_ns))
    assert_trees_equal(source, tmp_path / "unpacked")


def test_a_zip_holds_files_folders_links_and_modes(
    repository: Repository, source: Path, snapshot: str, tmp_path: Path
) -> None:
    repository.snapshots.restore(snapshot, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.testzip() is None
        found = {info.filename: info for info in archive.infolist()}
        expected = {
            f"{path.relative_to(source)}{'/' if path.is_dir() and not path.is_symlink() else ''}"
            for path in source.rglob("*")
        }
        assert found.keys() == expected
        for name, info in found.items():
            status = os.lstat(source / name)
            assert info.external_attr >> 16 == status.st_mode, name
            if stat.S_ISREG(status.st_mode):
                assert archive.read(info) == (source / name).read_bytes()
        assert archive.read("dangling") == b"../nowhere/at all"
        assert found["before 1970"].date_time == (1980, 1, 1, 0, 0, 0)
        assert found["text"].date_time == (2009, 2, 13, 23, 31, 30)
        assert found["text"].compress_size < found["text"].file_size


def test_a_zip_can_be_left_uncompressed(repository: Repository, snapshot: str, tmp_path: Path) -> None:
    repository.snapshots.restore(snapshot, tmp_path / "out", options=RestoreOptions(mode="zip-nocompress"))
    with zipfile.ZipFile(tmp_path / "out") as archive:
        assert all(info.compress_size == info.file_size for info in archive.infolist())


@pytest.mark.parametrize("mode", ["tar", "tgz", "zip"])
def test_the_mode_counts_and_not_the_name(
    repository: Repository, snapshot: str, tmp_path: Path, mode: RestoreMode
) -> None:
    target = tmp_path / "new" / "folders" / "plain.name"
    repository.snapshots.restore(snapshot, target, options=RestoreOptions(mode=mode))
    assert zipfile.is_zipfile(target) == (mode == "zip")
    assert tarfile.is_tarfile(target) == (mode != "zip")
    assert target.read_bytes().startswith(b"\x1f\x8b") == (mode == "tgz")


@every_archive
def test_an_archive_that_exists_is_replaced_only_when_that_is_allowed(
    repository: Repository, snapshot: str, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(TargetExistsError, match="was left as it is"):
        repository.snapshots.restore(snapshot, tmp_path / name, options=RestoreOptions(overwrite_files=False))
    assert (tmp_path / name).read_bytes() == b"mine"
    repository.snapshots.restore(snapshot, tmp_path / name)
    assert (tmp_path / name).stat().st_size > 100_000


@every_archive
def test_an_archive_that_fails_leaves_the_old_one_and_nothing_else(
    repository: Repository, snapshot: str, tmp_path: Path, storage: MemoryStorage, name: str
) -> None:
    (tmp_path / name).write_bytes(b"mine")
    for blob in list(storage.list("p")):
        storage.delete(blob.blob_id)
    with pytest.raises(RestoreError):
        repository.snapshots.restore(snapshot, tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "source"]


@every_archive
def test_errors_that_are_ignored_leave_an_archive_that_can_be_read(
    repository: Repository, source: Path, tmp_path: Path, storage: MemoryStorage, name: str
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("bad", noise(5000, "bad"))
    repository.snapshots.create(source)
    packs = [blob.blob_id for blob in storage.list("p")]
    with TreeBuilder(source) as tree:
        tree.file("good", noise(5000, "good"))
    snapshot = repository.snapshots.create(source).manifest.id
    for pack in packs:
        storage.delete(pack)
    result = repository.snapshots.restore(snapshot, tmp_path / name, options=RestoreOptions(ignore_errors=True))
    assert len(result.errors) == 1
    assert "bad" in result.errors[0]
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert archive.testzip() is None
            assert archive.read("good") == noise(5000, "good")
    else:
        with tarfile.open(tmp_path / name) as archive:
            member = archive.extractfile("good")
            assert member is not None
            assert member.read() == noise(5000, "good")


@every_archive
def test_an_archive_has_no_placeholders(repository: Repository, snapshot: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(RestoreError, match="needs a folder as its target"):
        repository.snapshots.restore(snapshot, tmp_path / name, options=RestoreOptions(shallow_depth=0))
    assert not (tmp_path / name).exists()
