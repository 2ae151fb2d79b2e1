"""Resizing of images as `caffe.io.resize_image` of pycaffe does it, which is scikit-image's `resize` (0.19 and later).

A resized axis is a linear function of that axis: a low-pass filter where the axis becomes shorter, then interpolation
between the centres of pixels.  So one matrix for each axis does it, and neither scikit-image nor SciPy is needed for
the orders 0 and 1; splines (orders 2 to 5) need SciPy.
"""
import importlib

import numpy as np

from .common import CaffeError

_TRUNCATE = 4.0         # standard deviations at which the low-pass filter ends, as SciPy's


def resize_image(im, new_dims, interp_order=1):
    """Resize an image (H, W, K) to new_dims = (height, width); returns (height, width, K) float32.

    interp_order: 0 nearest, 1 linear (default), 2 to 5 splines.  Images of one or three channels are filtered before
    they shrink, and count as their smallest number outside their border; those of other channel numbers are not, and
    their corner pixels stay in the corners (pycaffe uses scikit-image's resize for the first, SciPy's zoom for these).
    """
    im = np.asarray(im)
    if im.ndim != 3:
        raise CaffeError(f"resize_image: expected an image of shape (height, width, channels), got {im.shape}; "
                         "a grey image needs image[:, :, np.newaxis]")
    new_dims = tuple(int(d) for d in new_dims)
    if im.shape[-1] not in (1, 3):
        return _zoom(im, new_dims, interp_order)
    low, high = im.min(), im.max()
    if not high > low:
        return np.full((*new_dims, im.shape[-1]), low, np.float32)
    kind = np.float32 if im.dtype == np.float32 else np.float64
    span = kind(high) - kind(low)
    scaled = (im - kind(low)) / span
    return (_filter_and_resize(scaled, new_dims, interp_order) * span + kind(low)).astype(np.float32)


def _filter_and_resize(im, new_dims, order):
    """(H, W, K) in 0..1 -> (*new_dims, K) in 0..1."""
    sigmas = [max(0, (old / new - 1) / 2) for old, new in zip(im.shape, new_dims)]
    if order > 1:
        ndimage = _scipy_ndimage(order)
        im = ndimage.gaussian_filter(im, [*sigmas, 0], mode="constant", truncate=_TRUNCATE)
        scale = [new / old for old, new in zip(im.shape, new_dims)]
        out = ndimage.zoom(im, [*scale, 1], order=order, mode="grid-constant", grid_mode=True)
    else:
        out = _along_axes(im, [_axis_matrix((np.arange(new) + 0.5) * old / new - 0.5, old, order, _gaussian(sigma))
                               for old, new, sigma in zip(im.shape, new_dims, sigmas)])
    return np.clip(out, 0, 1)


def _zoom(im, new_dims, order):
    """Resize without a filter, corners on corners, in the number type of `im`."""
    if order > 1:
        scale = [new / old for old, new in zip(im.shape, new_dims)]
        return _scipy_ndimage(order).zoom(im, [*scale, 1], order=order).astype(np.float32)
    out = _along_axes(im, [_axis_matrix(np.arange(new) * ((old - 1) / max(new - 1, 1)), old, order, _gaussian(0))
                           for old, new in zip(im.shape, new_dims)])
    if np.issubdtype(im.dtype, np.integer):
        out = np.copysign(np.floor(abs(out) + 0.5), out)
    return out.astype(np.float32)


def _along_axes(im, matrices):
    """Apply a matrix to each of the two image axes: (H', H) and (W', W) on (H, W, K)."""
    rows, columns = (m.astype(im.dtype) if im.dtype == np.float32 else m for m in matrices)
    im = np.tensordot(rows, im, axes=(1, 0))                            # (H', W, K)
    return np.tensordot(im, columns, axes=(1, 1)).transpose(0, 2, 1)    # (H', K, W') -> (H', W', K)


def _axis_matrix(places, old, order, kernel):
    """(len(places), old): values at `places` (pixels) of an axis of `old` pixels filtered by `kernel`; 0 outside."""
    if order == 0:
        places = np.floor(places + 0.5)
    below = np.floor(places).astype(int)
    out = np.zeros((len(places), old))
    for index, weight in ((below, 1 - (places - below)), (below + 1, places - below)):
        inside = (index >= 0) & (index < old)
        out[inside] += weight[inside, np.newaxis] * _spread(index[inside], old, kernel)
    return out


def _spread(index, old, kernel):
    """(len(index), old): in each row the kernel, centred on that index and cut off at the ends of the axis."""
    radius = len(kernel) // 2
    offsets = np.arange(old)[np.newaxis] - index[:, np.newaxis]
    return np.where(abs(offsets) <= radius, kernel[offsets.clip(-radius, radius) + radius], 0)


def _gaussian(sigma):
    radius = int(_TRUNCATE * sigma + 0.5)
    if not radius:
        return np.ones(1)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return kernel / kernel.sum()


def _scipy_ndimage(order):
    try:
        return importlib.import_module("scipy.ndimage")
    except ImportError:
        raise CaffeError(f"resize_image: interp_order {order} (a spline) needs SciPy; install it (pip install scipy), "
                         "or use interp_order 0 or 1") from None
