/* The inner loop of dropout_cpu.pyx, in C because Cython cannot ask for several versions of a function. */
#ifndef DROPOUT_CHUNK_H
#define DROPOUT_CHUNK_H
#include <stddef.h>
#include <stdint.h>
#include "../avx2_clones.h"

/* y[i] = x[i] * scale where the hash of first + i and the key (high, low) is at most limit, else 0.
   The multipliers and shifts are those of a 32-bit finaliser found by search (lowbias32). */
#define DROP_CHUNK(NAME, REAL)                                                                                         \
    AVX2_CLONES static void NAME(const REAL *x, REAL *y, ptrdiff_t count, uint32_t first, uint32_t low, uint32_t high, \
                                 uint32_t limit, REAL scale) {                                                         \
        for (ptrdiff_t i = 0; i < count; i++) {                                                                        \
            uint32_t h = ((first + (uint32_t)i) ^ high) * 0x9E3779B9u + low;                                           \
            h = (h ^ (h >> 16)) * 0x7FEB352Du;                                                                         \
            h = (h ^ (h >> 15)) * 0x846CA68Bu;                                                                         \
            h ^= h >> 16;                                                                                              \
            y[i] = h <= limit ? x[i] * scale : 0;                                                                      \
        }                                                                                                              \
    }

DROP_CHUNK(drop_floats, float)
DROP_CHUNK(drop_doubles, double)

#endif
