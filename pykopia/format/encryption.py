"""Encryption of contents and whole blobs: an AEAD under a key of its own for each content (format 01 §3).

    root   = HKDF-SHA256(ikm = master key, salt = "encryption", info = "", 32 bytes)
    key    = HMAC-SHA256(root, iv)
    stored = nonce(12) || AEAD(key, nonce, plaintext, associated data = iv)      # the tag, 16 bytes, at the end

The ``iv`` comes from the name of what is encrypted, so bytes that were moved to another name don't decrypt.
"""

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from pykopia.errors import DecryptionError, UnsupportedFormatError
from pykopia.format.hashing import hmac_function
from pykopia.format.keys import content_root_key
from pykopia.ids import Buffer

NONCE_SIZE = 12
TAG_SIZE = 16
OVERHEAD = NONCE_SIZE + TAG_SIZE
"""Bytes that encryption adds to a plaintext."""

DEFAULT_ENCRYPTION = "AES256-GCM-HMAC-SHA256"
"""Kopia's default for new repositories."""


class _Cipher(Protocol):
    """The methods that both AEADs of `cryptography` have."""

    def encrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None) -> bytes: ...

    def decrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None) -> bytes: ...

    def encrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer) -> int: ...

    def decrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer) -> int: ...


ENCRYPTIONS: Mapping[str, Callable[[bytes], _Cipher]] = MappingProxyType(
    {DEFAULT_ENCRYPTION: AESGCM, "CHACHA20-POLY1305-HMAC-SHA256": ChaCha20Poly1305}
)
"""The AEAD behind each encryption of the format, by its Kopia name."""

_WRITES_INTO_BUFFERS = hasattr(AESGCM, "encrypt_into")
"""Older releases of `cryptography` return new bytes only; these are copied into the buffer then."""


class Encryptor:
    """Encrypts and decrypts under the master key of a repository; safe to use from several threads.

    Attributes:
        algorithm: Kopia's name of the encryption.
        overhead: Bytes that a stored form is longer than its plaintext.
    """

    __slots__ = ("_cipher", "_content_key", "algorithm")

    overhead = OVERHEAD

    def __init__(self, algorithm: str, master_key: bytes) -> None:
        """Derive the root of all content keys.

        Raises:
            UnsupportedFormatError: The algorithm is unknown.
        """
        cipher = ENCRYPTIONS.get(algorithm)
        if cipher is None:
            raise UnsupportedFormatError(
                f"can't encrypt contents with {algorithm!r}: the known algorithms are {', '.join(ENCRYPTIONS)}; "
                "a newer pykopia may know it"
            )
        self.algorithm = algorithm
        self._cipher = cipher
        self._content_key = hmac_function("sha256", content_root_key(master_key))

    def __repr__(self) -> str:
        return f"Encryptor({self.algorithm!r})"

    def encrypt(self, plaintext: Buffer, iv: bytes, nonce: bytes | None = None) -> bytes:
        """Return the stored form of ``plaintext``, which is `overhead` bytes longer.

        Args:
            plaintext: Any length, none too.
            iv: Bytes that the name of the content or blob stands for.
            nonce: 12 bytes, never to be used twice with one ``iv``: for tests. None: random ones.
        """
        if nonce is None:
            nonce = os.urandom(NONCE_SIZE)
        return nonce + self._cipher(self._content_key(iv)).encrypt(nonce, plaintext, iv)

    def decrypt(self, stored: Buffer, iv: bytes) -> bytes:
        """Return the plaintext of what `encrypt` stored under the same ``iv``.

        Raises:
            DecryptionError: The bytes are too short, were altered, belong to another ``iv`` or to another master key.
        """
        if len(stored) < OVERHEAD:
            raise DecryptionError(_too_short(stored))
        view = memoryview(stored)
        try:
            return self._cipher(self._content_key(iv)).decrypt(view[:NONCE_SIZE], view[NONCE_SIZE:], iv)
        except InvalidTag:
            raise DecryptionError(_not_authentic(stored)) from None

    def encrypt_into(self, plaintext: Buffer, iv: bytes, out: memoryview, nonce: bytes | None = None) -> int:
        """Write the stored form of ``plaintext`` to the start of ``out`` and return its length.

        ``out`` must be writable and must not overlap ``plaintext``.

        Raises:
            ValueError: ``out`` is shorter than the plaintext and the overhead together.
        """
        length = len(plaintext) + OVERHEAD
        if len(out) < length:
            raise ValueError(f"{length} bytes of ciphertext don't fit into a buffer of {len(out)}")
        if nonce is None:
            nonce = os.urandom(NONCE_SIZE)
        out[:NONCE_SIZE] = nonce
        cipher = self._cipher(self._content_key(iv))
        if _WRITES_INTO_BUFFERS:
            cipher.encrypt_into(nonce, plaintext, iv, out[NONCE_SIZE:length])
        else:
            out[NONCE_SIZE:length] = cipher.encrypt(nonce, plaintext, iv)
        return length

    def decrypt_into(self, stored: Buffer, iv: bytes, out: memoryview) -> int:
        """Write the plaintext of ``stored`` to the start of ``out`` and return its length.

        ``out`` must be writable and must not overlap ``stored``; what it holds after an error is undefined.

        Raises:
            DecryptionError: As `decrypt`.
            ValueError: ``out`` is shorter than the plaintext.
        """
        length = len(stored) - OVERHEAD
        if length < 0:
            raise DecryptionError(_too_short(stored))
        if len(out) < length:
            raise ValueError(f"{length} bytes of plaintext don't fit into a buffer of {len(out)}")
        view = memoryview(stored)
        cipher = self._cipher(self._content_key(iv))
        try:
            if _WRITES_INTO_BUFFERS:
                cipher.decrypt_into(view[:NONCE_SIZE], view[NONCE_SIZE:], iv, out[:length])
            else:
                out[:length] = cipher.decrypt(view[:NONCE_SIZE], view[NONCE_SIZE:], iv)
        except InvalidTag:
            raise DecryptionError(_not_authentic(stored)) from None
        return length


def _too_short(stored: Buffer) -> str:
    return f"can't decrypt {len(stored)} bytes: encryption alone takes {OVERHEAD}, so the stored data is cut short"


def _not_authentic(stored: Buffer) -> str:
    return (
        f"can't decrypt {len(stored)} bytes: authentication failed, so they were altered in storage, "
        "stand under a wrong name, or belong to another repository"
    )


__all__ = ["DEFAULT_ENCRYPTION", "ENCRYPTIONS", "NONCE_SIZE", "OVERHEAD", "TAG_SIZE", "Encryptor"]
