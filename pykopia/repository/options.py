"""How a repository is made and how a client uses it."""

from dataclasses import field, replace

from pykopia.arguments import check_fields
from pykopia.dataclass import dataclass

DEFAULT_FORMAT_CACHE_DURATION_NS = 15 * 60 * 1_000_000_000
"""Longest time for which a local copy of the format block is believed (format 01 §7.1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRepositoryOptions:
    """Parameters that are fixed at creation; the defaults are Kopia's (format 01 §1.5)."""

    hash: str = "BLAKE2B-256-128"
    encryption: str = "AES256-GCM-HMAC-SHA256"
    splitter: str = "DYNAMIC-4M-BUZHASH"
    ecc: str = ""
    """Error correction algorithm; needs ``ecc_overhead_percent`` and format version 2 or 3."""
    ecc_overhead_percent: int = 0
    """Percent of added bytes, 0 for no error correction."""
    format_version: int = 3
    key_derivation: str = "scrypt-65536-8-1"
    retention_mode: str = ""
    """Object lock: ``COMPLIANCE``, ``GOVERNANCE`` or nothing."""
    retention_period_ns: int = 0
    """Nanoseconds that a blob stays locked; at least 24 hours when a mode is given."""
    unique_id: bytes | None = field(default=None, repr=False)
    """32 bytes; random when not given."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientOptions:
    """Identity and permissions of a client (format 01 §7.1)."""

    username: str = ""
    """Name in sources and ownership; empty: the user of the operating system."""
    hostname: str = ""
    """Host in sources and ownership; empty: this machine's, up to the first dot, in lower case."""
    description: str = ""
    read_only: bool = False
    enable_actions: bool = False
    permissive_cache_loading: bool = False
    format_blob_cache_duration_ns: int = DEFAULT_FORMAT_CACHE_DURATION_NS
    """Nanoseconds for which the local copies of the format blobs are used; negative: not at all."""
    upgrade_owner_id: str = ""
    """Owner of a format upgrade: a lock of this owner does not keep this client out. Not kept in connection files."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self)

    def resolved(self) -> "ClientOptions":
        """Return the same options with the user and host of this machine filled in."""
        return replace(self, username=self.username or default_username(), hostname=self.hostname or default_hostname())


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterChanges:
    """Changes for ``Repository.set_parameters``; None leaves a value as it is."""

    max_pack_size: int | None = None
    """Bytes, 10 MiB to 120 MiB."""
    index_version: int | None = None
    upgrade: bool = False
    """Raise format version 1 to 2: index version 2 and epochs."""
    epoch_refresh_frequency_ns: int | None = None
    epoch_min_duration_ns: int | None = None
    epoch_cleanup_safety_margin_ns: int | None = None
    epoch_advance_on_count: int | None = None
    epoch_advance_on_size: int | None = None
    """Bytes."""
    epoch_delete_parallelism: int | None = None
    epoch_checkpoint_frequency: int | None = None
    add_required_features: tuple[str, ...] = ()
    remove_required_features: tuple[str, ...] = ()
    warn_on_missing_features: bool = False
    """Whether clients without an added feature are warned instead of refused."""
    retention_mode: str | None = None
    """``none`` switches object lock off."""
    retention_period_ns: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self)


def default_username() -> str:
    """Return the operating system's name for this user; a user without one, as in many pods, is ``nobody``, as in Kopia."""
    import getpass  # noqa: PLC0415 -- connection files have both names

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # Python 3.13 raises the latter
        return "nobody"


def default_hostname() -> str:
    """Return this machine's name up to the first dot, in lower case (format 04 §9)."""
    import socket  # noqa: PLC0415

    return socket.gethostname().split(".", 1)[0].lower()


__all__ = [
    "DEFAULT_FORMAT_CACHE_DURATION_NS",
    "ClientOptions",
    "NewRepositoryOptions",
    "ParameterChanges",
    "default_hostname",
    "default_username",
]
