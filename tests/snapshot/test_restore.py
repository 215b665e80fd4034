"""Restoring into folders: what is in the way, what must not be followed, what is left behind after errors."""

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pykopia.api.repository import Repository
from pykopia.errors import (
    CanceledError,
    DamagedDataError,
    PykopiaError,
    RestoreError,
    TargetExistsError,
    UnsafePathError,
)
from pykopia.format.directory import DirectoryEntry, encode_directory, summarize
from pykopia.ids import ManifestID, ObjectID
from pykopia.snapshot import file_writing, restore
from pykopia.snapshot.restore_local import LocalFolder, LocalOutput
from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from tests.cli_runner import Runner
from tests.trees import MIB, TreeBuilder, assert_trees_equal, big_files, everything, noise, scan, stored_path, text

Take = Callable[[], ManifestID]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners are set by root alone")


@pytest.fixture
def take(repository: Repository, source: Path) -> Take:
    """Take a snapshot of the source and return its ID."""
    return lambda: repository.snapshots.create(source).manifest.id


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


@pytest.mark.parametrize("parallel", [1, 8])
def test_large_files_are_put_together_by_several_threads(
    repository: Repository,
    source: Path,
    target: Path,
    take: Take,
    monkeypatch: pytest.MonkeyPatch,
    parallel: int,
) -> None:
    monkeypatch.setattr(file_writing, "LARGE_FILE", MIB)
    big_files(source)
    result = repository.snapshots.restore(take(), target, options=RestoreOptions(parallel=parallel))
    assert_trees_equal(source, target)
    assert result.counters.restored_bytes == result.counters.enqueued_bytes


def test_a_wide_tree_never_has_more_folders_open_than_it_may(
    repository: Repository, source: Path, target: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 8
    monkeypatch.setattr(restore, "MOST_OPEN", most)
    for number in range(60):
        folder = source / f"{number % 3}" / f"{number}" / "below"
        folder.mkdir(parents=True)
        (folder / "file").write_text(f"{number}")
    opened: list[int] = []
    make = LocalOutput.directory

    def counting(self: LocalOutput, parent: LocalFolder, entry: DirectoryEntry, path: str) -> LocalFolder:
        made = make(self, parent, entry, path)
        opened.append(len(self._open))
        return made

    monkeypatch.setattr(LocalOutput, "directory", counting)
    repository.snapshots.restore(take(), target, options=RestoreOptions(parallel=2))
    assert_trees_equal(source, target)
    assert max(opened) <= most + 4 + 1  # and those above the last one


def store(
    repository: Repository, source: Path, *entries: DirectoryEntry, replaced: tuple[str, str] = ("", "")
) -> ManifestID:
    """Store a snapshot whose root folder has entries that no walk would find.

    What the library refuses to write is put into the encoded listing: ``replaced`` is what stands there, and what shall.
    """
    base = repository.snapshots.create(source).manifest
    with repository.writer() as writer:
        summary = summarize(list(entries), own_mtime_ns=0)
        listing = encode_directory(list(entries), summary).replace(replaced[0].encode(), replaced[1].encode())
        root = writer.objects.write(listing, prefix="k")
        entry = DirectoryEntry(name="root", type="d", mode=0o755, object_id=root, summary=summary)
        manifest = replace(base, id=ManifestID(""), root_entry=entry)
        return writer.manifests.put(manifest.labels(), manifest.to_json())


def content_of(repository: Repository, data: bytes) -> ObjectID:
    with repository.writer() as writer:
        return writer.objects.write(data)


# ---------------------------------------------------------------------- what comes out


@pytest.mark.parametrize("parallel", [1, 8])
@pytest.mark.parametrize("sparse", [False, True])
def test_every_kind_of_entry_comes_out_as_it_was(
    repository: Repository, source: Path, target: Path, take: Take, *, parallel: int, sparse: bool
) -> None:
    everything(source)
    result = repository.snapshots.restore(
        take(), target, options=RestoreOptions(parallel=parallel, write_sparse=sparse, flush_files=sparse)
    )
    assert_trees_equal(source, target, paths=stored_path)
    counted = scan(source)
    kinds = [stat.S_IFMT(os.lstat(os.path.join(os.fsencode(source), path)).st_mode) for path in counted if path != b"."]
    assert result.counters.restored_files == kinds.count(stat.S_IFREG) == result.counters.enqueued_files
    assert result.counters.restored_symlinks == kinds.count(stat.S_IFLNK)
    assert result.errors == ()


def test_large_files_of_many_chunks_come_out_whole(
    repository: Repository, source: Path, target: Path, take: Take
) -> None:
    big_files(source, size=3 * MIB)
    repository.snapshots.restore(take(), target)
    assert_trees_equal(source, target, paths=stored_path)


@pytest.mark.parametrize("chunked", [False, True])
def test_holes_take_no_room_when_asked_for(
    repository: Repository, source: Path, target: Path, take: Take, *, chunked: bool
) -> None:
    size = 2 * MIB if chunked else 40_960
    data = noise(5000, "a") + bytes(size) + noise(5000, "b") + bytes(size)
    with TreeBuilder(source) as tree:
        tree.file("holes", data)
        tree.file("zeros", bytes(size))
    repository.snapshots.restore(take(), target, options=RestoreOptions(write_sparse=True))
    assert_trees_equal(source, target, paths=stored_path)
    assert (target / "holes").stat().st_blocks * 512 < size
    assert (target / "zeros").stat().st_blocks == 0


def test_a_path_inside_a_snapshot_is_restored_with_its_attributes(
    repository: Repository, source: Path, target: Path, take: Take
) -> None:
    with TreeBuilder(source) as tree:
        tree.directory("folder", mode=0o2750)
        tree.file("folder/file", b"data", mode=0o640)
        tree.link("folder/link", "nowhere")
    snapshot = take()
    repository.snapshots.restore(f"{snapshot}/folder", target)
    assert_trees_equal(source / "folder", target)
    repository.snapshots.restore(f"{snapshot}/folder/file", target.with_name("file"))
    assert (target.with_name("file").stat().st_mode & 0o777, target.with_name("file").read_bytes()) == (0o640, b"data")
    repository.snapshots.restore(f"{snapshot}/folder/link", target.with_name("link"))
    assert os.readlink(target.with_name("link")) == "nowhere"


@as_root
def test_owners_modes_and_times_are_left_alone_when_asked_for(
    repository: Repository, source: Path, target: Path, take: Take
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("file", b"data", mode=0o604)
        tree.link("link", "file")
    os.chown(source / "file", 12, 34)
    os.lchown(source / "link", 56, 78)
    options = RestoreOptions(skip_owners=True, skip_permissions=True, skip_times=True)
    before = os.stat(source / "file")
    repository.snapshots.restore(take(), target, options=options)
    found = os.stat(target / "file")
    assert (found.st_uid, found.st_gid, os.lstat(target / "link").st_uid) == (0, 0, 0)
    assert found.st_mode & 0o777 != 0o604
    assert abs(found.st_mtime_ns - before.st_mtime_ns) > 10**9
    repository.snapshots.restore(take(), target)
    found = os.stat(target / "file")
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (12, 34, 0o604)
    assert (os.lstat(target / "link").st_uid, os.lstat(target / "link").st_gid) == (56, 78)


# ---------------------------------------------------------------------- what is in the way


def test_what_is_there_already_is_replaced_and_the_rest_stays(
    repository: Repository, source: Path, target: Path, take: Take
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("folder/same", b"new")
        tree.link("link", "new")
    with TreeBuilder(target) as tree:
        tree.file("folder/same", b"old and longer")
        tree.file("folder/mine", b"mine")
        tree.link("link", "old")
    snapshot = take()
    repository.snapshots.restore(snapshot, target)
    assert (target / "folder" / "same").read_bytes() == b"new"
    assert (target / "folder" / "mine").read_bytes() == b"mine"
    assert os.readlink(target / "link") == "new"
    result = repository.snapshots.restore(snapshot, target, options=RestoreOptions(delete_extra=True))
    assert_trees_equal(source, target, paths=stored_path)
    assert result.counters.deleted_entries == 1


def test_delete_extra_removes_what_is_of_another_kind_but_nothing_outside(
    repository: Repository, source: Path, target: Path, take: Take
) -> None:
    outside = target.with_name("outside")
    with TreeBuilder(outside) as tree:
        tree.file("keep", b"mine")
    with TreeBuilder(source) as tree:
        tree.file("a", b"a file")
        tree.file("b/inside", b"in a folder")
        tree.link("c", "a")
    with TreeBuilder(target) as tree:
        tree.file("a/deep/down", b"in the way")
        tree.link("b", os.fspath(outside))
        tree.file("c", b"in the way")
        tree.link("extra", os.fspath(outside))
        tree.directory("extra-folder/deeper")
    repository.snapshots.restore(take(), target, options=RestoreOptions(delete_extra=True))
    assert_trees_equal(source, target, paths=stored_path)
    assert (outside / "keep").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("there", "options", "message"),
    [
        ("file", RestoreOptions(overwrite_files=False), "may not be overwritten"),
        ("folder", RestoreOptions(), "a folder is there"),
        ("link", RestoreOptions(overwrite_symlinks=False), "links may not be replaced"),
    ],
)
def test_a_file_is_not_put_over_what_may_not_be_replaced(
    repository: Repository, source: Path, target: Path, take: Take, there: str, options: RestoreOptions, message: str
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("name", b"new")
    with TreeBuilder(target) as tree:
        match there:
            case "file":
                tree.file("name", b"old")
            case "folder":
                tree.file("name/inside", b"old")
            case _:
                tree.link("name", "elsewhere")
    before = scan(target)
    with pytest.raises(TargetExistsError, match=message):
        repository.snapshots.restore(take(), target, options=options)
    assert scan(target)[b"name"] == before[b"name"]


def test_a_link_is_not_put_over_what_may_not_be_replaced(
    repository: Repository, source: Path, target: Path, take: Take
) -> None:
    with TreeBuilder(source) as tree:
        tree.link("name", "new")
    with TreeBuilder(target) as tree:
        tree.file("name", b"old")
    snapshot = take()
    with pytest.raises(TargetExistsError, match="something else is there"):
        repository.snapshots.restore(snapshot, target)
    (target / "name").unlink()
    os.symlink("old", target / "name")
    with pytest.raises(TargetExistsError, match="links may not be replaced"):
        repository.snapshots.restore(snapshot, target, options=RestoreOptions(overwrite_symlinks=False))
    result = repository.snapshots.restore(snapshot, target, options=RestoreOptions(skip_existing=True))
    assert os.readlink(target / "name") == "old"
    assert result.counters.skipped_files == 1


def test_folders_that_hold_something_are_left_alone_when_asked_for(
    repository: Repository, source: Path, target: Path, take: Take
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("folder/name", b"new")
    snapshot = take()
    options = RestoreOptions(overwrite_directories=False)
    target.mkdir()
    repository.snapshots.restore(snapshot, target, options=options)
    with pytest.raises(TargetExistsError, match="exists and is not empty"):
        repository.snapshots.restore(snapshot, target, options=options)
    with TreeBuilder(target.with_name("other")) as tree:
        tree.file("file", b"")
    with pytest.raises(TargetExistsError, match="a file is there"):
        repository.snapshots.restore(snapshot, target.with_name("other") / "file")


def test_files_of_the_same_size_and_time_are_skipped_when_asked_for(
    repository: Repository, source: Path, target: Path, take: Take
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("same", b"12345")
        tree.file("time", b"12345")
        tree.file("size", b"12345")
    snapshot = take()
    repository.snapshots.restore(snapshot, target)
    when = (target / "same").stat().st_mtime_ns
    for name, data, moved in (("same", b"abcde", 2 * 10**9), ("time", b"abcde", 2 * 10**9 + 1), ("size", b"abc", 0)):
        (target / name).write_bytes(data)
        base = when if name == "same" else (source / name).stat().st_mtime_ns
        os.utime(target / name, ns=(0, base + moved))
    result = repository.snapshots.restore(snapshot, target, options=RestoreOptions(skip_existing=True))
    assert [(target / name).read_bytes() for name in ("same", "time", "size")] == [b"abcde", b"12345", b"12345"]
    assert (result.counters.skipped_files, result.counters.restored_files) == (1, 2)


def test_a_file_written_in_place_stays_the_same_file(
    repository: Repository, source: Path, target: Path, take: Take
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("name", b"new")
    with TreeBuilder(target) as tree:
        tree.file("name", b"old and longer")
    before = (target / "name").stat().st_ino
    snapshot = take()
    repository.snapshots.restore(snapshot, target, options=RestoreOptions(atomic_files=False))
    assert ((target / "name").read_bytes(), (target / "name").stat().st_ino) == (b"new", before)
    repository.snapshots.restore(snapshot, target)
    assert ((target / "name").read_bytes(), (target / "name").stat().st_ino != before) == (b"new", True)


@pytest.mark.parametrize("atomic", [False, True])
def test_a_file_that_has_another_name_is_replaced_and_not_written_through(
    repository: Repository, source: Path, target: Path, take: Take, atomic: bool
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("name", b"new")
    with TreeBuilder(target) as tree:
        tree.file("name", b"old")
    os.link(target / "name", target.with_name("hard link"))
    repository.snapshots.restore(take(), target, options=RestoreOptions(atomic_files=atomic))
    assert (target.with_name("hard link").read_bytes(), (target / "name").read_bytes()) == (b"old", b"new")


# ---------------------------------------------------------------------- never outside the target


def test_a_link_in_the_place_of_a_folder_is_not_followed(
    repository: Repository, source: Path, target: Path, take: Take
) -> None:
    outside = target.with_name("outside")
    outside.mkdir()
    with TreeBuilder(source) as tree:
        tree.file("folder/name", b"new")
    target.mkdir()
    os.symlink(outside, target / "folder")
    with pytest.raises(TargetExistsError, match="links are not followed"):
        repository.snapshots.restore(take(), target)
    assert list(outside.iterdir()) == []


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(
    repository: Repository, source: Path, target: Path, take: Take
) -> None:
    outside = target.with_name("outside")
    outside.write_bytes(b"mine")
    with TreeBuilder(source) as tree:
        tree.file("name", b"new")
    target.mkdir()
    for atomic in (True, False):
        (target / "name").unlink(missing_ok=True)
        os.symlink(outside, target / "name")
        repository.snapshots.restore(take(), target, options=RestoreOptions(atomic_files=atomic))
        assert (outside.read_bytes(), (target / "name").read_bytes()) == (b"mine", b"new")
        assert not (target / "name").is_symlink()


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../evil", "/etc/evil", "nul\0byte"])
@pytest.mark.parametrize("kind", ["f", "s", "d"])
def test_a_name_that_would_leave_the_target_is_refused(
    repository: Repository, source: Path, target: Path, name: str, kind: str
) -> None:
    object_id = content_of(repository, b"../../evil")
    good = DirectoryEntry(name="good", type="f", mode=0o644, size=10, object_id=object_id)
    evil = DirectoryEntry(name="zz", type=kind, mode=0o755, size=10, object_id=object_id)
    snapshot = store(repository, source, good, evil, replaced=('"zz"', json.dumps(name)))
    with pytest.raises(RestoreError):
        repository.snapshots.restore(snapshot, target)
    result = repository.snapshots.restore(snapshot, target, options=RestoreOptions(ignore_errors=True))
    assert len(result.errors) == 1
    assert (target / "good").read_bytes() == b"../../evil"
    assert sorted(path.name for path in target.parent.iterdir()) == ["source", "target"]
    assert [path.name for path in target.rglob("*")] == ["good"]


def test_the_error_for_such_a_name_is_one_of_its_own(repository: Repository, source: Path, target: Path) -> None:
    entry = DirectoryEntry(name="zz", type="f", mode=0o644, object_id=content_of(repository, b"x"), size=1)
    with pytest.raises(RestoreError) as raised:
        repository.snapshots.restore(store(repository, source, entry, replaced=("zz", "../x")), target)
    assert isinstance(raised.value, UnsafePathError) or isinstance(raised.value.__cause__, UnsafePathError)


# ---------------------------------------------------------------------- errors on the way


def lose(repository: Repository, storage: MemoryStorage, object_id: str) -> None:
    """Delete the pack of a content."""
    storage.delete(repository.contents.entry(object_id).pack_blob)


@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_a_file_that_can_not_be_read_leaves_nothing_that_looks_like_it(
    repository: Repository, source: Path, target: Path, storage: MemoryStorage, size: int
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("bad", noise(size, "bad"))
    bad = repository.snapshots.create(source / "bad").manifest.root_entry
    assert bad is not None
    with TreeBuilder(source) as tree:
        tree.file("good", text(1000, "good"))
    snapshot = repository.snapshots.create(source).manifest.id
    packs = {
        repository.contents.entry(str(chunk.content_id)).pack_blob for chunk in repository.objects.chunks(bad.object_id)
    }
    for pack in packs:
        storage.delete(pack)
    with TreeBuilder(target) as tree:
        tree.file("bad", b"the old one")
    with pytest.raises(RestoreError, match="bad"):
        repository.snapshots.restore(snapshot, target)
    result = repository.snapshots.restore(snapshot, target, options=RestoreOptions(ignore_errors=True))
    assert len(result.errors) == 1
    assert result.counters.ignored_errors == 1
    assert sorted(path.name for path in target.iterdir()) == ["bad", "good"]
    assert (target / "bad").read_bytes() == b"the old one", "a restore that fails keeps what was there"
    fresh = target.with_name("fresh")
    repository.snapshots.restore(snapshot, fresh, options=RestoreOptions(ignore_errors=True))
    assert [path.name for path in fresh.iterdir()] == ["good"]


@pytest.mark.parametrize("told", [9, 11, 0])
def test_a_length_that_is_not_that_of_the_object_is_an_error(
    repository: Repository, source: Path, target: Path, told: int
) -> None:
    entry = DirectoryEntry(name="x", type="f", mode=0o644, size=told, object_id=content_of(repository, b"ten bytes!"))
    with pytest.raises(RestoreError, match=rf"its entry says {told}|more than the {told} bytes that its entry says"):
        repository.snapshots.restore(store(repository, source, entry), target)
    assert list(target.iterdir()) == []


def test_a_folder_that_can_not_be_read_is_left_out_when_asked_for(
    repository: Repository, source: Path, target: Path
) -> None:
    entry = DirectoryEntry(
        name="x", type="d", mode=0o755, object_id=ObjectID("k" + content_of(repository, b"no listing"))
    )
    good = DirectoryEntry(name="y", type="f", mode=0o644, size=4, object_id=content_of(repository, b"good"))
    snapshot = store(repository, source, entry, good)
    with pytest.raises(PykopiaError):
        repository.snapshots.restore(snapshot, target)
    result = repository.snapshots.restore(snapshot, target, options=RestoreOptions(ignore_errors=True))
    assert len(result.errors) == 1
    assert (target / "y").read_bytes() == b"good"


def test_a_kind_of_entry_that_nobody_can_restore_is_named(repository: Repository, source: Path, target: Path) -> None:
    good = DirectoryEntry(name="x", type="f", mode=0o644, size=4, object_id=content_of(repository, b"good"))
    snapshot = store(repository, source, good, replaced=('"type":"f"', '"type":"z"'))
    with pytest.raises((RestoreError, DamagedDataError), match="z"):
        repository.snapshots.restore(snapshot, target)


@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize("large", [MIB, 1000 * MIB])
def test_a_full_disk_ends_a_restore_and_leaves_no_half_made_file(
    repository: Repository,
    source: Path,
    target: Path,
    take: Take,
    monkeypatch: pytest.MonkeyPatch,
    parallel: int,
    large: int,
) -> None:
    monkeypatch.setattr(file_writing, "LARGE_FILE", large)
    with TreeBuilder(source) as tree:
        tree.file("large", noise(2 * MIB, "large"))
    snapshot = take()
    real = os.pwrite

    def full(handle: int, data: bytes, position: int) -> int:
        if position > MIB // 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data[: MIB // 4], position)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(RestoreError, match="No space left on device"):
        repository.snapshots.restore(snapshot, target, options=RestoreOptions(parallel=parallel))
    assert list(target.iterdir()) == []


def test_a_restore_can_be_canceled(repository: Repository, source: Path, target: Path, take: Take) -> None:
    everything(source)
    snapshot = take()
    counted: list[RestoreCounters] = []
    with pytest.raises(CanceledError):
        repository.snapshots.restore(snapshot, target, cancel=lambda: True, progress=counted.append)
    assert not any(path.name.startswith(".pykopia") for path in target.rglob("*"))
    repository.snapshots.restore(snapshot, target, progress=counted.append)
    assert_trees_equal(source, target, paths=stored_path)
    assert counted[-1].restored_files == counted[-1].enqueued_files > 0


def test_no_handle_is_left_open(repository: Repository, source: Path, target: Path, take: Take) -> None:
    everything(source)
    snapshot = take()
    before = len(os.listdir("/proc/self/fd"))
    repository.snapshots.restore(snapshot, target)
    with pytest.raises(RestoreError):
        repository.snapshots.restore(snapshot, target, options=RestoreOptions(overwrite_files=False))
    assert len(os.listdir("/proc/self/fd")) == before


@as_root
def test_what_the_user_has_no_right_to_set_is_passed_over_or_told(
    repository: Repository, source: Path, target: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("name", b"data")
    target.mkdir()
    (target / "there").write_bytes(b"")  # so that files are made one by one
    snapshot = take()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    result = repository.snapshots.restore(snapshot, target)
    assert (target / "name").read_bytes() == b"data"
    assert (result.counters.unset_entries, result.counters.unset_owners, result.counters.unset_modes) == (1, 1, 0)
    assert result.counters.unset_attributes() == "The owner of 1 entry could not be set for lack of rights"
    with pytest.raises(RestoreError, match="Operation not permitted"):
        repository.snapshots.restore(snapshot, target, options=RestoreOptions(ignore_permission_errors=False))


@as_root
def test_owners_that_a_rootless_container_does_not_have_are_passed_over(tmp_path: Path) -> None:
    """In its user namespace the system calls them invalid, which is no lack of rights to it."""
    inside = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if subprocess.run([*inside, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    cli = Runner(tmp_path / "client")
    with TreeBuilder(tmp_path / "source") as tree:
        tree.file("folder/name", b"data")
        tree.file("other", b"more")
    os.chown(tmp_path / "source" / "other", 4321, 4321)
    cli.ok("repository", "create", "filesystem", "--path", str(tmp_path / "storage"))
    cli.ok("snapshot", "create", str(tmp_path / "source"))
    done = subprocess.run(
        [*inside, sys.executable, "-m", "pykopia", "--config-file", str(cli.config), "--disable-file-logging",
         "restore", "latest", str(tmp_path / "target")],
        check=False, capture_output=True, text=True, env=os.environ | {"KOPIA_PASSWORD": cli.password},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "target" / "folder" / "name").read_bytes() == b"data"
    assert (tmp_path / "target" / "other").read_bytes() == b"more"
    assert "The owner" in done.stderr
