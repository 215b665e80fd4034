"""A repository in each of the folder storages: snapshots, a verification of all bytes, and restores."""

from collections.abc import Callable
from pathlib import Path

import pytest

import pykopia
from pykopia.snapshot.verify import VerifyOptions
from pykopia.storage.backends.gdrive.storage import GoogleDriveStorage
from pykopia.storage.backends.rclone.options import RcloneOptions
from pykopia.storage.base import BlobStorage
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_storage
from pykopia.storage.retrying import RetryingStorage
from tests.servers import programs
from tests.trees import assert_trees_equal, changing_tree

Opener = Callable[[bool], BlobStorage]


def opener(request: pytest.FixtureRequest, kind: str, folder: Path) -> Opener:
    """Return what opens a storage of a new folder; with True it is created."""
    if kind == "rclone":
        programs.require("rclone", install="sh scripts/test-servers.sh --all")
        info = ConnectionInfo.from_options(RcloneOptions(remote_path=f":local:{folder}/remote", atomic_writes=True))
        return lambda create: open_storage(info, create=create)
    server = request.getfixturevalue("openssh" if kind.startswith("sftp") else kind)
    if kind == "fake_drive":
        options = server.options(server.new_folder())
        return lambda _: RetryingStorage(GoogleDriveStorage(options, api_root=server.url))
    changes: dict[str, str] = {}
    if kind == "sftp-password":
        if not server.password:
            pytest.skip("only root can run a server with a user that has a password")
        changes = {"keyfile": "", "password": server.password}
    found = ConnectionInfo.from_options(server.options(f"cycle-{kind}", **changes))
    return lambda create: open_storage(found, create=create)


@pytest.mark.parametrize(
    "kind", ["sftp-key", "sftp-password", "apache", "apache_tls", "wsgidav", "rclone_webdav", "rclone", "fake_drive"]
)
def test_snapshots_are_taken_verified_and_restored(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> None:
    opened = opener(request, kind, tmp_path)
    source = tmp_path / "source"
    changing_tree(source, 1)
    with pykopia.create(opened(True), "password") as repository:
        repository.snapshots.create(source)
    changing_tree(source, 2)
    with pykopia.connect(opened(False), "password") as repository:
        repository.snapshots.create(source)
    with pykopia.connect(opened(False), "password") as repository:
        snapshots = sorted(repository.snapshots.list(), key=lambda each: each.start_time_ns)
        assert len(snapshots) == 2
        assert repository.snapshots.verify(options=VerifyOptions(files_percent=100)).errors == ()
        repository.snapshots.restore(snapshots[-1].id, tmp_path / "restored")
    assert_trees_equal(source, tmp_path / "restored")
