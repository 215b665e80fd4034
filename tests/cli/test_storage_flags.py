"""Flags of each storage, and the connection that comes of them."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest

from pykopia.cli import tree
from pykopia.cli.parsing import CommandLineError, parse
from pykopia.cli.session import Session
from pykopia.cli.storage_flags import StorageFlags


def connection(*words: str, create: bool = False, stdin: str = "", **environment: str) -> dict[str, Any]:
    line = ["repository", "create" if create else "connect", *words]
    invocation = parse(tree.ROOT, line, environment)
    session = Session(
        invocation, environment=environment, stdin=io.StringIO(stdin), stdout=io.StringIO(), stderr=io.StringIO()
    )
    options = invocation.options(invocation.command.options)
    assert isinstance(options, StorageFlags)
    info = options.connection(session, create=create)
    return {"type": info.type, **info.config}


def refused(*words: str, create: bool = False) -> str:
    with pytest.raises(CommandLineError) as caught:
        connection(*words, create=create)
    return str(caught.value)


def test_a_folder_has_modes_owners_and_shards() -> None:
    found = connection(
        "filesystem", "--path=/p", "--file-mode=640", "--dir-mode=750", "--owner-uid=5", "--owner-gid=6", "--flat",
        "--max-upload-speed=100",
    )  # fmt: skip
    assert found == {
        "type": "filesystem", "path": "/p", "fileMode": 0o640, "dirMode": 0o750, "uid": 5, "gid": 6, "dirShards": [],
        "maxUploadSpeedBytesPerSecond": 100,
    }  # fmt: skip
    assert connection("filesystem", "--path=~/p", HOME="/home/me")["path"] == "/home/me/p"
    assert connection("filesystem", "--path=/p")["dirShards"] is None
    assert connection("filesystem", "--path=/p", "--format-version=1", create=True)["dirShards"] == [3, 3]


def test_senseless_modes_and_owners_mean_the_default() -> None:
    found = connection("filesystem", "--path=/p", "--file-mode=rw", "--owner-uid=me")
    assert found["fileMode"] == 0o600
    assert "uid" not in found


def test_a_bucket_takes_its_keys_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"certificate")
    found = connection(
        "s3", "--bucket=b", "--endpoint=h:1", "--region=r", "--prefix=p/", "--disable-tls",
        f"--root-ca-pem-path={tmp_path}/ca.pem", "--point-in-time=2026-01-02T03:04:05Z",
        AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret", AWS_SESSION_TOKEN="token",
    )  # fmt: skip
    assert found["type"] == "s3"
    assert (found["bucket"], found["endpoint"], found["region"], found["prefix"]) == ("b", "h:1", "r", "p/")
    assert (found["accessKeyID"], found["secretAccessKey"], found["sessionToken"]) == ("key", "secret", "token")
    assert found["doNotUseTLS"] is True
    assert base64.b64decode(found["rootCA"]) == b"certificate"
    assert found["pointInTime"] == "2026-01-02T03:04:05Z"


def test_certificates_are_given_once_and_are_base64() -> None:
    keys = ("s3", "--bucket=b", "--access-key=a", "--secret-access-key=s")
    encoded = base64.b64encode(b"certificate").decode()
    assert base64.b64decode(connection(*keys, f"--root-ca-pem-base64={encoded}")["rootCA"]) == b"certificate"
    assert "is not base64" in refused(*keys, "--root-ca-pem-base64=%%")
    assert "exclude each other" in refused(*keys, f"--root-ca-pem-base64={encoded}", "--root-ca-pem-path=/x")
    assert "can't be read" in refused(*keys, "--root-ca-pem-path=/nowhere/ca.pem")


def test_a_view_of_the_past_is_for_reading_only() -> None:
    words = ("gcs", "--bucket=b", "--point-in-time=2026-01-02T03:04:05Z")
    assert connection(*words)["pointInTime"] == "2026-01-02T03:04:05Z"
    assert "can't be used to create" in refused(*words, create=True)


@pytest.mark.parametrize("words", [("gcs", "--bucket=b"), ("gdrive", "--folder-id=f")])
def test_credentials_are_named_or_embedded(words: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    file.write_text('{"key": "value"}')
    assert connection(*words, f"--credentials-file={file}")["credentialsFile"] == str(file)
    embedded = connection(*words, f"--credentials-file={file}", "--embed-credentials")
    assert {"key": "value"} in embedded.values()
    assert "credentialsFile" not in embedded
    file.write_text("not json")
    assert "is not JSON" in refused(*words, f"--credentials-file={file}", "--embed-credentials")


def test_a_container_takes_its_secrets_from_the_environment() -> None:
    found = connection("azure", "--container=c", AZURE_STORAGE_ACCOUNT="account", AZURE_STORAGE_KEY="key")
    assert (found["type"], found["container"], found["storageAccount"], found["storageKey"]) == (
        "azureBlob",
        "c",
        "account",
        "key",
    )


def test_b2_has_a_key() -> None:
    found = connection("b2", "--bucket=b", "--key-id=i", "--key=k")
    assert (found["type"], found["keyID"], found["key"]) == ("b2", "i", "k")


def test_sftp_keys_are_named_or_embedded(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("KEY")
    (tmp_path / "hosts").write_text("HOSTS")
    words = ("sftp", "--path=/p", "--host=h", "--username=u")
    files = (f"--keyfile={tmp_path}/key", f"--known-hosts={tmp_path}/hosts")
    named = connection(*words, *files)
    assert (named["keyfile"], named["knownHostsFile"], named["port"]) == (f"{tmp_path}/key", f"{tmp_path}/hosts", 22)
    embedded = connection(*words, *files, "--embed-credentials")
    assert (embedded["keyData"], embedded["knownHostsData"]) == ("KEY", "HOSTS")
    assert "keyfile" not in embedded
    assert "--sftp-password" in refused(*words, files[1])
    assert "--known-hosts" in refused(*words, files[0])
    assert connection(*words, "--external")["externalSSH"] is True


def test_webdav_asks_for_a_password_only_when_there_is_a_user() -> None:
    assert connection("webdav", "--url=http://h/")["url"] == "http://h/"
    found = connection("webdav", "--url=http://h/", KOPIA_WEBDAV_USERNAME="u", KOPIA_WEBDAV_PASSWORD="p")
    assert (found["username"], found["password"]) == ("u", "p")


def test_rclone_has_arguments_and_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "rclone.conf").write_text("[remote]")
    found = connection(
        "rclone", "--remote-path=r:p", "--rclone-args=-a", "--rclone-args=-b", "--rclone-env=X=1",
        f"--embed-rclone-config={tmp_path}/rclone.conf", "--no-atomic-writes",
    )  # fmt: skip
    assert (found["remotePath"], found["rcloneArgs"], found["rcloneEnv"]) == ("r:p", ["-a", "-b"], ["X=1"])
    assert (found["embeddedConfig"], found["atomicWrites"], found["startupTimeout"]) == ("[remote]", False, "15s")


def test_from_config_needs_a_file_or_a_token(tmp_path: Path) -> None:
    assert "--file" in refused("from-config")
    assert "--file" not in refused("from-config", create=True)
    assert "can't be read" in refused("from-config", f"--token-file={tmp_path}/missing")


def test_sftp_takes_files_or_their_texts(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a key")
    (tmp_path / "hosts").write_text("nas ssh-ed25519 x")
    words = ["sftp", "--path=/p", "--host=nas", "--username=ann"]
    files = [f"--keyfile={tmp_path}/key", f"--known-hosts={tmp_path}/hosts"]
    found = connection(*words, *files)
    assert (found["keyfile"], found["knownHostsFile"]) == (f"{tmp_path}/key", f"{tmp_path}/hosts")
    found = connection(*words, *files, "--embed-credentials")
    assert (found["keyData"], found["knownHostsData"]) == ("a key", "nas ssh-ed25519 x")
    assert not found.get("keyfile")
    assert not found.get("knownHostsFile")
    assert "one of --sftp-password" in refused(*words, files[1])
    assert "one of --known-hosts" in refused(*words, files[0])
    assert "can't be read" in refused(*words, f"--keyfile={tmp_path}/none", files[1], "--embed-credentials")
    assert connection(*words, "--external")["path"] == "/p"


def test_credentials_of_google_are_embedded_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "account.json").write_text('{"type": "service_account"}')
    (tmp_path / "none.json").write_text("no JSON")
    words = ["gdrive", "--folder-id=f"]
    found = connection(*words, f"--credentials-file={tmp_path}/account.json", "--embed-credentials")
    assert found["credentials"] == {"type": "service_account"}
    assert connection(*words, f"--credentials-file={tmp_path}/account.json")["credentialsFile"]
    assert "is not JSON" in refused(*words, f"--credentials-file={tmp_path}/none.json", "--embed-credentials")


def test_flags_that_exclude_each_other_or_can_not_be_read_are_refused(tmp_path: Path) -> None:
    words = ["s3", "--bucket=b", "--access-key=k", "--secret-access-key=s"]
    assert "exclude each other" in refused(*words, "--root-ca-pem-base64=YQ==", "--root-ca-pem-path=/ca")
    assert "is not base64" in refused(*words, "--root-ca-pem-base64=*")
    assert "must be a duration" in refused("filesystem", "--path=/p", "--retry-for=soon")
    assert connection("filesystem", "--path=/p", "--retry-for=1h30m")["retryFor"] == "1h30m"
    later = "--point-in-time=2026-01-02T03:04:05Z"
    assert "can't be used to create" in refused(*words, later, create=True)
    assert "must be a time" in refused(*words, "--point-in-time=yesterday")


def test_a_password_of_webdav_is_not_asked_for_where_there_is_one() -> None:
    found = connection("webdav", "--url=https://nas/dav", "--webdav-username=ann", "--webdav-password=secret")
    assert found["password"] == "secret"
    assert not connection("webdav", "--url=https://nas/dav").get("password")
