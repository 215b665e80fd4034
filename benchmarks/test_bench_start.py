"""What a command costs before it does anything: the import of each backend, and the walk of a tree in which nothing changed.

``extra_info`` tells how many modules a backend brings along.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pykopia
from pykopia.storage import registry

FILES, FOLDERS = 20_000, 400
COUNT = "import sys; from importlib import import_module; import_module(sys.argv[1]); print(len(sys.modules))"


def module_of(backend: str) -> str:
    return registry.own()[backend].opener.partition(":")[0]


@pytest.mark.parametrize("backend", sorted(registry.own()))
def test_import_of_a_backend(benchmark: BenchmarkFixture, backend: str) -> None:
    command = [sys.executable, "-c", COUNT, module_of(backend)]

    def start() -> int:
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    benchmark.extra_info["modules"] = benchmark.pedantic(start, rounds=5, warmup_rounds=1)


def test_walk_of_an_unchanged_tree(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    for number in range(FILES):
        folder = tmp_path / "source" / str(number % FOLDERS)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(number)).write_bytes(b"%d" % number)
    with pykopia.create(tmp_path / "repository", "a good password") as repository:
        repository.snapshots.create(tmp_path / "source")
        result = benchmark.pedantic(repository.snapshots.create, (tmp_path / "source",), rounds=5)
    assert result.counters.cached_files == FILES
