"""Restoring into targets as they are: full, read-only in part, deep, without case; and what killed restores leave."""

import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from pykopia.api.repository import Repository
from pykopia.errors import DuplicateNameError, RestoreError
from pykopia.format.directory import DirectoryEntry, encode_directory, summarize
from pykopia.ids import ObjectID
from pykopia.snapshot import restore_local, small_files, target_folder
from pykopia.snapshot.restore_local import LocalFolder, LocalOutput
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.snapshot.small_files import TEMPORARY_NAME
from tests.trees import MIB, TreeBuilder, assert_trees_equal, noise

LENIENT = RestoreOptions(ignore_errors=True)
TEMPORARY = ".pykopia-0123456789abcdef"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def folder_of(repository: Repository, *entries: DirectoryEntry) -> DirectoryEntry:
    """Store a folder with entries that no walk would find, such as two of one name."""
    with repository.writer() as writer:
        alone = [msgspec.structs.replace(entry, name=f"{number:05}") for number, entry in enumerate(entries)]
        listing = encode_directory(alone, summarize(alone, own_mtime_ns=0))
        for stand_in, entry in zip(alone, entries, strict=True):
            listing = listing.replace(
                f'"name":"{stand_in.name}"'.encode(), b'"name":' + msgspec.json.encode(entry.name)
            )
        return DirectoryEntry(name="root", type="d", mode=0o755, object_id=writer.objects.write(listing, prefix="k"))


def file_of(repository: Repository, name: str, data: bytes, mtime_ns: int = 0) -> DirectoryEntry:
    with repository.writer() as writer:
        return DirectoryEntry(
            name=name, type="f", mode=0o644, size=len(data), object_id=writer.objects.write(data), mtime_ns=mtime_ns
        )


def link_of(repository: Repository, name: str, to: bytes) -> DirectoryEntry:
    return msgspec.structs.replace(file_of(repository, name, to), type="s")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def plain_user(*folders: Path) -> Iterator[None]:
    """Do without root's rights."""
    if os.geteuid() != 0:
        yield
        return
    above = [
        path for folder in folders for path in folder.parents if path.stat().st_uid == 0 and path.parts[1:2] == ("tmp",)
    ]
    modes = {path: path.stat().st_mode for path in above}
    for path in above:
        path.chmod(0o777)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        for path, mode in modes.items():
            path.chmod(stat.S_IMODE(mode))


# --- read-only folders ---


@pytest.mark.parametrize("mode", [0o555, 0o000, 0o311])
@pytest.mark.parametrize("keep_modes", [False, True])
def test_a_read_only_folder_of_ones_own_is_filled_again(
    repository: Repository, source: Path, target: Path, mode: int, keep_modes: bool
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("locked/file", b"new", mode=0o444)
        tree.file("locked/deeper/file", b"new")
        tree.directory("locked", mode=mode)
    snapshot = repository.snapshots.create(source).manifest.id
    with plain_user(target):
        for _ in range(2):
            repository.snapshots.restore(snapshot, target)
        assert stat.S_IMODE((target / "locked").stat().st_mode) == mode
        os.chmod(target / "locked", 0o700)
        (target / "locked" / "extra").write_bytes(b"")
        (target / "locked" / "file").chmod(0o444)
        os.chmod(target / "locked", 0o111)
        options = RestoreOptions(delete_extra=True, skip_permissions=keep_modes, atomic_files=False)
        repository.snapshots.restore(snapshot, target, options=options)
        assert stat.S_IMODE((target / "locked").stat().st_mode) == (0o111 if keep_modes else mode)
    os.chmod(target / "locked", 0o700)
    assert names(target / "locked") == ["deeper", "file"]


def test_a_restore_that_fails_leaves_a_read_only_folder_as_it_was(
    repository: Repository, source: Path, target: Path
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("locked/file", b"new")
    snapshot = repository.snapshots.create(source).manifest.id
    (target / "locked" / "file").mkdir(parents=True)
    (target / "locked").chmod(0o555)
    with pytest.raises(RestoreError, match="a folder is there"):
        repository.snapshots.restore(snapshot, target)
    assert stat.S_IMODE((target / "locked").stat().st_mode) == 0o555


def test_a_read_only_part_of_the_target_is_an_error_of_its_entries_alone(
    repository: Repository, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TreeBuilder(source) as tree:
        for number in range(20):
            tree.file(f"{number:02}", b"file")
        tree.file("05-folder/inside", b"inside")
    snapshot = repository.snapshots.create(source).manifest.id
    make = small_files.make_folder

    def read_only(parent: int, name: str) -> tuple[int, bool]:
        if name == "05-folder":
            raise OSError(errno.EROFS, "Read-only file system", name)
        return make(parent, name)

    monkeypatch.setattr(restore_local, "make_folder", read_only)
    result = repository.snapshots.restore(snapshot, target, options=LENIENT)
    assert len(result.errors) == 1
    assert "05-folder: Read-only file system" in result.errors[0]
    assert len(names(target)) == 20
    real = os.statvfs

    class ReadOnly:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(os, "statvfs", lambda _: ReadOnly())
    with pytest.raises(RestoreError, match="Read-only file system"):
        repository.snapshots.restore(snapshot, target.with_name("other"), options=LENIENT)
    monkeypatch.setattr(os, "statvfs", real)


def test_what_can_not_be_deleted_does_not_keep_others_from_being_restored(
    repository: Repository, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("file", b"new")
    snapshot = repository.snapshots.create(source).manifest.id
    (target / "mounted" / "inside").mkdir(parents=True)
    (target / "extra").write_bytes(b"")
    (target / "mounted" / "data").write_bytes(b"of another file system")
    mounted = (target / "mounted").stat().st_ino
    real = target_folder.identity_of

    def identity(handle: int) -> tuple[int, int]:
        device, number = real(handle)
        return (device + (number == mounted), number)

    monkeypatch.setattr(target_folder, "identity_of", identity)
    result = repository.snapshots.restore(
        snapshot, target, options=RestoreOptions(ignore_errors=True, delete_extra=True)
    )
    assert [line.split(":")[0] for line in result.errors] == ["can't delete mounted"]
    assert names(target) == ["file", "mounted"]
    assert (target / "mounted" / "data").exists()


# --- no room, holes ---


@pytest.mark.parametrize("links", [1, 2])
def test_a_file_is_written_over_in_place_where_a_second_copy_has_no_room(
    repository: Repository, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, links: int
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("file", noise(MIB, "new"))
    snapshot = repository.snapshots.create(source).manifest.id
    with TreeBuilder(target) as tree:
        tree.file("file", noise(2 * MIB, "old"))
    if links > 1:
        os.link(target / "file", target.with_name("other name"))
    before = (target / "file").stat().st_ino
    real = os.pwrite

    def full(handle: int, data: bytes, position: int) -> int:
        if TEMPORARY_NAME.fullmatch(os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data, position)

    monkeypatch.setattr(os, "pwrite", full)
    refusing = RestoreOptions(in_place_when_full=False)
    with pytest.raises(RestoreError, match="No space left on device"):
        repository.snapshots.restore(snapshot, target, options=refusing)
    assert (target / "file").read_bytes() == noise(2 * MIB, "old")
    if links > 1:
        with pytest.raises(RestoreError, match="No space left on device"):
            repository.snapshots.restore(snapshot, target)
        assert target.with_name("other name").read_bytes() == noise(2 * MIB, "old")
        return
    result = repository.snapshots.restore(snapshot, target)
    assert_trees_equal(source, target)
    assert (target / "file").stat().st_ino == before
    assert len(result.warnings) == 1
    assert result.warnings[0].startswith("file: there is no room for a second copy")
    assert names(target) == ["file"]


@pytest.mark.parametrize("sparse", [None, True, False])
def test_long_runs_of_zeros_become_holes_unless_refused(
    repository: Repository, source: Path, target: Path, sparse: bool | None
) -> None:
    size = 3 * MIB
    with TreeBuilder(source) as tree:
        tree.file("image", noise(5000, "a") + bytes(size) + noise(5000, "b") + bytes(size))
        tree.file("small", bytes(40_960))
    snapshot = repository.snapshots.create(source).manifest.id
    repository.snapshots.restore(snapshot, target, options=RestoreOptions(write_sparse=sparse))
    assert_trees_equal(source, target)
    image, small = (target / "image").stat().st_blocks * 512, (target / "small").stat().st_blocks * 512
    assert (image < size) == (sparse is not False)
    assert (small == 0) == (sparse is True)


@pytest.mark.parametrize("position", [0, 1, 4095, 4096, 70_000])
@pytest.mark.parametrize("block", [4096, 65536])
def test_what_is_written_with_holes_reads_as_without(tmp_path: Path, position: int, block: int) -> None:
    from pykopia.snapshot.file_writing import write_sparse

    for data in (
        b"",
        bytes(3 * block),
        b"x" + bytes(2 * block) + b"y",
        bytes(block - 1) + b"x" + bytes(block) + b"y" * block + bytes(5),
        noise(3 * block + 7, "data"),
    ):
        with open(tmp_path / "file", "w+b") as file:
            write_sparse(file.fileno(), data, position, block)
            file.truncate(position + len(data))
            assert file.read() == bytes(position) + data


# --- names ---


def test_entries_of_one_name_are_all_restored_and_told(repository: Repository, target: Path) -> None:
    inner = folder_of(repository, file_of(repository, "inside", b"inside"))
    entries = [file_of(repository, "x", data) for data in (b"one", b"two")]
    entries += [msgspec.structs.replace(inner, name="x"), link_of(repository, "x", b"there")]
    root = folder_of(repository, *entries, file_of(repository, "y", b"other"))
    with pytest.raises(DuplicateNameError, match=r"x\.duplicate-2") as caught:
        repository.snapshots.restore(root, target)
    assert (caught.value.path, caught.value.restored_as) == ("x", "x.duplicate-2")
    assert names(target) == ["x", "x.duplicate-2", "x.duplicate-3", "x.duplicate-4", "y"]
    found = {
        os.readlink(path) if path.is_symlink() else path.read_text() for path in target.iterdir() if not path.is_dir()
    }
    assert found == {"one", "two", "there", "other"}
    assert [path.read_text() for path in target.rglob("inside")] == ["inside"]
    options = RestoreOptions(ignore_errors=True, delete_extra=True)
    result = repository.snapshots.restore(root, target, options=options)
    assert len(result.errors) == 3
    assert (result.counters.deleted_entries, len(names(target))) == (0, 5)
    assert list(repository.snapshots.plan_restore(root, target, options=options)) == []


def test_names_that_differ_in_case_alone_are_told_apart_where_the_target_does_not(
    repository: Repository, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder_of(repository, *(file_of(repository, name, name.encode()) for name in ("README", "Readme", "y")))
    repository.snapshots.restore(root, target)
    assert names(target) == ["README", "Readme", "y"]
    monkeypatch.setattr(LocalOutput, "_ignores_case", lambda *_: True)
    other = target.with_name("other")
    with pytest.raises(DuplicateNameError, match="is Readme in the target"):
        repository.snapshots.restore(root, other)
    assert (names(other), (other / "Readme.duplicate-2").read_bytes()) == (
        ["README", "Readme.duplicate-2", "y"],
        b"Readme",
    )


def test_an_entry_that_no_folder_can_hold_is_one_error(repository: Repository, target: Path) -> None:
    good = [file_of(repository, f"good-{number:03}", b"good") for number in range(150)]
    bad = [
        link_of(repository, "link-nul", b"a\0b"),
        link_of(repository, "link-long", b"a" * 5000),
        file_of(repository, "n" * 256, b"long name"),
        file_of(repository, "nul\0", b"nul"),
    ]
    root = folder_of(repository, *good, *bad)
    result = repository.snapshots.restore(root, target, options=LENIENT)
    assert len(result.errors) == len(bad)
    assert len(names(target)) == len(good)
    for name in ("out.tar", "out.zip"):
        lenient = repository.snapshots.restore(root, target.with_name(name), options=LENIENT)
        assert 3 <= len(lenient.errors) + (name == "out.tar") <= len(bad)


@pytest.mark.parametrize("time_ns", [(1 << 63) - 1, -(1 << 63), 3_000_000_000 * 10**9])
def test_a_time_that_the_target_can_not_hold_is_told(
    repository: Repository, target: Path, monkeypatch: pytest.MonkeyPatch, time_ns: int
) -> None:
    root = folder_of(repository, file_of(repository, "far", b"far", mtime_ns=time_ns), file_of(repository, "x", b"x"))
    real = os.utime

    def limited(path: int, *, ns: tuple[int, int]) -> None:
        real(path, ns=(0, min(max(ns[1], -(1 << 31) * 10**9), (1 << 31) * 10**9)))

    monkeypatch.setattr(os, "utime", limited)
    result = repository.snapshots.restore(root, target)
    assert [line.split(":")[0] for line in result.warnings] == ["far"]
    assert "can't hold its time" in result.warnings[0]
    assert names(target) == ["far", "x"]


def test_a_time_that_can_not_be_stored_becomes_the_nearest_and_is_told(
    repository: Repository, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (source / "late").write_bytes(b"late")
    os.utime(source / "late", (0, 13_580_000_000))
    if (source / "late").stat().st_mtime < 13_000_000_000:
        pytest.skip("this file system has no such times")
    repository.snapshots.create(source)
    entry = repository.snapshots.resolve(f"{repository.snapshots.list()[0].id}/late")
    assert entry.mtime_ns == (1 << 63) - 1
    assert [record.getMessage().split(" can't")[0] for record in caplog.records] == ["the time of late"]
    again = repository.snapshots.create(source)
    assert again.counters.cached_files == 1


# --- placeholders ---


def test_a_placeholder_goes_when_what_it_stands_for_is_restored(
    repository: Repository, source: Path, target: Path
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("file", noise(2000, "file"))
        tree.file("folder/inside/file", b"deep")
        tree.link("link", "file")
    snapshot = repository.snapshots.create(source).manifest.id
    repository.snapshots.restore(snapshot, target, options=RestoreOptions(shallow_depth=0))
    assert names(target) == ["file.kopia-entry", "folder.kopia-entry", "link"]
    (target / "link.kopia-entry").write_bytes(b"{}")
    repository.snapshots.restore(f"{snapshot}/folder", target / "folder")
    repository.snapshots.restore(f"{snapshot}/file", target / "file")
    repository.snapshots.restore(snapshot, target)
    assert_trees_equal(source, target)


def test_a_placeholder_stays_where_not_all_of_it_could_be_restored(repository: Repository, target: Path) -> None:
    broken = DirectoryEntry(name="broken", type="f", mode=0o644, size=4, object_id=ObjectID("00" * 16))
    inner = msgspec.structs.replace(folder_of(repository, broken, file_of(repository, "x", b"x")), name="folder")
    root = folder_of(repository, inner)
    repository.snapshots.restore(root, target, options=RestoreOptions(shallow_depth=0))
    result = repository.snapshots.restore(root, target, options=LENIENT)
    assert len(result.errors) == 1
    assert names(target) == ["folder", "folder.kopia-entry"]


# --- deep trees ---


def test_a_deep_tree_is_restored_and_removed_with_few_open_files(
    repository: Repository, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykopia.snapshot.restore._open_files", lambda: 64)
    depth = 170
    entry = folder_of(repository, file_of(repository, "deepest", b"deepest", mtime_ns=5))
    beside = file_of(repository, "file", b"beside")
    empty = msgspec.structs.replace(folder_of(repository), name="z")
    for level in range(depth):
        entry = folder_of(repository, msgspec.structs.replace(entry, name="d", mtime_ns=level + 1), beside, empty)
    most = 0
    make = LocalOutput.directory

    def counting(self: LocalOutput, parent: LocalFolder, entry: DirectoryEntry, path: str) -> LocalFolder:
        nonlocal most
        made = make(self, parent, entry, path)
        most = max(most, sum(folder.handle >= 0 for folder in list(self._open)))
        return made

    monkeypatch.setattr(LocalOutput, "directory", counting)
    for _ in range(2):
        repository.snapshots.restore(entry, target, options=RestoreOptions(parallel=2))
    assert most <= 64
    here = target
    for level in reversed(range(depth)):
        assert (here / "file").read_bytes() == b"beside"
        here = here / "d"
        assert here.stat().st_mtime_ns == level + 1
    assert (here / "deepest").read_bytes() == b"deepest"
    assert list(repository.snapshots.plan_restore(entry, target)) == []
    monkeypatch.setattr(LocalOutput, "directory", make)
    with few_open_files():
        options = RestoreOptions(delete_extra=True)
        repository.snapshots.restore(folder_of(repository), target, options=options)
    assert names(target) == []


@contextmanager
def few_open_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 150), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# --- what a killed restore leaves ---


def test_what_a_killed_restore_has_left_is_removed_by_the_next(
    repository: Repository, source: Path, target: Path
) -> None:
    with TreeBuilder(source) as tree:
        tree.file("folder/file", b"data")
    snapshot = repository.snapshots.create(source).manifest.id
    repository.snapshots.restore(snapshot, target)
    (target / "folder" / TEMPORARY).write_bytes(b"half")
    (target / TEMPORARY).symlink_to("half")
    (target / ".pykopia-mine").write_bytes(b"mine")
    told = [(change.kind, change.path) for change in repository.snapshots.plan_restore(snapshot, target)]
    assert [change for change in told if change[0] != "attributes"] == [
        ("delete", TEMPORARY),
        ("delete", f"folder/{TEMPORARY}"),
    ]
    repository.snapshots.restore(snapshot, target)
    (target / ".pykopia-mine").unlink()
    os.utime(target, ns=(0, source.stat().st_mtime_ns))
    assert_trees_equal(source, target)


def test_a_file_that_another_restore_is_writing_is_not_removed(
    repository: Repository, source: Path, target: Path
) -> None:
    import fcntl

    snapshot = repository.snapshots.create(source).manifest.id
    target.mkdir()
    with open(target / TEMPORARY, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        repository.snapshots.restore(snapshot, target)
        assert names(target) == [TEMPORARY]
    repository.snapshots.restore(snapshot, target)
    assert names(target) == []


def test_a_stored_file_of_such_a_name_is_kept(repository: Repository, source: Path, target: Path) -> None:
    with TreeBuilder(source) as tree:
        tree.file(TEMPORARY, b"stored")
    snapshot = repository.snapshots.create(source).manifest.id
    for _ in range(2):
        repository.snapshots.restore(snapshot, target, options=RestoreOptions(skip_existing=True))
        assert_trees_equal(source, target)
