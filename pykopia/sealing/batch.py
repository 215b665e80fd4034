"""Many contents at once: hashed, compressed, sealed and opened by one call for all of them.

This module has the contract and the readable definition in Python; ``native_batch`` has the fast twin.
"""

import mmap
from collections.abc import Sequence
from typing import Protocol, TypeAlias

from pykopia.errors import DamagedDataError
from pykopia.format.compression import HEADER_LENGTH, Compressor, decompress
from pykopia.format.content_id import IV_LENGTH, id_of
from pykopia.format.whole_blob import Sealer
from pykopia.ids import Buffer

WritableBuffer: TypeAlias = bytearray | mmap.mmap


class Packed(Protocol):
    """Contents of one batch as they will be encrypted; used by one thread, once."""

    lengths: list[int]
    """Bytes of each before encryption, header of the compressor included."""
    compressions: list[int]
    """Header ID of the compressor of each, 0 where it was not made smaller."""

    def seal_into(
        self, keys: list[bytes], buffers: Sequence[WritableBuffer], offsets: list[int], nonces: bytes, /
    ) -> None:
        """Encrypt each content into its buffer at its offset.

        Args:
            keys: index key of each content.
            buffers: where each goes.
            offsets: in its buffer; a negative one for a content that is not to be sealed.
            nonces: 12 random bytes for each.
        """


class Batches(Protocol):
    """Works on many contents of one repository at once; safe for threads."""

    def keys_of(self, contents: list[Buffer], prefix: int, /) -> list[bytes]:
        """Return the index key of each content: the prefix letter or 0, and its hash."""

    def pack(self, contents: list[Buffer], packers: Sequence[Compressor | None], /) -> Packed:
        """Compress each content if that makes it smaller."""

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
        """Return contents that lie in ``stored``; None for each that is to be read by itself, to say what is wrong.

        Args:
            stored: bytes of a pack.
            keys: index key of each content.
            offsets: of each in ``stored``.
            lengths: bytes of each in ``stored``.
            compressions: compressor header ID of each, 0 for none.
            originals: bytes of each when it is opened.
            check: also hash each and compare with its key.
        """

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
        """Return for each content whether it can be opened and hashes to its key; none is kept.

        Args:
            stored: for each the bytes in which it lies, those of a pack.
            keys: and so on, see ``open``.
            offsets: of each in its bytes.
            lengths: of each.
            compressions: of each.
            originals: of each.
        """


class PythonPacked:
    """Payloads that are compressed already, where that was worth it."""

    def __init__(self, sealer: Sealer, payloads: list[Buffer], compressions: list[int]) -> None:
        self._sealer = sealer
        self._payloads = payloads
        self.compressions = compressions
        self.lengths = [len(payload) for payload in payloads]

    def seal_into(
        self, keys: list[bytes], buffers: Sequence[WritableBuffer], offsets: list[int], nonces: bytes, /
    ) -> None:
        """See ``Packed.seal_into``."""
        del nonces  # each encryption draws its own
        for payload, key, buffer, offset in zip(self._payloads, keys, buffers, offsets, strict=True):
            if offset < 0:
                continue
            end = offset + self._sealer.sealed_length(len(payload))
            with memoryview(buffer) as whole, whole[offset:end] as place:
                self._sealer.seal_content_into(payload, key[-IV_LENGTH:], place)


class PythonBatches:
    """The readable definition; serves any format, with error correction too."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def keys_of(self, contents: list[Buffer], prefix: int, /) -> list[bytes]:
        """See ``Batches.keys_of``."""
        return [bytes((prefix,)) + self._sealer.hash(data) for data in contents]

    def pack(self, contents: list[Buffer], packers: Sequence[Compressor | None], /) -> Packed:
        """See ``Batches.pack``."""
        payloads, compressions = list[Buffer](), list[int]()
        for data, packer in zip(contents, packers, strict=True):
            packed = data if packer is None else packer.compress(data)
            worth = packer is not None and len(packed) < len(data)
            payloads.append(packed if worth else data)
            compressions.append(packer.header_id if packer is not None and worth else 0)
        return PythonPacked(self._sealer, payloads, compressions)

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
        view = memoryview(stored)
        return [
            self._open_one(view[offset : offset + length], key, compression, original, check=check)
            for offset, length, key, compression, original in zip(
                offsets, lengths, keys, compressions, originals, strict=True
            )
        ]

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
        rows = zip(stored, offsets, lengths, keys, compressions, originals, strict=True)
        return [
            self._open_one(memoryview(each)[offset : offset + length], key, compression, original, check=True)
            is not None
            for each, offset, length, key, compression, original in rows
        ]

    def _open_one(
        self, stored: memoryview, key: bytes, compression: int, original: int, *, check: bool
    ) -> bytes | None:
        try:
            name = "" if self._sealer.ecc is None else id_of(key)
            data = self._sealer.open_content(stored, key[-IV_LENGTH:], name)
            if compression:
                if int.from_bytes(data[:HEADER_LENGTH], "big") != compression:
                    return None
                data = decompress(data, expected_length=original)
        except DamagedDataError:
            return None
        return None if len(data) != original or (check and self._sealer.hash(data) != key[1:]) else data


__all__ = ["Batches", "Packed", "PythonBatches", "PythonPacked", "WritableBuffer"]
