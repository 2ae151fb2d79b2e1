/* Maxima of all bins of one RoI on one block of LANES channels: the inner loops of roi_pooling_cpu.pyx, in C because
 * Cython cannot ask for several versions of a function (LANES_CLONES).  Included once a number type: REAL is the type,
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
#define LANES 32            /* with their argmax, half of AVX2's registers */
/* AVX2 where the machine has it, chosen when the module is loaded; elsewhere what every machine has. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define LANES_CLONES __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef LANES_CLONES
#define LANES_CLONES
#endif
#endif

LANES_CLONES static void NAME(lanes_max)(const REAL *map, int width, const int *ys, int rows, const int *xs, int columns,
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

LANES_CLONES static void NAME(lanes_argmax)(const REAL *map, int width, const int *ys, int rows, const int *xs,
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
