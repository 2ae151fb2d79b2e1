/* Maxima of all bins of one RoI on one block of LANES channels: the inner loops of roi_pooling_cpu.pyx, in C because
 * Cython cannot ask for several versions of a function (AVX2_CLONES).  Included once a number type: REAL is the type,
 * NAME(f) the function's name for it.
 *
 * map (H, W, LANES); ys (rows, 2), xs (columns, 2): each bin's first cell and one past its last, inside the map;
 * best (rows * columns, LANES): maxima, 0 for an empty bin; where, of that shape: the cell y * W + x of each maximum, the
 * first in row order, -1 for an empty bin.
 *
 * The maxima of one bin stay in registers: that is why LANES is a constant and why the loops over it are two.  GCC
 * vectorises each of them and not the one of both.
 */
#ifndef LANES
#include <float.h>
#include <string.h>
#include "../avx2_clones.h"
#define LANES 32            /* with their argmax, half of AVX2's registers */
#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
#define LANES_SSE
#endif

/* source (rows, LANES) -> target (block, rows), both of numbers of four bytes.  Four channels at a time from end to end,
 * so that the target is written almost in order: the processor then fetches its memory ahead. */
static void transpose_words(const char *source, int rows, int block, char *target) {
    int c = 0;
#ifdef LANES_SSE
    for (; c + 4 <= block; c += 4) {
        int r = 0;
        for (; r + 4 <= rows; r += 4) {
            const float *from = (const float *)source + r * LANES + c;
            float *to = (float *)target + c * rows + r;
            __m128 v0 = _mm_loadu_ps(from), v1 = _mm_loadu_ps(from + LANES);
            __m128 v2 = _mm_loadu_ps(from + 2 * LANES), v3 = _mm_loadu_ps(from + 3 * LANES);
            _MM_TRANSPOSE4_PS(v0, v1, v2, v3);
            _mm_storeu_ps(to, v0);
            _mm_storeu_ps(to + rows, v1);
            _mm_storeu_ps(to + 2 * rows, v2);
            _mm_storeu_ps(to + 3 * rows, v3);
        }
        for (; r < rows; r++)
            for (int k = c; k < c + 4; k++) memcpy(target + 4 * (k * rows + r), source + 4 * (r * LANES + k), 4);
    }
#endif
    for (; c < block; c++)
        for (int r = 0; r < rows; r++) memcpy(target + 4 * (c * rows + r), source + 4 * (r * LANES + c), 4);
}
#endif

AVX2_CLONES static void NAME(lanes_max)(const REAL *map, int width, const int *ys, int rows, const int *xs, int columns,
                                         REAL *best) {
    for (int b = 0; b < rows * columns; b++) {
        const int *y_edge = ys + b / columns * 2, *x_edge = xs + b % columns * 2;
        const int empty = y_edge[0] >= y_edge[1] || x_edge[0] >= x_edge[1];
        REAL most[LANES];
        for (int k = 0; k < LANES; k++) most[k] = empty ? 0 : -FLT_MAX;
        for (int y = y_edge[0]; y < y_edge[1]; y++)
            for (int x = x_edge[0]; x < x_edge[1]; x++) {
                const REAL *cell = map + (size_t)(y * width + x) * LANES;
                for (int k = 0; k < LANES; k++) most[k] = cell[k] > most[k] ? cell[k] : most[k];
            }
        memcpy(best + (size_t)b * LANES, most, sizeof most);
    }
}

AVX2_CLONES static void NAME(lanes_argmax)(const REAL *map, int width, const int *ys, int rows, const int *xs,
                                            int columns, REAL *best, int *where) {
    for (int b = 0; b < rows * columns; b++) {
        const int *y_edge = ys + b / columns * 2, *x_edge = xs + b % columns * 2;
        const int empty = y_edge[0] >= y_edge[1] || x_edge[0] >= x_edge[1];
        REAL most[LANES];
        int at[LANES];
        for (int k = 0; k < LANES; k++) most[k] = empty ? 0 : -FLT_MAX;
        for (int k = 0; k < LANES; k++) at[k] = -1;
        for (int y = y_edge[0]; y < y_edge[1]; y++)
            for (int x = x_edge[0]; x < x_edge[1]; x++) {
                const int index = y * width + x;
                const REAL *cell = map + (size_t)index * LANES;
                for (int k = 0; k < LANES; k++) at[k] = cell[k] > most[k] ? index : at[k];
                for (int k = 0; k < LANES; k++) most[k] = cell[k] > most[k] ? cell[k] : most[k];
            }
        memcpy(best + (size_t)b * LANES, most, sizeof most);
        memcpy(where + (size_t)b * LANES, at, sizeof at);
    }
}
