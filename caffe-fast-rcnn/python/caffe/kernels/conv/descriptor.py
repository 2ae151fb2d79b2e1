"""The parameters of a convolution other than its tensors."""
from dataclasses import dataclass


@dataclass(frozen=True)
class ConvolutionDescriptor:
    """stride, pad, dilation: one number a spatial axis.  transposed: a deconvolution."""

    stride: tuple
    pad: tuple
    dilation: tuple
    transposed: bool = False
    groups: int = 1
