"""Connections are read and written as Kopia does, and keep their secrets to themselves."""

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import ConnectionFileError, PykopiaError, UnsupportedOptionError, UsageError
from pykopia.storage.backends.filesystem.options import FilesystemOptions
from pykopia.storage.backends.gcs.options import GCSOptions
from pykopia.storage.backends.rclone.options import RcloneOptions
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.backends.sftp.options import SFTPOptions
from pykopia.storage.backends.webdav.options import WebDAVOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.options import ThrottlingLimits
from pykopia.storage.registry import options_class, own

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "storage_connection_info.json").read_bytes()
)["storages"]
ALSO_HIDDEN = {"rclone": {"rcloneArgs", "rcloneEnv", "embeddedConfig"}}
"""What Kopia shows though it may hold a secret."""


@pytest.fixture(params=VECTORS, ids=[vector["type"] for vector in VECTORS])
def vector(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def as_text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def test_all_types_of_kopia_are_known() -> None:
    assert {vector["type"] for vector in VECTORS} == own().keys() - {"memory"}
    for kind in own():
        assert options_class(kind).type == kind


@pytest.mark.parametrize("which", ["allFieldsSet", "zeroValue"])
def test_typed_options_are_written_byte_for_byte_as_kopia_does(vector: dict[str, Any], which: str) -> None:
    info = ConnectionInfo.from_json(vector[which])
    assert as_text(info.to_json()) == as_text(vector[which])
    assert as_text(ConnectionInfo.from_options(info.options()).to_json()) == as_text(vector[which])


OWN_FIELDS = {
    ("gcs", "project_id"),
    ("s3", "addressing_style"),
    ("sftp", "host_key_policy"),
    *((kind, "retry_for") for kind in own()),
    *((kind, "root_ca") for kind in ("azureBlob", "b2", "gcs", "gdrive", "rclone", "webdav")),
}
"""Fields that Kopia does not have and ignores."""


def test_no_field_of_kopia_is_unknown(vector: dict[str, Any]) -> None:
    options = ConnectionInfo.from_json(vector["allFieldsSet"]).options()
    assert options.extra == {}
    for item in dataclasses.fields(options):  # type: ignore[arg-type]
        if item.name != "extra" and (options.type, item.name) not in OWN_FIELDS:
            assert getattr(options, item.name) != item.default, f"{item.name} was not read"
    assert options_class(vector["type"])().to_config() == vector["zeroValue"]["config"]


@pytest.mark.parametrize("password", ["pässword", None])
def test_a_token_holds_the_connection_as_it_is_written_here(vector: dict[str, Any], password: str | None) -> None:
    key = "tokenOfZeroValueWithPassword" if password else "tokenOfZeroValueWithoutPassword"
    document: dict[str, Any] = {"version": "1", "storage": ConnectionInfo.from_json(vector["zeroValue"]).to_json()}
    if password:
        document["password"] = password
    assert base64.urlsafe_b64encode(as_text(document).encode()).decode().rstrip("=") == vector[key]


def test_secrets_show_in_no_output(vector: dict[str, Any]) -> None:
    assert options_class(vector["type"]).secret_fields() == set(vector["sensitiveFields"])
    hidden = set(vector["sensitiveFields"]) | ALSO_HIDDEN.get(vector["type"], set())
    config = dict(vector["allFieldsSet"]["config"])
    for name in hidden:
        config[name] = ["hunter2"] if isinstance(config[name], list) else "hunter2"
    info = ConnectionInfo(type=vector["type"], config=config)
    for shown in (repr(info), str(info), repr(info.options()), str(info.options()), as_text(info.redacted())):
        assert "hunter2" not in shown
    redacted = info.redacted()["config"]
    assert redacted.keys() == config.keys()
    for name, value in redacted.items():
        if name not in hidden:
            assert value == config[name]
        elif isinstance(config[name], str):
            assert value == "*" * len(config[name])
        else:
            assert value == "***"


def test_a_password_within_a_url_is_hidden_too() -> None:
    info = ConnectionInfo(type="webdav", config={"url": "https://me:hunter2@host/p@th", "password": None})
    assert "hunter2" not in repr(info) + repr(info.options())
    assert info.redacted()["config"]["url"] == "https://***@host/p@th"
    assert info.options().to_config()["url"] == "https://me:hunter2@host/p@th"


def test_what_is_not_understood_is_hidden_altogether() -> None:
    unknown_type = ConnectionInfo(type="tape", config={"key": "hunter2"})
    wrong_kind = ConnectionInfo(type="b2", config={"bucket": 5, "key": "hunter2"})
    unknown_field = ConnectionInfo(type="b2", config={"bucket": "b", "masterKey": "hunter2", "older": None, "n": [1]})
    for info in (unknown_type, wrong_kind, unknown_field):
        assert "hunter2" not in repr(info)
    assert unknown_field.redacted()["config"]["masterKey"] == "*******"
    assert unknown_field.redacted()["config"]["older"] is None
    assert unknown_field.redacted()["config"]["n"] == "***"


def test_unknown_fields_survive(vector: dict[str, Any]) -> None:
    config = {**vector["allFieldsSet"]["config"], "fromTheFuture": {"a": [1, None]}, "another": 1.5}
    info = ConnectionInfo(type=vector["type"], config=config)
    assert info.options().extra == {"fromTheFuture": {"a": [1, None]}, "another": 1.5}
    assert ConnectionInfo.from_options(info.options()).to_json() == {"type": vector["type"], "config": config}


def test_field_names_are_read_in_any_case_as_go_does(vector: dict[str, Any]) -> None:
    expected = ConnectionInfo.from_json(vector["allFieldsSet"]).options()
    upper = {name.upper(): value for name, value in vector["allFieldsSet"]["config"].items()}
    assert ConnectionInfo(type=vector["type"], config=upper).options() == expected
    found = ConnectionInfo.from_json({"Type": vector["type"], "CONFIG": upper})
    assert found.options() == expected


def test_null_leaves_the_default_and_the_last_of_two_names_wins() -> None:
    assert FilesystemOptions.from_config({"path": None, "fileMode": None, "uid": None}) == FilesystemOptions()
    assert FilesystemOptions.from_config({"path": "a", "PATH": "b"}).path == "b"
    assert FilesystemOptions.from_config({"PATH": "b", "path": "a"}).path == "a"


def test_a_user_of_zero_is_root_and_not_absent() -> None:
    options = FilesystemOptions(path="/b", uid=0, gid=0)
    assert options.to_config() == {"path": "/b", "uid": 0, "gid": 0, "dirShards": None}
    assert FilesystemOptions.from_config(options.to_config()) == options


def test_empty_shards_are_not_absent_shards() -> None:
    assert FilesystemOptions(path="/b", dir_shards=()).to_config()["dirShards"] == []
    assert FilesystemOptions.from_config({"dirShards": []}).dir_shards == ()
    assert FilesystemOptions.from_config({"dirShards": None}).dir_shards is None


def test_numbers_are_written_as_go_writes_them() -> None:
    options = FilesystemOptions(throttling=ThrottlingLimits(reads_per_second=20.0, lists_per_second=0.5))
    assert as_text(options.to_config()) == '{"path":"","dirShards":null,"readsPerSecond":20,"listsPerSecond":0.5}'
    assert FilesystemOptions.from_config({"readsPerSecond": 20}).throttling.reads_per_second == 20.0


def test_credentials_may_be_any_json_and_empty_ones_are_kept() -> None:
    for credentials in ({"type": "service_account", "nested": [1, {"a": None}]}, {}, "text", 0):
        options = GCSOptions.from_config({"bucket": "b", "credentials": credentials})
        assert options.to_config() == {"bucket": "b", "credentials": credentials}


@pytest.mark.parametrize(
    ("kind", "field", "value", "expected"),
    [
        ("filesystem", "path", 5, "text"),
        ("filesystem", "fileMode", "0600", "a whole number"),
        ("filesystem", "fileMode", 1.5, "a whole number"),
        ("filesystem", "fileMode", True, "a whole number"),
        ("filesystem", "uid", "0", "a whole number"),
        ("filesystem", "dirShards", 3, "a list of whole numbers"),
        ("filesystem", "dirShards", ["1"], "a list of whole numbers"),
        ("filesystem", "dirShards", "13", "a list of whole numbers"),
        ("filesystem", "readsPerSecond", "fast", "a number"),
        ("filesystem", "readsPerSecond", True, "a number"),
        ("s3", "doNotUseTLS", "true", "true or false"),
        ("s3", "doNotUseTLS", 1, "true or false"),
        ("s3", "duration", 3600, "a duration"),
        ("s3", "duration", "an hour", "a duration"),
        ("s3", "duration", "1d", "a duration"),
        ("s3", "rootCA", "not base64!", "base64"),
        ("s3", "rootCA", "abc", "base64"),
        ("s3", "rootCA", "ü", "base64"),
        ("s3", "pointInTime", "yesterday", "a time"),
        ("s3", "pointInTime", "2026-01-02", "a time"),
        ("s3", "secretAccessKey", {"hunter2": 1}, "text"),
        ("rclone", "rcloneArgs", "--fast", "a list of texts"),
        ("rclone", "rcloneArgs", [1], "a list of texts"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_name_without_showing_it(
    kind: str, field: str, value: object, expected: str
) -> None:
    with pytest.raises(ConnectionFileError, match=f"type {kind}: {field} must be {expected}") as caught:
        ConnectionInfo(type=kind, config={field: value}).options()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ["0s", "1h0m0s", "16m30s", "1.5h", "100ms", "5us", "5µs", "-3s", "0", "3600000000000"])
def test_durations_of_go_are_kept_as_they_are(text: str) -> None:
    assert S3Options.from_config({"duration": text}).duration == text
    assert RcloneOptions.from_config({"startupTimeout": text}).to_config()["startupTimeout"] == text


@pytest.mark.parametrize(
    "text", ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000006Z", "2026-01-02T03:04:05+02:00"]
)
def test_times_are_kept_as_they_are(text: str) -> None:
    assert S3Options.from_config({"pointInTime": text}).to_config()["pointInTime"] == text


def test_a_certificate_may_be_wrapped_over_lines() -> None:
    assert S3Options.from_config({"rootCA": "aGVs\r\nbG8=\n"}).root_ca == b"hello"


@pytest.mark.parametrize(
    "value",
    [None, 5, "s3", [], {}, {"type": "s3"}, {"config": {}}, {"type": 5, "config": {}}, {"type": "s3", "config": []}],
)
def test_what_is_no_connection_is_refused(value: object) -> None:
    with pytest.raises(ConnectionFileError, match="connect to the repository again"):
        ConnectionInfo.from_json(value)


def test_an_unknown_type_can_be_carried_but_not_used() -> None:
    info = ConnectionInfo.from_json({"type": "tape", "config": {"drive": 1}})
    assert info.to_json() == {"type": "tape", "config": {"drive": 1}}
    with pytest.raises(UnsupportedOptionError, match=r"'tape'.*known types: .*filesystem.*webdav"):
        info.options()


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["type"] for vector in VECTORS])
def test_options_without_the_needful_are_refused(vector: dict[str, Any]) -> None:
    ConnectionInfo.from_json(vector["allFieldsSet"]).options().check()
    cls = options_class(vector["type"])
    with pytest.raises(UsageError, match=f"type {vector['type']}: .*{cls.required[0]}.* must be given"):
        ConnectionInfo.from_json(vector["zeroValue"]).options().check()
    for name in cls.required:
        config = {key: value for key, value in vector["allFieldsSet"]["config"].items() if key != name}
        with pytest.raises(UsageError, match=f"{name} must be given"):
            cls.from_config(config).check()


def test_fields_can_be_added_to_a_connection() -> None:
    info = ConnectionInfo(type="b2", config={"bucket": "b"})
    assert info.with_fields({"keyID": "k", "bucket": "c"}).config == {"bucket": "c", "keyID": "k"}
    assert info.config == {"bucket": "b"}


def test_options_are_made_by_their_python_names() -> None:
    options = SFTPOptions(path="/p", host="h", port=22, username="u", known_hosts_data="x", external_ssh=True)
    assert SFTPOptions.from_config(options.to_config()) == options
    assert repr(options).startswith("SFTPOptions.from_config({'path': '/p'")
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.path = "/q"  # type: ignore[misc]
    assert WebDAVOptions(url="u") != WebDAVOptions(url="v")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)
NAMES = sorted({name for vector in VECTORS for name in vector["allFieldsSet"]["config"]})


@given(st.sampled_from(sorted(own())), st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), JSON_VALUES))
def test_any_configuration_is_read_or_refused_and_never_changes_when_written_again(
    kind: str, config: dict[str, Any]
) -> None:
    try:
        info = ConnectionInfo.from_json({"type": kind, "config": config})
        repr(info)
        assert info.to_json()["config"] == config
        options = info.options()
    except PykopiaError:
        return
    assert type(options).from_config(options.to_config()) == options
