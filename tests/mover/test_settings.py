"""The settings: every variable alone, with its competitors, empty; what is malformed is named."""

import ast
from pathlib import Path

import pytest
from pykopia_mover import settings
from pykopia_mover.failures import MoverError
from pykopia_mover.manual import parse_manual_config
from pykopia_mover.settings import FIELDS, all_variables, load, unknown_variables
from pykopia_mover.variables import STORAGE_VARIABLES, is_secret

from pykopia.storage.environment import storage_from_environment, variables_by_backend
from tests.mover.harness import EXAMPLES, Mover

DOCUMENTED = [
    "KOPIA_REPOSITORY", "KOPIA_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_S3_ENDPOINT",
    "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "KOPIA_S3_BUCKET", "KOPIA_S3_ENDPOINT",
    "KOPIA_S3_DISABLE_TLS", "AZURE_STORAGE_ACCOUNT", "KOPIA_AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY",
    "KOPIA_AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_ACCOUNT_NAME", "AZURE_ACCOUNT_KEY",
    "AZURE_ACCOUNT_SAS", "AZURE_ENDPOINT_SUFFIX", "KOPIA_AZURE_CONTAINER", "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_PROJECT_ID", "KOPIA_GCS_BUCKET", "KOPIA_FS_PATH", "B2_ACCOUNT_ID", "B2_APPLICATION_KEY",
    "KOPIA_B2_BUCKET", "WEBDAV_URL", "WEBDAV_USERNAME", "WEBDAV_PASSWORD", "SFTP_HOST", "SFTP_PORT",
    "SFTP_USERNAME", "SFTP_PASSWORD", "SFTP_PATH", "SFTP_KEY_FILE", "RCLONE_REMOTE_PATH", "RCLONE_EXE",
    "RCLONE_CONFIG", "GOOGLE_DRIVE_FOLDER_ID", "GOOGLE_DRIVE_CREDENTIALS",
]  # fmt: skip
"""The environment reference of VolSync's documentation."""

SAMPLES = {int: "5", bool: "true"}


def sample(name: str) -> str:
    """Return a value that a setting can have."""
    special = {
        "KOPIA_LOG_LEVEL": "debug",
        "KOPIA_FILE_LOG_LEVEL": "error",
        "KOPIA_LOG_FORMAT": "json",
        "KOPIA_LOG_DIR_MAX_AGE": "2h",
        "KOPIA_DISCOVER_SCOPE": "namespace",
        "KOPIA_ON_MISSING_SNAPSHOT": "fail",
        "KOPIA_METRICS_PUSH_URL": "http://push:9091",
    }
    hint = str(FIELDS[name][2])
    return special.get(name) or next(
        (text for kind, text in SAMPLES.items() if f"[{kind.__name__}" in hint), "some text"
    )


@pytest.mark.parametrize("name", FIELDS)
def test_m_020_each_variable_alone_sets_its_field_and_an_empty_one_does_not(name: str) -> None:
    attribute = FIELDS[name][0]
    default = getattr(load({})[0], attribute)
    settings, _ = load({name: sample(name)})
    if attribute != "skip_cache_config":
        assert getattr(settings, attribute) != default or getattr(settings, attribute) is True
    assert getattr(load({name: ""})[0], attribute) == default


@pytest.mark.parametrize("name", [name for name, (_, _, hint) in FIELDS.items() if "[int" in str(hint)])
@pytest.mark.parametrize("text", ["-1", "many", "1.5", "\udcff"])
def test_a_number_that_is_none_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(MoverError, match=name) as caught:
        load({name: text})
    assert caught.value.code.name == "config"
    assert repr(text) in str(caught.value)


def test_a_document_that_is_not_utf8_is_refused_by_name() -> None:
    with pytest.raises(MoverError, match="KOPIA_MANUAL_CONFIG is not UTF-8: byte 0"):
        parse_manual_config("\udcff")


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(MoverError) as caught:
        load({"KOPIA_PARALLELISM": "0", "KOPIA_RETAIN_DAILY": "x", "KOPIA_ON_MISSING_SNAPSHOT": "maybe"})
    for name in ("KOPIA_PARALLELISM", "KOPIA_RETAIN_DAILY", "KOPIA_ON_MISSING_SNAPSHOT"):
        assert name in str(caught.value)


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("1", True), ("Yes", True), ("on", True), ("off", False)])
def test_m_021_truth_values_in_all_spellings(text: str, value: bool) -> None:
    settings, warnings = load({"KOPIA_STRICT_POLICY": text})
    assert settings.strict_policy is value
    assert warnings == []


def test_m_021_what_is_neither_true_nor_false_is_false_with_a_warning() -> None:
    settings, warnings = load({"KOPIA_STRICT_POLICY": "perhaps"})
    assert settings.strict_policy is False
    assert "KOPIA_STRICT_POLICY" in warnings[0]


def test_a_password_is_taken_as_it_is() -> None:
    assert load({"KOPIA_PASSWORD": "  blanks stay \n"})[0].password == "  blanks stay \n"


def test_the_settings_do_not_show_their_secrets() -> None:
    assert "canary" not in repr(load({"KOPIA_PASSWORD": "canary"})[0])


def test_rows_102_290_291_292_every_variable_of_the_reference_is_known() -> None:
    known = {each.name for each in all_variables()}
    assert [name for name in DOCUMENTED if name not in known] == []
    for name in DOCUMENTED:
        assert unknown_variables({name: "x"}) == []


EFFECTS: dict[str, tuple[str, str, str, str]] = {
    "KOPIA_REPOSITORY": ("", "s3://other/x", "bucket", "other"),
    "AWS_ACCESS_KEY_ID": ("s3", "id", "accessKeyID", "id"),
    "AWS_SECRET_ACCESS_KEY": ("s3", "key", "secretAccessKey", "key"),
    "AWS_S3_ENDPOINT": ("s3", "https://host:9", "endpoint", "host:9"),
    "AWS_DEFAULT_REGION": ("s3", "eu-north-1", "region", "eu-north-1"),
    "AWS_REGION": ("s3", "eu-north-1", "region", "eu-north-1"),
    "KOPIA_S3_BUCKET": ("s3", "other", "bucket", "other"),
    "KOPIA_S3_ENDPOINT": ("s3", "host:9", "endpoint", "host:9"),
    "KOPIA_S3_DISABLE_TLS": ("s3", "true", "doNotUseTLS", "True"),
    **dict.fromkeys(
        ("AZURE_STORAGE_ACCOUNT", "KOPIA_AZURE_STORAGE_ACCOUNT", "AZURE_ACCOUNT_NAME"),
        ("azure", "other", "storageAccount", "other"),
    ),
    **dict.fromkeys(
        ("AZURE_STORAGE_KEY", "KOPIA_AZURE_STORAGE_KEY", "AZURE_ACCOUNT_KEY"), ("azure", "other", "storageKey", "other")
    ),
    **dict.fromkeys(("AZURE_STORAGE_SAS_TOKEN", "AZURE_ACCOUNT_SAS"), ("azure", "?sv=1", "sasToken", "sv=1")),
    "AZURE_ENDPOINT_SUFFIX": ("azure", "core.chinacloudapi.cn", "storageDomain", "blob.core.chinacloudapi.cn"),
    "KOPIA_AZURE_CONTAINER": ("azure", "other", "container", "other"),
    "GOOGLE_APPLICATION_CREDENTIALS": ("gcs", '{"type": "x"}', "credentials", "{'type': 'x'}"),
    "GOOGLE_PROJECT_ID": ("gcs", "other", "projectID", "other"),
    "KOPIA_GCS_BUCKET": ("gcs", "other", "bucket", "other"),
    "KOPIA_FS_PATH": ("filesystem", "/other", "path", "/other"),
    "B2_ACCOUNT_ID": ("b2", "other", "keyID", "other"),
    "B2_APPLICATION_KEY": ("b2", "other", "key", "other"),
    "KOPIA_B2_BUCKET": ("b2", "other", "bucket", "other"),
    "WEBDAV_URL": ("webdav", "http://other/x", "url", "http://other/x"),
    "WEBDAV_USERNAME": ("webdav", "other", "username", "other"),
    "WEBDAV_PASSWORD": ("webdav", "other", "password", "other"),
    "SFTP_HOST": ("sftp", "other", "host", "other"),
    "SFTP_PORT": ("sftp", "2200", "port", "2200"),
    "SFTP_USERNAME": ("sftp", "other", "username", "other"),
    "SFTP_PASSWORD": ("sftp", "other", "password", "other"),
    "SFTP_PATH": ("sftp", "/other", "path", "/other"),
    "SFTP_KEY_FILE": ("sftp", "a key", "keyData", "a key"),
    "RCLONE_REMOTE_PATH": ("rclone", "dropbox-remote:/x", "remotePath", "dropbox-remote:/x"),
    "RCLONE_EXE": ("rclone", "/bin/other", "rcloneExe", "/bin/other"),
    "RCLONE_CONFIG": ("rclone", "[remote-name]\ntype = local", "embeddedConfig", "[remote-name]\ntype = local"),
    "GOOGLE_DRIVE_FOLDER_ID": ("gdrive", "other-folder", "folderID", "other-folder"),
    "GOOGLE_DRIVE_CREDENTIALS": (
        "gdrive",
        '{"type": "authorized_user"}',
        "credentials",
        "{'type': 'authorized_user'}",
    ),
}
"""For each variable of the reference that is one of a storage: the Secret that it is added to, a value, and what comes of it."""


def test_row_102_the_table_has_every_variable_of_the_reference() -> None:
    assert len(DOCUMENTED) == 42
    assert {*DOCUMENTED} - {*EFFECTS} == {"KOPIA_PASSWORD", "AWS_PROFILE"}  # which other tests set


@pytest.mark.parametrize("name", EFFECTS)
def test_row_102_each_variable_of_the_reference_has_its_effect(name: str) -> None:
    secret, value, field, expected = EFFECTS[name]
    alternatives = {each for each, effect in EFFECTS.items() if effect[2] == field and effect[0] == secret}
    others = {key: text for key, text in EXAMPLES["secrets"].get(secret, {}).items() if key not in alternatives}
    found = storage_from_environment(others | {name: value}).connection.config
    assert str(found[field]) == expected


def test_row_103_m_024_misspelt_variables_do_not_break_the_run() -> None:
    _, warnings = load({"KOPIA_PASWORD": "x", "KOPIA_SOMETHING_ELSE_ENTIRELY": "y", "KOPIA_CHECK_FOR_UPDATES": "false"})
    assert len(warnings) == 1
    assert "KOPIA_PASWORD (did you mean KOPIA_PASSWORD?)" in warnings[0]
    assert "KOPIA_SOMETHING_ELSE_ENTIRELY" in warnings[0]
    assert "KOPIA_CHECK_FOR_UPDATES" not in warnings[0]


def test_row_103_a_run_with_misspelt_and_unknown_variables_goes_well(mover: Mover) -> None:
    mover.write({"a": "b"})
    odd = {
        "KOPIA_PASWORD": "x",
        "AWS_SECRET_ACCES_KEY": "y",
        "SFTP_FILE_KEY": "z",
        "KOPIA_": "w",
        "kopia_password": "v",
    }
    result = mover.ok("backup", **odd)
    assert any("did you mean KOPIA_PASSWORD?" in each for each in result.termination["warnings"])


def test_the_variables_of_storages_are_those_that_the_library_reads() -> None:
    read = {name for names in variables_by_backend().values() for name in names}
    assert {each.name for each in STORAGE_VARIABLES} == read


def test_no_variable_is_named_twice() -> None:
    names = [each.name for each in all_variables()]
    assert len(names) == len(set(names))


def test_secret_is_what_the_name_says() -> None:
    secret = {name for name in DOCUMENTED if is_secret(name)}
    assert secret == {
        "KOPIA_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_KEY", "KOPIA_AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_ACCOUNT_KEY", "AZURE_ACCOUNT_SAS", "GOOGLE_APPLICATION_CREDENTIALS", "B2_APPLICATION_KEY", "WEBDAV_PASSWORD",
        "SFTP_PASSWORD", "SFTP_KEY_FILE", "RCLONE_CONFIG", "GOOGLE_DRIVE_CREDENTIALS",
    }  # fmt: skip


def test_the_password_of_an_encrypted_configuration_of_rclone_is_secret() -> None:
    assert is_secret("RCLONE_CONFIG_PASS")


@pytest.mark.parametrize("name", EXAMPLES["secrets"])
def test_every_documented_secret_names_a_storage_and_all_its_keys_are_known(name: str) -> None:
    secret = EXAMPLES["secrets"][name]
    assert storage_from_environment(secret).connection.type
    assert unknown_variables(secret) == []


# ---------------------------------------------------------------------- who reads the environment

PASS_IT_ON = {"main.py", "looking.py"}
"""Modules that hand the environment of the process to ``Environment``."""


def test_the_environment_is_read_in_the_settings_alone() -> None:
    names = {each.name for each in all_variables()}
    folder = Path(settings.__file__).parent
    for path in folder.glob("*.py"):
        if path.name == "settings.py":
            continue
        tree = ast.parse(path.read_text())
        arguments = [each for call in ast.walk(tree) if isinstance(call, ast.Call) for each in call.args]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "environ":
                assert path.name in PASS_IT_ON, path.name
                assert node in arguments, f"{path.name}:{node.lineno}"
            looked_up = (
                node.slice
                if isinstance(node, ast.Subscript)
                else node.args[0]
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "get"
                and node.args
                else None
            )
            if isinstance(looked_up, ast.Constant):
                assert looked_up.value not in names, f"{path.name}:{looked_up.lineno}"
