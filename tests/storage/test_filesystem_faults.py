"""A folder as a storage when things go wrong: durability, rights, full and failing disks."""

import errno
import os
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    InvalidRangeError,
    ReadOnlyStorageError,
    StorageAccessDeniedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    UnsupportedOptionError,
)
from pykopia.ids import BlobID
from pykopia.storage.backends.filesystem.options import FilesystemOptions
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.base import BlobMetadata, PutOptions
from pykopia.testing.storage_tests import FORMAT, PACK

GOLDEN = Path(__file__).parents[1] / "golden"
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to act as another user or to give files away")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def storage(root: Path) -> FilesystemStorage:
    return FilesystemStorage(root, create=True)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


# -- durability --------------------------------------------------------------------------------------------------------


class Trace:
    """The system calls of puts, in order, with paths relative to the root and random parts cut off."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.calls: list[str] = []
        self.root = str(root)
        self.paths: dict[int, str] = {}
        for name in ("open", "write", "fsync", "close", "rename", "mkdir", "link", "unlink", "utime", "fchown"):
            monkeypatch.setattr(os, name, self._traced(name, getattr(os, name)))

    def _traced(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            shown = [self._show(arg) for arg in args[: 2 if name in {"rename", "link"} else 1]]
            self.calls.append(f"{name} {' '.join(shown)}")
            result = real(*args, **kwargs)
            if isinstance(result, int) and name == "open":
                self.paths[result] = str(args[0])
            return result

        return call

    def _show(self, arg: object) -> str:
        path = self.paths.get(arg, "?") if isinstance(arg, int) else str(arg)
        short = os.path.relpath(path, self.root)
        return short.partition(".tmp.")[0] + ".tmp" if ".tmp." in short else short


def test_a_put_is_flushed_before_it_shows_and_its_folder_after(
    storage: FilesystemStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put(BlobID("p102" + "0" * 30), b"x")
    trace = Trace(monkeypatch, root)
    storage.put(BlobID("p102" + "1" * 30), b"x")
    temporary, final = f"p/102/{'1' * 30}.f.tmp", f"p/102/{'1' * 30}.f"
    assert trace.calls == [
        f"open {temporary}",
        f"write {temporary}",
        f"fsync {temporary}",
        f"close {temporary}",
        f"rename {temporary} {final}",
        "open p/102",
        "fsync p/102",
        "close p/102",
    ]


def test_new_folders_are_flushed_with_their_parents(
    storage: FilesystemStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put(FORMAT, b"x")
    trace = Trace(monkeypatch, root)
    storage.put(BlobID("p102" + "1" * 30), b"x")
    relevant = [call for call in trace.calls if call.startswith(("mkdir", "fsync"))]
    assert relevant == ["mkdir p", "fsync .", "mkdir p/102", "fsync p", f"fsync p/102/{'1' * 30}.f.tmp", "fsync p/102"]


def test_a_put_waits_for_the_flush_of_folders_that_another_thread_makes(
    storage: FilesystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put(FORMAT, b"x")
    first, second = BlobID("p102" + "1" * 30), BlobID("p102" + "2" * 30)
    made, go_on = threading.Event(), threading.Event()
    real = os.mkdir

    def slow(path: str, mode: int = 0o777) -> None:
        real(path, mode)
        if path.endswith("102"):
            made.set()
            assert go_on.wait(30)

    monkeypatch.setattr(os, "mkdir", slow)
    with ThreadPoolExecutor(2) as pool:
        maker = pool.submit(storage.put, first, b"x")
        assert made.wait(30)
        follower = pool.submit(storage.put, second, b"x")
        while not [*storage.list(second)]:  # it is written, but its folder may not survive a power cut yet
            pass
        assert not follower.done()
        go_on.set()
        assert maker.result().length == follower.result().length == 1


@pytest.mark.parametrize("method", ["write", "fsync", "rename"])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, StorageFullError),
        (errno.EDQUOT, StorageFullError),
        (errno.EIO, StorageUnavailableError),
        (errno.ESTALE, StorageUnavailableError),
        (errno.EACCES, StorageAccessDeniedError),
        (errno.EPERM, StorageAccessDeniedError),
        (errno.EROFS, ReadOnlyStorageError),
        (errno.EFBIG, StorageError),
    ],
)
def test_a_put_that_fails_leaves_the_old_blob_and_no_temporary_file(
    storage: FilesystemStorage,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    code: int,
    expected: type[StorageError],
) -> None:
    storage.put(PACK, b"old")
    before = files(root)

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, method, fail)
        with pytest.raises(StorageError, match=f"write blob {PACK} to {root}: {os.strerror(code)}") as caught:
            storage.put(PACK, b"new")
    assert type(caught.value) is expected
    assert caught.value.temporary is (expected is StorageUnavailableError)
    assert files(root) == before
    assert storage.get(PACK) == b"old"


def test_an_interrupted_put_leaves_no_temporary_file(
    storage: FilesystemStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put(FORMAT, b"old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        storage.put(FORMAT, b"new")
    assert files(root) == [".shards", "kopia.repository.f"]
    assert storage.get(FORMAT) == b"old"


def test_short_writes_are_continued(storage: FilesystemStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, bytes(data)[:3]))
    storage.put(PACK, memoryview(b"0123456789"))
    assert storage.get(PACK) == b"0123456789"


def test_short_reads_are_continued(storage: FilesystemStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.put(PACK, b"0123456789")
    pread, preadv = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda file, length, offset: pread(file, min(length, 3), offset))
    monkeypatch.setattr(os, "preadv", lambda file, views, offset: preadv(file, [views[0][:3]], offset))
    assert storage.get(PACK) == b"0123456789"
    assert storage.get(PACK, 2, 7) == b"2345678"
    buffer = bytearray(8)
    storage.get_into(PACK, buffer, 1)
    assert buffer == b"12345678"


def test_a_file_that_is_cut_while_it_is_read_is_an_error(
    storage: FilesystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put(PACK, b"0123456789")
    pread, preadv = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda file, length, offset: pread(file, max(0, min(length, 5 - offset)), offset))
    monkeypatch.setattr(os, "preadv", lambda file, views, offset: 0 if offset else preadv(file, [views[0][:5]], 0))
    with pytest.raises(InvalidRangeError):
        storage.get(PACK)
    with pytest.raises(InvalidRangeError):
        storage.get_into(PACK, bytearray(10))


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EIO])
def test_a_filesystem_that_can_not_flush_folders_is_borne_but_not_one_that_fails_to(
    storage: FilesystemStorage, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = os.fsync

    def flush(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(code, os.strerror(code))
        real(file)

    monkeypatch.setattr(os, "fsync", flush)
    if code == errno.EIO:
        with pytest.raises(StorageUnavailableError):
            storage.put(FORMAT, b"x")
    else:
        storage.put(FORMAT, b"x")
        assert storage.get(FORMAT) == b"x"


# -- modes, owners, times ----------------------------------------------------------------------------------------------


def test_files_and_folders_are_private(storage: FilesystemStorage, root: Path) -> None:
    storage.put(PACK, b"x")
    modes = {str(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*")}
    assert modes == {".shards": 0o600, "p": 0o700, "p/102": 0o700, f"p/102/{PACK[4:]}.f": 0o600}


def test_modes_of_the_connection_are_used(root: Path) -> None:
    options = FilesystemOptions(path=str(root), file_mode=0o640, dir_mode=0o750)
    FilesystemStorage.from_options(options, create=True).put(PACK, b"x")
    assert stat.S_IMODE(root.stat().st_mode) == 0o750
    assert stat.S_IMODE((root / "p" / "102").stat().st_mode) == 0o750
    assert stat.S_IMODE((root / "p" / "102" / f"{PACK[4:]}.f").stat().st_mode) == 0o640


@as_root
@pytest.mark.parametrize(("uid", "gid", "owner"), [(1234, 2345, (1234, 2345)), (1234, None, None), (None, 2345, None)])
def test_root_gives_files_away_if_user_and_group_are_named(
    root: Path, uid: int | None, gid: int | None, owner: tuple[int, int] | None
) -> None:
    storage = FilesystemStorage(root, create=True, options=FilesystemOptions(uid=uid, gid=gid))
    storage.put(PACK, b"x")
    found = (root / "p" / "102" / f"{PACK[4:]}.f").stat()
    assert (found.st_uid, found.st_gid) == (owner or (os.geteuid(), os.getegid()))


def test_a_put_returns_the_metadata_that_is_asked_for_later(storage: FilesystemStorage) -> None:
    returned = storage.put(PACK, b"hello", PutOptions(set_mtime_ns=1_600_000_000_123_456_789))
    assert returned == BlobMetadata(blob_id=PACK, length=5, timestamp_ns=1_600_000_000_123_456_789)
    assert storage.metadata(PACK) == returned
    assert [*storage.list()] == [returned]


# -- create only if absent ---------------------------------------------------------------------------------------------

CREATE = PutOptions(do_not_recreate=True)


def test_creating_leaves_no_temporary_file(storage: FilesystemStorage, root: Path) -> None:
    storage.put(FORMAT, b"first", CREATE)
    with pytest.raises(BlobExistsError):
        storage.put(FORMAT, b"second", CREATE)
    assert files(root) == [".shards", "kopia.repository.f"]
    assert (root / "kopia.repository.f").stat().st_nlink == 1


def test_creating_needs_hard_links(storage: FilesystemStorage, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(UnsupportedOptionError, match="no hard links"):
        storage.put(FORMAT, b"x", CREATE)
    assert files(root) == [".shards"]


def test_a_link_whose_answer_was_lost_is_recognised(
    storage: FilesystemStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def twice(source: str, target: str, **options: bool) -> None:
        real(source, target, **options)
        real(source, target, **options)

    monkeypatch.setattr(os, "link", twice)
    storage.put(FORMAT, b"x", CREATE)
    assert files(root) == [".shards", "kopia.repository.f"]


def test_creating_reports_other_errors_as_they_are(storage: FilesystemStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(StorageFullError):
        storage.put(FORMAT, b"x", CREATE)


# -- what goes wrong on disks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.EIO, StorageUnavailableError),
        (errno.ESTALE, StorageUnavailableError),
        (errno.EACCES, StorageAccessDeniedError),
        (errno.ELOOP, StorageError),
    ],
)
def test_errors_of_the_system_say_what_was_done_to_what(
    storage: FilesystemStorage, monkeypatch: pytest.MonkeyPatch, code: int, expected: type[StorageError]
) -> None:
    storage.put(PACK, b"x")

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    calls: dict[str, tuple[str, Callable[[], object]]] = {
        "open": ("read blob", lambda: storage.get(PACK)),
        "pread": ("read blob", lambda: storage.get(PACK)),
        "preadv": ("read blob", lambda: storage.get_into(PACK, bytearray(1))),
        "stat": ("look at blob", lambda: storage.metadata(PACK)),
        "unlink": ("delete blob", lambda: storage.delete(PACK)),
        "scandir": ("list the blobs", lambda: [*storage.list()]),
        "statvfs": ("ask for the free space", storage.capacity),
    }
    for method, (doing, call) in calls.items():
        with monkeypatch.context() as patch:
            patch.setattr(os, method, fail)
            with pytest.raises(StorageError) as caught:
                call()
        assert type(caught.value) is expected, method
        assert str(caught.value).startswith(f"can't {doing}"), method
        assert storage.root in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)


def test_a_shards_file_that_can_not_be_read_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FilesystemStorage(root, create=True)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(StorageUnavailableError, match=rf"read \.shards in {root}"):
        storage.get(PACK)
    with pytest.raises(StorageUnavailableError):
        storage.put(PACK, b"x")
    assert files(root) == []


def test_a_root_that_can_not_be_looked_at_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "stat", fail)
    with pytest.raises(StorageUnavailableError, match=f"open the storage folder {root}"):
        FilesystemStorage(root)


def test_access_denied_names_the_user(storage: FilesystemStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(StorageAccessDeniedError, match=f"Permission denied for user ID {os.geteuid()}"):
        [*storage.list()]


def test_a_folder_in_the_place_of_a_blob_is_an_error(storage: FilesystemStorage, root: Path) -> None:
    (root / "kopia.repository.f").mkdir()
    for call in (
        lambda: storage.get(FORMAT, 0, 1),
        lambda: storage.put(FORMAT, b"x"),
        lambda: storage.delete(FORMAT),
    ):
        with pytest.raises(StorageError):
            call()


def test_a_file_in_the_place_of_a_folder_is_an_error(storage: FilesystemStorage, root: Path) -> None:
    (root / "p").write_bytes(b"x")
    for call in (lambda: storage.get(PACK), lambda: storage.put(PACK, b"x"), lambda: storage.metadata(PACK)):
        with pytest.raises(StorageError) as caught:
            call()
        assert not isinstance(caught.value, BlobNotFoundError)


@pytest.mark.parametrize("workers", [0, 3])
def test_what_vanishes_while_listing_is_left_out(root: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    storage = FilesystemStorage(root, create=True, options=FilesystemOptions(list_parallelism=workers))
    for name in ("p1" + "0" * 30, "q1" + "0" * 30, "kopia.repository"):
        storage.put(BlobID(name), b"x")
    real = os.scandir

    def scan(path: str) -> object:
        if path.endswith("/q"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        entries = real(path)
        if path == storage.root:
            (root / "kopia.repository.f").unlink(missing_ok=True)
        return entries

    monkeypatch.setattr(os, "scandir", scan)
    assert [blob.blob_id for blob in storage.list()] == ["p1" + "0" * 30]


def test_a_listing_in_parallel_passes_errors_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FilesystemStorage(root, create=True, options=FilesystemOptions(list_parallelism=3))
    storage.put(PACK, b"x")
    real = os.scandir

    def scan(path: str) -> object:
        if path.endswith("/p"):
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(StorageUnavailableError):
        [*storage.list()]


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


AS_NOBODY = """
import os, sys
from pykopia.errors import StorageAccessDeniedError
from pykopia.storage.backends.filesystem.storage import FilesystemStorage

os.setegid(65534)
os.seteuid(65534)

def denied(call):
    try:
        call()
    except StorageAccessDeniedError as error:
        assert "user ID 65534" in str(error) and sys.argv[1] in str(error), error
    else:
        raise SystemExit("a call was not denied")
"""


def run_as_nobody(program: str, *arguments: str) -> None:
    command = [sys.executable, "-c", AS_NOBODY + textwrap.dedent(program), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@as_root
def test_another_user_without_rights_is_denied_by_name(reachable: Path) -> None:
    storage = FilesystemStorage(reachable)
    storage.put(PACK, b"x")
    storage.put(FORMAT, b"x")
    (reachable / ".shards").chmod(0o644)
    run_as_nobody(
        """
        storage = FilesystemStorage(sys.argv[1])
        denied(lambda: storage.get("kopia.repository"))
        denied(lambda: storage.get(sys.argv[2]))
        denied(lambda: storage.metadata(sys.argv[2]))
        denied(lambda: storage.put("kopia.repository", b"y"))
        denied(lambda: storage.delete("kopia.repository"))
        denied(lambda: [*storage.list()])
        """,
        str(reachable),
        PACK,
    )
    assert storage.get(FORMAT) == b"x"


@as_root
def test_a_root_that_can_not_be_reached_is_not_taken_for_missing(reachable: Path) -> None:
    reachable.chmod(0o700)
    for root in (reachable / "there", reachable / "missing"):
        FilesystemStorage(reachable / "there", create=True)
        run_as_nobody(
            """
            denied(lambda: FilesystemStorage(sys.argv[1]))
            denied(lambda: FilesystemStorage(sys.argv[1], create=True))
            """,
            str(root),
        )
