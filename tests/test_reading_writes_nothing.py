"""Read means read: what lists, restores, verifies or opens files writes nothing to the storage."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

import pykopia
from pykopia.access.filesystem import KopiaFileSystem
from pykopia.errors import StorageAccessDeniedError
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing import CountingStorage
from tests.cli_runner import Runner
from tests.servers import s3
from tests.servers.s3 import S3Server, admin

PASSWORD = "a good password"
WRITES: tuple[Literal["put", "delete", "extend_retention"], ...] = ("put", "delete", "extend_retention")
SOURCE = pykopia.SourceInfo(user_name="ann", host="box", path="/data")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "what" / "a").mkdir(parents=True)
    (tmp_path / "what" / "a" / "text").write_text("some text")
    (tmp_path / "what" / "big").write_bytes(os.urandom(300_000))
    (tmp_path / "what" / "link").symlink_to("big")
    return tmp_path


def fill(repository: pykopia.Repository, folder: Path) -> None:
    for number in range(2):
        (folder / "what" / f"new{number}").write_text(f"{number}")
        repository.snapshots.create(folder / "what", options=pykopia.SnapshotOptions(source=SOURCE))


def readings(folder: Path) -> dict[str, Callable[[pykopia.Repository], object]]:
    """Return all that a program can do with snapshots without changing one, by name."""

    def everything_of_a_filesystem(repository: pykopia.Repository) -> None:
        fs = KopiaFileSystem(repository)
        for path in fs.find("ann@box:/data@latest"):
            if not fs.info(path)["islink"]:
                fs.cat_file(path)
        fs.du("ann@box:/data")
        fs.glob("ann@box:/data@*/a/*")
        fs.invalidate_cache()
        fs.close()

    every = pykopia.VerifyOptions(files_percent=100)
    return {
        "list": lambda repository: repository.snapshots.list(),
        "sources": lambda repository: repository.snapshots.sources(),
        "find": lambda repository: list(repository.snapshots.find("text")),
        "history": lambda repository: list(repository.snapshots.history("ann@box:/data/big")),
        "diff": lambda repository: list(repository.snapshots.diff(*repository.snapshots.list())),
        "storage_stats": lambda repository: list(repository.snapshots.storage_stats()),
        "tree": lambda repository: list(repository.snapshots.tree("latest").walk()),
        "restore": lambda repository: repository.snapshots.restore("latest", folder / "restored"),
        "restore to tar": lambda repository: repository.snapshots.restore("latest", folder / "restored.tar"),
        "restore to zip": lambda repository: repository.snapshots.restore("latest", folder / "restored.zip"),
        "export": lambda repository: repository.snapshots.export("latest", io.BytesIO(), format="tar"),
        "plan_restore": lambda repository: list(repository.snapshots.plan_restore("latest", folder / "what")),
        "verify": lambda repository: repository.snapshots.verify(options=every),
        "expire without delete": lambda repository: repository.snapshots.expire(),
        "policies": lambda repository: repository.policies.tree(SOURCE),
        "maintenance info": lambda repository: repository.maintenance.info(),
        "kopia://": everything_of_a_filesystem,
    }


@pytest.mark.parametrize("reading", [*readings(Path())])
def test_the_library_writes_nothing_when_it_reads(folder: Path, reading: str) -> None:
    storage = CountingStorage(MemoryStorage())
    with pykopia.create(storage, PASSWORD, options=NEW) as repository:
        fill(repository, folder)
    storage.clear()
    with pykopia.connect(storage, PASSWORD) as repository:
        readings(folder)[reading](repository)
    assert {name: storage.count(name) for name in WRITES} == dict.fromkeys(WRITES, 0)
    assert storage.count("get") > 0


NEW = pykopia.NewRepositoryOptions(unique_id=b"the same, so keys are cached ...")

COMMANDS = [
    ["snapshot", "list", "--all"],
    ["ls", "-lr", "latest"],
    ["show", "latest/a/text"],
    ["diff", "latest~1", "latest"],
    ["snapshot", "verify", "--verify-files-percent=100"],
    ["restore", "latest", "{folder}/restored"],
    ["snapshot", "restore", "latest", "{folder}/restored.zip"],
    ["policy", "list"],
    ["policy", "show", "--global"],
    ["maintenance", "info"],
    ["content", "list"],
    ["content", "verify", "--full"],
    ["blob", "list"],
    ["index", "list"],
    ["manifest", "list"],
    ["repository", "status"],
    ["find", "text"],
]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is written to folders that hold blobs, from now on."""
    calls: list[str] = []

    def recording(name: str) -> Callable[..., object]:
        method = getattr(FilesystemStorage, name)

        def record(self: FilesystemStorage, *arguments: object, **options: object) -> object:
            calls.append(f"{name} {arguments[0]}")
            return method(self, *arguments, **options)

        return record

    for name in WRITES:
        monkeypatch.setattr(FilesystemStorage, name, recording(name))
    return calls


def test_commands_that_read_write_nothing(folder: Path, written: list[str]) -> None:
    cli = Runner(folder / "client")
    cli.ok("repository", "create", "filesystem", "--path", f"{folder}/repository")
    cli.ok("snapshot", "create", f"{folder}/what")
    cli.ok("snapshot", "create", f"{folder}/what")
    assert written
    written.clear()
    for command in COMMANDS:
        cli(*(word.format(folder=folder) for word in command))
        assert (command, written) == (command, [])


@pytest.fixture(scope="module")
def two_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run an S3 server with a second key that may read and list, and nothing else."""
    with s3.seaweedfs(tmp_path_factory.mktemp("two-keys"), reader=True) as server:
        yield server


def test_credentials_that_may_only_read_are_enough_to_read(folder: Path, two_keys: S3Server) -> None:
    admin(two_keys).call_s3("create_bucket", Bucket="read-only")

    def options(access_key: str, secret_key: str) -> pykopia.storage.S3Options:
        return pykopia.storage.S3Options(
            bucket="read-only",
            endpoint=two_keys.endpoint,
            do_not_use_tls=True,
            access_key_id=access_key,
            secret_access_key=secret_key,
        )

    owner, reader = options(two_keys.access_key, two_keys.secret_key), options(s3.READER_KEY, s3.READER_SECRET)
    with pykopia.create(owner, PASSWORD, options=NEW) as repository:
        fill(repository, folder)
    with pykopia.connect(reader, PASSWORD) as repository:
        for name, reading in readings(folder).items():
            assert reading(repository) is not NotImplemented, name
        assert (folder / "restored" / "a" / "text").read_text() == "some text"
        with pytest.raises(StorageAccessDeniedError):
            repository.snapshots.create(folder / "what")
