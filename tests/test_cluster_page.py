"""The jobs of docs/cluster.md run, as they stand on the page."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pykopia

PAGE = (Path(__file__).parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_cluster_of_dask_verifies_and_maintains_a_repository(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="install tests/requirements.txt")
    with pykopia.create(tmp_path / "backups", "a good password") as repository:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "file").write_bytes(b"content")
        repository.snapshots.create(tmp_path / "data")
    programs = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        for program, shown in ((programs[0], ["7 of 7 bytes", ""]), (programs[3], ["0 packs deleted"])):
            assert "pykopia.open()" in program
            here = program.replace("pykopia.open()", 'pykopia.connect("backups", "a good password")')
            here = here.replace("tcp://scheduler:8786", cluster.scheduler_address)
            command = [sys.executable, "-c", here]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert done.stdout.splitlines()[-len(shown) :] == shown


def test_parts_are_planned_by_one_program_and_done_by_others(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / "data" / f"folder{number}").mkdir(parents=True)
        (tmp_path / "data" / f"folder{number}" / "file").write_text(f"{number}")
    with pykopia.create(tmp_path / "backups", "a good password") as repository:
        repository.snapshots.create(tmp_path / "data")
        lost = repository.snapshots.resolve("latest/folder7/file").object_id
    _, plan, job, _ = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

    def run(program: str, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", program, *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run(plan).returncode == 0
    parts = sorted(path.name for path in tmp_path.glob("part*.json"))
    assert parts == ["part0.json", "part1.json", "part2.json"]
    assert [run(job, part).returncode for part in parts] == [0, 0, 0]
    with pykopia.connect(tmp_path / "backups", "a good password") as repository:
        repository.storage.delete(pykopia.BlobID(repository.contents.entry(lost).pack_blob))
    done = [run(job, part) for part in parts]
    assert any(each.returncode == 1 and "is missing" in each.stdout for each in done)
