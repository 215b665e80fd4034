import base64
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedDataError, DecryptionError, InvalidIDError, UncorrectableError, UnsupportedFormatError
from pykopia.format.blob_names import FORMAT_BLOB_ID
from pykopia.format.encryption import Encryptor
from pykopia.format.hashing import hash_function
from pykopia.format.repository_blob import FormatBlob
from pykopia.format.repository_format import RepositoryFormat
from pykopia.format.whole_blob import Sealer, blob_iv

Generator: TypeAlias = Callable[[dict[str, Any]], bytes]

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = json.loads((VECTORS / "whole_blob_encryption.json").read_text())["cases"]
REAL = json.loads((VECTORS / "real_repository_blobs.json").read_text())["repositories"]
IV = bytes(range(16))
SEALED_PREFIXES = ("n", "xn", "xs", "xr", "s", "_log_", "m", "l")


new = partial(RepositoryFormat.new, secret=b"s" * 32, master_key=b"m" * 32)
PLAIN = Sealer.of(new())
ECC = Sealer.of(new(ecc="REED-SOLOMON-CRC32", ecc_overhead_percent=10))
SEALERS = pytest.mark.parametrize("sealer", [PLAIN, ECC], ids=["plain", "ecc"])


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['blobID'][:20]}-{c['encryption'][:6]}")
def test_the_whole_blobs_of_kopia_open_and_are_named_the_same(case: dict[str, Any]) -> None:
    sealer = Sealer(
        hash_function(case["hash"], bytes.fromhex(case["secret"])),
        Encryptor(case["encryption"], bytes.fromhex(case["masterKey"])),
    )
    plaintext = case["plaintext"].encode()
    assert sealer.open(case["blobID"], bytes.fromhex(case["stored"])) == plaintext
    blob_id, stored = sealer.seal(case["prefix"], plaintext, case["suffix"])
    assert blob_id == case["blobID"]
    assert sealer.open(blob_id, stored) == plaintext


@pytest.mark.parametrize("repository", REAL, ids=lambda r: r["name"])
def test_blobs_and_contents_of_real_repositories_open(repository: dict[str, Any], vector_input: Generator) -> None:
    blob = FormatBlob.from_bytes(base64.b64decode(repository["blobs"][FORMAT_BLOB_ID]["stored"]))
    sealer = Sealer.of(blob.decrypt(blob.derive_key(repository["password"])))
    sealed = {name: one for name, one in repository["blobs"].items() if "plaintext" in one and "kopia" not in name}
    assert len(sealed) >= 2
    for name, one in sealed.items():
        assert sealer.open(name, base64.b64decode(one["stored"])) == base64.b64decode(one["plaintext"])
    for content in repository["contents"]:
        stored, digest = base64.b64decode(content["stored"]), bytes.fromhex(content["contentID"][-32:])
        opened = sealer.open_content(stored, digest)
        assert len(stored) == content["packedLength"] == sealer.sealed_length(len(opened))
        if content["compressionHeaderID"] != "0x0000":
            assert opened[:4] == int(content["compressionHeaderID"], 16).to_bytes(4, "big")
            continue
        expected = (
            vector_input(content["plaintextSpec"])
            if "plaintextSpec" in content
            else base64.b64decode(content["plaintext"])
        )
        assert opened == expected
        assert len(opened) == content["originalLength"]
        assert content["contentID"].endswith(sealer.hash(opened).hex())


@SEALERS
@given(
    plaintext=st.binary(max_size=3000), prefix=st.sampled_from(SEALED_PREFIXES), suffix=st.sampled_from(["", "s1-c1"])
)
def test_opening_inverts_sealing(sealer: Sealer, plaintext: bytes, prefix: str, suffix: str) -> None:
    blob_id, stored = sealer.seal(prefix, plaintext, suffix)
    assert blob_id.startswith(prefix)
    assert blob_id.endswith(f"-{suffix}" if suffix else sealer.hash(plaintext).hex())
    assert len(stored) == sealer.sealed_length(len(plaintext))
    assert sealer.open(blob_id, memoryview(stored)) == plaintext


@SEALERS
@given(plaintext=st.binary(max_size=2000))
def test_a_content_is_sealed_into_the_middle_of_a_buffer(sealer: Sealer, plaintext: bytes) -> None:
    length = sealer.sealed_length(len(plaintext))
    buffer = bytearray(b"\xee" * (length + 20))
    assert sealer.seal_content_into(plaintext, IV, memoryview(buffer)[10 : 10 + length]) == length
    assert buffer[:10] == buffer[-10:] == b"\xee" * 10
    assert sealer.open_content(memoryview(buffer)[10:-10], IV) == plaintext
    assert sealer.open_content(sealer.seal_content(plaintext, IV), IV) == plaintext
    with pytest.raises(ValueError, match="fit"):
        sealer.seal_content_into(plaintext, IV, memoryview(bytearray(length - 1)))


@given(st.data())
def test_damage_is_noticed_and_names_the_blob(data: st.DataObject) -> None:
    blob_id, stored = PLAIN.seal("n", b"plaintext", "s1")
    damaged = bytearray(stored)
    damaged[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DecryptionError, match=blob_id):
        PLAIN.open(blob_id, damaged)


def test_error_correction_mends_what_it_can_and_tells_what_it_can_not() -> None:
    blob_id, stored = ECC.seal("n", b"plaintext" * 20)
    damaged = bytearray(stored)
    damaged[0] ^= 1
    damaged[-1] ^= 1
    assert ECC.open(blob_id, damaged) == b"plaintext" * 20
    with pytest.raises(UncorrectableError, match=blob_id):
        ECC.open(blob_id, bytes(len(stored)))


@SEALERS
@given(stored=st.binary(max_size=200))
def test_garbage_raises_only_our_errors(sealer: Sealer, stored: bytes) -> None:
    with pytest.raises(DamagedDataError):
        sealer.open("n" + "0" * 32, stored)


def test_a_blob_under_the_name_of_another_does_not_open() -> None:
    blob_id, _ = PLAIN.seal("n", b"one")
    with pytest.raises(DecryptionError):
        PLAIN.open(blob_id, PLAIN.seal("n", b"two")[1])


def test_a_plaintext_that_does_not_hash_to_the_name_is_refused_unless_told_otherwise() -> None:
    blob_id = "n" + IV.hex()
    stored = PLAIN.seal_content(b"x", IV)
    with pytest.raises(DamagedDataError, match="does not hash to its name"):
        PLAIN.open(blob_id, stored)
    assert PLAIN.open(blob_id, stored, verify=False) == b"x"


def test_the_iv_is_the_end_of_the_hash_before_the_first_dash() -> None:
    assert blob_iv("xn0_" + "ff" * 16 + IV.hex() + "-s1234-c1") == IV
    assert blob_iv("n" + IV.hex()) == IV


@pytest.mark.parametrize(
    "name", ["", "-", "n", "n" + "0" * 31, "n-" + "0" * 32, "n" + "G" * 32, "n" + "A" * 32, "n" + "٣" * 32]
)
def test_a_name_without_a_hash_is_refused(name: str) -> None:
    with pytest.raises(InvalidIDError):
        PLAIN.open(name, bytes(100))


def test_unknown_algorithms_are_refused() -> None:
    for unknown in (new(hash="X"), new(encryption="X"), new(ecc="X", ecc_overhead_percent=1)):
        with pytest.raises(UnsupportedFormatError, match="'X'"):
            Sealer.of(unknown)


def test_the_overhead_is_that_of_encryption() -> None:
    assert PLAIN.overhead == 28
    assert PLAIN.sealed_length(100) == 128
    assert ECC.sealed_length(0) == 80
