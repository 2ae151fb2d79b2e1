"""Convolution and deconvolution: a table of ways (convolution.py), and a file each."""
