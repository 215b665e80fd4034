"""Mounts by FUSE: real ones, where the machine lets us."""

import errno
import filecmp
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pykopia
from pykopia.access.mount_tree import MountTree, safe_names, tree_of_all, tree_of_source
from pykopia.access.mounting import mount
from pykopia.access.view import RepositoryView
from pykopia.errors import MountError, PathNotInSnapshotError
from pykopia.format.directory import Directory, DirectoryEntry
from pykopia.testing import CountingStorage
from tests.cli_runner import Runner

from .conftest import CLIENT, PASSWORD

Take = Callable[..., pykopia.SnapshotManifest]


def why_not() -> str:
    """Return why nothing can be mounted here; empty if it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse can't be opened"
    if shutil.which("fusermount3") is None:
        return "fusermount3 is missing: apt-get install fuse3"
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as error:
        return f"mfusepy can't be used: {error}"
    return ""


real = pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can")


def tree_of(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return what stat and readlink show of everything below a folder."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        link = os.readlink(path) if path.is_symlink() else ""
        size = 0 if path.is_dir() else status.st_size
        found[str(path.relative_to(folder))] = (
            status.st_mode, status.st_uid, status.st_gid, size, status.st_mtime_ns, link
        )  # fmt: skip
    return found


@pytest.fixture
def files(source: Path) -> Path:
    """Fill the source with what a mount must show as it is."""
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "b" / "deep").write_bytes(b"deep")
    (source / "grüße \n odd").write_bytes(b"odd")
    (source / "empty").write_bytes(b"")
    (source / "big").write_bytes(random.Random(1).randbytes(5_000_000))
    (source / "link").symlink_to("a/b/deep")
    (source / "nowhere").symlink_to("/no/such/file")
    os.chmod(source / "big", 0o4640)
    os.chmod(source / "a" / "b", 0o1711)
    for number, path in enumerate(sorted(source.rglob("*"))):
        os.utime(path, ns=(0, 1_600_000_000_123_456_789 + number), follow_symlinks=False)
    return source


class Mount:
    """Mounts in this process, and reads in another thread as long as it lasts."""

    def __init__(self, storage: CountingStorage, folder: Path) -> None:
        self.storage, self.folder = storage, folder

    def __call__(
        self,
        work: Callable[[Path], object],
        top: Callable[[pykopia.Repository], Callable[..., object]] | None = None,
    ) -> None:
        errors: list[BaseException] = []

        def read() -> None:
            try:
                work(self.folder)
            except BaseException as error:  # noqa: BLE001 -- raised by the test itself
                errors.append(error)
            finally:
                subprocess.run(["umount", self.folder], check=True)

        with pykopia.connect(self.storage, PASSWORD, client=CLIENT) as repository:
            entry = repository.snapshots.latest().root_entry
            chosen = top(repository) if top else lambda _: entry
            view = RepositoryView(repository)
            tree = MountTree(view, chosen)  # type: ignore[arg-type]
            self.storage.clear()
            mount(tree, self.folder, name="test", mounted=lambda: threading.Thread(target=read).start())
            view.close()
        if errors:
            raise errors[0]


@pytest.fixture
def mounted(storage: CountingStorage, tmp_path: Path) -> Mount:
    (tmp_path / "mounted").mkdir()
    return Mount(storage, tmp_path / "mounted")


@real
def test_a_mount_shows_times_modes_links_and_contents_as_they_were(files: Path, take: Take, mounted: Mount) -> None:
    expected = tree_of(files)
    take()

    def look(folder: Path) -> None:
        assert tree_of(folder) == expected
        assert sorted(os.listdir(folder)) == sorted(os.listdir(files))
        assert os.walk(folder)
        same, different, errors = filecmp.cmpfiles(
            files, folder, ["big", "empty", "link", "grüße \n odd", "a/b/deep"], shallow=False
        )
        assert (len(same), different, errors) == (5, [], [])
        assert not (folder / "missing").exists()
        used = subprocess.run(["du", "-s", "--apparent-size", "-B1", folder], capture_output=True, check=True)
        assert int(used.stdout.split()[0]) > 5_000_000

    mounted(look)


@real
def test_many_readers_read_at_once_and_nothing_is_written(
    files: Path, take: Take, mounted: Mount, storage: CountingStorage
) -> None:
    take()
    data = (files / "big").read_bytes()

    def read_pieces(folder: Path) -> None:
        def read(seed: int) -> None:
            chance = random.Random(seed)
            with (folder / "big").open("rb", buffering=0) as file:
                for _ in range(20):
                    start, length = chance.randrange(len(data)), chance.randrange(200_000)
                    assert os.pread(file.fileno(), length, start) == data[start : start + length]

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(read, range(8)))

    mounted(read_pieces)
    assert storage.count("put") == storage.count("delete") == storage.count("extend_retention") == 0
    fetched = [(call.blob_id, call.offset) for call in storage.calls("get", "p")]
    assert len(set(fetched)) == len(fetched), "no chunk is fetched twice"


@real
def test_nothing_can_be_changed_through_a_mount(files: Path, take: Take, mounted: Mount) -> None:
    take()

    def change(folder: Path) -> None:
        for write in (
            lambda: (folder / "new").write_bytes(b"x"),
            lambda: (folder / "big").unlink(),
            lambda: (folder / "big").rename(folder / "other"),
            lambda: os.chmod(folder / "big", 0o777),
            lambda: os.truncate(folder / "big", 0),
            lambda: (folder / "folder").mkdir(),
        ):
            with pytest.raises(OSError) as caught:  # noqa: PT011 -- the number is what is checked
                write()
            assert caught.value.errno == errno.EROFS

    mounted(change)


@real
def test_what_is_lost_is_an_input_output_error_and_the_rest_is_read_on(
    files: Path, take: Take, mounted: Mount, storage: CountingStorage, repository: pykopia.Repository
) -> None:
    snapshot = take()
    entry = repository.snapshots.resolve(f"{snapshot.id}/a/b/deep")
    (files / "later").write_bytes(b"in another pack")
    take(1)
    lost = repository.contents.entry(entry.object_id).pack_blob

    def read(folder: Path) -> None:
        storage.delete(pykopia.BlobID(lost))
        with pytest.raises(OSError) as caught:  # noqa: PT011
            (folder / "a" / "b" / "deep").read_bytes()
        assert caught.value.errno == errno.EIO
        assert (folder / "later").read_bytes() == b"in another pack"
        assert (folder / "a" / "b" / "deep").lstat().st_size == 4

    mounted(read)


@real
def test_a_snapshot_that_is_deleted_while_it_is_mounted_stays_readable(
    files: Path, take: Take, mounted: Mount, repository: pykopia.Repository
) -> None:
    snapshot = take()

    def read(folder: Path) -> None:
        repository.snapshots.delete(snapshot)
        assert (folder / "a" / "b" / "deep").read_bytes() == b"deep"

    mounted(read)


@real
def test_all_sources_are_laid_out_as_by_kopia(
    files: Path, take: Take, mounted: Mount, storage: CountingStorage
) -> None:
    take()
    take(1, as_path="/home/ann")

    def look(folder: Path) -> None:
        assert os.listdir(folder) == ["ann@box"]
        assert sorted(os.listdir(folder / "ann@box")) == ["data", "home_ann"]
        assert os.listdir(folder / "ann@box" / "home_ann") == ["20260922-141320"]
        assert (folder / "ann@box" / "data" / "20260921-141320" / "a" / "b" / "deep").read_bytes() == b"deep"
        assert not (folder / "ann@box" / "none").exists()

    mounted(look, top=lambda _: tree_of_all)


# ---------------------------------------------------------------------- without a mount


def snapshot(path: str, start_ns: int = 0, **more: str) -> pykopia.SnapshotManifest:
    return pykopia.SnapshotManifest(
        source=pykopia.SourceInfo(user_name=more.get("user", "u"), host="h", path=path),
        start_time_ns=start_ns,
        end_time_ns=start_ns,
        incomplete=more.get("incomplete", ""),
        root_entry=DirectoryEntry(name="root", type="d", object_id=pykopia.ObjectID("k" + "0" * 32)),
    )


def test_names_of_sources_are_those_of_kopia() -> None:
    paths = ["/", "/home/ann", "C:\\Users\\Ann", "/Home/Ann", "/a/", "s3://bucket/x", ".."]
    assert safe_names(paths) == {
        "/": "__root",
        "/home/ann": "home_ann (2)",
        "C:\\Users\\Ann": "C_Users_Ann",
        "/Home/Ann": "Home_Ann",
        "/a/": "a",
        "s3://bucket/x": "s3__bucket_x",
        "..": "_..",
    }


def test_times_name_snapshots_and_none_is_left_out() -> None:
    same = [snapshot("/x", 1_790_000_000_000_000_000 + each) for each in range(3)]
    broken = snapshot("/x", 1_790_000_000_000_000_000, incomplete="limit/reached")
    assert list(tree_of_source([*same, broken])) == [
        "20260921-141320",
        "20260921-141320 (limit_reached)",
        "20260921-141320 (2)",
        "20260921-141320 (3)",
    ]
    assert set(tree_of_all([*same, snapshot("/y", user="v")])) == {"u@h", "v@h"}


def test_names_that_no_file_can_have_are_not_shown(storage: CountingStorage, repository: pykopia.Repository) -> None:
    with repository.writer() as writer:
        data = writer.objects.write(b"x")
        good = DirectoryEntry(name="good", type="f", size=1, object_id=data)
        first = b'{"name":"good"'
        others = b"".join(
            b'{"name":"%s","type":"f","obj":"%s"},' % (name, data.encode()) for name in (b"..", b".", b"a/b")
        )
        text = Directory((good,)).to_bytes().replace(first, others + first)
        root = writer.objects.write(text, prefix="k")
    entry = DirectoryEntry(name="", type="d", mode=0o755, object_id=root)
    tree = MountTree(RepositoryView(repository), lambda _: entry)
    assert [name for name, _ in tree.entries("/")] == ["good"]
    assert tree.entry("/../..").type == "d"
    with pytest.raises(PathNotInSnapshotError):
        tree.entry("/a/b")
    with pytest.raises(NotADirectoryError):
        list(tree.entries("/good"))


# ---------------------------------------------------------------------- the command


@pytest.fixture
def client(files: Path, tmp_path: Path) -> Iterator[Runner]:
    cli = Runner(tmp_path / "client")
    cli.ok("repository", "create", "filesystem", "--path", f"{tmp_path}/repository")
    cli.ok("snapshot", "create", f"{files}")
    (tmp_path / "at").mkdir()
    yield cli
    if os.path.ismount(tmp_path / "at"):
        subprocess.run(["umount", tmp_path / "at"], check=True)


@real
def test_a_mount_in_the_background_is_there_when_the_command_returns(
    client: Runner, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pykopia").mkdir()  # a folder of that name here is not the program
    monkeypatch.chdir(tmp_path)
    result = client.ok("mount", "--background", "latest", f"{tmp_path}/at")
    assert "mounted latest on" in result.stderr
    assert tree_of(tmp_path / "at") == tree_of(files)
    listed = [line for line in Path("/proc/mounts").read_text().splitlines() if f"{tmp_path}/at" in line]
    assert "fuse.pykopia ro," in listed[0]


@real
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unmounts_and_the_program_ends_well(client: Runner, tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "pykopia", "--config-file", client.config, "mount", "all", tmp_path / "at"],
        env={**os.environ, "KOPIA_PASSWORD": client.password, "HOME": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process, process.stderr as messages:
        assert any("press Ctrl-C to unmount" in line for line in iter(messages.readline, ""))
        assert len(os.listdir(tmp_path / "at")) == 1
        process.send_signal(number)
        assert "unmounted" in messages.read()
        assert process.wait() == 0
    assert not os.path.ismount(tmp_path / "at")
    assert os.listdir(tmp_path / "at") == []


@real
def test_what_can_not_be_mounted_is_said(client: Runner, tmp_path: Path, files: Path) -> None:
    for words, message in {
        ("latest/big", "{at}"): "is a file, and only folders can be mounted",
        ("latest", "{tmp}/none"): "can't mount at {tmp}/none: it is no folder",
        ("latest", "{files}"): "it is not empty",
        ("no-such-thing", "{at}"): "no-such-thing",
    }.items():
        places = {"at": tmp_path / "at", "tmp": tmp_path, "files": files}
        given = [word.format(**places) for word in words]
        for how in ("--foreground", "--background"):
            result = client("mount", how, *given)
            assert result.status != 0
            assert message.format(**places) in result.stderr
    assert client("mount", "--foreground", "--background").status == 1


def test_without_fuse_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, repository: pykopia.Repository, tmp_path: Path, take: Take
) -> None:
    take()
    monkeypatch.setitem(sys.modules, "mfusepy", None)
    monkeypatch.delitem(sys.modules, "pykopia.access.fuse", raising=False)
    tree = MountTree(RepositoryView(repository), lambda _: DirectoryEntry(name="", type="d"))
    with pytest.raises(MountError, match=r"install `pykopia\[mount\]`"):
        mount(tree, tmp_path, name="x", mounted=lambda: None)
    assert stat.S_ISDIR(tmp_path.stat().st_mode)
