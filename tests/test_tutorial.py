"""Pages of docs that are typed from their beginning to their end."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pykopia
from pykopia.format.source import SourceInfo
from tests.trees import assert_trees_equal, small_tree

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
INSTALLING = "pip install pykopia"
PASSWORD = "correct horse battery staple"


def typed(page: str, folder: Path, *, before: str = "") -> str:
    """Type the examples of a page into a shell whose home is a new folder; return what they print."""
    blocks = [block for block in BLOCK.findall((DOCS / page).read_text()) if INSTALLING not in block]
    home = folder / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.defpath}", "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["/bin/sh", "-eu"],
        input="\n".join([before, *blocks]),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (home / ".config" / "kopia" / "repository.config").exists()
    return done.stdout


def test_all_commands_of_the_tutorial_work(tmp_path: Path) -> None:
    printed = typed("tutorial.md", tmp_path)
    assert (tmp_path / "restored" / "letters" / "first.txt").read_text() == "Dear reader\n"
    assert (tmp_path / "numbers-before.csv").read_text() == "1\n"
    assert (tmp_path / "documents" / "numbers.csv").read_text() == "1\n2\n"
    assert "(latest-1" in printed
    assert "changed ./numbers.csv" in printed


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
