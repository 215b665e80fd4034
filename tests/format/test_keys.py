import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from pykopia.errors import DamagedFormatBlobError, UnsupportedFormatError
from pykopia.format import keys
from pykopia.format.encryption import DEFAULT_ENCRYPTION, Encryptor
from pykopia.format.keys import (
    DEFAULT_KEY_DERIVATION,
    KEY_DERIVATIONS,
    cache_key,
    content_root_key,
    derive_format_key,
    hkdf,
    maintenance_key,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "key_derivation.json").read_text())
LOCAL = json.loads((Path(__file__).parents[1] / "vectors" / "local_config.json").read_text())


@pytest.mark.parametrize("case", VECTORS["passwordBased"])
def test_a_password_gives_the_key_that_kopia_derives(case: dict[str, Any]) -> None:
    salt = bytes.fromhex(case["salt"])
    if "error" in case:
        with pytest.raises((UnsupportedFormatError, DamagedFormatBlobError)):
            derive_format_key(case["password"], algorithm=case["algorithm"], salt=salt, length=case["length"])
        return
    key = derive_format_key(case["password"], algorithm=case["algorithm"], salt=salt, length=case["length"])
    assert key.hex() == case["key"]


@pytest.mark.parametrize("case", [case for case in VECTORS["hkdf"] if "key" in case])
def test_hkdf_is_that_of_kopia(case: dict[str, Any]) -> None:
    key, salt, info = bytes.fromhex(case["masterKey"]), bytes.fromhex(case["salt"]), case["purpose"].encode()
    assert hkdf(key, salt=salt, info=info, length=case["length"]).hex() == case["key"]
    if case["purpose"] == "maintenance schedule":
        assert maintenance_key(key, salt).hex() == case["key"]
    if case["purpose"] == "local-cache-integrity":
        assert cache_key(key, salt).hex() == case["key"]


def test_an_empty_key_is_refused_but_for_the_root_of_the_contents() -> None:
    assert [case["error"] for case in VECTORS["hkdf"] if "error" in case]
    with pytest.raises(UnsupportedFormatError, match="empty"):
        maintenance_key(b"", bytes(32))
    with pytest.raises(UnsupportedFormatError, match="empty"):
        cache_key(b"", bytes(32))
    assert len(content_root_key(b"")) == 32


@pytest.mark.parametrize("case", VECTORS["directCacheEntry"])
def test_a_cached_blob_ends_with_its_hmac(case: dict[str, Any]) -> None:
    data, secret = bytes.fromhex(case["data"]), bytes.fromhex(case["hmacSecret"])
    assert (data + hmac.digest(secret, data, "sha256")).hex() == case["stored"]


@pytest.mark.parametrize("case", VECTORS["serverCacheEntry"])
def test_a_server_cache_entry_opens_with_the_password_key(case: dict[str, Any]) -> None:
    key = derive_format_key(case["password"], algorithm=case["algorithm"], salt=bytes.fromhex(case["salt"]))
    assert key.hex() == case["key"]
    iv = hashlib.sha256(case["entryID"].encode()).digest()
    assert Encryptor(DEFAULT_ENCRYPTION, key).decrypt(bytes.fromhex(case["stored"]), iv).hex() == case["plaintext"]


def test_the_cache_key_is_the_one_of_a_real_cache() -> None:
    direct = LOCAL["directCache"]
    key = cache_key(bytes.fromhex(direct["secretHex"]), bytes.fromhex(direct["repositoryUniqueIDHex"]))
    assert key.hex() == direct["hmacKeyHex"]
    for entry in direct["entries"]:
        stored = base64.b64decode(entry["stored"])
        assert hmac.digest(key, stored[:-32], "sha256") == stored[-32:]


def test_bytes_and_text_of_a_password_give_the_same_key() -> None:
    salt = bytes(16)
    assert derive_format_key("pässword", salt=salt) == derive_format_key("pässword".encode(), salt=salt)


def test_the_default_is_known_and_the_insecure_one_is_not() -> None:
    assert DEFAULT_KEY_DERIVATION in KEY_DERIVATIONS
    with pytest.raises(UnsupportedFormatError, match="testing-only-insecure"):
        derive_format_key("x", algorithm="testing-only-insecure", salt=bytes(32))


@pytest.mark.parametrize("way", [-1, 0, 1, 2])
@pytest.mark.parametrize(("n", "r"), [(2, 1), (16, 1), (64, 2), (1024, 8), (256, 32)])
def test_each_way_of_the_native_part_of_scrypt_is_that_of_openssl(n: int, r: int, way: int) -> None:
    native = pytest.importorskip("pykopia.format._scrypt")
    block = hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 1, 128 * r)
    try:
        mixed = native.romix(block, n, r, way)
    except ValueError as error:
        pytest.skip(str(error))
    derived = hashlib.pbkdf2_hmac("sha256", b"password", mixed, 1, 64)
    assert derived == hashlib.scrypt(b"password", salt=b"salt", n=n, r=r, p=1, dklen=64)


@pytest.mark.parametrize(("length", "n", "r"), [(127, 16, 1), (128, 15, 1), (128, 1, 1), (128, 16, 2), (0, 16, 0)])
def test_the_native_part_of_scrypt_refuses_what_makes_no_sense(length: int, n: int, r: int) -> None:
    native = pytest.importorskip("pykopia.format._scrypt")
    with pytest.raises(ValueError, match="parameters"):
        native.romix(bytes(length), n, r)


def test_without_the_native_part_of_scrypt_the_key_is_the_same() -> None:
    salt = bytes(range(32))
    assert derive_format_key("password", salt=salt) == keys._openssl_scrypt(b"password", salt, 32)
