"""Content hashes: the keyed functions that give a content or a blob its name (format 01 §2).

The key of every function is the ``secret`` of the repository. A function is bound to it once, so that the state after
the key block is only copied for each content:

    >>> content_hash = hash_function("BLAKE2B-256-128", bytes(32))
    >>> content_hash(b"hello").hex()
    'ff6463a620770c8a8a56e87511026c7a'
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import TypeAlias

from blake3 import blake3

from pykopia.dataclass import dataclass
from pykopia.errors import UnsupportedFormatError
from pykopia.ids import Buffer

HashFunction: TypeAlias = Callable[[Buffer], bytes]
"""A hash that is bound to its secret: bytes of a content in, its digest out. Safe to call from several threads."""

DEFAULT_HASH = "BLAKE2B-256-128"
"""Kopia's default for new repositories."""

BLAKE3_KEY_SIZE = 32
BLAKE3_KEY_CONTEXT = "kopia blake3 derived key v1"

_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


@dataclass(frozen=True, kw_only=True, slots=True)
class HashAlgorithm:
    """A hash that a repository can name in its format."""

    name: str
    size: int
    """Length of a digest in bytes."""
    minimum_secret: int = 0
    """Bytes."""
    maximum_secret: int | None = None
    """Bytes; None: no limit."""
    bind: Callable[[bytes], HashFunction] = field(repr=False)
    """Binds the function to a secret of a length that is allowed."""

    def keyed(self, secret: bytes) -> HashFunction:
        """Return the function that hashes under ``secret``.

        Raises:
            UnsupportedFormatError: The secret has a length that this hash does not allow (format 01 §2).
        """
        maximum = len(secret) if self.maximum_secret is None else self.maximum_secret
        if not self.minimum_secret <= len(secret) <= maximum:
            raise UnsupportedFormatError(
                f"can't use the hash {self.name} with a secret of {len(secret)} bytes: it takes "
                f"{self.minimum_secret} to {maximum}; the repository format is damaged or was made by another program"
            )
        return self.bind(secret)


def hash_function(name: str, secret: bytes) -> HashFunction:
    """Return the hash that Kopia calls ``name``, bound to ``secret``.

    Raises:
        UnsupportedFormatError: The name is unknown, or the secret has a length that this hash does not allow.
    """
    algorithm = HASHES.get(name)
    if algorithm is None:
        raise UnsupportedFormatError(
            f"can't hash contents with {name!r}: the known hashes are {', '.join(HASHES)}; a newer pykopia may know it"
        )
    return algorithm.keyed(secret)


def hmac_function(digest: str, secret: bytes, size: int | None = None) -> HashFunction:
    """Return HMAC (RFC 2104) over the hashlib function ``digest``, cut to ``size`` bytes.

    The two padded key blocks are hashed once; `hmac.digest` would do it for each message, at twice the time for the
    short ones.
    """
    block_size = hashlib.new(digest).block_size
    key = secret if len(secret) <= block_size else hashlib.new(digest, secret).digest()
    block = key.ljust(block_size, b"\0")
    start_inner = hashlib.new(digest, block.translate(_INNER_PAD)).copy
    start_outer = hashlib.new(digest, block.translate(_OUTER_PAD)).copy

    def whole(data: Buffer) -> bytes:
        inner, outer = start_inner(), start_outer()
        inner.update(data)
        outer.update(inner.digest())
        return outer.digest()

    if size is None:
        return whole
    return lambda data: whole(data)[:size]


def _bind_blake2b(secret: bytes) -> HashFunction:
    start = hashlib.blake2b(key=secret, digest_size=32).copy

    def blake2b_256(data: Buffer) -> bytes:
        state = start()
        state.update(data)
        return state.digest()

    return blake2b_256


def _bind_blake2b_cut(secret: bytes) -> HashFunction:
    start = hashlib.blake2b(key=secret, digest_size=32).copy

    def blake2b_256_128(data: Buffer) -> bytes:
        state = start()
        state.update(data)
        return state.digest()[:16]

    return blake2b_256_128


def _bind_blake2s(size: int) -> Callable[[bytes], HashFunction]:
    def bind(secret: bytes) -> HashFunction:
        start = hashlib.blake2s(key=secret, digest_size=size).copy

        def blake2s(data: Buffer) -> bytes:
            state = start()
            state.update(data)
            return state.digest()

        return blake2s

    return bind


def _bind_blake3(size: int) -> Callable[[bytes], HashFunction]:
    def bind(secret: bytes) -> HashFunction:
        if len(secret) >= BLAKE3_KEY_SIZE:
            key = secret[:BLAKE3_KEY_SIZE]
        else:
            key = blake3(secret, derive_key_context=BLAKE3_KEY_CONTEXT).digest(BLAKE3_KEY_SIZE)
        start = blake3(key=key).copy

        def blake3_keyed(data: Buffer) -> bytes:
            state = start()
            state.update(data)
            return state.digest(size)

        return blake3_keyed

    return bind


def _bind_hmac(digest: str, size: int | None = None) -> Callable[[bytes], HashFunction]:
    return lambda secret: hmac_function(digest, secret, size)


HASHES: Mapping[str, HashAlgorithm] = MappingProxyType(
    {
        algorithm.name: algorithm
        for algorithm in (
            # a cut 32-byte digest, while BLAKE2S-128 is a native 16-byte one (format 01 §2)
            HashAlgorithm(name="BLAKE2B-256-128", size=16, maximum_secret=64, bind=_bind_blake2b_cut),
            HashAlgorithm(name="BLAKE2B-256", size=32, maximum_secret=64, bind=_bind_blake2b),
            HashAlgorithm(name="BLAKE2S-128", size=16, minimum_secret=1, maximum_secret=32, bind=_bind_blake2s(16)),
            HashAlgorithm(name="BLAKE2S-256", size=32, maximum_secret=32, bind=_bind_blake2s(32)),
            HashAlgorithm(name="BLAKE3-256", size=32, bind=_bind_blake3(32)),
            HashAlgorithm(name="BLAKE3-256-128", size=16, bind=_bind_blake3(16)),
            HashAlgorithm(name="HMAC-SHA256", size=32, bind=_bind_hmac("sha256")),
            HashAlgorithm(name="HMAC-SHA256-128", size=16, bind=_bind_hmac("sha256", 16)),
            HashAlgorithm(name="HMAC-SHA224", size=28, bind=_bind_hmac("sha224")),
            HashAlgorithm(name="HMAC-SHA3-224", size=28, bind=_bind_hmac("sha3_224")),
            HashAlgorithm(name="HMAC-SHA3-256", size=32, bind=_bind_hmac("sha3_256")),
        )
    }
)
"""Every hash of the format by its Kopia name."""

__all__ = ["DEFAULT_HASH", "HASHES", "HashAlgorithm", "HashFunction", "hash_function", "hmac_function"]
