"""Convolution and deconvolution: a table of ways (convolution.py), and one file per way."""
