"""The second opening of a repository of a million contents: a process of its own, its index files mapped from the cache.

``extra_info`` tells what the opening took in seconds and what the whole process held at most.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pykopia
from pykopia.format.index import IndexEntry
from pykopia.format.index_build import build_indexes
from pykopia.ids import BlobID, ContentID

CONTENTS = 1_000_000
PACK_CONTENTS = 50
PASSWORD = "a good password"

OPEN = """
import json, sys, time
started = time.perf_counter()
import pathlib, pykopia
with pykopia.open(pathlib.Path(sys.argv[1]), sys.argv[2]) as repository:
    entry = repository.contents.entry(sys.argv[3])
    seconds = time.perf_counter() - started
# not getrusage, whose peak is that of the parent at its fork
with open("/proc/self/status") as status:
    memory = {line.split(":")[0]: line.split()[1] for line in status if line.startswith(("VmHWM", "RssFile", "RssAnon"))}
print(json.dumps({"seconds": seconds, "pack": entry.pack_blob, **{name: f"{kib} KiB" for name, kib in memory.items()}}))
"""


def digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def content_id(number: int) -> ContentID:
    return ContentID(("" if number % 10 else "k") + digest(f"content {number}"))


def entries(first: int, last: int) -> Iterator[IndexEntry]:
    """Yield entries of contents that nobody stored: opening looks at no pack."""
    for number in range(first, last):
        yield IndexEntry(
            content_id=content_id(number),
            pack_blob=BlobID(
                f"{'p' if number % 10 else 'q'}{digest(f'pack {number // PACK_CONTENTS}')}-s39b23fe2117ad42f1"
            ),
            timestamp=1_795_383_338 + number // 1000,
            original_length=number % 4_000_000,
            packed_length=number % 4_000_000 + 28,
            pack_offset=number % 20_000_000,
            compression=0x1100 if number % 3 else 0,
            deleted=False,
            format_version=3,
        )


def opening(config: Path, number: int) -> dict[str, float | str]:
    """Open in a process of its own, look one content up, and return what it took."""
    run = subprocess.run(
        [sys.executable, "-c", OPEN, str(config), PASSWORD, content_id(number)],
        env={**os.environ, "PYTHONPATH": str(Path(pykopia.__file__).parents[1])},
        capture_output=True,
        check=True,
        text=True,
    )
    found: dict[str, float | str] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("blobs", [1, 20])
def test_second_open(benchmark: BenchmarkFixture, tmp_path: Path, blobs: int) -> None:
    config = tmp_path / "repository.config"
    share = CONTENTS // blobs
    with pykopia.create(tmp_path / "repository", PASSWORD, config=config, cache_root=tmp_path / "cache") as repository:
        for first in range(0, CONTENTS, share):
            indexes = repository.contents.indexes
            plain = build_indexes([*entries(first, first + share)], version=indexes.version)
            indexes.write(plain, "s39b23fe2117ad42f147")
    benchmark.extra_info["first open"] = opening(config, 1)
    found = benchmark.pedantic(opening, args=(config, 777_777), rounds=5)
    assert found.pop("pack") == next(entries(777_777, 777_778)).pack_blob
    benchmark.extra_info["second open"] = found
