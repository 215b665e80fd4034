/* BLAKE2b and BLAKE2s, RFC 7693. The block that holds the key is hashed once, for all contents. */
#ifndef PYKOPIA_BLAKE2_H
#define PYKOPIA_BLAKE2_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static const uint8_t BLAKE2_SIGMA[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static const uint64_t BLAKE2B_START[8] = {
    0x6A09E667F3BCC908u, 0xBB67AE8584CAA73Bu, 0x3C6EF372FE94F82Bu, 0xA54FF53A5F1D36F1u,
    0x510E527FADE682D1u, 0x9B05688C2B3E6C1Fu, 0x1F83D9ABFB41BD6Bu, 0x5BE0CD19137E2179u,
};

static const uint32_t BLAKE2S_START[8] = {
    0x6A09E667u, 0xBB67AE85u, 0x3C6EF372u, 0xA54FF53Au, 0x510E527Fu, 0x9B05688Cu, 0x1F83D9ABu, 0x5BE0CD19u,
};

/* Words lie in memory with their lowest byte first; compilers make one load of this where the machine does too. */
static inline uint64_t blake2b_load(const uint8_t *at) {
    uint64_t word = 0;
    for (int i = 7; i >= 0; i--) word = word << 8 | at[i];
    return word;
}

static inline uint32_t blake2s_load(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

#define BLAKE2_TURN(word, count) ((word) >> (count) | (word) << (8 * sizeof(word) - (count)))

/* Step by step for the four columns or diagonals, which do not wait for each other. */
#define BLAKE2_FOUR(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, s, x, r1, r2, r3, r4) \
    a0 += b0 + m[s[x]]; a1 += b1 + m[s[x + 2]]; a2 += b2 + m[s[x + 4]]; a3 += b3 + m[s[x + 6]]; \
    BLAKE2_TURNED(d0, a0, d1, a1, d2, a2, d3, a3, r1); c0 += d0; c1 += d1; c2 += d2; c3 += d3; \
    BLAKE2_TURNED(b0, c0, b1, c1, b2, c2, b3, c3, r2); \
    a0 += b0 + m[s[x + 1]]; a1 += b1 + m[s[x + 3]]; a2 += b2 + m[s[x + 5]]; a3 += b3 + m[s[x + 7]]; \
    BLAKE2_TURNED(d0, a0, d1, a1, d2, a2, d3, a3, r3); c0 += d0; c1 += d1; c2 += d2; c3 += d3; \
    BLAKE2_TURNED(b0, c0, b1, c1, b2, c2, b3, c3, r4)

#define BLAKE2_TURNED(w0, x0, w1, x1, w2, x2, w3, x3, count) \
    w0 = BLAKE2_TURN(w0 ^ x0, count); w1 = BLAKE2_TURN(w1 ^ x1, count); \
    w2 = BLAKE2_TURN(w2 ^ x2, count); w3 = BLAKE2_TURN(w3 ^ x3, count)

#define BLAKE2_ROUND(s, r1, r2, r3, r4) \
    BLAKE2_FOUR(v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15, s, 0, r1, r2, r3, r4); \
    BLAKE2_FOUR(v0, v1, v2, v3, v5, v6, v7, v4, v10, v11, v8, v9, v15, v12, v13, v14, s, 8, r1, r2, r3, r4)

/* name, word, start, load, bytes of a block, the ten rounds and those beyond, four turns */
#define BLAKE2_DEFINE(name, word, START, load, BLOCK, MORE_ROUNDS, r1, r2, r3, r4) \
    /* What every content begins with, and what comes of one that is empty. */ \
    typedef struct { \
        word h[8]; \
        word h_of_nothing[8]; \
        uint64_t counted; \
        int digest_length; \
    } name##_state; \
    \
    static void name##_block(word *h, const uint8_t *data, uint64_t counted, word last) { \
        word m[16]; \
        for (int i = 0; i < 16; i++) m[i] = load(data + i * sizeof(word)); \
        word v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3], v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7]; \
        word v8 = START[0], v9 = START[1], v10 = START[2], v11 = START[3]; \
        word v12 = START[4] ^ (word)counted; \
        word v13 = START[5] ^ (word)(sizeof(word) == 4 ? counted >> 32 : 0); \
        word v14 = START[6] ^ last, v15 = START[7]; \
        BLAKE2_ROUND(BLAKE2_SIGMA[0], r1, r2, r3, r4); \
        BLAKE2_ROUND(BLAKE2_SIGMA[1], r1, r2, r3, r4); \
        BLAKE2_ROUND(BLAKE2_SIGMA[2], r1, r2, r3, r4); \
        BLAKE2_ROUND(BLAKE2_SIGMA[3], r1, r2, r3, r4); \
        BLAKE2_ROUND(BLAKE2_SIGMA[4], r1, r2, r3, r4); \
        BLAKE2_ROUND(BLAKE2_SIGMA[5], r1, r2, r3, r4); \
        BLAKE2_ROUND(BLAKE2_SIGMA[6], r1, r2, r3, r4); \
        BLAKE2_ROUND(BLAKE2_SIGMA[7], r1, r2, r3, r4); \
        BLAKE2_ROUND(BLAKE2_SIGMA[8], r1, r2, r3, r4); \
        BLAKE2_ROUND(BLAKE2_SIGMA[9], r1, r2, r3, r4); \
        if (MORE_ROUNDS) { \
            BLAKE2_ROUND(BLAKE2_SIGMA[0], r1, r2, r3, r4); \
            BLAKE2_ROUND(BLAKE2_SIGMA[1], r1, r2, r3, r4); \
        } \
        h[0] ^= v0 ^ v8; h[1] ^= v1 ^ v9; h[2] ^= v2 ^ v10; h[3] ^= v3 ^ v11; \
        h[4] ^= v4 ^ v12; h[5] ^= v5 ^ v13; h[6] ^= v6 ^ v14; h[7] ^= v7 ^ v15; \
    } \
    \
    static void name##_start(name##_state *state, const uint8_t *key, int key_length, int digest_length) { \
        uint8_t block[BLOCK] = {0}; \
        for (int i = 0; i < 8; i++) state->h[i] = START[i]; \
        state->h[0] ^= 0x01010000u ^ (word)key_length << 8 ^ (word)digest_length; \
        state->counted = key_length ? BLOCK : 0; \
        state->digest_length = digest_length; \
        memcpy(state->h_of_nothing, state->h, sizeof state->h); \
        memcpy(block, key, key_length); \
        name##_block(state->h_of_nothing, block, state->counted, (word)~(word)0); \
        if (key_length) name##_block(state->h, block, state->counted, 0); \
    } \
    \
    static void name##_write(const word *h, int length, uint8_t *out) { \
        for (int i = 0; i < length; i++) out[i] = (uint8_t)(h[i / sizeof(word)] >> 8 * (i % sizeof(word))); \
    } \
    \
    /* Hash the rest of a content, one byte at least. */ \
    static void name##_finish(word *h, uint64_t counted, const uint8_t *data, size_t length) { \
        uint8_t end[BLOCK] = {0}; \
        for (; length > BLOCK; data += BLOCK, length -= BLOCK) { \
            counted += BLOCK; \
            name##_block(h, data, counted, 0); \
        } \
        memcpy(end, data, length); \
        name##_block(h, end, counted + length, (word)~(word)0); \
    } \
    \
    static void name##_digest(const name##_state *start, const uint8_t *data, size_t length, uint8_t *out) { \
        word h[8]; \
        memcpy(h, length ? start->h : start->h_of_nothing, sizeof h); \
        if (length) name##_finish(h, start->counted, data, length); \
        name##_write(h, start->digest_length, out); \
    }

BLAKE2_DEFINE(blake2b, uint64_t, BLAKE2B_START, blake2b_load, 128, 1, 32, 24, 16, 63)
BLAKE2_DEFINE(blake2s, uint32_t, BLAKE2S_START, blake2s_load, 64, 0, 16, 12, 8, 7)

#endif
