"""Maintenance at scale: garbage collection of a million contents, and opening ten thousand index blobs.

``extra_info`` tells what a process of its own took in seconds and what it held at most.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pykopia
from benchmarks.test_bench_open_million import PASSWORD, content_id, entries, opening
from pykopia.api.repository import Repository
from pykopia.format import epoch
from pykopia.format.directory import DirectoryEntry, encode_directory, summarize
from pykopia.format.index import build_index
from pykopia.format.index_build import build_indexes
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.ids import ObjectID

CONTENTS = 1_000_000
IN_USE = 900_000
FILES_IN_FOLDER = 1_000
INDEX_BLOBS = 10_000
ENTRIES_IN_BLOB = 100
SESSION = "s39b23fe2117ad42f147"

COLLECT = """
import json, sys, time
import pathlib, pykopia
from pykopia import clock
from pykopia.format.maintenance_plan import FULL_SAFETY
from pykopia.maintenance.rewrite import plan_short_packs
from pykopia.maintenance.snapshot_gc import collect_garbage
seconds = {}
with pykopia.open(pathlib.Path(sys.argv[1]), sys.argv[2]) as repository:
    repository.contents.indexes.load()
    started = time.perf_counter()
    found = collect_garbage(repository, started=clock.now(), safety=FULL_SAFETY, dry_run=sys.argv[3] == "look")
    seconds["collect"] = time.perf_counter() - started
    started = time.perf_counter()
    plan = plan_short_packs(repository)
    seconds["plan rewrite"] = time.perf_counter() - started
with open("/proc/self/status") as status:
    memory = {line.split(":")[0]: line.split()[1] for line in status if line.startswith(("VmHWM", "RssFile", "RssAnon"))}
print(json.dumps({
    "in use": found.in_use.count, "unused": found.unused.count, "deleted": found.deleted.count, **seconds,
    **{name: f"{kib} KiB" for name, kib in memory.items()},
}))
"""


def used_files() -> Iterator[list[DirectoryEntry]]:
    """Yield folders of files whose contents are in the index; those with a prefix letter are garbage."""
    numbers = (number for number in range(CONTENTS) if number % 10)
    folder = []
    for number in numbers:
        folder.append(DirectoryEntry(f"f{number}", "f", 0o644, 1, 0, 0, 0, ObjectID(content_id(number))))
        if len(folder) == FILES_IN_FOLDER:
            yield folder
            folder = []
    if folder:
        yield folder


def make_repository(repository: Repository) -> None:
    indexes = repository.contents.indexes
    indexes.write(build_indexes([*entries(0, CONTENTS)], version=indexes.version), SESSION)
    source = SourceInfo(host="box", user_name="ann", path="/data")
    with repository.writer() as writer:
        folders = []
        for number, files in enumerate(used_files()):
            summary = summarize(files, own_mtime_ns=0)
            stored = writer.objects.write(encode_directory(files, summary), prefix="k", compressor="zstd-fastest")
            folders.append(DirectoryEntry(f"d{number}", "d", 0o755, 0, 0, 0, 0, stored, summary))
        summary = summarize(folders, own_mtime_ns=0)
        root = writer.objects.write(encode_directory(folders, summary), prefix="k")
        manifest = SnapshotManifest(
            source=source,
            start_time_ns=1,
            end_time_ns=1,
            root_entry=DirectoryEntry("data", "d", 0o755, 0, 0, 0, 0, root, summary),
        )
        writer.manifests.put(manifest.labels(), manifest.to_json())


def collecting(config: Path, how: str) -> dict[str, float | str]:
    run = subprocess.run(
        [sys.executable, "-c", COLLECT, str(config), PASSWORD, how],
        env={**os.environ, "PYTHONPATH": str(Path(pykopia.__file__).parents[1])},
        capture_output=True,
        check=True,
        text=True,
    )
    found: dict[str, float | str] = json.loads(run.stdout)
    return found


def test_collect_a_million(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    config = tmp_path / "repository.config"
    with pykopia.create(tmp_path / "repository", PASSWORD, config=config, cache_root=tmp_path / "cache") as repository:
        make_repository(repository)
    found = benchmark.pedantic(collecting, args=(config, "look"), rounds=2)
    assert found["unused"] == CONTENTS - IN_USE
    benchmark.extra_info["look"] = found
    marked = collecting(config, "mark")
    assert marked["deleted"] == CONTENTS - IN_USE
    benchmark.extra_info["mark"] = marked


@pytest.mark.parametrize("version", [1, 3])
def test_open_ten_thousand_index_blobs(benchmark: BenchmarkFixture, tmp_path: Path, version: int) -> None:
    config = tmp_path / "repository.config"
    options = pykopia.NewRepositoryOptions(format_version=version)
    with pykopia.create(
        tmp_path / "repository", PASSWORD, options=options, config=config, cache_root=tmp_path / "cache"
    ) as repository:
        prefix = "n" if version == 1 else epoch.index_blob_prefix(0)
        suffix = SESSION if version == 1 else epoch.index_blob_suffix(SESSION, 1)
        for first in range(0, INDEX_BLOBS * ENTRIES_IN_BLOB, ENTRIES_IN_BLOB):
            some = list(entries(first, first + ENTRIES_IN_BLOB))
            if version == 1:
                some = [msgspec.structs.replace(entry, compression=0) for entry in some]
            plain = build_index(some, version=repository.format.effective_index_version)
            repository.storage.put(*repository.sealer.sealer.seal(prefix, plain, suffix))
    benchmark.extra_info["first open"] = opening(config, 1)
    found = benchmark.pedantic(opening, args=(config, 777_777), rounds=3)
    assert found.pop("pack") == next(entries(777_777, 777_778)).pack_blob
    benchmark.extra_info["second open"] = found
