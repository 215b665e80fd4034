# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Native twin of ``reedsolomon``: the same functions in plain C, without the GIL."""

from libc.stdint cimport uint8_t, uint32_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>

    enum { RS_CRC = 4, RS_PREFIX = 4, RS_VECTOR = 16, RS_TILE = 4 * RS_VECTOR };

    static uint32_t rs_crc_table[8][256];

    static void rs_init(void) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t crc = i;
            for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1)));
            rs_crc_table[0][i] = crc;
        }
        for (int slice = 1; slice < 8; slice++)
            for (int i = 0; i < 256; i++) {
                uint32_t crc = rs_crc_table[slice - 1][i];
                rs_crc_table[slice][i] = (crc >> 8) ^ rs_crc_table[0][crc & 255];
            }
    }

    /* Eight bytes at a time: a table for the distance of each from the end. */
    static uint32_t rs_crc32(const uint8_t *data, size_t length) {
        uint32_t crc = 0xFFFFFFFFu;
        for (; length >= 8; data += 8, length -= 8)
            crc = rs_crc_table[7][data[0] ^ (crc & 255)] ^ rs_crc_table[6][data[1] ^ ((crc >> 8) & 255)]
                ^ rs_crc_table[5][data[2] ^ ((crc >> 16) & 255)] ^ rs_crc_table[4][data[3] ^ (crc >> 24)]
                ^ rs_crc_table[3][data[4]] ^ rs_crc_table[2][data[5]]
                ^ rs_crc_table[1][data[6]] ^ rs_crc_table[0][data[7]];
        for (; length; length--) crc = (crc >> 8) ^ rs_crc_table[0][*data++ ^ (crc & 255)];
        return ~crc;
    }

    static void rs_put_crc(uint8_t *out, uint32_t crc) {
        out[0] = (uint8_t)(crc >> 24);
        out[1] = (uint8_t)(crc >> 16);
        out[2] = (uint8_t)(crc >> 8);
        out[3] = (uint8_t)crc;
    }

    #if defined(__GNUC__) || defined(__clang__)
    typedef uint8_t rs_vector __attribute__((vector_size(16), aligned(1), may_alias));
    #define RS_HAS_VECTORS 1
    #endif

    /* Times x in GF(256) with the polynomial 0x11D, for bytes and for vectors of bytes. */
    #define RS_TIMES_X(value, high) \\
        do { (high) = (value) >> 7; \\
             (value) = ((value) << 1) ^ (high) ^ ((high) << 2) ^ ((high) << 3) ^ ((high) << 4); } while (0)

    /* For each of the bits 7 to 0: the columns whose coefficient has it. A row of the product is then a Horner scheme
       over the bits, in which a shard is only ever added. */
    typedef struct {
        int counts[8];
        uint8_t columns[8 * 256];
    } rs_schedule;

    static void rs_make_schedule(const uint8_t *row, int columns, rs_schedule *schedule) {
        uint8_t *next = schedule->columns;
        for (int bit = 7; bit >= 0; bit--) {
            uint8_t *start = next;
            for (int column = 0; column < columns; column++)
                if (row[column] >> bit & 1) *next++ = (uint8_t)column;
            schedule->counts[7 - bit] = (int)(next - start);
        }
    }

    /* One row of the product of a matrix and shards that stand one after the other. */
    static void rs_combine(const rs_schedule *schedule, const uint8_t *shards, size_t size, uint8_t *out) {
        size_t at = 0;
    #ifdef RS_HAS_VECTORS
        for (; at + RS_TILE <= size; at += RS_TILE) {
            const uint8_t *column = schedule->columns;
            rs_vector a = {0}, b = {0}, c = {0}, d = {0}, high;
            for (int bit = 0; bit < 8; bit++) {
                RS_TIMES_X(a, high);
                RS_TIMES_X(b, high);
                RS_TIMES_X(c, high);
                RS_TIMES_X(d, high);
                for (int left = schedule->counts[bit]; left; left--) {
                    const uint8_t *shard = shards + size * *column++ + at;
                    a ^= *(const rs_vector *)shard;
                    b ^= *(const rs_vector *)(shard + RS_VECTOR);
                    c ^= *(const rs_vector *)(shard + 2 * RS_VECTOR);
                    d ^= *(const rs_vector *)(shard + 3 * RS_VECTOR);
                }
            }
            *(rs_vector *)(out + at) = a;
            *(rs_vector *)(out + at + RS_VECTOR) = b;
            *(rs_vector *)(out + at + 2 * RS_VECTOR) = c;
            *(rs_vector *)(out + at + 3 * RS_VECTOR) = d;
        }
        for (; at + RS_VECTOR <= size; at += RS_VECTOR) {
            const uint8_t *column = schedule->columns;
            rs_vector a = {0}, high;
            for (int bit = 0; bit < 8; bit++) {
                RS_TIMES_X(a, high);
                for (int left = schedule->counts[bit]; left; left--)
                    a ^= *(const rs_vector *)(shards + size * *column++ + at);
            }
            *(rs_vector *)(out + at) = a;
        }
    #endif
        for (; at < size; at++) {
            const uint8_t *column = schedule->columns;
            uint8_t a = 0, high;
            for (int bit = 0; bit < 8; bit++) {
                high = a >> 7;
                a = (uint8_t)((a << 1) ^ high ^ (high << 2) ^ (high << 3) ^ (high << 4));
                for (int left = schedule->counts[bit]; left; left--) a ^= shards[size * *column++ + at];
            }
            out[at] = a;
        }
    }

    static int rs_multiply(const uint8_t *matrix, int rows, int columns, const uint8_t *shards, size_t size, uint8_t *out) {
        rs_schedule schedule;
        for (int row = 0; row < rows; row++) {
            rs_make_schedule(matrix + (size_t)row * columns, columns, &schedule);
            rs_combine(&schedule, shards, size, out + row * size);
        }
        return 0;
    }

    /* The part of "length prefix, data, zeros" that begins at a position of it. */
    static void rs_fill(uint8_t *block, size_t size, size_t position, const uint8_t *data, size_t length) {
        size_t filled = 0;
        if (position == 0) {
            rs_put_crc(block, (uint32_t)length);
            filled = RS_PREFIX;
        }
        size_t from = position + filled - RS_PREFIX;
        size_t take = from < length ? length - from : 0;
        if (take > size - filled) take = size - filled;
        memcpy(block + filled, data + from, take);
        memset(block + filled + take, 0, size - filled - take);
    }

    static int rs_encode(const uint8_t *data, size_t length, uint8_t *out, size_t blocks, int columns, int rows,
                         size_t size, int padded, const uint8_t *matrix) {
        size_t block_size = size * columns, real = RS_PREFIX + length;
        uint8_t *block = (uint8_t *)malloc(block_size);
        rs_schedule *schedules = (rs_schedule *)malloc(sizeof(rs_schedule) * rows);
        if (!block || !schedules) {
            free(block);
            free(schedules);
            return -1;
        }
        for (int row = 0; row < rows; row++)
            rs_make_schedule(matrix + (size_t)row * columns, columns, schedules + row);
        uint8_t *parity = out, *plain = out + blocks * rows * (RS_CRC + size);
        for (size_t position = 0; position < blocks * block_size; position += block_size) {
            rs_fill(block, block_size, position, data, length);
            for (int row = 0; row < rows; row++, parity += RS_CRC + size) {
                rs_combine(schedules + row, block, size, parity + RS_CRC);
                rs_put_crc(parity, rs_crc32(parity + RS_CRC, size));
            }
            for (size_t at = 0; at < block_size && (padded || position + at < real); at += size) {
                size_t stored = padded || position + at + size <= real ? size : real - position - at;
                rs_put_crc(plain, rs_crc32(block + at, size));
                memcpy(plain + RS_CRC, block + at, stored);
                plain += RS_CRC + stored;
            }
        }
        free(block);
        free(schedules);
        return 0;
    }

    /* Copies the shards of stored data to out and marks those whose CRC is wrong; returns how many. */
    static size_t rs_strip(const uint8_t *stored, size_t length, size_t size, uint8_t *out, uint8_t *marks) {
        size_t wrong = 0;
        for (size_t shard = 0; length; shard++, out += size) {
            uint8_t crc[RS_CRC] = {0}, expected[RS_CRC];
            size_t head = length < RS_CRC ? length : RS_CRC;
            size_t body = length - head < size ? length - head : size;
            memcpy(crc, stored, head);
            memcpy(out, stored + head, body);
            memset(out + body, 0, size - body);
            rs_put_crc(expected, rs_crc32(out, size));
            marks[shard] = memcmp(crc, expected, RS_CRC) != 0;
            wrong += marks[shard];
            stored += head + body;
            length -= head + body;
        }
        return wrong;
    }
    """
    void rs_init()
    int rs_multiply(const uint8_t *, int, int, const uint8_t *, size_t, uint8_t *) nogil
    int rs_encode(const uint8_t *, size_t, uint8_t *, size_t, int, int, size_t, int, const uint8_t *) nogil
    size_t rs_strip(const uint8_t *, size_t, size_t, uint8_t *, uint8_t *) nogil

cdef size_t CRC_SIZE = 4
cdef size_t PREFIX_SIZE = 4
cdef int MOST_COLUMNS = 256

rs_init()


def encode(
    const uint8_t[::1] data not None,
    size_t blocks,
    int columns,
    int rows,
    size_t size,
    bint padded,
    const uint8_t[::1] matrix not None,
    uint8_t[::1] out not None,
):
    cdef size_t length = data.shape[0]
    cdef size_t real = PREFIX_SIZE + length
    cdef size_t stored
    cdef int failed
    _check_matrix(matrix, rows, columns)
    if blocks == 0 or size == 0 or real > blocks * columns * size:
        raise ValueError("the data does not fit into the blocks")
    if size * columns < PREFIX_SIZE or length > 0xFFFFFFFF:
        raise ValueError("the length of the data does not fit into the first block")
    stored = blocks * rows * (CRC_SIZE + size)
    if padded:
        stored += blocks * columns * (CRC_SIZE + size)
    else:
        stored += (real + size - 1) // size * CRC_SIZE + real
    if <size_t>out.shape[0] != stored:
        raise ValueError("the output has a wrong length")
    with nogil:
        failed = rs_encode(&data[0], length, &out[0], blocks, columns, rows, size, padded, &matrix[0])
    if failed:
        raise MemoryError


def strip(const uint8_t[::1] stored not None, size_t size, uint8_t[::1] out not None):
    cdef size_t length = stored.shape[0]
    cdef size_t shards, wrong, shard
    if size == 0:
        raise ValueError("shards can't be empty")
    shards = (length + CRC_SIZE + size - 1) // (CRC_SIZE + size)
    if <size_t>out.shape[0] != shards * size:
        raise ValueError("the output has a wrong length")
    if shards == 0:
        return []
    marks = bytearray(shards)
    cdef uint8_t[::1] marks_view = marks
    with nogil:
        wrong = rs_strip(&stored[0], length, size, &out[0], &marks_view[0])
    return [shard for shard in range(shards) if marks[shard]] if wrong else []


def multiply(
    const uint8_t[::1] matrix not None, int rows, int columns, size_t size, const uint8_t[::1] shards not None
):
    _check_matrix(matrix, rows, columns)
    if size == 0 or <size_t>shards.shape[0] != columns * size:
        raise ValueError("the shards have a wrong length")
    product = bytearray(rows * size)
    cdef uint8_t[::1] out = product
    with nogil:
        rs_multiply(&matrix[0], rows, columns, &shards[0], size, &out[0])
    return product


cdef int _check_matrix(const uint8_t[::1] matrix, int rows, int columns) except -1:
    if rows < 1 or not 1 <= columns <= MOST_COLUMNS or matrix.shape[0] != <Py_ssize_t>rows * columns:
        raise ValueError("the matrix has a wrong size")
    return 0
