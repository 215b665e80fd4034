"""The native twin of ``PythonBatches``: many contents in one call, without the interpreter's lock.

One content at a time would pass that lock between threads several times for each content, which costs more than the
hash, the compressor and the cipher of a small file.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pykopia.format.compression import Compressor
from pykopia.format.keys import content_root_key
from pykopia.format.repository_format import RepositoryFormat
from pykopia.format.whole_blob import Sealer
from pykopia.format.zstd import tuning_of
from pykopia.ids import Buffer
from pykopia.sealing.batch import Batches, Packed, PythonBatches

if TYPE_CHECKING:
    from pykopia.sealing import _batch


_HASHES: Final = {
    "BLAKE2B-256-128": ("blake2b", 16),
    "BLAKE2B-256": ("blake2b", 32),
    "BLAKE2S-128": ("blake2s", 16),
    "BLAKE2S-256": ("blake2s", 32),
    "HMAC-SHA256": ("EVP_sha256", 32),
    "HMAC-SHA256-128": ("EVP_sha256", 16),
    "HMAC-SHA224": ("EVP_sha224", 28),
    "HMAC-SHA3-224": ("EVP_sha3_224", 28),
    "HMAC-SHA3-256": ("EVP_sha3_256", 32),
}
"""The hash behind each of Kopia's names, and the bytes of it that are kept."""

_CIPHERS: Final = {
    "AES256-GCM-HMAC-SHA256": "EVP_aes_256_gcm",
    "CHACHA20-POLY1305-HMAC-SHA256": "EVP_chacha20_poly1305",
}


SHORT = 256 << 10
"""Bytes of a single content up to which the native twin hashes and opens it more quickly; for more the definition does."""


def _is_long(lengths: Sequence[int]) -> bool:
    """Return True if these are the lengths of a single content that the definition hashes and opens more quickly."""
    return len(lengths) == 1 and lengths[0] > SHORT


class NativeBatches(PythonBatches):
    """In C, for what C has: contents that are to be packed by something else than zstd go the Python way."""

    def __init__(self, sealer: Sealer, keys: "_batch.Keys") -> None:
        super().__init__(sealer)
        self._keys = keys

    def keys_of(self, contents: list[Buffer], prefix: int, /) -> list[bytes]:
        """See ``Batches.keys_of``."""
        if _is_long([len(data) for data in contents]):
            return super().keys_of(contents, prefix)
        return self._keys.keys_of(contents, prefix)

    def pack(self, contents: list[Buffer], packers: Sequence[Compressor | None], /) -> Packed:
        """See ``Batches.pack``."""
        levels = [0 if packer is None else packer.zstd_level for packer in packers]
        if None in levels:
            return super().pack(contents, packers)
        headers = [0 if packer is None else packer.header_id for packer in packers]
        tunings = [tuning_of(level or 0, len(data)) for level, data in zip(levels, contents, strict=True)]
        return self._keys.pack(contents, levels, headers, tunings)

    def open(
        self,
        stored: Buffer,
        keys: list[bytes],
        offsets: list[int],
        lengths: list[int],
        compressions: list[int],
        originals: list[int],
        check: bool,
        /,
    ) -> list[bytes | None]:
        """See ``Batches.open``."""
        if _is_long(lengths):
            return super().open(stored, keys, offsets, lengths, compressions, originals, check)
        return self._keys.open(stored, keys, offsets, lengths, compressions, originals, check)

    def check(
        self,
        stored: list[Buffer],
        keys: list[bytes],
        offsets: list[int],
        lengths: list[int],
        compressions: list[int],
        originals: list[int],
        /,
    ) -> list[bool]:
        """See ``Batches.check``."""
        return self._keys.check(stored, keys, offsets, lengths, compressions, originals)


def batches_of(sealer: Sealer, parameters: RepositoryFormat) -> Batches:
    """Return what works on many contents of a repository at once: the native twin if it can."""
    kind, length = _HASHES.get(parameters.hash, ("", 0))
    cipher = _CIPHERS.get(parameters.encryption)
    if not kind or not cipher or sealer.ecc is not None:
        return PythonBatches(sealer)
    try:
        from pykopia.sealing import _batch  # noqa: PLC0415 -- it looks for libraries, which takes some milliseconds
    except ImportError:  # no compiler was there
        return PythonBatches(sealer)
    if not _batch.LOADED:
        return PythonBatches(sealer)
    try:
        keys = _batch.Keys(kind, length, parameters.secret, cipher, content_root_key(parameters.master_key))
    except ValueError:  # this libcrypto does not have it
        return PythonBatches(sealer)
    return NativeBatches(sealer, keys)


__all__ = ["NativeBatches", "batches_of"]
