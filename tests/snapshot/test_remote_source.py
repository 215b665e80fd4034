"""Snapshots of other filesystems: object stores, servers, archives; and restores to them."""

import itertools
import os
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import pykopia
from pykopia.api.repository import Repository
from pykopia.errors import RestoreError, SourceNotFoundError, SourceReadError, UsageError
from pykopia.snapshot.remote_tree import file_of, time_ns, tree_of
from pykopia.snapshot.remote_upload import RANGE
from pykopia.snapshot.source_url import is_url, source_path
from tests.cli_runner import Runner
from tests.interop.kopia_cli import KopiaCLI, find_kopia
from tests.servers import s3
from tests.servers.azure import AzureServer
from tests.servers.s3 import S3Server
from tests.servers.ssh import SSHServer

_numbers = itertools.count()


class Watched(MemoryFileSystem):  # type: ignore[misc]
    """A filesystem in memory that counts what is read of files, and can change or lose them meanwhile."""

    protocol = "watched"
    store: dict[str, Any] = {}  # noqa: RUF012 -- fsspec has it so
    pseudo_dirs = [""]  # noqa: RUF012
    read: list[str] = []  # noqa: RUF012
    meanwhile: Callable[[str], None] = staticmethod(lambda path: None)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = super()._strip_protocol(path.replace("watched://", "memory://"))
        return stripped

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:  # noqa: ANN401
        self.read.append(path)
        type(self).meanwhile(path)
        data: bytes = super().cat_file(path, start, end, **options)
        return data

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:  # noqa: ANN401
        if mode == "rb":
            self.read.append(path)
            type(self).meanwhile(path)
        return super()._open(path, mode, **options)


@pytest.fixture
def watched() -> Watched:
    fsspec.register_implementation("watched", Watched, clobber=True)
    Watched.store.clear()
    Watched.pseudo_dirs[:] = [""]
    Watched.read.clear()
    Watched.meanwhile = staticmethod(lambda path: None)
    fs = Watched()
    for path, data in {
        "/data/a/b/deep": b"deep",
        "/data/a/x.tmp": b"scratch",
        "/data/top": b"first",
        "/data/grüße": b"",
        "/data/big": os.urandom(2 * RANGE + 12_345),
    }.items():
        fs.pipe_file(path, data)
    return fs


def take(repository: Repository, url: str = "watched://data", **options: Any) -> pykopia.SnapshotResult:  # noqa: ANN401
    return repository.snapshots.create(url, options=pykopia.SnapshotOptions(**options))


def contents(repository: Repository, reference: str = "latest") -> dict[str, bytes]:
    tree = repository.snapshots.tree(reference)
    return {f"{here}/{name}": (here / name).read_bytes() for here, _, names in tree.walk() for name in names}


def test_a_folder_is_taken_under_its_url_and_read_back(repository: Repository, watched: Watched) -> None:
    result = take(repository)
    assert str(result.manifest.source) == "ann@box:watched://data"
    assert not result.problems
    assert contents(repository) == {
        "./big": watched.store["/data/big"].getvalue(),
        "./grüße": b"",
        "./top": b"first",
        "a/b/deep": b"deep",
        "a/x.tmp": b"scratch",
    }
    assert (result.counters.hashed_files, result.manifest.stats.file_count, result.manifest.files) == (5, 5, 5)
    assert repository.snapshots.verify(options=pykopia.VerifyOptions(files_percent=100)).problems == ()


def test_nothing_of_an_unchanged_source_is_read_and_only_what_changed_of_another(
    repository: Repository, watched: Watched
) -> None:
    first = take(repository)
    watched.read.clear()
    second = take(repository)
    assert watched.read == []
    assert second.manifest.root_object_id == first.manifest.root_object_id
    assert (second.counters.cached_files, second.counters.hashed_files) == (5, 0)
    watched.pipe_file("/data/top", b"other")  # as long as before, and later
    watched.store["/data/top"].modified += timedelta(seconds=5)
    watched.rm("/data/a/x.tmp")
    third = take(repository)
    assert watched.read == ["/data/top"]
    assert contents(repository)["./top"] == b"other"
    assert (third.manifest.stats.cached_files, third.manifest.stats.non_cached_files) == (3, 1)
    watched.read.clear()
    take(repository, force_hash_percent=100)
    assert len(set(watched.read)) == 4


def test_ignore_rules_policies_and_ignore_files_hold(repository: Repository, watched: Watched) -> None:
    watched.pipe_file("/data/a/.kopiaignore", b"b/\n")
    policy = pykopia.Policy.from_json(b'{"files":{"ignore":["*.tmp"],"maxFileSize":1000000}}')
    repository.policies.set(pykopia.SourceInfo(user_name="ann", host="box", path="watched://data"), policy)
    result = take(repository)
    assert set(contents(repository)) == {"./grüße", "./top", "a/.kopiaignore"}
    assert result.manifest.stats.excluded_file_count == 2
    assert result.manifest.stats.excluded_dir_count == 1


def test_a_file_that_changes_while_it_is_read_is_read_again(repository: Repository, watched: Watched) -> None:
    changed: list[str] = []

    def change(path: str) -> None:
        if path == "/data/top" and not changed:
            changed.append(path)
            watched.pipe_file(path, b"changed meanwhile")

    Watched.meanwhile = staticmethod(change)
    result = take(repository)
    assert not result.problems
    assert result.counters.changed_files == 1
    assert contents(repository)["./top"] == b"changed meanwhile"


def test_a_file_that_never_stops_changing_is_reported_and_not_stored(repository: Repository, watched: Watched) -> None:
    count = itertools.count()

    def change(path: str) -> None:
        if path == "/data/top":
            watched.pipe_file(path, b"x" * next(count))

    Watched.meanwhile = staticmethod(change)
    result = take(repository)
    assert [(each.path, each.message) for each in result.problems] == [("top", "it changed each time it was read")]
    assert "./top" not in contents(repository)
    assert result.manifest.has_errors


def test_a_file_that_is_lost_meanwhile_is_a_problem_of_its_own(repository: Repository, watched: Watched) -> None:
    def lose(path: str) -> None:
        if path == "/data/top":
            raise PermissionError(13, "Permission denied")

    Watched.meanwhile = staticmethod(lose)
    result = take(repository)
    assert [(each.path, each.message) for each in result.problems] == [("top", "Permission denied")]
    assert len(contents(repository)) == 4


def test_what_can_not_be_listed_is_an_error_and_no_empty_snapshot(
    repository: Repository, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceNotFoundError):
        take(repository, "watched://nowhere")
    with pytest.raises(SourceReadError, match="can't read nosuchprotocol://x"):
        take(repository, "nosuchprotocol://x")
    listing = Watched.ls

    def refuse(self: Watched, path: str, **options: Any) -> Any:  # noqa: ANN401
        if path.endswith("/a"):
            raise PermissionError(13, "Permission denied")
        return listing(self, path, **options)

    monkeypatch.setattr(Watched, "ls", refuse)
    with pytest.raises(SourceReadError, match="can't list watched://data: Permission denied"):
        take(repository)
    assert repository.snapshots.list() == []


def test_a_password_in_a_url_is_refused() -> None:
    assert source_path("s3://bucket/prefix/") == "s3://bucket/prefix"
    assert source_path("https://host/file?signature=secret") == "https://host/file"
    assert source_path("sftp://ann@host/home") == "sftp://ann@host/home"
    for url in ("sftp://ann:secret@host/home", "zip::sftp://ann:secret@host/a.zip"):
        with pytest.raises(UsageError, match="the repository would show it") as caught:
            source_path(url)
        assert "secret" not in str(caught.value)
    assert not is_url("/home/ann")
    assert not is_url("C:\\Users")


def test_names_that_no_file_can_have_are_reported() -> None:
    listing = {
        f"b/{key}": {"name": key, "type": "file", "size": 1} for key in ("a", "a/b", "x//y", "../up", "good", "a/./z")
    }
    tree = tree_of(listing, "b")
    assert (set(tree.files), set(tree.folders)) == ({"good"}, {"a", "x", "..", "."} & {"a", "x"})
    assert set(tree.unusable) == {"a", "../up"}
    assert set(tree.folders["x"].unusable) == {"/y"}
    assert set(tree.folders["a"].unusable) == {"./z"}
    assert set(tree.folders["a"].files) == {"b"}


def test_an_etag_tells_two_files_of_one_second_apart() -> None:
    info = {"size": 5, "LastModified": datetime(2026, 11, 2, 10, tzinfo=UTC)}
    one, other = (file_of("f", "f", {**info, "ETag": etag}) for etag in ('"a"', '"b"'))
    assert one.mtime_ns != other.mtime_ns
    assert one.mtime_ns // 1_000_000 == other.mtime_ns // 1_000_000 == time_ns(info["LastModified"]) // 1_000_000
    assert file_of("f", "f", {**info, "etag": "a"}) == one
    assert not one.is_as(other)
    assert not file_of("f", "f", {"size": 5}).is_comparable


def test_an_archive_is_a_source(repository: Repository, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("folder/file", "in the archive")
    take(repository, f"zip://::{tmp_path}/a.zip")
    assert contents(repository) == {"folder/file": b"in the archive"}


# ---------------------------------------------------------------------- restoring


def test_a_restore_to_a_url_writes_what_was_taken(repository: Repository, watched: Watched, source: Path) -> None:
    expected = {path: data.getvalue() for path, data in watched.store.items()}
    take(repository)
    result = repository.snapshots.restore("latest", "watched://out/put")
    assert {path: watched.store[path.replace("/data", "/out/put", 1)].getvalue() for path in expected} == expected
    assert (result.counters.restored_files, result.counters.restored_bytes) == (5, sum(map(len, expected.values())))
    some = pykopia.RestoreOptions(include=("*.tmp", "/a/b"))
    repository.snapshots.restore("latest", "watched://some", options=some)
    assert {path for path in watched.store if path.startswith("/some")} == {"/some/a/x.tmp", "/some/a/b/deep"}
    repository.snapshots.restore("latest/top", "watched://single/file")
    assert watched.cat_file("/single/file") == b"first"


def test_links_are_warned_of_and_what_exists_is_kept_if_asked(
    repository: Repository, watched: Watched, source: Path
) -> None:
    (source / "file").write_text("x")
    (source / "link").symlink_to("file")
    repository.snapshots.create(source)
    result = repository.snapshots.restore("latest", "watched://links")
    assert result.warnings == ("link is a symbolic link, which this filesystem can't hold: it was left out",)
    keep = pykopia.RestoreOptions(overwrite_files=False)
    with pytest.raises(RestoreError, match="exists already"):
        repository.snapshots.restore("latest", "watched://links", options=keep)
    with pytest.raises(UsageError, match="delete_extra can't be used for a URL"):
        repository.snapshots.restore("latest", "watched://links", options=pykopia.RestoreOptions(delete_extra=True))


# ---------------------------------------------------------------------- real servers


def on_s3(request: pytest.FixtureRequest, server: str) -> tuple[str, dict[str, Any], Any]:
    found: S3Server = request.getfixturevalue(server)
    bucket = f"source-{os.getpid()}-{next(_numbers)}"
    s3.admin(found).call_s3("create_bucket", Bucket=bucket)
    options = {"key": found.access_key, "secret": found.secret_key, "endpoint_url": found.url}
    options["client_kwargs"] = {"region_name": "us-east-1"}  # type: ignore[assignment]
    return f"s3://{bucket}/prefix", options, None


def on_azure(request: pytest.FixtureRequest, _: str) -> tuple[str, dict[str, Any], Any]:
    server: AzureServer = request.getfixturevalue("azurite")
    made = server.new_container()
    text = (
        f"DefaultEndpointsProtocol=http;AccountName={server.account};AccountKey={server.key};"
        f"BlobEndpoint=http://{server.domain}/{server.account};"
    )
    return f"abfs://{made.container}/prefix", {"connection_string": text}, None


def on_ssh(request: pytest.FixtureRequest, _: str) -> tuple[str, dict[str, Any], Any]:
    server: SSHServer = request.getfixturevalue("openssh")
    options = {"port": server.port, "username": server.user, "client_keys": [str(server.keys["ed25519"])]}
    options["known_hosts"] = None
    return f"sftp://{server.host}{server.path}/source-{next(_numbers)}", options, None


@pytest.mark.filterwarnings("default::ResourceWarning")  # aiohttp's, of large bodies
@pytest.mark.parametrize(
    ("place", "server"),
    [(on_s3, "versitygw"), (on_s3, "seaweedfs"), (on_azure, ""), (on_ssh, "")],
    ids=["versitygw", "seaweedfs", "azurite", "openssh"],
)
def test_a_source_on_a_server_is_taken_changed_and_restored(
    repository: Repository, request: pytest.FixtureRequest, place: Callable[..., Any], server: str
) -> None:
    url, options, _ = place(request, server)
    fs, root = fsspec.core.url_to_fs(url, **options)
    fs.makedirs(f"{root}/a/b", exist_ok=True)
    files = {"top": b"first", "a/b/deep": b"deep", "big": os.urandom(RANGE + 1000)}
    for name, data in files.items():
        fs.pipe_file(f"{root}/{name}", data)
    first = take(repository, url, source_options=options)
    assert not first.problems
    assert contents(repository) == {f"./{name}" if "/" not in name else name: data for name, data in files.items()}
    second = take(repository, url, source_options=options)
    assert second.counters.hashed_bytes == 0
    assert second.manifest.root_object_id == first.manifest.root_object_id
    fs.pipe_file(f"{root}/top", b"other, longer")
    third = take(repository, url, source_options=options)
    assert third.counters.hashed_bytes == len(b"other, longer")
    target = f"{url}-restored"
    repository.snapshots.restore("latest", target, options=pykopia.RestoreOptions(target_options=options))
    fs.invalidate_cache()
    again = fsspec.core.url_to_fs(target, **options)[1]
    for name, data in {**files, "top": b"other, longer"}.items():
        assert fs.cat_file(f"{again}/{name}") == data


def test_the_command_line_takes_urls_for_sources_and_targets(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/commands/a/b": b"content", "/commands/left.out": b"x"})
    cli = Runner(tmp_path / "client")
    cli.ok("repository", "create", "filesystem", "--path", f"{tmp_path}/repository")
    cli.ok("policy", "set", "memory://commands", "--add-ignore=*.out")
    cli.ok("snapshot", "create", "memory://commands/")
    (found,) = cli.ok("snapshot", "list", "memory://commands", "--json").json
    assert found["source"]["path"] == "memory://commands"
    assert found["rootEntry"]["summ"]["files"] == 1
    result = cli.ok("restore", found["id"], "memory://restored/here")
    assert "Restoring to memory://restored/here" in result.stderr
    assert memory.cat_file("/restored/here/a/b") == b"content"
    cli.ok("snapshot", "create", "--all")
    assert len(cli.ok("snapshot", "list", "--json").json) == 2
    failed = cli("snapshot", "create", "memory://nowhere")
    assert failed.status
    assert "memory://nowhere" in failed.stderr
    memory.rm("/commands", recursive=True)
    memory.rm("/restored", recursive=True)


@pytest.mark.interop
def test_kopia_lists_and_restores_a_source_of_an_object_store(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kopia = find_kopia()
    if kopia is None:
        pytest.skip("no kopia: set KOPIA_EXE")
    with pykopia.create(tmp_path / "repository", "a good password") as repository:
        result = take(repository)
    client = KopiaCLI(executable=kopia, folder=tmp_path / "kopia", password="a good password")
    client.connect(tmp_path / "repository")
    assert "watched://data" in client.run("snapshot", "list", "--all").stdout
    client.restore(result.manifest.id, tmp_path / "out")
    assert (tmp_path / "out" / "a" / "b" / "deep").read_bytes() == b"deep"
    assert (tmp_path / "out" / "big").read_bytes() == watched.store["/data/big"].getvalue()
    client.verify_all()


@pytest.mark.slow
def test_fifty_thousand_files_that_did_not_change_are_not_read(repository: Repository, source: Path) -> None:
    for number in range(50_000):
        (source / f"{number % 100}").mkdir(exist_ok=True)
        (source / f"{number % 100}" / f"{number}").write_bytes(b"x")
    assert take(repository, f"file://{source}").counters.hashed_files == 50_000
    again = take(repository, f"file://{source}").counters
    assert (again.cached_files, again.hashed_bytes) == (50_000, 0)
