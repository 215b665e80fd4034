"""A snapshot and a restore of one file of 1 GiB through S3 on loopback, beside a folder, in turns.

``extra_info`` has the medians of both and their ratio. The server is the one of the tests; without it this is skipped.
"""

import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pykopia
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.options import FilesystemOptions
from pykopia.storage.remote_options import S3Options
from tests.servers.s3 import S3Server, admin, versitygw

SIZE = 1 << 30
ROUNDS = 3
PASSWORD = "a good password"
BUCKET = "benchmark"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is one."""
    memory = Path("/dev/shm")
    folder = memory / "pykopia-bench-s3" if memory.is_dir() else tmp_path_factory.mktemp("bench-s3")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[S3Server]:
    (place / "server").mkdir()
    with versitygw(place / "server") as server:
        admin(server).call_s3("create_bucket", Bucket=BUCKET)
        yield server


@pytest.fixture(scope="module")
def source(place: Path) -> Path:
    (place / "source").mkdir()
    chance = random.Random(5)
    with open(place / "source" / "big", "wb") as file:
        file.writelines(chance.randbytes(1 << 20) for _ in range(SIZE >> 20))
    return place / "source"


def test_s3_beside_a_folder(benchmark: BenchmarkFixture, place: Path, source: Path, server: S3Server) -> None:
    options = S3Options(
        bucket=BUCKET,
        endpoint=server.endpoint,
        do_not_use_tls=True,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
    )
    seconds: dict[str, list[float]] = {}

    def timed(name: str, call: Callable[..., object], *arguments: object) -> None:
        started = time.perf_counter()
        call(*arguments)
        seconds.setdefault(name, []).append(time.perf_counter() - started)

    def one_round(number: int) -> None:
        folder, target = place / f"repository{number}", place / "restored"
        for name, info in (
            ("folder", ConnectionInfo.from_options(FilesystemOptions(path=str(folder)))),
            ("S3", ConnectionInfo.from_options(replace(options, prefix=f"{number}/"))),
        ):
            with pykopia.create(info, PASSWORD) as repository:
                timed(f"{name} snapshot", repository.snapshots.create, source)
            with pykopia.connect(info, PASSWORD) as repository:
                [snapshot] = repository.snapshots.list()
                timed(f"{name} restore", repository.snapshots.restore, snapshot.id, target)
            shutil.rmtree(target)
        shutil.rmtree(folder)
        admin(server).rm(f"{BUCKET}/{number}", recursive=True)

    rounds = iter(range(ROUNDS))
    benchmark.pedantic(lambda: one_round(next(rounds)), rounds=ROUNDS)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    benchmark.extra_info.update(medians)
    for what in ("snapshot", "restore"):
        benchmark.extra_info[f"{what} ratio"] = round(medians[f"S3 {what}"] / medians[f"folder {what}"], 2)
