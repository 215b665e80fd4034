"""Storage options beside a URL, paths of every kind, and a connection that other processes open."""

import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import pykopia
from pykopia.api.opening import connect, create, open_connected
from pykopia.errors import ClosedError, InvalidPasswordError, UnsupportedOptionError, UsageError
from pykopia.storage.backends.filesystem.options import FilesystemOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.fsspec_storage import FsspecStorage
from pykopia.storage.options import ThrottlingLimits
from pykopia.storage.storage_options import with_options
from pykopia.storage.url import storage_from_url

PASSWORD = "correct horse"
SECRET = "s3cr3t-of-the-storage"


def test_a_connection_opens_the_repository_in_another_process(tmp_path: Path) -> None:
    client = pykopia.ClientOptions(username="ann", hostname="box")
    with create(tmp_path, PASSWORD, client=client) as repository:
        with repository.writer() as writer:
            object_id = writer.objects.write(b"read by another process")
        sent = pickle.dumps(repository.connection)
    script = (
        "import pickle, sys\n"
        "with pickle.loads(sys.stdin.buffer.read()).open() as repository:\n"
        "    print(repository.username, repository.objects.read(sys.argv[1]).decode())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, object_id], input=sent, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "ann read by another process"


def test_a_connection_keeps_read_only_caches_and_limits(tmp_path: Path) -> None:
    with create(tmp_path / "repository", PASSWORD):
        pass
    limits = ThrottlingLimits(reads_per_second=1000.0)
    location = FilesystemOptions(path=str(tmp_path / "repository"), throttling=limits)
    client = pykopia.ClientOptions(username="ann", hostname="box", read_only=True)
    with connect(
        location, PASSWORD, config=tmp_path / "c", client=client, cache_root=tmp_path / "caches"
    ) as repository:
        connection = pickle.loads(pickle.dumps(repository.connection))
    assert connection.limits == limits
    with connection.open() as again:
        assert again.read_only
        assert again.config_path == tmp_path / "c"
        assert again.connection == connection


def test_a_connection_shows_no_secret(tmp_path: Path) -> None:
    with create(tmp_path, PASSWORD) as repository:
        connection = repository.connection
        assert repr(connection.format_key) not in repr(connection)
        assert connection.format_key.hex() not in repr(connection)
    storage = storage_from_url("s3://bucket").with_fields({"secretAccessKey": SECRET})
    shown = repr(pykopia.Connection(storage=storage, format_key=b"k" * 32, client=pykopia.ClientOptions()))
    assert SECRET not in shown
    assert "kkkk" not in shown


def test_a_connection_ends_with_a_change_of_the_password(tmp_path: Path) -> None:
    with create(tmp_path, PASSWORD) as repository:
        old = repository.connection
        repository.change_password("another one")
        new = repository.connection
    with pytest.raises(InvalidPasswordError):
        old.open()
    new.open().close()


def test_a_closed_repository_and_one_on_an_object_have_no_connection(tmp_path: Path) -> None:
    import fsspec

    repository = create(tmp_path / "one", PASSWORD)
    repository.close()
    with pytest.raises(ClosedError):
        _ = repository.connection
    (tmp_path / "two").mkdir()
    storage = FsspecStorage(fsspec.filesystem("file"), str(tmp_path / "two"))
    with create(storage, PASSWORD) as other, pytest.raises(UnsupportedOptionError, match="filesystem object"):
        _ = other.connection


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_repository_on_a_filesystem_object_is_made_and_opened_again(tmp_path: Path, kind: str) -> None:
    import fsspec

    options = {"global_store": False} if kind == "memory" else {"use_listings_cache": False}
    filesystem, folder = fsspec.filesystem(kind, skip_instance_cache=True, **options), f"{tmp_path}/backups"
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"data")
    with create(FsspecStorage(filesystem, folder, create=True), PASSWORD) as repository:
        taken = repository.snapshots.create(source).manifest
    with pykopia.connect(FsspecStorage(filesystem, folder), PASSWORD) as repository:
        assert [snapshot.id for snapshot in repository.snapshots.list()] == [taken.id]
        repository.snapshots.restore(taken.id, tmp_path / "restored")
        assert not repository.snapshots.verify(options=pykopia.VerifyOptions(files_percent=100)).problems
    assert (tmp_path / "restored" / "file").read_bytes() == b"data"


def test_a_connection_file_that_can_not_be_written_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    import fsspec

    storage = FsspecStorage(
        fsspec.filesystem("memory", global_store=False, skip_instance_cache=True), "/r", create=True
    )
    with pytest.raises(UnsupportedOptionError, match="no connection to it can be saved"):
        create(storage, PASSWORD, config=tmp_path / "repository.config")
    assert list(storage.list()) == []
    create(storage, PASSWORD).close()
    with pytest.raises(UnsupportedOptionError, match="no connection to it can be saved"):
        pykopia.connect(storage, PASSWORD, config=tmp_path / "repository.config")
    assert not (tmp_path / "repository.config").exists()


def test_options_join_what_a_url_says() -> None:
    options = {"endpoint": "s3.example.com", "access_key_id": "id", "secret_access_key": SECRET, "reads_per_second": 5}
    found = with_options(storage_from_url("s3://bucket/folder"), options)
    assert found.config["endpoint"] == "s3.example.com"
    assert found.config["secretAccessKey"] == SECRET
    assert (found.config["bucket"], found.config["prefix"]) == ("bucket", "folder/")
    assert found.options().throttling.reads_per_second == 5.0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"end_point": "x"}, "endpoint"),
        ({"secretAccessKey": SECRET}, "secret_access_key"),
        ({"do_not_use_tls": SECRET}, "do_not_use_tls must be true or false"),
        ({"secret_access_key": [SECRET]}, "secret_access_key must be text"),
        ([("endpoint", SECRET)], "must be a dictionary"),
        ("endpoint", "must be a dictionary"),
    ],
)
def test_options_that_are_none_are_named_and_no_secret_is_repeated(options: Mapping[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named) as raised:
        with_options(storage_from_url("s3://bucket"), options)
    assert SECRET not in str(raised.value)


def test_options_are_refused_for_a_storage_that_is_open(tmp_path: Path) -> None:
    storage = pykopia.storage.MemoryStorage()
    with pytest.raises(UsageError, match="still to be opened"):
        create(storage, PASSWORD, storage_options={"path": str(tmp_path)})


def test_create_connect_and_open_take_options(tmp_path: Path) -> None:
    wrong, right = tmp_path / "wrong", {"path": str(tmp_path / "right")}
    wrong.mkdir()
    with create(wrong, PASSWORD, storage_options=right, config=str(tmp_path / "config")):
        pass
    assert list(wrong.iterdir()) == []
    with connect(str(wrong), PASSWORD, storage_options=right) as repository:
        assert repository.snapshots.list() == []
    moved = tmp_path / "moved"
    (tmp_path / "right").rename(moved)
    with open_connected(str(tmp_path / "config"), PASSWORD, storage_options={"path": str(moved)}) as repository:
        assert str(moved) in repository.storage.display_name


@pytest.mark.parametrize("kind", [str, Path])
def test_paths_are_taken_as_text_and_as_paths(tmp_path: Path, kind: type[str] | type[Path]) -> None:
    config = kind(tmp_path / "config")
    with create(kind(tmp_path / "r"), PASSWORD, config=config, cache_root=kind(tmp_path / "caches")):
        pass
    assert (tmp_path / "caches").is_dir()
    with open_connected(config, PASSWORD) as repository:
        assert repository.config_path == tmp_path / "config"
    pykopia.disconnect(config)
    assert not (tmp_path / "config").exists()
    with pytest.raises(UsageError, match="must be a path"):
        open_connected(3, PASSWORD)  # type: ignore[arg-type]


def test_a_connection_info_is_pickled() -> None:
    info = ConnectionInfo.from_options(FilesystemOptions(path="/backups"))
    assert pickle.loads(pickle.dumps(info)) == info
