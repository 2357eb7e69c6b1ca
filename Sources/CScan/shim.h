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

#if defined(__SSE2__)
static inline int sidereal_first(__m128i marks)
{
    unsigned int bits = (unsigned int)_mm_movemask_epi8(marks);
    return bits == 0 ? 16 : __builtin_ctz(bits);
}
#elif defined(__aarch64__)
static inline int sidereal_first(uint8x16_t marks)
{
    uint8x8_t halves = vshrn_n_u16(vreinterpretq_u16_u8(marks), 4);
    uint64_t bits = vget_lane_u64(vreinterpret_u64_u8(halves), 0);
    return bits == 0 ? 16 : __builtin_ctzll(bits) >> 2;
}
#endif

/* The first of 16 bytes that is a quote, a backslash, a control character or not ASCII; 16 if none is. */
static inline int sidereal_first_not_plain(const void *bytes)
{
#if defined(__SSE2__)
    __m128i text = _mm_loadu_si128((const __m128i *)bytes);
    /* Compared as signed numbers: what is not ASCII is below zero, and so below the space. */
    __m128i low = _mm_cmplt_epi8(text, _mm_set1_epi8(0x20));
    __m128i quote = _mm_cmpeq_epi8(text, _mm_set1_epi8(0x22));
    __m128i slash = _mm_cmpeq_epi8(text, _mm_set1_epi8(0x5C));
    return sidereal_first(_mm_or_si128(low, _mm_or_si128(quote, slash)));
#elif defined(__aarch64__)
    uint8x16_t text = vld1q_u8((const uint8_t *)bytes);
    uint8x16_t low = vcltq_s8(vreinterpretq_s8_u8(text), vdupq_n_s8(0x20));
    uint8x16_t quote = vceqq_u8(text, vdupq_n_u8(0x22));
    uint8x16_t slash = vceqq_u8(text, vdupq_n_u8(0x5C));
    return sidereal_first(vorrq_u8(low, vorrq_u8(quote, slash)));
#else
    for (int at = 0; at < 16; at++) {
        uint8_t byte = ((const uint8_t *)bytes)[at];
        if (byte < 0x20 || byte >= 0x80 || byte == 0x22 || byte == 0x5C)
            return at;
    }
    return 16;
#endif
}

#endif
