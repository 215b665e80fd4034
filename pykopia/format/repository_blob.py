"""``kopia.repository`` and ``kopia.blobcfg``: the blobs that a repository is opened by (format 01 §1.1 - §1.4, §1.10).

Both are encrypted under the format key, which comes from the password:

    key    = HKDF-SHA256(format key, salt = unique ID, info = "AES", 32 bytes)
    aad    = HKDF-SHA256(format key, salt = unique ID, info = "CHECKSUM", 32 bytes)
    stored = nonce(12) || AES-256-GCM(key, nonce, plaintext, aad)                   # the tag, 16 bytes, at the end
"""

import os
from dataclasses import field, replace
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pykopia.dataclass import dataclass
from pykopia.errors import (
    DamagedDataError,
    DamagedFormatBlobError,
    DecryptionError,
    InvalidPasswordError,
    UnsupportedFormatError,
    UsageError,
)
from pykopia.format import gojson
from pykopia.format.blob_names import BLOBCFG_ID, EPOCH_PREFIX, FORMAT_BLOB_ID, INDEX_PREFIX, PACK_PREFIXES
from pykopia.format.json_object import BASE64, INTEGER, TEXT, JSONObject, member
from pykopia.format.keys import DEFAULT_KEY_DERIVATION, derive_format_key, hkdf
from pykopia.format.replica import embed_replica, find_replica
from pykopia.format.repository_format import EpochParameters, RepositoryFormat, RequiredFeature, check_features
from pykopia.format.upgrade_lock import BACKUP_BLOB_PREFIX, UpgradeLock
from pykopia.ids import BlobID, Buffer

POISON_INDEX_BLOB_ID: Final = BlobID(
    "n00000000000000000000000000000000-repository_unreadable_by_this_kopia_version_upgrade_required"
)
"""An index blob that no program can read: it keeps those away that know nothing of epochs. Readers skip it."""
POISON_INDEX_BLOB: Final = b"The format of this repository has been upgraded and cannot be read by old clients"

FORMAT_ENCRYPTION: Final = "AES256_GCM"
UNIQUE_ID_SIZE: Final = 32
LOCKED_BLOB_PREFIXES: Final = (INDEX_PREFIX, EPOCH_PREFIX, *PACK_PREFIXES, FORMAT_BLOB_ID, BLOBCFG_ID)
"""Prefixes of the IDs of blobs under object lock (format 01 §1.10)."""
RETENTION_MODES: Final = ("COMPLIANCE", "GOVERNANCE")
MINIMUM_RETENTION_NS: Final = 24 * 3600 * 1_000_000_000

_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16
_ADVICE: Final = "restore it from a copy, or from a pack with `pykopia repository repair`"


def seal_envelope(plaintext: bytes, *, format_key: bytes, unique_id: bytes, nonce: bytes | None = None) -> bytes:
    """Return ``plaintext`` encrypted under the format key.

    Args:
        plaintext: Any bytes.
        format_key: As the password gives it.
        unique_id: Of the repository.
        nonce: 12 bytes that are never used twice: for tests. None: random ones.
    """
    nonce = os.urandom(_NONCE_SIZE) if nonce is None else nonce
    cipher, aad = _envelope_cipher(format_key, unique_id)
    return nonce + cipher.encrypt(nonce, plaintext, aad)


def open_envelope(stored: Buffer, *, format_key: bytes, unique_id: bytes) -> bytes:
    """Return what ``seal_envelope`` encrypted.

    Raises:
        DecryptionError: The key is wrong, or the bytes were altered.
    """
    view = memoryview(stored)
    if len(view) < _NONCE_SIZE + _TAG_SIZE:
        raise DecryptionError(f"can't decrypt {len(view)} bytes under the format key: they are cut short")
    cipher, aad = _envelope_cipher(format_key, unique_id)
    try:
        return cipher.decrypt(view[:_NONCE_SIZE], view[_NONCE_SIZE:], aad)
    except InvalidTag:
        raise DecryptionError(
            f"can't decrypt {len(view)} bytes under the format key: authentication failed, so the key is wrong or they "
            "were altered"
        ) from None


def _envelope_cipher(format_key: bytes, unique_id: bytes) -> tuple[AESGCM, bytes]:
    key = hkdf(format_key, salt=unique_id, info=b"AES")
    return AESGCM(key), hkdf(format_key, salt=unique_id, info=b"CHECKSUM")


@dataclass(frozen=True, kw_only=True, slots=True)
class FormatBlob(JSONObject):
    """``kopia.repository``: how the password becomes a key, and the format encrypted under it."""

    tool: str = field(default="", metadata=member("tool", TEXT, always=True))
    """Address of the program that created the repository."""
    build_version: str = field(default="", metadata=member("buildVersion", TEXT, always=True))
    build_info: str = field(default="", metadata=member("buildInfo", TEXT, always=True))
    unique_id: bytes = field(default=b"", metadata=member("uniqueID", BASE64, always=True))
    """32 random bytes that never change: salt of the password and of most keys."""
    key_derivation: str = field(default="", metadata=member("keyAlgo", TEXT, always=True))
    """A name in ``keys.KEY_DERIVATIONS``."""
    encryption: str = field(default="", metadata=member("encryption", TEXT, always=True))
    """Always AES256_GCM."""
    encrypted_format: bytes = field(default=b"", repr=False, metadata=member("encryptedBlockFormat", BASE64))
    """The repository format, encrypted."""

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Return the blob that ``kopia.repository`` holds; nothing is decrypted.

        Raises:
            DamagedFormatBlobError: It is not the JSON that it must be.
        """
        try:
            return cls.parse(data)
        except DamagedDataError as error:
            raise DamagedFormatBlobError(f"can't read kopia.repository: {error}; {_ADVICE}") from error

    def to_bytes(self) -> bytes:
        """Return the bytes of ``kopia.repository``, as Kopia writes them."""
        return gojson.dumps(self.members(), indent=2) + b"\n"

    @classmethod
    def encrypt(
        cls,
        repository_format: RepositoryFormat,
        *,
        format_key: bytes,
        unique_id: bytes,
        key_derivation: str = DEFAULT_KEY_DERIVATION,
        tool: str = "",
        build_version: str = "",
        build_info: str = "",
    ) -> Self:
        """Return the blob of a new repository.

        Args:
            repository_format: What is encrypted.
            format_key: Derived from the password with ``unique_id`` as salt.
            unique_id: 32 random bytes.
            key_derivation: How ``format_key`` was derived.
            tool: Address of the creating program.
            build_version: Its version.
            build_info: What else is known of it.
        """
        return cls(
            tool=tool,
            build_version=build_version,
            build_info=build_info,
            unique_id=unique_id,
            key_derivation=key_derivation,
            encryption=FORMAT_ENCRYPTION,
        ).with_format(repository_format, format_key=format_key)

    def with_format(self, repository_format: RepositoryFormat, *, format_key: bytes) -> Self:
        """Return this blob with another format, or with the same under the key of another password."""
        sealed = seal_envelope(repository_format.to_json(), format_key=format_key, unique_id=self.unique_id)
        return replace(self, encrypted_format=sealed)

    def derive_key(self, password: str | bytes) -> bytes:
        """Return the format key that a password stands for in this repository; slow by intention.

        Raises:
            UnsupportedFormatError: The key derivation is unknown.
            DamagedFormatBlobError: The unique ID is too short.
        """
        return derive_format_key(password, algorithm=self.key_derivation, salt=self.unique_id)

    def decrypt(self, format_key: bytes) -> RepositoryFormat:
        """Return the repository format.

        Required features and the upgrade lock are not looked at.

        Raises:
            InvalidPasswordError: The key does not open it; damage to the blob gives the same error.
            UnsupportedFormatError: It is encrypted in an unknown way, or of an unknown version.
            DamagedFormatBlobError: What was decrypted is not a format.
        """
        if self.encryption != FORMAT_ENCRYPTION:
            raise UnsupportedFormatError(
                f"can't open kopia.repository: it is encrypted with {self.encryption!r}, and only "
                f"{FORMAT_ENCRYPTION} is known; a newer pykopia may know it"
            )
        if len(self.encrypted_format) < _NONCE_SIZE + _TAG_SIZE:
            raise DamagedFormatBlobError(
                f"can't open kopia.repository: its encrypted part has {len(self.encrypted_format)} bytes only; "
                f"{_ADVICE}"
            )
        try:
            plaintext = open_envelope(self.encrypted_format, format_key=format_key, unique_id=self.unique_id)
        except DecryptionError:
            raise InvalidPasswordError(
                "can't open the repository: the password is wrong (or kopia.repository is damaged); "
                "check the password, with its case and blanks"
            ) from None
        return RepositoryFormat.from_json(plaintext)


@dataclass(frozen=True, kw_only=True, slots=True)
class BlobConfiguration(JSONObject):
    """``kopia.blobcfg``: object lock for new blobs. Without the blob there is none."""

    retention_mode: str = field(default="", metadata=member("retentionMode", TEXT))
    """COMPLIANCE or GOVERNANCE; empty: no object lock."""
    retention_period_ns: int = field(default=0, metadata=member("retentionPeriod", INTEGER))
    """Nanoseconds that a blob stays locked."""

    @property
    def retains(self) -> bool:
        """Whether blobs are put under object lock."""
        return bool(self.retention_mode and self.retention_period_ns)

    def covers(self, blob_id: str) -> bool:
        """Return True if a blob with this ID is put under object lock."""
        return self.retains and blob_id.startswith(LOCKED_BLOB_PREFIXES)

    def validate(self) -> None:
        """Check a configuration before it is set.

        Raises:
            UsageError: One of mode and period is missing, the mode is unknown or the period is too short.
        """
        if bool(self.retention_mode) != bool(self.retention_period_ns):
            raise UsageError("can't set object lock: it needs both, a retention mode and a retention period")
        if self.retention_mode and self.retention_mode not in RETENTION_MODES:
            raise UsageError(
                f"can't set object lock: {self.retention_mode!r} is no retention mode; "
                f"use {' or '.join(RETENTION_MODES)}"
            )
        if self.retention_period_ns and self.retention_period_ns < MINIMUM_RETENTION_NS:
            raise UsageError("can't set object lock: the retention period must be 24 hours or more")

    def encrypt(self, *, format_key: bytes, unique_id: bytes) -> bytes:
        """Return the bytes of ``kopia.blobcfg``."""
        return seal_envelope(gojson.dumps(self.members()), format_key=format_key, unique_id=unique_id)

    @classmethod
    def decrypt(cls, stored: Buffer, *, format_key: bytes, unique_id: bytes) -> Self:
        """Return what ``kopia.blobcfg`` holds; the key is that which opens ``kopia.repository``.

        Raises:
            DamagedFormatBlobError: The bytes were altered, or are under the key of another password.
        """
        try:
            return cls.parse(open_envelope(stored, format_key=format_key, unique_id=unique_id))
        except DamagedDataError as error:
            raise DamagedFormatBlobError(
                f"can't read kopia.blobcfg: {error}; restore it from a copy, or if object lock is not in use, delete it"
            ) from error


__all__ = [
    "BACKUP_BLOB_PREFIX",
    "FORMAT_ENCRYPTION",
    "LOCKED_BLOB_PREFIXES",
    "MINIMUM_RETENTION_NS",
    "POISON_INDEX_BLOB",
    "POISON_INDEX_BLOB_ID",
    "RETENTION_MODES",
    "UNIQUE_ID_SIZE",
    "BlobConfiguration",
    "EpochParameters",
    "FormatBlob",
    "RepositoryFormat",
    "RequiredFeature",
    "UpgradeLock",
    "check_features",
    "embed_replica",
    "find_replica",
    "open_envelope",
    "seal_envelope",
]
