"""Pages of docs that are typed from their beginning to their end."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import pykopia
from pykopia.format.source import SourceInfo
from tests.servers.s3 import admin, until_later, versitygw
from tests.trees import assert_trees_equal, small_tree

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
INSTALLING = "pip install pykopia"
PASSWORD = "correct horse battery staple"


def typed(
    page: str,
    folder: Path,
    variables: Mapping[str, str] = {},
    *,
    part: slice = slice(None),
    replace: Mapping[str, str] = {},
) -> str:
    """Type the examples of a page into a shell; return what they print.

    Args:
        page: of ``docs``.
        folder: to be in; the home of the user is in it.
        variables: of the environment.
        part: which of the examples.
        replace: what is typed for something else.
    """
    lines = "\n".join([block for block in BLOCK.findall((DOCS / page).read_text()) if INSTALLING not in block][part])
    for text, other in replace.items():
        assert text in lines
        lines = lines.replace(text, other)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
        "LANG": "C.UTF-8",
        **variables,
    }
    done = subprocess.run(
        ["/bin/sh", "-eu"], input=lines, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_connected(folder: Path) -> bool:
    return (folder / "home" / ".config" / "kopia" / "repository.config").exists()


def test_all_commands_of_the_tutorial_work(tmp_path: Path) -> None:
    printed = typed("tutorial.md", tmp_path)
    assert (tmp_path / "restored" / "letters" / "first.txt").read_text() == "Dear reader\n"
    assert (tmp_path / "numbers-before.csv").read_text() == "1\n"
    assert (tmp_path / "documents" / "numbers.csv").read_text() == "1\n2\n"
    assert "(latest-1" in printed
    assert "changed ./numbers.csv" in printed
    assert not is_connected(tmp_path)


def test_a_volume_is_restored_without_its_cluster(tmp_path: Path) -> None:
    repository = tmp_path / "volume-backups"
    volume = tmp_path / "volume"
    small_tree(volume)
    (volume / "sub").mkdir()
    (volume / "sub" / "dump.sql").write_text("SELECT 1;\n")
    with pykopia.create(repository, PASSWORD) as opened:
        opened.snapshots.create(
            volume, options=pykopia.SnapshotOptions(source=SourceInfo(host="shop", user_name="app", path="/data"))
        )
    printed = typed("restore-without-cluster.md", tmp_path)
    assert "app@shop:/data" in printed
    assert (tmp_path / "dump.sql").read_text() == "SELECT 1;\n"
    assert_trees_equal(volume, tmp_path / "restored")
    assert not is_connected(tmp_path)


def test_what_was_deleted_in_a_locked_bucket_is_restored(tmp_path: Path) -> None:
    small_tree(tmp_path / "documents")
    with versitygw(server_folder(tmp_path)) as server:
        admin(server).call_s3("create_bucket", Bucket="locked-backups", ObjectLockEnabledForBucket=True)
        replace = {"--endpoint=s3.eu-central-1.amazonaws.com": f"--endpoint={server.endpoint} --disable-tls"}
        keys = {
            "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key,
            "KOPIA_PASSWORD": PASSWORD,
        }
        typed("ransomware.md", tmp_path, keys, part=slice(1), replace=replace)
        before = f"{until_later(server, 'locked-backups'):%Y-%m-%dT%H:%M:%SZ}"
        typed("ransomware.md", tmp_path, keys, part=slice(1, 2))
        printed = typed("ransomware.md", tmp_path, keys | {"BEFORE": before}, part=slice(2, None), replace=replace)
    assert "latest-1" in printed
    assert_trees_equal(tmp_path / "documents", tmp_path / "restored")
    assert not is_connected(tmp_path)


def test_the_password_is_changed_and_the_snapshots_move_to_new_keys(tmp_path: Path) -> None:
    small_tree(tmp_path / "documents")
    before = {"KOPIA_PASSWORD": PASSWORD}
    with pykopia.create(tmp_path / "backups", PASSWORD) as opened:
        opened.snapshots.create(tmp_path / "documents")
    command(tmp_path, "repository", "connect", "filesystem", f"--path={tmp_path / 'backups'}", variables=before)
    typed("password.md", tmp_path, before)
    with pytest.raises(pykopia.errors.InvalidPasswordError):
        pykopia.connect(tmp_path / "backups", PASSWORD)
    for folder in ("backups", "new-backups"):
        with pykopia.connect(tmp_path / folder, "a new and longer password") as opened:
            (snapshot,) = opened.snapshots.list()
            opened.snapshots.restore(snapshot, tmp_path / f"restored-{folder}")
        assert_trees_equal(tmp_path / "documents", tmp_path / f"restored-{folder}")


def test_objects_of_restics_mover_become_objects_of_the_operator(tmp_path: Path) -> None:
    printed = typed("from-restic.md", tmp_path)
    for note in (
        "retain.within: 3d has no counterpart",
        "unlock is left out",
        "Secret restic-config: add KOPIA_REPOSITORY",
    ):
        assert note in printed
    assert "nothing was written" in printed
    assert "kind: Job" in printed
    assert "name: app-kopia" in printed
    written = {path.name: path.read_text() for path in (tmp_path / "kopia").iterdir()}
    assert set(written) == {"shop-replicationsource-app.yaml", "shop-replicationdestination-app-restore.yaml"}
    assert all("restic:" not in text and "kopia:" in text for text in written.values())


def command(folder: Path, *words: str, variables: Mapping[str, str]) -> None:
    """Run pykopia as the user whose home is in a folder."""
    (folder / "home").mkdir(exist_ok=True)
    environment = {"HOME": str(folder / "home"), "LANG": "C.UTF-8", **variables}
    subprocess.run([Path(sys.executable).parent / "pykopia", *words], env=environment, check=True, capture_output=True)


def server_folder(folder: Path) -> Path:
    (folder / "server").mkdir()
    return folder / "server"
