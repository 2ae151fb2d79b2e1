"""An InnerProduct after RoI pooling: a table of ways, like ../conv/convolution.py.

It is a sum over the bins, of products of C maxima and C columns of the weights.  In each bin, the 644 RoIs of
pooled_regions.py have 446 regions (at scale 600, 882 RoIs have 737): the first two ways multiply each of those once and
add the products up RoI by RoI.

    way                     takes                                                   folder, file
    by bin, bfloat16        CPU with AVX512-BF16, in precision bf16                 avx512_bf16/linear_of_regions.py
    by bin                  many RoIs that share regions, multiplied in float32     linear_by_bin.py
    by row                  everything                                              linear_by_row.py

    fits(regions, weight)             regions: PooledRegions (R, C, pooled_h, pooled_w); weight (num_output, C * bins)
    forward(regions, weight, bias)    (R, num_output); bias (num_output) or None
"""
from ..ways import avx512_bf16_ways, first_that_fits
from . import linear_by_bin, linear_by_row

WAYS = (*avx512_bf16_ways("linear_of_regions"), linear_by_bin, linear_by_row)


def linear_of_regions(regions, weight, bias=None):
    """The rows of `regions`, of C * bins numbers, times weight (num_output, C * bins)' + bias -> (R, num_output)."""
    return first_that_fits(WAYS, regions, weight).forward(regions, weight, bias)
