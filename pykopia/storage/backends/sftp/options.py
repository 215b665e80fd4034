"""A folder on an SSH server: its configuration, with Kopia's field names (format 03 §4), and its URLs."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidURLError, UsageError
from pykopia.storage.flags import PARALLELISM, Flag, FlagContext, file_or_text
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
    url_form: ClassVar[str] = "sftp://HOST/ABSOLUTE/PATH or sftp://HOST:PORT/ABSOLUTE/PATH"
    credential_variables: ClassVar[str] = "SFTP_USERNAME and SFTP_PASSWORD or SFTP_KEY_FILE"
    more_flags: ClassVar[Mapping[str, Flag]] = {
        "embed-credentials": Flag("Copy key and known hosts into the connection file.", default=False),
    }

    path: str = text_field("path", flag=Flag("The folder on the server.", required=True))
    host: str = text_field("host", flag=Flag("Name of the server.", required=True))
    port: int = int_field("port", omit=False, flag=Flag("Port of the server.", default=DEFAULT_SFTP_PORT))
    username: str = text_field("username", flag=Flag("User on the server.", required=True))
    password: str = text_field("password", secret=True, flag=Flag("Password of the user.", "sftp-password"))
    keyfile: str = text_field("keyfile", omit=True, flag=Flag("File with the private key."))
    key_data: str = text_field("keyData", omit=True, secret=True, flag=Flag("The private key itself."))
    known_hosts_file: str = text_field(
        "knownHostsFile", omit=True, flag=Flag("File with the keys of known hosts.", "known-hosts")
    )
    known_hosts_data: str = text_field("knownHostsData", omit=True, flag=Flag("The keys of known hosts themselves."))
    external_ssh: bool = flag_field("externalSSH", flag=Flag("Use the ssh program, without a password.", "external"))
    ssh_command: str = text_field("sshCommand", omit=True, flag=Flag("The ssh program.", default="ssh"))
    ssh_arguments: str = text_field("sshArguments", omit=True, flag=Flag("Arguments for the ssh program.", "ssh-args"))
    dir_shards: tuple[int, ...] | None = shards_field("dirShards")
    """Shards of a storage that has no ``.shards`` yet (format 03 §2.1)."""
    list_parallelism: int = int_field("listParallelism", flag=PARALLELISM)
    throttling: ThrottlingLimits = NO_LIMITS
    host_key_policy: str = text_field("hostKeyPolicy", omit=True)
    """``accept-new``: the key of a host that ``known_hosts_file`` does not name is accepted and added to it; empty: no
    unknown host is talked to. Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """See ``StorageOptions.location``."""
        return f"{self.type} {self.username} on {self.host}:{self.port}{self.path}"

    @classmethod
    def more_from_flags(cls, given: Mapping[str, Any], context: FlagContext) -> dict[str, Any]:  # noqa: ARG003
        """Return key and known hosts: as files, or as texts."""
        embed = given["embed-credentials"]
        keyfile, key = file_or_text("--keyfile", given["keyfile"], given["key-data"], embed=embed)
        hosts_file, hosts = file_or_text("--known-hosts", given["known-hosts"], given["known-hosts-data"], embed=embed)
        if not given["external"]:
            if not (given["sftp-password"] or key or keyfile):
                raise UsageError("one of --sftp-password, --keyfile and --key-data must be given")
            if not (hosts or hosts_file):
                raise UsageError("one of --known-hosts and --known-hosts-data must be given")
        return {
            "keyfile": keyfile,
            "key_data": key,
            "known_hosts_file": hosts_file,
            "known_hosts_data": hosts,
        }


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
