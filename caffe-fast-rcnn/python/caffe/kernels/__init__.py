"""Kernels: tensors in, tensors out.  Cython on the CPU, Triton on a GPU, PyTorch's own elsewhere.

A folder for each job: conv (convolution), roi (RoI pooling and the products after it), pool, norm, neuron.  linear.py
multiplies matrices; rounding.py rounds the factors of products.  Where a job has several ways, a table tries them in
order (ways.py).  avx512_bf16 holds the ways for one kind of CPU; without that folder the others do its work.
"""
