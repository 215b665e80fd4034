import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DecryptionError, UnsupportedFormatError
from pykopia.format import encryption
from pykopia.format.encryption import DEFAULT_ENCRYPTION, ENCRYPTIONS, NONCE_SIZE, OVERHEAD, Encryptor

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "encryption.json").read_text())
BOTH = pytest.mark.parametrize("algorithm", VECTORS["algorithms"])
IV = bytes(range(16))


def make(case: dict[str, Any]) -> tuple[Encryptor, bytes, bytes]:
    encryptor = Encryptor(case["algorithm"], bytes.fromhex(case["masterKey"]))
    return encryptor, bytes.fromhex(case["contentIDBytes"]), bytes.fromhex(case["ciphertext"])


@pytest.fixture(params=[True, False], ids=["into", "copied"])
def _both_ways_into_a_buffer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(encryption, "_WRITES_INTO_BUFFERS", False)
    elif not encryption._WRITES_INTO_BUFFERS:
        pytest.skip("this release of cryptography returns new bytes only")


def test_the_algorithms_are_those_of_kopia() -> None:
    assert sorted(ENCRYPTIONS) == sorted(VECTORS["algorithms"])
    assert VECTORS["default"] == DEFAULT_ENCRYPTION


@pytest.mark.usefixtures("_both_ways_into_a_buffer")
@pytest.mark.parametrize("case", VECTORS["cases"])
def test_what_kopia_encrypted_decrypts_and_encrypts_to_the_same_bytes(
    case: dict[str, Any], vector_input: Callable[[dict[str, Any]], bytes]
) -> None:
    encryptor, iv, stored = make(case)
    plaintext, nonce = vector_input(case["plaintext"]), bytes.fromhex(case["nonce"])
    assert encryptor.overhead == case["overhead"] == len(stored) - len(plaintext)
    assert encryptor.decrypt(stored, iv) == plaintext
    assert encryptor.encrypt(plaintext, iv, nonce) == stored
    out = bytearray(len(stored) + 5)
    assert encryptor.encrypt_into(plaintext, iv, memoryview(out), nonce) == len(stored)
    assert out == stored + bytes(5)
    assert encryptor.decrypt_into(stored, iv, memoryview(out)) == len(plaintext)
    assert out[: len(plaintext)] == plaintext


@pytest.mark.usefixtures("_both_ways_into_a_buffer")
@pytest.mark.parametrize("case", VECTORS["mustFail"], ids=lambda c: c["why"])
def test_what_kopia_refuses_is_refused(case: dict[str, Any]) -> None:
    encryptor, iv, stored = make(case)
    with pytest.raises(DecryptionError):
        encryptor.decrypt(stored, iv)
    with pytest.raises(DecryptionError):
        encryptor.decrypt_into(stored, iv, memoryview(bytearray(100)))


@BOTH
@given(st.binary(max_size=200), st.binary(min_size=1, max_size=40))
def test_decryption_inverts_encryption_from_any_buffer(algorithm: str, plaintext: bytes, iv: bytes) -> None:
    encryptor = Encryptor(algorithm, b"master key")
    stored = encryptor.encrypt(memoryview(plaintext), iv)
    assert len(stored) == len(plaintext) + OVERHEAD
    assert encryptor.decrypt(bytearray(stored), iv) == plaintext
    assert encryptor.decrypt(memoryview(b"\0" + stored)[1:], iv) == plaintext


@BOTH
@given(st.binary(max_size=60), st.data())
def test_any_flipped_bit_is_noticed(algorithm: str, plaintext: bytes, data: st.DataObject) -> None:
    encryptor = Encryptor(algorithm, bytes(32))
    stored = bytearray(encryptor.encrypt(plaintext, IV, bytes(NONCE_SIZE)))
    bit = data.draw(st.integers(0, len(stored) * 8 - 1))
    stored[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DecryptionError):
        encryptor.decrypt(stored, IV)


@BOTH
@given(st.binary(max_size=100))
def test_garbage_raises_only_our_error(algorithm: str, stored: bytes) -> None:
    with pytest.raises(DecryptionError):
        Encryptor(algorithm, bytes(32)).decrypt(stored, IV)


@BOTH
def test_two_encryptions_never_share_a_nonce(algorithm: str) -> None:
    encryptor = Encryptor(algorithm, bytes(32))
    assert encryptor.encrypt(b"x", IV)[:NONCE_SIZE] != encryptor.encrypt(b"x", IV)[:NONCE_SIZE]
    first, second = memoryview(bytearray(40)), memoryview(bytearray(40))
    encryptor.encrypt_into(b"x", IV, first)
    encryptor.encrypt_into(b"x", IV, second)
    assert first[:NONCE_SIZE] != second[:NONCE_SIZE]


@pytest.mark.usefixtures("_both_ways_into_a_buffer")
def test_a_buffer_that_is_too_short_is_refused() -> None:
    encryptor = Encryptor(DEFAULT_ENCRYPTION, bytes(32))
    stored = encryptor.encrypt(b"12345", IV)
    with pytest.raises(ValueError, match="33 bytes"):
        encryptor.encrypt_into(b"12345", IV, memoryview(bytearray(32)))
    with pytest.raises(ValueError, match="5 bytes"):
        encryptor.decrypt_into(stored, IV, memoryview(bytearray(4)))
    with pytest.raises(DecryptionError):
        encryptor.decrypt_into(stored[:27], IV, memoryview(bytearray(4)))


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(UnsupportedFormatError, match="'NONE'"):
        Encryptor("NONE", bytes(32))


def test_the_key_does_not_show_in_the_representation() -> None:
    assert repr(Encryptor(DEFAULT_ENCRYPTION, b"QQQQ")) == "Encryptor('AES256-GCM-HMAC-SHA256')"
