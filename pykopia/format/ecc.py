"""Error correction around what is encrypted: ``REED-SOLOMON-CRC32`` (format 01 §4).

Data is cut into shards, parity shards are computed, and each shard stands behind a checksum that tells whether it is
good. Stored are first the parity shards of all blocks, then the data shards, so that undamaged data is read by checking
and copying alone.
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple, Self

from pykopia.dataclass import dataclass
from pykopia.errors import UncorrectableError, UnsupportedFormatError
from pykopia.format.reedsolomon import (
    CRC_SIZE,
    PREFIX_SIZE,
    encode,
    interpolation_matrix,
    multiply,
    parity_matrix,
    strip,
)
from pykopia.ids import Buffer

DEFAULT_ECC: Final = "REED-SOLOMON-CRC32"
ECC_ALGORITHMS: Final = (DEFAULT_ECC,)

_MOST_BYTES: Final = 0xFFFFFFFF
_SMALL_DATA_SHARDS: Final = 6
_SMALL_PARITY_SHARDS: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class ECCParameters:
    """Sizes and numbers of shards for an overhead in percent (format 01 §4.1)."""

    data_shards: int
    """Data shards of a block of ordinary size."""
    parity_shards: int
    """Parity shards of a block of ordinary size: the number of shards that may be lost."""
    shard_size: int
    """Bytes of a shard where there are several blocks; the most that a shard has."""

    @classmethod
    def for_overhead(cls, percent: int) -> Self:
        """Return the parameters for an overhead in percent, 1 or more."""
        size = next((size for most, size in ((1, 1024), (2, 512), (3, 256), (6, 128)) if percent <= most), 64)
        free = max(percent - CRC_SIZE * 100 / size, 0.01)  # percent that the checksums leave for parity
        parity = min(max(math.floor(128 * free / 100), 1), 128)
        if parity > 1:
            return cls(data_shards=128, parity_shards=parity, shard_size=size)
        return cls(data_shards=min(max(math.floor(2 * 100 / free), 128), 254), parity_shards=2, shard_size=size)

    @property
    def small_input(self) -> int:
        """Bytes, with the length in front, up to which data goes into 6 and 2 shards."""
        return 8 * (self.data_shards + self.parity_shards)

    @property
    def small_output(self) -> int:
        """Bytes up to which stored data is in 6 and 2 shards."""
        return 8 * (CRC_SIZE + -(-self.small_input // _SMALL_DATA_SHARDS))

    @property
    def one_block_input(self) -> int:
        """Bytes, with the length in front, up to which data goes into one block."""
        return self.data_shards * self.shard_size

    @property
    def one_block_output(self) -> int:
        """Bytes up to which stored data is in one block."""
        return (self.data_shards + self.parity_shards) * (CRC_SIZE + self.shard_size)


class _Layout(NamedTuple):
    """Layout of some data in shards."""

    blocks: int
    data_shards: int
    parity_shards: int
    shard_size: int
    padded: bool
    """Whether the zeros behind the data are stored."""

    @property
    def parity_length(self) -> int:
        return self.blocks * self.parity_shards * (CRC_SIZE + self.shard_size)

    def stored_length(self, real: int) -> int:
        if self.padded:
            return self.parity_length + self.blocks * self.data_shards * (CRC_SIZE + self.shard_size)
        return self.parity_length + -(-real // self.shard_size) * CRC_SIZE + real


class ReedSolomonCRC32:
    """Protects data against damage; safe to use from several threads.

    Attributes:
        parameters: Numbers and sizes of the shards.
    """

    __slots__ = ("parameters",)

    def __init__(self, overhead_percent: int) -> None:
        """Take the overhead of large data: 1 to 100 percent; small data costs more."""
        self.parameters = ECCParameters.for_overhead(min(max(overhead_percent, 1), 100))

    def encoded_length(self, length: int) -> int:
        """Return how many bytes the protected form of ``length`` bytes has."""
        real = PREFIX_SIZE + length
        return self._layout_of_data(real).stored_length(real)

    def encode(self, data: Buffer) -> bytes:
        """Return the protected form of ``data``.

        Raises:
            ValueError: The data has 4 GiB or more.
        """
        out = bytearray(self.encoded_length(len(data)))
        self.encode_into(data, memoryview(out))
        return bytes(out)

    def encode_into(self, data: Buffer, out: memoryview) -> int:
        """Write the protected form of ``data`` to the start of ``out`` and return its length.

        Raises:
            ValueError: ``out`` is too short, or the data has 4 GiB or more.
        """
        if len(data) > _MOST_BYTES:
            raise ValueError(f"{len(data)} bytes are more than error correction can protect")
        real = PREFIX_SIZE + len(data)
        layout = self._layout_of_data(real)
        length = layout.stored_length(real)
        if len(out) < length:
            raise ValueError(f"{length} protected bytes don't fit into a buffer of {len(out)}")
        blocks, columns, rows, size, padded = layout
        encode(data, blocks, columns, rows, size, padded, parity_matrix(columns, rows), out[:length])
        return length

    def decode(self, stored: Buffer, on_mended: Callable[[int], None] | None = None) -> memoryview:
        """Return the data of a protected form, corrected where it is damaged.

        Args:
            stored: The protected form.
            on_mended: Told how many shards of the data were damaged, when any was.

        Raises:
            UncorrectableError: More shards of a block are damaged than there are parity shards, or the form is not one
                that ``encode`` gives.
        """
        view = memoryview(stored)
        layout = self._layout_of_stored(len(view))
        shards = view[layout.parity_length :]
        count = -(-len(shards) // (CRC_SIZE + layout.shard_size))
        data = bytearray(count * layout.shard_size)
        wrong = strip(shards, layout.shard_size, data)
        if wrong:
            _mend(data, wrong, view[: layout.parity_length], layout)
            if on_mended is not None:
                on_mended(len(wrong))
        length = int.from_bytes(data[:PREFIX_SIZE], "big")
        if len(data) < PREFIX_SIZE + length:
            raise UncorrectableError(
                f"can't read {len(view)} bytes with error correction: they tell of {length} bytes of data, and hold at "
                f"most {max(len(data) - PREFIX_SIZE, 0)}; they were cut short or are no protected data"
            )
        return memoryview(data)[PREFIX_SIZE : PREFIX_SIZE + length]

    def _layout_of_data(self, real: int) -> _Layout:
        """Return the layout of data with its length in front (format 01 §4.2)."""
        sizes = self.parameters
        if real <= sizes.small_input:
            return _Layout(1, _SMALL_DATA_SHARDS, _SMALL_PARITY_SHARDS, -(-real // _SMALL_DATA_SHARDS), True)  # noqa: FBT003
        data, parity = sizes.data_shards, sizes.parity_shards
        if real <= sizes.one_block_input:
            return _Layout(1, data, parity, -(-real // data), True)  # noqa: FBT003
        return _Layout(-(-real // sizes.one_block_input), data, parity, sizes.shard_size, False)  # noqa: FBT003

    def _layout_of_stored(self, length: int) -> _Layout:
        """Return the layout of stored data (format 01 §4.4)."""
        sizes = self.parameters
        if length <= sizes.small_output:
            data, parity = _SMALL_DATA_SHARDS, _SMALL_PARITY_SHARDS
        else:
            data, parity = sizes.data_shards, sizes.parity_shards
            if length > sizes.one_block_output:
                return _Layout(-(-length // sizes.one_block_output), data, parity, sizes.shard_size, False)  # noqa: FBT003
        size = max(-(-length // (data + parity)), CRC_SIZE + 1) - CRC_SIZE
        return _Layout(1, data, parity, size, True)  # noqa: FBT003


def _mend(data: bytearray, wrong: list[int], stored_parity: memoryview, layout: _Layout) -> None:
    """Compute the shards of ``data`` anew whose numbers are in ``wrong``."""
    size, columns = layout.shard_size, layout.data_shards
    stored_parity = memoryview(bytes(stored_parity).ljust(layout.parity_length, b"\0"))
    parity = bytearray(layout.blocks * layout.parity_shards * size)
    wrong_parity = set(strip(stored_parity, size, parity))
    for block in sorted({number // columns for number in wrong}):
        missing = tuple(number - block * columns for number in wrong if number // columns == block)
        first_parity = block * layout.parity_shards
        good = [(point, data, block * columns + point) for point in range(columns) if point not in missing]
        good += [
            (columns + row, parity, first_parity + row)
            for row in range(layout.parity_shards)
            if first_parity + row not in wrong_parity
        ]
        if len(good) < columns:
            damaged = len(missing) + layout.parity_shards - (len(good) - columns + len(missing))
            raise UncorrectableError(
                f"can't mend stored data: {damaged} of the {columns + layout.parity_shards} shards of block {block + 1} of "
                f"{layout.blocks} are damaged, and error correction can replace {layout.parity_shards}"
            )
        used = good[:columns]
        # shards behind the end of the data are not stored: they are zeros
        values = b"".join(bytes(source[at * size : (at + 1) * size]).ljust(size, b"\0") for _, source, at in used)
        matrix = interpolation_matrix(tuple(point for point, _, _ in used), missing)
        mended = multiply(matrix, len(missing), columns, size, values)
        for row, point in enumerate(missing):
            start = (block * columns + point) * size
            data[start : start + size] = mended[row * size : (row + 1) * size]


def error_correction(name: str, overhead_percent: int) -> ReedSolomonCRC32 | None:
    """Return the error correction that Kopia calls ``name``, or None where it is off.

    Args:
        name: Empty for none.
        overhead_percent: 0 for none.

    Raises:
        UnsupportedFormatError: The name is unknown.
    """
    if not name or overhead_percent <= 0:
        return None
    if name not in ECC_ALGORITHMS:
        raise UnsupportedFormatError(
            f"can't protect contents with {name!r}: the known error correction is {', '.join(ECC_ALGORITHMS)}; "
            "a newer pykopia may know more"
        )
    return ReedSolomonCRC32(overhead_percent)


__all__ = ["DEFAULT_ECC", "ECC_ALGORITHMS", "ECCParameters", "ReedSolomonCRC32", "error_correction"]
