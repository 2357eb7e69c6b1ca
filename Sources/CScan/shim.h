#ifndef SIDEREAL_CSCAN_SHIM_H
#define SIDEREAL_CSCAN_SHIM_H

/* Sixteen bytes of text at a time. Swift's own SIMD types are compiled to a loop over the lanes inside of loops; these are the
 * four or five instructions that every x86-64 and every 64-bit ARM has. */
#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* What of 16 bytes is marked, the first byte lowest; zero if nothing is. */
#if defined(__SSE2__)
static inline uint64_t sidereal_bits(__m128i marks)
{
    return (uint64_t)(unsigned int)_mm_movemask_epi8(marks);
}
#elif defined(__aarch64__)
static inline uint64_t sidereal_bits(uint8x16_t marks)
{
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(marks), 4)), 0);
}
#endif

/* The first byte that is marked in bits that are not zero. */
static inline int sidereal_place(uint64_t bits)
{
#if defined(__aarch64__)
    return __builtin_ctzll(bits) >> 2;
#else
    return __builtin_ctzll(bits);
#endif
}

/* Which of 16 bytes are a quote, a backslash, a control character or not ASCII. */
static inline uint64_t sidereal_not_plain(const void *bytes)
{
#if defined(__SSE2__)
    __m128i text = _mm_loadu_si128((const __m128i *)bytes);
    /* Compared as signed numbers: what is not ASCII is below zero, and so below the space. */
    __m128i low = _mm_cmplt_epi8(text, _mm_set1_epi8(0x20));
    __m128i quote = _mm_cmpeq_epi8(text, _mm_set1_epi8(0x22));
    __m128i slash = _mm_cmpeq_epi8(text, _mm_set1_epi8(0x5C));
    return sidereal_bits(_mm_or_si128(low, _mm_or_si128(quote, slash)));
#elif defined(__aarch64__)
    uint8x16_t text = vld1q_u8((const uint8_t *)bytes);
    uint8x16_t low = vcltq_s8(vreinterpretq_s8_u8(text), vdupq_n_s8(0x20));
    uint8x16_t quote = vceqq_u8(text, vdupq_n_u8(0x22));
    uint8x16_t slash = vceqq_u8(text, vdupq_n_u8(0x5C));
    return sidereal_bits(vorrq_u8(low, vorrq_u8(quote, slash)));
#else
    uint64_t bits = 0;
    for (int at = 0; at < 16; at++) {
        uint8_t byte = ((const uint8_t *)bytes)[at];
        if (byte < 0x20 || byte >= 0x80 || byte == 0x22 || byte == 0x5C)
            bits |= (uint64_t)1 << at;
    }
    return bits;
#endif
}

/* Which of 16 bytes are a quote or a backslash. */
static inline uint64_t sidereal_quote_or_slash(const void *bytes)
{
#if defined(__SSE2__)
    __m128i text = _mm_loadu_si128((const __m128i *)bytes);
    __m128i quote = _mm_cmpeq_epi8(text, _mm_set1_epi8(0x22));
    __m128i slash = _mm_cmpeq_epi8(text, _mm_set1_epi8(0x5C));
    return sidereal_bits(_mm_or_si128(quote, slash));
#elif defined(__aarch64__)
    uint8x16_t text = vld1q_u8((const uint8_t *)bytes);
    return sidereal_bits(vorrq_u8(vceqq_u8(text, vdupq_n_u8(0x22)), vceqq_u8(text, vdupq_n_u8(0x5C))));
#else
    uint64_t bits = 0;
    for (int at = 0; at < 16; at++) {
        uint8_t byte = ((const uint8_t *)bytes)[at];
        if (byte == 0x22 || byte == 0x5C)
            bits |= (uint64_t)1 << at;
    }
    return bits;
#endif
}

/* In which of 16 bytes the two differ. */
static inline uint64_t sidereal_difference(const void *left, const void *right)
{
#if defined(__SSE2__)
    __m128i a = _mm_loadu_si128((const __m128i *)left);
    __m128i b = _mm_loadu_si128((const __m128i *)right);
    return sidereal_bits(_mm_cmpeq_epi8(a, b)) ^ 0xFFFF;
#elif defined(__aarch64__)
    return sidereal_bits(vmvnq_u8(vceqq_u8(vld1q_u8((const uint8_t *)left), vld1q_u8((const uint8_t *)right))));
#else
    uint64_t bits = 0;
    for (int at = 0; at < 16; at++)
        bits |= (uint64_t)(((const uint8_t *)left)[at] != ((const uint8_t *)right)[at]) << at;
    return bits;
#endif
}

/* The quote that ends the string whose text begins at `at`, if it is before `end` and there is nothing in the string but plain ASCII;
 * NULL if not, or if that cannot be told because 16 bytes are looked at together and none of them may begin behind `last`. */
static inline const uint8_t *sidereal_closing_quote(const uint8_t *at, const uint8_t *last, const uint8_t *end)
{
    for (; at <= last; at += 16) {
        uint64_t bits = sidereal_not_plain(at);
        if (bits != 0) {
            at += sidereal_place(bits);
            return at < end && *at == 0x22 ? at : 0;
        }
    }
    return 0;
}

#endif
