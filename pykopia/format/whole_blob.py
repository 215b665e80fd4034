"""Encryption of contents in packs and of whole blobs.

A whole blob (index, session, log) is named by the hash of its plaintext, and its ``iv`` comes from that name
(format 02 §3.1):

    name = prefix || hex(hash(plaintext)) [|| "-" || suffix]
    iv   = the last 32 hex digits before the first "-", decoded

Where error correction is on, it goes around what is encrypted.
"""

from typing import Self

from pykopia.errors import DamagedDataError, DecryptionError, InvalidIDError, UncorrectableError
from pykopia.format.ecc import ReedSolomonCRC32, error_correction
from pykopia.format.encryption import OVERHEAD, Encryptor
from pykopia.format.hashing import HashFunction, hash_function
from pykopia.format.repository_format import RepositoryFormat
from pykopia.ids import BlobID, Buffer

IV_SIZE = 16
_HEX_DIGITS = frozenset("0123456789abcdef")


class Sealer:
    """Seals and opens contents and whole blobs of one repository; safe to use from several threads.

    Attributes:
        hash: The content hash, bound to the secret of the repository.
        encryptor: The content encryption, bound to its master key.
        ecc: The error correction around it; None: none.
        overhead: Bytes that encryption adds; with error correction see ``sealed_length``.
    """

    __slots__ = ("ecc", "encryptor", "hash", "mended")

    overhead = OVERHEAD

    def __init__(self, hash: HashFunction, encryptor: Encryptor, ecc: ReedSolomonCRC32 | None = None) -> None:  # noqa: A002 -- the attribute's name
        self.hash = hash
        self.encryptor = encryptor
        self.ecc = ecc
        self.mended: dict[str, int] = {}
        """Repairs by error correction: IDs of contents and blobs, with the number of damaged shards."""

    @classmethod
    def of(cls, repository_format: RepositoryFormat) -> Self:
        """Return the sealer of a repository.

        Raises:
            UnsupportedFormatError: An algorithm of the format is unknown, or its secret has a length that does not fit.
        """
        return cls(
            hash_function(repository_format.hash, repository_format.secret),
            Encryptor(repository_format.encryption, repository_format.master_key),
            error_correction(repository_format.ecc, repository_format.ecc_overhead_percent),
        )

    def sealed_length(self, length: int) -> int:
        """Return how many bytes the stored form of ``length`` bytes has."""
        if self.ecc is None:
            return length + OVERHEAD
        return self.ecc.encoded_length(length + OVERHEAD)

    def seal_content(self, plaintext: Buffer, iv: bytes) -> bytes:
        """Return the stored form of what has the given ``iv``."""
        stored = self.encryptor.encrypt(plaintext, iv)
        return stored if self.ecc is None else self.ecc.encode(stored)

    def seal_content_into(self, plaintext: Buffer, iv: bytes, out: memoryview) -> int:
        """Write the stored form to the start of ``out`` and return its length, which equals ``sealed_length``.

        Raises:
            ValueError: ``out`` is too short.
        """
        if self.ecc is None:
            return self.encryptor.encrypt_into(plaintext, iv, out)
        return self.ecc.encode_into(self.encryptor.encrypt(plaintext, iv), out)

    def open_content(self, stored: Buffer, iv: bytes, name: str = "") -> bytes:
        """Return the plaintext of a stored form; ``name`` is what ``mended`` calls it, the ``iv`` if there is none.

        Raises:
            DecryptionError: The bytes were altered or belong to another ``iv`` or repository.
            UncorrectableError: There is more damage than error correction can mend.
        """
        if self.ecc is None:
            return self.encryptor.decrypt(stored, iv)
        data = self.ecc.decode(stored, lambda count: self.mended.update({name or iv.hex(): count}))
        return self.encryptor.decrypt(data, iv)

    def seal(self, prefix: str, plaintext: Buffer, suffix: str = "") -> tuple[BlobID, bytes]:
        """Return name and bytes of a whole blob.

        Args:
            prefix: What the name begins with, such as ``n`` or ``xn0_``.
            plaintext: What the blob holds.
            suffix: What follows the hash behind a dash, such as a session ID; empty: nothing.
        """
        digest = self.hash(plaintext)
        name = f"{prefix}{digest.hex()}-{suffix}" if suffix else prefix + digest.hex()
        return BlobID(name), self.seal_content(plaintext, digest[-IV_SIZE:])

    def open(self, blob_id: str, stored: Buffer, *, verify: bool = True) -> bytes:
        """Return the plaintext of a whole blob.

        Args:
            blob_id: Its full name.
            stored: All its bytes.
            verify: Whether the hash in the name is compared with that of the plaintext, which Kopia does not do.

        Raises:
            DamagedDataError: The bytes are not what the name says; DecryptionError and UncorrectableError are kinds of
                it.
            InvalidIDError: The name can't be that of a whole blob.
        """
        iv = blob_iv(blob_id)
        try:
            plaintext = self.open_content(stored, iv, blob_id)
        except DecryptionError as error:
            raise DecryptionError(f"blob {blob_id} is damaged: {error}") from error
        except UncorrectableError as error:
            raise UncorrectableError(f"blob {blob_id} is damaged: {error}") from error
        if verify and not _named_part(blob_id).endswith(self.hash(plaintext).hex()):
            raise DamagedDataError(
                f"blob {blob_id} is damaged: what it holds does not hash to its name, though it decrypts; "
                "a faulty program wrote it, or it was renamed"
            )
        return plaintext


def blob_iv(blob_id: str) -> bytes:
    """Return the ``iv`` that belongs to the name of a whole blob.

    Raises:
        InvalidIDError: The part before the first dash does not end with 32 hex digits.
    """
    digits = _named_part(blob_id)[-2 * IV_SIZE :]
    if len(digits) < 2 * IV_SIZE or not _HEX_DIGITS.issuperset(digits):
        raise InvalidIDError("sealed blob", blob_id, "the part before the first dash must end with 32 hex digits")
    return bytes.fromhex(digits)


def _named_part(blob_id: str) -> str:
    return blob_id.partition("-")[0]


__all__ = ["IV_SIZE", "Sealer", "blob_iv"]
