from libc.stdint cimport uint16_t

cdef extern from "product.h" nogil:
    enum:
        BF16_COMPILED
        BF16_ROWS
        BF16_OUTPUTS
    void product_bf16(const uint16_t *factors, int inputs, const uint16_t *filters, const float *bias, float *sums,
                      ptrdiff_t step)
