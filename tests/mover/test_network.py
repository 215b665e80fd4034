"""The mover and a network that fails, refuses, or is not to be trusted."""

import contextlib
import json
import re
import shutil
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient
from google.auth.exceptions import TransportError
from google.auth.transport.requests import Request

from pykopia.storage.google_credentials import load_credentials, trust_for_tokens
from pykopia.storage.trust import tls_context
from pykopia.testing import FakeClock
from pykopia.testing.proxy import FaultyProxy
from tests.mover.harness import EXAMPLES, Mover, create_at_once, tree
from tests.servers.azure import AzureServer
from tests.servers.drive import DriveServer
from tests.servers.s3 import S3Server, admin
from tests.servers.tls import Certificates
from tests.servers.webdav import WebDAVServer

SECRETS = EXAMPLES["secrets"]


def bucket(server: S3Server, name: str) -> None:
    fs = admin(server)
    if fs.exists(name):
        fs.rm(name, recursive=True)
    fs.call_s3("create_bucket", Bucket=name)


def s3(server: S3Server, endpoint: str, **more: str) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    return {**SECRETS["s3"], **keys, "AWS_S3_ENDPOINT": endpoint, **more}


@pytest.fixture
def proxy(versitygw: S3Server):  # type: ignore[no-untyped-def]
    """Pass connections on to a server that speaks S3, with the documented bucket."""
    bucket(versitygw, "backup-bucket")
    host, _, port = versitygw.endpoint.rpartition(":")
    with FaultyProxy(host, int(port)) as proxy:
        yield proxy


# ---------------------------------------------------------------------- trying again, or not


@pytest.mark.parametrize("status", [500, 503, 429])
def test_m_044_what_may_pass_is_tried_again(
    mover: Mover, proxy: FaultyProxy, versitygw: S3Server, impatient: None, status: int
) -> None:
    mover.write({"a": "b"})
    environment = s3(versitygw, f"http://127.0.0.1:{proxy.port}")
    proxy.answer(status, times=3)
    first = mover.ok("backup", **environment)
    assert proxy.hits == 3
    proxy.refuse(times=3)
    second = mover.ok("restore", **environment)
    assert proxy.hits == 3
    told = [*first.lines, *second.lines]
    assert [line for line in told if re.search("error|failed|unable to", line, re.IGNORECASE)] == []
    assert tree(mover.target) == {"a": b"b"}


def test_m_044_a_server_that_stays_away_is_given_up_after_ten_attempts_and_nothing_is_made(
    mover: Mover, proxy: FaultyProxy, versitygw: S3Server, impatient: None
) -> None:
    mover.write({"a": "b"})
    proxy.refuse()
    result = mover.fails("unreachable", "backup", **s3(versitygw, f"http://127.0.0.1:{proxy.port}"))
    assert result.status == 13
    assert result.termination["retryable"] is True
    assert f"127.0.0.1:{proxy.port}" in result.last
    assert len([line for line in result.lines if "is not reached yet, trying again in" in line]) == 9
    assert admin(versitygw).find("backup-bucket") == []


def test_m_044_a_connection_says_for_how_long_a_busy_service_is_asked(
    mover: Mover, proxy: FaultyProxy, versitygw: S3Server
) -> None:
    mover.write({"a": "b"})
    proxy.answer(503, times=-1)
    config = {
        "bucket": "backup-bucket",
        "endpoint": f"127.0.0.1:{proxy.port}",
        "doNotUseTLS": True,
        "accessKeyID": versitygw.access_key,
        "secretAccessKey": versitygw.secret_key,
        "retryFor": "0s",
    }
    document = json.dumps({"storage": {"type": "s3", "config": config}})
    result = mover.fails("unreachable", "backup", KOPIA_STRUCTURED_REPOSITORY_CONFIG=document)
    assert [line for line in result.lines if "is not reached yet" in line] == []


@pytest.mark.parametrize("status", [401, 403])
def test_m_044_m_041_a_refusal_is_not_tried_again_and_makes_no_repository(
    mover: Mover, proxy: FaultyProxy, versitygw: S3Server, status: int
) -> None:
    mover.write({"a": "b"})
    proxy.answer(status, times=-1)
    result = mover.fails("auth", "backup", **s3(versitygw, f"http://127.0.0.1:{proxy.port}"))
    assert proxy.hits <= 4  # what is read to open a repository, each once
    assert "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY" in result.last
    assert admin(versitygw).find("backup-bucket") == []


def test_m_043_a_wrong_password_changes_nothing(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup")
    before = tree(mover.repository_folder)
    for operation in ("backup", "restore", "maintenance", "discover"):
        result = mover.fails("auth", operation, KOPIA_PASSWORD="canary-wrong-password")
        assert "KOPIA_PASSWORD does not open this repository" in result.last
        assert "canary-wrong" not in result.log
    assert tree(mover.repository_folder) == before


def test_m_040_the_environment_counts_and_not_what_an_older_run_left_in_the_cache(mover: Mover) -> None:
    (mover.folder / "cache" / "kopia.config").write_text(
        '{"storage": {"type": "filesystem", "config": {"path": "/nowhere"}}, "username": "x", "hostname": "y"}'
    )
    mover.write({"a": "one"})
    first = mover.ok("backup")
    mover.write({"a": "two"})
    other = {"KOPIA_REPOSITORY": f"filesystem://{mover.folder}/other", "VOLSYNC_OWNER_NAME": "renamed"}
    second = mover.ok("backup", **other)
    assert (first.termination["identity"], second.termination["identity"]) == ("ns@app:/data", "ns@renamed:/data")
    assert second.termination["repository"]["created"] is True
    mover.ok("restore")
    assert (mover.target / "a").read_text() == "one"
    mover.ok("restore", **other)
    assert (mover.target / "a").read_text() == "two"


# ---------------------------------------------------------------------- authorities


def authority_counts(mover: Mover, certificates: Certificates, environment: dict[str, str]) -> None:
    """See that a server is refused without its authority, and serves with it, as text or as a file."""
    mover.write({"a": "b"})
    refused = mover.fails("unreachable", "backup", **environment)
    assert "customCA" in refused.last
    mover.ok("backup", **environment, CUSTOM_CA=certificates.authority.read_text())
    mover.ok("restore", **environment, KOPIA_CUSTOM_CA=str(certificates.authority))
    assert tree(mover.target) == {"a": b"b"}


def test_rows_65_184_m_045_an_authority_of_ones_own_counts_for_s3(
    mover: Mover, versitygw_tls: S3Server, certificates: Certificates, impatient: None
) -> None:
    bucket(versitygw_tls, "backup-bucket")
    authority_counts(mover, certificates, s3(versitygw_tls, f"https://{versitygw_tls.endpoint}"))


def test_row_180_without_custom_ca_the_authorities_of_the_machine_count_for_s3_and_azure(
    mover: Mover,
    versitygw_tls: S3Server,
    azurite_tls: AzureServer,
    certificates: Certificates,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mover.write({"a": "b"})
    bucket(versitygw_tls, "backup-bucket")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    for environment in (s3(versitygw_tls, f"https://{versitygw_tls.endpoint}"), azure(azurite_tls, certificates)):
        assert "Using custom CA." not in mover.ok("backup", **environment).lines


def azure(server: AzureServer, certificates: Certificates) -> dict[str, str]:
    """Return the documented variables with the address of a server, which has an empty container."""
    url = f"https://{server.domain}/{server.account}"
    with BlobServiceClient(url, credential=server.key, connection_verify=str(certificates.authority)) as service:
        if service.get_container_client("container").exists():
            service.delete_container("container")
        service.create_container("container")
    account = {"AZURE_STORAGE_ACCOUNT": server.account, "AZURE_STORAGE_KEY": server.key}
    return {**SECRETS["azure"], **account, "AZURE_ENDPOINT_SUFFIX": url}


def test_rows_65_184_m_045_an_authority_of_ones_own_counts_for_azure(
    mover: Mover, azurite_tls: AzureServer, certificates: Certificates, impatient: None
) -> None:
    authority_counts(mover, certificates, azure(azurite_tls, certificates))


@contextlib.contextmanager
def token_service(certificates: Certificates) -> Iterator[tuple[str, list[str]]]:
    """Run a token service with TLS by the tests' authority; yield its URL and the paths that were asked for."""
    asked: list[str] = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            body = b'{"access_token": "canary-token", "expires_in": 3600, "token_type": "Bearer"}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}/token", asked
        server.shutdown()


def test_m_045_an_authority_of_ones_own_counts_for_tokens_of_google_too(
    fake_drive: DriveServer, certificates: Certificates
) -> None:
    with token_service(certificates) as (url, asked):
        account = {**fake_drive.service_account, "token_uri": url}
        credentials = load_credentials(account, "", scopes=["storage"], service="Google Cloud Storage")
        with pytest.raises(TransportError, match="certificate verify failed"):
            credentials.refresh(Request())
        trust_for_tokens(credentials, tls_context(certificates.authority.read_bytes()))
        credentials.refresh(Request())
        assert (credentials.token, asked) == ("canary-token", ["/token"])


def test_m_045_an_authority_of_ones_own_counts_for_connection_documents_too(
    mover: Mover, apache_tls: WebDAVServer, certificates: Certificates, impatient: None
) -> None:
    storage = {"url": f"{apache_tls.url}/of-document", "username": apache_tls.user, "password": apache_tls.password}
    document = json.dumps({"storage": {"type": "webdav", "config": storage}})
    authority_counts(mover, certificates, {"KOPIA_STRUCTURED_REPOSITORY_CONFIG": document})


def test_the_issuer_of_a_certificate_that_is_not_trusted_is_named(
    mover: Mover, versitygw_tls: S3Server, impatient: None
) -> None:
    bucket(versitygw_tls, "backup-bucket")
    mover.write({"a": "b"})
    refused = mover.fails("unreachable", "backup", **s3(versitygw_tls, f"https://{versitygw_tls.endpoint}"))
    assert "issued by CN=pykopia test authority" in refused.last
    assert "customCA" in refused.last


# ---------------------------------------------------------------------- clocks


def test_m_044_a_backup_warns_of_a_clock_that_differs_from_that_of_the_storage(
    mover: Mover, wsgidav: WebDAVServer, time: FakeClock
) -> None:
    shutil.rmtree(wsgidav.data / "clocks", ignore_errors=True)
    (wsgidav.data / "clocks").mkdir()
    mover.write({"a": "b"})
    login = {"WEBDAV_USERNAME": wsgidav.user, "WEBDAV_PASSWORD": wsgidav.password}
    place = {**SECRETS["webdav"], "WEBDAV_URL": f"{wsgidav.url}/clocks/", **login}
    result = mover.ok("backup", **place)
    (warning,) = [each for each in result.termination["warnings"] if "clocks differ" in each]
    assert "this node 2026-01-01T" in warning
    time.set((wsgidav.data / "clocks").stat().st_mtime_ns)
    assert "clocks differ" not in mover.ok("backup", **place).log


# ---------------------------------------------------------------------- several at one time


def test_rows_7_20_m_041_movers_that_create_at_once_in_a_bucket_end_with_one_repository(
    tmp_path: Path, versitygw: S3Server, meeting: threading.Barrier
) -> None:
    bucket(versitygw, "backup-bucket")
    create_at_once(tmp_path, s3(versitygw, versitygw.url))


def test_rows_7_20_m_041_movers_that_create_at_once_where_no_put_is_conditional_end_with_one_repository(
    tmp_path: Path, wsgidav: WebDAVServer, meeting: threading.Barrier
) -> None:
    shutil.rmtree(wsgidav.data / "at-once", ignore_errors=True)
    (wsgidav.data / "at-once").mkdir()
    create_at_once(
        tmp_path,
        {
            **SECRETS["webdav"],
            "WEBDAV_URL": f"{wsgidav.url}/at-once/kopia/",
            "WEBDAV_USERNAME": wsgidav.user,
            "WEBDAV_PASSWORD": wsgidav.password,
        },
    )
