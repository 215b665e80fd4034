import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import UnsupportedFormatError
from pykopia.format.hashing import DEFAULT_HASH, HASHES, hash_function, hmac_function

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "hash.json").read_text())
SECRETS = {secret["name"]: bytes.fromhex(secret["hex"]) for secret in VECTORS["secrets"]}
ALGORITHMS = pytest.mark.parametrize("algorithm", VECTORS["algorithms"], ids=lambda a: a["name"])


@pytest.fixture(scope="module")
def inputs(vector_input: Callable[[dict[str, Any]], bytes]) -> list[bytes]:
    return [vector_input(spec) for spec in VECTORS["inputs"]]


@ALGORITHMS
def test_digests_are_those_of_kopia(algorithm: dict[str, Any], inputs: list[bytes]) -> None:
    for result in algorithm["results"]:
        secret = SECRETS[result["secret"]]
        if "error" in result:
            with pytest.raises(UnsupportedFormatError):
                HASHES[algorithm["name"]].keyed(secret)
            continue
        function = hash_function(algorithm["name"], secret)
        assert result["digests"]
        for data, digest in zip(inputs, result["digests"], strict=False):
            assert function(data).hex() == digest


def test_the_registry_holds_the_hashes_of_kopia_and_no_others() -> None:
    assert set(HASHES) == {algorithm["name"] for algorithm in VECTORS["algorithms"]}
    assert [algorithm["name"] for algorithm in VECTORS["algorithms"] if algorithm["default"]] == [DEFAULT_HASH]


@pytest.mark.parametrize("name", HASHES)
def test_every_digest_has_the_length_that_the_registry_tells(name: str) -> None:
    function = HASHES[name].keyed(bytes(32))
    assert len(function(b"")) == len(function(b"x" * 1000)) == HASHES[name].size


@pytest.mark.parametrize("name", HASHES)
def test_a_function_takes_any_buffer_and_keeps_no_state(name: str) -> None:
    function = HASHES[name].keyed(bytes(range(32)))
    data = bytes(range(256)) * 20
    first = function(data)
    assert function(bytearray(data)) == function(memoryview(b"?" + data)[1:]) == function(data) == first
    assert function(b"other") != first


def test_an_unknown_hash_is_named_in_the_error() -> None:
    with pytest.raises(UnsupportedFormatError, match=r"'SHA1'.*BLAKE2B-256-128"):
        hash_function("SHA1", bytes(32))


@pytest.mark.parametrize(("name", "length"), [("BLAKE2B-256", 65), ("BLAKE2S-128", 0), ("BLAKE2S-256", 33)])
def test_a_secret_that_a_hash_does_not_allow_is_refused_and_not_shown(name: str, length: int) -> None:
    secret = b"Q" * length
    with pytest.raises(UnsupportedFormatError) as caught:
        hash_function(name, secret)
    assert "QQ" not in str(caught.value)


@given(
    st.sampled_from(["sha224", "sha256", "sha3_224", "sha3_256"]),
    st.binary(max_size=300),
    st.binary(max_size=300),
    st.none() | st.integers(1, 32),
)
def test_hmac_is_that_of_the_standard_library(digest: str, secret: bytes, data: bytes, size: int | None) -> None:
    assert hmac_function(digest, secret, size)(data) == hmac.digest(secret, data, digest)[:size]


@given(st.binary(max_size=64), st.binary(max_size=500))
def test_the_default_hash_is_a_cut_of_keyed_blake2b(secret: bytes, data: bytes) -> None:
    expected = hashlib.blake2b(data, key=secret, digest_size=32).digest()[:16]
    assert hash_function(DEFAULT_HASH, secret)(data) == expected
