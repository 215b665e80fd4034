"""Many files in one call: the native twins against the definitions."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pykopia.format.directory import DirectoryEntry
from pykopia.snapshot import small_files
from pykopia.snapshot.small_files import (
    FLUSH,
    GREW,
    IGNORE_RIGHTS,
    MODE,
    OWNER,
    SHRANK,
    TIME,
    python_finish_folder,
    python_make_folder,
    python_publish,
    python_read_files,
    python_write_files,
)

Read = Callable[[list[bytes], list[int]], list[bytes | int]]


@pytest.mark.parametrize("read", [small_files.read_files, python_read_files])
def test_files_that_are_not_as_listed_are_told_by_a_number(tmp_path: Path, read: Read) -> None:
    for name, data in (("same", b"12345"), ("grew", b"123456"), ("shrank", b"1234"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link").symlink_to("same")
    os.mkfifo(tmp_path / "pipe")
    names = ["same", "grew", "shrank", "empty", "link", "absent"]
    paths = [os.fsencode(tmp_path / name) for name in names]
    found = read(paths, [5, 5, 5, 0, 5, 5])
    assert found == [b"12345", GREW, SHRANK, b"", errno.ELOOP, errno.ENOENT]
    assert isinstance(read([os.fsencode(tmp_path / "pipe")], [5])[0], int)  # and nobody waits for a writer
    assert read([], []) == []


def test_both_twins_read_files_of_many_folders_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "ab", "a/b", "a/b/" + "long" * 60):
        (tmp_path / folder).mkdir()
        for name in ("1", "2", "3"):
            (tmp_path / folder / name).write_text(f"{folder}{name}")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "far").symlink_to("absent")
    within = ["a", "ab", "a/b", "a", "a/b/" + "long" * 60, "absent", "absent", "a/1", "link", "far", ".", "a/b"]
    paths = [f"{tmp_path}/{folder}/{name}" for folder in within for name in ("1", "3", "absent", "2")]
    paths += ["a/1", "a/2", "1", "2", "", "/", "/1", "/2", f"{tmp_path}/" + "deep/" * 1000 + "1"] * 2
    sizes = [os.stat(path).st_size if os.path.isfile(path) else 4 for path in paths]
    names = [*map(os.fsencode, paths)]
    found = small_files.read_files(names, sizes)
    assert found == python_read_files(names, sizes)
    assert found[:2] == [b"a1", b"a3"]


@pytest.mark.parametrize("write", [small_files.write_files, python_write_files])
def test_new_files_get_contents_and_attributes_and_others_are_left_alone(
    tmp_path: Path, write: Callable[..., list[int]]
) -> None:
    (tmp_path / "there").write_bytes(b"mine")
    (tmp_path / "link").symlink_to("elsewhere")
    owner = (os.getuid(), os.getgid())
    entries = [
        DirectoryEntry(name, "f", mode, 0, mtime_ns, *owner)
        for name, mode, mtime_ns in (
            ("new", 0o640, -1),
            ("there", 0o600, 5),
            ("link", 0o600, 5),
            ("empty", 0o4711, 7),
            ("sub/file", 0o600, 5),
        )
    ]
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flags = OWNER | MODE | TIME | FLUSH | IGNORE_RIGHTS
        made = write([folder] * 5, entries, [b"data", b"a", b"b", b"", b"c"], flags)
    finally:
        os.close(folder)
    assert made == [0, errno.EEXIST, errno.EEXIST, 0, errno.ENOENT]
    assert (tmp_path / "new").read_bytes() == b"data"
    assert (tmp_path / "there").read_bytes() == b"mine"
    assert not (tmp_path / "elsewhere").exists()
    status = (tmp_path / "new").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o640, -1)
    assert stat.S_IMODE((tmp_path / "empty").stat().st_mode) == 0o4711


@pytest.mark.parametrize("publish", [small_files.publish, python_publish])
def test_a_file_gets_its_name_only_where_nothing_has_it(
    tmp_path: Path, publish: Callable[[int, str, str], None]
) -> None:
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in ("a", "b", "c"):
            (tmp_path / name).write_text(name)
        publish(folder, "a", "n\udcffew")
        with pytest.raises(FileExistsError):
            publish(folder, "b", "c")
        (tmp_path / "link").symlink_to("nowhere")
        with pytest.raises(FileExistsError):
            publish(folder, "b", "link")
        with pytest.raises(FileNotFoundError):
            publish(folder, "none", "new")
    finally:
        os.close(folder)
    assert sorted(os.listdir(tmp_path)) == ["b", "c", "link", "n\udcffew"]
    assert [(tmp_path / name).read_text() for name in ("n\udcffew", "b", "c")] == ["a", "b", "c"]


def test_a_file_gets_its_name_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        python_publish(folder, "a", "new")
        with pytest.raises(FileExistsError):
            python_publish(folder, "b", "new")
    finally:
        os.close(folder)
    assert sorted(os.listdir(tmp_path)) == ["b", "new"]


@pytest.mark.parametrize(
    ("make", "finish"),
    [(small_files.make_folder, small_files.finish_folder), (python_make_folder, python_finish_folder)],
)
def test_folders_are_made_once_and_get_their_attributes_at_the_end(
    tmp_path: Path, make: Callable[[int, str], tuple[int, bool]], finish: Callable[[int, DirectoryEntry, int], None]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    parent = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        new, made = make(parent, "new")
        assert made
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
        again, made_again = make(parent, "new")
        assert not made_again
        os.close(again)
        for name, reason in (
            ("file", {errno.ENOTDIR}),
            ("link", {errno.ENOTDIR, errno.ELOOP}),
            ("a/b", {errno.ENOENT}),
        ):
            with pytest.raises(OSError, match=name) as caught:
                make(parent, name)
            assert caught.value.errno in reason
    finally:
        os.close(parent)
    finish(new, DirectoryEntry("new", "d", 0o1750, 0, -1_500_000_001, os.getuid(), os.getgid()), OWNER | MODE | TIME)
    status = (tmp_path / "new").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o1750, -1_500_000_001)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(new)
    with pytest.raises(OSError, match="Bad file descriptor"):
        finish(new, DirectoryEntry("new", "d"), MODE)
