"""Kopia's names of the algorithms, without the libraries behind them: for help texts, flags and messages.

A test holds them equal to the registries of ``pykopia.format`` and ``pykopia.chunking``.
"""

COMPRESSOR_NAMES = (
    "deflate-best-compression",
    "deflate-best-speed",
    "deflate-default",
    "gzip",
    "gzip-best-compression",
    "gzip-best-speed",
    "lz4",
    "pgzip",
    "pgzip-best-compression",
    "pgzip-best-speed",
    "s2-better",
    "s2-default",
    "s2-parallel-4",
    "s2-parallel-8",
    "zstd",
    "zstd-best-compression",
    "zstd-better-compression",
    "zstd-fastest",
)
"""Keys of the registry in ``pykopia.format.compression``."""

ECC_NAMES = ("REED-SOLOMON-CRC32",)
"""Keys of the registry in ``pykopia.format.ecc``."""

ENCRYPTION_NAMES = (
    "AES256-GCM-HMAC-SHA256",
    "CHACHA20-POLY1305-HMAC-SHA256",
)
"""Keys of the registry in ``pykopia.format.encryption``."""

HASH_NAMES = (
    "BLAKE2B-256",
    "BLAKE2B-256-128",
    "BLAKE2S-128",
    "BLAKE2S-256",
    "BLAKE3-256",
    "BLAKE3-256-128",
    "HMAC-SHA224",
    "HMAC-SHA256",
    "HMAC-SHA256-128",
    "HMAC-SHA3-224",
    "HMAC-SHA3-256",
)
"""Keys of the registry in ``pykopia.format.hashing``."""

KEY_DERIVATION_NAMES = (
    "pbkdf2-sha256-600000",
    "scrypt-65536-8-1",
)
"""Keys of the registry in ``pykopia.format.keys``."""

SPLITTER_NAMES = (
    "DYNAMIC",
    "DYNAMIC-128K-BUZHASH",
    "DYNAMIC-128K-RABINKARP",
    "DYNAMIC-1M-BUZHASH",
    "DYNAMIC-1M-RABINKARP",
    "DYNAMIC-256K-BUZHASH",
    "DYNAMIC-256K-RABINKARP",
    "DYNAMIC-2M-BUZHASH",
    "DYNAMIC-2M-RABINKARP",
    "DYNAMIC-4M-BUZHASH",
    "DYNAMIC-4M-RABINKARP",
    "DYNAMIC-512K-BUZHASH",
    "DYNAMIC-512K-RABINKARP",
    "DYNAMIC-8M-BUZHASH",
    "DYNAMIC-8M-RABINKARP",
    "FIXED",
    "FIXED-128K",
    "FIXED-1M",
    "FIXED-256K",
    "FIXED-2M",
    "FIXED-4M",
    "FIXED-512K",
    "FIXED-8M",
)
"""Keys of the registry in ``pykopia.chunking.splitters``."""

__all__ = [
    "COMPRESSOR_NAMES",
    "ECC_NAMES",
    "ENCRYPTION_NAMES",
    "HASH_NAMES",
    "KEY_DERIVATION_NAMES",
    "SPLITTER_NAMES",
]
