/* The memory-hard part of scrypt, ROMix (RFC 7914 §5), for one lane. */
#ifndef PYKOPIA_SCRYPT_H
#define PYKOPIA_SCRYPT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words lie in memory with their lowest byte first; elsewhere hashlib serves"
#endif

typedef uint32_t scrypt_row __attribute__((vector_size(16)));

#define SCRYPT_TURN(v, count) ((v) << (count) | (v) >> (32 - (count)))
#if defined(__clang__)
#define SCRYPT_MOVE(v, a, b, c, d) __builtin_shufflevector(v, v, a, b, c, d)
#else
#define SCRYPT_MOVE(v, a, b, c, d) __builtin_shuffle(v, (scrypt_row){a, b, c, d})
#endif

#define SCRYPT_INLINE static inline __attribute__((always_inline))

/* One step of Salsa20/8. A row holds a diagonal of the matrix, so that four quarter-rounds are one step. */
#define SCRYPT_STEP(a, b, c, d) \
    b ^= SCRYPT_TURN(a + d, 7); c ^= SCRYPT_TURN(b + a, 9); d ^= SCRYPT_TURN(c + b, 13); a ^= SCRYPT_TURN(d + c, 18)

SCRYPT_INLINE void scrypt_salsa(scrypt_row x[4], const scrypt_row in[4], const scrypt_row also[4]) {
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

/* BlockMix of (in ^ also), 2 * r blocks of 64 bytes; out is another place. */
SCRYPT_INLINE void scrypt_mix(scrypt_row *out, const scrypt_row *in, const scrypt_row *also, size_t r) {
    const size_t last = 4 * (2 * r - 1);
    scrypt_row x[4];
    for (int i = 0; i < 4; i++) x[i] = also ? in[last + i] ^ also[last + i] : in[last + i];
    for (size_t i = 0; i < 2 * r; i++) {
        scrypt_salsa(x, in + 4 * i, also ? also + 4 * i : NULL);
        memcpy(out + 4 * (i / 2 + (i % 2 ? r : 0)), x, sizeof x);
    }
}

/* Replace the 128 * r bytes at data; n is a power of two. Returns 0, or -1 when there is no memory. */
SCRYPT_INLINE int scrypt_any_romix(uint8_t *data, size_t n, size_t r) {
    const size_t rows = 8 * r, block = 128 * r, size = (n + 2) * block;
    scrypt_row *all = (scrypt_row *)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == (scrypt_row *)MAP_FAILED) return -1;
#ifdef MADV_HUGEPAGE
    madvise(all, size, MADV_HUGEPAGE); /* thousands of page faults fewer, where the system has it */
#endif
    scrypt_row *x = all + n * rows, *y = x + rows;
    for (size_t k = 0; k < 2 * r; k++)
        for (size_t i = 0; i < 16; i++) memcpy((uint32_t *)x + 16 * k + i, data + 64 * k + 4 * (i * 5 % 16), 4);
    memcpy(all, x, block);
    for (size_t i = 1; i < n; i++) scrypt_mix(all + i * rows, all + (i - 1) * rows, NULL, r);
    scrypt_mix(x, all + (n - 1) * rows, NULL, r);
    for (size_t i = 0; i < n; i += 2) {
        scrypt_mix(y, x, all + (((uint32_t *)x)[16 * (2 * r - 1)] & (n - 1)) * rows, r);
        scrypt_mix(x, y, all + (((uint32_t *)y)[16 * (2 * r - 1)] & (n - 1)) * rows, r);
    }
    for (size_t k = 0; k < 2 * r; k++)
        for (size_t i = 0; i < 16; i++) memcpy(data + 64 * k + 4 * (i * 5 % 16), (uint32_t *)x + 16 * k + i, 4);
    memset(x, 0, 2 * block); /* what is left tells nothing without the last blocks */
    munmap(all, size);
    return 0;
}

#if defined(__x86_64__)
/* A rotation is one instruction here, and three elsewhere. */
__attribute__((target("avx512vl"))) static int scrypt_wide_romix(uint8_t *data, size_t n, size_t r) {
    return scrypt_any_romix(data, n, r);
}
#endif

static int scrypt_romix(uint8_t *data, size_t n, size_t r) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512vl")) return scrypt_wide_romix(data, n, r);
#endif
    return scrypt_any_romix(data, n, r);
}

#endif
