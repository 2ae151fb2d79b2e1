"""Kernels of the region layers: tensors in, tensors out; Cython on the CPU, Triton on a GPU."""


def on_gpu(tensor):
    """Whether the Triton kernels work on this tensor."""
    return tensor.is_cuda
