/* The parts of regions_cpu.multiply_regions that product.h does not have. */
#ifndef REGIONS_BF16_H
#define REGIONS_BF16_H
#include "product.h"

#if BF16_COMPILED

/* 16 x 16 words, rows and columns exchanged */
BF16_INLINE void exchange_words(__m512i *v) {
    __m512i t[16];
    BF16_UNROLL
    for (int i = 0; i < 16; i += 2) {       /* pairs of rows */
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    BF16_UNROLL
    for (int i = 0; i < 16; i += 4) {       /* fours: within each quarter of a register now as it should be */
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    BF16_UNROLL
    for (int i = 0; i < 4; i++) {           /* quarters: 4 x 4 of them */
        __m512i low = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x44), high = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xee);
        __m512i low2 = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x44);
        __m512i high2 = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xee);
        t[i] = _mm512_shuffle_i32x4(low, low2, 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(low, low2, 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(high, high2, 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(high, high2, 0xdd);
    }
    BF16_UNROLL
    for (int i = 0; i < 16; i++)
        v[i] = t[i];
}

BF16_INLINE __m512i rounded_words(__m512 x) {
    return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x));
}

/* weight (16, channels, bins; channels even), rows `step` floats apart -> 16 of the outputs of filters (bins,
   channels / 2, BF16_OUTPUTS, 2) */
BF16_TARGET
static void filters_of_bins(const float *weight, ptrdiff_t step, int channels, int bins, uint16_t *filters) {
    for (int c = 0; c < channels; c += 2)
        for (int b = 0; b < bins; b += 16) {
            const float *from = weight + (ptrdiff_t)c * bins + b;
            uint16_t *to = filters + ((ptrdiff_t)b * channels + c) * BF16_OUTPUTS;
            int count = bins - b < 16 ? bins - b : 16;
            __mmask16 mask = (__mmask16)((1u << count) - 1);
            __m512i pairs[16];
            BF16_UNROLL
            for (int o = 0; o < 16; o++)
                pairs[o] = _mm512_or_si512(
                    rounded_words(_mm512_maskz_loadu_ps(mask, from + o * step)),
                    _mm512_slli_epi32(rounded_words(_mm512_maskz_loadu_ps(mask, from + o * step + bins)), 16));
            exchange_words(pairs);
            BF16_UNROLL
            for (int i = 0; i < 16; i++)
                if (i < count)
                    _mm512_storeu_si512(to + (ptrdiff_t)i * channels * BF16_OUTPUTS, pairs[i]);
        }
}

/* sums (rows, width; width a multiple of 16): each row += its row of products */
BF16_TARGET
static void add_repeated(const float *products, const int *repeats, int rows, int width, float *sums) {
    for (int r = 0; r < rows; r++, sums += width) {
        const float *from = products + (ptrdiff_t)repeats[r] * width;
        for (int i = 0; i < width; i += 16)
            _mm512_storeu_ps(sums + i, _mm512_add_ps(_mm512_loadu_ps(sums + i), _mm512_loadu_ps(from + i)));
    }
}

#else
static void filters_of_bins(const float *weight, ptrdiff_t step, int channels, int bins, uint16_t *filters) {}
static void add_repeated(const float *products, const int *repeats, int rows, int width, float *sums) {}
#endif

#endif
