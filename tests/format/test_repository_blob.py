import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import (
    DamagedFormatBlobError,
    DecryptionError,
    InvalidPasswordError,
    UnsupportedFormatError,
    UsageError,
)
from pykopia.format import gojson
from pykopia.format.blob_names import BLOBCFG_ID, FORMAT_BLOB_ID, MAINTENANCE_ID
from pykopia.format.keys import hkdf
from pykopia.format.repository_blob import (
    POISON_INDEX_BLOB,
    POISON_INDEX_BLOB_ID,
    BlobConfiguration,
    FormatBlob,
    RepositoryFormat,
    embed_replica,
    find_replica,
    open_envelope,
    seal_envelope,
)

Generator: TypeAlias = Callable[[dict[str, Any]], bytes]

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = json.loads((VECTORS / "format_blob.json").read_text())["cases"]
CHANGED = json.loads((VECTORS / "changed_repositories.json").read_text())["cases"]
REAL = json.loads((VECTORS / "real_repository_blobs.json").read_text())["repositories"]
ENVELOPES = json.loads((VECTORS / "key_derivation.json").read_text())["formatEnvelope"]
FORMAT_KEY, UNIQUE_ID = b"k" * 32, b"u" * 32
FORMAT = RepositoryFormat.new(secret=b"s" * 32, master_key=b"m" * 32)
BLOB = FormatBlob.encrypt(
    FORMAT, format_key=FORMAT_KEY, unique_id=UNIQUE_ID, tool="t", build_version="1", build_info="i"
)


@lru_cache
def key_of(text: bytes, password: str) -> bytes:
    return FormatBlob.from_bytes(text).derive_key(password)


def blobs_of(repository: dict[str, Any]) -> dict[str, bytes]:
    return {
        name: base64.b64decode(blob["stored"] if isinstance(blob, dict) else blob)
        for name, blob in repository["blobs"].items()
    }


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_the_format_blob_of_kopia_opens_and_is_written_again_byte_for_byte(case: dict[str, Any]) -> None:
    text = case["kopia.repository"].encode()
    blob = FormatBlob.from_bytes(text)
    assert blob.to_bytes() == text
    assert blob.unique_id.hex() == case["uniqueID"]
    key = blob.derive_key(case["password"])
    assert key.hex() == case["formatEncryptionKey"]
    assert blob.decrypt(key).to_json() == case["formatPlaintext"].encode()


@pytest.mark.parametrize("case", [case for case in CASES if "kopia.blobcfg" in case], ids=lambda c: c["name"])
def test_the_blob_configuration_of_kopia_opens(case: dict[str, Any]) -> None:
    keys = {"format_key": bytes.fromhex(case["formatEncryptionKey"]), "unique_id": bytes.fromhex(case["uniqueID"])}
    stored, text = base64.b64decode(case["kopia.blobcfg"]), case["blobcfgPlaintext"].encode()
    configuration = BlobConfiguration.decrypt(stored, **keys)
    assert gojson.dumps(configuration.members()) == text
    assert open_envelope(stored, **keys) == text
    assert BlobConfiguration.decrypt(configuration.encrypt(**keys), **keys) == configuration
    assert configuration.retains == (text != b"{}")
    configuration.validate()


def test_the_backup_of_an_upgrade_is_a_copy() -> None:
    (case,) = (case for case in CASES if case.get("backupEqualsOriginal"))
    backup = FormatBlob.from_bytes(case["kopia.repository.backup.owner-1"].encode())
    locked = FormatBlob.from_bytes(case["kopia.repository"].encode()).decrypt(
        bytes.fromhex(case["formatEncryptionKey"])
    )
    assert locked.upgrade_lock is not None
    assert locked.upgrade_lock.backup_blob_id == "kopia.repository.backup.owner-1"
    before = backup.decrypt(bytes.fromhex(case["formatEncryptionKey"]))
    assert before == replace(locked, version=1, upgrade_lock=None)


@pytest.mark.parametrize("case", CHANGED, ids=lambda c: c["name"])
def test_a_repository_that_kopia_changed_opens(case: dict[str, Any]) -> None:
    blobs = blobs_of(case)
    text = blobs.pop(FORMAT_BLOB_ID)
    blob, key = FormatBlob.from_bytes(text), key_of(text, case["password"])
    assert blob.to_bytes() == text
    parsed = blob.decrypt(key)
    assert parsed.to_json() == case["formatPlaintext"].encode()
    BlobConfiguration.decrypt(blobs.pop(BLOBCFG_ID), format_key=key, unique_id=blob.unique_id).validate()
    assert open_schedule(blobs.pop(MAINTENANCE_ID), parsed, blob, key)
    assert blobs.pop(POISON_INDEX_BLOB_ID, POISON_INDEX_BLOB) == POISON_INDEX_BLOB
    for name, copy in blobs.items():
        assert parsed.upgrade_lock is not None
        assert name == parsed.upgrade_lock.backup_blob_id
        assert FormatBlob.from_bytes(copy).decrypt(key).version == 1


@pytest.mark.parametrize("repository", REAL, ids=lambda r: r["name"])
def test_the_central_blobs_of_real_repositories_open(repository: dict[str, Any]) -> None:
    blobs = blobs_of(repository)
    text = blobs[FORMAT_BLOB_ID]
    blob, key = FormatBlob.from_bytes(text), key_of(text, repository["password"])
    assert blob.to_bytes() == text
    parsed = blob.decrypt(key)
    assert parsed.version == repository["formatVersion"]
    assert RepositoryFormat.from_json(parsed.to_json()) == parsed
    parsed.validate()
    assert not parsed.check_features()
    assert not BlobConfiguration.decrypt(blobs[BLOBCFG_ID], format_key=key, unique_id=blob.unique_id).retains
    schedule = base64.b64decode(repository["blobs"][MAINTENANCE_ID]["plaintext"])
    assert open_schedule(blobs[MAINTENANCE_ID], parsed, blob, key) == schedule


def open_schedule(stored: bytes, repository_format: RepositoryFormat, blob: FormatBlob, format_key: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = repository_format.maintenance_key(unique_id=blob.unique_id, format_key=format_key)
    return AESGCM(key).decrypt(stored[:12], stored[12:], b"maintenance")


@pytest.mark.parametrize("case", ENVELOPES)
def test_the_envelope_is_that_of_kopia(case: dict[str, Any], vector_input: Generator) -> None:
    keys = {"format_key": bytes.fromhex(case["formatKey"]), "unique_id": bytes.fromhex(case["uniqueID"])}
    assert hkdf(keys["format_key"], salt=keys["unique_id"], info=b"AES").hex() == case["aesKey"]
    assert hkdf(keys["format_key"], salt=keys["unique_id"], info=b"CHECKSUM").hex() == case["aad"]
    stored, plaintext = bytes.fromhex(case["ciphertext"]), vector_input(case["plaintext"])
    assert open_envelope(stored, **keys) == plaintext
    assert seal_envelope(plaintext, **keys, nonce=stored[:12]) == stored
    assert seal_envelope(plaintext, **keys) != seal_envelope(plaintext, **keys)


def test_a_new_blob_opens_with_its_key() -> None:
    blob = FormatBlob.from_bytes(BLOB.to_bytes())
    assert blob == BLOB
    assert (blob.tool, blob.build_version, blob.build_info, blob.encryption) == ("t", "1", "i", "AES256_GCM")
    assert blob.key_derivation == "scrypt-65536-8-1"
    assert blob.decrypt(FORMAT_KEY) == FORMAT


def test_a_rewrite_changes_nothing_but_the_encrypted_part() -> None:
    changed = BLOB.with_format(replace(FORMAT, max_pack_size=30 << 20), format_key=b"other key")
    assert replace(changed, encrypted_format=BLOB.encrypted_format) == BLOB
    assert changed.decrypt(b"other key").max_pack_size == 30 << 20


def test_a_blob_with_the_needed_fields_only_opens_and_keeps_others() -> None:
    text = gojson.dumps(
        {
            "UniqueID": base64.b64encode(UNIQUE_ID).decode(),
            "keyalgo": "scrypt-65536-8-1",
            "encryption": "AES256_GCM",
            "future": [1, {"a": None}],
            "encryptedBlockFormat": base64.b64encode(BLOB.encrypted_format).decode(),
        }
    )
    blob = FormatBlob.from_bytes(text)
    assert blob.decrypt(FORMAT_KEY) == FORMAT
    assert gojson.loads(blob.to_bytes())["future"] == [1, {"a": None}]  # type: ignore[index, call-overload]


def test_a_wrong_password_is_told_as_such() -> None:
    with pytest.raises(InvalidPasswordError, match="password is wrong"):
        BLOB.decrypt(b"x" * 32)
    with pytest.raises(PermissionError):
        replace(BLOB, unique_id=b"x" * 32).decrypt(FORMAT_KEY)


def test_unknown_encryption_and_key_derivation_are_refused() -> None:
    with pytest.raises(UnsupportedFormatError, match="'NONE'"):
        replace(BLOB, encryption="NONE").decrypt(FORMAT_KEY)
    with pytest.raises(UnsupportedFormatError, match="'rot13'"):
        replace(BLOB, key_derivation="rot13").derive_key("x")


@pytest.mark.parametrize("text", [b"", b"\0" * 100, b"null", b"[]", b'{"uniqueID":1}', b'{"uniqueID":"!"}'])
def test_a_blob_that_is_not_json_is_damaged(text: bytes) -> None:
    with pytest.raises(DamagedFormatBlobError, match=r"kopia\.repository"):
        FormatBlob.from_bytes(text)


def test_an_encrypted_part_that_is_cut_short_is_damage_and_no_wrong_password() -> None:
    with pytest.raises(DamagedFormatBlobError, match="27 bytes"):
        replace(BLOB, encrypted_format=bytes(27)).decrypt(FORMAT_KEY)


def test_a_block_that_decrypts_to_nonsense_is_damaged() -> None:
    sealed = seal_envelope(b"nonsense", format_key=FORMAT_KEY, unique_id=UNIQUE_ID)
    with pytest.raises(DamagedFormatBlobError):
        replace(BLOB, encrypted_format=sealed).decrypt(FORMAT_KEY)


@given(st.integers(0, len(BLOB.to_bytes()) - 1), st.integers(1, 255))
def test_a_changed_byte_raises_only_our_errors(position: int, change: int) -> None:
    text = bytearray(BLOB.to_bytes())
    text[position] ^= change
    with contextlib.suppress(DamagedFormatBlobError, InvalidPasswordError, UnsupportedFormatError):
        assert FormatBlob.from_bytes(text).decrypt(FORMAT_KEY) == FORMAT


@given(st.integers(0, len(BLOB.to_bytes()) - 3))
def test_a_blob_that_is_cut_short_is_damaged(length: int) -> None:
    with pytest.raises(DamagedFormatBlobError):
        FormatBlob.from_bytes(BLOB.to_bytes()[:length])


@given(st.binary(max_size=80))
def test_garbage_in_the_envelope_raises_only_our_error(stored: bytes) -> None:
    with pytest.raises(DecryptionError):
        open_envelope(stored, format_key=FORMAT_KEY, unique_id=UNIQUE_ID)
    with pytest.raises(DamagedFormatBlobError, match=r"kopia\.blobcfg"):
        BlobConfiguration.decrypt(stored, format_key=FORMAT_KEY, unique_id=UNIQUE_ID)


def test_object_lock_covers_data_and_the_format_but_not_sessions() -> None:
    locked = BlobConfiguration(retention_mode="GOVERNANCE", retention_period_ns=10**15)
    assert all(map(locked.covers, ["p1", "q1", "n1", "xn0_1", "kopia.repository", "kopia.blobcfg"]))
    assert not any(map(locked.covers, ["s1", "_log_1", "kopia.maintenance", "m1", "l1"]))
    assert not BlobConfiguration().covers("p1")


@pytest.mark.parametrize(
    "configuration",
    [
        BlobConfiguration(retention_mode="GOVERNANCE"),
        BlobConfiguration(retention_period_ns=10**15),
        BlobConfiguration(retention_mode="Locked", retention_period_ns=10**15),
        BlobConfiguration(retention_mode="COMPLIANCE", retention_period_ns=24 * 3600 * 10**9 - 1),
    ],
)
def test_half_an_object_lock_is_refused(configuration: BlobConfiguration) -> None:
    with pytest.raises(UsageError, match="object lock"):
        configuration.validate()


def test_the_format_blob_survives_in_a_pack() -> None:
    assert find_replica(embed_replica(BLOB.to_bytes()) + bytes(100)) == BLOB.to_bytes()


def test_the_encrypted_part_does_not_show_in_the_representation() -> None:
    assert "encrypted_format" not in repr(BLOB)
