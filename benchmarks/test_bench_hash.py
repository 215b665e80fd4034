"""Keyed hashes: a small content and a large one."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pykopia.format.hashing import HASHES, hash_function

SECRET = bytes(range(32))
SIZES = {"1 KiB": 1 << 10, "4 MiB": 4 << 20}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", HASHES)
def test_hash(benchmark: BenchmarkFixture, name: str, size: int) -> None:
    function = hash_function(name, SECRET)
    digest = benchmark(function, bytes(size))
    assert len(digest) == HASHES[name].size
