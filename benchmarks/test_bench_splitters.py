"""Splitters over 64 MiB of random bytes."""

import random
from functools import lru_cache

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pykopia.chunking.splitters import splitter

SIZE = 64 << 20
NAMES = [f"DYNAMIC-{size}-{kind}" for kind in ("BUZHASH", "RABINKARP") for size in ("128K", "1M", "4M")]


@lru_cache
def sample() -> bytes:
    return random.Random(7).randbytes(SIZE)


@pytest.mark.parametrize("name", [*NAMES, "FIXED-4M"])
def test_cut_points(benchmark: BenchmarkFixture, name: str) -> None:
    cuts = benchmark.pedantic(splitter(name).cut_points, args=(sample(),), rounds=3, warmup_rounds=1)
    benchmark.extra_info["chunks"] = len(cuts) + 1
    assert cuts == sorted(set(cuts))
