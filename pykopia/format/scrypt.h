/* The memory-hard part of scrypt, ROMix (RFC 7914 §5), for one lane. */
#ifndef PYKOPIA_SCRYPT_H
#define PYKOPIA_SCRYPT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words lie in memory with their lowest byte first; elsewhere hashlib serves"
#endif

#define SCRYPT_TURN(v, count) ((v) << (count) | (v) >> (32 - (count)))
#define SCRYPT_INLINE static inline __attribute__((always_inline))

/* A quarter-round of Salsa20/8: of four words, or of four rows, which are the four quarter-rounds of one step. */
#define SCRYPT_STEP(a, b, c, d) \
    b ^= SCRYPT_TURN(a + d, 7); c ^= SCRYPT_TURN(b + a, 9); d ^= SCRYPT_TURN(c + b, 13); a ^= SCRYPT_TURN(d + c, 18)

/* --- Salsa20/8 of 64 bytes, x = core(x ^ in ^ also) + x ^ in ^ also, in two ways on the same layout: the matrix by diagonals */

typedef uint32_t scrypt_row __attribute__((vector_size(16)));

#if defined(__clang__)
#define SCRYPT_MOVE(v, a, b, c, d) __builtin_shufflevector(v, v, a, b, c, d)
#else
#define SCRYPT_MOVE(v, a, b, c, d) __builtin_shuffle(v, (scrypt_row){a, b, c, d})
#endif

SCRYPT_INLINE void scrypt_salsa_rows(scrypt_row x[4], const scrypt_row in[4], const scrypt_row also[4]) {
    scrypt_row a = x[0] ^ in[0], b = x[1] ^ in[1], c = x[2] ^ in[2], d = x[3] ^ in[3];
    if (also) { a ^= also[0]; b ^= also[1]; c ^= also[2]; d ^= also[3]; }
    x[0] = a; x[1] = b; x[2] = c; x[3] = d;
    for (int round = 0; round < 4; round++) {
        SCRYPT_STEP(a, b, c, d);
        b = SCRYPT_MOVE(b, 3, 0, 1, 2); c = SCRYPT_MOVE(c, 2, 3, 0, 1); d = SCRYPT_MOVE(d, 1, 2, 3, 0);
        SCRYPT_STEP(a, d, c, b);
        b = SCRYPT_MOVE(b, 1, 2, 3, 0); c = SCRYPT_MOVE(c, 2, 3, 0, 1); d = SCRYPT_MOVE(d, 3, 0, 1, 2);
    }
    x[0] += a; x[1] += b; x[2] += c; x[3] += d;
}

#define SCRYPT_WORDS(each) \
    each(0) each(1) each(2) each(3) each(4) each(5) each(6) each(7) \
    each(8) each(9) each(10) each(11) each(12) each(13) each(14) each(15)
#define SCRYPT_PLACE(w) (13 * (w) % 16)
#define SCRYPT_TAKE(w) uint32_t v##w = x[SCRYPT_PLACE(w)] ^ in[SCRYPT_PLACE(w)];
#define SCRYPT_ALSO(w) v##w ^= also[SCRYPT_PLACE(w)];
#define SCRYPT_KEEP(w) x[SCRYPT_PLACE(w)] = v##w;
#define SCRYPT_ADD(w) x[SCRYPT_PLACE(w)] += v##w;

SCRYPT_INLINE void scrypt_salsa_words(uint32_t x[16], const uint32_t in[16], const uint32_t also[16]) {
    SCRYPT_WORDS(SCRYPT_TAKE)
    if (also) { SCRYPT_WORDS(SCRYPT_ALSO) }
    SCRYPT_WORDS(SCRYPT_KEEP)
    for (int round = 0; round < 4; round++) {
        SCRYPT_STEP(v0, v4, v8, v12); SCRYPT_STEP(v5, v9, v13, v1); SCRYPT_STEP(v10, v14, v2, v6); SCRYPT_STEP(v15, v3, v7, v11);
        SCRYPT_STEP(v0, v1, v2, v3); SCRYPT_STEP(v5, v6, v7, v4); SCRYPT_STEP(v10, v11, v8, v9); SCRYPT_STEP(v15, v12, v13, v14);
    }
    SCRYPT_WORDS(SCRYPT_ADD)
}

/* --- BlockMix of (in ^ also), 2 * r blocks of 64 bytes; out is another place */

typedef void scrypt_mix(uint8_t *out, const uint8_t *in, const uint8_t *also, size_t r);

#define SCRYPT_DEFINE_MIX(name, salsa, word) \
    SCRYPT_INLINE void name(uint8_t *out, const uint8_t *in, const uint8_t *also, size_t r) { \
        _Alignas(64) word x[64 / sizeof(word)]; \
        const size_t last = 64 * (2 * r - 1); \
        memcpy(x, in + last, 64); \
        for (size_t i = 0; also && i < 64 / sizeof(word); i++) x[i] ^= ((const word *)(also + last))[i]; \
        for (size_t i = 0; i < 2 * r; i++) { \
            salsa(x, (const word *)(in + 64 * i), also ? (const word *)(also + 64 * i) : NULL); \
            memcpy(out + 64 * (i / 2 + (i % 2 ? r : 0)), x, 64); \
        } \
    }
SCRYPT_DEFINE_MIX(scrypt_inline_mix_rows, scrypt_salsa_rows, scrypt_row)
SCRYPT_DEFINE_MIX(scrypt_inline_mix_words, scrypt_salsa_words, uint32_t)

#define SCRYPT_MIX_BODY(by) { if (also) by(out, in, also, r); else by(out, in, NULL, r); }

static void scrypt_mix_rows(uint8_t *out, const uint8_t *in, const uint8_t *also, size_t r) SCRYPT_MIX_BODY(scrypt_inline_mix_rows)

#if defined(__GNUC__) && !defined(__clang__)
__attribute__((optimize("no-tree-vectorize", "no-tree-slp-vectorize")))
#endif
static void scrypt_mix_words(uint8_t *out, const uint8_t *in, const uint8_t *also, size_t r) SCRYPT_MIX_BODY(scrypt_inline_mix_words)

#if defined(__x86_64__)
/* A rotation is one instruction here, and three elsewhere. */
__attribute__((target("avx512vl")))
static void scrypt_mix_rows_avx512(uint8_t *out, const uint8_t *in, const uint8_t *also, size_t r) SCRYPT_MIX_BODY(scrypt_inline_mix_rows)
#define SCRYPT_ROWS_AVX512 (__builtin_cpu_supports("avx512vl") ? scrypt_mix_rows_avx512 : NULL)
#else
#define SCRYPT_ROWS_AVX512 NULL
#endif

static uint64_t scrypt_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- ROMix */

enum { SCRYPT_MEMORY = -1, SCRYPT_NO_SUCH_WAY = -2 };

/* Replace the 128 * r bytes at data; n is a power of two. Returns 0 or what is wrong.
 * The way: 0 by rows, 1 by words, 2 by rows with AVX-512, -1 whichever is quickest here. */
static int scrypt_romix(uint8_t *data, size_t n, size_t r, int way) {
    scrypt_mix *const ways[3] = {scrypt_mix_rows, scrypt_mix_words, SCRYPT_ROWS_AVX512};
    if (way > 2 || (way >= 0 && !ways[way])) return SCRYPT_NO_SUCH_WAY;
    const size_t page = 2 << 20, block = 128 * r, size = ((n + 2) * block + page - 1) & ~(page - 1);
    uint8_t *all = (uint8_t *)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == (uint8_t *)MAP_FAILED) return SCRYPT_MEMORY;
#ifdef MADV_HUGEPAGE
    madvise(all, size, MADV_HUGEPAGE); /* thousands of page faults fewer, where the system has such pages */
#endif
    uint8_t *x = all + n * block, *y = x + block;
    for (size_t k = 0; k < 2 * r; k++)
        for (size_t i = 0; i < 16; i++) memcpy(all + 64 * k + 4 * SCRYPT_PLACE(i), data + 64 * k + 4 * i, 4);
    /* Words are quicker by a third where an operation on a vector takes two cycles (Zen 5), rows where it takes one: both
     * are tried on the first blocks. */
    scrypt_mix *const tried[2] = {ways[2] ? ways[2] : ways[0], ways[1]};
    uint64_t took[2] = {0, 0};
    size_t i = 1;
    for (; way < 0 && i < n && i < 512; i++) {
        uint64_t start = scrypt_clock();
        tried[i % 2](all + i * block, all + (i - 1) * block, NULL, r);
        took[i % 2] += scrypt_clock() - start;
    }
    scrypt_mix *mix = way < 0 ? tried[took[1] < took[0]] : ways[way];
    for (; i < n; i++) mix(all + i * block, all + (i - 1) * block, NULL, r);
    mix(x, all + (n - 1) * block, NULL, r);
    for (i = 0; i < n; i++) {
        uint32_t word;
        memcpy(&word, x + 64 * (2 * r - 1), 4);
        const uint8_t *v = all + (word & (n - 1)) * block;
        for (size_t line = 0; line < block; line += 64) __builtin_prefetch(v + line);
        mix(y, x, v, r);
        uint8_t *done = y;
        y = x;
        x = done;
    }
    for (size_t k = 0; k < 2 * r; k++)
        for (size_t w = 0; w < 16; w++) memcpy(data + 64 * k + 4 * w, x + 64 * k + 4 * SCRYPT_PLACE(w), 4);
    memset(all + n * block, 0, 2 * block); /* what is left tells nothing without the last blocks */
    munmap(all, size);
    return 0;
}

#endif
