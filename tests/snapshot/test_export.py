"""Archives to any stream."""

import io
import os
import socket
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

import pykopia
from pykopia import ExportFormat, RestoreOptions
from pykopia.api.repository import Repository
from pykopia.errors import CanceledError, RestoreError, SnapshotNotFoundError, UsageError


class Bare:
    """Has the one method that is needed."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def write(self, data: bytes) -> None:
        self.taken += data


class Sparing(io.RawIOBase):
    """Takes a few bytes at a time, as raw files and sockets may."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = bytearray()

    def write(self, data: memoryview | bytes) -> int:  # type: ignore[override]
        some = bytes(data)[:777]
        self.taken += some
        return len(some)


@pytest.fixture
def reference(repository: Repository, source: Path) -> str:
    (source / "folder").mkdir()
    (source / "folder" / "large").write_bytes(os.urandom(300_000))
    (source / "folder" / "grüße.txt").write_text("hello")
    (source / "link").symlink_to("folder")
    return repository.snapshots.create(source).manifest.id


def names(data: bytes, export_format: ExportFormat) -> dict[str, bytes]:
    """Return the files of an archive with their contents."""
    if export_format == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            return {each.filename: archive.read(each) for each in archive.infolist() if not each.is_dir()}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz" if export_format == "tar.gz" else "r:") as tar:
        opened = {each.name: tar.extractfile(each) for each in tar.getmembers() if each.isfile()}
        found = {name: stream.read() for name, stream in opened.items() if stream is not None}
        return found | {each.name: each.linkname.encode() for each in tar.getmembers() if each.issym()}


@pytest.mark.parametrize("export_format", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("sink", [io.BytesIO, Bare, Sparing])
def test_an_archive_goes_whole_to_any_sink(
    repository: Repository, reference: str, source: Path, export_format: ExportFormat, sink: Callable[[], Any]
) -> None:
    taking = sink()
    result = repository.snapshots.export(reference, taking, format=export_format)
    data = taking.getvalue() if isinstance(taking, io.BytesIO) else bytes(taking.taken)
    assert names(data, export_format) == {
        "folder/large": (source / "folder" / "large").read_bytes(),
        "folder/grüße.txt": b"hello",
        "link": b"folder",
    }
    assert (result.counters.restored_files, result.counters.restored_symlinks) == (2, 1)


def test_an_archive_goes_through_a_socket_without_a_buffer(repository: Repository, reference: str) -> None:
    here, there = socket.socketpair()
    received = bytearray()

    def receive() -> None:
        while data := there.recv(1000):
            received.extend(data)

    thread = threading.Thread(target=receive)
    thread.start()
    with here, here.makefile("wb", buffering=0) as stream:
        repository.snapshots.export(reference, stream)
        here.shutdown(socket.SHUT_WR)
        thread.join()
    there.close()
    assert len(names(bytes(received), "tar")) == 3


@pytest.mark.parametrize("export_format", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("inside", ["folder/grüße.txt", "link"])
def test_a_file_or_link_alone_is_an_archive_with_one_entry(
    repository: Repository, reference: str, export_format: ExportFormat, inside: str
) -> None:
    out = io.BytesIO()
    repository.snapshots.export(f"{reference}/{inside}", out, format=export_format)
    expected = {"link": b"folder"} if inside == "link" else {"grüße.txt": b"hello"}
    assert names(out.getvalue(), export_format) == expected


def test_a_part_is_exported(repository: Repository, reference: str) -> None:
    out = io.BytesIO()
    repository.snapshots.export(reference, out, options=RestoreOptions(include=("*.txt",)))
    assert list(names(out.getvalue(), "tar")) == ["folder/grüße.txt"]


def test_the_stream_stays_open(repository: Repository, reference: str, tmp_path: Path) -> None:
    with open(tmp_path / "out.tar", "wb") as out:
        repository.snapshots.export(reference, out)
        assert not out.closed
        assert out.write(b"") == 0
    with tarfile.open(tmp_path / "out.tar") as tar:
        assert len(tar.getnames()) == 4


def test_a_stream_that_fails_is_an_error(repository: Repository, reference: str) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(28, os.strerror(28))

    with pytest.raises(RestoreError, match="No space left"):
        repository.snapshots.export(reference, Full())


def test_a_stream_that_takes_nothing_now_is_an_error(repository: Repository, reference: str) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with open(reading, "rb"), open(writing, "wb", buffering=0) as stream, pytest.raises(RestoreError, match="blocks"):
        repository.snapshots.export(reference, stream)


def test_an_export_can_be_canceled_and_tells_its_progress(repository: Repository, reference: str) -> None:
    told: list[pykopia.RestoreCounters] = []
    repository.snapshots.export(reference, io.BytesIO(), progress=told.append)
    assert told[-1].restored_files == 2
    with pytest.raises(CanceledError):
        repository.snapshots.export(reference, io.BytesIO(), cancel=lambda: True)


def test_wrong_arguments_are_refused(repository: Repository, reference: str) -> None:
    with pytest.raises(UsageError, match="format must be one of tar"):
        repository.snapshots.export(reference, io.BytesIO(), format="rar")  # type: ignore[arg-type]
    with pytest.raises(SnapshotNotFoundError):
        repository.snapshots.export("k" + 32 * "0", io.BytesIO())


def test_a_restore_to_a_stream_that_takes_a_little_at_a_time_is_whole(
    repository: Repository, reference: str, source: Path
) -> None:
    sink: IO[bytes] = Sparing()  # type: ignore[assignment]
    repository.snapshots.restore(f"{reference}/folder/large", sink)
    assert bytes(sink.taken) == (source / "folder" / "large").read_bytes()  # type: ignore[attr-defined]
