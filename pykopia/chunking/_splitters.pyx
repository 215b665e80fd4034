# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Native twin of ``rolling_hash``: the two searches in plain C, without the GIL."""

from hashlib import shake_128

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pykopia.chunking.rolling_hash import BUZHASH_TABLE, RABINKARP_LEAVING, RABINKARP_REMAINDER, check_range

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>

    enum { WINDOW = 64, LANE = 2048 };

    #define ROTATED(word, count) (((word) << (count)) | ((word) >> (32 - (count))))

    /* buz_table[s] is the table rotated right by s: see buz_block_has_cut. */
    static uint32_t buz_table[8][256];

    static void buz_set(int byte, uint32_t word) {
        buz_table[0][byte] = word;
        for (int s = 1; s < 8; s++) buz_table[s][byte] = ROTATED(word, 32 - s);
    }

    static ptrdiff_t buz_scan(const uint8_t *data, ptrdiff_t start, ptrdiff_t end, uint32_t mask) {
        const uint32_t *table = buz_table[0];
        uint32_t hash = 0;
        for (ptrdiff_t i = start - WINDOW; i < start; i++) hash = ROTATED(hash, 1) ^ table[data[i]];
        for (ptrdiff_t i = start; i < end; i++) {
            hash = ROTATED(hash, 1) ^ (table[data[i - WINDOW]] ^ table[data[i]]);
            if (!(hash & mask)) return i;
        }
        return -1;
    }

    #if defined(__GNUC__) || defined(__clang__)
    #define BUZ_BLOCK (4 * LANE)
    typedef uint32_t buz_vector __attribute__((vector_size(16)));

    /* Whether a hash of the 4 * LANE bytes at data has none of the mask's bits.

       The block is cut in four lanes that a vector searches at once. Let G be the hash that never takes a byte out:
       G(p) = rotl(G(p-1), 1) ^ T[b(p)]. A byte that is 64 places back has been rotated to where it began, so
       H(p) = G(p) ^ G(p-64): one look-up a byte, and a ring of the last 64 values of G. To spare the rotation, G is
       kept rotated right by p % 8 (as the tables and the mask are), and is set straight every eight bytes. */
    static int buz_block_has_cut(const uint8_t *data, uint32_t mask) {
        buz_vector ring[WINDOW], masks[8], sum = {0, 0, 0, 0}, hits = {0, 0, 0, 0};
        for (int s = 0; s < 8; s++) {
            uint32_t turned = s ? ROTATED(mask, 32 - s) : mask;
            masks[s] = (buz_vector){turned, turned, turned, turned};
        }
        for (int i = 0; i < WINDOW; i++) ring[i] = (buz_vector){0, 0, 0, 0};
        #define BUZ_ADD(s) \\
            sum ^= (buz_vector){buz_table[s][lane[s]], buz_table[s][lane[LANE + s]], \\
                                buz_table[s][lane[2 * LANE + s]], buz_table[s][lane[3 * LANE + s]]}
        #define BUZ_FILL(s) BUZ_ADD(s); slot[s] = sum
        #define BUZ_TEST(s) BUZ_ADD(s); hits |= (buz_vector)(((sum ^ slot[s]) & masks[s]) == 0); slot[s] = sum
        for (ptrdiff_t i = -WINDOW; i < LANE; i += 8) {
            const uint8_t *lane = data + i;
            buz_vector *slot = ring + (i & (WINDOW - 1));
            sum = ROTATED(sum, 8);
            if (i < 0) {
                BUZ_FILL(0); BUZ_FILL(1); BUZ_FILL(2); BUZ_FILL(3); BUZ_FILL(4); BUZ_FILL(5); BUZ_FILL(6); BUZ_FILL(7);
            } else {
                BUZ_TEST(0); BUZ_TEST(1); BUZ_TEST(2); BUZ_TEST(3); BUZ_TEST(4); BUZ_TEST(5); BUZ_TEST(6); BUZ_TEST(7);
            }
        }
        return (hits[0] | hits[1] | hits[2] | hits[3]) != 0;
    }
    #endif

    static ptrdiff_t buz_find(const uint8_t *data, ptrdiff_t start, ptrdiff_t end, uint32_t mask) {
    #ifdef BUZ_BLOCK
        for (; end - start >= BUZ_BLOCK; start += BUZ_BLOCK)
            if (buz_block_has_cut(data + start, mask)) return buz_scan(data, start, start + BUZ_BLOCK, mask);
    #endif
        return buz_scan(data, start, end, mask);
    }

    enum { RABIN_SHIFT = 53 - 8, RABIN_LANES = 6, RABIN_BLOCK = RABIN_LANES * LANE };

    static uint64_t rabin_remainder[256], rabin_leaving[256];

    #define RABIN_ADD(hash, byte) \\
        ((((hash) & ((1ULL << RABIN_SHIFT) - 1)) << 8) ^ rabin_remainder[(hash) >> RABIN_SHIFT] ^ (byte))

    static uint64_t rabin_window(const uint8_t *data) {
        uint64_t hash = 0;
        for (int i = 0; i < WINDOW; i++) hash = RABIN_ADD(hash, data[i]);
        return hash;
    }

    static ptrdiff_t rabin_scan(const uint8_t *data, ptrdiff_t start, ptrdiff_t end, uint64_t mask) {
        uint64_t hash = rabin_window(data + start - WINDOW);
        for (ptrdiff_t i = start; i < end; i++) {
            hash = RABIN_ADD(hash, data[i] ^ rabin_leaving[data[i - WINDOW]]);
            if (!(hash & mask)) return i;
        }
        return -1;
    }

    /* Whether a hash of the block has none of the mask's bits: each step waits for the one before, so six lanes take
       turns. */
    static int rabin_block_has_cut(const uint8_t *data, uint64_t mask) {
        uint64_t h0 = rabin_window(data - WINDOW), h1 = rabin_window(data + LANE - WINDOW),
                 h2 = rabin_window(data + 2 * LANE - WINDOW), h3 = rabin_window(data + 3 * LANE - WINDOW),
                 h4 = rabin_window(data + 4 * LANE - WINDOW), h5 = rabin_window(data + 5 * LANE - WINDOW);
        #define RABIN_STEP(hash, lane) \\
            hash = RABIN_ADD(hash, data[(lane) * LANE + i] ^ rabin_leaving[data[(lane) * LANE + i - WINDOW]]); \\
            if (!((hash) & mask)) return 1
        for (ptrdiff_t i = 0; i < LANE; i++) {
            RABIN_STEP(h0, 0); RABIN_STEP(h1, 1); RABIN_STEP(h2, 2);
            RABIN_STEP(h3, 3); RABIN_STEP(h4, 4); RABIN_STEP(h5, 5);
        }
        return 0;
    }

    static ptrdiff_t rabin_find(const uint8_t *data, ptrdiff_t start, ptrdiff_t end, uint64_t mask) {
        for (; end - start >= RABIN_BLOCK; start += RABIN_BLOCK)
            if (rabin_block_has_cut(data + start, mask)) return rabin_scan(data, start, start + RABIN_BLOCK, mask);
        return rabin_scan(data, start, end, mask);
    }
    """
    uint64_t[256] rabin_remainder
    uint64_t[256] rabin_leaving
    void buz_set(int byte, uint32_t word) nogil
    Py_ssize_t buz_find(const uint8_t *data, Py_ssize_t start, Py_ssize_t end, uint32_t mask) nogil
    Py_ssize_t rabin_find(const uint8_t *data, Py_ssize_t start, Py_ssize_t end, uint64_t mask) nogil


def find_buzhash(data, Py_ssize_t start, Py_ssize_t end, uint32_t mask):
    """Find the first place where the masked BUZHASH is zero: see ``rolling_hash``."""
    cdef Py_buffer view
    cdef Py_ssize_t found
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        check_range(view.len, start, end)
        with nogil:
            found = buz_find(<const uint8_t *> view.buf, start, end, mask)
    finally:
        PyBuffer_Release(&view)
    return found


def find_rabinkarp(data, Py_ssize_t start, Py_ssize_t end, uint64_t mask):
    """Find the first place where the masked RABINKARP hash is zero: see ``rolling_hash``."""
    cdef Py_buffer view
    cdef Py_ssize_t found
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        check_range(view.len, start, end)
        with nogil:
            found = rabin_find(<const uint8_t *> view.buf, start, end, mask)
    finally:
        PyBuffer_Release(&view)
    return found


cdef void _fill_tables():
    cdef int byte
    for byte in range(256):
        buz_set(byte, BUZHASH_TABLE[byte])
        rabin_remainder[byte] = RABINKARP_REMAINDER[byte]
        rabin_leaving[byte] = RABINKARP_LEAVING[byte]


def _check():
    """Compare with known answers; a build that cuts elsewhere is no twin, so its import fails."""
    sample = shake_128(b"splitters").digest(16384)
    if (
        find_buzhash(sample, 64, 16384, 0x7FFF) != 12492  # the first block has none: the rest one by one
        or find_buzhash(sample, 64, 16384, 0x1FFF) != 5737
        or find_buzhash(sample, 10000, 11000, 0xFF) != 10081
        or find_rabinkarp(sample, 64, 16384, 0xFFF) != 4563
        or find_rabinkarp(sample, 10000, 11000, 0xFF) != 10020
    ):
        raise ImportError("the native splitters find other cuts than their definition")


_fill_tables()
_check()
