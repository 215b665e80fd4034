"""Ciphers, with the derivation of a key for each content: new bytes, and into a buffer that is used again."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pykopia.format.encryption import ENCRYPTIONS, Encryptor

MASTER_KEY = bytes(range(32))
IV = bytes(range(16))
SIZES = {"1 KiB": 1 << 10, "4 MiB": 4 << 20}

each_size = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
each_algorithm = pytest.mark.parametrize("algorithm", ENCRYPTIONS)


@each_size
@each_algorithm
def test_encrypt_into(benchmark: BenchmarkFixture, algorithm: str, size: int) -> None:
    encryptor = Encryptor(algorithm, MASTER_KEY)
    out = memoryview(bytearray(size + encryptor.overhead))
    assert benchmark(encryptor.encrypt_into, bytes(size), IV, out) == size + encryptor.overhead


@each_size
@each_algorithm
def test_decrypt_into(benchmark: BenchmarkFixture, algorithm: str, size: int) -> None:
    encryptor = Encryptor(algorithm, MASTER_KEY)
    out = memoryview(bytearray(size))
    assert benchmark(encryptor.decrypt_into, encryptor.encrypt(bytes(size), IV), IV, out) == size


@each_algorithm
def test_decrypt(benchmark: BenchmarkFixture, algorithm: str) -> None:
    encryptor = Encryptor(algorithm, MASTER_KEY)
    stored = encryptor.encrypt(bytes(4 << 20), IV)
    assert benchmark(encryptor.decrypt, stored, IV) == bytes(4 << 20)
