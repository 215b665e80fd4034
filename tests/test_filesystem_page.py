"""The program of docs/filesystem.md runs, as it stands on the page."""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import pykopia

PAGE = (Path(__file__).parents[1] / "docs" / "filesystem.md").read_text(encoding="utf-8")


def test_the_program_reads_a_table_of_a_snapshot(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="install tests/requirements.txt")
    pytest.importorskip("pyarrow", reason="install tests/requirements.txt")
    (tmp_path / "data").mkdir()
    pandas.DataFrame({"value": range(5), "other": range(5)}).to_parquet(tmp_path / "data" / "table.parquet")
    with pykopia.create(tmp_path / "repository", "a good password") as repository:
        source = pykopia.SourceInfo(user_name="ann", host="box", path="/data")
        repository.snapshots.create(tmp_path / "data", options=pykopia.SnapshotOptions(source=source))
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "KOPIA_PASSWORD": "a good password"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5 rows\nann@box:/data/@2")


def test_the_versions_of_the_table_are_those_that_are_tested() -> None:
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \|", PAGE, re.MULTILINE)
    assert len(rows) == 8
    pinned = (Path(__file__).parent / "requirements.txt").read_text(encoding="utf-8").lower()
    for name, tested in rows:
        if name != "fsspec":  # comes with pykopia itself, in a range
            assert f"{name.lower()}=={tested}" in pinned.replace("[dataframe]", "")
    assert version("fsspec")
