import base64
import contextlib
import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import ConnectionFileError
from pykopia.format import gojson
from pykopia.format.encryption import DEFAULT_ENCRYPTION, Encryptor
from pykopia.format.keys import cache_key, derive_format_key
from pykopia.format.local_config import (
    DEFAULT_CACHE_SIZE,
    DEFAULT_FORMAT_CACHE_DURATION_NS,
    DEFAULT_LIST_CACHE_SECONDS,
    APIServer,
    CachingOptions,
    LocalConfig,
    decode_password_file,
    default_cache_directory_name,
    encode_password_file,
)

VECTORS = Path(__file__).parents[1] / "vectors"
LOCAL = json.loads((VECTORS / "local_config.json").read_text())
INFO = json.loads((VECTORS / "storage_connection_info.json").read_text())


@pytest.mark.parametrize("case", LOCAL["cases"], ids=lambda c: Path(c["configPath"]).name)
def test_files_of_kopia_are_read_and_written_again_byte_for_byte(case: dict[str, Any]) -> None:
    config = LocalConfig.from_bytes(case["content"].encode())
    assert config.to_bytes() == case["content"].encode()
    assert config.format_blob_cache_duration_ns == DEFAULT_FORMAT_CACHE_DURATION_NS
    assert config.caching.content_limit == config.caching.metadata_limit == DEFAULT_CACHE_SIZE
    assert config.caching.max_list_cache_duration_seconds == DEFAULT_LIST_CACHE_SECONDS
    assert (config.storage is None) == (config.api_server is not None)
    assert not config.unknown


@pytest.mark.parametrize("case", LOCAL["cases"], ids=lambda c: Path(c["configPath"]).name)
def test_the_cache_folder_is_found_and_named_as_by_kopia(case: dict[str, Any]) -> None:
    config = LocalConfig.from_bytes(case["content"].encode())
    folder = config.caching.folder(Path(case["configPath"]))
    assert folder is not None
    assert folder.is_absolute()
    assert replace(config.caching, cache_directory=str(folder)).relative_to(Path(case["configPath"])) == config.caching
    if "cacheDirName" in case:
        server = config.api_server
        unique_id = server.url.encode() if server else bytes.fromhex(case["repositoryUniqueIDHex"])
        name = default_cache_directory_name(unique_id, case["configPath"])
        assert name == case["cacheDirName"]
        assert folder == Path(case["cacheDirBase"]) / "kopia" / name


def test_the_server_connection_has_no_storage() -> None:
    (config,) = (
        config for case in LOCAL["cases"] if (config := LocalConfig.from_bytes(case["content"].encode())).api_server
    )
    assert config.api_server == APIServer(
        url="https://127.0.0.1:51599",
        certificate_fingerprint="1dc9d6912ae95a48aa22178e4dfc303de42cfa7795439e44ea2e07382b1a87cc",
        cache_key_derivation="scrypt-65536-8-1",
    )


def test_every_option_of_a_client_is_kept() -> None:
    text = gojson.dumps({"caching": {}, **INFO["clientOptionsAllFields"]}, indent=2)
    config = LocalConfig.from_bytes(text)
    assert config.to_bytes() == text
    assert config == LocalConfig(
        hostname="v-Hostname",
        username="v-Username",
        readonly=True,
        permissive_cache_loading=True,
        description="v-Description",
        enable_actions=True,
        format_blob_cache_duration_ns=510_000_000_000,
        throttling={"readsPerSecond": 1.5, "concurrentReads": 3},
    )


@pytest.mark.parametrize("storage", INFO["storages"], ids=lambda s: s["type"])
def test_every_storage_survives(storage: dict[str, Any]) -> None:
    for value in (storage["allFieldsSet"], storage["zeroValue"]):
        config = LocalConfig(storage=value)
        assert LocalConfig.from_bytes(config.to_bytes()).storage == value
        assert list(LocalConfig.from_bytes(config.to_bytes()).storage or {}) == list(value)


def test_fields_of_other_programs_survive_a_rewrite() -> None:
    text = (
        b'{"storage":{"type":"s3","config":{"bucket":"b","future":[1]}},"caching":{"maxCacheSize":5,"warmup":true},'
        b'"hostname":"h","username":"u","enableActions":false,"throttlingLimits":{"burst":2.5},"theme":{"dark":1.50}}'
    )
    config = LocalConfig.from_bytes(text)
    assert replace(config, hostname="h2").to_bytes() == gojson.dumps(
        gojson.Raw(text.replace(b'"h"', b'"h2"')), indent=2
    )
    assert config.caching.content_cache_size_bytes == 5


def test_a_file_with_a_storage_alone_works() -> None:
    config = LocalConfig.from_bytes(b'{"Storage":{"type":"filesystem","config":{"path":"/x"}}} trailing')
    assert config.storage == {"type": "filesystem", "config": {"path": "/x"}}
    assert config.caching.folder(Path("/c/repository.config")) is None
    assert not config.readonly
    assert config.format_blob_cache_duration_ns == 0


def test_the_cache_folder_is_relative_to_the_file() -> None:
    path = Path("/home/u/conf/repository.config")
    assert CachingOptions(cache_directory="../cache/x").folder(path) == Path("/home/u/cache/x")
    assert CachingOptions(cache_directory="/var/cache").folder(path) == Path("/var/cache")
    assert CachingOptions(cache_directory="/var/cache").folder(None) == Path("/var/cache")
    assert CachingOptions().folder(path) is None
    assert CachingOptions(cache_directory="/home/u/cache").relative_to(path).cache_directory == "../cache"
    assert CachingOptions().relative_to(path) == CachingOptions()
    assert CachingOptions(cache_directory="/a").relative_to(Path("x.config")).cache_directory == "/a"


@pytest.mark.parametrize(
    ("options", "content", "metadata"),
    [
        (CachingOptions(), DEFAULT_CACHE_SIZE, DEFAULT_CACHE_SIZE),
        (CachingOptions(content_cache_size_bytes=5), 5, 5),
        (CachingOptions(content_cache_size_bytes=5, metadata_cache_size_bytes=7), 5, 7),
        (CachingOptions(content_cache_size_bytes=5, content_cache_size_limit_bytes=3), 3, 5),
        (CachingOptions(content_cache_size_limit_bytes=9, metadata_cache_size_limit_bytes=4), 9, 4),
        (CachingOptions(content_cache_size_bytes=5, metadata_cache_size_limit_bytes=9), 5, 5),
    ],
)
def test_the_smaller_of_size_and_limit_counts(options: CachingOptions, content: int, metadata: int) -> None:
    assert (options.content_limit, options.metadata_limit) == (content, metadata)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"storage":[]}', '{"storage":1}', '{"caching":[]}', '{"hostname":1}', '{"readonly":"yes"}',
     '{"caching":{"maxCacheSize":1.5}}', '{"formatBlobCacheDuration":1e3}'],
)  # fmt: skip
def test_a_file_that_is_no_connection_is_refused(text: str) -> None:
    with pytest.raises(ConnectionFileError, match=r"my\.config"):
        LocalConfig.from_bytes(text.encode(), name="my.config")


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:storagecn ', max_size=40).map(str.encode))
def test_garbage_raises_only_our_error(data: bytes) -> None:
    with contextlib.suppress(ConnectionFileError):
        LocalConfig.from_bytes(data)


def test_secrets_of_the_storage_do_not_show_in_the_representation() -> None:
    assert "QQQ" not in repr(LocalConfig(storage={"type": "s3", "config": {"secretAccessKey": "QQQ"}}))


def test_the_password_file_is_that_of_kopia() -> None:
    content, password = LOCAL["passwordFile"]["content"], LOCAL["passwordFile"]["password"]
    assert encode_password_file(password) == content.encode()
    assert decode_password_file(content.encode()) == password
    assert decode_password_file(content.encode() + b"\n") == password


@given(st.text(max_size=30) | st.binary(max_size=30).map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_any_password_survives_in_its_file(password: str) -> None:
    with contextlib.suppress(UnicodeEncodeError):
        assert decode_password_file(encode_password_file(password)) == password


@pytest.mark.parametrize("data", [b"!", b"abc", b"a b=", b"\xff\xff\xff\xff"])
def test_a_password_file_that_is_not_base64_is_refused(data: bytes) -> None:
    with pytest.raises(ConnectionFileError, match="password file"):
        decode_password_file(data)


def test_files_of_a_real_cache_are_protected_by_the_derived_key() -> None:
    direct = LOCAL["directCache"]
    key = cache_key(bytes.fromhex(direct["secretHex"]), bytes.fromhex(direct["repositoryUniqueIDHex"]))
    assert key.hex() == direct["hmacKeyHex"]
    for entry in direct["entries"]:
        stored = base64.b64decode(entry["stored"])
        assert hmac.digest(key, stored[:-32], "sha256") == stored[-32:]


def test_files_of_a_real_server_cache_open() -> None:
    server = LOCAL["serverCache"]
    key = derive_format_key(server["password"], algorithm=server["keyAlgorithm"], salt=b"content-cache-protection")
    assert key.hex() == server["keyHex"]
    iv = hashlib.sha256(server["entry"].encode()).digest()
    assert (
        Encryptor(DEFAULT_ENCRYPTION, key).decrypt(base64.b64decode(server["stored"]), iv)
        == server["plaintext"].encode()
    )
