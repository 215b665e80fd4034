"""Variables of the environment name a storage: each alone, with its rivals, and empty."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pykopia.errors import InvalidEnvironmentError, InvalidURLError, UsageError
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.environment import (
    REPOSITORY,
    EnvironmentStorage,
    environment_backends,
    legacy_connections,
    storage_from_environment,
    variables_by_backend,
)
from pykopia.storage.environment_variables import Variables

CANARY = "canary-0f3a"
SERVICE_ACCOUNT = json.dumps({"type": "service_account", "client_email": "me@x", "private_key": CANARY})
AUTHORIZED_USER = json.dumps(
    {"type": "authorized_user", "client_id": "i", "client_secret": CANARY, "refresh_token": "r"}
)
RCLONE_CONFIG = "[first]\ntype = local\n\n[remote-name]\ntype = drive\ntoken = " + CANARY + "\n"
CA = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
CA_BASE64 = base64.b64encode(CA.encode()).decode()

COMPLETE: Mapping[str, Mapping[str, str]] = {
    "s3": {REPOSITORY: "s3://bucket/a", "AWS_ACCESS_KEY_ID": "i", "AWS_SECRET_ACCESS_KEY": CANARY},
    "azureBlob": {REPOSITORY: "azure://container/a", "AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_KEY": CANARY},
    "gcs": {REPOSITORY: "gcs://bucket/a", "GOOGLE_APPLICATION_CREDENTIALS": SERVICE_ACCOUNT},
    "filesystem": {REPOSITORY: "filesystem:///backups"},
    "b2": {REPOSITORY: "b2://bucket/a", "B2_ACCOUNT_ID": "i", "B2_APPLICATION_KEY": CANARY},
    "webdav": {REPOSITORY: "webdav://host/a", "WEBDAV_URL": "https://host/a", "WEBDAV_PASSWORD": CANARY},
    "sftp": {REPOSITORY: "sftp://me@host/a", "SFTP_PASSWORD": CANARY},
    "rclone": {REPOSITORY: "rclone://remote-name:/a", "RCLONE_CONFIG": RCLONE_CONFIG},
    "gdrive": {
        REPOSITORY: "gdrive://folder-id",
        "GOOGLE_DRIVE_FOLDER_ID": "1A2b3C4d5E6f",
        "GOOGLE_DRIVE_CREDENTIALS": SERVICE_ACCOUNT,
    },
}  # fmt: skip
"""The least that makes each backend work."""

FILES = {
    "/credentials/gcs.json": SERVICE_ACCOUNT,
    "/credentials/sftp_key": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n",
    "/credentials/known_hosts": "host ssh-ed25519 AAAA\n",
    "/credentials/rclone.conf": RCLONE_CONFIG,
    "/ca.crt": CA,
    "/h/.aws/credentials": f"[default]\naws_access_key_id=d\n[w]\naws_access_key_id=wi\naws_secret_access_key={CANARY}\n",
    "/h/.aws/config": "[profile w]\nregion = eu-west-1\n[profile role]\nrole_arn = arn\n",
}


def read(environment: Mapping[str, str]) -> EnvironmentStorage:
    return storage_from_environment(environment, read_file=FILES.get)


def config(kind: str, changes: Mapping[str, str] | None = None) -> dict[str, Any]:
    found = read({**COMPLETE[kind], **(changes or {})}).connection
    assert found.type == kind
    found.options().check()
    return dict(found.config)


# One row for each variable: the backend, what is set besides the least, what the configuration must then hold.
ROWS: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    ("s3", {}, {"bucket": "bucket", "prefix": "a/", "endpoint": "s3.amazonaws.com", "accessKeyID": "i"}),
    ("s3", {REPOSITORY: "s3://bucket/path1/path2/path3"}, {"prefix": "path1/path2/path3/"}),
    ("s3", {"KOPIA_S3_BUCKET": "other"}, {"bucket": "other", "prefix": "a/"}),
    ("s3", {"KOPIA_S3_PREFIX": "/x//y"}, {"prefix": "x/y/"}),
    ("s3", {"KOPIA_S3_ADDRESSING_STYLE": "Path"}, {"addressingStyle": "path"}),
    ("s3", {"KOPIA_S3_ENDPOINT": "minio:9000"}, {"endpoint": "minio:9000", "doNotUseTLS": None}),
    ("s3", {"KOPIA_S3_ENDPOINT": "https://minio:9000/"}, {"endpoint": "minio:9000", "doNotUseTLS": None}),
    ("s3", {"AWS_S3_ENDPOINT": "http://minio.minio.svc:9000"}, {"endpoint": "minio.minio.svc:9000", "doNotUseTLS": True}),
    ("s3", {"AWS_S3_ENDPOINT": "second", "KOPIA_S3_ENDPOINT": "first"}, {"endpoint": "first"}),
    ("s3", {"AWS_S3_ENDPOINT": "second", "KOPIA_S3_ENDPOINT": ""}, {"endpoint": "second"}),
    ("s3", {"KOPIA_S3_ENDPOINT": "m", "KOPIA_S3_DISABLE_TLS": "true"}, {"doNotUseTLS": True}),
    ("s3", {"KOPIA_S3_ENDPOINT": "m", "AWS_S3_DISABLE_TLS": "YES"}, {"doNotUseTLS": True}),
    ("s3", {"KOPIA_S3_ENDPOINT": "m", "AWS_S3_DISABLE_TLS": "off"}, {"doNotUseTLS": None}),
    ("s3", {"AWS_REGION": "r1"}, {"region": "r1"}),
    ("s3", {"AWS_DEFAULT_REGION": "r2"}, {"region": "r2"}),
    ("s3", {"AWS_DEFAULT_REGION": "r2", "AWS_REGION": "r1"}, {"region": "r1"}),
    ("s3", {"AWS_REGION": "r1", "KOPIA_S3_REGION": "r0"}, {"region": "r0"}),
    ("s3", {"AWS_SESSION_TOKEN": "t"}, {"sessionToken": "t", "secretAccessKey": CANARY}),
    ("s3", {"AWS_PROFILE": "w", "HOME": "/h"}, {"accessKeyID": "i"}),
    (
        "s3",
        {"AWS_PROFILE": "w", "HOME": "/h", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
        {"accessKeyID": "wi", "secretAccessKey": CANARY, "region": "eu-west-1"},
    ),
    (
        "s3",
        {
            "AWS_PROFILE": "w", "AWS_SHARED_CREDENTIALS_FILE": "/h/.aws/credentials", "AWS_CONFIG_FILE": "/none",
            "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_REGION": "r1",
        },
        {"accessKeyID": "wi", "region": "r1"},
    ),
    (
        "s3",
        {
            "AWS_ROLE_ARN": "arn:x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_SESSION_NAME": "n",
            "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
        },
        {"roleARN": "arn:x", "webIdentityTokenFile": "/token", "accessKeyID": "", "sessionName": "n"},
    ),
    ("s3", {"AWS_ROLE_ARN": "arn:x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}, {"roleARN": "", "accessKeyID": "i"}),
    ("s3", {"CUSTOM_CA": CA}, {"rootCA": CA_BASE64}),
    ("azureBlob", {}, {"container": "container", "prefix": "a/", "storageAccount": "acc", "storageKey": CANARY}),
    ("azureBlob", {"KOPIA_AZURE_CONTAINER": "other"}, {"container": "other"}),
    ("azureBlob", {"KOPIA_AZURE_STORAGE_ACCOUNT": "k"}, {"storageAccount": "k"}),
    ("azureBlob", {"AZURE_ACCOUNT_NAME": "n"}, {"storageAccount": "acc"}),
    ("azureBlob", {"AZURE_ACCOUNT_NAME": "n", "AZURE_STORAGE_ACCOUNT": ""}, {"storageAccount": "n"}),
    ("azureBlob", {"KOPIA_AZURE_STORAGE_KEY": "k"}, {"storageKey": "k"}),
    ("azureBlob", {"AZURE_ACCOUNT_KEY": "k"}, {"storageKey": CANARY}),
    ("azureBlob", {"AZURE_ACCOUNT_KEY": "k", "AZURE_STORAGE_KEY": ""}, {"storageKey": "k"}),
    ("azureBlob", {"AZURE_STORAGE_SAS_TOKEN": "?sv=1"}, {"sasToken": "sv=1", "storageKey": None}),
    ("azureBlob", {"AZURE_ACCOUNT_SAS": "sv=2", "AZURE_STORAGE_KEY": ""}, {"sasToken": "sv=2"}),
    ("azureBlob", {"AZURE_ACCOUNT_SAS": "sv=2", "AZURE_STORAGE_SAS_TOKEN": "sv=1"}, {"sasToken": "sv=1"}),
    ("azureBlob", {}, {"storageDomain": None, "doNotUseTLS": None}),
    ("azureBlob", {"AZURE_ENDPOINT_SUFFIX": "core.usgovcloudapi.net"}, {"storageDomain": "blob.core.usgovcloudapi.net"}),
    ("azureBlob", {"AZURE_ENDPOINT_SUFFIX": "blob.core.windows.net"}, {"storageDomain": "blob.core.windows.net"}),
    ("azureBlob", {"AZURE_STORAGE_DOMAIN": "d", "AZURE_ENDPOINT_SUFFIX": ""}, {"storageDomain": "blob.d"}),
    ("azureBlob", {"AZURE_ENDPOINT_SUFFIX": "http://h:1/acc/"}, {"storageDomain": "h:1/acc", "doNotUseTLS": True}),
    ("azureBlob", {"AZURE_ENDPOINT_SUFFIX": "http://10.0.0.1:1"}, {"storageDomain": "10.0.0.1:1/acc", "doNotUseTLS": True}),
    ("azureBlob", {"AZURE_ENDPOINT_SUFFIX": "https://acc.b.x"}, {"storageDomain": "acc.b.x", "doNotUseTLS": None}),
    (
        "azureBlob",
        {
            "AZURE_STORAGE_KEY": "", "AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s",
            "AZURE_CLIENT_CERTIFICATE": "pem", "AZURE_FEDERATED_TOKEN_FILE": "/f",
        },
        {"TenantID": "t", "ClientID": "c", "ClientSecret": "s", "clientCertificate": "pem", "azureFederatedTokenFile": "/f"},
    ),
    ("azureBlob", {"AZURE_TENANT_ID": "t"}, {"TenantID": None}),
    ("azureBlob", {"KOPIA_CUSTOM_CA": "/ca.crt"}, {"rootCA": CA_BASE64}),
    ("gcs", {}, {"bucket": "bucket", "prefix": "a/", "credentials": json.loads(SERVICE_ACCOUNT)}),
    ("gcs", {"KOPIA_GCS_BUCKET": "other"}, {"bucket": "other"}),
    ("gcs", {"GCS_BUCKET": "alias"}, {"bucket": "alias"}),
    ("gcs", {"GCS_BUCKET": "alias", "KOPIA_GCS_BUCKET": "other"}, {"bucket": "other"}),
    ("gcs", {"GOOGLE_APPLICATION_CREDENTIALS": "/credentials/gcs.json"}, {"credentials": json.loads(SERVICE_ACCOUNT)}),
    ("gcs", {"GOOGLE_APPLICATION_CREDENTIALS": ""}, {"credentials": None}),
    ("gcs", {"GOOGLE_PROJECT_ID": "p"}, {"projectID": "p"}),
    ("filesystem", {}, {"path": "/backups", "fileMode": None}),
    ("filesystem", {"KOPIA_FS_PATH": "/other/"}, {"path": "/other"}),
    ("filesystem", {REPOSITORY: "filesystem:", "KOPIA_FS_PATH": "/other"}, {"path": "/other"}),
    ("filesystem", {REPOSITORY: "/plain"}, {"path": "/plain"}),
    ("filesystem", {REPOSITORY: "", "KOPIA_FS_PATH": "/other"}, {"path": "/other"}),
    ("filesystem", {"KOPIA_FS_FILE_MODE": "0640", "KOPIA_FS_DIR_MODE": "750"}, {"fileMode": 0o640, "dirMode": 0o750}),
    ("b2", {REPOSITORY: "b2://bucket/path/to/backups"}, {"bucket": "bucket", "prefix": "path/to/backups/"}),
    ("b2", {"KOPIA_B2_BUCKET": "other"}, {"bucket": "other", "keyID": "i", "key": CANARY}),
    ("b2", {"B2_ACCOUNT_ID": "", "B2_KEY_ID": "k", "B2_APPLICATION_KEY": "", "B2_KEY": "v"}, {"keyID": "k", "key": "v"}),
    ("b2", {"B2_KEY_ID": "k", "B2_KEY": "v"}, {"keyID": "i", "key": CANARY}),
    ("webdav", {}, {"url": "https://host/a", "password": CANARY, "atomicWrites": False}),
    ("webdav", {"WEBDAV_URL": "http://h:8080/remote.php/dav/files/u/x/"}, {"url": "http://h:8080/remote.php/dav/files/u/x"}),
    ("webdav", {"WEBDAV_USERNAME": "u"}, {"username": "u"}),
    ("webdav", {"KOPIA_WEBDAV_USERNAME": "u", "KOPIA_WEBDAV_PASSWORD": "p"}, {"username": "u", "password": CANARY}),
    ("webdav", {"WEBDAV_PASSWORD": "", "KOPIA_WEBDAV_PASSWORD": "p"}, {"password": "p"}),
    ("sftp", {}, {"host": "host", "port": 22, "username": "me", "path": "/a", "password": CANARY}),
    ("sftp", {REPOSITORY: "sftp://me@host:2222/p"}, {"port": 2222, "path": "/p"}),
    ("sftp", {"SFTP_HOST": "other"}, {"host": "other"}),
    ("sftp", {"SFTP_PORT": "2022"}, {"port": 2022}),
    ("sftp", {"SFTP_USERNAME": "you"}, {"username": "you"}),
    ("sftp", {"SFTP_PATH": "/other"}, {"path": "/other"}),
    ("sftp", {REPOSITORY: "sftp://me@host", "SFTP_PATH": "/other"}, {"host": "host", "path": "/other"}),
    ("sftp", {"SFTP_KEY_FILE": "/credentials/sftp_key"}, {"keyData": FILES["/credentials/sftp_key"], "password": CANARY}),
    ("sftp", {"SFTP_KEY_FILE": "-----BEGIN X", "SFTP_PASSWORD": ""}, {"keyData": "-----BEGIN X", "password": ""}),
    ("sftp", {}, {"hostKeyPolicy": "accept-new", "knownHostsFile": "/tmp/kopia-cache/ssh_known_hosts"}),
    ("sftp", {"KOPIA_CACHE_DIR": "/cache/"}, {"knownHostsFile": "/cache/ssh_known_hosts"}),
    ("sftp", {"SFTP_KNOWN_HOSTS_DATA": "host key"}, {"knownHostsData": "host key", "hostKeyPolicy": None}),
    ("sftp", {"SFTP_KNOWN_HOSTS": "/credentials/known_hosts"}, {"knownHostsData": "host ssh-ed25519 AAAA\n"}),
    ("sftp", {"SFTP_KNOWN_HOSTS": "second k", "SFTP_KNOWN_HOSTS_DATA": "first k"}, {"knownHostsData": "first k"}),
    ("sftp", {"SFTP_HOST_KEY_POLICY": "strict", "SFTP_KNOWN_HOSTS_DATA": "h k"}, {"hostKeyPolicy": None}),
    ("rclone", {}, {"remotePath": "remote-name:/a", "embeddedConfig": RCLONE_CONFIG, "atomicWrites": True}),
    ("rclone", {"RCLONE_REMOTE_PATH": "first:b"}, {"remotePath": "first:b"}),
    ("rclone", {"RCLONE_CONFIG": "/credentials/rclone.conf"}, {"embeddedConfig": RCLONE_CONFIG}),
    ("rclone", {"RCLONE_CONFIG": "# Encrypted\n\nRCLONE_ENCRYPT_V0:\nAAAA"}, {"remotePath": "remote-name:/a"}),
    ("rclone", {"RCLONE_EXE": "/usr/local/bin/rclone"}, {"rcloneExe": "/usr/local/bin/rclone"}),
    ("gdrive", {}, {"folderID": "1A2b3C4d5E6f", "credentials": json.loads(SERVICE_ACCOUNT)}),
    ("gdrive", {REPOSITORY: "gdrive://9Z8y7X6w5V4u"}, {"folderID": "1A2b3C4d5E6f"}),
    ("gdrive", {REPOSITORY: "gdrive://9Z8y7X6w5V4u", "GOOGLE_DRIVE_FOLDER_ID": ""}, {"folderID": "9Z8y7X6w5V4u"}),
    ("gdrive", {"GOOGLE_DRIVE_CREDENTIALS": AUTHORIZED_USER}, {"credentials": json.loads(AUTHORIZED_USER)}),
    ("gdrive", {"GOOGLE_DRIVE_CREDENTIALS": "/credentials/gcs.json"}, {"credentials": json.loads(SERVICE_ACCOUNT)}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "changes", "expected"), ROWS)
def test_a_variable_is_honoured(kind: str, changes: dict[str, str], expected: dict[str, Any]) -> None:
    found = config(kind, changes)
    assert {name: found.get(name) for name in expected} == expected


def test_every_variable_has_a_row() -> None:
    used = {name for kind, changes, _ in ROWS for name in {**COMPLETE[kind], **changes}}
    ours = {"STORAGE_EMULATOR_HOST"}  # read by the library for Google's storage itself
    assert {name for names in variables_by_backend().values() for name in names} - used == ours


@pytest.mark.parametrize("kind", sorted(COMPLETE))
def test_an_empty_variable_is_one_that_is_not_set(kind: str) -> None:
    least = COMPLETE[kind]
    empty = dict.fromkeys(
        (name for names in variables_by_backend().values() for name in names if name not in least), ""
    )
    assert read({**empty, **least}) == read(least)


@pytest.mark.parametrize("kind", sorted(COMPLETE))
def test_what_the_least_gives_has_no_warning(kind: str) -> None:
    assert read(COMPLETE[kind]).warnings == ()


@pytest.mark.parametrize("kind", sorted(COMPLETE))
def test_no_secret_is_in_a_repr_or_a_warning(kind: str) -> None:
    found = read({**COMPLETE[kind], "KOPIA_FS_PATH": "/x", "SFTP_PASSWORD": CANARY, "B2_KEY": CANARY})
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("kind", "changes", "variable", "text"),
    [
        ("s3", {REPOSITORY: "", "KOPIA_S3_ENDPOINT": "m"}, REPOSITORY, "must be defined"),
        ("s3", {"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY", "must be defined"),
        ("s3", {"AWS_ACCESS_KEY_ID": ""}, "AWS_ACCESS_KEY_ID", "must be defined"),
        ("s3", {"KOPIA_S3_ENDPOINT": "http://m/path"}, "KOPIA_S3_ENDPOINT", "without a path"),
        ("s3", {"AWS_S3_ENDPOINT": f"http://u:{CANARY}@m"}, "AWS_S3_ENDPOINT", "AWS_ACCESS_KEY_ID"),
        ("s3", {"AWS_S3_ENDPOINT": "ftp://m"}, "AWS_S3_ENDPOINT", "http or https"),
        ("s3", {"KOPIA_S3_BUCKET": "a/b"}, "KOPIA_S3_BUCKET", "names the bucket"),
        ("s3", {"KOPIA_S3_BUCKET": "Upper"}, "KOPIA_S3_BUCKET", "lower-case"),
        ("s3", {"KOPIA_S3_BUCKET": "ab"}, "KOPIA_S3_BUCKET", "3 to 63"),
        (
            "s3",
            {"AWS_PROFILE": "gone", "HOME": "/h", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            "AWS_PROFILE",
            "gone, which is in none of /h/.aws/credentials and /h/.aws/config",
        ),
        (
            "s3",
            {"AWS_PROFILE": "role", "HOME": "/h", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            "AWS_PROFILE",
            "no static key",
        ),
        ("s3", {"CUSTOM_CA": "no pem"}, "CUSTOM_CA", "PEM"),
        ("s3", {"CUSTOM_CA": "/gone.crt"}, "CUSTOM_CA", "/gone.crt"),
        ("azureBlob", {"AZURE_STORAGE_ACCOUNT": ""}, "KOPIA_AZURE_STORAGE_ACCOUNT", "must be defined"),
        ("azureBlob", {"AZURE_ENDPOINT_SUFFIX": "ftp://h"}, "AZURE_ENDPOINT_SUFFIX", "domain"),
        ("azureBlob", {"AZURE_ENDPOINT_SUFFIX": "a/b"}, "AZURE_ENDPOINT_SUFFIX", "domain"),
        ("gcs", {"GOOGLE_APPLICATION_CREDENTIALS": "{" + CANARY}, "GOOGLE_APPLICATION_CREDENTIALS", "malformed"),
        ("gcs", {REPOSITORY: "gcs://"}, "KOPIA_GCS_BUCKET", "must be defined"),
        ("filesystem", {REPOSITORY: "filesystem:"}, "KOPIA_FS_PATH", "must be defined"),
        ("sftp", {REPOSITORY: "sftp://"}, "SFTP_HOST", "must be defined"),
        ("gcs", {"GOOGLE_APPLICATION_CREDENTIALS": "/gone.json"}, "GOOGLE_APPLICATION_CREDENTIALS", "/gone.json"),
        ("filesystem", {"KOPIA_FS_PATH": "relative"}, "KOPIA_FS_PATH", "absolute"),
        ("filesystem", {"KOPIA_FS_PATH": "/a/../b"}, "KOPIA_FS_PATH", "absolute"),
        ("filesystem", {"KOPIA_FS_FILE_MODE": "rw"}, "KOPIA_FS_FILE_MODE", "octal"),
        ("filesystem", {REPOSITORY: "backups"}, REPOSITORY, "absolute path"),
        ("b2", {"B2_ACCOUNT_ID": ""}, "B2_ACCOUNT_ID", "must be defined"),
        ("b2", {"B2_APPLICATION_KEY": ""}, "B2_APPLICATION_KEY", "must be defined"),
        ("webdav", {"WEBDAV_URL": ""}, "WEBDAV_URL", "https://host/a"),
        ("webdav", {"WEBDAV_URL": f"https://u:{CANARY}@h/"}, "WEBDAV_URL", "WEBDAV_PASSWORD"),
        ("webdav", {"WEBDAV_URL": "host/a"}, "WEBDAV_URL", "https://host/folder"),
        ("webdav", {"WEBDAV_URL": "https://h:port/"}, "WEBDAV_URL", "https://host/folder"),
        ("sftp", {"SFTP_PATH": "relative"}, "SFTP_PATH", "absolute"),
        ("sftp", {REPOSITORY: "sftp://host/a"}, "SFTP_USERNAME", "must be defined"),
        ("sftp", {"SFTP_PASSWORD": ""}, "SFTP_KEY_FILE", "must be defined"),
        ("sftp", {"SFTP_PORT": "70000"}, "SFTP_PORT", "65535"),
        ("sftp", {"SFTP_PORT": "ssh"}, "SFTP_PORT", "65535"),
        ("sftp", {"SFTP_HOST_KEY_POLICY": "maybe"}, "SFTP_HOST_KEY_POLICY", "accept-new"),
        ("sftp", {"SFTP_HOST_KEY_POLICY": "strict"}, "SFTP_KNOWN_HOSTS_DATA", "must be defined"),
        ("rclone", {"RCLONE_CONFIG": ""}, "RCLONE_CONFIG", "must be defined"),
        ("rclone", {"RCLONE_REMOTE_PATH": "gone:/a"}, "RCLONE_CONFIG", "no remote gone; its sections are: first, remote-name"),
        ("rclone", {"RCLONE_REMOTE_PATH": "/a"}, "RCLONE_REMOTE_PATH", "remote-name:/path"),
        ("rclone", {"RCLONE_CONFIG": f"token = {CANARY}"}, "RCLONE_CONFIG", "malformed"),
        ("gdrive", {"GOOGLE_DRIVE_FOLDER_ID": ""}, "GOOGLE_DRIVE_FOLDER_ID", "must be defined"),
        ("gdrive", {"GOOGLE_DRIVE_FOLDER_ID": "folder-id"}, "GOOGLE_DRIVE_FOLDER_ID", "must be defined"),
        ("gdrive", {"GOOGLE_DRIVE_FOLDER_ID": "a/b"}, "GOOGLE_DRIVE_FOLDER_ID", "letters"),
        ("gdrive", {"GOOGLE_DRIVE_CREDENTIALS": ""}, "GOOGLE_DRIVE_CREDENTIALS", "must be defined"),
        ("gdrive", {"GOOGLE_DRIVE_CREDENTIALS": f'"{CANARY}"'}, "GOOGLE_DRIVE_CREDENTIALS", "malformed"),
        ("gdrive", {"GOOGLE_DRIVE_CREDENTIALS": f'{{"type":"{CANARY}"}}'}, "GOOGLE_DRIVE_CREDENTIALS", "service_account"),
    ],
)  # fmt: skip
def test_what_can_not_be_used_is_refused_by_the_name_of_its_variable(
    kind: str, changes: dict[str, str], variable: str, text: str
) -> None:
    with pytest.raises(InvalidEnvironmentError) as caught:
        read({**COMPLETE[kind], **changes})
    assert caught.value.variable == variable
    assert str(caught.value).startswith(variable)
    assert text in str(caught.value)
    assert CANARY not in str(caught.value)
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize(
    "url",
    ["ftp://host/x", "s3://b1/x", "s3:///x", "s3://bucket/a/../b", "sftp://u:p@host/x", "rclone://nothing"],
)  # fmt: skip
def test_a_url_that_names_nothing_is_refused(url: str) -> None:
    with pytest.raises(InvalidURLError, match=REPOSITORY):
        read({REPOSITORY: url, "B2_KEY": "x"})


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({**COMPLETE["s3"], "KOPIA_S3_BUCKET": "other"}, ("KOPIA_S3_BUCKET (other)", "KOPIA_REPOSITORY says (bucket)")),
        ({**COMPLETE["s3"], "KOPIA_S3_ENDPOINT": "https://m", "KOPIA_S3_DISABLE_TLS": "1"}, ("without TLS",)),
        ({**COMPLETE["s3"], "KOPIA_S3_DISABLE_TLS": "perhaps"}, ("KOPIA_S3_DISABLE_TLS", "false")),
        ({**COMPLETE["s3"], "KOPIA_S3_ENDPOINT": "m", "KOPIA_S3_BUCKET": "Old_Bucket"}, ("not every server",)),
        ({**COMPLETE["filesystem"], "KOPIA_FS_PATH": "/other"}, ("KOPIA_FS_PATH (/other)", "(/backups)")),
        ({**COMPLETE["sftp"], REPOSITORY: "sftp://me@h:23/a", "SFTP_PORT": "24"}, ("SFTP_PORT (24)", "(23)")),
        ({**COMPLETE["filesystem"], "SFTP_PASSWORD": CANARY}, ("SFTP_PASSWORD is ignored", "type sftp")),
        ({"KOPIA_S3_BUCKET": "buck", "KOPIA_FS_PATH": "/p"}, ("s3, filesystem: s3 is taken",)),
    ],
)
def test_what_is_overruled_or_ignored_is_told(environment: dict[str, str], words: tuple[str, ...]) -> None:
    warnings = read(environment).warnings
    assert any(all(word in warning for word in words) for warning in warnings), warnings
    assert CANARY not in " ".join(warnings)


def test_what_a_cluster_sets_for_every_pod_is_no_sign_of_another_backend() -> None:
    ambient = {"AWS_REGION": "r", "AWS_ROLE_ARN": "a", "AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AZURE_TENANT_ID": "t"}
    assert read({**COMPLETE["filesystem"], **ambient}).warnings == ()


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({"KOPIA_S3_BUCKET": "buck"}, "s3"),
        ({"KOPIA_AZURE_CONTAINER": "c", "AZURE_STORAGE_ACCOUNT": "a"}, "azureBlob"),
        ({"KOPIA_GCS_BUCKET": "b"}, "gcs"),
        ({"KOPIA_FS_PATH": "/p"}, "filesystem"),
        ({"KOPIA_B2_BUCKET": "b", "B2_KEY_ID": "i", "B2_KEY": "k"}, "b2"),
        ({"WEBDAV_URL": "http://h/p"}, "webdav"),
        ({"SFTP_HOST": "h", "SFTP_PATH": "/p", "SFTP_USERNAME": "u", "SFTP_PASSWORD": "p"}, "sftp"),
        ({"RCLONE_REMOTE_PATH": "first:p", "RCLONE_CONFIG": RCLONE_CONFIG}, "rclone"),
        ({"GOOGLE_DRIVE_FOLDER_ID": "1A2b3C4d5E6f", "GOOGLE_DRIVE_CREDENTIALS": SERVICE_ACCOUNT}, "gdrive"),
    ],
)
def test_without_a_url_the_variables_of_one_backend_are_enough(environment: dict[str, str], kind: str) -> None:
    assert read(environment).connection.type == kind
    assert read({**environment, REPOSITORY: " "}).connection.type == kind


def test_older_places_of_a_repository_are_known() -> None:
    def places(url: str, **more: str) -> list[object]:
        connection = read({REPOSITORY: url, **more}).connection
        return [place.config.get("prefix") for place in legacy_connections(connection)]

    assert places("s3://bucket/p") == ["p"]
    assert places("s3://bucket") == []
    assert places("gcs://bucket/p") == [""]
    assert places("azure://container/p", AZURE_STORAGE_ACCOUNT="a") == [""]
    assert places("b2://bucket/p", B2_KEY_ID="i", B2_KEY="k") == [""]
    assert places("/backups") == []
    assert legacy_connections(ConnectionInfo(type="s3", config={"prefix": None})) == ()


def test_files_are_read_from_disk_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text(CA)
    found = storage_from_environment({REPOSITORY: "/backups", "CUSTOM_CA": f"{tmp_path}/ca.crt"})
    assert found.root_ca == CA.encode()
    assert "rootCA" not in found.connection.config
    (tmp_path / "ca.crt").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidEnvironmentError, match=r"CUSTOM_CA names the file .* it is no text"):
        storage_from_environment({REPOSITORY: "/backups", "CUSTOM_CA": f"{tmp_path}/ca.crt"})
    with pytest.raises(InvalidEnvironmentError, match="there is none"):
        storage_from_environment({REPOSITORY: "/backups", "CUSTOM_CA": f"{tmp_path}/gone.crt"})


@pytest.mark.parametrize("kind", sorted(variables_by_backend()))
def test_line_breaks_around_a_variable_are_no_part_of_it(kind: str) -> None:
    """``echo KEY | base64`` in a Secret leaves one; no service has keys, regions, tokens or names with them."""
    for name in variables_by_backend()[kind]:
        for value in (f"canary-{name}\n", f"\r\ncanary-{name}\r\n"):
            assert Variables({name: value}, lambda _: None).text(name) == f"canary-{name}"


def test_a_key_that_was_broken_into_lines_is_one_key() -> None:
    """``base64`` writes lines of 76 characters; a header with a line break can't be sent."""
    for name in ("AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_REGION", "AZURE_STORAGE_KEY", "B2_APPLICATION_KEY"):
        assert Variables({name: "can\r\nary\n"}, lambda _: None).text(name) == "canary"
    hosts = "a ssh-ed25519 AAAA\nb ssh-ed25519 BBBB"
    assert Variables({"SFTP_KNOWN_HOSTS_DATA": hosts}, lambda _: None).text("SFTP_KNOWN_HOSTS_DATA") == hosts
    assert Variables({"SFTP_KEY_FILE": hosts}, lambda _: None).content("SFTP_KEY_FILE") == hosts


def test_a_password_keeps_its_blanks() -> None:
    assert Variables({"SFTP_PASSWORD": " a b \n"}, lambda _: None).text("SFTP_PASSWORD") == " a b "
    assert Variables({"AWS_REGION": " eu-west-1 \n"}, lambda _: None).text("AWS_REGION") == "eu-west-1"


@pytest.mark.parametrize(
    ("kind", "given", "lacks"),
    [
        ("s3", {REPOSITORY: "s3:repository"}, "KOPIA_S3_BUCKET"),
        ("azureBlob", {REPOSITORY: "azure:repository"}, "KOPIA_AZURE_CONTAINER"),
        ("b2", {REPOSITORY: "b2:repository"}, "KOPIA_B2_BUCKET"),
        ("sftp", {"SFTP_HOST": "host"}, "SFTP_PATH"),
    ],
)
def test_a_storage_without_a_place_names_the_variable_that_gives_it(
    kind: str, given: dict[str, str], lacks: str
) -> None:
    backend = environment_backends()[kind]
    environment = {name: value for name, value in COMPLETE[kind].items() if name != REPOSITORY} | given
    with pytest.raises(InvalidEnvironmentError, match=f"{lacks}.*must be defined"):
        backend.make(Variables(environment, FILES.get), {})


def test_a_warning_is_kept_once() -> None:
    variables = Variables({}, FILES.get)
    variables.warn("the same")
    variables.warn("the same")
    assert variables.warnings == ["the same"]


def test_a_file_that_can_not_be_read_is_as_good_as_none() -> None:
    def unreadable(path: str) -> str:
        raise PermissionError(path)

    assert Variables({}, unreadable).file("/credentials/gcs.json") is None
