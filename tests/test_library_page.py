"""The programs of docs/library.md run, as they stand on the page."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import pykopia
from tests.interop.kopia_cli import KopiaCLI, find_kopia
from tests.servers.s3 import S3Server, admin

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
PROGRAMS = {
    int(number): code
    for number, code in re.findall(r"^## (\d+)\. .*?^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
}
PASSWORD = "a good password"
WRITING = {1, 6, 7, 11}
"""Programs that make their own repository."""


def run(folder: Path, number: int, change: Callable[[str], str] = str, **variables: str) -> str:
    """Run a program of the page in a folder; return what it prints."""
    script = folder / f"program_{number}.py"
    script.write_text(change(PROGRAMS[number]), encoding="utf-8")
    home = {"HOME": str(folder), "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=folder,
        env={**os.environ, **home, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with photos to take."""
    (tmp_path / "photos" / "summer").mkdir(parents=True)
    (tmp_path / "photos" / "summer" / "beach.jpg").write_bytes(os.urandom(300_000))
    (tmp_path / "photos" / "list.txt").write_text("beach, first\n")
    (tmp_path / "photos" / "notes.tmp").write_text("scratch")
    return tmp_path


@pytest.fixture
def backups(folder: Path) -> Path:
    """The same folder with a repository of two snapshots in it."""
    with pykopia.create(folder / "backups", PASSWORD) as repository:
        repository.snapshots.create(folder / "photos")
        (folder / "photos" / "list.txt").write_text("b\n")
        (folder / "photos" / "new.txt").write_text("new")
        repository.snapshots.create(folder / "photos")
    return folder


def test_the_page_has_eleven_programs() -> None:
    assert sorted(PROGRAMS) == list(range(1, 12))
    assert len(re.findall(r"^```python$", PAGE, re.MULTILINE)) == 11


@pytest.mark.parametrize("number", range(1, 12))
def test_the_programs_are_short(number: int) -> None:
    assert len(PROGRAMS[number].splitlines()) <= 70


def test_1_backs_up_with_progress(folder: Path) -> None:
    assert "3 files" in run(folder, 1)
    with pykopia.connect(folder / "backups", PASSWORD) as repository:
        [snapshot] = repository.snapshots.list()
        assert not snapshot.incomplete
        assert (repository.snapshots.tree(snapshot) / "list.txt").read_text() == "beach, first\n"


def test_1_can_be_stopped(folder: Path) -> None:
    said = run(folder, 1, lambda code: code.replace("\n\ndef show", "\nstop.set()\n\n\ndef show"))
    assert "stopped early" in said
    with pykopia.connect(folder / "backups", PASSWORD) as repository:
        assert [each.incomplete for each in repository.snapshots.list()] == ["canceled"]


@pytest.mark.interop
def test_2_reads_a_bucket_that_kopia_filled(folder: Path, seaweedfs: S3Server) -> None:
    pytest.importorskip("pandas")
    executable = find_kopia()
    if executable is None:
        pytest.skip("no real kopia: set KOPIA_EXE to its executable or put `kopia` on PATH")
    (folder / "tables").mkdir()
    (folder / "tables" / "may.csv").write_text("day,amount\n1,20\n2,22\n")
    (folder / "client").mkdir()
    kopia = KopiaCLI(executable=executable, folder=folder / "client")
    bucket = "read-by-pandas"
    admin(seaweedfs).mkdir(bucket)
    kopia.run(
        "repository",
        "create",
        "s3",
        bucket=bucket,
        endpoint=seaweedfs.endpoint,
        disable_tls=True,
        access_key=seaweedfs.access_key,
        secret_access_key=seaweedfs.secret_key,
    )
    kopia.run("snapshot", "create", str(folder / "tables"))
    said = run(
        folder, 2, BUCKET=bucket, ENDPOINT=seaweedfs.endpoint, KOPIA_PASSWORD=kopia.password,
        AWS_ACCESS_KEY_ID=seaweedfs.access_key, AWS_SECRET_ACCESS_KEY=seaweedfs.secret_key,
    )  # fmt: skip
    assert said.split() == ["may.csv", "42"]


def test_3_reports_growth(backups: Path) -> None:
    said = run(backups, 3).splitlines()
    assert said[0].endswith(str(backups / "photos"))
    first, second = (int(line.split("+")[1].split()[0].replace(",", "")) for line in said[1:])
    assert first > 300_000 > second > 0


def test_4_finds_and_restores_a_version(backups: Path) -> None:
    said = run(backups, 4)
    assert "13 bytes" in said
    assert "2 bytes" in said
    assert (backups / "restored" / "list.txt").read_text() == "beach, first\n"
    assert (backups / "restored" / "all" / "list.txt").read_text() == "b\n"
    assert not (backups / "restored" / "all" / "notes.tmp").exists()


def test_5_compares(backups: Path) -> None:
    said = run(backups, 5)
    assert "added    ./new.txt" in said
    assert "changed  ./list.txt" in said
    assert "1 files were added" in said


def test_6_keeps_blobs_in_a_database(folder: Path) -> None:
    assert run(folder, 6).strip() == "()"
    assert (folder / "backups.db").stat().st_size > 300_000


def test_7_keeps_objects_through_maintenance(folder: Path) -> None:
    said = run(folder, 7)
    assert "trained on Monday" in said
    assert "[b'weights', b'weights']" in said


def test_8_shares_a_repository(backups: Path) -> None:
    said = run(backups, 8).splitlines()
    assert said[0] == "12 bytes"
    assert len(said) == 4
    assert all(re.fullmatch(r"[0-9a-f]{32}/\S+ [0-9a-f]{64}", line) for line in said[1:])


def test_9_sets_a_policy_and_maintains(backups: Path) -> None:
    said = run(backups, 9)
    assert "zstd from" in said
    assert "keep 1 snapshots, delete 0" in said  # the backup itself has applied the policy
    assert re.search(r"maintenance: (quick|full|nothing)", said)
    with pykopia.connect(backups / "backups", PASSWORD) as repository:
        [snapshot] = repository.snapshots.list()
        assert not (repository.snapshots.tree(snapshot) / "notes.tmp").exists()


def test_10_exports(backups: Path) -> None:
    assert {"list.txt", "summer/beach.jpg"} <= set(run(backups, 10).split())
    with zipfile.ZipFile(backups / "photos.zip") as archive:
        assert sorted(name for name in archive.namelist() if not name.endswith("/")) == ["list.txt", "new.txt"]
    assert not tarfile.is_tarfile(backups / "photos.zip")


def test_11_works_on_filesystems_of_fsspec(folder: Path) -> None:
    assert run(folder, 11).splitlines() == [f"['{folder / 'photos'}']", "()"] * 2
