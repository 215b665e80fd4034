"""The mover against cloud storages: Azurite, fake-gcs-server, the simulator of B2's SDK, and a fake of Google Drive."""

import json
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.storage.blob import (
    BlobServiceClient,
    ContainerClient,
)
from pykopia_mover import connecting

from pykopia.errors import BlobNotFoundError
from pykopia.ids import BlobID
from pykopia.storage.backends.gdrive.storage import GoogleDriveStorage
from tests.mover.harness import CONNECTIONS, EXAMPLES, Mover, record_connections, there_and_back, tree
from tests.servers.azure import AzureServer
from tests.servers.b2 import Service
from tests.servers.drive import ACCOUNT, DriveServer
from tests.servers.gcs import GCSServer

SECRETS = EXAMPLES["secrets"]

# ---------------------------------------------------------------------- Azure


@pytest.fixture
def container(azurite: AzureServer) -> Iterator[ContainerClient]:
    """Return the container of the documented examples, empty."""
    with BlobServiceClient(f"http://{azurite.domain}/{azurite.account}", credential=azurite.key) as service:
        if service.get_container_client("container").exists():
            service.delete_container("container")
        yield service.create_container("container")


def azure(server: AzureServer, name: str = "azure", **more: str) -> dict[str, str]:
    """Return the documented variables with address, account and key of the server."""
    changes = {"AZURE_ENDPOINT_SUFFIX": f"http://{server.domain}/{server.account}"}
    for key in SECRETS[name]:
        if key.endswith(("STORAGE_ACCOUNT", "ACCOUNT_NAME")):
            changes[key] = server.account
        elif key.endswith(("STORAGE_KEY", "ACCOUNT_KEY")):
            changes[key] = server.key
        elif key.endswith("_SAS"):
            changes[key] = server.signature()
    return {**SECRETS[name], **changes, **more}


@pytest.mark.parametrize("name", ["azure", "azure alternative"])
def test_rows_18_47_48_54_the_documented_azure_examples_work(
    mover: Mover, azurite: AzureServer, container: ContainerClient, name: str
) -> None:
    environment = azure(azurite, name)
    connected = there_and_back(mover, **environment)
    names = {blob.name for blob in container.list_blobs()}
    assert "backups/kopia.repository" in names
    assert {each.split("/", 1)[0] for each in names} == {"backups"}
    log = connected.ok("discover").log
    assert azurite.key not in log
    for secret in environment.get("AZURE_ACCOUNT_SAS", "").split("&"):
        assert not secret.startswith("sig=") or secret not in log


def test_row_287_nothing_but_the_endpoint_is_connected_to_by_azure_and_google(
    mover: Mover, azurite: AzureServer, container: ContainerClient, gcs: dict[str, str], fake_gcs: GCSServer
) -> None:
    record_connections()
    for environment, url in ((azure(azurite), f"http://{azurite.domain}"), (SECRETS["gcs"] | gcs, fake_gcs.url)):
        account = json.loads(gcs["GOOGLE_APPLICATION_CREDENTIALS"])
        CONNECTIONS.clear()
        there_and_back(mover, **environment)
        allowed = {urlsplit(each).netloc for each in (url, account["token_uri"])}
        assert {f"{host}:{port}" for host, port, *_ in CONNECTIONS} <= allowed


def test_rows_49_53_285_a_signature_or_the_old_names_let_in_alone(
    mover: Mover, azurite: AzureServer, container: ContainerClient
) -> None:
    mover.write({"a": "b"})
    without_key = {"AZURE_STORAGE_KEY": ""}
    mover.ok("backup", **azure(azurite, **without_key, AZURE_STORAGE_SAS_TOKEN="?" + azurite.signature()))
    old = {"AZURE_STORAGE_ACCOUNT": "", "AZURE_ACCOUNT_NAME": azurite.account, "AZURE_ACCOUNT_KEY": azurite.key}
    mover.ok("restore", **azure(azurite, **without_key | old))
    assert tree(mover.target) == {"a": b"b"}


def test_rows_23_38_of_azure_a_missing_container_and_a_rejected_key_are_told_apart(
    mover: Mover, azurite: AzureServer, container: ContainerClient
) -> None:
    mover.write({"a": "b"})
    missing = mover.fails("no-repository", "backup", **azure(azurite, KOPIA_AZURE_CONTAINER="no-such-container"))
    assert "no-such-container" in missing.last
    assert "A container is not created automatically" in missing.last
    wrong = "Y2FuYXJ5LXdyb25nLWtleQ=="
    rejected = mover.fails("auth", "backup", **azure(azurite, AZURE_STORAGE_KEY=wrong))
    assert "AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY" in rejected.last
    assert wrong not in rejected.log
    assert [*container.list_blobs()] == []


def test_m_033_a_repository_that_an_older_mover_put_at_the_root_of_the_container_is_found(
    mover: Mover, azurite: AzureServer, container: ContainerClient
) -> None:
    mover.write({"a": "b"})
    mover.ok("backup", **azure(azurite, KOPIA_REPOSITORY="azure://container"))
    result = mover.ok("backup", **azure(azurite))
    assert result.termination["repository"]["created"] is False
    assert any("older mover" in each for each in result.termination["warnings"])
    assert not [blob.name for blob in container.list_blobs() if blob.name.startswith("backups/")]
    mover.ok("backup", **azure(azurite), KOPIA_LEGACY_LOCATION_PROBE="false")
    assert [blob.name for blob in container.list_blobs() if blob.name == "backups/kopia.repository"]


def test_m_033_an_older_place_whose_repository_the_password_does_not_open_is_named_in_a_warning(
    mover: Mover, azurite: AzureServer, container: ContainerClient
) -> None:
    mover.write({"a": "b"})
    mover.ok("backup", **azure(azurite, KOPIA_REPOSITORY="azure://container"))
    for operation in ("restore", "backup"):
        result = mover.ok(operation, **azure(azurite, KOPIA_PASSWORD="another-password"))
        (told,) = [each for each in result.termination["warnings"] if "where older movers put the repository" in each]
        assert "KOPIA_PASSWORD does not open" in told
        assert "KOPIA_LEGACY_LOCATION_PROBE=false" in told
    assert result.termination["repository"]["created"] is True
    again = mover.ok("backup", **azure(azurite, KOPIA_PASSWORD="another-password"))
    assert "older movers" not in again.log


# ---------------------------------------------------------------------- Google Cloud Storage


@pytest.fixture
def gcs(fake_gcs: GCSServer, fake_drive: DriveServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the variables of the emulator with the documented bucket, empty, and of credentials that a token server knows."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake_gcs.url)
    bucket(fake_gcs)
    return {
        "STORAGE_EMULATOR_HOST": fake_gcs.url,
        "GOOGLE_APPLICATION_CREDENTIALS": json.dumps(fake_drive.service_account),
    }


def objects(server: GCSServer) -> set[str]:
    with urllib.request.urlopen(f"{server.url}/storage/v1/b/my-gcs-bucket/o") as answer:
        return {each["name"] for each in json.load(answer).get("items", [])}


def bucket(server: GCSServer) -> None:
    def call(method: str, path: str, body: object = None) -> None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{server.url}/storage/v1/{path}", data=data, method=method)
        urllib.request.urlopen(request).close()

    try:
        for name in objects(server):
            call("DELETE", f"b/my-gcs-bucket/o/{name.replace('/', '%2F')}")
    except urllib.error.HTTPError:
        call("POST", "b?project=p", {"name": "my-gcs-bucket"})


@pytest.mark.parametrize("name", ["gcs", "gcs alternative"])
def test_rows_42_43_44_46_the_documented_examples_of_google_cloud_storage_work(
    mover: Mover, gcs: dict[str, str], fake_gcs: GCSServer, fake_drive: DriveServer, name: str
) -> None:
    before = fake_drive.tokens_given
    connected = there_and_back(mover, **SECRETS[name] | gcs)
    assert "backups/kopia.repository" in objects(fake_gcs)
    assert {each.split("/", 1)[0] for each in objects(fake_gcs)} == {"backups"}
    assert fake_drive.tokens_given > before  # the key of the service account was used
    log = connected.ok("discover").log
    for line in fake_drive.service_account["private_key"].splitlines()[1:-1]:
        assert line not in log


def test_rows_17_23_of_google_cloud_storage_credentials_by_path_and_a_missing_bucket(
    mover: Mover, gcs: dict[str, str]
) -> None:
    mover.write({"a": "b"})
    path = mover.folder / "credentials" / "gcs.json"
    path.write_text(gcs["GOOGLE_APPLICATION_CREDENTIALS"])
    mover.ok("backup", **SECRETS["gcs"] | gcs | {"GOOGLE_APPLICATION_CREDENTIALS": str(path)})
    mover.ok("restore", **SECRETS["gcs"] | gcs)
    assert tree(mover.target) == {"a": b"b"}
    missing = mover.fails("no-repository", "backup", **SECRETS["gcs"] | gcs, KOPIA_GCS_BUCKET="no-such-bucket")
    assert "no-such-bucket" in missing.last
    assert "A bucket is not created automatically" in missing.last


def test_rows_38_43_of_google_cloud_storage_a_rejected_account_is_told_and_makes_no_repository(
    mover: Mover, gcs: dict[str, str], fake_gcs: GCSServer
) -> None:
    mover.write({"a": "b"})
    account = json.loads(gcs["GOOGLE_APPLICATION_CREDENTIALS"]) | {"client_email": "deleted@project.example"}
    rejected = mover.fails(
        "auth", "backup", **SECRETS["gcs"] | gcs | {"GOOGLE_APPLICATION_CREDENTIALS": json.dumps(account)}
    )
    assert "GOOGLE_APPLICATION_CREDENTIALS" in rejected.last
    assert objects(fake_gcs) == set()


# ---------------------------------------------------------------------- Backblaze B2


@pytest.fixture
def b2(monkeypatch: pytest.MonkeyPatch) -> Service:
    """Return a simulated service with the documented bucket, which every connection of this process reaches."""
    service = Service("my-backup-bucket")
    monkeypatch.setattr("pykopia.storage.backends.b2.storage._configuration", lambda *_: service.config)
    return service


def of_b2(service: Service, **more: str) -> dict[str, str]:
    return {**SECRETS["b2"], "B2_ACCOUNT_ID": service.key_id, "B2_APPLICATION_KEY": service.key, **more}


def test_rows_55_56_57_the_documented_b2_example_works(mover: Mover, b2: Service) -> None:
    connected = there_and_back(mover, **of_b2(b2))
    names = {file.file_name for file, _ in b2.api.get_bucket_by_name("my-backup-bucket").ls(recursive=True)}
    assert "backups/kopia.repository" in names
    assert {each.split("/", 1)[0] for each in names} == {"backups"}
    assert b2.key not in connected.ok("discover").log


def test_row_56_a_key_that_is_restricted_to_the_bucket_is_enough(mover: Mover, b2: Service) -> None:
    key_id, key = b2.restricted_key("listBuckets", "listFiles", "readFiles", "writeFiles", "deleteFiles")
    there_and_back(mover, **of_b2(b2, B2_ACCOUNT_ID=key_id, B2_APPLICATION_KEY=key))


def test_rows_58_59_a_wrong_key_and_a_bucket_in_other_letters_are_told(mover: Mover, b2: Service) -> None:
    mover.write({"a": "b"})
    rejected = mover.fails("auth", "backup", **of_b2(b2, B2_APPLICATION_KEY="canary-wrong-key"))
    assert "B2_ACCOUNT_ID, B2_APPLICATION_KEY" in rejected.last
    assert "canary-wrong-key" not in rejected.log
    missing = mover.fails("no-repository", "backup", **of_b2(b2, KOPIA_B2_BUCKET="My-Backup-Bucket"))
    assert "case-sensitive" in missing.last


# ---------------------------------------------------------------------- Google Drive


@pytest.fixture
def drive(fake_drive: DriveServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the variables of an empty folder; where the API is can't be set, so the test does."""
    defaults = GoogleDriveStorage.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "api_root", fake_drive.url)
    monkeypatch.setitem(defaults, "sleep", lambda _: None)  # the fake lists a new file at once
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{fake_drive.url}/token")
    fake_drive.errors.clear()
    fake_drive.lists_new_files = True
    return {
        "GOOGLE_DRIVE_FOLDER_ID": fake_drive.new_folder(),
        "GOOGLE_DRIVE_CREDENTIALS": json.dumps(fake_drive.service_account),
    }


@pytest.mark.parametrize(("name", "kind"), [("gdrive", "service_account"), ("gdrive user", "authorized_user")])
def test_rows_93_94_95_the_documented_drive_examples_work(
    mover: Mover, drive: dict[str, str], fake_drive: DriveServer, name: str, kind: str
) -> None:
    credentials = {"GOOGLE_DRIVE_CREDENTIALS": json.dumps(getattr(fake_drive, kind))}
    connected = there_and_back(mover, **SECRETS[name] | drive | credentials)
    stored = {file.name for file in fake_drive.files.values() if file.parent == drive["GOOGLE_DRIVE_FOLDER_ID"]}
    assert any(each.startswith("kopia.repository") for each in stored)
    log = connected.ok("discover").log
    assert "canary" not in log.replace("canary-of-the-repository", "")


def test_rows_96_99_a_folder_that_is_not_shared_is_told_with_whom_to_share_it(
    mover: Mover, drive: dict[str, str]
) -> None:
    mover.write({"a": "b"})
    environment = SECRETS["gdrive"] | drive | {"GOOGLE_DRIVE_FOLDER_ID": "no-such-folder"}
    result = mover.fails("no-repository", "backup", **environment)
    assert "GOOGLE_DRIVE_FOLDER_ID" in result.last
    assert re.search(f"share the folder with .*{ACCOUNT}|{ACCOUNT}.*share the folder", result.last), result.last


@pytest.mark.parametrize("parallelism", ["1", "3"])
def test_row_101_blobs_on_their_way_to_drive_follow_the_parallelism(
    mover: Mover, drive: dict[str, str], monkeypatch: pytest.MonkeyPatch, parallelism: str
) -> None:
    lock, enough = threading.Lock(), threading.Event()
    now = most = 0
    real = GoogleDriveStorage.put

    def put(storage: GoogleDriveStorage, blob_id: BlobID, *more: Any) -> object:  # noqa: ANN401
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now >= max(2, int(parallelism)):
                enough.set()
        if blob_id.startswith("p"):
            enough.wait(0.2 if parallelism == "1" else 20)  # a slow storage: others may come meanwhile
        try:
            return real(storage, blob_id, *more)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr(GoogleDriveStorage, "put", put)
    mover.write({f"f{number}": os.urandom(11 << 20) for number in range(8)})
    mover.ok("backup", **SECRETS["gdrive"] | drive, KOPIA_PARALLELISM=parallelism)
    assert most == int(parallelism)


def test_m_041_a_repository_that_has_come_since_the_first_look_is_asked_for_anew(
    mover: Mover, drive: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = SECRETS["gdrive"] | drive
    mover.write({"a": "b"})
    mover.ok("backup", **environment)
    hidden, get, look = True, GoogleDriveStorage.get, connecting._look

    def not_yet(storage: GoogleDriveStorage, blob_id: BlobID, *more: Any) -> bytes:  # noqa: ANN401
        if hidden:
            raise BlobNotFoundError(blob_id, "the drive")
        return get(storage, blob_id, *more)

    def too_early(*arguments: Any) -> object:  # noqa: ANN401
        nonlocal hidden
        found = look(*arguments)
        hidden = False
        return found

    monkeypatch.setattr(GoogleDriveStorage, "get", not_yet)
    monkeypatch.setattr(connecting, "_look", too_early)
    assert mover.ok("backup", **environment).termination["repository"]["created"] is False


@pytest.mark.parametrize(("status", "reason"), [(403, "rateLimitExceeded"), (429, "tooManyRequests")])
def test_row_98_a_limited_rate_is_tried_again(
    mover: Mover, drive: dict[str, str], fake_drive: DriveServer, impatient: None, status: int, reason: str
) -> None:
    mover.write({"a": "b"})
    environment = SECRETS["gdrive"] | drive
    mover.ok("backup", **environment)
    fake_drive.errors += [(status, reason)] * 3
    mover.ok("restore", **environment)
    assert fake_drive.errors == []
    assert tree(mover.target) == {"a": b"b"}
    fake_drive.errors += [(status, reason)] * 100
    limited = mover.fails("unreachable", "restore", **environment)
    fake_drive.errors.clear()
    assert reason in limited.last
    assert "lower parallelism" in limited.last
