/*
 * BLAKE2b of many contents at once, each in a lane of the vector registers.
 *
 * A block of one content takes a processor about as long as eight blocks of eight contents in AVX-512: every step of the
 * hash waits for the one before. A lane whose content ends goes on with the next one.
 */
#ifndef PYKOPIA_BLAKE2_LANES_H
#define PYKOPIA_BLAKE2_LANES_H

#include <stdlib.h>

#include "blake2.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define LANES_ON_X86 1
#endif

enum { LANES_BLOCK = 128, LANES_MOST = 8 };

typedef struct {
    const uint8_t *data;
    size_t length;
    uint8_t *out; /* where the digest goes */
} hashed_content;

/* The hashes that the lanes are at, word by word, and the blocks that follow. */
typedef struct {
    uint64_t h[8][LANES_MOST];
    uint64_t counted[LANES_MOST];
    uint64_t last[LANES_MOST]; /* all ones when the next block is the last one of the content */
    const uint8_t *at[LANES_MOST];
} blake2b_lanes;

typedef struct {
    int width; /* lanes, 1 for none */
    int least; /* lanes in use below which one content after the other is quicker */
    void (*run)(blake2b_lanes *lanes, size_t blocks);
} blake2b_path;

#ifdef LANES_ON_X86

#define LANES_MIX(kind, a, b, c, d, x, y) \
    a = kind##_ADD(kind##_ADD(a, b), x); d = kind##_TURN32(kind##_XOR(d, a)); \
    c = kind##_ADD(c, d); b = kind##_TURN24(kind##_XOR(b, c)); \
    a = kind##_ADD(kind##_ADD(a, b), y); d = kind##_TURN16(kind##_XOR(d, a)); \
    c = kind##_ADD(c, d); b = kind##_TURN63(kind##_XOR(b, c))

#define LANES_ROUND(kind, s) \
    LANES_MIX(kind, v0, v4, v8, v12, m[s[0]], m[s[1]]); \
    LANES_MIX(kind, v1, v5, v9, v13, m[s[2]], m[s[3]]); \
    LANES_MIX(kind, v2, v6, v10, v14, m[s[4]], m[s[5]]); \
    LANES_MIX(kind, v3, v7, v11, v15, m[s[6]], m[s[7]]); \
    LANES_MIX(kind, v0, v5, v10, v15, m[s[8]], m[s[9]]); \
    LANES_MIX(kind, v1, v6, v11, v12, m[s[10]], m[s[11]]); \
    LANES_MIX(kind, v2, v7, v8, v13, m[s[12]], m[s[13]]); \
    LANES_MIX(kind, v3, v4, v9, v14, m[s[14]], m[s[15]])

#define LANES_DEFINE(name, kind, features, vector) \
    __attribute__((target(features))) static void name(blake2b_lanes *lanes, size_t blocks) { \
        vector h[8], m[16]; \
        vector counted = kind##_LOAD(lanes->counted); \
        const vector last = kind##_LOAD(lanes->last); \
        const uint8_t *at[kind##_LANES]; \
        memcpy(at, lanes->at, sizeof at); \
        for (int i = 0; i < 8; i++) h[i] = kind##_LOAD(lanes->h[i]); \
        for (; blocks; blocks--) { \
            kind##_WORDS(m, at); \
            for (int i = 0; i < kind##_LANES; i++) at[i] += LANES_BLOCK; \
            counted = kind##_ADD(counted, kind##_SET(LANES_BLOCK)); \
            vector v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3], v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7]; \
            vector v8 = kind##_SET(BLAKE2B_START[0]), v9 = kind##_SET(BLAKE2B_START[1]); \
            vector v10 = kind##_SET(BLAKE2B_START[2]), v11 = kind##_SET(BLAKE2B_START[3]); \
            vector v12 = kind##_XOR(kind##_SET(BLAKE2B_START[4]), counted), v13 = kind##_SET(BLAKE2B_START[5]); \
            vector v14 = kind##_XOR(kind##_SET(BLAKE2B_START[6]), last), v15 = kind##_SET(BLAKE2B_START[7]); \
            LANES_ROUND(kind, BLAKE2_SIGMA[0]); \
            LANES_ROUND(kind, BLAKE2_SIGMA[1]); \
            LANES_ROUND(kind, BLAKE2_SIGMA[2]); \
            LANES_ROUND(kind, BLAKE2_SIGMA[3]); \
            LANES_ROUND(kind, BLAKE2_SIGMA[4]); \
            LANES_ROUND(kind, BLAKE2_SIGMA[5]); \
            LANES_ROUND(kind, BLAKE2_SIGMA[6]); \
            LANES_ROUND(kind, BLAKE2_SIGMA[7]); \
            LANES_ROUND(kind, BLAKE2_SIGMA[8]); \
            LANES_ROUND(kind, BLAKE2_SIGMA[9]); \
            LANES_ROUND(kind, BLAKE2_SIGMA[0]); \
            LANES_ROUND(kind, BLAKE2_SIGMA[1]); \
            h[0] = kind##_XOR(h[0], kind##_XOR(v0, v8)); h[1] = kind##_XOR(h[1], kind##_XOR(v1, v9)); \
            h[2] = kind##_XOR(h[2], kind##_XOR(v2, v10)); h[3] = kind##_XOR(h[3], kind##_XOR(v3, v11)); \
            h[4] = kind##_XOR(h[4], kind##_XOR(v4, v12)); h[5] = kind##_XOR(h[5], kind##_XOR(v5, v13)); \
            h[6] = kind##_XOR(h[6], kind##_XOR(v6, v14)); h[7] = kind##_XOR(h[7], kind##_XOR(v7, v15)); \
        } \
        for (int i = 0; i < 8; i++) kind##_STORE(lanes->h[i], h[i]); \
        kind##_STORE(lanes->counted, counted); \
        memcpy(lanes->at, at, sizeof at); \
    }

/* AVX2: four lanes */
#define AVX2_LANES 4
#define AVX2_LOAD(from) _mm256_loadu_si256((const __m256i *)(from))
#define AVX2_STORE(to, vector) _mm256_storeu_si256((__m256i *)(to), vector)
#define AVX2_SET(word) _mm256_set1_epi64x((long long)(word))
#define AVX2_ADD _mm256_add_epi64
#define AVX2_XOR _mm256_xor_si256
#define AVX2_TURN32(vector) _mm256_shuffle_epi32(vector, 0xB1)
#define AVX2_TURN24(vector) _mm256_shuffle_epi8(vector, AVX2_BYTES(3, 4, 5, 6, 7, 0, 1, 2))
#define AVX2_TURN16(vector) _mm256_shuffle_epi8(vector, AVX2_BYTES(2, 3, 4, 5, 6, 7, 0, 1))
#define AVX2_TURN63(vector) _mm256_or_si256(_mm256_srli_epi64(vector, 63), _mm256_slli_epi64(vector, 1))
#define AVX2_BYTES(a, b, c, d, e, f, g, h) \
    _mm256_setr_epi8(a, b, c, d, e, f, g, h, a + 8, b + 8, c + 8, d + 8, e + 8, f + 8, g + 8, h + 8, \
                     a, b, c, d, e, f, g, h, a + 8, b + 8, c + 8, d + 8, e + 8, f + 8, g + 8, h + 8)

/* Four words of each lane become four vectors. */
__attribute__((target("avx2"))) static inline void avx2_words(__m256i *m, const uint8_t *const *at, size_t from) {
    __m256i a = AVX2_LOAD(at[0] + from), b = AVX2_LOAD(at[1] + from);
    __m256i c = AVX2_LOAD(at[2] + from), d = AVX2_LOAD(at[3] + from);
    __m256i ab02 = _mm256_unpacklo_epi64(a, b), ab13 = _mm256_unpackhi_epi64(a, b);
    __m256i cd02 = _mm256_unpacklo_epi64(c, d), cd13 = _mm256_unpackhi_epi64(c, d);
    m[0] = _mm256_permute2x128_si256(ab02, cd02, 0x20);
    m[1] = _mm256_permute2x128_si256(ab13, cd13, 0x20);
    m[2] = _mm256_permute2x128_si256(ab02, cd02, 0x31);
    m[3] = _mm256_permute2x128_si256(ab13, cd13, 0x31);
}

#define AVX2_WORDS(m, at) \
    avx2_words(m, at, 0); avx2_words(m + 4, at, 32); avx2_words(m + 8, at, 64); avx2_words(m + 12, at, 96)

LANES_DEFINE(blake2b_run_avx2, AVX2, "avx2", __m256i)

/* AVX-512: eight lanes */
#define AVX512_LANES 8
#define AVX512_LOAD(from) _mm512_loadu_si512(from)
#define AVX512_STORE(to, vector) _mm512_storeu_si512(to, vector)
#define AVX512_SET(word) _mm512_set1_epi64((long long)(word))
#define AVX512_ADD _mm512_add_epi64
#define AVX512_XOR _mm512_xor_si512
#define AVX512_TURN32(vector) _mm512_ror_epi64(vector, 32)
#define AVX512_TURN24(vector) _mm512_ror_epi64(vector, 24)
#define AVX512_TURN16(vector) _mm512_ror_epi64(vector, 16)
#define AVX512_TURN63(vector) _mm512_ror_epi64(vector, 63)

/* Every second word of pairs of lanes becomes four vectors, two apart. */
__attribute__((target("avx512f"))) static inline void avx512_half(
    __m512i *m, __m512i ab, __m512i cd, __m512i ef, __m512i gh
) {
    __m512i low_04 = _mm512_shuffle_i64x2(ab, cd, 0x88), low_26 = _mm512_shuffle_i64x2(ab, cd, 0xDD);
    __m512i high_04 = _mm512_shuffle_i64x2(ef, gh, 0x88), high_26 = _mm512_shuffle_i64x2(ef, gh, 0xDD);
    m[0] = _mm512_shuffle_i64x2(low_04, high_04, 0x88);
    m[2] = _mm512_shuffle_i64x2(low_26, high_26, 0x88);
    m[4] = _mm512_shuffle_i64x2(low_04, high_04, 0xDD);
    m[6] = _mm512_shuffle_i64x2(low_26, high_26, 0xDD);
}

/* Eight words of each lane become eight vectors. */
__attribute__((target("avx512f"))) static inline void avx512_words(__m512i *m, const uint8_t *const *at, size_t from) {
    __m512i a = AVX512_LOAD(at[0] + from), b = AVX512_LOAD(at[1] + from);
    __m512i c = AVX512_LOAD(at[2] + from), d = AVX512_LOAD(at[3] + from);
    __m512i e = AVX512_LOAD(at[4] + from), f = AVX512_LOAD(at[5] + from);
    __m512i g = AVX512_LOAD(at[6] + from), h = AVX512_LOAD(at[7] + from);
    avx512_half(m, _mm512_unpacklo_epi64(a, b), _mm512_unpacklo_epi64(c, d), _mm512_unpacklo_epi64(e, f),
                _mm512_unpacklo_epi64(g, h));
    avx512_half(m + 1, _mm512_unpackhi_epi64(a, b), _mm512_unpackhi_epi64(c, d), _mm512_unpackhi_epi64(e, f),
                _mm512_unpackhi_epi64(g, h));
}

#define AVX512_WORDS(m, at) avx512_words(m, at, 0); avx512_words(m + 8, at, 64)

LANES_DEFINE(blake2b_run_avx512, AVX512, "avx512f", __m512i)

#endif

/* Return the widest path of at most so many lanes that this processor has. */
static blake2b_path blake2b_path_of(int most) {
    blake2b_path path = {1, 2, NULL};
#ifdef LANES_ON_X86
    __builtin_cpu_init();
    if (most >= AVX512_LANES && __builtin_cpu_supports("avx512f"))
        path = (blake2b_path){AVX512_LANES, 2, blake2b_run_avx512};
    else if (most >= AVX2_LANES && __builtin_cpu_supports("avx2"))
        path = (blake2b_path){AVX2_LANES, 3, blake2b_run_avx2};
#else
    (void)most;
#endif
    return path;
}

static int blake2b_longer(const void *one, const void *other) {
    size_t a = ((const hashed_content *)one)->length, b = ((const hashed_content *)other)->length;
    return (a < b) - (a > b);
}

/* What one lane works on. */
typedef struct {
    const hashed_content *content; /* NULL for none */
    size_t blocks; /* to go: those before the last one, or the last one alone */
    uint8_t end[LANES_BLOCK]; /* the last one, filled up */
} blake2b_lane;

/* Return the bytes of a content that stand before its last block. */
static size_t blake2b_before_last(const hashed_content *content) {
    return (content->length - 1) / LANES_BLOCK * LANES_BLOCK;
}

static void blake2b_begin_last(const blake2b_state *start, blake2b_lanes *lanes, blake2b_lane *lane, int number) {
    size_t before = blake2b_before_last(lane->content), length = lane->content->length - before;
    memset(lane->end, 0, LANES_BLOCK);
    memcpy(lane->end, lane->content->data + before, length);
    lane->blocks = 1;
    lanes->at[number] = lane->end;
    lanes->counted[number] = start->counted + lane->content->length - LANES_BLOCK; /* a whole block will be added */
    lanes->last[number] = ~(uint64_t)0;
}

static void blake2b_begin(
    const blake2b_state *start, blake2b_lanes *lanes, blake2b_lane *lane, int number, const hashed_content *content
) {
    lane->content = content;
    lane->blocks = blake2b_before_last(content) / LANES_BLOCK;
    for (int i = 0; i < 8; i++) lanes->h[i][number] = start->h[i];
    lanes->at[number] = content->data;
    lanes->counted[number] = start->counted;
    lanes->last[number] = 0;
    if (!lane->blocks) blake2b_begin_last(start, lanes, lane, number);
}

static void blake2b_take(const blake2b_lanes *lanes, int number, uint64_t *h) {
    for (int i = 0; i < 8; i++) h[i] = lanes->h[i][number];
}

/* Write the digest of each content; the contents are put in another order. */
static void blake2b_many(const blake2b_state *start, blake2b_path path, hashed_content *contents, size_t count) {
    blake2b_lanes lanes = {0};
    blake2b_lane lane[LANES_MOST];
    uint64_t h[8];
    size_t next = 0;
    int busy = 0;
    /* the longest first, so that none is left alone with a long one; those of nothing are last */
    if (path.width > 1) qsort(contents, count, sizeof *contents, blake2b_longer);
    for (; busy < path.width && next < count && contents[next].length; busy++)
        blake2b_begin(start, &lanes, &lane[busy], busy, &contents[next++]);
    for (int number = busy; number < path.width; number++) lane[number].content = NULL;
    while (busy >= path.least) {
        size_t blocks = SIZE_MAX;
        const uint8_t *read = NULL;
        for (int number = 0; number < path.width; number++)
            if (lane[number].content && lane[number].blocks < blocks) {
                blocks = lane[number].blocks;
                read = lanes.at[number];
            }
        for (int number = 0; number < path.width; number++)
            if (!lane[number].content) lanes.at[number] = read; /* for nothing */
        path.run(&lanes, blocks);
        for (int number = 0; number < path.width; number++) {
            if (!lane[number].content || (lane[number].blocks -= blocks)) continue;
            if (!lanes.last[number]) {
                blake2b_begin_last(start, &lanes, &lane[number], number);
                continue;
            }
            blake2b_take(&lanes, number, h);
            blake2b_write(h, start->digest_length, lane[number].content->out);
            if (next < count && contents[next].length)
                blake2b_begin(start, &lanes, &lane[number], number, &contents[next++]);
            else {
                lane[number].content = NULL;
                busy--;
            }
        }
    }
    for (int number = 0; number < path.width; number++) {
        const hashed_content *content = lane[number].content;
        size_t before;
        if (!content) continue;
        before = lanes.last[number] ? blake2b_before_last(content) : (size_t)(lanes.at[number] - content->data);
        blake2b_take(&lanes, number, h);
        blake2b_finish(h, start->counted + before, content->data + before, content->length - before);
        blake2b_write(h, start->digest_length, content->out);
    }
    for (; next < count; next++) blake2b_digest(start, contents[next].data, contents[next].length, contents[next].out);
}

#endif
