# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""S2 blocks and their checksums in C: the native twin of ``s2``."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pykopia.errors import DecompressionError

cdef extern from "Python.h":
    object PyBytes_FromStringAndSize(const char *data, Py_ssize_t length)
    char *PyBytes_AsString(object data) except NULL

cdef uint32_t TABLES[8][256]


cdef void _fill_tables() noexcept:
    cdef uint32_t crc
    cdef int value, bit, table
    for value in range(256):
        crc = value
        for bit in range(8):
            crc = (crc >> 1) ^ (<uint32_t>0x82F63B78 if crc & 1 else 0)
        TABLES[0][value] = crc
    for value in range(256):
        crc = TABLES[0][value]
        for table in range(1, 8):
            crc = TABLES[0][crc & 0xFF] ^ (crc >> 8)
            TABLES[table][value] = crc


_fill_tables()


cdef uint32_t _crc(const uint8_t *data, Py_ssize_t length) noexcept nogil:
    """Eight bytes at a time, each by a table of its own."""
    cdef uint32_t crc = 0xFFFFFFFF, low, high
    while length >= 8:
        memcpy(&low, data, 4)
        memcpy(&high, data + 4, 4)
        low ^= crc
        crc = (
            TABLES[7][low & 0xFF] ^ TABLES[6][(low >> 8) & 0xFF] ^ TABLES[5][(low >> 16) & 0xFF] ^ TABLES[4][low >> 24]
            ^ TABLES[3][high & 0xFF] ^ TABLES[2][(high >> 8) & 0xFF] ^ TABLES[1][(high >> 16) & 0xFF] ^ TABLES[0][high >> 24]
        )
        data += 8
        length -= 8
    while length > 0:
        crc = (crc >> 8) ^ TABLES[0][(crc ^ data[0]) & 0xFF]
        data += 1
        length -= 1
    return crc ^ <uint32_t>0xFFFFFFFF


def masked_crc(const uint8_t[::1] data):
    """Return the checksum of a chunk: CRC-32C, rotated and moved."""
    cdef uint32_t crc
    cdef Py_ssize_t length = data.shape[0]
    if length == 0:
        crc = 0
    else:
        with nogil:
            crc = _crc(&data[0], length)
    return ((crc >> 15) | (crc << 17)) + <uint32_t>0xA282EAD8 & <uint32_t>0xFFFFFFFF


cdef Py_ssize_t _little(const uint8_t *data, int width) noexcept nogil:
    cdef Py_ssize_t value = 0
    cdef int index
    for index in range(width):
        value |= <Py_ssize_t>data[index] << (8 * index)
    return value


cdef bint _decode(const uint8_t *source, Py_ssize_t size, uint8_t *out, Py_ssize_t length) noexcept nogil:
    """Carry the operations out; whether they gave exactly ``length`` bytes. Every step is checked before it is taken."""
    cdef Py_ssize_t position = 0, filled = 0, offset = 0, count, far, index
    cdef int tag, more, width
    while position < size:
        tag = source[position] & 3
        more = source[position] >> 2
        position += 1
        if tag == 0:
            count = more + 1
            if more >= 60:
                width = more - 59
                if position + width > size:
                    return False
                count = 1 + _little(source + position, width)
                position += width
            if count > size - position or count > length - filled:
                return False
            memcpy(out + filled, source + position, count)
            position += count
            filled += count
            continue
        if tag == 1:
            if position >= size:
                return False
            far = (<Py_ssize_t>(source[position - 1] >> 5) << 8) | source[position]
            position += 1
            more = more & 7
            count = more + 4
            if far != 0:
                offset = far
            elif more > 4:
                width = more - 4
                if position + width > size:
                    return False
                count = _little(source + position, width)
                count += 8 if width == 1 else (260 if width == 2 else 65540)
                position += width
        else:
            width = 2 if tag == 2 else 4
            if position + width > size:
                return False
            offset = _little(source + position, width)
            position += width
            count = more + 1
        if offset <= 0 or offset > filled or count > length - filled:
            return False
        if offset >= count:
            memcpy(out + filled, out + filled - offset, count)
        else:
            for index in range(count):
                out[filled + index] = out[filled + index - offset]
        filled += count
    return filled == length


def decode_block(const uint8_t[::1] block, Py_ssize_t limit):
    """Return what a block decodes to."""
    cdef Py_ssize_t size = block.shape[0], position = 0, length = 0
    cdef int shift = 0
    cdef bint good = False
    cdef object data
    cdef uint8_t *out
    while position < size and position < 5:
        length |= <Py_ssize_t>(block[position] & 0x7F) << shift
        shift += 7
        position += 1
        if block[position - 1] < 0x80:
            good = True
            break
    if not good or length > limit:
        raise DecompressionError("S2 data are damaged: a block without a length, or longer than it may be")
    data = PyBytes_FromStringAndSize(NULL, length)
    if position == size:
        good = length == 0
    else:
        out = <uint8_t *>PyBytes_AsString(data)
        with nogil:
            good = _decode(&block[position], size - position, out, length)
    if not good:
        raise DecompressionError("S2 data are damaged: a block does not decode to what it says")
    return data
