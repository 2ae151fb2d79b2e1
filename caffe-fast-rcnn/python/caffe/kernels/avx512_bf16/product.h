/* Products of bfloat16 with float32 sums, on CPUs whose vectors multiply pairs of them (AVX-512 BF16).  cpu.py
   asks whether this one does, and BF16_COMPILED whether the compiler could. */
#ifndef BF16_PRODUCT_H
#define BF16_PRODUCT_H
#include <stddef.h>
#include <stdint.h>

#define BF16_ROWS 14        /* of one product: with 2 registers of outputs each, 28 of 32 hold sums */
#define BF16_OUTPUTS 32

#if defined(__x86_64__) && (__GNUC__ >= 10 || __clang_major__ >= 11)
#define BF16_COMPILED 1
#include <immintrin.h>
#define BF16_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))
#define BF16_INLINE static inline __attribute__((always_inline)) BF16_TARGET
#ifdef __clang__
#define BF16_UNROLL _Pragma("clang loop unroll(full)")
#else
#define BF16_UNROLL _Pragma("GCC unroll 16")
#endif

/* factors (BF16_ROWS, inputs; inputs even), filters (inputs / 2, BF16_OUTPUTS, 2), bias (BF16_OUTPUTS) or NULL ->
   sums (BF16_ROWS, BF16_OUTPUTS), its rows `step` floats apart */
BF16_TARGET
static void product_bf16(const uint16_t *factors, int inputs, const uint16_t *filters, const float *bias, float *sums,
                         ptrdiff_t step) {
    __m512 first = _mm512_setzero_ps(), second = first, sum[BF16_ROWS][2];
    if (bias) {
        first = _mm512_loadu_ps(bias);
        second = _mm512_loadu_ps(bias + 16);
    }
    BF16_UNROLL
    for (int r = 0; r < BF16_ROWS; r++) {
        sum[r][0] = first;
        sum[r][1] = second;
    }
    for (int c = 0; c < inputs; c += 2) {
        const uint16_t *pair = filters + c * BF16_OUTPUTS;
        __m512bh left = (__m512bh)_mm512_loadu_si512(pair), right = (__m512bh)_mm512_loadu_si512(pair + 32);
        BF16_UNROLL
        for (int r = 0; r < BF16_ROWS; r++) {
            int32_t two;
            __builtin_memcpy(&two, factors + (ptrdiff_t)r * inputs + c, sizeof two);
            __m512bh both = (__m512bh)_mm512_set1_epi32(two);
            sum[r][0] = _mm512_dpbf16_ps(sum[r][0], both, left);
            sum[r][1] = _mm512_dpbf16_ps(sum[r][1], both, right);
        }
    }
    BF16_UNROLL
    for (int r = 0; r < BF16_ROWS; r++) {
        _mm512_storeu_ps(sums + r * step, sum[r][0]);
        _mm512_storeu_ps(sums + r * step + 16, sum[r][1]);
    }
}

#else
#define BF16_COMPILED 0
static void product_bf16(const uint16_t *factors, int inputs, const uint16_t *filters, const float *bias, float *sums,
                         ptrdiff_t step) {}
#endif

#endif
