"""Compressors, there and back, over text and over bytes that can't be made smaller; ``extra_info`` tells the ratio."""

import random
from functools import lru_cache

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pykopia.format.compression import COMPRESSORS, compressor, decompress

SIZE = 4 << 20
WRITABLE = [each.name for each in COMPRESSORS.values() if each.supported]

each_kind = pytest.mark.parametrize("kind", ["text", "random"])
each_compressor = pytest.mark.parametrize("name", WRITABLE)


@lru_cache
def sample(kind: str) -> bytes:
    """Return the same 4 MiB every time."""
    chance = random.Random(7)
    if kind == "random":
        return chance.randbytes(SIZE)
    words = ["".join(chance.choices("etaoinshrdlucmfw", k=chance.randint(2, 9))) for _ in range(3000)]
    return " ".join(chance.choices(words, k=SIZE // 4)).encode()[:SIZE]


@each_kind
@each_compressor
def test_compress(benchmark: BenchmarkFixture, name: str, kind: str) -> None:
    data = sample(kind)
    payload = benchmark(compressor(name).compress, data)
    benchmark.extra_info["ratio"] = round(len(payload) / len(data), 4)
    assert decompress(payload, expected_length=len(data)) == data


@each_kind
@each_compressor
def test_decompress(benchmark: BenchmarkFixture, name: str, kind: str) -> None:
    data = sample(kind)
    assert benchmark(decompress, compressor(name).compress(data), expected_length=len(data)) == data
