import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedDataError, UncorrectableError, UnsupportedFormatError
from pykopia.format import ecc
from pykopia.format.ecc import DEFAULT_ECC, ECC_ALGORITHMS, ECCParameters, ReedSolomonCRC32, error_correction
from pykopia.format.encryption import Encryptor

Generator: TypeAlias = Callable[[dict[str, Any]], bytes]

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "ecc.json").read_text())
PERCENTS = st.sampled_from([1, 2, 3, 4, 6, 7, 10, 20, 50, 100])
LENGTHS = st.integers(0, 3000) | st.integers(0, 40_000)


def damaged(stored: bytes, positions: list[int]) -> bytes:
    changed = bytearray(stored)
    for position in positions:
        changed[position] ^= 0xFF
    return bytes(changed)


def test_the_algorithm_is_that_of_kopia() -> None:
    assert VECTORS["algorithm"] == DEFAULT_ECC
    assert ECC_ALGORITHMS == (DEFAULT_ECC,)


@pytest.mark.parametrize("case", VECTORS["parameters"], ids=lambda c: str(c["overheadPercent"]))
def test_the_parameters_are_those_of_kopia(case: dict[str, int]) -> None:
    parameters = ECCParameters.for_overhead(case["overheadPercent"])
    assert asdict(parameters) == {
        "data_shards": case["dataShards"],
        "parity_shards": case["parityShards"],
        "shard_size": case["maxShardSize"],
    }
    assert parameters.small_input == case["thresholdParityInput"]
    assert parameters.small_output == case["thresholdParityOutput"]
    assert parameters.one_block_input == case["thresholdBlocksInput"]
    assert parameters.one_block_output == case["thresholdBlocksOutput"]
    assert parameters.data_shards + parameters.parity_shards <= 256


@pytest.mark.parametrize("percent", sorted({case["overheadPercent"] for case in VECTORS["sizes"]}))
def test_every_length_is_stored_as_by_kopia(percent: int, vector_input: Generator) -> None:
    code = ReedSolomonCRC32(percent)
    for case in (case for case in VECTORS["sizes"] if case["overheadPercent"] == percent):
        data = vector_input({"kind": "stream", "seed": "ecc-input", "length": case["inputLength"]})
        stored = code.encode(data)
        assert len(stored) == case["storedLength"] == code.encoded_length(len(data))
        assert hashlib.sha256(stored).hexdigest() == case["storedSHA256"]
        assert code.decode(stored) == data


@pytest.mark.parametrize("case", VECTORS["encoded"])
def test_the_stored_form_is_that_of_kopia(case: dict[str, Any], vector_input: Generator) -> None:
    code, data = ReedSolomonCRC32(case["overheadPercent"]), vector_input(case["input"])
    assert code.encode(data).hex() == case["stored"]
    assert code.decode(bytes.fromhex(case["stored"])) == data


@pytest.mark.parametrize("case", VECTORS["damaged"])
def test_damage_is_mended_or_refused_as_by_kopia(case: dict[str, Any], vector_input: Generator) -> None:
    code, data = ReedSolomonCRC32(case["overheadPercent"]), vector_input(case["input"])
    stored = code.encode(data)
    assert len(stored) == case["storedLength"]
    changed = damaged(stored, case["xorFFAt"])
    if case["result"] == "restored":
        assert code.decode(changed) == data
    else:
        with pytest.raises(UncorrectableError, match="can't mend"):
            code.decode(changed)


@pytest.mark.parametrize("case", VECTORS["encryptThenECC"], ids=lambda c: c["encryption"])
def test_encryption_comes_first(case: dict[str, Any], vector_input: Generator) -> None:
    code = ReedSolomonCRC32(case["overheadPercent"])
    encryptor = Encryptor(case["encryption"], bytes.fromhex(case["masterKey"]))
    iv = bytes.fromhex(case["contentIDBytes"])
    stored = bytes.fromhex(case["stored"])
    encrypted = bytes(code.decode(stored))
    assert encryptor.decrypt(encrypted, iv) == vector_input(case["plaintext"])
    assert code.encode(encrypted) == stored


@given(PERCENTS, LENGTHS, st.integers(0, 255))
def test_decoding_inverts_encoding_at_any_length(percent: int, length: int, fill: int) -> None:
    code, data = ReedSolomonCRC32(percent), bytes((fill + i * i) & 255 for i in range(length))
    stored = code.encode(memoryview(data))
    assert len(stored) == code.encoded_length(length)
    assert code.decode(bytearray(stored)) == data
    buffer = bytearray(len(stored) + 7)
    assert code.encode_into(data, memoryview(buffer)) == len(stored)
    assert buffer == stored + bytes(7)
    with pytest.raises(ValueError, match="fit"):
        code.encode_into(data, memoryview(buffer)[: len(stored) - 1])


@given(PERCENTS, LENGTHS, st.data())
def test_as_many_shards_of_a_block_can_be_lost_as_it_has_parity(percent: int, length: int, data: st.DataObject) -> None:
    code, plain = ReedSolomonCRC32(percent), bytes(i * 7 & 255 for i in range(length))
    stored, layout = bytearray(code.encode(plain)), code._layout_of_data(4 + length)
    step, block = 4 + layout.shard_size, data.draw(st.integers(0, layout.blocks - 1))
    first = {
        **{row: (block * layout.parity_shards + row) * step for row in range(layout.parity_shards)},
        **{
            layout.parity_shards + point: layout.parity_length + (block * layout.data_shards + point) * step
            for point in range(layout.data_shards)
        },
    }
    shards = [start for start in first.values() if start < len(stored)]
    lost = data.draw(st.lists(st.sampled_from(shards), unique=True, max_size=layout.parity_shards))
    for start in lost:
        stored[start + data.draw(st.integers(0, min(step, len(stored) - start) - 1))] ^= data.draw(st.integers(1, 255))
    assert code.decode(stored) == plain


@given(PERCENTS, st.integers(0, 6000), st.data())
def test_damage_never_gives_other_data_silently(percent: int, length: int, data: st.DataObject) -> None:
    code, plain = ReedSolomonCRC32(percent), bytes(i & 255 for i in range(length))
    stored = bytearray(code.encode(plain))
    start = data.draw(st.integers(0, len(stored) - 1))
    end = data.draw(st.integers(start, len(stored)))
    stored[start:end] = bytes(byte ^ 0x55 for byte in stored[start:end])
    with contextlib.suppress(UncorrectableError):
        assert code.decode(stored) == plain


@given(PERCENTS, st.binary(max_size=300) | st.integers(0, 30_000).map(bytes))
def test_garbage_raises_only_our_error(percent: int, stored: bytes) -> None:
    with contextlib.suppress(DamagedDataError):
        assert len(ReedSolomonCRC32(percent).decode(stored)) < len(stored)


@given(st.integers(0, 5000), st.data())
def test_data_that_was_cut_short_raises_only_our_error(length: int, data: st.DataObject) -> None:
    code = ReedSolomonCRC32(10)
    stored = code.encode(bytes(length))
    with contextlib.suppress(DamagedDataError):
        code.decode(stored[: data.draw(st.integers(0, len(stored) - 1))])


def test_nothing_is_no_protected_data() -> None:
    with pytest.raises(UncorrectableError, match="cut short"):
        ReedSolomonCRC32(2).decode(b"")


def test_the_example_of_the_specification() -> None:
    text = "1f9f39d142c4 8a59afeb4ba8 41d912ff0000 d8d043450003 af73a217666f a3bc65976f00 41d912ff0000 41d912ff0000"
    assert ReedSolomonCRC32(2).encode(b"foo") == bytes.fromhex(text)


def test_more_than_four_gigabytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecc, "_MOST_BYTES", 10)
    with pytest.raises(ValueError, match="11 bytes"):
        ReedSolomonCRC32(2).encode(bytes(11))


def test_the_overhead_is_kept_in_its_range() -> None:
    assert ReedSolomonCRC32(0).parameters == ReedSolomonCRC32(1).parameters
    assert ReedSolomonCRC32(1000).parameters == ReedSolomonCRC32(100).parameters


def test_error_correction_is_looked_up_by_its_name() -> None:
    assert error_correction("", 10) is None
    assert error_correction(DEFAULT_ECC, 0) is None
    code = error_correction(DEFAULT_ECC, 10)
    assert code is not None
    assert code.parameters.parity_shards == 4
    with pytest.raises(UnsupportedFormatError, match="'PARCHIVE'"):
        error_correction("PARCHIVE", 1)
