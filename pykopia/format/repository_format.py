"""The configuration of a repository: algorithms, keys and parameters, as the format block holds them (format 01 §1.5).

``version`` names a set of defaults; what a program does is decided by the single fields (format 01 §1.7). So a repository
of version 1 that was upgraded has the new index but still no password change.
"""

from collections.abc import Iterable
from dataclasses import field, replace
from typing import Final, Self

from pykopia.dataclass import dataclass
from pykopia.errors import (
    DamagedDataError,
    DamagedFormatBlobError,
    RequiredFeatureError,
    UnsupportedFormatError,
    UsageError,
)
from pykopia.format import gojson, keys
from pykopia.format.encryption import DEFAULT_ENCRYPTION
from pykopia.format.hashing import DEFAULT_HASH
from pykopia.format.json_object import BASE64, FLAG, INTEGER, TEXT, JSONObject, list_of, member, nested
from pykopia.format.upgrade_lock import UpgradeLock
from pykopia.ids import Buffer

SUPPORTED_VERSIONS: Final = (1, 2, 3)
LATEST_VERSION: Final = 3
LATEST_INDEX_VERSION: Final = 2

MIB: Final = 1 << 20
DEFAULT_MAX_PACK_SIZE: Final = 20 * MIB
MINIMUM_MAX_PACK_SIZE: Final = 10 * MIB
MAXIMUM_MAX_PACK_SIZE: Final = 120 * MIB

DEFAULT_SPLITTER: Final = "DYNAMIC-4M-BUZHASH"
SPLITTER_WHEN_ABSENT: Final = "FIXED"

SUPPORTED_FEATURES: Final = frozenset({"index-v1", "index-v2"})

_SECOND_NS: Final = 1_000_000_000
_MINUTE_NS: Final = 60 * _SECOND_NS
_HOUR_NS: Final = 60 * _MINUTE_NS


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochParameters(JSONObject):
    """When index blobs are gathered into epochs, compacted and removed (format 02 §9.1); zeros where epochs are off."""

    enabled: bool = field(default=False, metadata=member("Enabled", FLAG, always=True))
    refresh_frequency_ns: int = field(default=0, metadata=member("EpochRefreshFrequency", INTEGER, always=True))
    """Nanoseconds for which a client believes its view of the epochs."""
    checkpoint_frequency: int = field(default=0, metadata=member("FullCheckpointFrequency", INTEGER, always=True))
    """Epochs between two range checkpoints."""
    cleanup_safety_margin_ns: int = field(default=0, metadata=member("CleanupSafetyMargin", INTEGER, always=True))
    """Nanoseconds that a blob outlives the one that replaces it."""
    min_duration_ns: int = field(default=0, metadata=member("MinEpochDuration", INTEGER, always=True))
    """Nanoseconds that an epoch lasts at least."""
    advance_on_count: int = field(default=0, metadata=member("EpochAdvanceOnCountThreshold", INTEGER, always=True))
    """Index blobs from which on an epoch may end."""
    advance_on_size: int = field(
        default=0, metadata=member("EpochAdvanceOnTotalSizeBytesThreshold", INTEGER, always=True)
    )
    """Bytes of index blobs from which on an epoch may end."""
    delete_parallelism: int = field(default=0, metadata=member("DeleteParallelism", INTEGER, always=True))
    """Blobs that are deleted at the same time."""

    def validate(self) -> None:
        """Check parameters before they are set.

        Raises:
            UsageError: Epochs are enabled and a value is out of its range (format 01 §1.5).
        """
        problem = self._problem() if self.enabled else ""
        if problem:
            raise UsageError(f"can't set the epoch parameters: {problem}")

    def _problem(self) -> str:
        if self.min_duration_ns < 10 * _MINUTE_NS:
            return "the shortest duration of an epoch must be 10 minutes or more"
        if 3 * self.refresh_frequency_ns > self.min_duration_ns:
            return "the refresh frequency must be at most a third of the shortest duration of an epoch"
        if self.checkpoint_frequency <= 0:
            return "the number of epochs between range checkpoints must be positive"
        if self.cleanup_safety_margin_ns < 3 * self.refresh_frequency_ns:
            return "the safety margin of the cleanup must be three times the refresh frequency or more"
        if self.advance_on_count < 10:
            return "the number of index blobs that ends an epoch must be 10 or more"
        if self.advance_on_size < MIB:
            return "the size of index blobs that ends an epoch must be 1 MiB or more"
        return ""


DEFAULT_EPOCH_PARAMETERS: Final = EpochParameters(
    enabled=True,
    refresh_frequency_ns=20 * _MINUTE_NS,
    checkpoint_frequency=7,
    cleanup_safety_margin_ns=4 * _HOUR_NS,
    min_duration_ns=24 * _HOUR_NS,
    advance_on_count=20,
    advance_on_size=10 * MIB,
    delete_parallelism=4,
)
NO_EPOCHS: Final = EpochParameters()


@dataclass(frozen=True, kw_only=True, slots=True)
class IfNotUnderstood(JSONObject):
    """Behavior of a program that does not know a required feature."""

    warn: bool = field(default=False, metadata=member("warn", FLAG, always=True))
    message: str = field(default="", metadata=member("message", TEXT))
    url: str = field(default="", metadata=member("url", TEXT))
    upgrade_to_version: str = field(default="", metadata=member("upgradeToVersion", TEXT))


@dataclass(frozen=True, kw_only=True, slots=True)
class RequiredFeature(JSONObject):
    """A feature that a program must know to work with the repository (format 01 §1.6)."""

    feature: str = field(default="", metadata=member("feature", TEXT, always=True))
    if_not_understood: IfNotUnderstood = field(
        default=IfNotUnderstood(), metadata=member("ifNotUnderstood", nested(IfNotUnderstood), always=True)
    )

    @classmethod
    def of(cls, feature: str, *, warn: bool = False, message: str = "", url: str = "", upgrade_to: str = "") -> Self:
        """Return the demand for ``feature``; with ``warn`` a program that lacks it may go on."""
        return cls(
            feature=feature,
            if_not_understood=IfNotUnderstood(warn=warn, message=message, url=url, upgrade_to_version=upgrade_to),
        )

    @property
    def warns_only(self) -> bool:
        """Whether a program that lacks the feature may go on."""
        return self.if_not_understood.warn

    def explanation(self) -> str:
        """Return the message for a user whose program lacks the feature."""
        text = f"the repository requires the feature {self.feature!r}, which this version of pykopia does not have"
        hints = self.if_not_understood
        if hints.message:
            text += f": {hints.message}"
        if hints.url:
            text += f"; see {hints.url}"
        if hints.upgrade_to_version:
            text += f"; Kopia {hints.upgrade_to_version} or newer has it"
        return text


def check_features(required: Iterable[RequiredFeature], supported: frozenset[str] = SUPPORTED_FEATURES) -> list[str]:
    """Return the warnings about required features that are missing here but not indispensable.

    Raises:
        RequiredFeatureError: An indispensable one is missing.
    """
    missing = [feature for feature in required if feature.feature not in supported]
    for feature in missing:
        if not feature.warns_only:
            raise RequiredFeatureError(f"can't open the repository: {feature.explanation()}")
    return [feature.explanation() for feature in missing]


@dataclass(frozen=True, kw_only=True, slots=True)
class RepositoryFormat(JSONObject):
    """All that must be known to read and write contents; ``secret`` and ``master_key`` stay out of ``repr``.

    Fields hold what is stored, also where that is nothing; the ``effective_`` properties say what it means.
    """

    hash: str = field(default="", metadata=member("hash", TEXT))
    """Name of the content hash."""
    encryption: str = field(default="", metadata=member("encryption", TEXT))
    """Name of the content encryption."""
    ecc: str = field(default="", metadata=member("ecc", TEXT))
    """Name of the error correction; see ``effective_ecc``."""
    ecc_overhead_percent: int = field(default=0, metadata=member("eccOverheadPercent", INTEGER))
    """Percent that error correction may add to large data; 0: none."""
    secret: bytes = field(default=b"", repr=False, metadata=member("secret", BASE64))
    """Key of the content hash."""
    master_key: bytes = field(default=b"", repr=False, metadata=member("masterKey", BASE64))
    """Root of the content encryption keys."""
    version: int = field(default=0, metadata=member("version", INTEGER))
    """Format version, 1 to 3."""
    max_pack_size: int = field(default=0, metadata=member("maxPackSize", INTEGER))
    """Bytes of contents from which on a pack is written; see ``effective_max_pack_size``."""
    index_version: int = field(default=0, metadata=member("indexVersion", INTEGER))
    """Version of the index blobs to write; see ``effective_index_version``."""
    epoch_parameters: EpochParameters = field(
        default=NO_EPOCHS, metadata=member("epochParameters", nested(EpochParameters), always=True)
    )
    enable_password_change: bool = field(default=False, metadata=member("enablePasswordChange", FLAG, always=True))
    """Whether the password may change: then no key but that of the format block comes from it."""
    splitter: str = field(default="", metadata=member("splitter", TEXT))
    """Name of the object splitter; see ``effective_splitter``."""
    upgrade_lock: UpgradeLock | None = field(default=None, metadata=member("upgradeLock", nested(UpgradeLock)))
    required_features: tuple[RequiredFeature, ...] = field(
        default=(), metadata=member("requiredFeatures", list_of(RequiredFeature))
    )

    @classmethod
    def new(
        cls,
        *,
        secret: bytes,
        master_key: bytes,
        version: int = LATEST_VERSION,
        hash: str = DEFAULT_HASH,  # noqa: A002 -- the field's name
        encryption: str = DEFAULT_ENCRYPTION,
        splitter: str = DEFAULT_SPLITTER,
        ecc: str = "",
        ecc_overhead_percent: int = 0,
    ) -> Self:
        """Return the format of a new repository, as Kopia fills it for a format version (format 01 §1.7).

        Args:
            secret: 32 random bytes.
            master_key: 32 random bytes.
            version: 1, 2 or 3.
            hash: A name in ``hashing.HASHES``.
            encryption: A name in ``encryption.ENCRYPTIONS``.
            splitter: Name of a splitter.
            ecc: Error correction; without effect in version 1 or at 0 percent.
            ecc_overhead_percent: 0 to 100; what lies outside is brought to the nearer end.

        Raises:
            UnsupportedFormatError: There is no such format version.
        """
        if version not in SUPPORTED_VERSIONS:
            raise _unsupported_version(version)
        percent = 0 if version == 1 or not ecc else min(max(ecc_overhead_percent, 0), 100)
        return cls(
            hash=hash,
            encryption=encryption,
            ecc=ecc if percent else "",
            ecc_overhead_percent=percent,
            secret=secret,
            master_key=master_key,
            version=version,
            max_pack_size=DEFAULT_MAX_PACK_SIZE,
            index_version=1 if version == 1 else LATEST_INDEX_VERSION,
            epoch_parameters=NO_EPOCHS if version == 1 else DEFAULT_EPOCH_PARAMETERS,
            enable_password_change=version > 1,
            splitter=splitter,
        )

    @classmethod
    def from_json(cls, data: Buffer) -> Self:
        """Return the format that the decrypted format block holds.

        Raises:
            DamagedFormatBlobError: The block is not the JSON that it must be.
            UnsupportedFormatError: The format version, or that of the index, is unknown.
        """
        try:
            found = [text for name, text in gojson.members(data) if gojson.fold(name) == "format"]
            parsed = cls.parse(found[-1] if found else b"{}")
        except DamagedDataError as error:
            raise DamagedFormatBlobError(
                f"can't read the repository format in kopia.repository: {error}; restore kopia.repository from a copy"
            ) from error
        if parsed.version not in SUPPORTED_VERSIONS:
            raise _unsupported_version(parsed.version)
        if not 0 <= parsed.index_version <= LATEST_INDEX_VERSION:
            raise UnsupportedFormatError(
                f"can't use the repository: it writes index version {parsed.index_version}, and this version of "
                f"pykopia knows versions up to {LATEST_INDEX_VERSION}; use a newer one"
            )
        return parsed

    def to_json(self) -> bytes:
        """Return the plaintext of the format block, in the bytes that Kopia writes."""
        return gojson.dumps({"format": self.members()})

    @property
    def effective_max_pack_size(self) -> int:
        """Bytes of contents from which on a pack is written."""
        return self.max_pack_size or DEFAULT_MAX_PACK_SIZE

    @property
    def effective_index_version(self) -> int:
        """Version of the index blobs to write, 1 or 2."""
        return self.index_version or 1

    @property
    def effective_splitter(self) -> str:
        """Name of the splitter for objects."""
        return self.splitter or SPLITTER_WHEN_ABSENT

    @property
    def effective_ecc(self) -> str:
        """Name of the error correction that is in use; empty: none (format 01 §1.5)."""
        return self.ecc if self.ecc_overhead_percent > 0 else ""

    @property
    def compresses_contents(self) -> bool:
        """Whether compression is that of contents, not of objects (format 01 §5.1)."""
        return self.effective_index_version > 1

    @property
    def embeds_format_blob(self) -> bool:
        """Whether each pack begins with a copy of ``kopia.repository`` (format 01 §1.11)."""
        return not self.enable_password_change

    def maintenance_key(self, *, unique_id: bytes, format_key: bytes) -> bytes:
        """Return the key of ``kopia.maintenance`` (format 01 §3.1)."""
        return keys.maintenance_key(self.master_key if self.enable_password_change else format_key, unique_id)

    def cache_key(self, *, unique_id: bytes, format_key: bytes) -> bytes:
        """Return the key that protects local cache files from damage (format 01 §3.1)."""
        return keys.cache_key(self.secret if self.enable_password_change else format_key, unique_id)

    def check_features(self) -> list[str]:
        """Return warnings about features that are missing here.

        Raises:
            RequiredFeatureError: A missing feature is indispensable.
        """
        return check_features(self.required_features)

    def upgraded(self) -> Self:
        """Return the format after an upgrade of version 1 to 2: new index and epochs; others stay as they are."""
        if self.version != 1:
            return self
        return replace(self, version=2, index_version=LATEST_INDEX_VERSION, epoch_parameters=DEFAULT_EPOCH_PARAMETERS)

    def validate(self) -> None:
        """Check the parameters that can be changed, before they are set.

        Raises:
            UsageError: One is out of its range (format 01 §1.5).
        """
        if not MINIMUM_MAX_PACK_SIZE <= self.max_pack_size <= MAXIMUM_MAX_PACK_SIZE:
            raise UsageError(
                f"can't set the pack size to {self.max_pack_size} bytes: it must lie between "
                f"{MINIMUM_MAX_PACK_SIZE} (10 MiB) and {MAXIMUM_MAX_PACK_SIZE} (120 MiB)"
            )
        if not 0 <= self.index_version <= LATEST_INDEX_VERSION:
            raise UsageError(f"can't set the index version to {self.index_version}: versions 1 and 2 are known")
        self.epoch_parameters.validate()


def _unsupported_version(version: int) -> UnsupportedFormatError:
    return UnsupportedFormatError(
        f"can't use a repository of format version {version}: this version of pykopia knows 1, 2 and 3; use a newer one"
    )


__all__ = [
    "DEFAULT_EPOCH_PARAMETERS",
    "DEFAULT_MAX_PACK_SIZE",
    "DEFAULT_SPLITTER",
    "LATEST_INDEX_VERSION",
    "LATEST_VERSION",
    "MAXIMUM_MAX_PACK_SIZE",
    "MINIMUM_MAX_PACK_SIZE",
    "NO_EPOCHS",
    "SPLITTER_WHEN_ABSENT",
    "SUPPORTED_FEATURES",
    "SUPPORTED_VERSIONS",
    "EpochParameters",
    "IfNotUnderstood",
    "RepositoryFormat",
    "RequiredFeature",
    "check_features",
]
