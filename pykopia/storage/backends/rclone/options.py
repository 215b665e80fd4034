"""Anything that rclone reaches: its configuration, with Kopia's field names (format 03 §4), and its URLs."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidURLError
from pykopia.storage.flags import PARALLELISM, Flag, FlagContext, read_flag_file
from pykopia.storage.options import (
    NO_LIMITS,
    StorageOptions,
    ThrottlingLimits,
    base64_field,
    duration_field,
    flag_field,
    int_field,
    retry_field,
    shards_field,
    text_field,
    texts_field,
)
from pykopia.storage.url_parts import shown


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class RcloneOptions(StorageOptions):
    """Anything that rclone reaches."""

    type: ClassVar[str] = "rclone"
    required: ClassVar[tuple[str, ...]] = ("remotePath",)
    url_form: ClassVar[str] = "rclone://REMOTE:/PATH, where REMOTE is a section of RCLONE_CONFIG"
    credential_variables: ClassVar[str] = "RCLONE_CONFIG"
    more_flags: ClassVar[Mapping[str, Flag]] = {
        "embed-rclone-config": Flag("Copy this configuration into the connection file.", is_file=True),
    }

    remote_path: str = text_field("remotePath", flag=Flag("remote:path as rclone names it.", required=True))
    """``remote:path`` as rclone takes it."""
    rclone_exe: str = text_field("rcloneExe", omit=True, flag=Flag("The rclone program."))
    rclone_args: tuple[str, ...] = texts_field("rcloneArgs", flag=Flag("Argument for rclone."))
    rclone_env: tuple[str, ...] = texts_field("rcloneEnv", flag=Flag("Environment variable for rclone, key=value."))
    startup_timeout: str = duration_field(
        "startupTimeout",
        flag=Flag(
            "Time that rclone may take to start.", "rclone-startup-timeout", default="15s", placeholder="DURATION"
        ),
    )
    """How long to wait until rclone listens, as a Go duration."""
    debug: bool = flag_field("debug", omit=True, flag=Flag("Log what rclone prints.", "rclone-debug", hidden=True))
    no_wait_for_transfers: bool = flag_field(
        "noWaitForTransfers",
        omit=True,
        flag=Flag("Don't wait for rclone's transfers at the end.", "rclone-nowait-for-transfers", hidden=True),
    )
    embedded_config: str = text_field("embeddedConfig", omit=True, hidden=True)
    """Content of an rclone configuration file."""
    atomic_writes: bool = flag_field(
        "atomicWrites", flag=Flag("Trust the remote to write files whole or not at all.", default=True)
    )
    dir_shards: tuple[int, ...] | None = shards_field("dirShards")
    """Shards of a storage that has no ``.shards`` yet (format 03 §2.1)."""
    list_parallelism: int = int_field("listParallelism", flag=PARALLELISM)
    throttling: ThrottlingLimits = NO_LIMITS
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust besides those of the system; Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """See ``StorageOptions.location``."""
        return f"{self.type} {self.remote_path}"

    @classmethod
    def more_from_flags(cls, given: Mapping[str, Any], context: FlagContext) -> dict[str, Any]:  # noqa: ARG003
        """Return the configuration of rclone."""
        path = given["embed-rclone-config"]
        return {"embedded_config": read_flag_file("--embed-rclone-config", path).decode()} if path else {}


def of_url(scheme: str, rest: str) -> RcloneOptions:
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    remote, colon, _ = rest.partition(":")
    if not remote or not colon or "/" in remote:
        raise InvalidURLError(f"{scheme}://{shown(rest)} names no remote: the form is {scheme}://REMOTE:PATH")
    return RcloneOptions(remote_path=rest)


__all__ = ["RcloneOptions", "of_url"]
