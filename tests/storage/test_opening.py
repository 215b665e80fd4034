"""A connection is opened by the backend of its type, which is imported only then."""

import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykopia.errors import ConnectionFileError, StorageNotFoundError, UnsupportedOptionError, UsageError
from pykopia.format.blob import BlobMetadata
from pykopia.storage import registry
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import Backend, open_ahead, open_storage
from pykopia.storage.options import StorageOptions
from pykopia.storage.retrying import RetryingStorage
from pykopia.storage.url import storage_from_url
from pykopia.testing.storage_tests import PACK


def test_a_folder_is_opened_or_created(tmp_path: Path) -> None:
    info = storage_from_url(f"file://{tmp_path}/backups")
    with pytest.raises(StorageNotFoundError):
        open_storage(info)
    with open_storage(info, create=True) as storage:
        storage.put(PACK, b"x")
    with open_storage(info) as storage:
        assert storage.get(PACK) == b"x"
        assert isinstance(storage, RetryingStorage)
        assert isinstance(storage.inner, FilesystemStorage)
        assert storage.connection_info() == info


def test_a_storage_in_memory_has_no_retries() -> None:
    assert isinstance(open_storage(storage_from_url("memory://opening")), MemoryStorage)


def test_every_type_has_a_backend() -> None:
    assert registry.own().keys() >= {"s3", "filesystem"}


@pytest.mark.parametrize("kind", ["s3", "webdav"])
def test_a_type_without_backend_says_so(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_of_folder", lambda _: None)
    config = {"bucket": "b", "endpoint": "e", "container": "c", "storageAccount": "a", "keyID": "k", "key": "k"}
    config |= {"folderID": "f", "path": "/p", "host": "h", "username": "u", "url": "u", "remotePath": "r"}
    info = ConnectionInfo(type=kind, config={**config, "port": 22})
    with pytest.raises(UnsupportedOptionError, match=f"type '{kind}': it is not known"):
        open_storage(info)


def test_what_can_not_be_opened_is_refused_before_a_backend_is_asked() -> None:
    with pytest.raises(UnsupportedOptionError, match="'tape'"):
        open_storage(ConnectionInfo(type="tape"))
    with pytest.raises(UsageError, match="path must be given"):
        open_storage(ConnectionInfo(type="filesystem", config={"path": ""}))
    with pytest.raises(ConnectionFileError, match="path must be text"):
        open_storage(ConnectionInfo(type="filesystem", config={"path": 5}))


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> dict[str, Backend]:
    found: dict[str, Backend] = {}
    monkeypatch.setattr(registry, "BACKENDS", found)
    return found


@pytest.mark.parametrize("meanwhile", [None, lambda: None])
def test_a_storage_that_can_not_be_used_is_closed(
    backends: dict[str, Backend], monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object] | None
) -> None:
    """What was asked for ahead would be tried again for minutes, by a thread that nobody waits for."""
    closed: list[BlobStorage] = []

    class NotThere(MemoryStorage):
        is_local = False

        def check(self) -> None:
            raise StorageNotFoundError("no such bucket")

        def close(self) -> None:
            closed.append(self)

    module = types.ModuleType("another_backend")
    module.opener = lambda _, *, create: NotThere()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "another_backend", module)
    backends["b2"] = Backend(opener="another_backend:opener", options="pykopia.storage.backends.b2.options:B2Options")
    info = ConnectionInfo(type="b2", config={"bucket": "b", "keyID": "k", "key": "s"})
    with pytest.raises(StorageNotFoundError):
        open_ahead(info, gets=[PACK], meanwhile=meanwhile)
    assert len(closed) == 1


@pytest.mark.parametrize(("slow", "wanted"), [(False, {"x", "q"}), (True, {"x"})])
def test_where_listings_are_slow_only_the_index_is_listed_ahead(
    backends: dict[str, Backend], monkeypatch: pytest.MonkeyPatch, slow: bool, wanted: set[str]
) -> None:
    listed: set[str] = set()

    class Far(MemoryStorage):
        is_local = False
        has_slow_listings = slow

        def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
            listed.add(prefix)
            return super().list(prefix)

    module = types.ModuleType("another_backend")
    module.opener = lambda _, *, create: Far()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "another_backend", module)
    backends["b2"] = Backend(opener="another_backend:opener", options="pykopia.storage.backends.b2.options:B2Options")
    info = ConnectionInfo(type="b2", config={"bucket": "b", "keyID": "k", "key": "s"})
    with open_ahead(info, lists=["x", "q"]) as storage:
        for prefix in wanted:  # takes the results
            assert list(storage.list(prefix)) == []
        assert listed == wanted


def test_another_backend_can_be_added(backends: dict[str, Backend], monkeypatch: pytest.MonkeyPatch) -> None:
    def opener(options: StorageOptions, *, create: bool) -> BlobStorage:
        return MemoryStorage(f"{options.to_config()['bucket']} {create}")

    module = types.ModuleType("another_backend")
    module.opener = opener  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "another_backend", module)
    backends["b2"] = Backend(opener="another_backend:opener", options="pykopia.storage.backends.b2.options:B2Options")
    info = ConnectionInfo(type="b2", config={"bucket": "b", "keyID": "k", "key": "s"})
    assert open_storage(info, create=True).display_name == "Memory: b True"
    assert isinstance(open_storage(info), RetryingStorage)


def test_a_missing_library_is_named_with_the_way_to_install_it(backends: dict[str, Backend]) -> None:
    info = ConnectionInfo(type="b2", config={"bucket": "b", "keyID": "k", "key": "s"})
    described = "pykopia.storage.backends.b2.options:B2Options"
    backends["b2"] = Backend(opener="missing_library:opener", options=described, extra="b2")
    with pytest.raises(UnsupportedOptionError, match=r"missing_library is not installed; .*pykopia\[b2\]"):
        open_storage(info)
    backends["b2"] = Backend(opener="missing_library:opener", options=described)
    with pytest.raises(ModuleNotFoundError):
        open_storage(info)


def test_opening_a_folder_imports_no_other_backend(tmp_path: Path) -> None:
    program = f"""
import sys
from pykopia.storage.opening import open_storage
from pykopia.storage.url import storage_from_url
open_storage(storage_from_url({str(tmp_path)!r}))
heavy = {{"fsspec", "asyncio", "msgspec", "requests", "pykopia.storage.backends.s3.options"}}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=root)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("backend", ["s3", "gcs"])
def test_the_code_of_a_bucket_imports_no_filesystem_and_no_sdk(backend: str) -> None:
    program = f"""
import sys
import pykopia.storage.backends.{backend}.storage
heavy = {{"fsspec", "asyncio", "aiohttp", "requests", "s3fs", "gcsfs", "grpc", "google.auth", "botocore.session"}}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=root)
    assert (done.returncode, done.stderr) == (0, "")
