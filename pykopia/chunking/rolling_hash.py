"""The two rolling hashes that decide where chunks end: the readable definition (format 01 §6).

A hash H(p) depends on nothing but the 64 bytes that end with byte ``p``. ``_splitters`` has the searches in C.
"""

import struct
from base64 import b64decode
from collections.abc import Callable
from typing import Final

from pykopia.ids import Buffer

WINDOW: Final = 64
"""Bytes that a hash covers."""

BUZHASH_TABLE: Final[tuple[int, ...]] = struct.unpack(
    ">256I",
    b64decode(
        "B/z9Ul8/Fk9mlXIde018A0nG4tENHWjYeRYAHiLE0pQ5KQegGJ3rmfOHXQSV6UYnulF5NoPEcdR8s60LpCZV2XxOC2jUSR0bJWMhhqnXjXMWnBEh"
        "uxWGRLaOaj91mAX1LN9bilfSkkXF1tJoa4PQ4nZ0y3SwaNnbu5RX2KFdUjt5Qgn/naHX61ol4Mv4QOxLNtT/m/Sl7jta0UX09nQDBD9x+MuRAY18"
        "/MriJLGGtR99no+8k/k/M/Y6W28ZR2w2vIl9BhaYc/VyTHrxWB7rOSJXu31vJpoovo6ZgXA5N0slQW/t3tfkEWZ456okT802Vqprht5FYa0+mbCo"
        "vtgKOuWDSLCvY+WNQGrsncIz8Ael6tC9BQFDpnOLaCk2mcrzlnzXEAb2ZaYl/T1/D9bkeSb78psW3kw1K/M5S0r4ZLocuebGQUOQiWmjkUTDTxgt"
        "QhZX//n8ZWiLAskXbJxkt4PReQnqPUylr2NdR3/Hh2m+FBhvNTmx6ukXRUjAUeGKB7c2WCnsMAyiUL80p+1dl/496nm4s1L3ybNE6Y5fBHUZQeUq"
        "JpR2PWtA6ryEhdaLM26sykOZo2NnFJucrhCpAVpf/vtWOybebwDwK58GOX1UWDbEMdZBaxL0Eo11LzP/SjBWBQyNwhRyUhqQjrPkoYPvxsYJDsBP"
        "wVQIZOwsiqpwq1O6ONO0lIeNQGOjF64/PLYvB/NgQSxP+/OpItVUtD8ZBHYHlqcQ9cNTzwT1m7ctIwF24tapzj8ddCev2RW7sBqkfc3iwml0F784"
        "HglPmlXs4OrLlFObE9NGtVTgwMFtsw433AKzkKbiIvXi+MH+LhZr32dYinQhiY80TDMPHRmvU7pwZYuUEzyWc07+6t0PISVRBw8JFG8kHFfxPkG3"
        "O+cMsPS29H8g8xEnZVHLiSicvSyJRvI9QKecOwPG2YIDZXkMDPUlFwuxMeg9pUdcE578yrzUTrSlSvdHtzwy7Z9sR6zouo8iVAQ6ZjsKfyC0kmQx"
        "4XwC1Y8NJVgBT7/yf4A1lHm3b74z/iZWeSyO6GtBKS39/5wyggkymFlIOHCy1aETLdluWluOVqnr2d2pBPnOkstECVCmflKxSfbSYZJBf8McO2vZ"
        "sCe34B92WkFEyatARdmRIf16hK+Zt1eI46v/SqiKpn9zbkHMnLy+Xns8zrzht/qTMVrmr5zO0uIZ6g8vqXcHIoSmv9yI8D8HpEoDpCemuIW1gMi6"
        "AYFT2rZI5gRRGAJ4iToxD3KPX0w39RmLPMDqm+OdAtsTiDFCylmTksEtFU7BdhY9XJLiuPn5Xt64Ar38ipKFhdym4QuIeVPoSLnpYuUz6aNeDObl"
        "Hbp3rsghS4pTtCjXTPIKZQ=="
    ),
)
"""A random word for each byte value."""

RABINKARP_POLYNOMIAL: Final = 0x2E3E3E4A305605
"""Modulus, over GF(2): bit ``i`` is the coefficient of x^i."""

RABINKARP_DEGREE: Final = 53


def rotated(word: int, count: int) -> int:
    """Return the 32-bit ``word`` rotated left by ``count`` bits, 0 to 31."""
    return (word << count | word >> (32 - count)) & 0xFFFF_FFFF


def buzhash(window: Buffer) -> int:
    """Return the BUZHASH of 64 bytes: 32 bits."""
    value = 0
    for byte in window:
        value = rotated(value, 1) ^ BUZHASH_TABLE[byte]
    return value


def rabinkarp(window: Buffer) -> int:
    """Return the RABINKARP hash of 64 bytes: 53 bits."""
    value = 0
    for byte in window:
        value = _times_x8(value) ^ byte
    return value


def _of_all_bytes(of_bit: Callable[[int], int]) -> list[int]:
    """Return, for each byte, the sum of what its bits are turned into."""
    table = [0]
    for bit in range(8):
        turned = of_bit(1 << bit)
        table += [turned ^ low for low in table]
    return table


def _remainder(bit: int) -> int:
    """Return what b · x^53 leaves, for a byte of one bit."""
    power = bit << RABINKARP_DEGREE
    for above in range(7, -1, -1):
        if power >> above >> RABINKARP_DEGREE & 1:
            power ^= RABINKARP_POLYNOMIAL << above
    return power


_REMAINDER: Final = _of_all_bytes(_remainder)
_LOW: Final = (1 << RABINKARP_DEGREE - 8) - 1


def _times_x8(value: int) -> int:
    return (value & _LOW) << 8 ^ _REMAINDER[value >> RABINKARP_DEGREE - 8]


def _leaving(bit: int) -> int:
    """Return the share that a byte of one bit has in a hash when it has just left the window: b · x^512."""
    for _ in range(WINDOW):
        bit = _times_x8(bit)
    return bit


RABINKARP_REMAINDER: Final[tuple[int, ...]] = tuple(_REMAINDER)
"""b · x^53 reduced, for each byte: what a byte that is shifted over the top stands for."""

RABINKARP_LEAVING: Final[tuple[int, ...]] = tuple(_of_all_bytes(_leaving))
"""b · x^512 reduced, for each byte: what takes a byte out that is 64 places back."""


def find_buzhash(data: Buffer, start: int, end: int, mask: int) -> int:
    """Find the first place where the masked BUZHASH is zero.

    Args:
        data: bytes, with at least 64 in front of ``start``.
        start: first position at which a hash may end.
        end: position after the last one.
        mask: bits of the hash that must be zero.

    Returns:
        The least ``p`` of ``start`` to ``end - 1`` whose hash H(p) has none of the mask's bits, or -1.

    Raises:
        ValueError: the range does not lie in the data.
    """
    check_range(len(data), start, end)
    value = buzhash(data[start - WINDOW : start])
    for position in range(start, end):
        value = rotated(value, 1) ^ BUZHASH_TABLE[data[position - WINDOW]] ^ BUZHASH_TABLE[data[position]]
        if not value & mask:
            return position
    return -1


def find_rabinkarp(data: Buffer, start: int, end: int, mask: int) -> int:
    """Find the first place where the masked RABINKARP hash is zero: as ``find_buzhash``."""
    check_range(len(data), start, end)
    value = rabinkarp(data[start - WINDOW : start])
    for position in range(start, end):
        value = _times_x8(value) ^ RABINKARP_LEAVING[data[position - WINDOW]] ^ data[position]
        if not value & mask:
            return position
    return -1


def check_range(length: int, start: int, end: int) -> None:
    """Raise ValueError unless positions ``start`` to ``end`` lie in ``length`` bytes, behind a whole window."""
    if not WINDOW <= start <= end <= length:
        raise ValueError(f"no positions {start} to {end} behind a window of {WINDOW} in {length} bytes")


__all__ = [
    "BUZHASH_TABLE",
    "RABINKARP_DEGREE",
    "RABINKARP_LEAVING",
    "RABINKARP_POLYNOMIAL",
    "RABINKARP_REMAINDER",
    "WINDOW",
    "buzhash",
    "check_range",
    "find_buzhash",
    "find_rabinkarp",
    "rabinkarp",
    "rotated",
]
