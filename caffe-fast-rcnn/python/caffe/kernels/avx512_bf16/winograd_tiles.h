/* Winograd's F(2 x 2, 3 x 3) with bfloat16 factors and float32 sums; see winograd.py for the mathematics.  A tile has
   4 x 4 places. */
#ifndef WINOGRAD_BF16_H
#define WINOGRAD_BF16_H
#include "product.h"

#if BF16_COMPILED

/* B' d */
BF16_INLINE void lines_input(const __m512 *d, __m512 *o) {
    o[0] = _mm512_sub_ps(d[0], d[2]);
    o[1] = _mm512_add_ps(d[1], d[2]);
    o[2] = _mm512_sub_ps(d[2], d[1]);
    o[3] = _mm512_sub_ps(d[1], d[3]);
}

/* A' m */
BF16_INLINE void lines_output(const __m512 *m, __m512 *o) {
    o[0] = _mm512_add_ps(m[0], _mm512_add_ps(m[1], m[2]));
    o[1] = _mm512_sub_ps(_mm512_sub_ps(m[1], m[2]), m[3]);
}

/* A y */
BF16_INLINE void lines_diff(__m512 y0, __m512 y1, __m512 *o) {
    o[0] = y0;
    o[1] = _mm512_add_ps(y0, y1);
    o[2] = _mm512_sub_ps(y0, y1);
    o[3] = _mm512_sub_ps(_mm512_setzero_ps(), y1);
}

/* G g */
BF16_INLINE void lines_filter(const __m512 *g, __m512 *o) {
    __m512 half = _mm512_set1_ps(0.5f), ends = _mm512_add_ps(g[0], g[2]);
    o[0] = g[0];
    o[1] = _mm512_mul_ps(half, _mm512_add_ps(ends, g[1]));
    o[2] = _mm512_mul_ps(half, _mm512_sub_ps(ends, g[1]));
    o[3] = g[2];
}

BF16_INLINE __m256i rounded_lanes(__m512 x) {
    return (__m256i)_mm512_cvtneps_pbh(x);
}

/* (4, 4) pixels, rows and columns `row` and `col` floats apart, of channels (a multiple of 16) -> places `step` numbers
   apart */
BF16_TARGET
static void tile_input_bf16(const float *s, ptrdiff_t row, ptrdiff_t col, int channels, uint16_t *o, ptrdiff_t step) {
    __m512 half[4][4], d[4], e[4];
    for (int c = 0; c < channels; c += 16) {
        BF16_UNROLL
        for (int j = 0; j < 4; j++) {
            BF16_UNROLL
            for (int i = 0; i < 4; i++)
                d[i] = _mm512_loadu_ps(s + c + i * row + j * col);
            lines_input(d, e);
            BF16_UNROLL
            for (int i = 0; i < 4; i++)
                half[i][j] = e[i];
        }
        BF16_UNROLL
        for (int i = 0; i < 4; i++) {
            lines_input(half[i], e);
            BF16_UNROLL
            for (int j = 0; j < 4; j++)
                _mm256_storeu_si256((__m256i *)(o + c + (i * 4 + j) * step), rounded_lanes(e[j]));
        }
    }
}

/* (2, 2) pixels of a diff -> the same, A y A' */
BF16_TARGET
static void tile_diff_bf16(const float *s, ptrdiff_t row, ptrdiff_t col, int channels, uint16_t *o, ptrdiff_t step) {
    __m512 half[4][2], e[4];
    for (int c = 0; c < channels; c += 16) {
        BF16_UNROLL
        for (int j = 0; j < 2; j++) {
            lines_diff(_mm512_loadu_ps(s + c + j * col), _mm512_loadu_ps(s + c + row + j * col), e);
            BF16_UNROLL
            for (int i = 0; i < 4; i++)
                half[i][j] = e[i];
        }
        BF16_UNROLL
        for (int i = 0; i < 4; i++) {
            lines_diff(half[i][0], half[i][1], e);
            BF16_UNROLL
            for (int j = 0; j < 4; j++)
                _mm256_storeu_si256((__m256i *)(o + c + (i * 4 + j) * step), rounded_lanes(e[j]));
        }
    }
}

/* Products of 32 outputs, places `step` floats apart -> (2, 2) pixels, plus bias (32) */
BF16_TARGET
static void tile_output_bf16(const float *s, ptrdiff_t step, const float *bias, float *o, ptrdiff_t row,
                             ptrdiff_t col) {
    __m512 half[2][4], m[4], e[2];
    for (int c = 0; c < BF16_OUTPUTS; c += 16) {
        __m512 b = _mm512_loadu_ps(bias + c);
        BF16_UNROLL
        for (int j = 0; j < 4; j++) {
            BF16_UNROLL
            for (int i = 0; i < 4; i++)
                m[i] = _mm512_loadu_ps(s + c + (i * 4 + j) * step);
            lines_output(m, e);
            half[0][j] = e[0];
            half[1][j] = e[1];
        }
        BF16_UNROLL
        for (int i = 0; i < 2; i++) {
            lines_output(half[i], e);
            _mm512_storeu_ps(o + c + i * row, _mm512_add_ps(e[0], b));
            _mm512_storeu_ps(o + c + i * row + col, _mm512_add_ps(e[1], b));
        }
    }
}

/* Weights (3 x 3) of 32 outputs and all inputs, `out_step` and `in_step` floats apart -> (inputs / 2, 32, 2) of each
   place, places `step` numbers apart: G g G'.  turned: the weights by 180 degrees. */
BF16_TARGET
static void filters_bf16(const float *weight, ptrdiff_t out_step, ptrdiff_t in_step, int inputs, int turned,
                         uint16_t *o, ptrdiff_t step) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i steps = _mm512_mullo_epi32(lanes, _mm512_set1_epi32((int)in_step));
    __m512 half[4][3], g[3], e[4];
    uint32_t pairs[8], panels[16][8][BF16_OUTPUTS];     /* of 16 inputs: they stay in the cache until they are whole */
    for (int c = 0; c < inputs; c += 16) {
        for (int n = 0; n < BF16_OUTPUTS; n++) {
            const float *s = weight + n * out_step + c * in_step;
            BF16_UNROLL
            for (int j = 0; j < 3; j++) {
                BF16_UNROLL
                for (int i = 0; i < 3; i++)
                    g[i] = _mm512_i32gather_ps(steps, s + (turned ? 8 - (i * 3 + j) : i * 3 + j), 4);
                lines_filter(g, e);
                BF16_UNROLL
                for (int i = 0; i < 4; i++)
                    half[i][j] = e[i];
            }
            BF16_UNROLL
            for (int i = 0; i < 4; i++) {
                lines_filter(half[i], e);
                BF16_UNROLL
                for (int j = 0; j < 4; j++) {
                    _mm256_storeu_si256((__m256i *)pairs, rounded_lanes(e[j]));
                    BF16_UNROLL
                    for (int k = 0; k < 8; k++)
                        panels[i * 4 + j][k][n] = pairs[k];
                }
            }
        }
        for (int place = 0; place < 16; place++)
            __builtin_memcpy(o + place * step + c * BF16_OUTPUTS, panels[place], sizeof panels[place]);
    }
}

#else   /* never called: cpu.takes asks first */
static void tile_input_bf16(const float *s, ptrdiff_t row, ptrdiff_t col, int channels, uint16_t *o, ptrdiff_t step) {}
static void tile_diff_bf16(const float *s, ptrdiff_t row, ptrdiff_t col, int channels, uint16_t *o, ptrdiff_t step) {}
static void tile_output_bf16(const float *s, ptrdiff_t step, const float *bias, float *o, ptrdiff_t row,
                             ptrdiff_t col) {}
static void filters_bf16(const float *weight, ptrdiff_t out_step, ptrdiff_t in_step, int inputs, int turned,
                         uint16_t *o, ptrdiff_t step) {}
#endif

#endif
