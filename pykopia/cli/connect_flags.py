"""Flags that creating a repository and connecting to one share."""

from typing import TYPE_CHECKING, Any

from pykopia.cli.parsing import Options, flag
from pykopia.cli.values import duration, integer
from pykopia.format.algorithm_names import (
    ECC_NAMES,
    ENCRYPTION_NAMES,
    HASH_NAMES,
    KEY_DERIVATION_NAMES,
    SPLITTER_NAMES,
)

if TYPE_CHECKING:
    from pykopia.format.local_config import CachingOptions
    from pykopia.repository.options import ClientOptions, NewRepositoryOptions

_SECOND = 1_000_000_000
_MIB = 1 << 20


class CacheSizeFlags(Options):
    """Limits of the local cache; None leaves the default or what was set."""

    content_cache_size_mb: int | None = flag(
        None, "Size that the content cache is kept at.", kind=integer, placeholder="MB"
    )
    content_cache_size_limit_mb: int | None = flag(
        None, "Size that the content cache must never exceed.", kind=integer, placeholder="MB"
    )
    content_min_sweep_age: int | None = flag(None, "Age below which contents stay in the cache.", kind=duration)
    metadata_cache_size_mb: int | None = flag(
        None, "Size that the metadata cache is kept at.", kind=integer, placeholder="MB"
    )
    metadata_cache_size_limit_mb: int | None = flag(
        None, "Size that the metadata cache must never exceed.", kind=integer, placeholder="MB"
    )
    metadata_min_sweep_age: int | None = flag(None, "Age below which metadata stays in the cache.", kind=duration)
    index_min_sweep_age: int | None = flag(None, "Age below which indexes stay in the cache.", kind=duration)
    max_list_cache_duration: int | None = flag(None, "Time for which a listing of blobs is used again.", kind=duration)


class ConnectFlags(CacheSizeFlags):
    """Flags of the client: identity and local caches."""

    cache_directory = flag("", "Folder of the cache.", placeholder="PATH", env="KOPIA_CACHE_DIRECTORY")
    override_hostname = flag("", "Host name in sources instead of this machine's.", hidden=True)
    override_username = flag("", "User name in sources instead of this user's.", hidden=True)
    check_for_updates = flag(True, "Ignored: nothing is ever looked up.", env="KOPIA_CHECK_FOR_UPDATES")
    readonly = flag(False, "Refuse to write to the repository.")
    permissive_cache_loading = flag(False, "Go on when cached indexes are damaged.", hidden=True)
    description = flag("", "What this repository is, for people.")
    enable_actions = flag(False, "Allow policies to run programs before and after snapshots.")
    repository_format_cache_duration = flag(
        0, "Time for which the local copy of the format blob is used.", kind=duration, hidden=True
    )
    disable_repository_format_cache = flag(False, "Keep no local copy of the format blob.", hidden=True)

    def client_options(self, storage_name: str) -> "ClientOptions":
        """Return who uses the repository; without a description ``storage_name`` serves as one."""
        from pykopia.repository.options import DEFAULT_FORMAT_CACHE_DURATION_NS, ClientOptions  # noqa: PLC0415

        keep = self.repository_format_cache_duration or DEFAULT_FORMAT_CACHE_DURATION_NS
        return ClientOptions(
            username=self.override_username,
            hostname=self.override_hostname,
            description=self.description or f"Repository in {storage_name}",
            read_only=self.readonly,
            enable_actions=self.enable_actions,
            permissive_cache_loading=self.permissive_cache_loading,
            format_blob_cache_duration_ns=-1 if self.disable_repository_format_cache else keep,
        )

    def caching_options(self) -> "CachingOptions":
        """Return folder and limits of the cache."""
        from pykopia.format.local_config import (  # noqa: PLC0415
            DEFAULT_CACHE_SIZE,
            DEFAULT_LIST_CACHE_SECONDS,
            CachingOptions,
        )

        defaults = CachingOptions(
            cache_directory=self.cache_directory,
            content_cache_size_bytes=DEFAULT_CACHE_SIZE,
            metadata_cache_size_bytes=DEFAULT_CACHE_SIZE,
            max_list_cache_duration_seconds=DEFAULT_LIST_CACHE_SECONDS,
        )
        return changed_caching(defaults, self, unit=_MIB)


def changed_caching(caching: "CachingOptions", flags: CacheSizeFlags, *, unit: int) -> "CachingOptions":
    """Return caching options with the limits that flags set.

    Args:
        caching: What holds where nothing was given.
        flags: What was given.
        unit: Bytes of a megabyte: Kopia counts 2^20 when connecting and 10^6 in `cache set`.
    """
    from dataclasses import replace  # noqa: PLC0415

    sizes = {
        "content_cache_size_bytes": flags.content_cache_size_mb,
        "content_cache_size_limit_bytes": flags.content_cache_size_limit_mb,
        "metadata_cache_size_bytes": flags.metadata_cache_size_mb,
        "metadata_cache_size_limit_bytes": flags.metadata_cache_size_limit_mb,
    }
    ages = {
        "min_content_sweep_age_seconds": flags.content_min_sweep_age,
        "min_metadata_sweep_age_seconds": flags.metadata_min_sweep_age,
        "min_index_sweep_age_seconds": flags.index_min_sweep_age,
        "max_list_cache_duration_seconds": flags.max_list_cache_duration,
    }
    changes: dict[str, Any] = {name: value * unit for name, value in sizes.items() if value is not None}
    changes |= {name: value / _SECOND for name, value in ages.items() if value is not None}
    return replace(caching, **changes)


class CreateFlags(ConnectFlags):
    """What is fixed when a repository is created."""

    block_hash = flag("BLAKE2B-256-128", "Hash of contents.", placeholder="ALGO", choices=HASH_NAMES)
    encryption = flag("AES256-GCM-HMAC-SHA256", "Encryption.", placeholder="ALGO", choices=ENCRYPTION_NAMES)
    ecc = flag("REED-SOLOMON-CRC32", "Error correction.", placeholder="ALGO", choices=ECC_NAMES)
    ecc_overhead_percent = flag(0, "Space that error correction may add, in percent; 0 for none.")
    object_splitter = flag("DYNAMIC-4M-BUZHASH", "How files are split.", choices=SPLITTER_NAMES)
    create_only = flag(False, "Create the repository but don't connect to it.", short="c")
    format_version = flag(0, "Format version 1, 2 or 3; 0 for the default.")
    retention_mode = flag("", "Object lock of the storage.", choices=("COMPLIANCE", "GOVERNANCE"))
    retention_period = flag(0, "Time for which blobs are locked.", kind=duration)
    format_block_key_derivation_algorithm = flag(
        "scrypt-65536-8-1", "How the key is derived from the password.", choices=KEY_DERIVATION_NAMES
    )

    @property
    def ignores_ecc(self) -> bool:
        """Whether error correction is asked for and not available: format version 1 has none, as in Kopia."""
        return self.format_version == 1 and self.ecc_overhead_percent > 0

    def repository_options(self) -> "NewRepositoryOptions":
        """Return what is fixed at creation."""
        from pykopia.repository.options import NewRepositoryOptions  # noqa: PLC0415

        overhead = 0 if self.ignores_ecc else self.ecc_overhead_percent
        return NewRepositoryOptions(
            hash=self.block_hash,
            encryption=self.encryption,
            splitter=self.object_splitter,
            ecc=self.ecc if overhead else "",
            ecc_overhead_percent=overhead,
            format_version=self.format_version or NewRepositoryOptions().format_version,
            key_derivation=self.format_block_key_derivation_algorithm,
            retention_mode=self.retention_mode,
            retention_period_ns=self.retention_period,
        )


__all__ = ["CacheSizeFlags", "ConnectFlags", "CreateFlags", "changed_caching"]
