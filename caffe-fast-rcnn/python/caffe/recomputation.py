"""Recomputation: a Pending that computes the content of an array again when it is read."""
from . import common
from .blob import Blob
from .pending import Pending


class Recomputation(Pending):
    """How an array of `shape` was computed: a chain of layers, the first into a new blob, the others in place.

    The result equals that of the pass, bit for bit, even if inputs and weights have changed since.
    """

    def __init__(self, shape, steps=(), copied=0):
        self.shape, self.device = shape, common.device()
        self.copied = copied        # numbers that are kept for it
        # [(layer, bottoms, parameters)]; a bottom is a tensor, a Recomputation, or None: in place
        self._steps = steps
        self._precision = common.precision()

    def tensor(self):
        now, out = common.precision(), None
        common.set_precision(self._precision)
        try:
            for layer, bottoms, params in self._steps:
                out = _run(layer, [out if b is None else _as_blob(b) for b in bottoms], params, out)
        finally:
            common.set_precision(now)
        return out.tensor

    def then(self, layer, bottoms, params):
        """The Recomputation of the output of `layer`, in place on this array, or as the first layer, on `bottoms`."""
        return Recomputation(self.shape, [*self._steps, (layer, bottoms, params)],
                             self.copied + _numbers(bottoms + params))


def _run(layer, bottom, params, in_place):
    """The top of `layer`, computed with other bottoms and parameters than its own."""
    top, own = [in_place or Blob()], layer.blobs
    layer.blobs = [_as_blob(p) for p in params]
    try:
        layer.reshape(bottom, top)
        layer.forward(bottom, top)
    finally:
        layer.blobs = own
    return top[0]


def _as_blob(source):
    blob = Blob(*source.shape)
    if isinstance(source, Pending):
        blob.set_pending(source)
    else:
        blob.tensor = source
    return blob


def _numbers(sources):
    return sum(s.numel() for s in sources if s is not None and not isinstance(s, Pending))
