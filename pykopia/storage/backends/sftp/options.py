"""A folder on an SSH server: its configuration, with Kopia's field names (format 03 §4), and its URLs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pykopia.errors import InvalidURLError
from pykopia.storage.options import (
    NO_LIMITS,
    StorageOptions,
    ThrottlingLimits,
    flag_field,
    int_field,
    retry_field,
    shards_field,
    text_field,
)
from pykopia.storage.url_parts import host_and_port

DEFAULT_SFTP_PORT = 22


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class SFTPOptions(StorageOptions):
    """A folder on an SSH server."""

    type: ClassVar[str] = "sftp"
    required: ClassVar[tuple[str, ...]] = ("path", "host", "port", "username")

    path: str = text_field("path")
    host: str = text_field("host")
    port: int = int_field("port", omit=False)
    username: str = text_field("username")
    password: str = text_field("password", secret=True)
    keyfile: str = text_field("keyfile", omit=True)
    key_data: str = text_field("keyData", omit=True, secret=True)
    known_hosts_file: str = text_field("knownHostsFile", omit=True)
    known_hosts_data: str = text_field("knownHostsData", omit=True)
    external_ssh: bool = flag_field("externalSSH")
    ssh_command: str = text_field("sshCommand", omit=True)
    ssh_arguments: str = text_field("sshArguments", omit=True)
    dir_shards: tuple[int, ...] | None = shards_field("dirShards")
    """Shards of a storage that has no ``.shards`` yet (format 03 §2.1)."""
    list_parallelism: int = int_field("listParallelism")
    throttling: ThrottlingLimits = NO_LIMITS
    host_key_policy: str = text_field("hostKeyPolicy", omit=True)
    """``accept-new``: the key of a host that ``known_hosts_file`` does not name is accepted and added to it; empty: no
    unknown host is talked to. Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)


def of_url(scheme: str, rest: str) -> SFTPOptions:
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    server, slash, path = rest.partition("/")
    user, at, address = server.rpartition("@")
    if ":" in user:
        raise InvalidURLError(f"a repository URL of scheme {scheme} can't hold a password: give it apart")
    if at and not user:
        raise InvalidURLError(f"the user in {scheme}://@{address} is empty")
    host, port = host_and_port(scheme, address)
    if not slash or not path.strip("/"):
        raise InvalidURLError(f"{scheme}://{host} names no folder: the form is {scheme}://USER@HOST:PORT/PATH")
    return SFTPOptions(path="/" + path.strip("/"), host=host, port=port or DEFAULT_SFTP_PORT, username=user)


__all__ = ["DEFAULT_SFTP_PORT", "SFTPOptions", "of_url"]
