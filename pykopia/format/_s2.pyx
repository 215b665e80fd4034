# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""S2 blocks and their checksums in C: the native twin of ``s2``, and the encoder, which has none.

What the encoder writes is defined by what decodes it; without it Snappy's is used.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

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


# ---------------------------------------------------------------------- writing

cdef enum:
    BLOCK = 1 << 20  # bytes encoded as one block: Kopia's own choice; readers take up to 4 MiB
    SHORT_BITS = 14
    LONG_BITS = 17
    LEAST_BLOCK = 32  # bytes below which no match is looked for
    MARGIN = 16  # bytes at a block's end where no match begins, so that eight of them can always be read


cdef inline uint32_t _four(const uint8_t *at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, 4)
    return value


cdef inline uint64_t _eight(const uint8_t *at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, 8)
    return value


cdef inline uint32_t _slot(uint64_t value, int ignored_bits, int bits) noexcept nogil:
    """Where a table keeps the position of some bytes: a multiplication spreads them over its slots."""
    return <uint32_t>(((value << ignored_bits) * <uint64_t>0x9E3779B185EBCA87) >> (64 - bits))


cdef inline uint8_t *_literal(uint8_t *out, const uint8_t *data, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t left = length - 1
    cdef int width = 0
    if length <= 0:
        return out
    if left < 60:
        out[0] = <uint8_t>(left << 2)
    else:
        while left:
            width += 1
            out[width] = <uint8_t>left
            left >>= 8
        out[0] = <uint8_t>((59 + width) << 2)
    out += 1 + width
    memcpy(out, data, length)
    return out + length


cdef inline uint8_t *_repeat(uint8_t *out, Py_ssize_t length) noexcept nogil:
    """Copy from as far back as the last copy; 4 bytes at least."""
    cdef int code, width, index
    if length <= 8:
        code, width, length = <int>length - 4, 0, 0
    elif length < 8 + (1 << 8):
        code, width, length = 5, 1, length - 8
    elif length < 260 + (1 << 16):
        code, width, length = 6, 2, length - 260
    else:
        code, width, length = 7, 3, length - 65540
    out[0] = <uint8_t>(code << 2 | 1)
    out[1] = 0
    for index in range(width):
        out[2 + index] = <uint8_t>(length >> (8 * index))
    return out + 2 + width


cdef inline uint8_t *_copy(uint8_t *out, Py_ssize_t offset, Py_ssize_t length) noexcept nogil:
    """Copy from ``offset`` bytes back; 4 bytes at least. What one operation can't take is repeated."""
    cdef Py_ssize_t first = length
    cdef int index, width
    if offset < 1 << 11 and (length <= 11 or length > 64):
        if length > 11:
            first = 8
        out[0] = <uint8_t>((offset >> 8) << 5 | (first - 4) << 2 | 1)
        out[1] = <uint8_t>offset
        out += 2
    else:
        if length > 64:
            first = 60
        width = 2 if offset < 1 << 16 else 4
        out[0] = <uint8_t>((first - 1) << 2 | (2 if width == 2 else 3))
        for index in range(width):
            out[1 + index] = <uint8_t>(offset >> (8 * index))
        out += 1 + width
    return out if first == length else _repeat(out, length - first)


cdef Py_ssize_t _encode(
    const uint8_t *data, Py_ssize_t size, uint8_t *out, uint32_t *shorts, uint32_t *longs
) noexcept nogil:
    """Write a block's operations and return their length.

    Positions of earlier bytes stand in tables, one by five bytes or, where there are two, by four and by eight: then a
    short match gives way to a long one that begins at the next byte. Empty slots hold 0, which is as good a position as
    any: every candidate is compared. A copy, with the header of the literal before it, is never longer than what it stands
    for, so nothing grows but by the header of the last literal.
    """
    cdef uint8_t *start = out
    cdef Py_ssize_t limit = size - MARGIN, position = 1, emitted = 0, far = 0
    cdef Py_ssize_t candidate, other, begin, end
    cdef uint64_t eight
    cdef uint32_t four, slot
    cdef int ignored = 32 if longs != NULL else 24
    cdef int bits = SHORT_BITS
    while bits > 8 and size < 1 << (bits - 1):
        bits -= 1
    memset(shorts, 0, sizeof(uint32_t) << bits)
    if longs != NULL:
        memset(longs, 0, sizeof(uint32_t) << LONG_BITS)
    if size < LEAST_BLOCK:
        limit = 0
    while position < limit:
        eight = _eight(data + position)
        four = _four(data + position)
        slot = _slot(eight, ignored, bits)
        candidate = shorts[slot]
        shorts[slot] = <uint32_t>position
        if longs != NULL:
            slot = _slot(eight, 0, LONG_BITS)
            other = longs[slot]
            longs[slot] = <uint32_t>position
        if far and _four(data + position + 1 - far) == _four(data + position + 1):
            begin, candidate = position + 1, position + 1 - far
        elif longs != NULL and _eight(data + other) == eight:
            begin, candidate = position, other
        elif _four(data + candidate) == four:
            begin = position
            if longs != NULL:
                eight = _eight(data + position + 1)
                slot = _slot(eight, 0, LONG_BITS)
                other = longs[slot]
                longs[slot] = <uint32_t>(position + 1)
                if _eight(data + other) == eight:
                    begin, candidate = position + 1, other
        else:
            position += 1 + ((position - emitted) >> (7 if longs != NULL else 6))
            continue
        end = begin + 4
        other = candidate + 4
        while begin > emitted and candidate > 0 and data[begin - 1] == data[candidate - 1]:
            begin -= 1
            candidate -= 1
        while end + 8 <= size and _eight(data + end) == _eight(data + other):
            end += 8
            other += 8
        while end < size and data[end] == data[other]:
            end += 1
            other += 1
        if begin - candidate >= 1 << 16 and end - begin < 6 and begin - candidate != far:
            position += 2  # the copy would be longer than what it stands for; the next byte is in the table already
            continue
        out = _literal(out, data + emitted, begin - emitted)
        if begin - candidate == far:
            out = _repeat(out, end - begin)
        else:
            far = begin - candidate
            out = _copy(out, far, end - begin)
        emitted = position = end
        if position >= limit:
            break
        eight = _eight(data + position - 2)
        shorts[_slot(eight, ignored, bits)] = <uint32_t>(position - 2)
        if longs != NULL:
            longs[_slot(eight, 0, LONG_BITS)] = <uint32_t>(position - 2)
            for other in range(begin + 1, position - 2, 2):
                eight = _eight(data + other)
                longs[_slot(eight, 0, LONG_BITS)] = <uint32_t>other
                eight = _eight(data + other + 1)
                shorts[_slot(eight, ignored, bits)] = <uint32_t>(other + 1)
    out = _literal(out, data + emitted, size - emitted)
    return out - start


cdef Py_ssize_t _stream(
    const uint8_t *data, Py_ssize_t size, uint8_t *out, uint32_t *shorts, uint32_t *longs
) noexcept nogil:
    """Write all chunks and return their length."""
    cdef uint8_t *start = out
    cdef uint8_t *body
    cdef Py_ssize_t length, encoded, left, chunk
    cdef uint32_t crc
    memcpy(out, b"\xff\x06\x00\x00S2sTwO", 10)
    out += 10
    while size:
        length = size if size < BLOCK else BLOCK
        crc = _crc(data, length)
        crc = ((crc >> 15) | (crc << 17)) + <uint32_t>0xA282EAD8
        body = out + 8
        left = length
        while left >= 0x80:
            body[0] = <uint8_t>(left | 0x80)
            body += 1
            left >>= 7
        body[0] = <uint8_t>left
        body += 1
        encoded = body - out - 8 + _encode(data, length, body, shorts, longs)
        out[0] = 0x00
        if encoded >= length - length // 32:  # not worth the reader's time
            out[0] = 0x01
            memcpy(out + 8, data, length)
            encoded = length
        chunk = 4 + encoded
        out[1], out[2], out[3] = <uint8_t>chunk, <uint8_t>(chunk >> 8), <uint8_t>(chunk >> 16)
        out[4], out[5], out[6], out[7] = <uint8_t>crc, <uint8_t>(crc >> 8), <uint8_t>(crc >> 16), <uint8_t>(crc >> 24)
        out += 4 + chunk
        data += length
        size -= length
    return out - start


def encode_stream(const uint8_t[::1] data, *, bint better):
    """Return a stream of blocks of up to 1 MiB; ``better`` takes twice the time for less."""
    cdef Py_ssize_t size = data.shape[0], written, room = 10 + size + (size // BLOCK + 1) * 32
    cdef uint8_t *out
    cdef uint32_t *tables
    if size == 0:
        return b""
    tables = <uint32_t *>malloc(sizeof(uint32_t) * ((1 << SHORT_BITS) + ((1 << LONG_BITS) if better else 0)))
    out = <uint8_t *>malloc(room)
    try:
        if tables == NULL or out == NULL:
            raise MemoryError
        with nogil:
            written = _stream(&data[0], size, out, tables, tables + (1 << SHORT_BITS) if better else NULL)
        return PyBytes_FromStringAndSize(<char *>out, written)
    finally:
        free(tables)
        free(out)
