"""Keys: from the password to the format key, from the keys of the format to those of each use (format 01 §1.3, §3.1).

A trap: the root of the content keys takes its purpose as the *salt* of HKDF; all others take the unique ID of the
repository as salt and the purpose as ``info``.
"""

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from pykopia.errors import DamagedFormatBlobError, UnsupportedFormatError

FORMAT_KEY_SIZE = 32
MINIMUM_SALT_SIZE = 16
"""Bytes; a shorter salt is refused by Kopia as well."""

DEFAULT_KEY_DERIVATION = "scrypt-65536-8-1"
"""Kopia's default for new repositories."""

_SCRYPT_N = 65536
_SCRYPT_R = 8
_SCRYPT_MEMORY = 128 * 1024 * 1024  # N * r * 128 bytes are 64 MiB, and OpenSSL needs a little more than that


def _openssl_scrypt(password: bytes, salt: bytes, length: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=_SCRYPT_N, r=_SCRYPT_R, p=1, maxmem=_SCRYPT_MEMORY, dklen=length)


try:
    from pykopia.format._scrypt import romix
except ImportError:  # no compiler at installation
    _scrypt = _openssl_scrypt
else:

    def _scrypt(password: bytes, salt: bytes, length: int) -> bytes:
        block = hashlib.pbkdf2_hmac("sha256", password, salt, 1, 128 * _SCRYPT_R)  # RFC 7914 §6
        return hashlib.pbkdf2_hmac("sha256", password, romix(block, _SCRYPT_N, _SCRYPT_R), 1, length)


def _pbkdf2(password: bytes, salt: bytes, length: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password, salt, 600_000, length)


KEY_DERIVATIONS: Mapping[str, Callable[[bytes, bytes, int], bytes]] = MappingProxyType(
    {DEFAULT_KEY_DERIVATION: _scrypt, "pbkdf2-sha256-600000": _pbkdf2}
)
"""The function (password, salt, length) behind each password key derivation, by its Kopia name."""


def derive_format_key(
    password: str | bytes, *, algorithm: str = DEFAULT_KEY_DERIVATION, salt: bytes, length: int = FORMAT_KEY_SIZE
) -> bytes:
    """Return the key that a password stands for; slow by intention (some 0.2 s, scrypt takes 64 MiB).

    Args:
        password: As given: no white space is stripped, no Unicode form is changed (format 01 §1.3).
        algorithm: A name in `KEY_DERIVATIONS`, as ``keyAlgo`` of ``kopia.repository`` has it.
        salt: The unique ID of the repository, at least 16 bytes.
        length: Bytes of key to derive.

    Raises:
        UnsupportedFormatError: The algorithm is unknown.
        DamagedFormatBlobError: The salt is too short.
    """
    derive = KEY_DERIVATIONS.get(algorithm)
    if derive is None:
        raise UnsupportedFormatError(
            f"can't derive a key with {algorithm!r}: the known key derivations are {', '.join(KEY_DERIVATIONS)}; "
            "a newer pykopia may know it"
        )
    if len(salt) < MINIMUM_SALT_SIZE:
        raise DamagedFormatBlobError(
            f"can't derive a key with a salt of {len(salt)} bytes: the unique ID of a repository has at least "
            f"{MINIMUM_SALT_SIZE}; kopia.repository is damaged"
        )
    return derive(password.encode("utf-8", "surrogateescape") if isinstance(password, str) else password, salt, length)


def hkdf(key: bytes, *, salt: bytes, info: bytes, length: int = 32) -> bytes:
    """Return ``length`` bytes derived from ``key`` by HKDF-SHA256 (RFC 5869, extract and expand)."""
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 -- a key from a password does without
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(key)


def content_root_key(master_key: bytes) -> bytes:
    """Return the key from which every content key is made (format 01 §3); it may come from an empty master key."""
    return hkdf(master_key, salt=b"encryption", info=b"")


def maintenance_key(key: bytes, unique_id: bytes) -> bytes:
    """Return the key of ``kopia.maintenance`` (format 01 §7.4).

    Args:
        key: The master key; where ``enablePasswordChange`` is false, the format key.
        unique_id: Of the repository.

    Raises:
        UnsupportedFormatError: The key is empty.
    """
    return hkdf(_not_empty(key, "the maintenance key"), salt=unique_id, info=b"maintenance schedule")


def cache_key(key: bytes, unique_id: bytes) -> bytes:
    """Return the key, 16 bytes, that protects local cache files from damage (format 01 §7.3).

    Args:
        key: The *secret* of the hash; where ``enablePasswordChange`` is false, the format key.
        unique_id: Of the repository.

    Raises:
        UnsupportedFormatError: The key is empty.
    """
    return hkdf(_not_empty(key, "the cache key"), salt=unique_id, info=b"local-cache-integrity", length=16)


def _not_empty(key: bytes, use: str) -> bytes:
    if not key:
        raise UnsupportedFormatError(f"can't derive {use} from an empty key; Kopia refuses such a repository too")
    return key


__all__ = [
    "DEFAULT_KEY_DERIVATION",
    "FORMAT_KEY_SIZE",
    "KEY_DERIVATIONS",
    "MINIMUM_SALT_SIZE",
    "cache_key",
    "content_root_key",
    "derive_format_key",
    "hkdf",
    "maintenance_key",
]
