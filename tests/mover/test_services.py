"""The mover against real servers: the examples of the documentation with the addresses of the test's servers."""

import contextlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import botocore.session
import pytest

from pykopia.ids import BlobID
from pykopia.storage.backends.s3.storage import S3Storage
from pykopia.storage.backends.webdav.storage import WebDAVStorage
from pykopia.storage.retrying import RetrySchedule
from pykopia.testing.proxy import FaultyProxy
from tests.mover.harness import CONNECTIONS, EXAMPLES, PASSWORD, Mover, record_connections, there_and_back, tree
from tests.servers import oidc, programs
from tests.servers.s3 import ROLE_ARN, SECRET_KEY, S3Server, admin, seaweedfs
from tests.servers.ssh import SSHServer
from tests.servers.tls import Certificates
from tests.servers.webdav import WebDAVServer

SECRETS = EXAMPLES["secrets"]


# ---------------------------------------------------------------------- S3


@pytest.fixture
def minio(versitygw: S3Server) -> S3Server:
    """Return a server with the buckets of the documented examples, each empty."""
    fs = admin(versitygw)
    for bucket in ("backup-bucket", "my-bucket"):
        if fs.exists(bucket):
            fs.rm(bucket, recursive=True)
        fs.call_s3("create_bucket", Bucket=bucket)
    return versitygw


def s3(server: S3Server, name: str = "s3", **more: str) -> dict[str, str]:
    """Return the documented variables with address and keys of the server."""
    changes = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    for endpoint, value in (("AWS_S3_ENDPOINT", server.url), ("KOPIA_S3_ENDPOINT", server.endpoint)):
        if endpoint in SECRETS[name]:
            changes[endpoint] = value
    return {**SECRETS[name], **changes, **more}


def keys(server: S3Server, bucket: str) -> set[str]:
    return {path.split("/", 1)[1] for path in admin(server).find(bucket)}


@pytest.mark.parametrize(("name", "bucket"), [("s3", "backup-bucket"), ("s3 with region", "my-bucket")])
def test_rows_16_18_27_the_documented_s3_examples_work_without_tls(
    mover: Mover, minio: S3Server, name: str, bucket: str
) -> None:
    connected = there_and_back(mover, **s3(minio, name))
    folder = SECRETS[name]["KOPIA_REPOSITORY"].split("/", 3)[3]
    assert {key.split("/", 1)[0] for key in keys(minio, bucket)} == {folder}
    assert f"{folder}/kopia.repository" in keys(minio, bucket)
    assert SECRET_KEY not in connected.ok("discover").log


def test_row_36_the_documented_alternative_configuration_connects(mover: Mover, minio: S3Server) -> None:
    there_and_back(mover, **s3(minio, "s3 alternative"))
    assert any(key.startswith("backups/") for key in keys(minio, "my-bucket"))


def test_row_19_two_prefixes_of_a_bucket_are_two_repositories(tmp_path: Path, minio: S3Server) -> None:
    mover, made = Mover.below(tmp_path), {}
    for number in ("1", "2"):
        mover.write({"a": f"of {number}"})
        secret = s3(minio, KOPIA_REPOSITORY=f"s3://backup-bucket/pvc-{number}-backup", KOPIA_PASSWORD=f"word-{number}")
        result = mover.ok("backup", **secret)
        assert result.termination["repository"]["created"] is True
        made[number] = result.termination["repository"]["id"]
    assert made["1"] != made["2"]
    names = [key.split("/", 1) for key in keys(minio, "backup-bucket")]
    assert {folder for folder, _ in names} == {"pvc-1-backup", "pvc-2-backup"}
    for number in ("1", "2"):  # each has all that it needs: the other one is not there any more
        other = "2" if number == "1" else "1"
        secret = s3(minio, KOPIA_REPOSITORY=f"s3://backup-bucket/pvc-{number}-backup", KOPIA_PASSWORD=f"word-{number}")
        assert mover.ok("restore", **secret).termination["repository"]["id"] == made[number]
        assert (mover.target / "a").read_text() == f"of {number}"
        wrong = mover.fails("auth", "restore", **secret | {"KOPIA_PASSWORD": f"word-{other}"})
        assert "KOPIA_PASSWORD does not open" in wrong.last


def test_row_25_nested_prefixes_of_one_bucket_stay_apart(mover: Mover, minio: S3Server) -> None:
    documented = (
        "production/database/mysql-primary", "production/database/postgresql-secondary", "staging/application/web-frontend",
    )  # fmt: skip
    folders = (*documented, "production", "production/database")
    for folder in folders:
        mover.write({"a": folder})
        mover.ok("backup", **s3(minio, KOPIA_REPOSITORY=f"s3://my-bucket/{folder}"))
    for folder in folders:
        mover.ok("restore", **s3(minio, KOPIA_REPOSITORY=f"s3://my-bucket/{folder}"))
        assert (mover.target / "a").read_text() == folder
        assert f"{folder}/kopia.repository" in keys(minio, "my-bucket")


def test_rows_27_38_a_rejected_key_is_told_and_makes_no_repository(mover: Mover, minio: S3Server) -> None:
    mover.write({"a": "b"})
    for changes in ({"AWS_ACCESS_KEY_ID": "nobody"}, {"AWS_SECRET_ACCESS_KEY": "canary-wrong-key"}):
        rejected = mover.fails("auth", "backup", **s3(minio, **changes))
        assert rejected.status == 11
        assert "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY" in rejected.last
        assert "canary-wrong-key" not in rejected.log
    assert keys(minio, "backup-bucket") == set()


def test_row_31_the_key_of_a_profile_authenticates(mover: Mover, minio: S3Server) -> None:
    mover.write({"a": "b"})
    path = mover.folder / "credentials" / "profiles"
    path.write_text(
        f"[default]\naws_access_key_id = x\naws_secret_access_key = y\n\n[backup]\n"
        f"aws_access_key_id = {minio.access_key}\naws_secret_access_key = {minio.secret_key}\n"
    )
    without_key = s3(minio, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_SHARED_CREDENTIALS_FILE=str(path))
    mover.ok("backup", **without_key, AWS_PROFILE="backup")
    mover.fails("auth", "restore", **without_key, AWS_PROFILE="default")


class Region(BaseHTTPRequestHandler):
    """Refuses every request, and keeps the scope that it was signed for."""

    scopes: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.scopes.append(self.headers.get("Authorization", ""))
        body = b"<Error><Code>AccessDenied</Code></Error>"
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_rows_29_30_requests_are_signed_for_the_region(mover: Mover, name: str) -> None:
    Region.scopes.clear()
    with serving(Region) as port:
        endpoint = f"http://127.0.0.1:{port}"
        mover.fails("auth", "discover", **SECRETS["s3"] | {"AWS_S3_ENDPOINT": endpoint, name: "ap-southeast-2"})
    assert Region.scopes
    for scope in Region.scopes:
        assert "/ap-southeast-2/s3/aws4_request" in scope


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Run a server of HTTP; yield its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_row_35_a_plain_endpoint_without_the_flag_is_told_what_to_set(
    mover: Mover, minio: S3Server, impatient: None
) -> None:
    mover.write({"a": "b"})
    environment = s3(minio, "s3 alternative", KOPIA_S3_DISABLE_TLS="")
    assert 'KOPIA_S3_DISABLE_TLS: "true"' in mover.fails("unreachable", "backup", **environment).last


def test_rows_23_37_a_bucket_that_is_not_there_and_a_server_that_is_not_are_told(
    mover: Mover, minio: S3Server, impatient: None
) -> None:
    mover.write({"a": "b"})
    missing = mover.fails("no-repository", "backup", **s3(minio, KOPIA_REPOSITORY="s3://no-such-bucket/backups"))
    assert "no-such-bucket" in missing.last
    assert "not created automatically" in missing.last
    for endpoint in ("127.0.0.1:9", "no-such-host.invalid:9000"):
        refused = mover.fails("unreachable", "backup", **s3(minio, AWS_S3_ENDPOINT=f"http://{endpoint}"))
        assert endpoint in refused.last


def test_row_199_the_second_run_asks_for_less(mover: Mover, minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    mover.write({f"d{number}/f": str(number) for number in range(30)})
    environment = s3(minio)
    mover.ok("backup", **environment)
    gets: list[str] = []
    real = S3Storage.get

    def get(storage: S3Storage, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        gets.append(blob_id)
        return real(storage, blob_id, offset, length)

    monkeypatch.setattr(S3Storage, "get", get)
    shutil.rmtree(mover.folder / "cache")
    (mover.folder / "cache").mkdir()
    mover.ok("restore", **environment)
    first = len(gets)
    shutil.rmtree(mover.target)
    mover.target.mkdir()
    mover.ok("restore", **environment)
    assert 0 < len(gets) - first < first


def test_row_286_keys_that_were_changed_count_at_the_next_run_whatever_is_cached(mover: Mover, minio: S3Server) -> None:
    mover.write({"a": "b"})
    environment = s3(minio)
    mover.ok("backup", **environment)
    cached = tree(mover.folder / "cache" / "pykopia")
    assert cached
    mover.fails("auth", "restore", **environment | {"AWS_SECRET_ACCESS_KEY": "revoked"})
    assert tree(mover.folder / "cache" / "pykopia") == cached
    mover.ok("restore", **environment)
    assert tree(mover.target) == {"a": b"b"}


@pytest.fixture
def token_service(tmp_path: Path) -> Iterator[S3Server]:
    """Run a server that gives temporary keys, with the documented bucket."""
    folder = tmp_path / "seaweedfs"
    folder.mkdir()
    with oidc.issuer() as issuer, seaweedfs(folder, issuer=issuer) as server:
        admin(server).call_s3("create_bucket", Bucket="backup-bucket")
        yield server


def test_row_285_temporary_keys_work_with_their_token_and_not_without(mover: Mover, token_service: S3Server) -> None:
    server = token_service
    service = botocore.session.get_session().create_client(
        "sts", "us-east-1", endpoint_url=server.url,
        aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key,
    )  # fmt: skip
    given = service.assume_role(RoleArn=ROLE_ARN, RoleSessionName="backup")["Credentials"]
    temporary = {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }
    mover.write({"a": "b"})
    mover.fails("auth", "backup", **s3(server, **temporary | {"AWS_SESSION_TOKEN": ""}))
    log = mover.ok("backup", "maintenance", **s3(server, **temporary)).log
    assert given["SessionToken"] not in log
    mover.ok("restore", **s3(server, **temporary))
    assert tree(mover.target) == {"a": b"b"}


# ---------------------------------------------------------------------- places of older movers


def test_m_033_a_repository_whose_prefix_had_no_slash_is_found_if_the_password_opens_it(
    mover: Mover, minio: S3Server
) -> None:
    mover.write({"a": "b"})
    document = {
        "bucket": "my-bucket", "prefix": "backups", "endpoint": minio.endpoint, "doNotUseTLS": True,
        "accessKeyID": minio.access_key, "secretAccessKey": minio.secret_key,
    }  # fmt: skip
    mover.ok("backup", KOPIA_STRUCTURED_REPOSITORY_CONFIG=json.dumps({"storage": {"type": "s3", "config": document}}))
    assert "backupskopia.repository" in keys(minio, "my-bucket")
    here = s3(minio, KOPIA_REPOSITORY="s3://my-bucket/backups", KOPIA_PASSWORD=PASSWORD)
    for operation in ("restore", "backup", "maintenance", "discover"):
        result = mover.ok(operation, **here)
        [warning] = [each for each in result.termination["warnings"] if "older mover" in each]
        assert "KOPIA_LEGACY_LOCATION_PROBE=false" in warning
    assert tree(mover.target) == {"a": b"b"}
    assert not [each for each in keys(minio, "my-bucket") if each.startswith("backups/")]
    stranger = mover.ok("backup", **here | {"KOPIA_PASSWORD": "of somebody else"})
    assert stranger.termination["repository"]["created"] is True
    assert "holds one that KOPIA_PASSWORD does not open" in stranger.log


def test_row_287_nothing_but_the_endpoint_is_connected_to(mover: Mover, minio: S3Server) -> None:
    record_connections()
    CONNECTIONS.clear()
    there_and_back(mover, **s3(minio))
    assert {f"{host}:{port}" for host, port, *_ in CONNECTIONS} == {minio.endpoint}


# ---------------------------------------------------------------------- SFTP


def sftp(server: SSHServer, folder: str, name: str = "sftp", **more: str) -> dict[str, str]:
    """Return the documented variables with the address of the server."""
    (server.data / folder).mkdir(exist_ok=True)
    os.chmod(server.data / folder, 0o777)
    changes = {
        "SFTP_HOST": server.host,
        "SFTP_PORT": str(server.port),
        "SFTP_USERNAME": server.user,
        "SFTP_PATH": f"{server.path}/{folder}/kopia",
        "SFTP_PASSWORD": server.password,
        "KOPIA_REPOSITORY": SECRETS["sftp"]["KOPIA_REPOSITORY"],
    }
    if name == "sftp key":
        changes |= {"SFTP_KEY_FILE": server.keys["ed25519"].read_text(), "SFTP_PASSWORD": ""}
    return {**SECRETS[name], **changes, **more}


def test_rows_69_73_79_the_documented_password_example_works_without_known_hosts(
    mover: Mover, openssh: SSHServer
) -> None:
    if not openssh.password:
        pytest.skip("passwords need a server with users of its own, which only root can start")
    connected = there_and_back(mover, **sftp(openssh, "by-password"))
    assert (openssh.data / "by-password" / "kopia" / "kopia.repository.f").exists()
    log = connected.ok("discover").log
    assert openssh.password not in log


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "rsa-pem", "ecdsa-pem"])
def test_rows_76_78_m_022_keys_of_every_documented_format_log_in(mover: Mover, openssh: SSHServer, kind: str) -> None:
    environment = sftp(openssh, f"key-{kind}", "sftp key", SFTP_KEY_FILE=openssh.keys[kind].read_text())
    mover.write({"a": "b"})
    mover.ok("backup", **environment)
    mover.ok("restore", **environment | {"SFTP_KEY_FILE": str(openssh.keys[kind])})
    assert tree(mover.target) == {"a": b"b"}


def test_row_77_a_key_is_used_before_a_password_and_the_password_where_the_key_is_refused(
    mover: Mover, openssh: SSHServer
) -> None:
    mover.write({"a": "b"})
    environment = sftp(openssh, "key-first", "sftp key")
    began = len(openssh.log.read_text())
    mover.ok("backup", **environment | {"SFTP_PASSWORD": "canary-wrong"})
    said = openssh.log.read_text()[began:]
    assert "Accepted publickey" in said
    assert "Failed password" not in said
    if openssh.password:
        other = {"SFTP_KEY_FILE": openssh.other_key.read_text(), "SFTP_PASSWORD": openssh.password}
        mover.ok("restore", **environment | other)
        assert "Accepted password" in openssh.log.read_text()[began:]


def test_an_unusable_key_is_told_with_the_formats_and_not_shown(mover: Mover, openssh: SSHServer) -> None:
    broken = "-----BEGIN OPENSSH PRIVATE KEY-----\nY2FuYXJ5LWtleS1jb250ZW50\n-----END OPENSSH PRIVATE KEY-----\n"
    result = mover("discover", **sftp(openssh, "bad-key", "sftp key", SFTP_KEY_FILE=broken))
    assert result.status != 0
    assert "OpenSSH" in result.last
    assert "PEM" in result.last
    assert "Y2FuYXJ5" not in result.log


def test_m_034_a_changed_host_key_is_refused_and_told(mover: Mover, openssh: SSHServer) -> None:
    mover.write({"a": "b"})
    environment = sftp(openssh, "host-key", "sftp key")
    [told] = [line for line in mover.ok("backup", **environment).lines if "host key" in line]
    (known,) = (mover.folder / "cache").glob("*known_hosts*")
    assert known.read_text().strip() in told
    assert "SHA256:" in told
    other = openssh.other_key.with_suffix(".pub").read_text()
    known.write_text(f"[{openssh.host}]:{openssh.port} {other}")
    result = mover.fails("auth", "backup", **environment)
    assert "host key" in result.last.lower()
    assert result.last.count("SHA256:") == 2
    assert str(known) in result.last
    strict = mover("backup", **environment, SFTP_KNOWN_HOSTS_DATA=openssh.known_hosts)
    assert strict.status == 0


def test_rows_80_81_a_missing_path_a_rejected_login_and_a_refused_connection_are_told_apart(
    mover: Mover, openssh: SSHServer, impatient: None
) -> None:
    mover.write({"a": "b"})
    environment = sftp(openssh, "errors", "sftp key")
    missing = mover.fails("no-repository", "backup", **environment | {"SFTP_PATH": f"{openssh.path}/no/such/folder"})
    assert "SFTP_PATH" in missing.last
    assert "SFTP_USERNAME" in missing.last
    rejected = mover.fails("auth", "backup", **environment | {"SFTP_KEY_FILE": openssh.other_key.read_text()})
    assert "SFTP_KEY_FILE" in rejected.last
    refused = mover.fails("unreachable", "backup", **environment | {"SFTP_PORT": "9"})
    assert f"{openssh.host}:9" in refused.last
    assert {missing.status, rejected.status, refused.status} == {12, 11, 13}


def test_row_80_a_path_that_is_not_writable_is_named_with_the_user(mover: Mover, openssh: SSHServer) -> None:
    if not openssh.namespace:
        pytest.skip("the server's user is the one that makes the folders")
    mover.write({"a": "b"})
    environment = sftp(openssh, "read-only", "sftp key")
    (openssh.data / "read-only").chmod(0o555)
    for path in ("read-only/kopia", "read-only"):
        denied = mover("backup", **environment | {"SFTP_PATH": f"{openssh.path}/{path}"})
        assert denied.status == 11, denied.log
        assert f"{openssh.path}/{path}" in denied.last
        assert "SFTP_PATH" in denied.last
        assert "SFTP_USERNAME" in denied.last


# ---------------------------------------------------------------------- WebDAV


def webdav(server: WebDAVServer, folder: str, **more: str) -> dict[str, str]:
    changes = {
        "WEBDAV_URL": f"{server.url}/{folder}/",
        "WEBDAV_USERNAME": server.user,
        "WEBDAV_PASSWORD": server.password,
    }
    return {**SECRETS["webdav"], **changes, **more}


def test_rows_62_63_the_documented_webdav_example_works_at_a_deep_path(mover: Mover, wsgidav: WebDAVServer) -> None:
    deep = wsgidav.data / "remote.php" / "dav" / "files" / "username"
    deep.mkdir(parents=True)
    there_and_back(mover, **webdav(wsgidav, "remote.php/dav/files/username"))
    assert (deep / "kopia.repository.f").exists()


def test_row_38_a_rejected_login_makes_no_repository(mover: Mover, wsgidav: WebDAVServer) -> None:
    mover.write({"a": "b"})
    (wsgidav.data / "rejected").mkdir()
    result = mover.fails("auth", "backup", **webdav(wsgidav, "rejected", WEBDAV_PASSWORD="canary-wrong"))
    assert result.status == 11
    assert "WEBDAV_USERNAME, WEBDAV_PASSWORD" in result.last
    assert "canary-wrong" not in result.log
    assert list((wsgidav.data / "rejected").iterdir()) == []


def test_rows_65_128_184_m_045_an_authority_of_ones_own_is_refused_without_and_accepted_with_custom_ca(
    mover: Mover, apache_tls: WebDAVServer, certificates: Certificates, impatient: None
) -> None:
    mover.write({"a": "b"})
    refused = mover.fails("unreachable", "backup", **webdav(apache_tls, "with-ca"))
    assert "customCA" in refused.last
    environment = webdav(apache_tls, "with-ca", CUSTOM_CA=certificates.authority.read_text())
    result = mover.ok("backup", **environment)
    assert "Using custom CA." in result.lines
    # as KopiaMaintenance passes it, and as a path
    other = environment | {"CUSTOM_CA": "", "KOPIA_CUSTOM_CA": str(certificates.authority)}
    mover.ok("maintenance", **other)
    broken = mover.fails("config", "backup", **environment | {"CUSTOM_CA": "not PEM"})
    assert "CUSTOM_CA" in broken.last


def test_row_180_without_custom_ca_the_authorities_of_the_machine_count(
    mover: Mover, apache_tls: WebDAVServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    mover.write({"a": "b"})
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    result = mover.ok("backup", **webdav(apache_tls, "machine-ca"))
    assert "Using custom CA." not in result.lines


def test_row_66_a_method_that_the_server_does_not_have_is_named(mover: Mover, wsgidav: WebDAVServer) -> None:
    mover.write({"a": "b"})
    (wsgidav.data / "methods").mkdir()
    with FaultyProxy(wsgidav.host, wsgidav.port) as proxy:
        proxy.answer(405, times=-1)
        result = mover("backup", **webdav(wsgidav, "methods", WEBDAV_URL=f"http://127.0.0.1:{proxy.port}/methods/"))
    assert result.status != 0
    assert re.search(r"does not support (PROPFIND|GET) \(405\)", result.last)


class FewMethods(BaseHTTPRequestHandler):
    """Passes the methods that are documented on to a server of WebDAV, and has no others: each of those is answered by 501."""

    server_address_behind: ClassVar[tuple[str, int]]
    asked: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.asked.append(self.command)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with contextlib.closing(HTTPConnection(*self.server_address_behind)) as connection:
            connection.request(self.command, self.path, body, {**self.headers, "Connection": "close"})
            answer = connection.getresponse()
            content = answer.read()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_PUT = do_DELETE = do_PROPFIND = do_MKCOL = do_GET  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append(f"{self.command} {code}")
        super().send_error(code, message, explain)

    def log_message(self, *_: object) -> None:
        pass


def test_row_66_get_put_delete_propfind_and_mkcol_are_enough(mover: Mover, wsgidav: WebDAVServer) -> None:
    (wsgidav.data / "few-methods").mkdir()
    FewMethods.server_address_behind = (wsgidav.host, wsgidav.port)
    FewMethods.asked.clear()
    with serving(FewMethods) as port:
        url = f"http://127.0.0.1:{port}/few-methods/kopia/"
        connected = there_and_back(mover, **webdav(wsgidav, "few-methods", WEBDAV_URL=url))
        connected.ok("maintenance", KOPIA_MAINTENANCE_FORCE="true")
    assert {*FewMethods.asked} <= {"GET", "PUT", "DELETE", "PROPFIND", "MKCOL", "MOVE 501"}
    assert FewMethods.asked.count("MOVE 501") <= 6  # one a connection
    assert [*(wsgidav.data / "few-methods").rglob("*tmp*")] == []


def test_row_67_a_server_that_does_not_answer_is_named_by_its_url_without_credentials(
    mover: Mover, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mover.write({"a": "b"})
    monkeypatch.setitem(WebDAVStorage.__init__.__kwdefaults__ or {}, "timeout", 0.2)
    monkeypatch.setattr("pykopia_mover.connecting.retry_schedule", lambda _: RetrySchedule(attempts=2))
    with FaultyProxy("127.0.0.1", 9) as server:
        server.stall()
        url = f"http://127.0.0.1:{server.port}/dav/"
        silent = mover.fails("unreachable", "backup", **SECRETS["webdav"] | {"WEBDAV_URL": url})
    assert f"127.0.0.1:{server.port}/dav" in silent.last
    assert "did not answer in time" in silent.last
    assert SECRETS["webdav"]["WEBDAV_PASSWORD"] not in silent.log


def test_row_67_a_refused_connection_names_the_url_without_credentials(mover: Mover, impatient: None) -> None:
    mover.write({"a": "b"})
    url = "http://me:canary-in-url@127.0.0.1:9/dav/"
    result = mover("backup", **SECRETS["webdav"] | {"WEBDAV_URL": url})
    assert result.status != 0
    assert "canary-in-url" not in result.log
    refused = mover.fails("unreachable", "backup", **SECRETS["webdav"] | {"WEBDAV_URL": "http://127.0.0.1:9/dav/"})
    assert "127.0.0.1:9/dav" in refused.last


# ---------------------------------------------------------------------- rclone


def test_rows_85_86_91_a_local_remote_of_rclone_works_end_to_end(mover: Mover) -> None:
    programs.require("rclone", install="sh scripts/test-servers.sh --all")
    folder = mover.folder / "remote"
    folder.mkdir()
    environment = {
        **SECRETS["rclone remotes"],
        "KOPIA_REPOSITORY": f"rclone://disk:{folder}/kopia",
        "RCLONE_REMOTE_PATH": f"disk:{folder}/kopia",
        "RCLONE_CONFIG": "[disk]\ntype = local\n\n" + SECRETS["rclone remotes"]["RCLONE_CONFIG"],
    }
    environment.pop("KOPIA_PASSWORD", None)
    there_and_back(mover, **environment)
    assert any(folder.rglob("kopia.repository*"))


def test_row_90_what_rclone_says_is_in_the_log_without_secrets(mover: Mover, impatient: None) -> None:
    programs.require("rclone", install="sh scripts/test-servers.sh --all")
    mover.write({"a": "b"})
    environment = {
        **SECRETS["rclone"],
        "RCLONE_EXE": "",
        "RCLONE_CONFIG": "[remote-name]\ntype = no-such-type\nsecret_access_key = canary-of-rclone\n",
    }
    environment.pop("KOPIA_PASSWORD")
    result = mover("backup", **environment)
    assert result.status != 0
    assert "no-such-type" in result.log
    assert "canary-of-rclone" not in result.log
