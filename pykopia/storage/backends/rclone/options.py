"""Anything that rclone reaches: its configuration, with Kopia's field names (format 03 §4), and its URLs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pykopia.errors import InvalidURLError
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

    remote_path: str = text_field("remotePath")
    """``remote:path`` as rclone takes it."""
    rclone_exe: str = text_field("rcloneExe", omit=True)
    rclone_args: tuple[str, ...] = texts_field("rcloneArgs")
    rclone_env: tuple[str, ...] = texts_field("rcloneEnv")
    startup_timeout: str = duration_field("startupTimeout")
    """How long to wait for rclone to listen, as Go writes durations."""
    debug: bool = flag_field("debug", omit=True)
    no_wait_for_transfers: bool = flag_field("noWaitForTransfers", omit=True)
    embedded_config: str = text_field("embeddedConfig", omit=True, hidden=True)
    """Content of an rclone configuration file."""
    atomic_writes: bool = flag_field("atomicWrites")
    dir_shards: tuple[int, ...] | None = shards_field("dirShards")
    """Shards of a storage that has no ``.shards`` yet (format 03 §2.1)."""
    list_parallelism: int = int_field("listParallelism")
    throttling: ThrottlingLimits = NO_LIMITS
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust besides those of the system; Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)


def of_url(scheme: str, rest: str) -> RcloneOptions:
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    remote, colon, _ = rest.partition(":")
    if not remote or not colon or "/" in remote:
        raise InvalidURLError(f"{scheme}://{shown(rest)} names no remote: the form is {scheme}://REMOTE:PATH")
    return RcloneOptions(remote_path=rest)


__all__ = ["RcloneOptions", "of_url"]
