"""The jobs of docs/cluster.md run, as they stand on the page."""

import re
import subprocess
import sys
from pathlib import Path

import pykopia

PAGE = (Path(__file__).parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")


def test_parts_are_planned_by_one_program_and_done_by_others(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / "data" / f"folder{number}").mkdir(parents=True)
        (tmp_path / "data" / f"folder{number}" / "file").write_text(f"{number}")
    with pykopia.create(tmp_path / "backups", "a good password") as repository:
        repository.snapshots.create(tmp_path / "data")
        lost = repository.snapshots.resolve("latest/folder7/file").object_id
    _, plan, job = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

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
