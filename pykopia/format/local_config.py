"""The connection file ``repository.config``, and the password file beside it (format 01 §7.1).

Reading and writing the files, and what the environment has to say, is the business of others.
"""

import base64
import binascii
import hashlib
import os.path
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Final, Self

from pykopia.dataclass import dataclass
from pykopia.errors import ConnectionFileError, DamagedDataError
from pykopia.format import gojson
from pykopia.format.json_object import FLAG, INTEGER, NUMBER, RAW_OBJECT, TEXT, JSONObject, member, nested
from pykopia.ids import Buffer

DEFAULT_CACHE_SIZE: Final = 5000 << 20
"""Bytes of each cache of a new connection."""
DEFAULT_LIST_CACHE_SECONDS: Final = 30.0
DEFAULT_FORMAT_CACHE_DURATION_NS: Final = 15 * 60 * 1_000_000_000
"""Nanoseconds for which the local copies of the format blobs are used; it is the maximum too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CachingOptions(JSONObject):
    """Folder and limits of the local cache; without a folder there is no cache.

    Sizes are what a cache is brought back to, limits what it must never exceed; 0 is no limit of its own.
    """

    cache_directory: str = field(default="", metadata=member("cacheDirectory", TEXT))
    """Absolute, or relative to the folder of the connection file."""
    content_cache_size_bytes: int = field(default=0, metadata=member("maxCacheSize", INTEGER))
    content_cache_size_limit_bytes: int = field(default=0, metadata=member("contentCacheSizeLimitBytes", INTEGER))
    metadata_cache_size_bytes: int = field(default=0, metadata=member("maxMetadataCacheSize", INTEGER))
    """0: as much as for contents."""
    metadata_cache_size_limit_bytes: int = field(default=0, metadata=member("metadataCacheSizeLimitBytes", INTEGER))
    max_list_cache_duration_seconds: float = field(default=0, metadata=member("maxListCacheDuration", NUMBER))
    """Seconds for which a list of blobs is believed."""
    min_metadata_sweep_age_seconds: float = field(default=0, metadata=member("minMetadataSweepAge", NUMBER))
    """Seconds since its last use before an entry may go."""
    min_content_sweep_age_seconds: float = field(default=0, metadata=member("minContentSweepAge", NUMBER))
    min_index_sweep_age_seconds: float = field(default=0, metadata=member("minIndexSweepAge", NUMBER))

    @property
    def content_limit(self) -> int:
        """Bytes that the cache of contents may have; the size of a new connection where nothing is set."""
        return _smaller(self.content_cache_size_bytes, self.content_cache_size_limit_bytes) or DEFAULT_CACHE_SIZE

    @property
    def metadata_limit(self) -> int:
        """Bytes that the cache of metadata may have; as for contents where nothing is set."""
        size = self.metadata_cache_size_bytes or self.content_cache_size_bytes
        return _smaller(size, self.metadata_cache_size_limit_bytes) or DEFAULT_CACHE_SIZE

    def folder(self, config_path: Path | None) -> Path | None:
        """Return the cache folder, or None where there is no cache.

        Args:
            config_path: The connection file, whose folder a relative cache folder starts from; None: there is no file.
        """
        if not self.cache_directory:
            return None
        base = Path() if config_path is None else config_path.parent
        return Path(os.path.normpath(base / self.cache_directory))

    def relative_to(self, config_path: Path) -> Self:
        """Return the same options with a folder relative to that of the connection file, as Kopia writes it."""
        if not os.path.isabs(self.cache_directory) or not config_path.is_absolute():
            return self
        return replace(self, cache_directory=os.path.relpath(self.cache_directory, config_path.parent))


def _smaller(size: int, limit: int) -> int:
    return min((each for each in (size, limit) if each > 0), default=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class APIServer(JSONObject):
    """A Kopia server between the client and the storage."""

    url: str = field(default="", metadata=member("url", TEXT, always=True))
    certificate_fingerprint: str = field(default="", metadata=member("serverCertFingerprint", TEXT, always=True))
    """SHA-256 of the certificate in hex; empty: any that the system trusts."""
    cache_key_derivation: str = field(default="", metadata=member("localCacheKeyDerivationAlgorithm", TEXT))
    """A name in ``keys.KEY_DERIVATIONS``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalConfig(JSONObject):
    """The connection file: which repository, as whom, and what is kept locally."""

    api_server: APIServer | None = field(default=None, metadata=member("apiServer", nested(APIServer)))
    """Instead of ``storage``."""
    storage: Mapping[str, Any] | None = field(default=None, repr=False, metadata=member("storage", RAW_OBJECT))
    """Type and configuration of the storage, by Kopia's JSON names; it holds secrets."""
    caching: CachingOptions = field(
        default_factory=CachingOptions, metadata=member("caching", nested(CachingOptions), always=True)
    )
    hostname: str = field(default="", metadata=member("hostname", TEXT, always=True))
    username: str = field(default="", metadata=member("username", TEXT, always=True))
    readonly: bool = field(default=False, metadata=member("readonly", FLAG))
    permissive_cache_loading: bool = field(default=False, metadata=member("permissiveCacheLoading", FLAG))
    """Whether index blobs that can't be loaded are passed over."""
    description: str = field(default="", metadata=member("description", TEXT))
    enable_actions: bool = field(default=False, metadata=member("enableActions", FLAG, always=True))
    """Whether commands that policies name may run."""
    format_blob_cache_duration_ns: int = field(default=0, metadata=member("formatBlobCacheDuration", INTEGER))
    """Nanoseconds for which the local copies of the format blobs are used; negative: not at all."""
    throttling: Mapping[str, Any] | None = field(default=None, metadata=member("throttlingLimits", RAW_OBJECT))
    """Limits on the use of the storage, by Kopia's JSON names; they win over those in ``storage``."""

    @classmethod
    def from_bytes(cls, data: Buffer, *, name: str = "the connection file") -> Self:
        """Return what a connection file says.

        Args:
            data: The file.
            name: What messages call it.

        Raises:
            ConnectionFileError: It is not the JSON that it must be.
        """
        try:
            return cls.parse(data, first_only=True)
        except DamagedDataError as error:
            raise ConnectionFileError(f"can't read {name}: {error}; connect to the repository again") from None

    def to_bytes(self) -> bytes:
        """Return the file, as Kopia writes it; it includes the secrets of the storage."""
        return gojson.dumps(self.members(), indent=2)


def default_cache_directory_name(unique_id: bytes, config_path: str) -> str:
    """Return the name of the cache folder that Kopia takes for a connection.

    Args:
        unique_id: Of the repository; for an API server the bytes of its URL.
        config_path: Absolute path of the connection file.
    """
    return hashlib.sha256(unique_id + os.fsencode(config_path)).hexdigest()[:16]


def encode_password_file(password: str) -> bytes:
    """Return the content of the password file beside a connection file."""
    return base64.b64encode(password.encode("utf-8", "surrogateescape"))


def decode_password_file(data: bytes) -> str:
    """Return the password in a password file.

    Raises:
        ConnectionFileError: It is not base64.
    """
    try:
        return base64.b64decode(data.strip(), validate=True).decode("utf-8", "surrogateescape")
    except binascii.Error:
        raise ConnectionFileError(
            "can't read the password file beside the connection file: it is not base64; give the password again"
        ) from None


__all__ = [
    "DEFAULT_CACHE_SIZE",
    "DEFAULT_FORMAT_CACHE_DURATION_NS",
    "DEFAULT_LIST_CACHE_SECONDS",
    "APIServer",
    "CachingOptions",
    "LocalConfig",
    "decode_password_file",
    "default_cache_directory_name",
    "encode_password_file",
]
