"""Where the documented variables say that the repository is: every backend, every name, every competitor."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pykopia_mover.cache import used_bytes

from pykopia.errors import InvalidEnvironmentError, InvalidURLError
from pykopia.storage.backends.s3.address import S3Address
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.environment import storage_from_environment
from tests.mover.harness import EXAMPLES, Mover, tree

SECRETS: Mapping[str, Mapping[str, str]] = EXAMPLES["secrets"]


def config(environment: Mapping[str, str], **more: str) -> Mapping[str, Any]:
    return storage_from_environment({**environment, **more}).connection.config


def without(name: str, *keys: str) -> dict[str, str]:
    return {key: value for key, value in SECRETS[name].items() if key not in keys}


def refused(environment: Mapping[str, str], **more: str) -> str:
    with pytest.raises((InvalidEnvironmentError, InvalidURLError)) as caught:
        storage_from_environment({**environment, **more})
    return str(caught.value)


# ---------------------------------------------------------------------- core


def test_rows_13_14_a_missing_url_or_password_is_named(mover: Mover) -> None:
    no_url = mover.fails("config", "discover", KOPIA_REPOSITORY="")
    assert "KOPIA_REPOSITORY" in no_url.last
    assert "must be defined" in no_url.last
    no_password = mover.fails("config", "discover", KOPIA_PASSWORD="")
    assert "KOPIA_PASSWORD must be defined" in no_password.last
    assert no_password.status == 10


def test_row_197_errors_name_the_setting_at_fault(mover: Mover) -> None:
    for name, value in {
        "KOPIA_REPOSITORY": "ftp://host/x",
        "SFTP_PORT": "99999",
        "KOPIA_PARALLELISM": "0",
        "DIRECTION": "sideways",
        "KOPIA_LEGACY_IDENTITIES": "nobody",
    }.items():
        more = (
            {"KOPIA_REPOSITORY": "sftp://h/p", "SFTP_USERNAME": "u", "SFTP_PASSWORD": "p"}
            if name == "SFTP_PORT"
            else {}
        )
        assert name in mover.fails("config", "discover", **more | {name: value}).last


@pytest.mark.parametrize("name", SECRETS)
def test_every_documented_secret_leads_to_its_backend(name: str) -> None:
    kinds = {"azure": "azureBlob"}
    kind = name.split(maxsplit=1)[0]
    assert storage_from_environment(SECRETS[name]).connection.type == kinds.get(kind, kind)


# ---------------------------------------------------------------------- S3


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://backup-bucket/my-backups", "backup-bucket", "my-backups/"),
        ("s3://bucket/path1/path2/path3", "bucket", "path1/path2/path3/"),
        (
            "s3://company-backups/production/database/mysql-primary",
            "company-backups",
            "production/database/mysql-primary/",
        ),
        ("s3://bkt/", "bkt", ""),
        ("s3://bkt", "bkt", ""),
        ("s3://bucket/a//b/", "bucket", "a/b/"),
    ],
)
def test_row_24_m_030_bucket_and_prefix_of_a_url(url: str, bucket: str, prefix: str) -> None:
    found = config(SECRETS["s3"], KOPIA_REPOSITORY=url)
    assert (found["bucket"], found.get("prefix", "")) == (bucket, prefix)


@pytest.mark.parametrize("url", ["s3://b1/x", "s3://bucket/a/../b", "s3:///x", "s3://My Bucket/x", "s3://10.0.0.1/x"])
def test_m_030_what_is_no_bucket_is_refused(url: str) -> None:
    assert refused(SECRETS["s3"], KOPIA_REPOSITORY=url)


def test_row_26_the_bucket_is_in_the_host_name_at_amazon_and_in_the_path_elsewhere() -> None:
    def url(environment: Mapping[str, str]) -> str:
        found = storage_from_environment(environment).connection.options()
        assert isinstance(found, S3Options)
        address = S3Address(endpoint=found.endpoint, bucket=found.bucket, tls=not found.do_not_use_tls)
        return address.url(f"{found.prefix}kopia.repository", found.region)

    amazon = without("s3 with region", "AWS_S3_ENDPOINT")
    assert config(amazon)["endpoint"] == "s3.amazonaws.com"
    assert url(amazon) == "https://my-bucket.s3.us-west-2.amazonaws.com/backups/kopia.repository"
    assert url(SECRETS["s3 with region"]) == "http://minio.example.com:9000/my-bucket/backups/kopia.repository"


@pytest.mark.parametrize(
    ("variables", "endpoint", "plain"),
    [
        ({"AWS_S3_ENDPOINT": "http://minio.minio.svc.cluster.local:9000"}, "minio.minio.svc.cluster.local:9000", True),
        ({"AWS_S3_ENDPOINT": "https://minio:9000/"}, "minio:9000", False),
        ({"KOPIA_S3_ENDPOINT": "minio.example.com:9000"}, "minio.example.com:9000", False),
        ({"KOPIA_S3_ENDPOINT": "a:1", "AWS_S3_ENDPOINT": "http://b:2"}, "a:1", False),
        ({"KOPIA_S3_ENDPOINT": "a:1", "KOPIA_S3_DISABLE_TLS": "true"}, "a:1", True),
        ({"KOPIA_S3_ENDPOINT": "a:1", "AWS_S3_DISABLE_TLS": "true"}, "a:1", True),
        ({"KOPIA_S3_ENDPOINT": "a:1", "KOPIA_S3_DISABLE_TLS": "false"}, "a:1", False),
        ({"KOPIA_S3_ENDPOINT": "", "AWS_S3_ENDPOINT": "c"}, "c", False),
    ],
)
def test_rows_28_33_34_m_031_endpoint_and_tls(variables: dict[str, str], endpoint: str, plain: bool) -> None:
    found = config(without("s3", "AWS_S3_ENDPOINT"), **variables)
    assert (found["endpoint"], found.get("doNotUseTLS", False)) == (endpoint, plain)


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_REGION": "us-west-2"}, "us-west-2"),
        ({"AWS_DEFAULT_REGION": "eu-north-1"}, "eu-north-1"),
        ({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, "a"),
        ({"AWS_REGION": "a", "KOPIA_S3_REGION": "c"}, "c"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "b"}, "b"),
    ],
)
def test_rows_29_30_region(variables: dict[str, str], region: str) -> None:
    assert config(SECRETS["s3"], **variables)["region"] == region


def test_row_31_a_profile_gives_the_key_when_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[backup]\naws_access_key_id = AK\naws_secret_access_key = SK\n")
    environment = without("s3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") | {
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
    }
    found = config(environment, AWS_PROFILE="backup")
    assert (found["accessKeyID"], found["secretAccessKey"]) == ("AK", "SK")
    told = refused(environment, AWS_PROFILE="other")
    assert "other" in told
    assert str(tmp_path / "credentials") in told


def test_row_32_the_bucket_of_the_variable_counts_alone_and_beside_the_url() -> None:
    alone = {key: value for key, value in SECRETS["s3 alternative"].items() if key != "KOPIA_REPOSITORY"}
    assert config(alone)["bucket"] == "my-bucket"
    found = storage_from_environment({**SECRETS["s3"], "KOPIA_S3_BUCKET": "another-one"})
    assert found.connection.config["bucket"] == "another-one"
    assert found.connection.config["prefix"] == "my-backups/"
    assert any("KOPIA_S3_BUCKET" in warning for warning in found.warnings)


def test_row_285_temporary_credentials_are_used() -> None:
    assert config(SECRETS["s3"], AWS_SESSION_TOKEN="token")["sessionToken"] == "token"
    azure = without("azure", "AZURE_STORAGE_KEY")
    assert config(azure, AZURE_STORAGE_SAS_TOKEN="?sv=1&sig=x")["sasToken"] == "sv=1&sig=x"


# ---------------------------------------------------------------------- buckets of others


def test_rows_42_43_44_45_46_google_cloud_storage() -> None:
    first, alternative = config(SECRETS["gcs"]), config(SECRETS["gcs alternative"])
    assert (first["bucket"], first["prefix"]) == ("my-gcs-bucket", "backups/")
    assert {key: alternative[key] for key in ("bucket", "prefix")} == {key: first[key] for key in ("bucket", "prefix")}
    assert first["credentials"] == alternative["credentials"]
    assert first["credentials"]["client_email"] == "backup-service@my-project.iam.gserviceaccount.com"
    assert config(SECRETS["gcs"], KOPIA_GCS_BUCKET="other-bucket")["bucket"] == "other-bucket"
    assert alternative["projectID"] == "my-project"
    assert config(SECRETS["gcs"], GOOGLE_PROJECT_ID="billed-to")["projectID"] == "billed-to"


def test_row_17_m_022_google_credentials_are_content_or_path(tmp_path: Path) -> None:
    content = SECRETS["gcs"]["GOOGLE_APPLICATION_CREDENTIALS"]
    (tmp_path / "gcs.json").write_text(content)
    of_path = config(SECRETS["gcs"], GOOGLE_APPLICATION_CREDENTIALS=str(tmp_path / "gcs.json"))
    assert of_path["credentials"] == config(SECRETS["gcs"])["credentials"]
    broken = refused(SECRETS["gcs"], GOOGLE_APPLICATION_CREDENTIALS='{"private_key": "canary", ')
    assert "GOOGLE_APPLICATION_CREDENTIALS" in broken
    assert "canary" not in broken


def test_rows_47_48_50_51_52_53_54_azure_under_all_its_names() -> None:
    plain = config(SECRETS["azure"])
    assert (plain["container"], plain["prefix"]) == ("container", "backups/")
    assert (plain["storageAccount"], plain["storageKey"]) == ("mystorageaccount", "storage-key-here")
    own = config(without("azure alternative", "AZURE_ACCOUNT_SAS", "AZURE_ACCOUNT_NAME", "AZURE_ACCOUNT_KEY"))
    assert (own["storageAccount"], own["storageKey"]) == ("mystorageaccount", "storage-key-here")
    old = {"KOPIA_REPOSITORY": "azure://c/x", "AZURE_ACCOUNT_NAME": "acc", "AZURE_ACCOUNT_KEY": "key"}
    assert (config(old)["storageAccount"], config(old)["storageKey"]) == ("acc", "key")
    assert config(SECRETS["azure"], KOPIA_AZURE_CONTAINER="other")["container"] == "other"
    government = config(SECRETS["azure"], AZURE_ENDPOINT_SUFFIX="core.usgovcloudapi.net")
    assert government["storageDomain"] == "blob.core.usgovcloudapi.net"
    sas = config({"KOPIA_REPOSITORY": "azure://c/x", "AZURE_ACCOUNT_NAME": "acc", "AZURE_ACCOUNT_SAS": "?sv=2"})
    assert sas["sasToken"] == "sv=2"


def test_row_49_a_sas_token_needs_no_key_and_wins_over_one() -> None:
    found = config(without("azure", "AZURE_STORAGE_KEY"), AZURE_STORAGE_SAS_TOKEN="sv=1&sig=x")
    assert found["sasToken"] == "sv=1&sig=x"
    both = config(SECRETS["azure"], AZURE_STORAGE_SAS_TOKEN="sv=1&sig=x")
    assert both["sasToken"] == "sv=1&sig=x"
    assert not both.get("storageKey")


def test_rows_55_56_57_backblaze() -> None:
    found = config(SECRETS["b2"], KOPIA_REPOSITORY="b2://bucket-x/path/to/backups", KOPIA_B2_BUCKET="")
    assert (found["bucket"], found["prefix"]) == ("bucket-x", "path/to/backups/")
    assert (found["keyID"], found["key"]) == ("12345abcdef67890", "your-application-key-here")
    assert config(SECRETS["b2"]) == config(without("b2", "KOPIA_B2_BUCKET"))


# ---------------------------------------------------------------------- folders of servers


def test_rows_60_61_64_webdav_is_where_its_url_says() -> None:
    found = config(SECRETS["webdav"])
    assert found["url"].rstrip("/") == "https://webdav.example.com/remote.php/dav/files/username"
    assert (found["username"], found["password"]) == ("backup-user", "webdav-user-password")
    assert "WEBDAV_URL" in refused(without("webdav", "WEBDAV_URL"))
    assert config(SECRETS["webdav"], WEBDAV_URL="http://internal/dav/")["url"].startswith("http://internal/dav")


def test_rows_68_70_71_72_74_sftp_from_url_and_variables() -> None:
    bare = without("sftp", "SFTP_HOST", "SFTP_PORT", "SFTP_PATH")
    found = config(bare)
    assert (found["host"], found["port"], found["path"]) == ("backup-server.example.com", 22, "/backups")
    assert config(bare, KOPIA_REPOSITORY="sftp://h:2222/p")["port"] == 2222
    whole = config(SECRETS["sftp"], SFTP_PORT="2200", SFTP_HOST="other", SFTP_USERNAME="me")
    assert (whole["host"], whole["port"], whole["username"]) == ("other", 2200, "me")
    assert whole["path"] == "/home/backup-user/kopia-backups"


def test_row_75_a_relative_sftp_path_is_refused_by_name() -> None:
    assert "SFTP_PATH" in refused(SECRETS["sftp"], SFTP_PATH="backups")


def test_row_77_a_key_is_used_before_a_password() -> None:
    both = config(SECRETS["sftp key"], SFTP_PASSWORD="pw")
    assert both["keyData"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert both["password"] == "pw"


def test_rows_82_83_84_86_87_rclone_takes_its_remote_and_nothing_else() -> None:
    found = config(SECRETS["rclone"])
    assert (found["remotePath"], found["rcloneExe"]) == ("remote-name:/backups", "/usr/local/bin/rclone")
    assert found["embeddedConfig"] == SECRETS["rclone"]["RCLONE_CONFIG"]
    assert config(without("rclone", "RCLONE_REMOTE_PATH"))["remotePath"] == "remote-name:/backups"
    assert not config(without("rclone", "RCLONE_EXE")).get("rcloneExe")  # the first on the path
    remotes = config(SECRETS["rclone remotes"])
    assert remotes["remotePath"] == "primary:/backups"
    drive = config(SECRETS["rclone drive"])
    assert "type = drive" in drive["embeddedConfig"]
    assert drive["embeddedConfig"] == SECRETS["rclone drive"]["RCLONE_CONFIG"]


def test_row_88_a_remote_without_a_section_is_refused_with_the_sections_there_are() -> None:
    told = refused(SECRETS["rclone remotes"], RCLONE_REMOTE_PATH="typo:/backups")
    assert "typo" in told
    assert "primary, backup" in told


def test_rows_92_93_94_95_google_drive() -> None:
    found = config(SECRETS["gdrive"])
    assert found["folderID"] == "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms"
    assert found["credentials"]["type"] == "service_account"
    assert config(SECRETS["gdrive user"])["credentials"]["type"] == "authorized_user"
    assert config(without("gdrive", "GOOGLE_DRIVE_FOLDER_ID"), KOPIA_REPOSITORY="gdrive://abcdefghijkl")[
        "folderID"
    ] == ("abcdefghijkl")


def test_rows_97_99_what_drive_needs_is_named_without_being_shown() -> None:
    assert "GOOGLE_DRIVE_FOLDER_ID" in refused(without("gdrive", "GOOGLE_DRIVE_FOLDER_ID"))
    broken = refused(SECRETS["gdrive"], GOOGLE_DRIVE_CREDENTIALS='{"private_key": "canary"')
    assert "GOOGLE_DRIVE_CREDENTIALS" in broken
    assert "canary" not in broken


# ---------------------------------------------------------------------- documents, folders


def test_rows_39_41_a_folder_needs_no_locks_and_no_links(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    import fcntl

    for module, name in ((os, "link"), (os, "symlink"), (fcntl, "flock"), (fcntl, "lockf")):
        monkeypatch.setattr(module, name, none)
    assert config(SECRETS["filesystem"])["path"] == "/mnt/backups"
    mover.write({"a": "b"})
    mover.ok("backup", "maintenance", KOPIA_MAINTENANCE_FORCE="true")
    assert (mover.repository_folder / "kopia.repository.f").is_file()
    mover.ok("restore")
    assert (mover.target / "a").read_text() == "b"


def test_m_046_a_connection_document_names_the_storage(mover: Mover) -> None:
    mover.write({"a": "b"})
    folder = mover.folder / "by-document"
    document = {"storage": {"type": "filesystem", "config": {"path": str(folder)}}, "username": "u", "hostname": "h"}
    mover.ok("backup", KOPIA_STRUCTURED_REPOSITORY_CONFIG=json.dumps(document))
    assert (folder / "kopia.repository.f").exists()
    (mover.folder / "credentials" / "repository.config").write_text(json.dumps(document))
    mover.ok("restore")
    assert not mover.repository_folder.exists()
    mover.fails("config", "backup", KOPIA_STRUCTURED_REPOSITORY_CONFIG=json.dumps(document | {"readonly": True}))
    useless = mover.fails("no-repository", "discover", KOPIA_STRUCTURED_REPOSITORY_CONFIG=json.dumps(
        {"storage": {"type": "filesystem", "config": {"path": f"{folder}/nothing"}}}))  # fmt: skip
    assert useless.status == 12


def test_m_046_a_document_without_a_storage_is_passed_over_and_its_identity_and_cache_count_last(mover: Mover) -> None:
    mover.write({"a": os.urandom(3 << 20)})
    nobody = mover.with_environment(VOLSYNC_OWNER_NAMESPACE="", VOLSYNC_OWNER_NAME="")
    document = {
        "storage": {"type": "filesystem", "config": {"path": str(mover.folder / "by-document")}},
        "username": "ann",
        "hostname": "laptop",
        "caching": {"maxCacheSize": 700_000, "maxMetadataCacheSize": 300_000},
    }
    (mover.folder / "credentials" / "repository.config").write_text(json.dumps(document))
    for unusable in ("{broken", '{"caching": {}}'):
        result = nobody.ok("backup", KOPIA_STRUCTURED_REPOSITORY_CONFIG=unusable)
        assert result.termination["identity"] == "ann@laptop:/data"
        assert any("passed over" in line for line in result.lines) is (unusable == "{broken")
    assert nobody.ok("restore").termination["identity"] == "ann@laptop:/data"
    assert used_bytes(mover.folder / "cache" / "pykopia") < 1_000_000
    assert mover.ok("backup").termination["identity"] == "ns@app:/data"
    assert (
        mover.ok("backup", KOPIA_OVERRIDE_USERNAME="u", KOPIA_OVERRIDE_HOSTNAME="h").termination["identity"]
        == "u@h:/data"
    )
    assert not mover.repository_folder.exists()


def test_m_041_creation_is_forbidden_by_a_setting_and_needs_the_folder_above(mover: Mover) -> None:
    mover.write({"a": "b"})
    assert mover.fails("no-repository", "backup", KOPIA_AUTO_CREATE="false").status == 12
    deep = f"filesystem://{mover.folder}/not/mounted/repository"
    assert "not/mounted" in mover.fails("no-repository", "backup", KOPIA_REPOSITORY=deep).last
    assert not (mover.folder / "not").exists()


def test_creation_parameters_come_from_the_manual_configuration(mover: Mover) -> None:
    mover.write({"a": "b"})
    manual = {
        "encryption": {"algorithm": "CHACHA20-POLY1305-HMAC-SHA256"},
        "splitter": {"algorithm": "FIXED-1M"},
        "hash": {"algorithm": "BLAKE3-256"},
        "compression": {"algorithm": "pgzip", "minSize": 7},
    }
    mover.fails("config", "backup", KOPIA_MANUAL_CONFIG="{not json")
    assert not mover.repository_folder.exists()
    unknown = mover.fails("config", "backup", KOPIA_MANUAL_CONFIG='{"encryption": {"algorithm": "ROT13"}}')
    assert "KOPIA_MANUAL_CONFIG says: encryption must be one of" in unknown.last
    flag = mover.fails("config", "backup", KOPIA_ADDITIONAL_ARGS="--object-splitter=ROT13")
    assert "KOPIA_ADDITIONAL_ARGS says: splitter must be one of" in flag.last
    assert tree(mover.repository_folder) == {}
    mover.ok("backup", KOPIA_MANUAL_CONFIG=json.dumps(manual))
    with mover.open() as repository:
        assert repository.format.encryption == "CHACHA20-POLY1305-HMAC-SHA256"
        assert repository.format.hash == "BLAKE3-256"
        assert repository.format.effective_splitter == "FIXED-1M"
        (policy,) = [each.policy for each in repository.policies.list() if str(each.target) == "(global)"]
        assert (policy.compression.compressor_name, policy.compression.min_size) == ("pgzip", 7)
