"""Finds values of a net that are not finite: the first blob, and the image."""
from contextlib import contextmanager

import numpy as np
from utils.errors import UserError

REMEDY = "the caffemodel is damaged, or its training diverged: take an earlier snapshot, or train again"


class NotFiniteError(UserError):
    """A pass through a net gave numbers that are not finite."""


def where_not_finite(net) -> str:
    """The first blob of `net`, in the order of its layers, with a value that is not finite; '' if there is none.

    It reads all blobs; call it when a result is known to be wrong.
    """
    for name, blob in net.blobs.items():
        if not np.isfinite(blob.data).all():
            return "blob %s%s is the first that is not finite" % (name, _made_by(net, name))
    return ""


def _made_by(net, blob_name):
    top_names = getattr(net, "top_names", {})
    layer = next((layer for layer, tops in top_names.items() if blob_name in tops), None)
    return "" if layer is None else " of layer %s" % layer


def _name(net):
    return getattr(net, "name", "")     # pycaffe's nets have one when it was given to them


def weights_not_finite(net) -> str:
    """Name of the first layer of `net` with a weight that is not finite; '' if there is none."""
    for name, blobs in getattr(net, "params", {}).items():
        if not all(np.isfinite(blob.data).all() for blob in blobs):
            return name
    return ""


def require_finite(net, *arrays):
    """Raise NotFiniteError, naming the first such blob, if one of the arrays, results of `net`, is not finite."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise NotFiniteError("net %s: %s; %s" % (_name(net), where_not_finite(net) or "its results are not finite",
                                                 REMEDY))


class FiniteCheck:
    """Checks passes of `net` over images: values that are not finite raise a UserError with the image and blob.

    So do weights that are not finite, after the first image: pooling and ReLU may hide them from the results.
    """

    def __init__(self, net):
        self._net, self._broken = net, weights_not_finite(net)

    @contextmanager
    def image(self, path):
        """Context manager around a pass over the image at `path`."""
        try:
            yield
            if self._broken:
                raise NotFiniteError("the results are finite")
        except NotFiniteError as e:
            weights = "layer %s has weights that are not finite, and " % self._broken if self._broken else ""
            raise UserError("net %s, image %s: %s%s; %s" % (_name(self._net), path, weights,
                                                            where_not_finite(self._net) or e, REMEDY)) from e
