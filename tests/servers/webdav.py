"""Servers that speak WebDAV: Apache, WsgiDAV (from pip), and rclone."""

import base64
import contextlib
import hashlib
import json
import os
import pwd
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pykopia.storage.backends.webdav.options import WebDAVOptions
from tests.servers import process, programs
from tests.servers.tls import Certificates

USER = "canary-user"
PASSWORD = "canary-webdav-password-b2d4"
_REALM = "dav"
_MODULES = (
    "mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "auth_digest", "dav", "dav_fs", "ssl",
)  # fmt: skip
_FOLDERS = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules")


@dataclass(frozen=True, kw_only=True)
class WebDAVServer:
    """A running server."""

    name: str
    port: int
    data: Path
    """Its folder as this machine sees it."""
    prefix: str = ""
    """Path of that folder in URLs."""
    user: str = USER
    password: str = PASSWORD
    certificates: Certificates | None = None
    host: str = process.HOST

    @property
    def url(self) -> str:
        """URL of the folder."""
        return f"{'https' if self.certificates else 'http'}://{self.host}:{self.port}{self.prefix}"

    def options(self, folder: str, **changes: object) -> WebDAVOptions:
        """Return the connection to a folder of the server."""
        fields: dict[str, object] = {
            "url": f"{self.url}/{folder}",
            "username": self.user,
            "password": self.password,
            "root_ca": self.certificates.authority.read_bytes() if self.certificates else b"",
        }
        return WebDAVOptions(**{**fields, **changes})  # type: ignore[arg-type]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its certificate in hex."""
        assert self.certificates
        pem = self.certificates.certificate.read_text()
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


@contextlib.contextmanager
def apache(
    folder: Path, certificates: Certificates | None = None, *, auth: Literal["Basic", "Digest"] = "Basic"
) -> Iterator[WebDAVServer]:
    """Run Apache with mod_dav; with certificates it speaks TLS.

    Run by root it lives in a mount namespace, since it gives up root's rights and could not reach a folder of root.
    """
    program = programs.find("apache2") or programs.require("httpd", install="sh scripts/test-servers.sh --all")
    modules = next((path for path in _FOLDERS if Path(path).is_dir()), _FOLDERS[0])
    root = os.geteuid() == 0
    data = folder / "data"
    (data / "dav").mkdir(parents=True)
    seen = Path("/srv") if root else data
    (folder / "basic").write_text(
        f"{USER}:{{SHA}}{base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()}\n"
    )
    hashed = hashlib.md5(f"{USER}:{_REALM}:{PASSWORD}".encode()).hexdigest()
    (folder / "digest").write_text(f"{USER}:{_REALM}:{hashed}\n")
    port = process.free_port()
    lines = [
        f"ServerRoot {folder}",
        "ServerName localhost",
        f"Listen {process.HOST}:{port}",
        f"PidFile {folder}/pid",
        f"ErrorLog {folder}/error.log",
        *(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in _MODULES),
        f"DocumentRoot {seen}",
        f"DavLockDB {seen}/locks",
        "StartServers 1",
        "MaxRequestWorkers 50",
        "ThreadsPerChild 25",
        "AllowEncodedSlashes On",
        f"<Directory {seen}>",
        "Dav On",
        f"AuthType {auth}",
        f"AuthName {_REALM}",
        f"AuthUserFile {folder}/{auth.lower()}",
        "Require valid-user",
        "</Directory>",
    ]
    command: list[str | Path] = [program, "-f", folder / "conf", "-DFOREGROUND"]
    if root:
        user = pwd.getpwnam("www-data")
        for path in (data, data / "dav"):
            os.chown(path, user.pw_uid, user.pw_gid)
        lines += [f"User {user.pw_name}", f"Group #{user.pw_gid}"]
        for name in ("basic", "digest"):
            os.chown(folder / name, user.pw_uid, user.pw_gid)
            lines = [line.replace(f"AuthUserFile {folder}/{name}", f"AuthUserFile /srv/{name}") for line in lines]
            (folder / name).rename(data / name)
        command = ["unshare", "--mount", "sh", "-c", f"mount --bind '{data}' /srv && exec \"$@\"", "sh", *command]
    if certificates:
        lines += [
            "SSLEngine on",
            f"SSLCertificateFile {certificates.certificate}",
            f"SSLCertificateKeyFile {certificates.key}",
        ]
    (folder / "conf").write_text("\n".join(lines) + "\n")
    with process.running(command, ready=lambda: process.accepts(port), log=folder / "log"):
        yield WebDAVServer(name="apache", port=port, data=data / "dav", prefix="/dav", certificates=certificates)


@contextlib.contextmanager
def wsgidav(folder: Path) -> Iterator[WebDAVServer]:
    """Run WsgiDAV over cheroot."""
    program = programs.require("wsgidav", install="pip install --group servers")
    data = folder / "data"
    data.mkdir()
    port = process.free_port()
    config: dict[str, Any] = {
        "host": process.HOST,
        "port": port,
        "server": "cheroot",
        "server_args": {"numthreads": 50},
        "provider_mapping": {"/": str(data)},
        "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "verbose": 1,
    }
    (folder / "config.json").write_text(json.dumps(config))
    command: list[str | Path] = [program, "--config", folder / "config.json"]
    with process.running(command, ready=lambda: process.answers_http(port), log=folder / "log"):
        yield WebDAVServer(name="wsgidav", port=port, data=data)


@contextlib.contextmanager
def rclone_webdav(folder: Path) -> Iterator[WebDAVServer]:
    """Run rclone as a WebDAV server."""
    program = programs.require("rclone", install="sh scripts/test-servers.sh --all")
    data = folder / "data"
    data.mkdir()
    port = process.free_port()
    command: list[str | Path] = [program, "serve", "webdav", data, "--addr", f"{process.HOST}:{port}"]
    command += [
        "--user",
        USER,
        "--pass",
        PASSWORD,
        "--vfs-write-back=0s",
        "--dir-cache-time=0s",
        "--config",
        "/dev/null",
    ]
    with process.running(command, ready=lambda: process.answers_http(port), log=folder / "log"):
        yield WebDAVServer(name="rclone", port=port, data=data)


def certificate_text(server: WebDAVServer) -> str:
    """Return what openssl says of the certificate, to compare fingerprints with."""
    assert server.certificates
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(server.certificates.certificate)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
