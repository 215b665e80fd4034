"""Contents and the bytes that stand for them in a pack: hash, compress, encrypt, and back.

Facts: format 02 §2.3 (what is encrypted with which IV), format 01 §5.1 (when a compressed form is kept).
"""

from collections.abc import Callable
from functools import cached_property

from pykopia.errors import DamagedContentError, DamagedDataError, UsageError
from pykopia.format.compression import Compressor, decompress, usable_compressor
from pykopia.format.content_id import id_of
from pykopia.format.repository_format import RepositoryFormat
from pykopia.format.whole_blob import Sealer
from pykopia.ids import Buffer
from pykopia.sealing.batch import Batches, Packed, PythonPacked
from pykopia.sealing.native_batch import batches_of

IV_LENGTH = 16
HEADER_LENGTH = 4


class ContentSealer:
    """Turns contents of one repository into pack bytes and back; safe for threads."""

    def __init__(self, parameters: RepositoryFormat) -> None:
        """Take the keys of a repository."""
        self._parameters = parameters
        self.sealer = Sealer.of(parameters)
        self.compresses = parameters.compresses_contents
        self.hash: Callable[[Buffer], bytes] = self.sealer.hash

    @cached_property
    def batches(self) -> Batches:
        """Seals and opens many contents at once; made at the first use."""
        return batches_of(self.sealer, self._parameters)

    def compressor(self, name: str) -> Compressor | None:
        """Return the compressor that contents are packed with, None where ``name`` asks for none or can't be used here.

        A name that is unknown, or of a compressor that can only be read, means none, as it does to Kopia (format 04 §2.2).
        """
        return usable_compressor(name) if self.compresses else None

    def open(self, stored: Buffer, key: bytes, *, compression: int, original_length: int, check: bool = False) -> bytes:
        """Return the content of ``key`` from its bytes in a pack.

        Args:
            stored: all bytes of the content in the pack.
            key: index key of the content.
            compression: compressor header ID that the index gives, 0 for none.
            original_length: bytes of the content as the index gives them.
            check: also hash the content and compare with its ID.

        Raises:
            DamagedContentError: the bytes are not what the index and the ID say.
        """
        return self._open(stored, key, compression, original_length, check=check)[1]

    def reopen(self, stored: Buffer, key: bytes, *, compression: int, original_length: int) -> Packed:
        """Return what a content was sealed from, to be sealed again without being compressed again; its ID is checked.

        Raises:
            DamagedContentError: the bytes are not what the index and the ID say.
        """
        payload = self._open(stored, key, compression, original_length, check=True)[0]
        return PythonPacked(self.sealer, [payload], [compression])

    def _open(
        self, stored: Buffer, key: bytes, compression: int, original_length: int, *, check: bool
    ) -> tuple[bytes, bytes]:
        """Return what was sealed, and the content."""
        try:
            name = "" if self.sealer.ecc is None else id_of(key)
            payload = data = self.sealer.open_content(stored, key[-IV_LENGTH:], name)
            if compression:
                if len(data) < HEADER_LENGTH or int.from_bytes(data[:HEADER_LENGTH], "big") != compression:
                    raise DamagedContentError(
                        f"content {id_of(key)} is damaged: its index entry says compression {compression:#x}, "
                        "its header says another"
                    )
                data = decompress(data, expected_length=original_length)
        except DamagedContentError:
            raise
        except DamagedDataError as error:
            raise DamagedContentError(f"content {id_of(key)} is damaged: {error}") from error
        if len(data) != original_length:
            raise DamagedContentError(
                f"content {id_of(key)} is damaged: it has {len(data)} bytes, its index entry says {original_length}"
            )
        if check and self.hash(data) != key[1:]:
            raise DamagedContentError(f"content {id_of(key)} is damaged: its bytes do not hash to its ID")
        return payload, data


def check_prefix(prefix: str) -> str:
    """Return ``prefix`` if it may stand before a content hash: nothing or one letter ``g`` to ``z`` (format 02 §1)."""
    if prefix == "" or (len(prefix) == 1 and "g" <= prefix <= "z"):
        return prefix
    raise UsageError(f"content prefix {prefix!r} is not valid: it must be empty or one letter from g to z")


__all__ = ["ContentSealer", "check_prefix"]
