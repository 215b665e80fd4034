"""``kopia://`` as fsspec's methods show it."""

import asyncio
import io
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest

import pykopia
from pykopia.access.filesystem import KopiaFileSystem
from pykopia.api.repository import Repository
from pykopia.errors import UnreadableFileError, UsageError
from pykopia.testing import CountingStorage

from .conftest import PASSWORD

Take = Callable[..., pykopia.SnapshotManifest]

LATEST = "ann@box:/data/@latest"
MIB = 1 << 20


@pytest.fixture
def two(source: Path, take: Take) -> tuple[pykopia.SnapshotManifest, pykopia.SnapshotManifest]:
    """Take a snapshot, and another one a day later."""
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "b" / "deep.csv").write_bytes(b"x,y\n1,2\n")
    (source / "top").write_bytes(b"first")
    (source / "link").symlink_to("a/b/deep.csv")
    os.chmod(source / "top", 0o640)
    first = take(tags={"team": "blue"})
    (source / "top").write_bytes(b"second, longer")
    os.utime(source / "top", ns=(0, 1_700_000_000_123_456_789))
    return first, take(1)


def test_the_tree_of_a_repository_is_listed_from_its_root(fs: KopiaFileSystem, two: object, take: Take) -> None:
    fs.invalidate_cache()
    assert fs.ls("", detail=False) == ["ann@box:"]
    assert fs.ls("kopia://ann@box:", detail=False) == ["ann@box:/data"]
    names = ["ann@box:/data/@2026-09-21T14:13:20Z", "ann@box:/data/@2026-09-22T14:13:20Z"]
    assert fs.ls("ann@box:/data", detail=False) == names
    assert fs.ls(names[0], detail=False) == [f"{names[0]}/{name}" for name in ("a", "link", "top")]
    assert [fs.cat_file(f"{name}/top") for name in names] == [b"first", b"second, longer"]
    assert fs.info(names[0])["type"] == fs.info("ann@box:/data")["type"] == fs.info("")["type"] == "directory"


def test_a_snapshot_is_named_by_id_time_tag_and_number(
    fs: KopiaFileSystem, two: tuple[pykopia.SnapshotManifest, pykopia.SnapshotManifest]
) -> None:
    first, second = two
    for name, expected in {
        f"{second.id}/top": b"second, longer",
        f"{first.id[:12]}/top": b"first",
        "latest/top": b"second, longer",
        f"{LATEST}/top": b"second, longer",
        "ann@box:/data@latest~1/top": b"first",
        f"ann@box:/data@{first.id}/top": b"first",
        "ann@box:/data@2026-09-21/top": b"first",
        "ann@box:/data@2026-09-22T14:13/top": b"second, longer",
        "ann@box:/data@2026-09-22T14:12/top": b"first",
        "ann@box:/data@2026-09-22T15:12+01:00/top": b"first",
        "ann@box:/data@2026-09/top": b"second, longer",
        "ann@box:/data@tag:team=blue/top": b"first",
    }.items():
        assert fs.cat_file(f"kopia://{name}") == expected, name


@pytest.mark.parametrize(
    "name",
    [
        "ann@box:/data@latest/missing",
        "ann@box:/data@latest/top/below",
        "ann@box:/data@latest~2/top",
        "ann@box:/data@2020-01-01/top",
        "ann@box:/data@2026-13-01/top",
        "ann@box:/data@tag:team=red/top",
        "ann@box:/data@0123456789abcdef0123456789abcdef/top",
        "ann@box:/nowhere@latest/top",
        "ann@box:/nowhere",
        "bob@box:/data@latest/top",
        "0123456789abcdef0123456789abcdef/top",
        "xy",
    ],
)
def test_what_is_not_there_is_a_file_not_found_error(fs: KopiaFileSystem, two: object, name: str) -> None:
    for read in (fs.info, fs.ls, fs.open, fs.cat_file, fs.du, fs.checksum, fs.modified):
        with pytest.raises(FileNotFoundError):
            read(name)
    assert not fs.exists(name)
    assert not fs.isfile(name)
    assert not fs.isdir(name)
    assert fs.find(name) == []
    assert list(fs.walk(name)) == []
    assert isinstance(fs.cat_ranges([name], 0, 1)[0], FileNotFoundError)


def test_entries_are_found_walked_and_matched(fs: KopiaFileSystem, two: object) -> None:
    deep = f"{LATEST}/a/b/deep.csv"
    assert fs.find("ann@box:/data@latest") == [deep, f"{LATEST}/link", f"{LATEST}/top"]
    assert fs.find(LATEST, maxdepth=1, withdirs=True) == [
        LATEST,
        f"{LATEST}/a",
        f"{LATEST}/link",
        f"{LATEST}/top",
    ]
    assert list(fs.find(deep, detail=True)) == [deep]
    assert len(fs.find("")) == 6
    assert list(fs.walk(LATEST)) == [
        (LATEST, ["a"], ["link", "top"]),
        (f"{LATEST}/a", ["b"], []),
        (f"{LATEST}/a/b", [], ["deep.csv"]),
    ]
    assert [path for path, *_ in fs.walk("", topdown=False)][-1] == ""
    assert len(list(fs.walk("ann@box:", maxdepth=2))) == 2
    for _, folders, _ in (walk := fs.walk(LATEST)):
        folders.clear()
    assert list(walk) == []
    assert fs.glob("ann@box:/data@latest/**/*.csv") == [deep]
    assert fs.glob("kopia://ann@box:/data@*/top") == [f"ann@box:/data/@2026-09-2{day}T14:13:20Z/top" for day in (1, 2)]
    assert fs.glob("ann@box:/data@2026-09-21*/a/*") == ["ann@box:/data/@2026-09-21T14:13:20Z/a/b"]


def test_sizes_times_modes_and_checksums(fs: KopiaFileSystem, two: object) -> None:
    info = fs.info(f"{LATEST}/top")
    assert (info["type"], info["size"], info["mode"] & 0o7777) == ("file", 14, 0o640)
    assert info["mtime_ns"] == 1_700_000_000_123_456_789
    assert fs.modified(f"{LATEST}/top") == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert fs.info(f"{LATEST}/a")["total_size"] == fs.du(f"{LATEST}/a") == 8
    assert fs.du(LATEST) == fs.du("ann@box:/data@latest", maxdepth=9) == 22
    assert fs.du(LATEST, total=False) == {
        f"{LATEST}/a/b/deep.csv": 8,
        f"{LATEST}/link": 0,
        f"{LATEST}/top": 14,
    }
    old = "ann@box:/data@2026-09-21"
    assert fs.checksum(f"{LATEST}/a/b/deep.csv") == fs.checksum(f"{old}/a/b/deep.csv")
    assert fs.checksum(f"{LATEST}/top") != fs.checksum(f"{old}/top")
    assert fs.info(LATEST)["snapshot"]
    with pytest.raises(IsADirectoryError):
        fs.checksum("ann@box:/data")


def test_links_are_listed_and_followed_within_the_snapshot(fs: KopiaFileSystem, source: Path, take: Take) -> None:
    (source / "a").mkdir()
    (source / "a" / "file").write_bytes(b"here")
    for name, target in {
        "good": "a/file",
        "folder": "a",
        "a/up": "../good",
        "out": "../../etc/passwd",
        "absolute": "/etc/passwd",
        "nowhere": "a/none",
        "circle": "circle",
    }.items():
        (source / name).symlink_to(target)
    take()
    fs.invalidate_cache()
    assert fs.info(f"{LATEST}/good")["type"] == "link"
    assert fs.info(f"{LATEST}/good")["destination"] == "a/file"
    for name in ("good", "folder/file", "a/up", "folder/up"):
        assert fs.cat_file(f"{LATEST}/{name}") == b"here"
        assert fs.open(f"{LATEST}/{name}").path == f"{LATEST}/a/file"
    assert fs.ls(f"{LATEST}/folder", detail=False) == [f"{LATEST}/a/file", f"{LATEST}/a/up"]
    assert f"{LATEST}/folder/file" not in fs.find(LATEST)
    for name in ("out", "absolute", "nowhere", "circle"):
        assert fs.exists(f"{LATEST}/{name}")
        with pytest.raises(FileNotFoundError):
            fs.open(f"{LATEST}/{name}")


def test_a_file_is_read_at_any_place_as_a_local_one(fs: KopiaFileSystem, source: Path, take: Take) -> None:
    data = random.Random(1).randbytes(3 * MIB + 12_345)
    (source / "big").write_bytes(data)
    (source / "empty").write_bytes(b"")
    take()
    fs.invalidate_cache()
    assert fs.cat_file(f"{LATEST}/empty") == b""
    chance = random.Random(2)
    local = io.BytesIO(data)
    with fs.open(f"{LATEST}/big") as file:
        assert (file.size, file.seekable(), file.readable(), file.writable()) == (len(data), True, True, False)
        for _ in range(300):
            if chance.random() < 0.4:
                where = chance.randrange(len(data) + 10)
                assert file.seek(where) == local.seek(where)
            count = chance.choice([0, 1, 100, 65_536, 65_537, MIB, -1 if chance.random() < 0.05 else 10])
            assert file.read(count) == local.read(count)
            assert file.tell() == local.tell()
        file.seek(0)
        assert list(file) == list(io.BytesIO(data))
        with pytest.raises(ValueError, match="before the start"):
            file.seek(-1)
    ranges = [(0, 10), (-10, None), (MIB - 1, MIB + 1), (5, 5), (None, None), (len(data), len(data) + 5), (-20, -10)]
    firsts, lasts = zip(*ranges, strict=True)
    found = fs.cat_ranges([f"{LATEST}/big"] * len(ranges), [*firsts], [*lasts])
    assert found == [data[first:last] for first, last in ranges]
    assert fs.head(f"{LATEST}/big", 7) == data[:7]
    assert fs.tail(f"{LATEST}/big", 7) == data[-7:]
    assert fs.read_block(f"{LATEST}/big", 100, 50) == data[100:150]
    with fs.open(f"{LATEST}/big", cache_type="readahead", block_size=1000) as buffered:
        buffered.seek(500)
        assert buffered.read(3000) == data[500:3500]


def test_text_lines_and_compressed_files_are_read(fs: KopiaFileSystem, source: Path, take: Take) -> None:
    import gzip

    (source / "text").write_text("grüße\nzwei\n", encoding="utf-8")
    (source / "packed.gz").write_bytes(gzip.compress(b"unpacked"))
    take()
    fs.invalidate_cache()
    with fs.open(f"{LATEST}/text", "r", encoding="utf-8") as text:
        assert list(text) == ["grüße\n", "zwei\n"]
    assert fs.read_text(f"{LATEST}/text", encoding="utf-8") == "grüße\nzwei\n"
    with fs.open(f"{LATEST}/packed.gz", compression="infer") as packed:
        assert packed.read() == b"unpacked"


def test_files_and_folders_are_copied_to_this_machine(fs: KopiaFileSystem, two: object, tmp_path: Path) -> None:
    fs.get(f"{LATEST}/a", f"{tmp_path}/copy", recursive=True)
    assert (tmp_path / "copy" / "b" / "deep.csv").read_bytes() == b"x,y\n1,2\n"
    fs.get(f"{LATEST}/top", f"{tmp_path}/top")
    assert (tmp_path / "top").read_bytes() == b"second, longer"
    assert fs.cat([f"{LATEST}/top", f"{LATEST}/a/b/deep.csv"])[f"{LATEST}/top"] == b"second, longer"
    assert fs.get_mapper(LATEST)["a/b/deep.csv"] == b"x,y\n1,2\n"


def test_nothing_can_be_written(fs: KopiaFileSystem, two: object, tmp_path: Path) -> None:
    top = f"{LATEST}/top"
    writes: list[Callable[[], Any]] = [
        lambda: fs.open(top, "wb"),
        lambda: fs.rm(top),
        lambda: fs.mkdir(f"{LATEST}/new"),
        lambda: fs.makedirs(f"{LATEST}/new"),
        lambda: fs.pipe_file(top, b"x"),
        lambda: fs.touch(top),
        lambda: fs.mv(top, f"{top}2"),
        lambda: fs.copy(top, f"{top}2"),
        lambda: fs.put(f"{tmp_path}", LATEST),
    ]
    for write in writes:
        with pytest.raises(PermissionError, match="can't be changed"):
            write()


def test_async_methods_return_what_the_others_do(fs: KopiaFileSystem, two: object) -> None:
    async def both() -> None:
        top = f"{LATEST}/top"
        assert await fs._info(top) == fs.info(top)
        assert await fs._ls(LATEST) == fs.ls(LATEST)
        assert await fs._find(LATEST) == fs.find(LATEST)
        assert await fs._cat_file(top, 1, 3) == b"ec"
        good, missing = await fs._cat_ranges([top, f"{LATEST}/none"], [0, 0], [3, 3])
        assert good == b"sec"
        assert isinstance(missing, FileNotFoundError)
        assert [each async for each in fs._walk(LATEST)] == list(fs.walk(LATEST))
        assert await fs._glob(f"{LATEST}/a/*") == [f"{LATEST}/a/b"]
        assert await fs._exists(top)
        with pytest.raises(PermissionError):
            await fs._rm(top)

    asyncio.run(both())


# ---------------------------------------------------------------------- what is fetched


def chunks_fetched(storage: CountingStorage) -> list[tuple[str, int, int]]:
    return [(call.blob_id, call.offset, call.length) for call in storage.calls("get", "p")]


def test_each_chunk_is_fetched_once_whoever_reads_it(
    fs: KopiaFileSystem, storage: CountingStorage, source: Path, take: Take
) -> None:
    (source / "big").write_bytes(random.Random(3).randbytes(8 * MIB))
    take()
    fs.invalidate_cache()
    assert fs.find(LATEST)
    storage.clear()
    with fs.open(f"{LATEST}/big") as file:
        file.seek(-8, os.SEEK_END)
        file.read(8)
        file.seek(-100_000, os.SEEK_END)
        file.read(100_000)
        file.seek(2 * MIB + 10)
        file.read(1000)
        file.read(1000)
    with fs.open(f"{LATEST}/big") as again:
        again.seek(2 * MIB + 500)
        again.read(5000)
    assert len(chunks_fetched(storage)) == 2
    fs.cat_ranges([f"{LATEST}/big"] * 4, [0, 5 * MIB, 100, 7 * MIB], [10, 5 * MIB + 5, 200, 7 * MIB + 9])
    fetched = chunks_fetched(storage)
    assert len(set(fetched)) == len(fetched) == 4
    assert sum(length for *_, length in fetched) < 4 * MIB + 1000


def test_a_file_read_in_a_row_is_fetched_ahead_and_no_byte_twice(
    fs: KopiaFileSystem, storage: CountingStorage, source: Path, take: Take
) -> None:
    data = random.Random(4).randbytes(12 * MIB)
    (source / "big").write_bytes(data)
    take()
    fs.invalidate_cache()
    storage.clear()
    with fs.open(f"{LATEST}/big") as file:
        read = b"".join(iter(lambda: file.read(200_000), b""))
    assert read == data
    fetched = [(blob, offset, length) for blob, offset, length in chunks_fetched(storage)]
    total = sum(length for *_, length in fetched)
    assert 12 * MIB <= total < 12 * MIB + 5000
    assert len(fetched) < 12, "chunks that lie one after the other are fetched together"
    storage.clear()
    with KopiaFileSystem(repo=fs.view.repository, read_ahead=0).open(f"{LATEST}/big") as file:
        for _ in range(20):
            file.read(200_000)
    assert len(chunks_fetched(storage)) == 4


# ---------------------------------------------------------------------- what is lost


def damage(storage: CountingStorage, prefix: str) -> None:
    for blob in [*storage.list(prefix)]:
        storage.delete(blob.blob_id)


def test_lost_data_is_an_input_output_error_and_never_a_missing_file(
    fs: KopiaFileSystem, storage: CountingStorage, two: object
) -> None:
    top = f"{LATEST}/top"
    assert fs.exists(top)
    damage(storage, "p")
    for read in (fs.cat_file, lambda name: fs.open(name).read(), lambda name: fs.open(name).readline()):
        with pytest.raises(UnreadableFileError, match=f"{top} can't be read.*is missing") as caught:
            read(top)
        assert not isinstance(caught.value, FileNotFoundError)
        assert caught.value.errno == 5
    (error,) = fs.cat_ranges([top], 0, 3)
    assert isinstance(error, UnreadableFileError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    with pytest.raises(UnreadableFileError):
        fs.cat([top], on_error="raise")


def test_a_lost_folder_is_an_error_of_every_listing(fs: KopiaFileSystem, storage: CountingStorage, two: object) -> None:
    assert fs.ls("ann@box:/data")
    damage(storage, "q")
    for list_all in (fs.ls, fs.find, fs.du, lambda name: list(fs.walk(name)), lambda name: fs.glob(f"{name}/**")):
        with pytest.raises(UnreadableFileError):
            list_all("ann@box:/data@2026-09-21" if list_all != fs.du else "ann@box:/data")
    with pytest.raises(UnreadableFileError):
        fs.exists(f"{LATEST}/top")
    errors: list[Exception] = []
    assert list(fs.walk(LATEST, on_error=errors.append)) == []
    assert [type(each) for each in errors] == [UnreadableFileError]


# ---------------------------------------------------------------------- opening


@pytest.fixture
def on_disk(tmp_path: Path) -> Path:
    """Make a repository in a folder, with one snapshot of one file."""
    (tmp_path / "what").mkdir()
    (tmp_path / "what" / "file").write_bytes(b"content")
    config = tmp_path / "repository.config"
    with pykopia.create(
        tmp_path / "repository",
        PASSWORD,
        config=config,
        client=pykopia.ClientOptions(username="ann", hostname="box"),
        options=pykopia.NewRepositoryOptions(unique_id=b"the same, so keys are cached ..."),
    ) as repository:
        options = pykopia.SnapshotOptions(source=pykopia.SourceInfo(user_name="ann", host="box", path="/data"))
        repository.snapshots.create(tmp_path / "what", options=options)
    return tmp_path


def test_a_filesystem_opens_by_arguments_that_hold_no_secret(on_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "kopia://ann@box:/data@latest/file"
    (on_disk / "password").write_text(PASSWORD + "\n")
    monkeypatch.delenv("KOPIA_PASSWORD", raising=False)
    monkeypatch.setenv("ELSEWHERE", PASSWORD)
    for options in (
        {"repo": f"{on_disk}/repository", "secrets": {"password": f"file:{on_disk}/password"}},
        {"repo": f"{on_disk}/repository", "secrets": {"password": "env:ELSEWHERE"}},
        {"repo": f"{on_disk}/repository.config", "secrets": {"password": "env:ELSEWHERE"}},
    ):
        with fsspec.open(url, **options) as file:
            assert file.read() == b"content"
    monkeypatch.setenv("KOPIA_PASSWORD", PASSWORD)
    monkeypatch.setenv("KOPIA_CONFIG_PATH", f"{on_disk}/repository.config")
    with fsspec.open(url) as file:
        assert file.read() == b"content"
    fs = fsspec.filesystem("kopia", repo=f"{on_disk}/repository")
    assert fs is fsspec.filesystem("kopia", repo=f"{on_disk}/repository")
    assert PASSWORD not in repr(fs) + fs.to_json() + str(fs.storage_options)
    assert fs.read_bytes(url) == b"content"
    assert fs.fsid.startswith("kopia_7468652073616d65")


def test_an_open_file_goes_to_another_process_and_stays_at_its_place(
    on_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOPIA_PASSWORD", PASSWORD)
    file = fsspec.open("kopia://ann@box:/data@latest/file", repo=f"{on_disk}/repository").open()
    file.seek(3)
    sent = pickle.dumps(file)
    assert PASSWORD.encode() not in sent
    script = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).read())"
    done = subprocess.run([sys.executable, "-c", script], input=sent, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "b'tent'"


def test_a_filesystem_of_an_open_repository_can_be_pickled_too(on_disk: Path) -> None:
    with pykopia.open(on_disk / "repository.config", PASSWORD) as repository:
        fs = KopiaFileSystem(repository)
        again = pickle.loads(pickle.dumps(fs))
        assert again.cat_file("ann@box:/data@latest/file") == b"content"
        again.close()
        fs.close()
        repository.check_open()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"password": "x"}, "printed and logged"),
        ({"secrets": {"password": "correct horse"}}, "env:NAME"),
        ({"secrets": {"password": "env:"}}, "env:NAME"),
        ({"repo": "s3://bucket", "options": {"secret_access_key": "canary"}}, '"secret_access_key": "env:NAME"'),
        ({"repo": 3}, "must be a URL"),
    ],
)
def test_arguments_that_hold_a_secret_are_refused_and_not_repeated(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        KopiaFileSystem(**options)
    assert "correct horse" not in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_missing_secret_is_named_by_its_place(on_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KOPIA_PASSWORD", raising=False)
    for secrets, message in (
        ({}, "set KOPIA_PASSWORD"),
        ({"password": "env:NOT_SET_AT_ALL"}, "NOT_SET_AT_ALL is not set"),
        ({"password": f"file:{on_disk}/none"}, "No such file"),
    ):
        with pytest.raises(PermissionError, match=message):
            KopiaFileSystem(f"{on_disk}/repository", secrets=secrets).ls("")


def test_snapshots_taken_later_are_seen_once_the_cache_is_invalidated(
    fs: KopiaFileSystem, two: object, take: Take, repository: Repository
) -> None:
    fs.invalidate_cache()
    assert len(fs.ls("ann@box:/data")) == 2
    take(5)
    assert len(fs.ls("ann@box:/data")) == 2
    fs.invalidate_cache()
    assert len(fs.ls("ann@box:/data")) == 3
