/* The transforms of one tile of WINOGRAD_LANES channels, channels innermost; see winograd.py for the mathematics.

   s: source, its rows and columns `row` and `col` floats apart.  o: target, entry (i, j) of the tile at
   (i * columns + j) * step floats. */
#ifndef WINOGRAD_TILES_H
#define WINOGRAD_TILES_H
#include "winograd_window.h"

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__)
#define WINOGRAD_CLONES __attribute__((target_clones("arch=haswell", "default")))    /* AVX2 where the CPU has it */
#else
#define WINOGRAD_CLONES
#endif

/* 6 numbers -> B' d */
static inline __attribute__((always_inline)) void line_input(const float *restrict s, ptrdiff_t ss,
                                                             float *restrict o, ptrdiff_t os) {
    for (int c = 0; c < WINOGRAD_LANES; c++) {
        float d0 = s[c], d1 = s[ss + c], d2 = s[2 * ss + c], d3 = s[3 * ss + c], d4 = s[4 * ss + c], d5 = s[5 * ss + c];
        float odd = d1 - d3, even = d4 - d2;
        o[c] = (d0 + d4) - 2 * d2 + 1.5f * odd;
        o[os + c] = (d4 - d1) - 2.5f * d2 - 0.5f * d3;
        o[2 * os + c] = (d4 + d1) + 0.5f * d2 - 2.5f * d3;
        o[3 * os + c] = even - 0.5f * odd;
        o[4 * os + c] = even + 2 * odd;
        o[5 * os + c] = (d1 + d5) - 2 * d3 - 1.5f * even;
    }
}

/* 6 numbers -> 4: A' m */
static inline __attribute__((always_inline)) void line_output(const float *restrict s, ptrdiff_t ss,
                                                              float *restrict o, ptrdiff_t os) {
    for (int c = 0; c < WINOGRAD_LANES; c++) {
        float m0 = s[c], m1 = s[ss + c], m2 = s[2 * ss + c], m3 = s[3 * ss + c], m4 = s[4 * ss + c], m5 = s[5 * ss + c];
        float sum = m1 + m2, difference = m1 - m2;
        o[c] = m0 + sum + m3 + m4;
        o[os + c] = difference + 2 * m3 - 0.5f * m4;
        o[2 * os + c] = sum + 4 * m3 + 0.25f * m4;
        o[3 * os + c] = difference + 8 * m3 - 0.125f * m4 + m5;
    }
}

/* 4 numbers -> 6: A y */
static inline __attribute__((always_inline)) void line_diff(const float *restrict s, ptrdiff_t ss,
                                                            float *restrict o, ptrdiff_t os) {
    for (int c = 0; c < WINOGRAD_LANES; c++) {
        float y0 = s[c], y1 = s[ss + c], y2 = s[2 * ss + c], y3 = s[3 * ss + c];
        float even = y0 + y2, odd = y1 + y3;
        o[c] = y0;
        o[os + c] = even + odd;
        o[2 * os + c] = even - odd;
        o[3 * os + c] = y0 + 2 * y1 + 4 * y2 + 8 * y3;
        o[4 * os + c] = y0 - 0.5f * y1 + 0.25f * y2 - 0.125f * y3;
        o[5 * os + c] = y3;
    }
}

/* (6, 6) pixels -> (6, 6) */
WINOGRAD_CLONES
static void tile_input(const float *s, ptrdiff_t row, ptrdiff_t col, float *o, ptrdiff_t step) {
    float half[36 * WINOGRAD_LANES];
    for (int j = 0; j < 6; j++)
        line_input(s + j * col, row, half + j * WINOGRAD_LANES, 6 * WINOGRAD_LANES);
    for (int i = 0; i < 6; i++)
        line_input(half + i * 6 * WINOGRAD_LANES, WINOGRAD_LANES, o + i * 6 * step, step);
}

/* (6, 6) products, `step` apart -> (4, 4) pixels */
WINOGRAD_CLONES
static void tile_output(const float *s, ptrdiff_t step, float *o, ptrdiff_t row, ptrdiff_t col) {
    float half[24 * WINOGRAD_LANES];
    for (int j = 0; j < 6; j++)
        line_output(s + j * step, 6 * step, half + j * WINOGRAD_LANES, 6 * WINOGRAD_LANES);
    for (int i = 0; i < 4; i++)
        line_output(half + i * 6 * WINOGRAD_LANES, WINOGRAD_LANES, o + i * row, col);
}

/* (4, 4) pixels of a diff -> (6, 6) */
WINOGRAD_CLONES
static void tile_diff(const float *s, ptrdiff_t row, ptrdiff_t col, float *o, ptrdiff_t step) {
    float half[24 * WINOGRAD_LANES];
    for (int j = 0; j < 4; j++)
        line_diff(s + j * col, row, half + j * WINOGRAD_LANES, 4 * WINOGRAD_LANES);
    for (int i = 0; i < 6; i++)
        line_diff(half + i * 4 * WINOGRAD_LANES, WINOGRAD_LANES, o + i * 6 * step, step);
}

#endif
