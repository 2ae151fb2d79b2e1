"""The learnable parameters of a net: which blobs are one by name, and with which multipliers they learn."""
import math
from dataclasses import dataclass

from .blob import Blob
from .common import CaffeError
from .proto import caffe_pb2


@dataclass
class LearnableParam:
    """One parameter of the solver; layers that share it by name hold the very same Blob."""

    blob: Blob
    owner: str                  # name of the layer in which it appears first
    lr_mult: float | None = None       # None: nobody said; 1 then
    decay_mult: float | None = None


class ParamTable:
    """Collects parameters layer by layer.

    Parameters of equal `param { name }` are one: the first appearance owns the blob.  Of lr_mult and decay_mult the
    first value given explicitly holds, wherever it appears; later ones must agree.
    """

    def __init__(self):
        self.params = []
        self._by_name = {}

    def add(self, layer, index, spec):
        """Enter layer.blobs[index] under ParamSpec `spec`; the blob is replaced when its owner came before."""
        param = self._by_name.get(spec.name) if spec.name else None
        if param is None:
            param = LearnableParam(layer.blobs[index], layer.name)
            self.params.append(param)
            if spec.name:
                self._by_name[spec.name] = param
        else:
            layer.blobs[index] = _shared(layer, index, spec, param)
        for field in ("lr_mult", "decay_mult"):
            if spec.HasField(field):
                self._merge(layer, spec, param, field)

    @staticmethod
    def _merge(layer, spec, param, field):
        said, value = getattr(param, field), getattr(spec, field)
        if not math.isfinite(value):
            raise CaffeError("layer %s: %s of a parameter is %g; expected a finite number" % (layer.name, field, value))
        if said is not None and said != value:
            raise CaffeError("layer %s: shared parameter %r has %s %g here but %g before; the values of one shared "
                             "parameter must agree" % (layer.name, spec.name, field, value, said))
        setattr(param, field, value)

    def multipliers(self):
        """[(lr_mult, decay_mult)] in the order of `params`; 1 where nobody said."""
        return [tuple(1.0 if m is None else m for m in (p.lr_mult, p.decay_mult)) for p in self.params]


def _shared(layer, index, spec, param):
    """The owner's blob, or its numbers under the shape of layer.blobs[index] where share_mode PERMISSIVE allows it."""
    mine, owned = layer.blobs[index].shape, param.blob.shape
    if mine == owned:
        return param.blob
    if spec.share_mode != caffe_pb2.ParamSpec.PERMISSIVE or layer.blobs[index].count != param.blob.count:
        raise CaffeError("layer %s: parameter %d shares %r with layer %s, but its shape is %s and the owner's %s"
                         % (layer.name, index, spec.name, param.owner, mine, owned))
    return param.blob.reshaped(mine)
