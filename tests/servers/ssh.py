"""OpenSSH's sshd with a user of its own.

Run by root, the server lives in a mount namespace: its user, with password, stands in files that only it sees, so nothing of
the machine changes. Run by anyone else, it lets in that user alone, by key.
"""

import contextlib
import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pykopia.storage.backends.sftp.options import SFTPOptions
from tests.servers import process, programs

PASSWORD = "canary-ssh-password-77e1"
USER = "kopia-tester"
_USER_ID = 64123

KEY_KINDS = {
    "ed25519": ["-t", "ed25519"],
    "rsa": ["-t", "rsa", "-b", "2048"],
    "rsa-pem": ["-t", "rsa", "-b", "2048", "-m", "PEM"],
    "rsa-pkcs8": ["-t", "rsa", "-b", "2048", "-m", "PKCS8"],
    "ecdsa": ["-t", "ecdsa"],
    "ecdsa-pem": ["-t", "ecdsa", "-m", "PEM"],
}
"""Kinds and formats of keys, with the words by which ssh-keygen makes them."""


@dataclass(frozen=True, kw_only=True)
class SSHServer:
    """A running server."""

    port: int
    user: str
    password: str
    """Empty: it takes keys only."""
    keys: dict[str, Path]
    """Private keys that it takes, by kind."""
    known_hosts: str
    """The line of its host key."""
    data: Path
    """Its folder as this machine sees it."""
    path: str
    """The same folder as clients see it."""
    namespace: bool
    log: Path
    host: str = process.HOST
    small_disk: str = "small-disk"
    """A folder on a disk of 1 MiB, where the server has a namespace of its own."""
    other_key: Path = field(default_factory=Path)
    """A key that it does not take."""

    def options(self, folder: str, **changes: object) -> SFTPOptions:
        """Return the connection to a folder of the server, by key."""
        fields: dict[str, object] = {
            "host": self.host,
            "port": self.port,
            "username": self.user,
            "path": f"{self.path}/{folder}",
            "keyfile": str(self.keys["ed25519"]),
            "known_hosts_data": self.known_hosts,
        }
        return SFTPOptions(**{**fields, **changes})  # type: ignore[arg-type]


def make_key(path: Path, words: list[str], passphrase: str = "") -> Path:
    """Make a pair of keys by ssh-keygen."""
    command = [str(programs.require("ssh-keygen")), "-q", "-N", passphrase, "-C", "", "-f", str(path), *words]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


@contextlib.contextmanager
def openssh(folder: Path) -> Iterator[SSHServer]:
    """Run sshd with its files in a folder."""
    sshd = programs.require("sshd", install="sh scripts/test-servers.sh --all")
    data, settings = folder / "data", folder / "settings"
    data.mkdir()
    settings.mkdir()
    port = process.free_port()
    keys = {kind: make_key(settings / kind, words) for kind, words in KEY_KINDS.items()}
    host_key = make_key(settings / "host_key", ["-t", "ed25519"])
    public = "".join(path.with_suffix(".pub").read_text() for path in keys.values())
    (data / "authorized_keys").write_text(public)
    namespace = os.geteuid() == 0 and _can_unshare()
    path = "/srv" if namespace else str(data)
    config = {
        "Port": port,
        "ListenAddress": process.HOST,
        "HostKey": host_key,
        "AuthorizedKeysFile": f"{path}/authorized_keys",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "yes" if namespace else "no",
        "KbdInteractiveAuthentication": "no",
        "MaxStartups": 100,
        "Subsystem": "sftp internal-sftp -u 0077",
    }
    (settings / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in config.items()))
    command: list[str | Path] = [sshd, "-D", "-e", "-f", settings / "sshd_config"]
    if namespace:
        command = ["unshare", "--mount", "sh", "-c", _in_namespace(settings, data), "sh", *command]
    log = folder / "log"
    with process.running(command, ready=lambda: process.accepts(port), log=log):
        yield SSHServer(
            port=port,
            user=USER if namespace else pwd.getpwuid(os.geteuid()).pw_name,
            password=PASSWORD if namespace else "",
            keys=keys,
            known_hosts=f"[{process.HOST}]:{port} {host_key.with_suffix('.pub').read_text()}",
            data=data,
            path=path,
            namespace=namespace,
            log=log,
            other_key=make_key(settings / "other", ["-t", "ed25519"]),
        )


def _can_unshare() -> bool:
    return (
        programs.find("unshare") is not None
        and not subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode
    )


def _in_namespace(settings: Path, data: Path) -> str:
    """Return the shell commands that give the server its own users and folder, then run what follows."""
    openssl = programs.require("openssl")
    hashed = subprocess.run(
        [openssl, "passwd", "-6", "-stdin"], input=PASSWORD, check=True, capture_output=True, text=True
    ).stdout.strip()
    user = f"{USER}:x:{_USER_ID}:{_USER_ID}::/srv:/bin/sh\n"
    (settings / "passwd").write_text(Path("/etc/passwd").read_text() + user)
    (settings / "shadow").write_text(f"{USER}:{hashed}:19000:0:99999:7:::\n")
    os.chown(data, _USER_ID, _USER_ID)
    os.chown(data / "authorized_keys", _USER_ID, _USER_ID)
    lines = (
        f"mount --bind '{settings}/passwd' /etc/passwd",
        f"mount --bind '{settings}/shadow' /etc/shadow",
        f"mount --bind '{data}' /srv",
        "mkdir -p /srv/small-disk",
        f"mount -t tmpfs -o size=1m,uid={_USER_ID},mode=0700 tmpfs /srv/small-disk",
        "mount -t tmpfs tmpfs /run",
        "mkdir /run/sshd",
        'exec "$@"',
    )
    return " && ".join(lines)
